//! From a hub's name to a TCP connection.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use nix::errno::Errno;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Where a hub listens when nothing else is said.
pub const DEFAULT_PORT: u16 = 7744;
/// How long a name server may take; it is asked again with the next attempt.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one address may take: three lost SYNs, and then the next address has its turn.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sent bytes may stay unacknowledged; as long as a hub may be silent.
pub const USER_TIMEOUT: Duration = super::heartbeat::DEAD_AFTER;
/// How many bytes may wait unsent in the kernel. What waits there can neither be dropped nor
/// overtaken, so it is kept short, and the queue with its rules stands before it.
pub const UNSENT_LIMIT: u32 = 128 * 1024;
/// Silence before the kernel probes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
/// Time between two probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Lost probes that end a connection.
const KEEPALIVE_PROBES: u32 = 3;

/// Where a hub is: `host`, `host:port`, `[v6]:port`, or an IPv6 address that cannot be mistaken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubAddr {
    host: String,
    port: u16,
}

impl HubAddr {
    /// Name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// A text that is no hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubAddrError {
    /// No host name, no address, or something around it.
    #[error("'{text}' is no hub, which is written like hub.example, 192.0.2.1:7744 or [::1]:7744")]
    Syntax {
        /// What was given.
        text: String,
    },
    /// An IPv6 address whose end may be a port.
    #[error("'{text}' may end in a port or not: write [{text}] or [{addr}]:{port}")]
    Ambiguous {
        /// What was given.
        text: String,
        /// The address, if the end is a port.
        addr: Ipv6Addr,
        /// The port, if the end is one.
        port: u16,
    },
    /// No number from 1 to 65535 behind the colon.
    #[error("'{port}' is no TCP port")]
    Port {
        /// What stood there.
        port: String,
    },
}

impl FromStr for HubAddr {
    type Err = HubAddrError;

    fn from_str(text: &str) -> Result<Self, HubAddrError> {
        let syntax = || HubAddrError::Syntax { text: text.to_owned() };
        if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or_else(syntax)?;
            if !is_ipv6(host) {
                return Err(syntax());
            }
            let port = match port.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if port.is_empty() => DEFAULT_PORT,
                None => return Err(syntax()),
            };
            return Ok(Self { host: host.to_owned(), port });
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, DEFAULT_PORT),
            Some((head, tail)) if head.contains(':') => {
                if !is_ipv6(text) {
                    return Err(syntax());
                }
                if let (Ok(addr), Ok(port)) = (head.parse(), parse_port(tail)) {
                    return Err(HubAddrError::Ambiguous { text: text.to_owned(), addr, port });
                }
                return Ok(Self { host: text.to_owned(), port: DEFAULT_PORT });
            }
            // "//" is the rest of a URL.
            Some((host, port)) if is_host(host) && !port.starts_with('/') => {
                (host, parse_port(port)?)
            }
            Some(_) => return Err(syntax()),
        };
        if !is_host(host) {
            return Err(syntax());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

fn parse_port(text: &str) -> Result<u16, HubAddrError> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| HubAddrError::Port { port: text.to_owned() })
}

/// An IPv6 address, with or without the interface that a link-local one needs.
fn is_ipv6(text: &str) -> bool {
    let (addr, zone) = text.split_once('%').unwrap_or((text, "eth0"));
    addr.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.chars().all(is_name_char)
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_name_char)
}

/// Catches the slips of the hand, such as URLs; the rest is for the name server to say.
fn is_name_char(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '-' | '_' | '.')
}

impl fmt::Display for HubAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

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
    let resolve = |source| DialError::Resolve { host: hub.host.clone(), source };
    let addrs = timeout(RESOLVE_TIMEOUT, lookup_host((hub.host.as_str(), hub.port)))
        .await
        .map_err(|elapsed| resolve(elapsed.into()))?
        .map_err(resolve)?;
    let mut failed = resolve(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    for addr in addrs {
        match connect(addr).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                tracing::debug!(%hub, %addr, ?error, "address of the hub does not answer");
                if error.weight() > failed.weight() {
                    failed = error;
                }
            }
        }
    }
    Err(failed)
}

/// As [`dial`], of the first of `hubs` that answers.
///
/// # Errors
/// Why the last one does not.
pub async fn dial_any(hubs: &[HubAddr]) -> Result<TcpStream, DialError> {
    let mut failed = None;
    for hub in hubs {
        match dial(hub).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(error),
        }
    }
    let nobody = || io::Error::new(io::ErrorKind::NotFound, "no address of it is known");
    Err(failed
        .unwrap_or_else(|| DialError::Resolve { host: "the hub".to_owned(), source: nobody() }))
}

async fn connect(addr: SocketAddr) -> Result<TcpStream, DialError> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(addr))
        .await
        .map_err(|elapsed| DialError::TimedOut { addr, source: elapsed.into() })?
        .map_err(|source| DialError::of_connect(addr, source))?;
    set_options(&stream).map_err(|source| DialError::Options { addr, source })?;
    Ok(stream)
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_notsent_lowat(UNSENT_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::net::TcpListener;

    #[test]
    fn hubs_are_written_in_these_ways() {
        for (text, shown) in [
            ("hub.example", "hub.example:7744"),
            ("hub.example:80", "hub.example:80"),
            ("192.0.2.1", "192.0.2.1:7744"),
            ("192.0.2.1:1", "192.0.2.1:1"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("[::1]", "[::1]:7744"),
            ("::1", "[::1]:7744"),
            ("2001:db8::1", "[2001:db8::1]:7744"),
            ("2001:db8::1:beef", "[2001:db8::1:beef]:7744"),
            ("1:2:3:4:5:6:7:8", "[1:2:3:4:5:6:7:8]:7744"),
            ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
        ] {
            assert_eq!(text.parse::<HubAddr>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "is no hub"),
            (":80", "is no hub"),
            ("http://hub.example", "is no hub"),
            ("hub.example/x", "is no hub"),
            ("two words", "is no hub"),
            ("[hub.example]:80", "is no hub"),
            ("[::1", "is no hub"),
            ("[::1]80", "is no hub"),
            ("a:b:c", "is no hub"),
            ("hub.example:", "'' is no TCP port"),
            ("hub.example:0", "'0' is no TCP port"),
            ("hub.example:65536", "'65536' is no TCP port"),
            ("[::1]:x", "'x' is no TCP port"),
            ("2001:db8::1:80", "write [2001:db8::1:80] or [2001:db8::1]:80"),
        ] {
            let error = text.parse::<HubAddr>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_hub_or_an_error(text in "[a-f0-9:.%\\[\\]x-]{0,20}") {
            if let Ok(hub) = text.parse::<HubAddr>() {
                prop_assert_eq!(hub.to_string().parse::<HubAddr>().unwrap(), hub);
            }
        }
    }

    #[tokio::test]
    async fn connection_is_set_up_for_a_link() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hub: HubAddr = listener.local_addr().unwrap().to_string().parse().unwrap();
        let stream = dial(&hub).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_LIMIT);
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
    async fn name_without_address_is_told_apart() {
        let error = dial(&"hub.invalid".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, DialError::Resolve { .. }), "{error:?}");
        assert_eq!(error.to_string(), "look up hub.invalid");
    }
}
