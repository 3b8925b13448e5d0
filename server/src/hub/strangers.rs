//! Connections to a closed hub that have not joined yet: how many there may be, and who gives way.
//!
//! They have places of their own, so they never use up those of members. The oldest gives way to the
//! newest: an agent joins within a round trip or two, and whoever waits longer is none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use super::SessionId;
use super::handshakes::Handshakes;

/// In all. Each costs some 5 KiB until it has joined or given way.
pub(super) const MAX_STRANGERS: usize = 4096;
/// From one address, or one /64 of IPv6: all agents of an office behind one address come back at once.
pub(super) const MAX_STRANGERS_OF_SOURCE: usize = 1024;

/// Who is at the door.
#[derive(Debug)]
pub(super) struct Strangers {
    by_source: BTreeMap<IpAddr, BTreeSet<SessionId>>,
    sources: BTreeMap<SessionId, IpAddr>,
    handshakes: Handshakes,
}

impl Strangers {
    pub(super) fn new() -> Self {
        Self { by_source: BTreeMap::new(), sources: BTreeMap::new(), handshakes: Handshakes::new() }
    }

    /// Takes in one more, and returns the one that gives way to it.
    pub(super) fn admit(&mut self, source: IpAddr, id: SessionId) -> Option<SessionId> {
        let of_source = |source| self.by_source.get(source).map_or(0, BTreeSet::len);
        let crowded = if of_source(&source) >= MAX_STRANGERS_OF_SOURCE {
            Some(source)
        } else if self.sources.len() >= MAX_STRANGERS {
            self.by_source.iter().max_by_key(|(_, ids)| ids.len()).map(|(source, _)| *source)
        } else {
            None
        };
        let oldest = crowded.and_then(|source| self.by_source.get(&source)?.first().copied());
        if let Some(oldest) = oldest {
            self.remove(oldest);
        }
        self.by_source.entry(source).or_default().insert(id);
        self.sources.insert(id, source);
        oldest
    }

    /// It has joined, or gone.
    pub(super) fn remove(&mut self, id: SessionId) {
        let Some(source) = self.sources.remove(&id) else { return };
        if let Some(ids) = self.by_source.get_mut(&source) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_source.remove(&source);
            }
        }
    }

    /// Whether one more handshake of `source` may be answered now.
    pub(super) fn may_shake(&mut self, source: IpAddr, now: Instant) -> bool {
        self.handshakes.may_answer(source, now)
    }

    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(x: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, x])
    }

    #[test]
    fn oldest_of_a_crowded_source_gives_way() {
        let mut strangers = Strangers::new();
        let limit = MAX_STRANGERS_OF_SOURCE as u64;
        assert!((1..=limit).all(|id| strangers.admit(source(1), SessionId(id)).is_none()));
        assert_eq!(strangers.admit(source(2), SessionId(limit + 1)), None, "another source");
        assert_eq!(strangers.admit(source(1), SessionId(limit + 2)), Some(SessionId(1)));
        strangers.remove(SessionId(2));
        assert_eq!(strangers.admit(source(1), SessionId(limit + 3)), None);
    }

    #[test]
    fn the_most_crowded_source_gives_way_when_all_places_are_taken() {
        let mut strangers = Strangers::new();
        let mut id = 0;
        for (x, num) in [(1, 900), (2, 1000), (3, 900), (4, 900), (5, MAX_STRANGERS - 3700)] {
            for _ in 0..num {
                id += 1;
                assert_eq!(strangers.admit(source(x), SessionId(id)), None);
            }
        }
        assert_eq!(strangers.len(), MAX_STRANGERS);
        assert_eq!(strangers.admit(source(9), SessionId(id + 1)), Some(SessionId(901)));
        assert_eq!(strangers.len(), MAX_STRANGERS);
    }

    #[test]
    fn everything_is_forgotten_with_the_last_of_a_source() {
        let mut strangers = Strangers::new();
        for id in 0..5000_u32 {
            strangers.admit(IpAddr::from(id.to_be_bytes()), SessionId(u64::from(id)));
            strangers.remove(SessionId(u64::from(id)));
        }
        assert!(strangers.by_source.is_empty() && strangers.sources.is_empty());
    }
}
