//! One way of a link, in real time: from one TUN to the other, until it is told to stop.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_timerslack;
use nix::sys::time::TimeSpec;
use rand::Rng;
use tun::Device;

use crate::wire::{Counters, Wire};

/// How long a way sleeps at most: so soon it sees that it is to stop.
const MAX_SLEEP: Duration = Duration::from_millis(50);
/// Between two turns: a packet is late by this at most when it is taken, and again when it arrives. At
/// 200 Mbit/s, where packets come every 60 µs, it saves a wake-up for some of them.
const PAUSE: Duration = Duration::from_micros(80);
/// What is taken at once at most, so that what has arrived meanwhile is not late.
const MAX_BATCH: usize = 32;
/// The longest packet that IP knows, in bytes.
const MAX_PACKET_LEN: usize = 65_535;

/// Carries packets over `wire`; returns what it counted, and how many the other end did not take.
pub(crate) fn carry(
    mut wire: Wire,
    from: &Device,
    to: &Device,
    mut rng: impl Rng,
    stop: &AtomicBool,
) -> Result<(Counters, u64)> {
    // The kernel wakes a thread up to 50 µs late unless told.
    set_timerslack(1).context("set the timer slack")?;
    let mut buffer = vec![0; MAX_PACKET_LEN];
    let (mut spare, mut num_refused) = (Vec::<Vec<u8>>::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        wait(from, wire.poll_timeout())?;
        for _ in 0..MAX_BATCH {
            let Some(bytes) = recv(from, &mut buffer)? else { break };
            let mut packet = spare.pop().unwrap_or_default();
            packet.extend_from_slice(bytes);
            spare.extend(wire.accept(packet, Instant::now(), &mut rng).map(cleared));
        }
        while let Some(packet) = wire.poll_packet(Instant::now()) {
            // An interface that is down takes nothing, as one without a cable.
            num_refused += u64::from(to.send(&packet).is_err());
            spare.push(cleared(packet));
        }
        sleep(PAUSE);
    }
    Ok((wire.counters(), num_refused))
}

fn cleared(mut packet: Vec<u8>) -> Vec<u8> {
    packet.clear();
    packet
}

/// Returns when there is a packet to read, when one arrives, or after [`MAX_SLEEP`].
fn wait(device: &Device, arrives_at: Option<Instant>) -> Result<()> {
    let until = arrives_at.map(|at| at.saturating_duration_since(Instant::now()));
    let timeout = until.map_or(MAX_SLEEP, |until| until.min(MAX_SLEEP));
    // SAFETY: the device owns the descriptor and outlives this function.
    #[expect(unsafe_code, reason = "the device lends its descriptor in no other way")]
    let fd = unsafe { BorrowedFd::borrow_raw(device.as_raw_fd()) };
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    match ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("ppoll"),
    }
}

fn recv<'a>(device: &Device, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>> {
    match device.recv(buffer) {
        Ok(len) => Ok(buffer.get(..len)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).context("read from the interface"),
    }
}
