//! Which vIPs of a network are free: the lowest one is given first.
//!
//! Only deviations are stored: addresses from `next` upward are free unless listed in `ahead`,
//! those below it are taken unless listed in `freed`. So a /8 costs no more than its clients.

use std::collections::BTreeSet;

use dosp_proto::vip::{Network, Vip};

/// A request for a certain vIP that cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// Outside the network, or reserved.
    #[error("no client can have this vIP")]
    Unusable,
    /// Somebody has it.
    #[error("the vIP is in use")]
    InUse,
}

/// Gives out the vIPs of one network.
#[derive(Debug)]
pub struct VipAllocator {
    network: Network,
    next: u32,
    freed: BTreeSet<Vip>,
    ahead: BTreeSet<Vip>,
}

impl VipAllocator {
    /// All assignable vIPs of `network` are free.
    #[must_use]
    pub fn new(network: Network) -> Self {
        let next = u32::from(network.hub()) + 1;
        Self { network, next, freed: BTreeSet::new(), ahead: BTreeSet::new() }
    }

    /// Takes the lowest free vIP; `None` where all are taken.
    pub fn take_lowest(&mut self) -> Option<Vip> {
        if let Some(vip) = self.freed.pop_first() {
            return Some(vip);
        }
        while self.ahead.remove(&Vip::from(self.next)) {
            self.next += 1;
        }
        let vip = Vip::from(self.next);
        if !self.network.is_assignable(vip) {
            return None;
        }
        self.next += 1;
        Some(vip)
    }

    /// Takes this very vIP.
    ///
    /// # Errors
    /// Where nobody can have it, or somebody has it. Nothing changes then.
    pub fn take(&mut self, vip: Vip) -> Result<(), TakeError> {
        if !self.network.is_assignable(vip) {
            return Err(TakeError::Unusable);
        }
        let was_free =
            if self.is_ahead(vip) { self.ahead.insert(vip) } else { self.freed.remove(&vip) };
        if was_free { Ok(()) } else { Err(TakeError::InUse) }
    }

    /// Makes a vIP free again. One that is not taken stays as it is.
    pub fn release(&mut self, vip: Vip) {
        if self.is_ahead(vip) {
            self.ahead.remove(&vip);
        } else if self.network.is_assignable(vip) {
            self.freed.insert(vip);
        }
    }

    fn is_ahead(&self, vip: Vip) -> bool {
        u32::from(vip) >= self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vip(text: &str) -> Vip {
        text.parse().unwrap()
    }

    #[test]
    fn lowest_free_vip_is_given_first() {
        let mut vips = VipAllocator::new(Network::DEFAULT);
        let first: Vec<_> = (0..3).filter_map(|_| vips.take_lowest()).collect();
        assert_eq!(first, [vip("7.10.0.2"), vip("7.10.0.3"), vip("7.10.0.4")]);
        vips.release(vip("7.10.0.3"));
        vips.release(vip("7.10.0.2"));
        assert_eq!(vips.take_lowest(), Some(vip("7.10.0.2")));
        assert_eq!(vips.take_lowest(), Some(vip("7.10.0.3")));
        assert_eq!(vips.take_lowest(), Some(vip("7.10.0.5")));
    }

    #[test]
    fn reserved_and_foreign_vips_cannot_be_taken() {
        let mut vips = VipAllocator::new(Network::DEFAULT);
        for text in ["7.10.0.0", "7.10.0.1", "7.10.0.255", "7.10.1.2", "0.0.0.0", "127.0.0.1"] {
            assert_eq!(vips.take(vip(text)), Err(TakeError::Unusable), "{text}");
            vips.release(vip(text));
        }
        assert_eq!(std::iter::from_fn(|| vips.take_lowest()).count(), 253);
    }

    #[derive(Debug, Clone)]
    enum Step {
        TakeLowest,
        Take(u8),
        Release(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::TakeLowest),
            (0u8..18).prop_map(Step::Take),
            (0u8..18).prop_map(Step::Release),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn allocator_agrees_with_a_set_of_free_vips(steps in steps()) {
            let network: Network = "10.0.0.0/28".parse().unwrap();
            let mut vips = VipAllocator::new(network);
            let mut free: BTreeSet<Vip> = network.assignable().collect();
            let nth = |x: u8| Vip::from(u32::from(network.address()) + u32::from(x));
            for step in steps {
                match step {
                    Step::TakeLowest => prop_assert_eq!(vips.take_lowest(), free.pop_first()),
                    Step::Take(x) => {
                        prop_assert_eq!(vips.take(nth(x)).is_ok(), free.remove(&nth(x)));
                    }
                    Step::Release(x) => {
                        vips.release(nth(x));
                        if network.is_assignable(nth(x)) {
                            free.insert(nth(x));
                        }
                    }
                }
            }
        }
    }
}
