//! From a hub's name to a TCP connection.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dosp_transport::socket;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nix::errno::Errno;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

use super::HubAddr;
use super::race::Race;
use crate::clock;

/// How long a name server may take; it is asked again with the next attempt.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one address may take: three lost SYNs.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection. Where a hub has several addresses: what the most telling one said.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name server, or the lack of one.
    #[error("look up {host}")]
    Resolve {
        /// Whose address was looked for.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody listens there.
    #[error("connect to {addr}")]
    Refused {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing came back.
    #[error("connect to {addr}")]
    TimedOut {
        /// Where.
        addr: SocketAddr,
        /// What the system or the clock said.
        source: io::Error,
    },
    /// No way there.
    #[error("connect to {addr}")]
    Unreachable {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("connect to {addr}")]
    Connect {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The connection stands, but its socket does not take our settings.
    #[error("set the options of the connection to {addr}")]
    Options {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl DialError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "check the hub's name, and whether this host has a name server",
            Self::Refused { .. } => "nothing listens there: is the hub running, is the port right?",
            Self::TimedOut { .. } => "nothing came back: is a firewall in between?",
            Self::Unreachable { .. } => "this host has no way there: check its network and routes",
            Self::Connect { .. } => "check the address, and whether a local firewall forbids it",
            Self::Options { .. } => "the connection broke at once; or the kernel is very old",
        }
    }

    /// The address that did not answer.
    #[must_use]
    pub const fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Resolve { .. } => None,
            Self::Refused { addr, .. }
            | Self::TimedOut { addr, .. }
            | Self::Unreachable { addr, .. }
            | Self::Connect { addr, .. }
            | Self::Options { addr, .. } => Some(*addr),
        }
    }

    fn of_connect(addr: SocketAddr, source: io::Error) -> Self {
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ECONNREFUSED) => Self::Refused { addr, source },
            Some(Errno::ETIMEDOUT) => Self::TimedOut { addr, source },
            Some(
                Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::EADDRNOTAVAIL,
            ) => Self::Unreachable { addr, source },
            _ => Self::Connect { addr, source },
        }
    }

    /// How much it says about the hub, and not about one of two address families.
    const fn weight(&self) -> u8 {
        match self {
            Self::Resolve { .. } => 0,
            Self::Unreachable { .. } => 1,
            Self::Connect { .. } | Self::Options { .. } => 2,
            Self::TimedOut { .. } => 3,
            Self::Refused { .. } => 4,
        }
    }
}

/// Connects to the first address of `hub` that answers, and sets the socket up for a link.
///
/// # Errors
/// [`DialError`], where none does.
pub async fn dial(hub: &HubAddr) -> Result<TcpStream, DialError> {
    dial_any(std::slice::from_ref(hub)).await
}

/// Connects to the first address of `hubs`, all of them one hub, that answers: a [`Race`].
///
/// # Errors
/// [`DialError`], where none does.
pub async fn dial_any(hubs: &[HubAddr]) -> Result<TcpStream, DialError> {
    let look_up_one = |(name, hub)| async move { (name, look_up(hub).await) };
    let mut lookups: FuturesUnordered<_> = hubs.iter().enumerate().map(look_up_one).collect();
    let mut attempts = FuturesUnordered::new();
    let mut race = Race::new(hubs.len(), clock::instant());
    let mut failed = None;
    loop {
        while let Some(addr) = race.next(clock::instant()) {
            attempts.push(connect(addr));
        }
        if race.is_over() && attempts.is_empty() {
            return Err(failed.unwrap_or_else(no_name));
        }
        let wait = race.poll_timeout().map(|at| at.saturating_duration_since(clock::instant()));
        tokio::select! {
            Some((name, found)) = lookups.next() => match found {
                Ok(addrs) => race.on_found(name, &addrs),
                Err(error) => {
                    race.on_found(name, &[]);
                    keep_heavier(&mut failed, error);
                }
            },
            Some(attempt) = attempts.next() => match attempt {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    race.on_failed(clock::instant());
                    keep_heavier(&mut failed, error);
                }
            },
            () = sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
    }
}

async fn look_up(hub: &HubAddr) -> Result<Vec<SocketAddr>, DialError> {
    let resolve = |source| DialError::Resolve { host: hub.host().to_owned(), source };
    let found = timeout(RESOLVE_TIMEOUT, lookup_host((hub.host(), hub.port())))
        .await
        .map_err(|elapsed| resolve(elapsed.into()))?
        .map_err(resolve)?;
    let addrs: Vec<_> = found.collect();
    if addrs.is_empty() {
        return Err(resolve(io::Error::new(io::ErrorKind::NotFound, "it has no address")));
    }
    Ok(addrs)
}

fn no_name() -> DialError {
    let source = io::Error::new(io::ErrorKind::NotFound, "no address of it is known");
    DialError::Resolve { host: "the hub".to_owned(), source }
}

fn keep_heavier(failed: &mut Option<DialError>, error: DialError) {
    tracing::debug!(?error, "the hub does not answer there");
    if failed.as_ref().is_none_or(|failed| error.weight() > failed.weight()) {
        *failed = Some(error);
    }
}

async fn connect(addr: SocketAddr) -> Result<TcpStream, DialError> {
    let began_at = Instant::now();
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(addr))
        .await
        .map_err(|elapsed| DialError::TimedOut { addr, source: elapsed.into() })?
        .map_err(|source| DialError::of_connect(addr, source))?;
    socket::prepare(&stream).map_err(|source| DialError::Options { addr, source })?;
    tracing::debug!(%addr, took_ms = began_at.elapsed().as_millis(), "connected");
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::heartbeat::DEAD_AFTER;
    use socket2::SockRef;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn connection_is_set_up_for_a_link() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hub: HubAddr = listener.local_addr().unwrap().to_string().parse().unwrap();
        let stream = dial(&hub).await.unwrap();
        let options = SockRef::from(&stream);
        assert!(options.tcp_nodelay().unwrap() && options.keepalive().unwrap());
        assert_eq!(options.tcp_keepalive_time().unwrap(), Duration::from_secs(10));
        let user_timeout = options.tcp_user_timeout().unwrap();
        assert_eq!(user_timeout, Some(DEAD_AFTER), "as long as a hub may be silent");
        assert_eq!(options.tcp_notsent_lowat().unwrap(), 128 * 1024);
    }

    #[tokio::test]
    async fn closed_port_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hub: HubAddr = listener.local_addr().unwrap().to_string().parse().unwrap();
        drop(listener);
        let error = dial(&hub).await.unwrap_err();
        assert!(matches!(error, DialError::Refused { .. }), "{error:?}");
        assert!(error.hint().contains("is the hub running"));
    }

    #[tokio::test]
    async fn first_address_that_answers_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answers: HubAddr = listener.local_addr().unwrap().to_string().parse().unwrap();
        let closed: HubAddr = "127.0.0.1:1".parse().unwrap();
        let unknown: HubAddr = "hub.invalid".parse().unwrap();
        let stream = dial_any(&[closed.clone(), answers.clone(), unknown.clone()]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().to_string(), answers.to_string());
        let error = dial_any(&[unknown, closed]).await.unwrap_err();
        assert!(matches!(error, DialError::Refused { .. }), "{error:?}");
        let error = dial_any(&[]).await.unwrap_err();
        assert_eq!(error.to_string(), "look up the hub");
    }

    /// A port whose queue of connections is full: its kernel answers no SYN any more.
    async fn silent_port() -> (socket2::Socket, Vec<TcpStream>, SocketAddr) {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) =
            timeout(Duration::from_millis(200), TcpStream::connect(addr)).await
        {
            waiting.push(stream);
        }
        (socket, waiting, addr)
    }

    #[tokio::test]
    async fn second_address_is_tried_while_the_first_is_silent() {
        let (_socket, _waiting, silent) = silent_port().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hub = |addr: SocketAddr| addr.to_string().parse::<HubAddr>().unwrap();
        let hubs = [hub(silent), hub(listener.local_addr().unwrap())];
        let stream = timeout(CONNECT_TIMEOUT, dial_any(&hubs)).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    }

    #[tokio::test]
    async fn name_without_address_is_told_apart() {
        let error = dial(&"hub.invalid".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, DialError::Resolve { .. }), "{error:?}");
        assert_eq!(error.to_string(), "look up hub.invalid");
    }
}
