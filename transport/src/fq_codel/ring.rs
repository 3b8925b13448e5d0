//! A list of flows that is linked through the flows themselves, so that it owns no memory.

use slab::Slab;

use super::table::{Flow, Slot};

/// The flows of one host, in the order of their turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ring {
    first: Option<Slot>,
    last: Option<Slot>,
}

impl Ring {
    pub(super) const EMPTY: Self = Self { first: None, last: None };

    pub(super) const fn first(self) -> Option<Slot> {
        self.first
    }

    /// All of it, in order.
    pub(super) fn iter<T>(self, flows: &Slab<Flow<T>>) -> impl Iterator<Item = (Slot, &Flow<T>)> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let slot = next?;
            let flow = flows.get(slot)?;
            next = flow.next;
            Some((slot, flow))
        })
    }

    /// Takes in a flow that is in no ring.
    pub(super) fn push_back<T>(&mut self, slot: Slot, flows: &mut Slab<Flow<T>>) {
        match self.last.and_then(|last| flows.get_mut(last)) {
            Some(last) => last.next = Some(slot),
            None => self.first = Some(slot),
        }
        self.last = Some(slot);
    }

    /// Lets go of the flow whose turn it is.
    pub(super) fn pop_front<T>(&mut self, flows: &mut Slab<Flow<T>>) -> Option<Slot> {
        let first = self.first?;
        self.first = flows.get_mut(first).and_then(|flow| flow.next.take());
        if self.first.is_none() {
            self.last = None;
        }
        Some(first)
    }
}
