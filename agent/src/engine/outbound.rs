//! From the local host to the hub: look-up, staging, sealing.

use dosp_proto::Now;
use dosp_proto::buffer::PacketBuf;
use dosp_proto::frame::{self, FrameType};
use dosp_proto::packet::Ipv4Packet;
use dosp_proto::vip::Vip;
use rand::CryptoRng;
use std::time::Instant;

use super::peer::{Item, Pushed};
use super::{
    Batch, DropReason, Engine, HubPing, MAX_CONTROL_LEN, MAX_HUB_PINGS, Overlay, Ticket,
    answer_unreachable, icmp,
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
    /// The destination is our own vIP or lies outside the network.
    #[error("{0} is not the vIP of a peer")]
    NoPeer(Vip),
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
        let dst = match self.admit_packet(buffer.content(), now.instant) {
            Ok(Some(dst)) => dst,
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
        peer.addressed_at = Some(now.instant);
        let pushed = peer.push_packet(buffer);
        self.schedule(dst, now, rng);
        match pushed {
            Pushed::Queued => {}
            Pushed::Displaced => self.drops.add(DropReason::StagedTooMany),
            Pushed::Full => self.drops.add(DropReason::QueueFull),
        }
    }

    /// The peer that a packet goes to; `None` where the hub was asked instead.
    fn admit_packet(&mut self, bytes: &[u8], now: Instant) -> Result<Option<Vip>, DropReason> {
        let packet = Ipv4Packet::parse(bytes)?;
        let overlay = self.overlay.ok_or(DropReason::NoRoute)?;
        let dst = packet.dst();
        if dst.addr().is_multicast()
            || dst.addr().is_broadcast()
            || dst == overlay.network.broadcast()
        {
            return Err(DropReason::Multicast);
        }
        if packet.src() != overlay.vip {
            return Err(DropReason::ForeignSource);
        }
        if dst == overlay.network.hub() {
            return self.handle_hub_packet(&packet, overlay, now).map(|()| None);
        }
        if !overlay.network.is_assignable(dst) || dst == overlay.vip {
            return Err(DropReason::NoRoute);
        }
        Ok(Some(dst))
    }

    /// The hub answers PING, and nothing else that IP knows.
    fn handle_hub_packet(
        &mut self,
        packet: &Ipv4Packet<'_>,
        overlay: Overlay,
        now: Instant,
    ) -> Result<(), DropReason> {
        let Some((header, content)) = icmp::echo_request(packet) else {
            let why = icmp::Unreachable::Prohibited;
            let (to_tun, limit) = (&mut self.to_tun, &mut self.unreachables);
            answer_unreachable(to_tun, limit, packet.bytes(), (overlay, why), now);
            return Err(DropReason::HubProhibited);
        };
        if !self.linked || self.hub_pings.len() >= MAX_HUB_PINGS {
            return Err(DropReason::HubProhibited);
        }
        self.send_hub_ping(HubPing::Echo(header, content.to_vec()), now);
        Ok(())
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
        self.peer_overlay(to)?;
        let peer = self.peer_entry(to, now.instant).ok_or(SendError::Busy(to))?;
        if !peer.push_message(ticket, message) {
            return Err(SendError::Busy(to));
        }
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
        frame::encode(&mut self.control, FrameType::MSG, message);
        self.send_hub_ping(HubPing::Delivery(ticket, hub), now);
        Ok(())
    }

    fn peer_overlay(&self, to: Vip) -> Result<Overlay, SendError> {
        let overlay = self.overlay.filter(|_| self.linked).ok_or(SendError::NotConnected)?;
        if !overlay.network.is_assignable(to) || to == overlay.vip {
            return Err(SendError::NoPeer(to));
        }
        Ok(overlay)
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
        if !peer.tunnel.is_open() {
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
            self.seal_turn(vip, overlay, out, turn_end, now.instant);
            if let Some(peer) = self.peers.get_mut(&vip) {
                peer.in_round = false;
            }
            self.schedule(vip, now, rng);
        }
    }

    /// Seals what waits for one peer until `out` holds `turn_end` bytes.
    fn seal_turn(
        &mut self,
        vip: Vip,
        overlay: Overlay,
        out: &mut Batch,
        turn_end: usize,
        now: Instant,
    ) {
        while out.len() < turn_end {
            let Some(peer) = self.peers.get_mut(&vip) else { return };
            let Some(item) = peer.pop() else { return };
            match item {
                Item::Packet(mut buffer) => {
                    if !peer.seal(&mut buffer, (vip, overlay.vip)) {
                        // The tunnel has ended; what waits goes into the next one.
                        return peer.unpop(Item::Packet(buffer));
                    }
                    out.push(buffer);
                }
                Item::Message(ticket, mut buffer) => {
                    if !peer.seal(&mut buffer, (vip, overlay.vip)) {
                        return peer.unpop(Item::Message(ticket, buffer));
                    }
                    frame::encode(&mut self.control, FrameType::PING, &[]);
                    self.hub_pings.push_back((now, HubPing::Delivery(ticket, vip)));
                    out.push(buffer);
                    out.push(PacketBuf::from(&*self.control));
                    self.control.clear();
                }
            }
        }
    }
}
