//! Numbered messages from one host to another by plain clients: they tell how long a way was cut, and
//! whether anything came twice.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder, FrameType, encode_s2c};
use dosp_proto::vip::Vip;

use crate::member::enter;
use crate::netns::Host;
use crate::wait::wait_for;

/// How often a message leaves.
pub const INTERVAL: Duration = Duration::from_millis(10);
/// A hub greets within that.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon the threads notice that the courier is gone.
const SHORT: Duration = Duration::from_millis(100);

/// Sends for as long as it lives.
#[derive(Debug)]
pub struct Courier {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    /// The next number; all below were sent.
    next: AtomicU64,
    arrivals: Mutex<Vec<Arrival>>,
    /// Why it ended, where it should not have.
    failure: Mutex<Option<anyhow::Error>>,
}

/// One message that came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Its number.
    pub number: u64,
    /// When it came.
    pub at: Instant,
}

impl Courier {
    /// Begins to send from a client on one host to one on the other, each at the hub of its host.
    pub fn start(from: &Host, to: &Host) -> Result<Self> {
        let (receiver, dst) = Client::join(to)?;
        let (sender, _) = Client::join(from)?;
        let shared = Arc::new(Shared::default());
        let sends = Arc::clone(&shared);
        thread::spawn(move || sends.note(sender.send(dst, &sends)));
        let receives = Arc::clone(&shared);
        thread::spawn(move || receives.note(receiver.receive(&receives)));
        Ok(Self { shared })
    }

    /// How many were sent: the number of the next one.
    pub fn num_sent(&self) -> u64 {
        self.shared.next.load(Ordering::Relaxed)
    }

    /// All that came, in the order in which they came.
    pub fn arrivals(&self) -> Result<Vec<Arrival>> {
        if let Some(error) = lock(&self.shared.failure).take() {
            return Err(error.context("a courier"));
        }
        Ok(lock(&self.shared.arrivals).clone())
    }

    /// Waits for the first arrival of a message that is sent from now on.
    pub fn wait_for_next(&self, within: Duration) -> Result<Arrival> {
        let first = self.num_sent();
        wait_for("a message arrives", within, || {
            let arrivals = self.arrivals()?;
            Ok(arrivals.into_iter().find(|arrival| arrival.number >= first))
        })
    }

    /// Which of the messages before `end` have not come; none may have come twice.
    pub fn missing(&self, end: u64) -> Result<Vec<u64>> {
        let arrivals = self.arrivals()?;
        let mut came = BTreeSet::new();
        for Arrival { number, .. } in arrivals {
            ensure!(came.insert(number), "message {number} came twice");
        }
        Ok((0..end).filter(|number| !came.contains(number)).collect())
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn note(&self, outcome: Result<()>) {
        if let Err(error) = outcome
            && !self.is_over()
        {
            *lock(&self.failure) = Some(error);
        }
    }
}

/// A plain client of a hub.
struct Client {
    socket: TcpStream,
    decoder: FrameDecoder,
}

impl Client {
    /// Joins from a host at its hub.
    fn join(host: &Host) -> Result<(Self, Vip)> {
        let socket = thread::scope(|scope| {
            let connecting = scope.spawn(|| {
                enter(&host.ns)?;
                TcpStream::connect((&*host.hub_address, 7744)).context("connect to the hub")
            });
            connecting.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the thread panicked")))
        })?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { socket, decoder: FrameDecoder::new(DEFAULT_MAX_BODY_LEN) };
        let (first, vip) = client.next()?.context("a greeting")?;
        ensure!(first == FrameType::AIP, "{first} in place of AIP");
        let vip: [u8; 4] = vip.try_into().ok().context("a vIP")?;
        ensure!(client.next()?.context("a greeting")?.0 == FrameType::HSK, "no HSK");
        client.socket.set_read_timeout(Some(SHORT))?;
        Ok((client, Vip::from(vip)))
    }

    fn send(self, dst: Vip, shared: &Shared) -> Result<()> {
        let mut socket = self.socket.try_clone()?;
        // What the hub says of messages that went nowhere has to be read by somebody.
        let mut ears = self;
        thread::spawn(move || while ears.next().is_ok() {});
        let mut due = Instant::now();
        while !shared.is_over() {
            let number = shared.next.fetch_add(1, Ordering::Relaxed);
            let mut frame = Vec::new();
            encode_s2c(&mut frame, dst, Vip::NONE, &number.to_be_bytes());
            socket.write_all(&frame).context("send a message")?;
            due += INTERVAL;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        socket.shutdown(std::net::Shutdown::Both).ok();
        Ok(())
    }

    fn receive(mut self, shared: &Shared) -> Result<()> {
        while !shared.is_over() {
            let Some((frame_type, body)) = self.next()? else { continue };
            if frame_type != FrameType::S2C {
                continue;
            }
            let data = body.last_chunk().context("a number")?;
            let arrival = Arrival { number: u64::from_be_bytes(*data), at: Instant::now() };
            lock(&shared.arrivals).push(arrival);
        }
        Ok(())
    }

    /// The next frame, if one comes in time.
    fn next(&mut self) -> Result<Option<(FrameType, Vec<u8>)>> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some((frame.frame_type(), frame.body().to_vec())));
            }
            let len = match self.socket.read(self.decoder.space()) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                read => read.context("read from the hub")?,
            };
            ensure!(len > 0, "the hub closed the connection");
            self.decoder.advance(len);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
