//! IP packets on their way to peers. They wait unsealed, where they may be dropped without harm to a
//! tunnel: staged until there is one, then in fair queues until the link takes more.

use std::collections::BTreeMap;
use std::time::Instant;

use dosp_proto::buffer::PacketBuf;
use dosp_proto::offload::Offload;
use dosp_proto::packet::{FlowId, UDP};
use dosp_proto::vip::Vip;
use dosp_transport::fq_codel::{self, Dropped, FlowKey, FqCodel, Law};

use super::buffers::Buffers;
use super::peer::Peer;
use super::{DropReason, Drops, Engine, QueueReport};

/// Bytes of memory that packets wait in for the link: 64 super-packets, which is 4 ms at 8 Gbit/s. The
/// delay is kept far below that; this is against senders that do not adapt.
const MAX_QUEUED_LEN: usize = 4 * 1024 * 1024;
/// Bytes of memory that packets wait in for tunnels, of all peers.
const MAX_STAGED_LEN: usize = 8 * 1024 * 1024;

/// An IP packet of the local host.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) flow: FlowId,
    /// What its sender left to be done.
    pub(super) offload: Offload,
    pub(super) buffer: PacketBuf,
}

impl Packet {
    /// Its length in bytes.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether it is a small datagram: large ones are hardly less work when they are one.
    pub(super) fn may_be_gathered(&self) -> bool {
        self.flow.protocol() == UDP && !matches!(self.offload, Offload::SuperPacket(_))
    }

    /// The memory that it waits in, in bytes.
    fn cost(&self) -> usize {
        self.buffer.room()
    }

    /// Every conversation with a peer has a queue of its own, and every peer the same share.
    fn key(&self, to: Vip) -> FlowKey {
        let [.., protocol, p, q, r, s] = *self.flow.as_bytes();
        let flow = u64::from_be_bytes([0, 0, 0, protocol, p, q, r, s]);
        FlowKey { host: to.into(), flow }
    }
}

/// Packets for all peers with a tunnel.
#[derive(Debug)]
pub(super) struct PacketQueue {
    fair: FqCodel<(Vip, Packet)>,
    /// The next one, which was looked at.
    held: Option<(Vip, Packet)>,
    /// Memory of the packets that are staged, in bytes.
    staged_len: usize,
}

impl PacketQueue {
    pub(super) fn new() -> Self {
        let config = fq_codel::Config { max_len: MAX_QUEUED_LEN, ..fq_codel::Config::default() };
        Self { fair: FqCodel::new(config), held: None, staged_len: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fair.is_empty() && self.held.is_none()
    }

    /// What waits, but for the number of staged packets, which their peers have.
    pub(super) fn report(&self, num_staged: usize) -> QueueReport {
        QueueReport {
            num_queued: self.fair.num_items() + usize::from(self.held.is_some()),
            queued_len: self.fair.len() + self.held.as_ref().map_or(0, |(_, held)| held.cost()),
            num_flows: self.fair.num_flows(),
            max_len: MAX_QUEUED_LEN,
            target: self.fair.law().target,
            num_staged,
            staged_len: self.staged_len,
        }
    }
}

/// Where packets end that are not sent.
struct Bin<'e> {
    peers: &'e mut BTreeMap<Vip, Peer>,
    drops: &'e mut Drops,
    buffers: &'e mut Buffers,
}

impl Bin<'_> {
    /// Drops what has waited in the queue.
    fn drop_queued(&mut self, (to, packet): (Vip, Packet), why: Dropped) {
        let reason = match why {
            Dropped::Delay => DropReason::QueueDelay,
            Dropped::Overflow => DropReason::QueueFull,
        };
        self.drops.add(reason);
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.drops.add(reason);
            peer.queued_len -= packet.len();
        }
        self.buffers.put(packet.buffer);
    }
}

impl Engine {
    fn split(&mut self) -> (&mut PacketQueue, Bin<'_>) {
        let Self { packets, peers, drops, buffers, .. } = self;
        (packets, Bin { peers, drops, buffers })
    }

    /// Keeps a packet for a peer that is known: for its turn where there is a tunnel, else for that.
    pub(super) fn push_packet(&mut self, to: Vip, packet: Packet, now: Instant) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if peer.version().is_none() || !self.linked {
            return self.stage(to, packet);
        }
        peer.queued_len += packet.len();
        let (key, cost) = (packet.key(to), packet.cost());
        let (queue, mut bin) = self.split();
        queue.fair.push(key, (to, packet), cost, now, |packet, why| bin.drop_queued(packet, why));
    }

    fn stage(&mut self, to: Vip, packet: Packet) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        self.packets.staged_len += packet.cost();
        let displaced = peer.stage(packet);
        let displaced = displaced.or_else(|| {
            (self.packets.staged_len > MAX_STAGED_LEN).then(|| peer.unstage()).flatten()
        });
        if let Some(displaced) = displaced {
            self.packets.staged_len -= displaced.cost();
            self.count_peer_drop(to, DropReason::StagedTooMany);
            self.recycle(displaced.buffer);
        }
    }

    /// The packet that has waited longest for a tunnel with `to`.
    pub(super) fn unstage(&mut self, to: Vip) -> Option<Packet> {
        let packet = self.peers.get_mut(&to)?.unstage()?;
        self.packets.staged_len -= packet.cost();
        Some(packet)
    }

    /// There is a tunnel: what waited for it waits for its turn now.
    pub(super) fn queue_staged(&mut self, to: Vip, now: Instant) {
        while let Some(packet) = self.unstage(to) {
            self.push_packet(to, packet, now);
        }
    }

    /// There is no link: what waited for its turn waits for a tunnel again.
    pub(super) fn stage_queued(&mut self) {
        let held = self.packets.held.take();
        let queued: Vec<_> = held.into_iter().chain(self.packets.fair.drain()).collect();
        for (to, packet) in queued {
            if let Some(peer) = self.peers.get_mut(&to) {
                peer.queued_len -= packet.len();
            }
            self.stage(to, packet);
        }
    }

    /// The next packet whose turn it is.
    pub(super) fn pop_packet(&mut self, now: Instant) -> Option<(Vip, Packet)> {
        let (queue, mut bin) = self.split();
        let held = queue.held.take();
        let (to, packet) =
            held.or_else(|| queue.fair.pop(now, |packet, why| bin.drop_queued(packet, why)))?;
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.queued_len -= packet.len();
        }
        Some((to, packet))
    }

    /// The next packet, if it goes on where `before` ended.
    pub(super) fn pop_of_flow(&mut self, to: Vip, before: &Packet, now: Instant) -> Option<Packet> {
        let (next_to, next) = self.pop_packet(now)?;
        if next_to == to && next.flow == before.flow && next.may_be_gathered() {
            return Some(next);
        }
        self.hold(next_to, next);
        None
    }

    /// Puts the packet back whose turn it was.
    pub(super) fn hold(&mut self, to: Vip, packet: Packet) {
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.queued_len += packet.len();
        }
        self.packets.held = Some((to, packet));
    }

    /// Says how long packets may wait for a link that is as slow as it is.
    pub fn set_queue_law(&mut self, law: Law) {
        self.packets.fair.set_law(law);
    }
}
