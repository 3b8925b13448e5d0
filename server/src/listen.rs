//! Where clients come in: binding and accepting.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dosp_proto::limit::TokenBucket;
use dosp_transport::socket::prepare;
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::config::ListenAddr;
use crate::session;
use crate::state::Shared;

/// Enough for all clients of a restarted hub to come back at once.
const BACKLOG: i32 = 4096;
/// How long a listener rests when the system has no file or memory for one more connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}")]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    source: io::Error,
}

impl BindError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => format!(
                "'ss -ltnp sport = :{}' shows who has the port; --listen ADDR:PORT takes another",
                self.addr.port()
            ),
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 are for root; --listen ADDR:PORT takes another".to_owned()
            }
            _ => "'ip addr' lists the addresses of this machine; 0.0.0.0 stands for all".to_owned(),
        }
    }
}

/// Opens all listeners that there can be.
pub(crate) fn bind_all(listen: &[ListenAddr]) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::new();
    for &ListenAddr { addr, is_required } in listen {
        match bind(addr) {
            Ok(listener) => listeners.push(listener),
            Err(source) if !is_required && is_no_such_family(&source) => {
                warn!(%addr, reason = %source, "not listening: this host has no IPv6");
            }
            Err(source) => return Err(BindError { addr, source }),
        }
    }
    Ok(listeners)
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // IPv4 has a listener of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(StdListener::from(socket))
}

fn is_no_such_family(error: &io::Error) -> bool {
    let no_family = error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32);
    no_family || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Takes connections until `shutdown`; returns the sessions that are still open then.
pub(crate) async fn accept_loop(
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
) -> JoinSet<()> {
    let mut sessions = JoinSet::new();
    let mut warn_limit = TokenBucket::new(1, 1);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return sessions,
            Some(ended) = sessions.join_next() => {
                if let Err(reason) = ended {
                    error!(%reason, "a session failed");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((socket, addr)) => admit(socket, addr, &shared, &mut sessions),
                Err(reason) => {
                    if warn_limit.take(Instant::now()) {
                        warn!(%reason, "cannot accept a connection");
                    }
                    if !concerns_one_connection(&reason) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            },
        }
    }
}

/// Whether the next connection may fare better at once. Everything else, above all a lack of files,
/// would make the loop spin.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn admit(socket: TcpStream, addr: SocketAddr, shared: &Arc<Shared>, sessions: &mut JoinSet<()>) {
    if let Err(reason) = prepare(&socket) {
        debug!(%addr, %reason, "connection is gone already");
        return;
    }
    match shared.admit(addr) {
        Ok(seat) => {
            sessions.spawn(session::run(socket, addr, seat, Arc::clone(shared)));
        }
        Err(reason) => {
            debug!(%addr, %reason, "connection refused");
            if let Ok(permit) = Arc::clone(&shared.refusals).try_acquire_owned() {
                let refusal = session::refuse(socket, reason, Arc::clone(shared));
                sessions.spawn(async move {
                    refusal.await;
                    drop(permit);
                });
            }
        }
    }
}

/// Says where the hub can be reached; port 0 has become a real one by now.
pub(crate) fn log_listening(addrs: &[SocketAddr]) {
    for addr in addrs {
        info!(%addr, "listening");
    }
}
