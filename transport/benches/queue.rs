//! What waiting costs: `cargo bench -p dosp-transport`. The goal is 200 ns an item; sending a
//! 1,400-byte frame takes 11,200 ns on a link of 1 Gbit/s.

use std::hint::black_box;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dosp_transport::fq_codel::{Config, FlowKey, FqCodel};

/// Items that wait in each flow while one is pushed and one popped.
const NUM_WAITING: usize = 4;

criterion_group!(benches, steady, dry);
criterion_main!(benches);

const fn key(flow: u64) -> FlowKey {
    FlowKey { host: (flow % 7) as u32, flow }
}

fn queue() -> FqCodel<[u8; 64]> {
    FqCodel::new(Config { max_len: usize::MAX, ..Config::default() })
}

/// A queue that is never empty: one item in, one out.
fn steady(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue/steady");
    group.throughput(Throughput::Elements(1));
    for (num_flows, len) in [(1, 1400), (10, 1400), (1000, 1400), (1000, 65_600)] {
        let (mut queue, now) = (queue(), Instant::now());
        for flow in 0..num_flows {
            for _ in 0..NUM_WAITING {
                queue.push(key(flow), [0; 64], len, now, |_, _| ());
            }
        }
        let mut flow = 0;
        let name = BenchmarkId::new(format!("{num_flows} flows"), len);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                flow = (flow + 1) % num_flows;
                queue.push(key(flow), [0; 64], len, now, |_, _| ());
                black_box(queue.pop(now, |_, _| ()))
            });
        });
    }
}

/// A queue that runs dry after each item, as where the link is faster than its senders.
fn dry(criterion: &mut Criterion) {
    let (mut queue, now) = (queue(), Instant::now());
    criterion.bench_function("queue/dry", |bencher| {
        bencher.iter(|| {
            queue.push(key(1), [0; 64], 1400, now, |_, _| ());
            black_box(queue.pop(now, |_, _| ()));
            black_box(queue.pop(now, |_, _| ()))
        });
    });
}
