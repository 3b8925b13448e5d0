//! A hub that looks at nothing: the bound of any hub that passes bytes from socket to socket.
//!
//! It greets as many clients as it expects, then passes on all bytes of each to the one that joined after
//! it, as the ring of `throughput` wants it. One thread, epoll, one buffer of 64 KiB a client. Where a
//! client takes no more, nothing more is read for it, so nothing gathers.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use clap::Args;
use dosp_proto::frame::{self, FrameType};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::poll;

const BUFFER_LEN: usize = 64 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where clients are waited for
    listen: SocketAddr,
    /// How many clients
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=1000))]
    clients: u16,
}

/// Relays until a client leaves, which is the error that it ends with.
pub(crate) fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(options.listen).context("listen")?;
    let streams = (0..options.clients).map(|i| greet(&listener, i)).collect::<Result<Vec<_>>>()?;
    let mut relay = Relay::new(&streams)?;
    let mut events = vec![EpollEvent::empty(); streams.len()];
    loop {
        let num_ready = relay.epoll.wait(&mut events, EpollTimeout::NONE).context("epoll_wait")?;
        for event in &events[..num_ready] {
            let client = usize::try_from(event.data())?;
            if event.events().contains(EpollFlags::EPOLLOUT) {
                relay.turn(relay.before(client))?;
            }
            if event.events().intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP) {
                relay.turn(client)?;
            }
        }
    }
}

fn greet(listener: &TcpListener, i: u16) -> Result<TcpStream> {
    let (mut stream, _) = listener.accept().context("accept")?;
    stream.set_nodelay(true)?;
    let vip: [u8; 4] = (0x0A07_0000 | u32::from(i)).to_be_bytes();
    let mut greeting = Vec::new();
    frame::encode(&mut greeting, FrameType::AIP, &vip);
    frame::encode(&mut greeting, FrameType::HSK, &[]);
    stream.write_all(&greeting).context("greet")?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// What was read of a client and not yet written to the next.
#[derive(Debug)]
struct Pending {
    buffer: Vec<u8>,
    written_len: usize,
    len: usize,
}

struct Relay<'a> {
    streams: &'a [TcpStream],
    pending: Vec<Pending>,
    epoll: Epoll,
}

impl<'a> Relay<'a> {
    fn new(streams: &'a [TcpStream]) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create")?;
        for (i, stream) in (0..).zip(streams) {
            epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN, i)).context("epoll_ctl")?;
        }
        let pending = |_| Pending { buffer: vec![0; BUFFER_LEN], written_len: 0, len: 0 };
        Ok(Self { streams, pending: streams.iter().map(pending).collect(), epoll })
    }

    fn after(&self, client: usize) -> usize {
        (client + 1) % self.streams.len()
    }

    fn before(&self, client: usize) -> usize {
        (client + self.streams.len() - 1) % self.streams.len()
    }

    /// Reads once of `client`, unless something of it waits, and writes what there is.
    fn turn(&mut self, client: usize) -> Result<()> {
        let after = self.after(client);
        let pending = &mut self.pending[client];
        let waited = pending.len > pending.written_len;
        if !waited {
            pending.written_len = 0;
            pending.len = poll::read(&self.streams[client], &mut pending.buffer)?;
        }
        let left = &pending.buffer[pending.written_len..pending.len];
        if !left.is_empty() {
            pending.written_len += poll::write(&self.streams[after], left)?;
        }
        let waits = pending.len > pending.written_len;
        if waits != waited {
            self.listen_to(client)?;
            self.listen_to(after)?;
        }
        Ok(())
    }

    /// Waits for bytes of `client` where none of it wait, and for room where some wait for it.
    fn listen_to(&self, client: usize) -> Result<()> {
        let waits = |client: usize| self.pending[client].len > self.pending[client].written_len;
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, !waits(client));
        flags.set(EpollFlags::EPOLLOUT, waits(self.before(client)));
        let mut event = EpollEvent::new(flags, client as u64);
        self.epoll.modify(&self.streams[client], &mut event).context("epoll_ctl")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::thread;

    use crate::client::Client;

    use super::*;

    #[test]
    fn bytes_reach_the_client_that_joined_next_all_and_in_order() -> Result<()> {
        let listen: SocketAddr = "127.0.0.1:0".parse()?;
        let listener = TcpListener::bind(listen)?;
        let listen = listener.local_addr()?;
        drop(listener);
        let relay = thread::spawn(move || run(&Options { listen, clients: 3 }));
        let clients = [join(listen)?, join(listen)?, join(listen)?];
        // More than all buffers on the way hold, so that the relay has to wait for room.
        let sent: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
        let [mut first, _middle, mut last] = clients.map(|client| client.stream);
        let sending = {
            let sent = sent.clone();
            thread::spawn(move || last.write_all(&sent).map(|()| last))
        };
        let mut received = vec![0; sent.len()];
        first.read_exact(&mut received)?;
        assert!(received == sent, "the last one's next is the first");
        drop((sending, first));
        assert!(relay.join().is_ok_and(|ended| ended.is_err()), "it ends with its first client");
        Ok(())
    }

    fn join(relay: SocketAddr) -> Result<Client> {
        for _ in 0..100 {
            if let Ok(client) = Client::join(relay) {
                return Ok(client);
            }
            thread::sleep(std::time::Duration::from_millis(20));
        }
        Client::join(relay)
    }
}
