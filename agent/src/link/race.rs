//! Which address of a hub is tried when: RFC 8305, "Happy Eyeballs", for a hub of several names.
//!
//! All names are looked up at once. Their addresses are tried in the order of the names, and those of
//! one name in the resolver's order (RFC 6724), but with the families in turn. The next one begins
//! [`STAGGER`] after the last one, or when one fails; the first that connects wins.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Time between two attempts: the "Connection Attempt Delay" that RFC 8305, section 8, recommends.
/// So long, too, does a name that is still looked up keep those behind it waiting.
pub const STAGGER: Duration = Duration::from_millis(250);

/// What is still to be tried.
#[derive(Debug)]
pub struct Race {
    names: Vec<Lookup>,
    begun: BTreeSet<SocketAddr>,
    next_at: Instant,
    prefers_until: Instant,
}

#[derive(Debug)]
enum Lookup {
    Pending,
    Found(VecDeque<SocketAddr>),
}

impl Race {
    /// A race between the addresses of so many names, of which none is known yet.
    #[must_use]
    pub fn new(num_names: usize, now: Instant) -> Self {
        let names = (0..num_names).map(|_| Lookup::Pending).collect();
        Self { names, begun: BTreeSet::new(), next_at: now, prefers_until: now + STAGGER }
    }

    /// The name that is number `name` has these addresses; none where it was looked up in vain.
    pub fn on_found(&mut self, name: usize, addrs: &[SocketAddr]) {
        if let Some(lookup) = self.names.get_mut(name) {
            *lookup = Lookup::Found(in_turn(addrs));
        }
    }

    /// An attempt has failed: the next one need not wait.
    pub fn on_failed(&mut self, now: Instant) {
        self.next_at = self.next_at.min(now);
    }

    /// The address that is to be tried now.
    pub fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        while self.poll_timeout().is_some_and(|at| at <= now) {
            let mut found = self.names.iter_mut().filter_map(Lookup::found);
            let addr = found.find_map(VecDeque::pop_front)?;
            // Two names may have one address.
            if self.begun.insert(addr) {
                self.next_at = now + STAGGER;
                return Some(addr);
            }
        }
        None
    }

    /// When to call [`Self::next`]; `None` where no address waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waits = |lookup: &Lookup| matches!(lookup, Lookup::Found(addrs) if !addrs.is_empty());
        let first = self.names.iter().position(waits)?;
        let mut before = self.names.iter().take(first);
        let is_preferred = before.all(|lookup| !matches!(lookup, Lookup::Pending));
        Some(if is_preferred { self.next_at } else { self.next_at.max(self.prefers_until) })
    }

    /// Whether there is nothing more to be begun.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.names.iter().all(|lookup| matches!(lookup, Lookup::Found(addrs) if addrs.is_empty()))
    }
}

impl Lookup {
    const fn found(&mut self) -> Option<&mut VecDeque<SocketAddr>> {
        match self {
            Self::Pending => None,
            Self::Found(addrs) => Some(addrs),
        }
    }
}

/// Both families in turn, beginning with that of the first address.
fn in_turn(addrs: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let is_first =
        |addr: &&SocketAddr| Some(addr.is_ipv6()) == addrs.first().map(SocketAddr::is_ipv6);
    let mut others = addrs.iter().filter(|addr| !is_first(addr));
    let firsts = addrs.iter().filter(is_first);
    let mut turns: VecDeque<_> =
        firsts.flat_map(|first| [Some(first), others.next()]).flatten().copied().collect();
    turns.extend(others);
    turns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addr(text: &str) -> SocketAddr {
        format!("{text}:7744").parse().unwrap()
    }

    fn addrs(texts: &str) -> Vec<SocketAddr> {
        texts.split_whitespace().map(addr).collect()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn families_take_turns_and_the_resolver_says_which_is_first() {
        for (given, turns) in [
            ("[::1] [::2] [::3] 1.0.0.1", "[::1] 1.0.0.1 [::2] [::3]"),
            ("1.0.0.1 1.0.0.2 [::1] [::2] [::3]", "1.0.0.1 [::1] 1.0.0.2 [::2] [::3]"),
            ("1.0.0.1 1.0.0.2", "1.0.0.1 1.0.0.2"),
            ("", ""),
        ] {
            assert_eq!(in_turn(&addrs(given)), addrs(turns), "{given}");
        }
    }

    #[test]
    fn next_address_is_tried_after_250_ms_or_when_one_has_failed() {
        let start = Instant::now();
        let mut race = Race::new(1, start);
        race.on_found(0, &addrs("1.0.0.1 1.0.0.2 1.0.0.3"));
        assert_eq!(race.next(start), Some(addr("1.0.0.1")));
        assert_eq!(race.next(start + ms(249)), None);
        assert_eq!(race.poll_timeout(), Some(start + ms(250)));
        assert_eq!(race.next(start + ms(250)), Some(addr("1.0.0.2")));
        assert_eq!(race.next(start + ms(260)), None);
        race.on_failed(start + ms(260));
        assert!(!race.is_over());
        assert_eq!(race.next(start + ms(260)), Some(addr("1.0.0.3")));
        assert!(race.is_over() && race.poll_timeout().is_none());
    }

    #[test]
    fn names_are_tried_in_their_order_although_the_last_is_known_first() {
        let start = Instant::now();
        let mut race = Race::new(2, start);
        race.on_found(1, &addrs("1.0.0.2"));
        assert_eq!(race.next(start + ms(10)), None, "the first name may still come");
        race.on_found(0, &addrs("1.0.0.1"));
        assert_eq!(race.next(start + ms(10)), Some(addr("1.0.0.1")));
        assert_eq!(race.next(start + ms(260)), Some(addr("1.0.0.2")));
    }

    #[test]
    fn slow_name_server_keeps_others_waiting_for_250_ms() {
        let start = Instant::now();
        let mut race = Race::new(2, start);
        race.on_found(1, &addrs("1.0.0.2"));
        assert_eq!(race.poll_timeout(), Some(start + ms(250)));
        assert_eq!(race.next(start + ms(250)), Some(addr("1.0.0.2")));
        assert!(!race.is_over(), "the first name may still come");
        race.on_found(0, &[]);
        assert!(race.is_over());
    }

    #[test]
    fn name_without_address_keeps_nobody_waiting() {
        let start = Instant::now();
        let mut race = Race::new(2, start);
        race.on_found(1, &addrs("1.0.0.2"));
        race.on_found(0, &[]);
        assert_eq!(race.next(start), Some(addr("1.0.0.2")));
    }

    #[test]
    fn address_of_two_names_is_tried_once() {
        let start = Instant::now();
        let mut race = Race::new(2, start);
        race.on_found(0, &addrs("1.0.0.1"));
        race.on_found(1, &addrs("1.0.0.1 1.0.0.2"));
        assert_eq!(race.next(start), Some(addr("1.0.0.1")));
        assert_eq!(race.next(start + STAGGER), Some(addr("1.0.0.2")));
        assert!(race.is_over());
    }

    proptest! {
        #[test]
        fn every_address_is_tried_once_and_not_before_its_time(
            names in prop::collection::vec(prop::collection::vec(0u8..12, 0..6), 0..4),
            order in any::<usize>(),
        ) {
            let start = Instant::now();
            let mut race = Race::new(names.len(), start);
            let as_addr = |number: &u8| match number % 2 {
                0 => addr(&format!("1.0.0.{number}")),
                _ => addr(&format!("[::{number}]")),
            };
            let expected: BTreeSet<_> = names.iter().flatten().map(as_addr).collect();
            let (mut now, mut begun, mut last) = (start, Vec::new(), None);
            let mut unknown: Vec<usize> = (0..names.len()).collect();
            while !race.is_over() {
                if let Some(addr) = race.next(now) {
                    prop_assert!(last.is_none_or(|last| now >= last + STAGGER));
                    begun.push(addr);
                    last = Some(now);
                } else if !unknown.is_empty() {
                    let name = unknown.remove(order % unknown.len());
                    let addrs: Vec<_> = names[name].iter().map(as_addr).collect();
                    race.on_found(name, &addrs);
                } else {
                    now = race.poll_timeout().map_or(now, |at| at.max(now));
                }
            }
            prop_assert_eq!(begun.len(), expected.len());
            prop_assert_eq!(begun.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
