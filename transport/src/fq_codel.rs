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
//! Each flow has a CoDel of its own. The queue is bounded in bytes; when it is full, the host with the
//! most bytes loses the oldest item of its longest flow. Not thread-safe, no clock, no I/O.

mod codel;
mod longest;
mod ring;
mod stats;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use slab::Slab;

use codel::{Codel, Law, Waiting};
use longest::Longest;
use ring::Ring;
pub use stats::{Amount, Dropped, Stats};

/// Flows of one host that may be ahead of the turns. As many as people and programs of one machine
/// have conversations at once; with a quantum each it is some 500 KB, 40 ms at 100 Mbit/s, that a
/// host can get out of turn at most, before it has to pay.
pub const MAX_SPARSE_FLOWS: usize = 32;
/// So many emptied queues are kept for flows to come, each for at most [`MAX_SPARE_ITEMS`], so that
/// conversations that come and go do not allocate.
const MAX_SPARES: usize = 4;
const MAX_SPARE_ITEMS: usize = 64;
/// An empty queue keeps tables for so many flows.
const MAX_IDLE_FLOWS: usize = 64;

/// Where a flow stands in the tables.
type Slot = usize;

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
    /// A wait that CoDel accepts for long. Default 5 ms, as RFC 8289 recommends.
    pub target: Duration,
    /// How long a wait may be above the target: a round trip of most paths. Default 100 ms, as
    /// RFC 8289 recommends.
    pub interval: Duration,
    /// Bytes of a turn. Default 16 KiB: turns are fair in the long run with any quantum, a larger
    /// one would let more go ahead of turns, a smaller one makes more turns of a 64 KiB item.
    pub quantum_len: usize,
    /// Bytes that may wait, by what `push` is told. Default 4 MiB: CoDel has its effect long before.
    pub max_len: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            quantum_len: 16 * 1024,
            max_len: 4 * 1024 * 1024,
        }
    }
}

/// The queue. Items of a flow stay in order.
#[derive(Debug)]
pub struct FqCodel<T> {
    law: Law,
    quantum_len: i64,
    max_len: usize,
    slots: HashMap<FlowKey, Slot>,
    flows: Slab<Flow<T>>,
    host_slots: HashMap<u32, Slot>,
    hosts: Slab<Host>,
    /// Every host with flows, in the order of their turns.
    round: VecDeque<Slot>,
    /// Flows ahead of the turns; each of them is in its host's ring too.
    sparse: VecDeque<Slot>,
    longest: Longest,
    spares: Vec<VecDeque<Waiting<T>>>,
    len: usize,
    num_items: usize,
    stats: Stats,
}

/// One flow, which may be empty until its turn has come.
#[derive(Debug)]
struct Flow<T> {
    key: FlowKey,
    host: Slot,
    queue: VecDeque<Waiting<T>>,
    len: usize,
    codel: Codel,
    /// Bytes that it may send before its next turn; less than none after a long item.
    credit: i64,
    is_sparse: bool,
    /// The flow after it in its host's ring.
    next: Option<Slot>,
}

#[derive(Debug)]
struct Host {
    id: u32,
    ring: Ring,
    num_flows: usize,
    /// Bytes of its flows.
    len: usize,
    longest: Longest,
    /// Bytes that it may send before its next turn.
    credit: i64,
}

impl Host {
    const fn new(id: u32, credit: i64) -> Self {
        Self { id, ring: Ring::EMPTY, num_flows: 0, len: 0, longest: Longest::NONE, credit }
    }
}

impl<T> FqCodel<T> {
    /// An empty queue, which owns no memory yet. A quantum of 0 is taken as 1.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            law: Law { target: config.target, interval: config.interval },
            quantum_len: signed(config.quantum_len).max(1),
            max_len: config.max_len,
            slots: HashMap::new(),
            flows: Slab::new(),
            host_slots: HashMap::new(),
            hosts: Slab::new(),
            round: VecDeque::new(),
            sparse: VecDeque::new(),
            longest: Longest::NONE,
            spares: Vec::new(),
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
        let slot = self.slots.get(&key).copied().unwrap_or_else(|| self.add_flow(key));
        let Some(flow) = self.flows.get_mut(slot) else { return };
        flow.queue.push_back(Waiting { item, len, since: now });
        flow.len += len;
        let (flow_len, host) = (flow.len, flow.host);
        if let Some(host_of_it) = self.hosts.get_mut(host) {
            host_of_it.len += len;
            host_of_it.longest.note_growth(slot, flow_len);
            self.longest.note_growth(host, host_of_it.len);
        }
        self.len += len;
        self.num_items += 1;
        self.let_ahead(slot);
        while self.len > self.max_len {
            let Some(item) = self.pop_longest() else { return };
            on_drop(item, Dropped::Overflow);
        }
    }

    /// The item whose turn it is. Items that have waited too long are given to `on_drop` on the
    /// way. The memory of flows goes with the call that finds nothing.
    pub fn pop(&mut self, now: Instant, mut on_drop: impl FnMut(T, Dropped)) -> Option<T> {
        let slot = self.next_flow()?;
        let flow = self.flows.get_mut(slot)?;
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
            let head = self.flows.get_mut(slot)?.queue.pop_front()?;
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
        self.flows.len()
    }

    /// What has passed so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Changes the wait that is accepted for long, from the next `pop` on.
    pub const fn set_target(&mut self, target: Duration) {
        self.law.target = target;
    }

    /// Gives all memory of an empty queue back, for one that will be idle; else does nothing.
    pub fn release(&mut self) {
        if self.is_empty() {
            self.forget_flows();
            self.spares = Vec::new();
            self.slots.shrink_to_fit();
            self.host_slots.shrink_to_fit();
            self.flows.shrink_to_fit();
            self.hosts.shrink_to_fit();
            self.round = VecDeque::new();
            self.sparse = VecDeque::new();
        }
    }

    fn add_flow(&mut self, key: FlowKey) -> Slot {
        let host = self.host_slots.get(&key.host).copied().unwrap_or_else(|| {
            let host = self.hosts.insert(Host::new(key.host, self.quantum_len));
            self.host_slots.insert(key.host, host);
            self.round.push_back(host);
            host
        });
        let slot = self.flows.insert(Flow {
            key,
            host,
            queue: self.spares.pop().unwrap_or_default(),
            len: 0,
            codel: Codel::default(),
            credit: self.quantum_len,
            is_sparse: false,
            next: None,
        });
        self.slots.insert(key, slot);
        if let Some(host) = self.hosts.get_mut(host) {
            host.num_flows += 1;
            host.ring.push_back(slot, &mut self.flows);
        }
        slot
    }

    /// Lets a flow that has just got an item go ahead of the turns, if it was empty and has not
    /// used up its quantum.
    fn let_ahead(&mut self, slot: Slot) {
        let Some(flow) = self.flows.get_mut(slot) else { return };
        let Some(host) = self.hosts.get(flow.host) else { return };
        let is_new = flow.queue.len() == 1 && flow.credit > 0 && !flow.is_sparse;
        if is_new && host.num_flows <= MAX_SPARSE_FLOWS {
            flow.is_sparse = true;
            self.sparse.push_back(slot);
        }
    }

    /// Whose turn it is: a flow with something to send.
    fn next_flow(&mut self) -> Option<Slot> {
        if self.is_empty() {
            self.forget_flows();
            return None;
        }
        self.next_sparse().or_else(|| self.next_in_round())
    }

    fn next_sparse(&mut self) -> Option<Slot> {
        while let Some(&slot) = self.sparse.front() {
            if let Some(flow) = self.flows.get_mut(slot) {
                if flow.credit > 0 && !flow.queue.is_empty() {
                    return Some(slot);
                }
                flow.is_sparse = false;
            }
            self.sparse.pop_front();
        }
        None
    }

    /// Goes round the hosts, and round the flows of the one whose turn it is. Each step pays a
    /// quantum of what was sent before, or forgets an empty flow or a host without flows: so it is
    /// O(bytes / quantum) steps for an item in the long run.
    fn next_in_round(&mut self) -> Option<Slot> {
        loop {
            let host_slot = *self.round.front()?;
            let Some(host) = self.hosts.get_mut(host_slot) else {
                self.round.pop_front();
                continue;
            };
            if host.credit <= 0 {
                host.credit += self.quantum_len;
                self.round.rotate_left(1);
                continue;
            }
            let Some(slot) = host.ring.first() else {
                self.forget_host(host_slot);
                continue;
            };
            let Some(flow) = self.flows.get_mut(slot) else {
                host.ring.pop_front(&mut self.flows);
                continue;
            };
            if flow.credit <= 0 {
                flow.credit += self.quantum_len;
                host.ring.pop_front(&mut self.flows);
                host.ring.push_back(slot, &mut self.flows);
            } else if flow.queue.is_empty() {
                self.forget_first_flow(host_slot);
            } else {
                return Some(slot);
            }
        }
    }

    /// Makes a flow and its host pay for what is sent.
    fn charge(&mut self, slot: Slot, sent: Waiting<T>) -> Option<T> {
        if let Some(flow) = self.flows.get_mut(slot) {
            flow.credit -= signed(sent.len);
            if let Some(host) = self.hosts.get_mut(flow.host) {
                host.credit -= signed(sent.len);
            }
        }
        let amount = Amount::one(sent.len);
        self.stats.popped += amount;
        self.forget_waiting(slot, amount);
        if self.len <= self.max_len / 2 {
            self.forget_longest();
        }
        Some(sent.item)
    }

    fn pop_longest(&mut self) -> Option<T> {
        let slot = self.find_longest()?;
        let head = self.flows.get_mut(slot)?.queue.pop_front()?;
        let amount = Amount::one(head.len);
        self.stats.overflow += amount;
        self.forget_waiting(slot, amount);
        Some(head.item)
    }

    /// The longest flow of the host with the most bytes.
    fn find_longest(&mut self) -> Option<Slot> {
        let hosts = &self.hosts;
        let host_len = |slot| hosts.get(slot).map_or(0, |host| host.len);
        let all = hosts.iter().map(|(slot, host)| (host.len, slot));
        let host = self.longest.find(hosts.len(), all, host_len)?;
        let (host, flows) = (self.hosts.get_mut(host)?, &self.flows);
        let flow_len = |slot| flows.get(slot).map_or(0, |flow| flow.len);
        let all = host.ring.iter(flows).map(|(slot, flow)| (flow.len, slot));
        host.longest.find(host.num_flows, all, flow_len)
    }

    fn forget_longest(&mut self) {
        if self.longest.is_known() {
            self.longest.forget();
            self.hosts.iter_mut().for_each(|(_, host)| host.longest.forget());
        }
    }

    /// Counts what has left a flow.
    fn forget_waiting(&mut self, slot: Slot, gone: Amount) {
        let len = usize::try_from(gone.bytes).unwrap_or(usize::MAX);
        if let Some(flow) = self.flows.get_mut(slot) {
            flow.len = flow.len.saturating_sub(len);
            if let Some(host) = self.hosts.get_mut(flow.host) {
                host.len = host.len.saturating_sub(len);
            }
        }
        self.len = self.len.saturating_sub(len);
        self.num_items -= usize::try_from(gone.items).unwrap_or(usize::MAX).min(self.num_items);
    }

    fn forget_first_flow(&mut self, host: Slot) {
        let Some(host) = self.hosts.get_mut(host) else { return };
        let Some(slot) = host.ring.pop_front(&mut self.flows) else { return };
        host.num_flows -= 1;
        if let Some(flow) = self.flows.try_remove(slot) {
            self.slots.remove(&flow.key);
            keep_spare(&mut self.spares, flow.queue);
        }
    }

    /// Forgets the host whose turn it is.
    fn forget_host(&mut self, host: Slot) {
        self.round.pop_front();
        if let Some(host) = self.hosts.try_remove(host) {
            self.host_slots.remove(&host.id);
        }
    }

    /// Nothing waits: everybody begins anew.
    fn forget_flows(&mut self) {
        if self.flows.is_empty() && self.hosts.is_empty() {
            return;
        }
        for flow in self.flows.drain() {
            keep_spare(&mut self.spares, flow.queue);
        }
        self.slots.clear();
        self.hosts.clear();
        self.host_slots.clear();
        self.round.clear();
        self.sparse.clear();
        self.longest.forget();
        if self.slots.capacity() > MAX_IDLE_FLOWS {
            self.slots.shrink_to(MAX_IDLE_FLOWS);
            self.host_slots.shrink_to(MAX_IDLE_FLOWS);
            self.round.shrink_to(MAX_IDLE_FLOWS);
            self.sparse.shrink_to(MAX_IDLE_FLOWS);
            self.flows.shrink_to_fit();
            self.hosts.shrink_to_fit();
        }
    }
}

fn keep_spare<T>(spares: &mut Vec<VecDeque<Waiting<T>>>, queue: VecDeque<Waiting<T>>) {
    if spares.len() < MAX_SPARES && (1..=MAX_SPARE_ITEMS).contains(&queue.capacity()) {
        spares.push(queue);
    }
}

/// Lengths are of things in memory, so they fit.
fn signed(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}
