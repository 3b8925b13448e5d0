//! From packets to frames: which form a packet takes for its peer, and how it is sealed in it.
//!
//! | what the host gave | a peer that takes super-packets | any other |
//! |---|---|---|
//! | a packet | kind 2 | kind 2 |
//! | a packet without its checksum | kind 3 | kind 2, completed here |
//! | a super-packet | kind 3 | kind 2 for each segment, cut here |

use std::time::Instant;

use dosp_proto::Now;
use dosp_proto::buffer::PacketBuf;
use dosp_proto::offload::{Offload, Pushed, Segments, SuperPacket, UdpGro, VNET_HEADER_LEN};
use dosp_proto::packet::FlowId;
use dosp_proto::tunnel::v2::Kind;
use dosp_proto::vip::Vip;
use rand::CryptoRng;

use super::packets::Packet;
use super::peer::Peer;
use super::policy::Version1;
use super::{Batch, DropReason, Engine, MessageFailure, Refusal, Version};

impl Engine {
    /// Seals packets of all peers, as they take turns, until `out` holds `turn_end` bytes.
    pub(super) fn seal_packets(
        &mut self,
        out: &mut Batch,
        turn_end: usize,
        now: Now,
        rng: &mut impl CryptoRng,
    ) {
        let mut last = None;
        while out.len() < turn_end
            && let Some((to, packet)) = self.pop_packet(now.instant)
        {
            // Once for all packets that follow each other.
            if let Some(last) = last.replace(to).filter(|last| *last != to) {
                self.follow_sealed(last, now, rng);
            }
            let packet = self.gather(to, packet, turn_end - out.len(), now.instant);
            self.seal_packet(to, packet, out, now.instant);
        }
        if let Some(last) = last {
            self.follow_sealed(last, now, rng);
        }
    }

    /// Makes one packet of datagrams that wait behind each other, where the peer takes that: for it, too,
    /// one is less work than many. Nothing waits for others to come, and none is begun with beyond
    /// `max_len` bytes.
    fn gather(&mut self, to: Vip, first: Packet, max_len: usize, now: Instant) -> Packet {
        let takes = |peer: &Peer| peer.version() == Some(Version::Two) && peer.v2.takes().udp;
        let pass = self.endpoint.super_packets().udp && self.peers.get(&to).is_some_and(takes);
        if !pass || !first.may_be_gathered() {
            return first;
        }
        let Some(next) = self.pop_of_flow(to, &first, now) else { return first };
        let mut gro = UdpGro::new(self.buffers.take_large());
        let mut waiting = Some(next);
        let is_begun = gro.push(first.buffer.content(), first.offload) == Pushed::Merged;
        while is_begun && let Some(next) = waiting.take() {
            if gro.len() >= max_len
                || gro.push(next.buffer.content(), next.offload) == Pushed::Flush
            {
                waiting = Some(next);
                break;
            }
            self.recycle(next.buffer);
            waiting = self.pop_of_flow(to, &first, now);
        }
        if let Some(next) = waiting {
            self.hold(to, next);
        }
        match gro.finish() {
            Ok((offload, buffer)) => {
                self.recycle(first.buffer);
                Packet { flow: first.flow, offload, buffer }
            }
            Err(buffer) => {
                self.recycle(buffer);
                first
            }
        }
    }

    fn follow_sealed(&mut self, to: Vip, now: Now, rng: &mut impl CryptoRng) {
        self.follow_tunnel(to, now, rng);
        self.schedule(to, now, rng);
    }

    fn seal_packet(&mut self, to: Vip, mut packet: Packet, out: &mut Batch, now: Instant) {
        let Some(peer) = self.peers.get(&to) else { return self.recycle(packet.buffer) };
        let offload = packet.offload;
        match peer.version() {
            // The tunnel has ended; what waits goes into the next one.
            None => self.push_packet(to, packet, now),
            Some(Version::One) if self.config.version1 != Version1::All => {
                let refusal = Refusal::Version1Only;
                let why = MessageFailure::Refused(refusal.clone());
                self.fail_packet(to, packet, &why, DropReason::Version1, now);
                self.say_refusal(to, refusal);
            }
            Some(Version::Two) if offload.may_cross(peer.v2.takes()) => {
                packet.buffer.prepend(&offload.header().to_wire());
                self.seal_whole(to, Kind::SuperPacket, packet, out, now);
            }
            Some(_) => match offload {
                Offload::Plain => self.seal_whole(to, Kind::Packet, packet, out, now),
                Offload::PartialChecksum(_) => {
                    offload.complete_checksum(packet.buffer.content_mut());
                    packet.offload = Offload::Plain;
                    self.seal_whole(to, Kind::Packet, packet, out, now);
                }
                Offload::SuperPacket(super_packet) => {
                    self.seal_segments(to, super_packet, packet, out, now);
                }
            },
        }
    }

    /// Seals a packet as one frame, in its own buffer.
    fn seal_whole(&mut self, to: Vip, kind: Kind, packet: Packet, out: &mut Batch, now: Instant) {
        let Packet { flow, offload, mut buffer } = packet;
        if self.seal_frame(to, kind, flow, &mut buffer, now) {
            return out.push(buffer);
        }
        if kind == Kind::SuperPacket {
            buffer.advance(VNET_HEADER_LEN);
        }
        self.push_packet(to, Packet { flow, offload, buffer }, now);
    }

    /// Seals every segment of a super-packet as a frame. Should the tunnel end in between, the others are
    /// lost, as packets may be; should it have ended before, the packet waits for the next one.
    fn seal_segments(
        &mut self,
        to: Vip,
        super_packet: SuperPacket,
        packet: Packet,
        out: &mut Batch,
        now: Instant,
    ) {
        let mut segments = Segments::new(super_packet, packet.buffer.content());
        let mut num_sealed = 0;
        let mut buffer = self.buffers.take(super_packet.segment_len());
        while segments.next_into(&mut buffer) {
            if !self.seal_frame(to, Kind::Packet, packet.flow, &mut buffer, now) {
                self.recycle(buffer);
                if num_sealed == 0 {
                    return self.push_packet(to, packet, now);
                }
                self.count_peer_drop(to, DropReason::Unreachable);
                return self.recycle(packet.buffer);
            }
            num_sealed += 1;
            let next = self.buffers.take(super_packet.segment_len());
            out.push(std::mem::replace(&mut buffer, next));
        }
        self.recycle(buffer);
        self.recycle(packet.buffer);
    }

    fn seal_frame(
        &mut self,
        to: Vip,
        kind: Kind,
        flow: FlowId,
        buffer: &mut PacketBuf,
        now: Instant,
    ) -> bool {
        let (Some(peer), Some(overlay)) = (self.peers.get_mut(&to), self.overlay) else {
            return false;
        };
        peer.seal(kind, Some(flow), buffer, (to, overlay.vip), now)
    }
}
