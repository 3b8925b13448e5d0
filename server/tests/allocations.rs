//! Frames that a hub carries cost no memory in the steady state, whether they go straight on or wait in
//! fair queues.

#![allow(clippy::unwrap_used, reason = "a test that fails is to panic")]
#![expect(unsafe_code, reason = "an allocator cannot be written without; it only counts")]

#[expect(dead_code, reason = "it is there for other tests, too")]
#[path = "hub/client.rs"]
mod client;
#[expect(dead_code, reason = "it is there for other tests, too")]
#[path = "hub/member.rs"]
mod member;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dosp_proto::frame::{FrameDecoder, FrameType};
use dosp_proto::member::Join;
use dosp_proto::vip::Vip;
use dosp_server::queue::{Class, Limits, OutQueue};
use dosp_server::{Config, HubHandle, Server, config};
use dosp_transport::fq_codel::{FlowKey, Law};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, s2c};
use crate::member::{Introduced, identity};

/// What a hub may allocate while it carries any number of frames: for its timers, which are more on a busy
/// machine, or where a queue grows once more than before. It is one for 400 frames.
const FEW: usize = 100;
/// DATA of one frame, in bytes: a packet of the usual MTU.
const DATA_LEN: usize = 1_400;

/// Between two batches.
const TURN: Duration = Duration::from_millis(1);

thread_local! {
    /// Where allocations of this thread are counted, if they are.
    static COUNTER: Cell<Option<&'static AtomicUsize>> = const { Cell::new(None) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn count() {
        if let Some(counter) = COUNTER.get() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller keeps the same promise to us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: it came from `alloc` above, which had it from there.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: it came from `alloc` above, which had it from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A hub in a thread of its own, whose allocations are counted.
struct CountedHub {
    addr: SocketAddr,
    handle: HubHandle,
    stop: CancellationToken,
    thread: JoinHandle<()>,
    counter: &'static AtomicUsize,
}

impl CountedHub {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let listen = config::chosen_listen(&["127.0.0.1:0".parse().unwrap()]);
        let mut config = Config { listen, ..Config::default() };
        change(&mut config);
        let (tell, told) = std::sync::mpsc::channel();
        let stop = CancellationToken::new();
        let until = stop.clone();
        let counter: &AtomicUsize = Box::leak(Box::default());
        let thread = std::thread::spawn(move || {
            COUNTER.set(Some(counter));
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::bind(&config).unwrap();
                tell.send((server.local_addrs()[0], server.handle())).unwrap();
                server.run(until).await;
            });
        });
        let (addr, handle) = told.recv().unwrap();
        Self { addr, handle, stop, thread, counter }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// So far.
    fn num_allocations(&self) -> usize {
        self.counter.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.stop.cancel();
        self.thread.join().unwrap();
    }
}

/// Two clients and what they know to say.
struct Pair {
    from: TcpStream,
    to: TcpStream,
    /// Frames for `to`, in one write.
    burst: Vec<u8>,
    decoder: FrameDecoder,
}

impl Pair {
    /// Of frames with this DATA, so many in a burst.
    fn new(from: TcpStream, to: TcpStream, dst: Vip, data: &[u8], num_frames: usize) -> Self {
        let burst = s2c(dst, Vip::NONE, data).repeat(num_frames);
        Self { from, to, burst, decoder: FrameDecoder::new(1 << 20) }
    }

    /// Reads so many frames, and passes over what else the hub says.
    async fn recv(&mut self, mut num_frames: usize) {
        while num_frames > 0 {
            while num_frames > 0
                && let Some(frame) = self.decoder.next_frame().unwrap()
            {
                num_frames -= usize::from(frame.frame_type() == FrameType::S2C);
            }
            if num_frames > 0 {
                let len = self.to.read(self.decoder.space()).await.unwrap();
                assert!(len > 0, "the hub went away");
                self.decoder.advance(len);
            }
        }
    }
}

#[tokio::test]
async fn frames_that_go_straight_on_cost_no_allocation() {
    const BURST: usize = 20;
    let hub = CountedHub::start(|_| {});
    let (a, b) = (Client::join(hub.connect().await).await, Client::join(hub.connect().await).await);
    let mut pair = Pair::new(a.socket, b.socket, b.vip, &[7; DATA_LEN], BURST);
    let mut carried = async |num_bursts: usize| {
        let before = hub.num_allocations();
        for _ in 0..num_bursts {
            pair.from.write_all(&pair.burst).await.unwrap();
            pair.recv(BURST).await;
        }
        hub.num_allocations() - before
    };
    carried(100).await;
    let (few, many) = (carried(10).await, carried(2_000).await);
    assert!(few <= FEW && many <= FEW, "{few} for 200 frames, {many} for 40,000");
    hub.stop();
}

/// A member sends to one that reads nothing: frames wait in fair queues until others take their places.
#[tokio::test]
async fn frames_that_wait_and_are_dropped_cost_no_allocation() {
    const BURST: usize = 64;
    let state = tempfile::tempdir().unwrap();
    let hub = CountedHub::start(|config| config.state = Some(state.path().to_owned()));
    let mut members = Vec::new();
    for _ in 0..2 {
        let introduced = Introduced::over(hub.connect().await, &identity()).await;
        let joined = introduced.join(Join::default()).await;
        members.push(joined.unwrap_or_else(|refused| panic!("{refused:?}")));
    }
    let (to, from) = (members.pop().unwrap(), members.pop().unwrap());
    let dst = to.vip();
    let (from, to) = (from.link.client.socket, to.link.client.socket);
    let mut pair = Pair::new(from, to, dst, &of_flow(), BURST);
    let num_dropped = || hub.handle.status().dropped.values().sum::<u64>();
    let mut dropped = async |num_frames: u64| {
        let (before, until) = (hub.num_allocations(), num_dropped() + num_frames);
        while num_dropped() < until {
            pair.from.write_all(&pair.burst).await.unwrap();
        }
        hub.num_allocations() - before
    };
    dropped(10_000).await;
    let (few, many) = (dropped(1_000).await, dropped(40_000).await);
    assert!(few <= FEW && many <= FEW, "{few} for 1,000 frames, {many} for 40,000");
    // What waited is there.
    pair.recv(300).await;
    hub.stop();
}

/// The same, where the writer takes what waits, a batch at a time.
#[test]
fn frames_that_are_taken_out_of_a_full_queue_cost_no_allocation() {
    let now = Instant::now();
    let law = Law::DEFAULT;
    for (batch_len, data_len) in [(16 << 10, 1_400), (512 << 10, 1_400), (128 << 10, 60_000)] {
        let mut queue = OutQueue::new(Limits { max_len: 256 << 10, batch_len, law });
        let frame = s2c(Vip::NONE, Vip::NONE, &vec![7; data_len]);
        let mut batch = Vec::new();
        let mut turn = |at: u32| {
            // Half as much again as is taken.
            for number in 0..(batch_len / data_len + 1).div_ceil(2) * 3 {
                let key = FlowKey { host: 1 + at % 3, flow: number as u64 % 7 };
                queue.push([&frame, &[]], Class::Flow(key), now + at * TURN).unwrap();
            }
            queue.take(&mut batch, now + at * TURN).unwrap();
            let drops = queue.take_drops();
            drops.delay + drops.overflow
        };
        assert!((0..500).map(&mut turn).sum::<u64>() > 0);
        let counter: &AtomicUsize = Box::leak(Box::default());
        COUNTER.set(Some(counter));
        let num_dropped: u64 = (500..5_500).map(turn).sum();
        COUNTER.set(None);
        let num_allocations = counter.load(Ordering::Relaxed);
        assert!(num_dropped > 1_000, "{num_dropped} dropped");
        assert!(num_allocations <= FEW, "{num_allocations} with batches of {batch_len} bytes");
    }
}

/// DATA of a tunnel of version 2 that its sender says belongs to flow 1.
fn of_flow() -> Vec<u8> {
    let mut data = vec![7; DATA_LEN];
    data[..3].copy_from_slice(&[0xD2, 0, 1]);
    data
}
