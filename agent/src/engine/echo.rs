//! Echoes between the two ends of a tunnel: whether a peer is there, and how far away.

use std::time::{Duration, Instant};

use dosp_proto::Now;
use dosp_proto::buffer::PacketBuf;
use dosp_proto::tunnel::v2::Control;
use dosp_proto::vip::Vip;
use rand::CryptoRng;

use super::peer::{Item, Peer};
use super::{DropReason, Engine, Event, MessageFailure, SendError, Ticket};

/// Echoes that may be under way; one that is never answered gives way to a newer one.
const MAX_ECHOES: usize = 1024;

/// What came of an echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// From here to the peer and back.
    pub rtt: Duration,
    /// From here to the hub and back, at about the same time.
    pub hub_rtt: Option<Duration>,
    /// Bytes that came back.
    pub len: usize,
}

#[derive(Debug)]
pub(super) struct EchoUnderWay {
    to: Vip,
    sent_at: Instant,
    hub_rtt: Option<Duration>,
}

impl Engine {
    /// Sends a peer something to send back; what comes of it comes as an event with `ticket`, or
    /// never.
    ///
    /// # Errors
    /// Why it was not taken; no event follows then.
    pub fn echo(
        &mut self,
        ticket: Ticket,
        to: Vip,
        payload: &[u8],
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(), SendError> {
        let request = Control::EchoRequest { id: ticket, payload }.encode();
        self.push_item(to, Item::Echo(ticket, request), now, rng)
    }

    pub(super) fn echo_sent(&mut self, ticket: Ticket, to: Vip, now: Instant) {
        if self.echoes.len() >= MAX_ECHOES {
            self.echoes.pop_first();
        }
        self.echoes.insert(ticket, EchoUnderWay { to, sent_at: now, hub_rtt: None });
    }

    /// The hub answered the PING that went with an echo.
    pub(super) fn echo_leg(&mut self, ticket: Ticket, rtt: Duration) {
        if let Some(echo) = self.echoes.get_mut(&ticket) {
            echo.hub_rtt = Some(rtt);
        }
    }

    /// The hub says that it knows nobody at `to`, or somebody else shows a key there.
    pub(super) fn fail_echoes(&mut self, to: Vip, why: &MessageFailure) {
        let lost = self.echoes.extract_if(.., |_, echo| echo.to == to);
        let failed = |(ticket, _)| Event::MessageFailed(ticket, why.clone());
        self.events.extend(lost.map(failed));
    }

    pub(super) fn handle_control(
        &mut self,
        from: Vip,
        content: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        match Control::decode(content).ok_or(DropReason::UnknownKind)? {
            Control::EchoRequest { id, payload } => {
                let peer = self.peers.get_mut(&from).ok_or(DropReason::TooManyPeers)?;
                let reply = Control::EchoReply { id, payload }.encode();
                answer(peer, reply, now)
            }
            Control::EchoReply { id, payload } => {
                let is_his = |echo: &&EchoUnderWay| echo.to == from;
                if self.echoes.get(&id).filter(is_his).is_none() {
                    return Err(DropReason::UnknownKind);
                }
                if let Some(echo) = self.echoes.remove(&id) {
                    let rtt = now.duration_since(echo.sent_at);
                    if let Some(peer) = self.peers.get_mut(&from) {
                        peer.rtt = Some(rtt);
                    }
                    let echo = Echo { rtt, hub_rtt: echo.hub_rtt, len: payload.len() };
                    self.events.push_back(Event::Echoed(id, echo));
                }
                Ok(())
            }
            Control::Goodbye => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.v2.end();
                }
                Ok(())
            }
        }
    }

    /// Tells all peers that this agent ends, so that they need not find out.
    pub fn say_goodbye(&mut self, now: Now, rng: &mut impl CryptoRng) {
        let open = self.peers.iter_mut().filter(|(_, peer)| peer.v2.is_confirmed());
        let told = open.filter_map(|(vip, peer)| {
            peer.push(Item::Word(Control::Goodbye.encode())).then_some(*vip)
        });
        for vip in told.collect::<Vec<_>>() {
            self.schedule(vip, now, rng);
        }
    }
}

fn answer(peer: &mut Peer, reply: PacketBuf, now: Instant) -> Result<(), DropReason> {
    if peer.echoes.take(now) && peer.push(Item::Word(reply)) {
        Ok(())
    } else {
        Err(DropReason::QueueFull)
    }
}
