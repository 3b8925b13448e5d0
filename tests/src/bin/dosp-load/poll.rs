//! Waiting for many sockets, and non-blocking reads and writes on them.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::time::TimeSpec;

/// How long a thread waits at most: so soon it sees that the run is over.
const MAX_WAIT_MS: u8 = 50;

/// Waits for sockets that stay the same. Only those that are ready cost anything.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Poller {
    pub(crate) fn new(streams: &[&TcpStream], flags: EpollFlags) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create")?;
        for (i, stream) in (0..).zip(streams) {
            epoll.add(stream, EpollEvent::new(flags, i)).context("epoll_ctl")?;
        }
        Ok(Self { epoll, events: vec![EpollEvent::empty(); streams.len()] })
    }

    /// Which are ready, by their index; none after a while.
    pub(crate) fn wait(&mut self) -> Result<impl Iterator<Item = usize>> {
        let num_ready = match self.epoll.wait(&mut self.events, EpollTimeout::from(MAX_WAIT_MS)) {
            Err(Errno::EINTR) => 0,
            waited => waited.context("epoll_wait")?,
        };
        let ready = self.events.iter().take(num_ready);
        Ok(ready.filter_map(|event| usize::try_from(event.data()).ok()))
    }
}

/// Returns when one of `streams` has room, or after `timeout`, which may be shorter than what epoll
/// can wait.
pub(crate) fn wait_for_room(streams: &[&TcpStream], timeout: Duration) -> Result<()> {
    let fds = streams.iter().map(|stream| PollFd::new(stream.as_fd(), PollFlags::POLLOUT));
    let mut fds: Vec<_> = fds.collect();
    match ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("ppoll"),
    }
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
