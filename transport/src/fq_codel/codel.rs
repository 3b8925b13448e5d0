//! CoDel as in RFC 8289: a queue that never gets short within an interval is a standing one, and
//! its flow is told so by drops that come ever closer together.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Dropping that was left less than so many intervals ago goes on at the rate it had (RFC 8289,
/// section 5.5).
const REMEMBERED_INTERVALS: u32 = 16;

/// One item of a flow.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) item: T,
    pub(super) len: usize,
    /// When it came.
    pub(super) since: Instant,
}

/// What a wait is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Law {
    /// A wait that CoDel accepts for long.
    pub target: Duration,
    /// How long a wait may be above the target: a round trip of most paths.
    pub interval: Duration,
}

impl Law {
    /// 5 ms and 100 ms, as RFC 8289 recommends.
    pub const DEFAULT: Self =
        Self { target: Duration::from_millis(5), interval: Duration::from_millis(100) };

    /// When the next drop is due after one at `at`, the `num`th of its kind: the drop rate grows so
    /// that the throughput of a TCP flow falls linearly.
    fn next_drop(self, at: Instant, num: u32) -> Instant {
        at + self.interval.div_f64(f64::from(num.max(1)).sqrt())
    }
}

/// What CoDel knows of one flow.
#[derive(Debug, Default)]
pub(super) struct Codel {
    /// When the waits will have been above the target for a whole interval.
    standing_at: Option<Instant>,
    is_dropping: bool,
    /// When the next drop is due, or was when dropping ended.
    next_drop_at: Option<Instant>,
    num_drops: u32,
    /// What `num_drops` began with when dropping did.
    first_num_drops: u32,
}

impl Codel {
    /// The next item that is to be sent. Never empties the queue by dropping: the last item has
    /// nothing behind it that it delays.
    pub(super) fn pop<T>(
        &mut self,
        queue: &mut VecDeque<Waiting<T>>,
        law: Law,
        now: Instant,
        mut on_drop: impl FnMut(Waiting<T>),
    ) -> Option<Waiting<T>> {
        let mut head = queue.pop_front()?;
        let mut may_drop = self.may_drop(&head, queue.is_empty(), law, now);
        if self.is_dropping {
            self.is_dropping = may_drop;
            while self.is_dropping && self.next_drop_at.is_none_or(|at| at <= now) {
                self.num_drops = self.num_drops.saturating_add(1);
                on_drop(std::mem::replace(&mut head, queue.pop_front()?));
                may_drop = self.may_drop(&head, queue.is_empty(), law, now);
                self.is_dropping = may_drop;
                if may_drop {
                    let due = self.next_drop_at.unwrap_or(now);
                    self.next_drop_at = Some(law.next_drop(due, self.num_drops));
                }
            }
        } else if may_drop {
            on_drop(std::mem::replace(&mut head, queue.pop_front()?));
            // Only so that it knows when the wait was last short.
            self.may_drop(&head, queue.is_empty(), law, now);
            self.begin_dropping(law, now);
        }
        Some(head)
    }

    /// Whether waits have been too long for a whole interval, and something waits behind the head.
    fn may_drop<T>(&mut self, head: &Waiting<T>, is_last: bool, law: Law, now: Instant) -> bool {
        if is_last || now.saturating_duration_since(head.since) < law.target {
            self.standing_at = None;
            return false;
        }
        let standing_at = *self.standing_at.get_or_insert(now + law.interval);
        now >= standing_at
    }

    fn begin_dropping(&mut self, law: Law, now: Instant) {
        self.is_dropping = true;
        let last_time = self.num_drops.saturating_sub(self.first_num_drops);
        let is_recent = self.next_drop_at.is_some_and(|at| {
            now.saturating_duration_since(at) < law.interval * REMEMBERED_INTERVALS
        });
        self.num_drops = if is_recent { last_time.max(1) } else { 1 };
        self.first_num_drops = self.num_drops;
        self.next_drop_at = Some(law.next_drop(now, self.num_drops));
    }
}
