//! Where a hub is, as people write it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Where a hub listens when nothing else is said.
pub const DEFAULT_PORT: u16 = 7744;

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

/// A hub of which no address can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the join string has no address of the hub that can be used")]
pub struct NoHubAddr;

/// The addresses in a join string. One that cannot be used, as of a later version, is left out.
///
/// # Errors
/// [`NoHubAddr`], where none is left.
pub fn hub_addrs(texts: &[String]) -> Result<Vec<HubAddr>, NoHubAddr> {
    let mut addrs = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse() {
            Ok(addr) => addrs.push(addr),
            Err(error) => {
                let addr = text.escape_default();
                tracing::warn!(%addr, %error, "an address of the hub is left out");
            }
        }
    }
    if addrs.is_empty() { Err(NoHubAddr) } else { Ok(addrs) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn addresses_of_no_use_are_left_out() {
        let texts =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let addrs = hub_addrs(&texts(&["quic://x", "hub.example", "", "[::1]:80"])).unwrap();
        let shown: Vec<_> = addrs.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["hub.example:7744", "[::1]:80"]);
        assert_eq!(hub_addrs(&texts(&["", "a b"])), Err(NoHubAddr));
        assert_eq!(hub_addrs(&[]), Err(NoHubAddr));
    }
}
