//! A tunnel whose keys both sides can derive, in one order of the session ids or in both.

use std::time::{Duration, Instant};

use super::hello::Hello;
use super::session::{Exhausted, Session};
use crate::buffer::PacketBuf;

/// A hello that comes again is met with ours at most so often …
pub(super) const MAX_REPEATS: u8 = 8;
/// … and not faster than this: two sides that repeat to each other must come to an end.
const REPEAT_INTERVAL: Duration = Duration::from_millis(500);

/// Keys that both sides can derive.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) ours: Hello,
    pub(super) theirs: Hello,
    /// The order in which we send until a frame in the other one verifies.
    pub(super) session: Session,
    /// The order "theirs first", where our opening may have crossed theirs.
    pub(super) crossed: Option<Session>,
    /// Whether we send in `crossed`.
    pub(super) send_crossed: bool,
    /// Whether a frame verified: the peer has the keys and needs no repeated hello.
    pub(super) confirmed: bool,
    pub(super) repeats_left: u8,
    pub(super) repeat_at: Instant,
}

impl Established {
    pub(super) fn new(
        ours: Hello,
        theirs: Hello,
        session: Session,
        crossed: Option<Session>,
        now: Instant,
    ) -> Self {
        Self {
            ours,
            theirs,
            session,
            crossed,
            send_crossed: false,
            confirmed: false,
            repeats_left: MAX_REPEATS,
            repeat_at: now + REPEAT_INTERVAL,
        }
    }

    pub(super) fn seal(&mut self, buffer: &mut PacketBuf) -> Result<(), Exhausted> {
        let session = match &mut self.crossed {
            Some(crossed) if self.send_crossed => crossed,
            _ => &mut self.session,
        };
        session.seal(buffer)
    }

    /// Our hello once more, where the peer seems not to have got it.
    pub(super) fn repeat(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.confirmed || self.repeats_left == 0 || now < self.repeat_at {
            return None;
        }
        self.repeats_left -= 1;
        self.repeat_at = now + REPEAT_INTERVAL;
        Some(self.ours.encode().to_vec())
    }
}
