//! Operations at random: nothing is lost, doubled, reordered within a flow, or over the bound.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::*;

const MAX_LEN: usize = 300_000;

#[derive(Debug, Clone)]
enum Step {
    Push { host: u32, flow: u64, len: usize },
    Pop { num: usize },
    Wait { ms: u64 },
    Target { ms: u64 },
    Drain { num: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![4 => 0..1500_usize, 1 => 1500..65_600_usize, 1 => Just(400_000)];
    prop_oneof![
        8 => (0..4_u32, 0..40_u64, len).prop_map(|(host, flow, len)| Step::Push { host, flow, len }),
        6 => (1..8_usize).prop_map(|num| Step::Pop { num }),
        2 => (0..80_u64).prop_map(|ms| Step::Wait { ms }),
        1 => (0..50_u64).prop_map(|ms| Step::Target { ms }),
        1 => (0..20_usize).prop_map(|num| Step::Drain { num }),
    ]
}

/// An item: its flow, its number within it, its length.
type Item = (FlowKey, u64, usize);

/// What waits, by flow, in order.
#[derive(Default)]
struct Model {
    flows: HashMap<FlowKey, VecDeque<Item>>,
    next_number: u64,
    now: Option<Instant>,
}

impl Model {
    /// Items leave a flow from its head; but one that came too long may be refused at its end.
    fn gone(&mut self, item: Item) {
        let flow = self.flows.get_mut(&item.0).unwrap();
        if item.2 > MAX_LEN {
            assert_eq!(flow.pop_back(), Some(item));
        } else {
            assert_eq!(flow.pop_front(), Some(item));
        }
    }

    fn apply(&mut self, step: &Step, queue: &mut FqCodel<Item>) {
        let now = *self.now.get_or_insert_with(Instant::now);
        match *step {
            Step::Push { host, flow, len } => {
                let item = (FlowKey { host, flow }, self.next_number, len);
                self.next_number += 1;
                self.flows.entry(item.0).or_default().push_back(item);
                queue.push(item.0, item, len, now, |item, why| {
                    assert_eq!(why, Dropped::Overflow);
                    self.gone(item);
                });
            }
            Step::Pop { num } => {
                for _ in 0..num {
                    let popped = queue.pop(now, |item, why| {
                        assert_eq!(why, Dropped::Delay);
                        self.gone(item);
                        assert!(!self.flows[&item.0].is_empty(), "the last item was dropped");
                    });
                    assert_eq!(popped.is_none(), self.flows.values().all(VecDeque::is_empty));
                    popped.into_iter().for_each(|item| self.gone(item));
                }
            }
            Step::Wait { ms } => self.now = Some(now + Duration::from_millis(ms)),
            Step::Target { ms } => {
                queue.set_law(Law { target: Duration::from_millis(ms), ..Law::DEFAULT })
            }
            Step::Drain { num } => queue.drain().take(num).for_each(|item| self.gone(item)),
        }
    }

    fn check(&self, queue: &FqCodel<Item>) {
        let waiting = || self.flows.values().flatten();
        let len: usize = waiting().map(|item| item.2).sum();
        assert_eq!((queue.len(), queue.num_items()), (len, waiting().count()));
        assert!(queue.len() <= MAX_LEN);
        let mut sum = Amount { items: queue.num_items() as u64, bytes: queue.len() as u64 };
        let stats = queue.stats();
        for amount in [stats.popped, stats.delay, stats.overflow] {
            sum += amount;
        }
        assert_eq!(stats.pushed, sum);
        let of_hosts: usize = queue.table.hosts.iter().map(|(_, host)| host.num_flows).sum();
        assert_eq!(of_hosts, queue.table.flows.len());
        let of_hosts: usize = queue.table.hosts.iter().map(|(_, host)| host.len).sum();
        assert_eq!(of_hosts, queue.len());
        assert_eq!(queue.table.slots.len(), queue.table.flows.len());
        assert_eq!(queue.table.round.len(), queue.table.hosts.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn pushed_is_popped_dropped_or_waiting_after_every_step(
        steps in proptest::collection::vec(step(), 0..400)
    ) {
        let mut queue = FqCodel::new(Config { max_len: MAX_LEN, ..Config::default() });
        let mut model = Model::default();
        for step in &steps {
            model.apply(step, &mut queue);
            model.check(&queue);
        }
    }
}
