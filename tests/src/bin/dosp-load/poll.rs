//! Waiting for many sockets, and non-blocking reads and writes on them.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::time::TimeSpec;

/// Which of `streams` are ready for `flags`, by their index; none after `timeout`.
pub(crate) fn wait(
    streams: &[&TcpStream],
    flags: PollFlags,
    timeout: Duration,
) -> Result<Vec<usize>> {
    let mut fds: Vec<_> = streams.iter().map(|stream| PollFd::new(stream.as_fd(), flags)).collect();
    match ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error).context("ppoll"),
    }
    let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or_default();
    Ok((0..fds.len()).filter(|&i| fds.get(i).is_some_and(is_ready)).collect())
}

/// Reads what is there; 0 where that is nothing.
pub(crate) fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> Result<usize> {
    match stream.read(buffer) {
        Ok(0) => bail!("the hub closed a connection"),
        read => or_zero(read).context("read"),
    }
}

/// Receives up to as many bytes as `buffer` has room for, and forgets them: the kernel copies nothing
/// into it.
pub(crate) fn discard(stream: &TcpStream, buffer: &mut [u8]) -> Result<usize> {
    match recv(stream.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC) {
        Ok(0) => bail!("the hub closed a connection"),
        received => or_zero(received.map_err(io::Error::from)).context("receive"),
    }
}

/// Writes what there is room for; 0 where there is none.
pub(crate) fn write(mut stream: &TcpStream, bytes: &[u8]) -> Result<usize> {
    or_zero(stream.write(bytes)).context("write")
}

fn or_zero(done: io::Result<usize>) -> io::Result<usize> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        done => done,
    }
}
