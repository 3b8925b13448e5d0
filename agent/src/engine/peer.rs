//! One other agent: its tunnels, and what waits to be sealed for it.

use std::collections::VecDeque;
use std::time::Instant;

use dosp_proto::Now;
use dosp_proto::buffer::PacketBuf;
use dosp_proto::frame;
use dosp_proto::identity::PublicKey;
use dosp_proto::limit::TokenBucket;
use dosp_proto::packet::FlowId;
use dosp_proto::tunnel::v2::Kind;
use dosp_proto::tunnel::{v1, v2};
use dosp_proto::vip::Vip;
use rand::CryptoRng;

use super::{Drops, Refusal, Ticket};

/// So much waits for a peer whose tunnel is open, in bytes: 20 ms at 100 Mbit/s. More would only
/// be delay, which the senders' own congestion control is to see as loss.
const MAX_QUEUED_LEN: usize = 256 * 1024;
/// So many packets wait while there is no tunnel; a newer one takes the place of the oldest.
const MAX_STAGED: usize = 64;
/// Raw messages are never dropped, so their senders are told when so many bytes wait.
const MAX_MESSAGES_LEN: usize = 4 * 1024 * 1024;
/// Echoes of a peer that are answered, per second and at once.
const ECHOES_PER_SECOND: u32 = 200;
/// Refusals that a peer is sent, per second and at once.
const REFUSALS_PER_SECOND: u32 = 5;

/// The version of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// DoSP's own, which does not know who the peer is.
    One,
    /// The authenticated one.
    Two,
}

/// What waits to be sealed.
#[derive(Debug)]
pub(super) enum Item {
    /// An IP packet, which may be dropped.
    Packet(FlowId, PacketBuf),
    /// A raw message, which may not.
    Message(Ticket, PacketBuf),
    /// A request for a sign of life, which names its ticket.
    Echo(Ticket, PacketBuf),
    /// A word of the agent itself, that nobody waits for.
    Word(PacketBuf),
    /// Nothing but the wish to know the tunnel.
    Tunnel(Ticket),
}

impl Item {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Packet(_, buffer)
            | Self::Message(_, buffer)
            | Self::Echo(_, buffer)
            | Self::Word(buffer) => buffer.len(),
            Self::Tunnel(_) => 0,
        }
    }

    /// Who is to be told of its fate.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Message(ticket, _) | Self::Echo(ticket, _) | Self::Tunnel(ticket) => {
                Some(*ticket)
            }
            Self::Packet(..) | Self::Word(_) => None,
        }
    }

    fn is_packet(&self) -> bool {
        matches!(self, Self::Packet(..))
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
    pub(super) v1: v1::Tunnel,
    pub(super) v2: v2::Tunnel,
    /// Before this, an answer of version 2 may still come to an opening that was answered in
    /// version 1: nothing is sent in that tunnel yet.
    pub(super) v1_usable_at: Option<Instant>,
    queue: VecDeque<Item>,
    packets_len: usize,
    messages_len: usize,
    /// Whether it stands in the engine's round.
    pub(super) in_round: bool,
    pub(super) traffic: Traffic,
    pub(super) drops: Drops,
    /// When an IP packet was last taken for it: what opens raised shields.
    pub(super) addressed_at: Option<Instant>,
    /// When a frame of it, or something for it, last came.
    pub(super) seen_at: Instant,
    /// When whatever waits is given back, because an opening has no answer.
    pub(super) no_answer_at: Option<Instant>,
    /// The last refusal, until a tunnel is open.
    pub(super) refusal: Option<Refusal>,
    /// When it last sent a frame of a session that is not there, and was opened to.
    pub(super) lost_session_at: Option<Instant>,
    /// The key that went from here to another vIP, and when.
    pub(super) left: Option<(PublicKey, Instant)>,
    pub(super) echoes: TokenBucket,
    pub(super) refusals: TokenBucket,
    /// When the engine looks at it for its timers.
    pub(super) timer_at: Option<Instant>,
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
            v1: v1::Tunnel::default(),
            v2: v2::Tunnel::default(),
            v1_usable_at: None,
            queue: VecDeque::new(),
            packets_len: 0,
            messages_len: 0,
            in_round: false,
            traffic: Traffic::default(),
            drops: Drops::default(),
            addressed_at: None,
            seen_at: now,
            no_answer_at: None,
            refusal: None,
            lost_session_at: None,
            left: None,
            echoes: TokenBucket::new(ECHOES_PER_SECOND, ECHOES_PER_SECOND),
            refusals: TokenBucket::new(REFUSALS_PER_SECOND, REFUSALS_PER_SECOND),
            timer_at: None,
        }
    }

    /// The tunnel that something sent now goes into.
    pub(super) fn version(&self) -> Option<Version> {
        if self.v2.is_open() {
            Some(Version::Two)
        } else {
            (self.v1.is_open() && self.v1_usable_at.is_none()).then_some(Version::One)
        }
    }

    /// Whether an opening of ours has no answer yet.
    pub(super) fn is_opening(&self) -> bool {
        self.v1.opening_since().is_some() || self.v2.opening_since().is_some()
    }

    /// When anything of the peer last verified.
    pub(super) fn verified_at(&self) -> Option<Instant> {
        self.v1.verified_at().max(self.v2.verified_at())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let tunnels = [self.v1.poll_timeout(), self.v2.poll_timeout()];
        let own = [self.no_answer_at, self.v1_usable_at];
        tunnels.into_iter().chain(own).flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        self.v1.handle_timeout(now, rng);
        self.v2.handle_timeout(now, rng);
        if self.v2.opening_since().is_none() {
            self.v1.withdraw();
        }
    }

    /// The next DATA of the tunnels themselves.
    pub(super) fn poll_data(&mut self) -> Option<Vec<u8>> {
        self.v2.poll_data().or_else(|| self.v1.poll_data())
    }

    /// Forgets the tunnel of version 1, open or not.
    pub(super) fn end_version_1(&mut self) {
        self.v1.discard();
        self.v1_usable_at = None;
    }

    /// Seals the content of `buffer` and makes it a frame, where it is; `false`, and nothing is done,
    /// where there is no tunnel.
    pub(super) fn seal(
        &mut self,
        kind: Kind,
        flow: Option<FlowId>,
        buffer: &mut PacketBuf,
        (dst, src): (Vip, Vip),
        now: Instant,
    ) -> bool {
        let sealed = match self.version() {
            Some(Version::Two) => self.v2.seal(kind, flow, buffer, now),
            Some(Version::One) => self.v1.seal(buffer).unwrap_or_default(),
            None => false,
        };
        if sealed {
            self.traffic.tx_frames += 1;
            self.traffic.tx_bytes += buffer.len() as u64;
            frame::prepend_s2c(buffer, dst, src);
        }
        sealed
    }

    pub(super) fn push_packet(&mut self, flow: FlowId, packet: PacketBuf) -> Pushed {
        let mut outcome = Pushed::Queued;
        if self.version().is_some() {
            if self.packets_len + packet.len() > MAX_QUEUED_LEN {
                return Pushed::Full;
            }
        } else if self.trim_staged(MAX_STAGED - 1) > 0 {
            outcome = Pushed::Displaced;
        }
        self.push(Item::Packet(flow, packet));
        outcome
    }

    /// Takes what is no IP packet; `false` where too much waits.
    pub(super) fn push_message(&mut self, item: Item) -> bool {
        if self.messages_len + item.len() > MAX_MESSAGES_LEN && self.messages_len > 0 {
            return false;
        }
        self.push(item);
        true
    }

    fn push(&mut self, item: Item) {
        *self.waiting_len(&item) += item.len();
        self.queue.push_back(item);
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
        let packets = self.queue.iter().filter(|item| item.is_packet()).count();
        let mut excess = packets.saturating_sub(max_packets);
        let trimmed = excess;
        self.queue.retain(|item| {
            let goes = item.is_packet() && excess > 0;
            if goes {
                excess -= 1;
                self.packets_len -= item.len();
            }
            !goes
        });
        trimmed
    }

    fn waiting_len(&mut self, item: &Item) -> &mut usize {
        if item.is_packet() { &mut self.packets_len } else { &mut self.messages_len }
    }
}

/// A hello that a message of version 2 rides behind: one that opens version 1 too, where that is
/// allowed.
pub(super) fn hello(
    peer: &mut Peer,
    offers_v1: bool,
    now: Now,
    rng: &mut impl CryptoRng,
) -> [u8; v1::HELLO_LEN] {
    if offers_v1 { peer.v1.offer(now, rng) } else { v1::throwaway_hello(now.unix_time, rng) }
}
