//! From the local host to the hub: look-up, staging, sealing.

use dosp_proto::Now;
use dosp_proto::buffer::PacketBuf;
use dosp_proto::frame::{self, FrameType};
use dosp_proto::packet::{FlowId, Ipv4Packet};
use dosp_proto::tunnel::v2::Kind;
use dosp_proto::vip::Vip;
use rand::CryptoRng;
use std::time::Instant;

use super::peer::{Item, Pushed};
use super::policy::Version1;
use super::reach::Place;
use super::{
    Batch, DropReason, Engine, Event, HubPing, MAX_CONTROL_LEN, MAX_HUB_PINGS, MessageFailure,
    Overlay, Refusal, Ticket, Version, answer_unreachable, icmp,
};

/// One peer sends so much before it is the next one's turn, in bytes.
const QUANTUM_LEN: usize = 16 * 1024;
/// Buffers kept for packets to come.
const MAX_SPARE: usize = 512;

/// Why a raw message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no connection to a hub.
    #[error("not connected to a hub")]
    NotConnected,
    /// The destination is our own vIP, no host's, or outside of all networks that are known.
    #[error("{0} is not the vIP of a peer")]
    NoPeer(Vip),
    /// It knows only sealed messages: it is a member of this network.
    #[error("{0} takes nothing that is not sealed: it is a member of this network")]
    SealedOnly(Vip),
    /// Too much waits for this peer already.
    #[error("too many messages wait for {0}")]
    Busy(Vip),
}

impl Engine {
    /// An empty buffer to read a packet into.
    pub fn buffer(&mut self) -> PacketBuf {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a buffer back that is not needed.
    pub fn recycle(&mut self, buffer: PacketBuf) {
        if self.spare.len() < MAX_SPARE {
            self.spare.push(buffer);
        }
    }

    /// Takes an IP packet from the local host.
    pub fn handle_packet(&mut self, buffer: PacketBuf, now: Now, rng: &mut impl CryptoRng) {
        let (dst, flow) = match self.admit_packet(buffer.content(), now.instant) {
            Ok(Some(admitted)) => admitted,
            Ok(None) => return self.recycle(buffer),
            Err(reason) => {
                self.drops.add(reason);
                return self.recycle(buffer);
            }
        };
        let Some(peer) = self.peer_entry(dst, now.instant) else {
            self.drops.add(DropReason::TooManyPeers);
            return self.recycle(buffer);
        };
        let is_first = peer.addressed_at.replace(now.instant).is_none();
        let pushed = peer.push_packet(flow, buffer);
        if is_first {
            self.known.address(dst);
        }
        self.schedule(dst, now, rng);
        match pushed {
            Pushed::Queued => {}
            Pushed::Displaced => self.count_peer_drop(dst, DropReason::StagedTooMany),
            Pushed::Full => self.count_peer_drop(dst, DropReason::QueueFull),
        }
    }

    /// The peer that a packet goes to, and its flow; `None` where the hub was asked instead.
    fn admit_packet(
        &mut self,
        bytes: &[u8],
        now: Instant,
    ) -> Result<Option<(Vip, FlowId)>, DropReason> {
        let packet = Ipv4Packet::parse(bytes)?;
        let overlay = self.overlay.ok_or(DropReason::NoRoute)?;
        let dst = packet.dst();
        let place = self.place_of(dst);
        if dst.addr().is_multicast() || dst.addr().is_broadcast() || place == Place::Broadcast {
            return Err(DropReason::Multicast);
        }
        if packet.src() != overlay.vip {
            return Err(DropReason::ForeignSource);
        }
        if dst == overlay.network.hub() {
            return self.handle_hub_packet(&packet, overlay, now).map(|()| None);
        }
        match place {
            Place::Peer => Ok(Some((dst, packet.flow()))),
            Place::Hub => Err(self.prohibit(&packet, overlay, now)),
            Place::Broadcast | Place::Nowhere => Err(DropReason::NoRoute),
        }
    }

    /// The hub answers PING, and nothing else that IP knows.
    fn handle_hub_packet(
        &mut self,
        packet: &Ipv4Packet<'_>,
        overlay: Overlay,
        now: Instant,
    ) -> Result<(), DropReason> {
        let Some((header, content)) = icmp::echo_request(packet) else {
            return Err(self.prohibit(packet, overlay, now));
        };
        if !self.linked || self.hub_pings.len() >= MAX_HUB_PINGS {
            return Err(DropReason::HubProhibited);
        }
        self.send_hub_ping(HubPing::Echo(header, content.to_vec()), now);
        Ok(())
    }

    /// Tells the host that a hub takes no such packet. That of another network cannot even be pinged.
    fn prohibit(&mut self, packet: &Ipv4Packet<'_>, overlay: Overlay, now: Instant) -> DropReason {
        let why = icmp::Unreachable::Prohibited;
        let (to_tun, limit) = (&mut self.to_tun, &mut self.unreachables);
        answer_unreachable(to_tun, limit, packet.bytes(), (overlay, why), now);
        DropReason::HubProhibited
    }

    /// Takes a raw message for a peer; its fate comes as an event with `ticket`.
    ///
    /// # Errors
    /// Why it was not taken; no event follows then.
    pub fn send_message(
        &mut self,
        ticket: Ticket,
        to: Vip,
        message: &[u8],
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(), SendError> {
        let item = Item::Message(ticket, PacketBuf::from(message));
        self.push_item(to, item, now, rng)
    }

    /// Asks for the tunnel with a peer, to be opened where there is none; what it is, or why there is
    /// none, comes as an event with `ticket`.
    ///
    /// # Errors
    /// Why it was not taken; no event follows then.
    pub fn want_tunnel(
        &mut self,
        ticket: Ticket,
        to: Vip,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(), SendError> {
        self.push_item(to, Item::Tunnel(ticket), now, rng)
    }

    /// Takes what the user here wants to reach a peer.
    pub(super) fn push_item(
        &mut self,
        to: Vip,
        item: Item,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(), SendError> {
        self.peer_overlay(to)?;
        let peer = self.peer_entry(to, now.instant).ok_or(SendError::Busy(to))?;
        if !peer.push_message(item) {
            return Err(SendError::Busy(to));
        }
        peer.addressed_at = Some(now.instant);
        self.known.address(to);
        self.schedule(to, now, rng);
        Ok(())
    }

    /// Takes a message for a peer that everybody on the way can read and change.
    ///
    /// # Errors
    /// Why it was not taken.
    pub fn send_plain(
        &mut self,
        ticket: Ticket,
        to: Vip,
        message: &[u8],
        now: Instant,
    ) -> Result<(), SendError> {
        let overlay = self.peer_overlay(to)?;
        if self.is_listed(to) {
            return Err(SendError::SealedOnly(to));
        }
        self.check_control(to)?;
        frame::encode_s2c(&mut self.control, to, overlay.vip, message);
        self.send_hub_ping(HubPing::Delivery(ticket, to), now);
        Ok(())
    }

    /// Takes a message for the hub itself.
    ///
    /// # Errors
    /// Why it was not taken.
    pub fn send_to_hub(
        &mut self,
        ticket: Ticket,
        message: &[u8],
        now: Instant,
    ) -> Result<(), SendError> {
        let overlay = self.overlay.filter(|_| self.linked).ok_or(SendError::NotConnected)?;
        let hub = overlay.network.hub();
        self.check_control(hub)?;
        self.tell_hub(FrameType::MSG, message);
        self.send_hub_ping(HubPing::Delivery(ticket, hub), now);
        Ok(())
    }

    fn peer_overlay(&self, to: Vip) -> Result<Overlay, SendError> {
        let overlay = self.overlay.filter(|_| self.linked).ok_or(SendError::NotConnected)?;
        if self.is_peer(to) { Ok(overlay) } else { Err(SendError::NoPeer(to)) }
    }

    fn check_control(&self, to: Vip) -> Result<(), SendError> {
        if self.control.len() < MAX_CONTROL_LEN { Ok(()) } else { Err(SendError::Busy(to)) }
    }

    /// Puts a peer with something to send into the round, or opens its tunnel first.
    pub(super) fn schedule(&mut self, vip: Vip, now: Now, rng: &mut impl CryptoRng) {
        let Some(peer) = self.peers.get_mut(&vip) else { return };
        if peer.is_idle() || !self.linked {
            return;
        }
        if peer.version().is_none() {
            self.open_tunnel(vip, now, rng);
        } else if !peer.in_round {
            peer.in_round = true;
            self.round.push_back(vip);
        }
    }

    /// Whether [`Self::poll_transmit`] has something.
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        self.linked && !(self.control.is_empty() && self.round.is_empty())
    }

    /// Appends sealed frames to `out`, in turns of all peers, until it holds `max_len` bytes or
    /// nothing waits any more. The last frame may go beyond. Takes the buffers back that `out` has
    /// done with.
    pub fn poll_transmit(
        &mut self,
        out: &mut Batch,
        max_len: usize,
        now: Now,
        rng: &mut impl CryptoRng,
    ) {
        out.take_spent().for_each(|buffer| self.recycle(buffer));
        loop {
            if !self.control.is_empty() {
                out.push(PacketBuf::from(&*self.control));
                self.control.clear();
            }
            if out.len() >= max_len {
                return;
            }
            let (Some(vip), Some(overlay)) = (self.round.pop_front(), self.overlay) else { return };
            let turn_end = (out.len() + QUANTUM_LEN).min(max_len);
            self.seal_turn((vip, overlay.vip), out, turn_end, now.instant);
            if let Some(peer) = self.peers.get_mut(&vip) {
                peer.in_round = false;
            }
            self.follow_tunnel(vip, now, rng);
            self.schedule(vip, now, rng);
        }
    }

    /// Seals what waits for one peer until `out` holds `turn_end` bytes.
    fn seal_turn(&mut self, ends: (Vip, Vip), out: &mut Batch, turn_end: usize, now: Instant) {
        let (vip, _) = ends;
        while out.len() < turn_end {
            let Some(peer) = self.peers.get_mut(&vip) else { return };
            let Some(mut item) = peer.pop() else { return };
            if let Some(why) = refused_in(peer.version(), &item, self.config.version1) {
                self.fail(vip, item, &why, DropReason::Version1, now);
                if let MessageFailure::Refused(refusal) = why {
                    self.say_refusal(vip, refusal);
                }
                continue;
            }
            let sealed = match &mut item {
                Item::Packet(flow, buffer) => {
                    peer.seal(Kind::Packet, Some(*flow), buffer, ends, now)
                }
                Item::Message(_, buffer) => peer.seal(Kind::Message, None, buffer, ends, now),
                Item::Echo(_, buffer) | Item::Word(buffer) => {
                    peer.seal(Kind::Control, None, buffer, ends, now)
                }
                Item::Tunnel(_) => peer.version().is_some(),
            };
            if !sealed {
                // The tunnel has ended; what waits goes into the next one.
                return peer.unpop(item);
            }
            self.transmit(vip, item, out, now);
        }
    }

    /// Puts what was sealed on its way, with a PING to the hub behind it where its fate is awaited.
    fn transmit(&mut self, vip: Vip, item: Item, out: &mut Batch, now: Instant) {
        let (mut buffer, ping) = match item {
            Item::Packet(_, buffer) | Item::Word(buffer) => return out.push(buffer),
            Item::Tunnel(ticket) => {
                let report = self.tunnel_report(vip);
                return self.events.extend(report.map(|report| Event::TunnelReady(ticket, report)));
            }
            Item::Message(ticket, buffer) => (buffer, HubPing::Delivery(ticket, vip)),
            Item::Echo(ticket, buffer) => {
                self.echo_sent(ticket, vip, now);
                (buffer, HubPing::EchoLeg(ticket))
            }
        };
        self.hub_pings.push_back((now, ping));
        let mut frame = Vec::new();
        frame::encode(&mut frame, FrameType::PING, &[]);
        buffer.append(&frame);
        out.push(buffer);
    }
}

/// Why `item` must not go into a tunnel of this version.
fn refused_in(version: Option<Version>, item: &Item, version1: Version1) -> Option<MessageFailure> {
    match (version?, item) {
        (Version::Two, _) => None,
        (Version::One, Item::Packet(..)) if version1 == Version1::All => None,
        (Version::One, Item::Packet(..)) => Some(MessageFailure::Refused(Refusal::Version1Only)),
        (Version::One, Item::Echo(..) | Item::Word(_)) => Some(MessageFailure::NoEcho),
        (Version::One, Item::Message(..) | Item::Tunnel(_)) => None,
    }
}
