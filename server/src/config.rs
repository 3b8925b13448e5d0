//! What the hub runs with.
//!
//! Every source (flags, environment, file, defaults) is parsed into [`Settings`] by itself, so that
//! an error can name the place it comes from; then they are laid over each other.

mod error;
mod file;
mod peer;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use dosp_daemon::log::LogFormat;
use dosp_proto::frame;
use dosp_proto::label::Label;
use dosp_proto::vip::Network;
use dosp_transport::congestion::Congestion;
use tracing::level_filters::LevelFilter;

use crate::control::DEFAULT_SOCKET;
use crate::functions::Program;
pub use error::{ConfigError, ValueError};
pub use file::EXAMPLE;
pub use peer::{MAX_PEERS, PeerConfig, PeerError, PeersError, parse_peer};

/// The port of DoSP.
pub const DEFAULT_PORT: u16 = 7744;

/// Sessions at a time, where nobody says otherwise; the network is usually smaller.
const DEFAULT_MAX_CLIENTS: usize = 10_000;
/// Long enough for a bad radio link, short enough that whoever waits for it gets on.
const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A join string holds addresses of at most 255 bytes, the port's among them.
const MAX_ADVERTISE_LEN: usize = 249;

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddr {
    /// Address and port; port 0 takes any free one.
    pub addr: SocketAddr,
    /// Whether the hub cannot run without it: `false` for the IPv6 default, as there are hosts
    /// without IPv6.
    pub is_required: bool,
}

/// Everything the hub needs to know, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect.
    pub listen: Vec<ListenAddr>,
    /// Where vIPs come from.
    pub network: Network,
    /// Sessions at a time.
    pub max_clients: usize,
    /// The largest LENGTH that is accepted, in bytes.
    pub max_frame_len: usize,
    /// How long a session may take not one byte of what is queued for it.
    pub write_timeout: Duration,
    /// The congestion control of all connections.
    pub congestion: Congestion,
    /// Whether bodies are compressed: clients before 0.1.4 cannot join then.
    pub compression: bool,
    /// Whether clients can call the built-in functions.
    pub builtin_functions: bool,
    /// Programs that clients can call, by name.
    pub functions: BTreeMap<String, Program>,
    /// Where the tokens of administrators are; without it nobody is one.
    pub admin_token_file: Option<PathBuf>,
    /// Whether administrators may come from other machines, over plain TCP.
    pub admin_remote: bool,
    /// Where the hub keeps its key and its members; without it there are no members.
    pub state: Option<PathBuf>,
    /// Whether only members can be in the network.
    pub closed: bool,
    /// What the hub is called.
    pub name: Option<Label>,
    /// Where nodes reach the hub: what join strings say. Empty, it is guessed.
    pub advertise: Vec<String>,
    /// The other hubs that this one is linked with.
    pub peers: Vec<PeerConfig>,
    /// The local socket.
    pub socket: PathBuf,
    /// Where Prometheus gets figures; without it nowhere.
    pub metrics: Option<SocketAddr>,
    /// The least important lines that are logged.
    pub log: LevelFilter,
    /// How they look.
    pub log_format: LogFormat,
}

impl Default for Config {
    fn default() -> Self {
        Self::from(Settings::default())
    }
}

/// What one source says, in checked types; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// See [`Config::listen`].
    pub listen: Option<Vec<ListenAddr>>,
    /// See [`Config::network`].
    pub network: Option<Network>,
    /// See [`Config::max_clients`].
    pub max_clients: Option<usize>,
    /// See [`Config::max_frame_len`].
    pub max_frame_len: Option<usize>,
    /// See [`Config::congestion`].
    pub congestion: Option<Congestion>,
    /// See [`Config::compression`].
    pub compression: Option<bool>,
    /// See [`Config::builtin_functions`].
    pub builtin_functions: Option<bool>,
    /// See [`Config::functions`].
    pub functions: Option<BTreeMap<String, Program>>,
    /// See [`Config::admin_token_file`]; an empty path says that there is none.
    pub admin_token_file: Option<PathBuf>,
    /// See [`Config::admin_remote`].
    pub admin_remote: Option<bool>,
    /// See [`Config::state`]; an empty path says that there is none.
    pub state: Option<PathBuf>,
    /// See [`Config::closed`].
    pub closed: Option<bool>,
    /// See [`Config::name`].
    pub name: Option<Label>,
    /// See [`Config::advertise`].
    pub advertise: Option<Vec<String>>,
    /// See [`Config::peers`].
    pub peers: Option<Vec<PeerConfig>>,
    /// See [`Config::socket`].
    pub socket: Option<PathBuf>,
    /// See [`Config::metrics`].
    pub metrics: Option<SocketAddr>,
    /// See [`Config::log`].
    pub log: Option<LevelFilter>,
    /// See [`Config::log_format`].
    pub log_format: Option<LogFormat>,
}

impl Settings {
    /// Reads the environment through `variable`. An empty variable says nothing.
    ///
    /// # Errors
    /// A variable that cannot be read, by name.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let env = Env { variable };
        let host = env.read("DOSP_HOST", parse_host)?;
        let port = env.read("DOSP_PORT", parse_port)?;
        Ok(Self {
            listen: listen_from(host, port),
            network: env.read("DOSP_IP_TEMPLATE", parse_network)?,
            peers: env.read("DOSP_PEERS", peer::parse_peers_variable)?,
            metrics: env.read("DOSP_METRICS", parse_listen)?,
            log: env.read("DOSP_LOG", parse_level)?,
            log_format: env.read("DOSP_LOG_FORMAT", parse_format)?,
            ..Self::default()
        })
    }

    /// Whether all that is said can be so at once.
    ///
    /// # Errors
    /// Two keys that exclude each other, or one that needs another.
    pub fn check(&self) -> Result<(), ConfigError> {
        let has_state = self.state.as_ref().is_some_and(|path| path != Path::new(""));
        let is_closed = self.closed == Some(true);
        if is_closed && !has_state {
            return Err(ConfigError::Needs { key: "closed", other: "state" });
        }
        if has_state && self.compression == Some(true) {
            return Err(ConfigError::Together { key: "state", other: "compression" });
        }
        let peers = self.peers.as_deref().unwrap_or_default();
        if !peers.is_empty() && self.compression == Some(true) {
            return Err(ConfigError::Together { key: "peer", other: "compression" });
        }
        peer::check_all(peers, self.network.unwrap_or(Network::DEFAULT), has_state)?;
        Ok(())
    }

    /// What `self` says, and where it says nothing, what `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            network: self.network.or(other.network),
            max_clients: self.max_clients.or(other.max_clients),
            max_frame_len: self.max_frame_len.or(other.max_frame_len),
            congestion: self.congestion.or(other.congestion),
            compression: self.compression.or(other.compression),
            builtin_functions: self.builtin_functions.or(other.builtin_functions),
            functions: self.functions.or(other.functions),
            admin_token_file: self.admin_token_file.or(other.admin_token_file),
            admin_remote: self.admin_remote.or(other.admin_remote),
            state: self.state.or(other.state),
            closed: self.closed.or(other.closed),
            name: self.name.or(other.name),
            advertise: self.advertise.or(other.advertise),
            peers: self.peers.or(other.peers),
            socket: self.socket.or(other.socket),
            metrics: self.metrics.or(other.metrics),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
        }
    }
}

impl From<Settings> for Config {
    fn from(settings: Settings) -> Self {
        Self {
            listen: settings.listen.unwrap_or_else(|| default_listen(DEFAULT_PORT)),
            network: settings.network.unwrap_or(Network::DEFAULT),
            max_clients: settings.max_clients.unwrap_or(DEFAULT_MAX_CLIENTS),
            max_frame_len: settings.max_frame_len.unwrap_or(frame::DEFAULT_MAX_BODY_LEN),
            write_timeout: DEFAULT_WRITE_TIMEOUT,
            congestion: settings.congestion.unwrap_or_default(),
            compression: settings.compression.unwrap_or(false),
            builtin_functions: settings.builtin_functions.unwrap_or(false),
            functions: settings.functions.unwrap_or_default(),
            admin_token_file: settings.admin_token_file.filter(|path| path != Path::new("")),
            admin_remote: settings.admin_remote.unwrap_or(false),
            state: settings.state.filter(|path| path != Path::new("")),
            closed: settings.closed.unwrap_or(false),
            name: settings.name,
            advertise: settings.advertise.unwrap_or_default(),
            peers: settings.peers.unwrap_or_default(),
            socket: settings.socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
            metrics: settings.metrics,
            log: settings.log.unwrap_or(LevelFilter::INFO),
            log_format: settings.log_format.unwrap_or_default(),
        }
    }
}

struct Env<F> {
    variable: F,
}

impl<F: Fn(&str) -> Option<String>> Env<F> {
    fn read<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Result<Option<T>, ConfigError> {
        let text = (self.variable)(name).filter(|text| !text.is_empty());
        text.map(|text| parse(&text))
            .transpose()
            .map_err(|source| ConfigError::Variable { name, source })
    }
}

fn listen_from(host: Option<IpAddr>, port: Option<u16>) -> Option<Vec<ListenAddr>> {
    let port_or_default = port.unwrap_or(DEFAULT_PORT);
    match host {
        Some(host) => Some(vec![required(SocketAddr::new(host, port_or_default))]),
        None => port.map(default_listen),
    }
}

fn default_listen(port: u16) -> Vec<ListenAddr> {
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    vec![required(v4), ListenAddr { addr: v6, is_required: false }]
}

fn required(addr: SocketAddr) -> ListenAddr {
    ListenAddr { addr, is_required: true }
}

/// Listeners that somebody chose. Who writes the defaults down means the defaults.
#[must_use]
pub fn chosen_listen(addrs: &[SocketAddr]) -> Vec<ListenAddr> {
    let default = default_listen(DEFAULT_PORT);
    if default.iter().map(|listen| &listen.addr).eq(addrs) {
        return default;
    }
    addrs.iter().copied().map(required).collect()
}

/// Reads `ADDR:PORT`.
///
/// # Errors
/// Anything else.
pub fn parse_listen(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|source| ValueError::Listen { text: text.to_owned(), source })
}

/// Reads a template or CIDR.
///
/// # Errors
/// Anything else.
pub fn parse_network(text: &str) -> Result<Network, ValueError> {
    Ok(text.parse::<Network>()?)
}

/// Reads `HOST` or `HOST:PORT`, where a node reaches the hub.
///
/// # Errors
/// Anything else.
pub fn parse_advertise(text: &str) -> Result<String, ValueError> {
    host_and_port(text).ok_or_else(|| ValueError::Advertise { text: text.to_owned() })
}

/// `HOST` or `HOST:PORT`, as `HOST:PORT`.
fn host_and_port(text: &str) -> Option<String> {
    let is_host = |host: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        !host.is_empty() && host.bytes().all(letter)
    };
    let is_v6 = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.is_some_and(|addr| addr.parse::<Ipv6Addr>().is_ok())
    };
    if text.len() > MAX_ADVERTISE_LEN {
        return None;
    }
    if is_host(text) || is_v6(text) {
        return Some(format!("{text}:{DEFAULT_PORT}"));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok().filter(|port| *port != 0)?;
    (is_host(host) || is_v6(host)).then(|| format!("{host}:{port}"))
}

/// Reads a level by name.
///
/// # Errors
/// Anything else.
pub fn parse_level(text: &str) -> Result<LevelFilter, ValueError> {
    const LEVELS: [LevelFilter; 6] = [
        LevelFilter::OFF,
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];
    let level = LEVELS.into_iter().find(|level| level.to_string().eq_ignore_ascii_case(text));
    level.ok_or_else(|| ValueError::Level { text: text.to_owned() })
}

/// Checks a number of sessions.
///
/// # Errors
/// Zero.
pub fn check_max_clients(max_clients: usize) -> Result<usize, ValueError> {
    if max_clients == 0 { Err(ValueError::NoClients) } else { Ok(max_clients) }
}

fn check_max_frame_len(max_frame_len: usize) -> Result<usize, ValueError> {
    let range = frame::MIN_MAX_BODY_LEN..=file::MAX_MAX_FRAME_LEN;
    if range.contains(&max_frame_len) {
        Ok(max_frame_len)
    } else {
        Err(ValueError::FrameLen { max_frame_len, min: *range.start(), max: *range.end() })
    }
}

fn parse_host(text: &str) -> Result<IpAddr, ValueError> {
    text.parse().map_err(|source| ValueError::Host { text: text.to_owned(), source })
}

fn parse_port(text: &str) -> Result<u16, ValueError> {
    text.parse().map_err(|source| ValueError::Port { text: text.to_owned(), source })
}

fn parse_format(text: &str) -> Result<LogFormat, ValueError> {
    use clap::ValueEnum;
    LogFormat::from_str(text, true).ok().ok_or_else(|| ValueError::Format { text: text.to_owned() })
}

#[cfg(test)]
mod tests;
