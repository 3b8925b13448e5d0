//! Which flows and hosts there are, and whose turn it is.

use std::collections::{HashMap, VecDeque};

use slab::Slab;

use super::codel::{Codel, Waiting};
use super::longest::Longest;
use super::ring::Ring;
use super::{FlowKey, MAX_SPARSE_FLOWS};

/// So many emptied queues are kept for flows to come, each for at most [`MAX_SPARE_ITEMS`], so that
/// conversations that come and go do not allocate.
const MAX_SPARES: usize = 64;
/// The same of what hosts know of their flows while the queue is full.
const MAX_SPARE_LONGEST: usize = 16;
/// So many of each are kept while nothing waits at all.
pub(super) const MAX_IDLE_SPARES: usize = 4;
pub(super) const MAX_SPARE_ITEMS: usize = 64;
/// An empty queue keeps tables for so many flows.
pub(super) const MAX_IDLE_FLOWS: usize = 64;

/// Where a flow or a host stands in its table.
pub(super) type Slot = usize;

/// The flows, their hosts, and the order of turns.
#[derive(Debug)]
pub(super) struct Table<T> {
    quantum_len: i64,
    pub(super) slots: HashMap<FlowKey, Slot>,
    pub(super) flows: Slab<Flow<T>>,
    host_slots: HashMap<u32, Slot>,
    pub(super) hosts: Slab<Host>,
    /// Every host with flows, in the order of their turns.
    pub(super) round: VecDeque<Slot>,
    /// Among the hosts.
    longest: Longest,
    pub(super) spares: Vec<VecDeque<Waiting<T>>>,
    /// Of hosts that are gone, for hosts to come.
    spare_longest: Vec<Longest>,
}

/// One flow, which may be empty until its turn has come.
#[derive(Debug)]
pub(super) struct Flow<T> {
    key: FlowKey,
    host: Slot,
    pub(super) queue: VecDeque<Waiting<T>>,
    pub(super) len: usize,
    pub(super) codel: Codel,
    /// Bytes that it may send before its next turn; less than none after a long item.
    pub(super) credit: i64,
    pub(super) is_sparse: bool,
    /// The flow after it in its host's ring.
    pub(super) next: Option<Slot>,
}

/// One host that has flows.
#[derive(Debug)]
pub(super) struct Host {
    id: u32,
    ring: Ring,
    pub(super) num_flows: usize,
    /// Bytes of its flows.
    pub(super) len: usize,
    /// Among its flows.
    longest: Longest,
    /// Bytes that it may send before its next turn.
    credit: i64,
}

impl Host {
    const fn new(id: u32, credit: i64, longest: Longest) -> Self {
        Self { id, ring: Ring::EMPTY, num_flows: 0, len: 0, longest, credit }
    }
}

impl<T> Table<T> {
    pub(super) fn new(quantum_len: usize) -> Self {
        Self {
            quantum_len: signed(quantum_len).max(1),
            slots: HashMap::new(),
            flows: Slab::new(),
            host_slots: HashMap::new(),
            hosts: Slab::new(),
            round: VecDeque::new(),
            longest: Longest::NONE,
            spares: Vec::new(),
            spare_longest: Vec::new(),
        }
    }

    pub(super) fn num_flows(&self) -> usize {
        self.flows.len()
    }

    pub(super) fn flow_mut(&mut self, slot: Slot) -> Option<&mut Flow<T>> {
        self.flows.get_mut(slot)
    }

    pub(super) fn find_or_add(&mut self, key: FlowKey) -> Slot {
        self.slots.get(&key).copied().unwrap_or_else(|| self.add_flow(key))
    }

    fn add_flow(&mut self, key: FlowKey) -> Slot {
        let host = self.host_slots.get(&key.host).copied().unwrap_or_else(|| {
            let longest = self.spare_longest.pop().unwrap_or(Longest::NONE);
            let host = self.hosts.insert(Host::new(key.host, self.quantum_len, longest));
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

    /// Puts an item at the end of a flow.
    pub(super) fn push(&mut self, slot: Slot, waiting: Waiting<T>) {
        let Some(flow) = self.flows.get_mut(slot) else { return };
        let len = waiting.len;
        flow.len += len;
        flow.queue.push_back(waiting);
        if let Some(host) = self.hosts.get_mut(flow.host) {
            host.len += len;
            host.longest.note_growth(slot, flow.len);
            self.longest.note_growth(flow.host, host.len);
        }
    }

    /// Whether a flow that has just got an item may go ahead of the turns from now on: if it was
    /// empty and has not used up its quantum.
    pub(super) fn become_sparse(&mut self, slot: Slot) -> bool {
        let Some(flow) = self.flows.get_mut(slot) else { return false };
        let Some(host) = self.hosts.get(flow.host) else { return false };
        let was_empty = flow.queue.len() == 1 && !flow.is_sparse;
        let becomes = was_empty && flow.credit > 0 && host.num_flows <= MAX_SPARSE_FLOWS;
        flow.is_sparse |= becomes;
        becomes
    }

    /// Goes round the hosts, and round the flows of the one whose turn it is. Each step pays a
    /// quantum of what was sent before, or forgets an empty flow or a host without flows: so it is
    /// O(bytes / quantum) steps for an item in the long run.
    pub(super) fn next_in_round(&mut self) -> Option<Slot> {
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

    /// Makes a flow and its host pay for `len` bytes.
    pub(super) fn charge(&mut self, slot: Slot, len: usize) {
        let Some(flow) = self.flows.get_mut(slot) else { return };
        flow.credit -= signed(len);
        if let Some(host) = self.hosts.get_mut(flow.host) {
            host.credit -= signed(len);
        }
    }

    /// Counts `len` bytes that have left a flow.
    pub(super) fn shorten(&mut self, slot: Slot, len: usize) {
        let Some(flow) = self.flows.get_mut(slot) else { return };
        flow.len = flow.len.saturating_sub(len);
        if let Some(host) = self.hosts.get_mut(flow.host) {
            host.len = host.len.saturating_sub(len);
        }
    }

    /// The longest flow of the host with the most bytes.
    pub(super) fn find_longest(&mut self) -> Option<Slot> {
        let hosts = &self.hosts;
        let host_len = |slot| hosts.get(slot).map_or(0, |host| host.len);
        let all = hosts.iter().map(|(slot, host)| (host.len, slot));
        let host_slot = self.longest.find(hosts.len(), all, host_len)?;
        let (host, flows) = (self.hosts.get_mut(host_slot)?, &self.flows);
        // A flow that was noted may be gone, and its slot another host's.
        let is_its_own = |flow: &&Flow<T>| flow.host == host_slot;
        let flow_len = |slot| flows.get(slot).filter(is_its_own).map_or(0, |flow| flow.len);
        let all = host.ring.iter(flows).map(|(slot, flow)| (flow.len, slot));
        host.longest.find(host.num_flows, all, flow_len)
    }

    /// The queue is no longer full.
    pub(super) fn forget_longest(&mut self) {
        if self.longest.is_known() {
            self.longest.forget();
            self.hosts.iter_mut().for_each(|(_, host)| host.longest.forget());
        }
    }

    /// Nothing waits: forgets everybody, and keeps memory for a few.
    pub(super) fn clear(&mut self) {
        for flow in self.flows.drain() {
            keep_spare(&mut self.spares, flow.queue);
        }
        self.spares.truncate(MAX_IDLE_SPARES);
        self.spare_longest.truncate(MAX_IDLE_SPARES);
        self.slots.clear();
        self.hosts.clear();
        self.host_slots.clear();
        self.round.clear();
        self.longest.forget();
        if self.slots.capacity() > 2 * MAX_IDLE_FLOWS {
            self.shrink_to(MAX_IDLE_FLOWS);
        }
    }

    fn shrink_to(&mut self, num_flows: usize) {
        self.slots.shrink_to(num_flows);
        self.host_slots.shrink_to(num_flows);
        self.round.shrink_to(num_flows);
        self.longest = Longest::NONE;
        self.flows.shrink_to_fit();
        self.hosts.shrink_to_fit();
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
        if let Some(mut host) = self.hosts.try_remove(host) {
            self.host_slots.remove(&host.id);
            if self.spare_longest.len() < MAX_SPARE_LONGEST {
                host.longest.forget();
                self.spare_longest.push(host.longest);
            }
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
