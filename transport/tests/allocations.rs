//! What waits costs no memory of its own in the steady state.

#![expect(unsafe_code, reason = "an allocator cannot be written without; it only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use dosp_transport::fq_codel::{Config, FlowKey, FqCodel};

thread_local! {
    static NUM_ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        NUM_ALLOCATIONS.set(NUM_ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the same promise to us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: it came from `alloc` above, which had it from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Pushes `num_items` in turn to 100 flows, and pops at a rate that CoDel has to say something to;
/// runs dry now and then.
fn work(queue: &mut FqCodel<u64>, now: &mut Instant, num_items: u64) {
    for item in 0..num_items {
        let key = FlowKey { host: 1, flow: item * 7 % 100 };
        queue.push(key, item, 1400, *now, |_, _| ());
        *now += Duration::from_micros(100);
        if item % 10_000 == 0 {
            while queue.pop(*now, |_, _| ()).is_some() {}
        } else if item % 100 != 0 {
            queue.pop(*now, |_, _| ());
        }
    }
}

#[test]
fn queue_in_its_steady_state_allocates_nearly_nothing() {
    let (mut queue, mut now) = (FqCodel::new(Config::default()), Instant::now());
    work(&mut queue, &mut now, 100_000);
    let before = NUM_ALLOCATIONS.get();
    work(&mut queue, &mut now, 100_000);
    let num_allocations = NUM_ALLOCATIONS.get() - before;
    // A queue that ran dry gives most memory back, ten times here.
    assert!(num_allocations < 10 * 300, "{num_allocations} for 100,000 items");
}
