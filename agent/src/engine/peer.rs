//! One other agent: its tunnel, and what waits to be sealed for it.

use std::collections::VecDeque;
use std::time::Instant;

use dosp_proto::buffer::PacketBuf;
use dosp_proto::frame;
use dosp_proto::tunnel::v1::Tunnel;
use dosp_proto::vip::Vip;

use super::{Refusal, Ticket};

/// So much waits for a peer whose tunnel is open, in bytes: 20 ms at 100 Mbit/s. More would only
/// be delay, which the senders' own congestion control is to see as loss.
const MAX_QUEUED_LEN: usize = 256 * 1024;
/// So many packets wait while there is no tunnel; a newer one takes the place of the oldest.
const MAX_STAGED: usize = 64;
/// Raw messages are never dropped, so their senders are told when so many bytes wait.
const MAX_MESSAGES_LEN: usize = 4 * 1024 * 1024;

/// What waits to be sealed.
#[derive(Debug)]
pub(super) enum Item {
    /// An IP packet, which may be dropped.
    Packet(PacketBuf),
    /// A raw message, which may not.
    Message(Ticket, PacketBuf),
}

impl Item {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Packet(buffer) | Self::Message(_, buffer) => buffer.len(),
        }
    }
}

/// Frames and their bytes of DATA, both ways.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) rx_frames: u64,
    pub(super) rx_bytes: u64,
    pub(super) tx_frames: u64,
    pub(super) tx_bytes: u64,
}

/// Everything that is known about one vIP.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) tunnel: Tunnel,
    queue: VecDeque<Item>,
    packets_len: usize,
    messages_len: usize,
    /// Whether it stands in the engine's round.
    pub(super) in_round: bool,
    pub(super) traffic: Traffic,
    /// When an IP packet was last taken for it: what opens raised shields.
    pub(super) addressed_at: Option<Instant>,
    /// When a frame of it, or something for it, last came.
    pub(super) seen_at: Instant,
    /// When whatever waits is given back, because an opening has no answer.
    pub(super) no_answer_at: Option<Instant>,
    /// The last refusal, until a tunnel is open.
    pub(super) refusal: Option<Refusal>,
}

/// The outcome of [`Peer::push_packet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    /// Queued, and the oldest packet gave way.
    Displaced,
    Full,
}

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tunnel: Tunnel::default(),
            queue: VecDeque::new(),
            packets_len: 0,
            messages_len: 0,
            in_round: false,
            traffic: Traffic::default(),
            addressed_at: None,
            seen_at: now,
            no_answer_at: None,
            refusal: None,
        }
    }

    pub(super) fn push_packet(&mut self, packet: PacketBuf) -> Pushed {
        let mut outcome = Pushed::Queued;
        if self.tunnel.is_open() {
            if self.packets_len + packet.len() > MAX_QUEUED_LEN {
                return Pushed::Full;
            }
        } else if self.trim_staged(MAX_STAGED - 1) > 0 {
            outcome = Pushed::Displaced;
        }
        self.packets_len += packet.len();
        self.queue.push_back(Item::Packet(packet));
        outcome
    }

    /// `false` where too many wait.
    pub(super) fn push_message(&mut self, ticket: Ticket, message: &[u8]) -> bool {
        if self.messages_len + message.len() > MAX_MESSAGES_LEN && self.messages_len > 0 {
            return false;
        }
        self.messages_len += message.len();
        self.queue.push_back(Item::Message(ticket, PacketBuf::from(message)));
        true
    }

    /// Back to the front: it could not be sealed after all.
    pub(super) fn unpop(&mut self, item: Item) {
        *self.waiting_len(&item) += item.len();
        self.queue.push_front(item);
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        let len = item.len();
        let waiting = self.waiting_len(&item);
        *waiting = waiting.saturating_sub(len);
        Some(item)
    }

    /// Seals the content of `buffer` and makes it a frame, where it is; `false`, and nothing is done,
    /// where there is no tunnel.
    pub(super) fn seal(&mut self, buffer: &mut PacketBuf, (dst, src): (Vip, Vip)) -> bool {
        if !self.tunnel.seal(buffer).unwrap_or_default() {
            return false;
        }
        self.traffic.tx_frames += 1;
        self.traffic.tx_bytes += buffer.len() as u64;
        frame::prepend_s2c(buffer, dst, src);
        true
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait.
    pub(super) fn queued_len(&self) -> usize {
        self.packets_len + self.messages_len
    }

    /// Drops the oldest packets until at most so many are left; returns how many went.
    pub(super) fn trim(&mut self) -> usize {
        self.trim_staged(MAX_STAGED)
    }

    fn trim_staged(&mut self, max_packets: usize) -> usize {
        let packets = self.queue.iter().filter(|item| matches!(item, Item::Packet(_))).count();
        let mut excess = packets.saturating_sub(max_packets);
        let trimmed = excess;
        self.queue.retain(|item| match item {
            Item::Packet(packet) if excess > 0 => {
                excess -= 1;
                self.packets_len -= packet.len();
                false
            }
            Item::Packet(_) | Item::Message(..) => true,
        });
        trimmed
    }

    fn waiting_len(&mut self, item: &Item) -> &mut usize {
        match item {
            Item::Packet(_) => &mut self.packets_len,
            Item::Message(..) => &mut self.messages_len,
        }
    }
}
