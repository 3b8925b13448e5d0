//! One connection with another hub, whoever dialled it.
//!
//! ```text
//! dial ─ greeting ─ handshake ─┐                     ┌─▶ Target::Client   S2C
//!                              ├─▶ reader: Forwarded ┤
//! session ─ handshake or SD ───┘                     └─▶ Target::Hub      FWD, or S2C to a published hub
//! ```
//!
//! Between hubs of ours control travels sealed; a published hub is known by its address alone.
//! Unlike a client's, a link's reader never waits long for one destination: others are behind it.

mod accept;
mod dial;
mod pulse;
mod reader;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dosp_proto::federation::HubId;
use dosp_proto::frame::S2C_ADDRESSES_LEN;
use dosp_proto::member::{Control, Sealer};
use dosp_proto::vip::{Network, Vip};

use crate::federation::table::{PeerId, Sources};
use crate::hub::FrameCounters;
use crate::queue::Outbox;
pub(crate) use accept::{Arrival, Connection, Proof, run_accepted};
pub(crate) use dial::keep_dialling;
use pulse::Pulse;

/// How frames travel on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As FWD, and control sealed in XCTL: a hub of ours.
    Forwarded,
    /// As S2C, and routes as SD: a published hub.
    Plain,
}

/// Who a link leads to, and how it came to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) peer: PeerId,
    /// What the other hub is called in paths.
    pub(crate) hub: HubId,
    pub(crate) addr: SocketAddr,
    pub(crate) is_dialled: bool,
}

/// What has gone over a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Frames from the other hub.
    pub(crate) rx: u64,
    /// Frames to it.
    pub(crate) tx: u64,
    /// Bytes of the frames from it.
    pub(crate) rx_bytes: u64,
    /// Bytes of those to it.
    pub(crate) tx_bytes: u64,
    /// Frames from it, and not passed on.
    pub(crate) dropped: u64,
}

impl Traffic {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            rx: self.rx + other.rx,
            tx: self.tx + other.tx,
            rx_bytes: self.rx_bytes + other.rx_bytes,
            tx_bytes: self.tx_bytes + other.tx_bytes,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// The way to the hub at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) origin: Origin,
    /// The other hub's network.
    pub(crate) network: Network,
    sources: Sources,
    pub(crate) framing: Framing,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) counters: Arc<FrameCounters>,
    pub(crate) up_since: Instant,
    /// Frames that came by it and were not passed on.
    num_dropped: AtomicU64,
    /// Locked until what it sealed is queued, so that the order is kept.
    sealer: Mutex<Option<Sealer>>,
    /// The longest LENGTH of S2C that the other hub takes; none until it has said so.
    max_frame_len: AtomicUsize,
    pulse: Mutex<Pulse>,
}

impl Link {
    /// A link to a hub of ours, or without a `sealer` to a published one.
    pub(crate) fn new(
        origin: Origin,
        (network, sources): (Network, Sources),
        sealer: Option<Sealer>,
        (outbox, counters): (Arc<Outbox>, Arc<FrameCounters>),
        now: Instant,
    ) -> Self {
        let framing = if sealer.is_some() { Framing::Forwarded } else { Framing::Plain };
        let max_frame_len = if sealer.is_some() { 0 } else { usize::MAX };
        Self {
            origin,
            network,
            sources,
            framing,
            outbox,
            counters,
            up_since: now,
            num_dropped: AtomicU64::new(0),
            sealer: Mutex::new(sealer),
            max_frame_len: AtomicUsize::new(max_frame_len),
            pulse: Mutex::new(Pulse::new(now)),
        }
    }

    /// Says something to a hub of ours; a published one does not hear it. `false` where there is no room:
    /// who does not read is told nothing, however slowly it does not.
    pub(crate) fn say(&self, word: &Control) -> bool {
        let has_room = self.outbox.has_room();
        if has_room {
            self.say_encoded(&word.encode());
        }
        has_room
    }

    /// As above, for a word that is encoded, room or not.
    pub(crate) fn say_encoded(&self, word: &[u8]) {
        let mut sealer = self.sealer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sealer) = &mut *sealer {
            let mut frame = Vec::new();
            sealer.seal_encoded(word, &mut frame);
            self.outbox.reply(&frame, 1, || {});
        }
    }

    /// Says a frame to a published hub; `false` where there is no room.
    pub(crate) fn say_plainly(&self, frame: &[u8]) -> bool {
        let has_room = self.outbox.has_room();
        if has_room {
            self.outbox.reply(frame, 1, || {});
        }
        has_room
    }

    /// Whether frames from `vip` may come by it. Those of our own clients never do.
    pub(crate) fn may_speak(&self, vip: Vip) -> bool {
        self.sources.hold(vip)
    }

    /// Takes the place of another link with the same hub.
    pub(crate) fn inherit(&self, other: &Self) {
        let len = other.max_frame_len.load(Ordering::Relaxed);
        self.max_frame_len.fetch_max(len, Ordering::Relaxed);
    }

    /// The longest DATA that the other hub takes.
    pub(crate) fn max_data_len(&self) -> usize {
        self.max_frame_len.load(Ordering::Relaxed).saturating_sub(S2C_ADDRESSES_LEN)
    }

    /// Whether the other hub has taken this one for a peer: it has said what it takes.
    pub(crate) fn is_up(&self) -> bool {
        self.max_frame_len.load(Ordering::Relaxed) > 0
    }

    /// The other hub has said which frames it takes, be it none with anything in them.
    pub(crate) fn set_max_frame_len(&self, len: u32) {
        self.max_frame_len.store(len.max(1) as usize, Ordering::Relaxed);
    }

    /// The time that a word took there and back, last measured.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.pulse().rtt()
    }

    /// What has gone over it.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            rx: self.counters.rx.load(Ordering::Relaxed),
            tx: self.counters.tx.load(Ordering::Relaxed),
            rx_bytes: self.counters.rx_bytes.load(Ordering::Relaxed),
            tx_bytes: self.counters.tx_bytes.load(Ordering::Relaxed),
            dropped: self.num_dropped.load(Ordering::Relaxed),
        }
    }

    fn count_drop(&self) {
        self.num_dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn pulse(&self) -> std::sync::MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
