//! What waits for a connection: FQ-CoDel (RFC 8290) with the fairness of hosts above that of flows.
//!
//! Turns go round twice, by deficit: hosts take turns of a quantum, and so do the flows of each
//! host. A host with a thousand flows so gets as much as one with a single flow, without dividing
//! quanta among them. What a host sends by any way is charged to it.
//!
//! Ahead of all turns go *sparse* flows, those that have not used up a quantum since their last
//! turn: a new flow, or one that was empty. They wait for each other and for nothing else. Whoever
//! makes many flows cannot starve the rest by that: only the first [`MAX_SPARSE_FLOWS`] flows of a
//! host are let ahead, one quantum each, the host stays away from the turns until it has paid for
//! it, and an empty flow counts until its host's turn has come.
//!
//! Each flow has a CoDel of its own. The queue is bounded in bytes; when it is full, the host with
//! the most bytes loses the oldest item of its longest flow. No clock, no I/O.

mod codel;
mod longest;
mod ring;
mod stats;
mod table;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

pub use codel::Law;
use codel::Waiting;
pub use stats::{Amount, Dropped, Stats};
use table::{Slot, Table};

/// Flows of one host that may be ahead of the turns. As many as people and programs of one machine
/// have conversations at once; with a quantum each it is some 500 KB, 40 ms at 100 Mbit/s, that a
/// host can get out of turn at most, before it has to pay.
pub const MAX_SPARSE_FLOWS: usize = 32;
/// What makes two items one flow. Exact: no two flows share a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Whose flow it is.
    pub host: u32,
    /// Which of the host's flows.
    pub flow: u64,
}

/// The measures of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// What a wait is measured by.
    pub law: Law,
    /// Bytes of a turn. Default 16 KiB: turns are fair in the long run with any quantum, a larger
    /// one would let more go ahead of turns, a smaller one makes more turns of a 64 KiB item.
    pub quantum_len: usize,
    /// Bytes that may wait, by what `push` is told. Default 4 MiB: CoDel has its effect long
    /// before.
    pub max_len: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { law: Law::DEFAULT, quantum_len: 16 * 1024, max_len: 4 * 1024 * 1024 }
    }
}

/// The queue. Items of a flow stay in order.
#[derive(Debug)]
pub struct FqCodel<T> {
    law: Law,
    max_len: usize,
    table: Table<T>,
    /// Flows ahead of the turns; each of them has its turns too.
    sparse: VecDeque<Slot>,
    len: usize,
    num_items: usize,
    stats: Stats,
}

impl<T> FqCodel<T> {
    /// An empty queue, which owns no memory yet. A quantum of 0 is taken as 1.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            law: config.law,
            max_len: config.max_len,
            table: Table::new(config.quantum_len),
            sparse: VecDeque::new(),
            len: 0,
            num_items: 0,
            stats: Stats::default(),
        }
    }

    /// Takes `item`, which counts as `len` bytes, in time and in room. What has to go for it is
    /// given to `on_drop`: it may be the item itself.
    pub fn push(
        &mut self,
        key: FlowKey,
        item: T,
        len: usize,
        now: Instant,
        mut on_drop: impl FnMut(T, Dropped),
    ) {
        self.stats.pushed += Amount::one(len);
        if len > self.max_len {
            self.stats.overflow += Amount::one(len);
            return on_drop(item, Dropped::Overflow);
        }
        let slot = self.table.find_or_add(key);
        self.table.push(slot, Waiting { item, len, since: now });
        self.len += len;
        self.num_items += 1;
        if self.table.become_sparse(slot) {
            self.sparse.push_back(slot);
        }
        while self.len > self.max_len {
            let Some(item) = self.pop_longest() else { return };
            on_drop(item, Dropped::Overflow);
        }
    }

    /// The item whose turn it is. Items that have waited too long are given to `on_drop` on the
    /// way. The memory of flows goes with the call that finds nothing.
    pub fn pop(&mut self, now: Instant, mut on_drop: impl FnMut(T, Dropped)) -> Option<T> {
        let slot = self.next_flow()?;
        let flow = self.table.flow_mut(slot)?;
        let (law, mut dropped) = (self.law, Amount::default());
        let head = flow.codel.pop(&mut flow.queue, law, now, |waiting| {
            dropped += Amount::one(waiting.len);
            on_drop(waiting.item, Dropped::Delay);
        });
        self.stats.delay += dropped;
        self.forget_waiting(slot, dropped);
        self.charge(slot, head?)
    }

    /// Everything, in the order of turns and whatever it has waited. Counts as popped; what the
    /// iterator is not asked for stays.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| {
            let slot = self.next_flow()?;
            let head = self.table.flow_mut(slot)?.queue.pop_front()?;
            self.charge(slot, head)
        })
    }

    /// Bytes that wait; never more than [`Config::max_len`].
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Items that wait.
    #[must_use]
    pub const fn num_items(&self) -> usize {
        self.num_items
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.num_items == 0
    }

    /// Flows that have something waiting, or had and await their turn.
    #[must_use]
    pub fn num_flows(&self) -> usize {
        self.table.num_flows()
    }

    /// What has passed so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What a wait is measured by.
    #[must_use]
    pub const fn law(&self) -> Law {
        self.law
    }

    /// Changes what a wait is measured by, from the next `pop` on.
    pub const fn set_law(&mut self, law: Law) {
        self.law = law;
    }

    /// Whose turn it is: a flow with something to send.
    fn next_flow(&mut self) -> Option<Slot> {
        if self.is_empty() {
            self.forget_flows();
            return None;
        }
        self.next_sparse().or_else(|| self.table.next_in_round())
    }

    fn next_sparse(&mut self) -> Option<Slot> {
        while let Some(&slot) = self.sparse.front() {
            if let Some(flow) = self.table.flow_mut(slot) {
                if flow.credit > 0 && !flow.queue.is_empty() {
                    return Some(slot);
                }
                flow.is_sparse = false;
            }
            self.sparse.pop_front();
        }
        None
    }

    /// Makes a flow and its host pay for what is sent.
    fn charge(&mut self, slot: Slot, sent: Waiting<T>) -> Option<T> {
        self.table.charge(slot, sent.len);
        let amount = Amount::one(sent.len);
        self.stats.popped += amount;
        self.forget_waiting(slot, amount);
        if self.len <= self.max_len / 2 {
            self.table.forget_longest();
        }
        Some(sent.item)
    }

    fn pop_longest(&mut self) -> Option<T> {
        let slot = self.table.find_longest()?;
        let head = self.table.flow_mut(slot)?.queue.pop_front()?;
        let amount = Amount::one(head.len);
        self.stats.overflow += amount;
        self.forget_waiting(slot, amount);
        Some(head.item)
    }

    /// Counts what has left a flow.
    fn forget_waiting(&mut self, slot: Slot, gone: Amount) {
        let len = usize::try_from(gone.bytes).unwrap_or(usize::MAX);
        self.table.shorten(slot, len);
        self.len = self.len.saturating_sub(len);
        self.num_items -= usize::try_from(gone.items).unwrap_or(usize::MAX).min(self.num_items);
    }

    /// Nothing waits: everybody begins anew.
    fn forget_flows(&mut self) {
        if self.table.num_flows() > 0 {
            self.table.clear();
            self.sparse.clear();
            self.sparse.shrink_to(table::MAX_IDLE_FLOWS);
        }
    }
}
