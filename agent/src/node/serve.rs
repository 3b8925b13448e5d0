//! What others ask of a node, and what they get back.

use std::time::Instant;

use super::command::{Command, Destination, NodeReport, SendFailure};
use super::{Node, now};
use crate::engine::{Event, Ticket};
use crate::host::Host;
use crate::tun::TunDevice;

impl<T: TunDevice, H: Host> Node<T, H> {
    pub(super) fn handle_command(&mut self, command: Command) {
        match command {
            Command::Report(reply) => {
                // Who asked may have gone meanwhile; here and below.
                reply.send(self.report()).ok();
            }
            Command::Listen(listener) => self.listeners.push(listener),
            Command::Send(to, data, reply) => {
                let ticket = self.ticket();
                let taken = match to {
                    Destination::Hub => self.engine.send_to_hub(ticket, &data, Instant::now()),
                    Destination::Plain(to) => {
                        self.engine.send_plain(ticket, to, &data, Instant::now())
                    }
                    Destination::Peer(to) => {
                        self.engine.send_message(ticket, to, &data, now(), &mut self.rng)
                    }
                };
                match taken {
                    Ok(()) => drop(self.sends.insert(ticket, reply)),
                    Err(error) => drop(reply.send(Err(error.into()))),
                }
            }
            Command::Ask(request, reply) => {
                let ticket = self.ticket();
                match self.engine.ask_hub(ticket, &request, Instant::now()) {
                    Ok(()) => drop(self.asks.insert(ticket, reply)),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket
    }

    pub(super) fn handle_events(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::MessageSent(ticket) => self.finish_send(ticket, Ok(())),
                Event::MessageFailed(ticket, failure) => {
                    self.finish_send(ticket, Err(failure.into()));
                }
                Event::TunnelOpen(vip) => {
                    tracing::info!(peer = %vip, "tunnel open, version 1: UNAUTHENTICATED");
                }
                Event::Refused(vip, refusal) => {
                    let hint = refusal.hint();
                    tracing::warn!(peer = %vip, %refusal, hint, "the peer takes no tunnel");
                }
                Event::HubAnswered(ticket, answer) => {
                    if let Some(reply) = self.asks.remove(&ticket) {
                        reply.send(answer).ok();
                    }
                }
                Event::HubError(text) => tracing::warn!(text, "the hub reports an error"),
            }
        }
    }

    fn finish_send(&mut self, ticket: Ticket, outcome: Result<(), SendFailure>) {
        if let Some(reply) = self.sends.remove(&ticket) {
            reply.send(outcome).ok();
        }
    }

    fn report(&self) -> NodeReport {
        NodeReport {
            link: *self.state.borrow(),
            overlay: self.engine.overlay(),
            last_error: self.last_error.clone(),
            num_link_losses: self.num_link_losses,
            up_for: self.up_since.map(|since| since.elapsed()),
            hub_rtt: self.engine.hub_rtt(),
            drops: self.engine.drops().clone(),
            peers: self.engine.peers(Instant::now()).collect(),
        }
    }
}
