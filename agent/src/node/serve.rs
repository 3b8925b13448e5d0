//! What others ask of a node, and what they get back.

use super::command::{
    Command, Destination, LeaveError, Message, NodeReport, OffloadReport, SendFailure, publish,
};
use super::{Link, Node};
use crate::clock;
use crate::engine::{Echo, Event, Ticket, TunnelReport, Version};
use crate::host::Host;
use crate::tun::TunDevice;
use tokio::sync::oneshot;

impl<T: TunDevice, H: Host> Node<T, H> {
    pub(super) fn handle_command(&mut self, command: Command) {
        match command {
            Command::Report(reply) => {
                // Who asked may have gone meanwhile; here and below.
                reply.send(self.report()).ok();
            }
            Command::Listen(listener) => self.listeners.push(listener),
            Command::Send(to, data, reply) => self.send(to, &data, reply),
            Command::Tunnel(with, reply) => {
                let (ticket, now) = (self.ticket(), clock::now());
                match self.engine.want_tunnel(ticket, with, now, &mut self.rng) {
                    Ok(()) => drop(self.tunnels.insert(ticket, reply)),
                    Err(error) => drop(reply.send(Err(error.into()))),
                }
            }
            Command::Echo(to, payload, reply) => {
                let (ticket, now) = (self.ticket(), clock::now());
                match self.engine.echo(ticket, to, &payload, now, &mut self.rng) {
                    Ok(()) => self.keep_echo(ticket, reply),
                    Err(error) => drop(reply.send(Err(error.into()))),
                }
            }
            Command::Protect(shields_up, trust, reply) => {
                self.engine.protect(shields_up, trust);
                reply.send(()).ok();
            }
            Command::Trust(change, reply) => drop(reply.send(self.engine.change_trust(change))),
            Command::Resolve(name, reply) => drop(reply.send(self.engine.resolve(&name))),
            Command::Leave(reply) => self.leave_network(reply),
            Command::Ask(request, reply) => {
                let ticket = self.ticket();
                match self.engine.ask_hub(ticket, &request, clock::instant()) {
                    Ok(()) => drop(self.asks.insert(ticket, reply)),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
        }
    }

    fn send(
        &mut self,
        to: Destination,
        data: &[u8],
        reply: oneshot::Sender<Result<(), SendFailure>>,
    ) {
        let ticket = self.ticket();
        let taken = match to {
            Destination::Hub => self.engine.send_to_hub(ticket, data, clock::instant()),
            Destination::Plain(to) => self.engine.send_plain(ticket, to, data, clock::instant()),
            Destination::Peer(to) => {
                self.engine.send_message(ticket, to, data, clock::now(), &mut self.rng)
            }
        };
        match taken {
            Ok(()) => drop(self.sends.insert(ticket, reply)),
            Err(error) => drop(reply.send(Err(error.into()))),
        }
    }

    /// Asks the hub to give up this node's place, where there is one to give up.
    fn leave_network(&mut self, reply: oneshot::Sender<Result<(), LeaveError>>) {
        if self.up_since.is_none() {
            reply.send(Err(LeaveError::NotConnected)).ok();
        } else if self.engine.hub_key().is_none() {
            reply.send(Err(LeaveError::NoMember)).ok();
        } else {
            self.leavers.push(reply);
            self.engine.leave_network();
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket
    }

    pub(super) fn handle_event(&mut self, event: Event) {
        match event {
            Event::MessageSent(ticket) => self.finish_send(ticket, Ok(())),
            Event::MessageFailed(ticket, failure) => {
                self.finish_send(ticket, Err(failure.into()));
            }
            Event::TunnelOpen(tunnel) => tell_open(&tunnel),
            Event::TunnelReady(ticket, tunnel) => {
                if let Some(reply) = self.tunnels.remove(&ticket) {
                    reply.send(Ok(tunnel)).ok();
                }
            }
            Event::Echoed(ticket, echo) => {
                if let Some(reply) = self.echoes.remove(&ticket) {
                    reply.send(Ok(echo)).ok();
                }
            }
            Event::KeyMoved { fingerprint, from, to, is_copied: false } => {
                tracing::info!(%fingerprint, %from, %to, "a peer came back at another vIP");
            }
            Event::KeyMoved { fingerprint, from, to, is_copied: true } => {
                tracing::warn!(%fingerprint, %from, %to, "two hosts have the same key: remove \
                        the file 'key' in the state folder of one of them, and restart its agent");
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
            Event::HubRestarts => {
                tracing::info!("the hub restarts");
                self.backoff.announce();
            }
            Event::NameDisputed(why) => tracing::warn!(why, "the hub gives a name away"),
            Event::Broadcast(data) => {
                let message = Message { from: None, version: None, data };
                publish(&mut self.listeners, &message);
            }
            // Of a link that is gone.
            Event::Place(_) => {}
        }
    }

    /// Ends what the ticket stands for: a message that was sent, or whatever failed.
    fn finish_send(&mut self, ticket: Ticket, outcome: Result<(), SendFailure>) {
        if let Some(reply) = self.sends.remove(&ticket) {
            reply.send(outcome).ok();
        } else if let Err(failure) = outcome {
            if let Some(reply) = self.tunnels.remove(&ticket) {
                reply.send(Err(failure)).ok();
            } else if let Some(reply) = self.echoes.remove(&ticket) {
                reply.send(Err(failure)).ok();
            }
        }
    }

    /// Echoes may never come back: those that nobody waits for any more are forgotten.
    fn keep_echo(&mut self, ticket: Ticket, reply: oneshot::Sender<Result<Echo, SendFailure>>) {
        self.echoes.retain(|_, reply| !reply.is_closed());
        self.echoes.insert(ticket, reply);
    }

    fn report(&self) -> NodeReport {
        let path = match &self.link {
            Link::Connected(connection) => Some(connection.path()),
            Link::Waiting { .. } | Link::Dialling(_) => None,
        };
        NodeReport {
            link: *self.state.borrow(),
            overlay: self.engine.overlay(),
            last_error: self.last_error.clone(),
            num_link_losses: self.num_link_losses,
            up_for: self.up_since.map(|since| clock::instant().duration_since(since)),
            hub_rtt: self.engine.hub_rtt(),
            drops: self.engine.drops().clone(),
            traffic: self.engine.traffic(),
            num_handshakes: self.engine.num_handshakes(),
            peers: self.engine.peers(clock::instant()).collect(),
            fingerprint: self.engine.public_key().fingerprint(),
            name: self
                .engine
                .member_name()
                .map(ToString::to_string)
                .or_else(|| self.engine.name().map(str::to_owned)),
            hub_key: self.engine.hub_key().copied(),
            shields_up: self.engine.has_shields_up(),
            is_closed: self.engine.is_in_closed_network(),
            networks: self.engine.networks().cloned().unwrap_or_default(),
            unrouted: self.routes.unrouted.clone(),
            nodes: self.engine.directory().map(|nodes| nodes.iter().cloned().collect()),
            queue: self.engine.queue_report(),
            offload: self.tun.as_ref().map(|tun| OffloadReport {
                offloads: tun.offloads(),
                splits: self.tun_writer.splits(),
            }),
            path,
            hub_time: self.hub_time.map(|(told, at)| {
                told.saturating_add(clock::instant().saturating_duration_since(at).as_secs())
            }),
        }
    }
}

fn tell_open(tunnel: &TunnelReport) {
    let TunnelReport { vip, version, proven, .. } = tunnel;
    match (version, proven) {
        (Version::Two, Some(proven)) => {
            let name = proven.name.as_deref().or(proven.claimed_name.as_deref());
            tracing::info!(peer = %vip, name, fingerprint = %proven.fingerprint, "tunnel open");
        }
        (Version::One, _) | (_, None) => {
            tracing::info!(peer = %vip, "tunnel open, version 1: UNAUTHENTICATED");
        }
    }
}
