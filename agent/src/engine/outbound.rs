//! From the local host to the hub: look-up, queueing, and whose turn it is.

use dosp_proto::Now;
use dosp_proto::buffer::PacketBuf;
use dosp_proto::frame::{self, FrameType};
use dosp_proto::offload::{Offload, OffloadError, VnetHeader};
use dosp_proto::packet::{FlowId, Ipv4Packet};
use dosp_proto::tunnel::v2::Kind;
use dosp_proto::vip::Vip;
use rand::CryptoRng;
use std::time::Instant;

use super::packets::Packet;
use super::peer::Item;
use super::reach::Place;
use super::{
    Batch, DropReason, Engine, Event, HubPing, MAX_CONTROL_LEN, MAX_HUB_PINGS, MessageFailure,
    Overlay, Ticket, Version, answer_unreachable, icmp,
};

/// One peer's messages, or the packets of all, are sent up to so many bytes before it is the others'
/// turn.
const QUANTUM_LEN: usize = 16 * 1024;

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
    /// An empty buffer to read a packet into, with room for every one.
    pub fn buffer(&mut self) -> PacketBuf {
        self.buffers.take_large()
    }

    /// Takes a buffer back that is not needed.
    pub fn recycle(&mut self, buffer: PacketBuf) {
        self.buffers.put(buffer);
    }

    /// Takes an IP packet from the local host, with what the kernel says of it.
    pub fn handle_packet(
        &mut self,
        header: VnetHeader,
        mut buffer: PacketBuf,
        now: Now,
        rng: &mut impl CryptoRng,
    ) {
        let offload = Offload::from_tun(header, buffer.content()).map_err(DropReason::from);
        let admitted = offload.and_then(|offload| {
            let to = self.admit_packet(buffer.content(), now.instant)?;
            Ok(to.map(|(to, flow)| (to, flow, offload)))
        });
        let (dst, flow, offload) = match admitted {
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
        if is_first {
            self.known.address(dst);
        }
        self.clamp_mss(offload, buffer.content_mut());
        let buffer = self.buffers.fit(buffer);
        self.push_packet(dst, Packet { flow, offload, buffer }, now.instant);
        self.schedule(dst, now, rng);
    }

    /// Whoever is behind this host or a peer may have links that take more than a tunnel does.
    pub(super) fn clamp_mss(&self, offload: Offload, packet: &mut [u8]) {
        if let Some(max_len) = self.config.max_segment_len {
            offload.clamp_mss(packet, max_len);
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
        if !peer.push(item) {
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
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.traffic.add_sent(message.len());
        }
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

    /// Lets what waits for a peer take part in the turns, or opens its tunnel first.
    pub(super) fn schedule(&mut self, vip: Vip, now: Now, rng: &mut impl CryptoRng) {
        let Some(peer) = self.peers.get_mut(&vip) else { return };
        if peer.is_idle() || !self.linked {
            return;
        }
        if peer.version().is_none() {
            return self.open_tunnel(vip, now, rng);
        }
        if peer.has_items() && !peer.in_round {
            peer.in_round = true;
            self.round.push_back(vip);
        }
        if peer.has_staged() {
            self.queue_staged(vip, now.instant);
        }
    }

    /// Whether [`Self::poll_transmit`] has something.
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        let has_nothing =
            self.control.is_empty() && self.round.is_empty() && self.packets.is_empty();
        self.linked && !has_nothing
    }

    /// Appends sealed frames to `out` until it holds `max_len` bytes or nothing waits any more: each
    /// peer's messages and the packets of all take turns. The last frame may go beyond. Takes the
    /// buffers back that `out` has done with.
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
            let Some(overlay) = self.overlay else { return };
            if !self.packets.is_empty() {
                self.seal_packets(out, (out.len() + QUANTUM_LEN).min(max_len), now, rng);
            }
            let Some(vip) = self.round.pop_front() else {
                if self.packets.is_empty() && self.control.is_empty() {
                    return;
                }
                continue;
            };
            let turn_end = (out.len() + QUANTUM_LEN).min(max_len);
            self.seal_items((vip, overlay.vip), out, turn_end, now.instant);
            if let Some(peer) = self.peers.get_mut(&vip) {
                peer.in_round = false;
            }
            self.follow_tunnel(vip, now, rng);
            self.schedule(vip, now, rng);
        }
    }

    /// Seals messages and words for one peer until `out` holds `turn_end` bytes.
    fn seal_items(&mut self, ends: (Vip, Vip), out: &mut Batch, turn_end: usize, now: Instant) {
        let (vip, _) = ends;
        while out.len() < turn_end {
            let Some(peer) = self.peers.get_mut(&vip) else { return };
            let Some(mut item) = peer.pop() else { return };
            // Version 1 knows no echo and no words.
            if peer.version() == Some(Version::One)
                && matches!(item, Item::Echo(..) | Item::Word(_))
            {
                self.fail_item(item, &MessageFailure::NoEcho);
                continue;
            }
            let sealed = match &mut item {
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
            Item::Word(buffer) => return out.push(buffer),
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

impl From<OffloadError> for DropReason {
    fn from(error: OffloadError) -> Self {
        match error {
            OffloadError::Packet(error) => error.into(),
            _ => Self::Offload,
        }
    }
}
