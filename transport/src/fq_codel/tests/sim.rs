//! A link of a given rate that takes from a queue, in virtual time.

use std::collections::HashMap;
use std::time::Duration;

use crate::fq_codel::*;

pub(super) const fn key(host: u32, flow: u64) -> FlowKey {
    FlowKey { host, flow }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) key: FlowKey,
    pub(super) len: usize,
    pub(super) since: Instant,
}

pub(super) struct Link {
    pub(super) queue: FqCodel<Item>,
    pub(super) now: Instant,
    /// Bytes per second.
    rate: f64,
    pub(super) sent_len: HashMap<FlowKey, usize>,
    /// What was dropped since somebody looked.
    pub(super) dropped: Vec<(Item, Dropped)>,
}

impl Link {
    pub(super) fn new(rate: f64, config: Config) -> Self {
        Self {
            queue: FqCodel::new(config),
            now: Instant::now(),
            rate,
            sent_len: HashMap::new(),
            dropped: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, key: FlowKey, len: usize) {
        let item = Item { key, len, since: self.now };
        let dropped = &mut self.dropped;
        self.queue.push(key, item, len, self.now, |item, why| dropped.push((item, why)));
        assert!(self.queue.len() <= self.queue.max_len);
    }

    /// Sends one item, which takes its time; returns it.
    pub(super) fn send(&mut self) -> Option<Item> {
        let dropped = &mut self.dropped;
        let item = self.queue.pop(self.now, |item, why| dropped.push((item, why)))?;
        self.now += Duration::from_secs_f64(item.len as f64 / self.rate);
        *self.sent_len.entry(item.key).or_default() += item.len;
        Some(item)
    }

    /// Lets flows that always have something waiting share the link for a while. `before` is
    /// called before each turn.
    pub(super) fn flood(
        &mut self,
        flows: &[(FlowKey, usize)],
        duration: Duration,
        mut before: impl FnMut(&mut Self),
    ) {
        let end = self.now + duration;
        let mut waiting: HashMap<_, _> = flows.iter().map(|(key, _)| (*key, 0)).collect();
        while self.now < end {
            for (key, len) in flows {
                for _ in waiting[key]..4 {
                    self.push(*key, *len);
                }
                waiting.insert(*key, 4);
            }
            before(self);
            let sent = self.send().unwrap();
            for key in std::iter::once(sent.key).chain(self.dropped.drain(..).map(|d| d.0.key)) {
                if let Some(num) = waiting.get_mut(&key) {
                    *num -= 1;
                }
            }
        }
    }

    pub(super) fn sent_by_host(&self, host: u32) -> f64 {
        let of_host = self.sent_len.iter().filter(|(key, _)| key.host == host);
        of_host.map(|(_, len)| *len as f64).sum()
    }
}
