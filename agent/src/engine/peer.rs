//! One other agent: its tunnels, and what waits to be sealed for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dosp_proto::Now;
use dosp_proto::buffer::PacketBuf;
use dosp_proto::frame;
use dosp_proto::identity::PublicKey;
use dosp_proto::limit::TokenBucket;
use dosp_proto::packet::FlowId;
use dosp_proto::tunnel::v1::{ReceiveError, Received};
use dosp_proto::tunnel::v2::Kind;
use dosp_proto::tunnel::{v1, v2};
use dosp_proto::vip::Vip;
use rand::CryptoRng;

use super::packets::Packet;
use super::{Drops, Refusal, Ticket};

/// So many packets wait while there is no tunnel; a newer one takes the place of the oldest.
const MAX_STAGED: usize = 64;
/// Raw messages are never dropped, so their senders are told when so many bytes wait.
const MAX_MESSAGES_LEN: usize = 4 * 1024 * 1024;
/// An opening that carried both versions and was answered in version 1 waits so long for version 2.
const VERSION_2_MAY_ANSWER_FOR: Duration = Duration::from_secs(2);
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

/// What waits to be sealed, and is never dropped.
#[derive(Debug)]
pub(super) enum Item {
    /// A raw message.
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
            Self::Message(_, buffer) | Self::Echo(_, buffer) | Self::Word(buffer) => buffer.len(),
            Self::Tunnel(_) => 0,
        }
    }

    /// Who is to be told of its fate.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Message(ticket, _) | Self::Echo(ticket, _) | Self::Tunnel(ticket) => {
                Some(*ticket)
            }
            Self::Word(_) => None,
        }
    }
}

/// Frames and their bytes of DATA, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Frames that came.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames that went.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
}

impl Traffic {
    /// Counts a frame that went, with `len` bytes of DATA.
    pub(super) fn add_sent(&mut self, len: usize) {
        self.tx_frames += 1;
        self.tx_bytes += len as u64;
    }

    /// Counts one that came.
    pub(super) fn add_received(&mut self, len: usize) {
        self.rx_frames += 1;
        self.rx_bytes += len as u64;
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            rx_frames: self.rx_frames + other.rx_frames,
            rx_bytes: self.rx_bytes + other.rx_bytes,
            tx_frames: self.tx_frames + other.tx_frames,
            tx_bytes: self.tx_bytes + other.tx_bytes,
        }
    }
}

/// Everything that is known about one vIP.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) v1: v1::Tunnel,
    pub(super) v2: v2::Tunnel,
    /// Before this, an answer of version 2 may still come to an opening that was answered in
    /// version 1: nothing is sent in that tunnel yet.
    pub(super) v1_usable_at: Option<Instant>,
    items: VecDeque<Item>,
    items_len: usize,
    /// Packets that wait for a tunnel.
    staged: VecDeque<Packet>,
    /// Bytes of packets that wait for the link, in the queue that all peers share.
    pub(super) queued_len: usize,
    /// Whether it stands in the engine's round.
    pub(super) in_round: bool,
    pub(super) traffic: Traffic,
    pub(super) drops: Drops,
    /// How long the last echo took.
    pub(super) rtt: Option<Duration>,
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

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            v1: v1::Tunnel::default(),
            v2: v2::Tunnel::default(),
            v1_usable_at: None,
            items: VecDeque::new(),
            items_len: 0,
            staged: VecDeque::new(),
            queued_len: 0,
            in_round: false,
            traffic: Traffic::default(),
            drops: Drops::default(),
            rtt: None,
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

    /// Hands DATA to the tunnel of version 1, and tells whether that is open by it.
    pub(super) fn handle_version_1<'b>(
        &mut self,
        data: &'b mut [u8],
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> (Result<Received<'b>, ReceiveError>, bool) {
        let was_open = self.v1.is_open();
        let received = self.v1.handle_data(data, now, rng);
        let opened = self.v1.is_open() && !was_open;
        if opened {
            self.refusal = None;
            if self.v2.opening_since().is_some() {
                let usable_at = now.instant + VERSION_2_MAY_ANSWER_FOR;
                self.v1_usable_at = Some(usable_at);
                self.v2.pause_opening(usable_at + VERSION_2_MAY_ANSWER_FOR);
            }
        }
        (received, opened)
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
            self.traffic.add_sent(buffer.len());
            frame::prepend_s2c(buffer, dst, src);
        }
        sealed
    }

    /// Keeps a packet until there is a tunnel; returns the oldest one, where that gives way to it.
    pub(super) fn stage(&mut self, packet: Packet) -> Option<Packet> {
        self.staged.push_back(packet);
        (self.staged.len() > MAX_STAGED).then(|| self.staged.pop_front()).flatten()
    }

    pub(super) fn unstage(&mut self) -> Option<Packet> {
        self.staged.pop_front()
    }

    pub(super) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Takes what is no IP packet; `false` where too much waits.
    pub(super) fn push(&mut self, item: Item) -> bool {
        if self.items_len + item.len() > MAX_MESSAGES_LEN && self.items_len > 0 {
            return false;
        }
        self.items_len += item.len();
        self.items.push_back(item);
        true
    }

    /// Back to the front: it could not be sealed after all.
    pub(super) fn unpop(&mut self, item: Item) {
        self.items_len += item.len();
        self.items.push_front(item);
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.items_len -= item.len();
        Some(item)
    }

    /// Whether nothing waits for a tunnel or for its turn in one.
    pub(super) fn is_idle(&self) -> bool {
        self.items.is_empty() && self.staged.is_empty() && self.queued_len == 0
    }

    pub(super) fn has_items(&self) -> bool {
        !self.items.is_empty()
    }

    /// Packets that wait for a tunnel.
    pub(super) fn num_staged(&self) -> usize {
        self.staged.len()
    }

    /// Bytes that wait.
    pub(super) fn waiting_len(&self) -> usize {
        let staged: usize = self.staged.iter().map(Packet::len).sum();
        self.items_len + staged + self.queued_len
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
