//! Settings: command line, then environment, then file, then defaults.

mod network_name;
mod secrets;
mod sources;

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use dosp_daemon::log::LogFormat;
use dosp_daemon::private::{self, PrivateFileError};
use dosp_proto::label::Label;
use dosp_proto::offload::Offloads;
use dosp_proto::secret::{NetworkSecret, SecretError};
use dosp_proto::vip::Vip;
use dosp_transport::congestion::Congestion;
use serde::Deserialize;

use crate::engine::{C2c, Version1};
use crate::known_peers::TrustPolicy;
use crate::link::HubAddr;
pub use network_name::{NetworkName, NetworkNameError};
pub use secrets::Secrets;
pub use sources::Sources;

/// Read where no other file is named, if it exists.
pub const DEFAULT_PATH: &str = "/etc/dosp/agent.toml";
/// Where a running agent answers commands.
pub const DEFAULT_SOCKET: &str = "/run/dosp/agent.sock";
/// Where the agent keeps its keys and what it knows of its peers.
pub const DEFAULT_STATE: &str = "/var/lib/dosp/agent";
/// The name of the TUN interface.
pub const DEFAULT_TUN: &str = "dosp0";
/// The MTU of the TUN in bytes: as with other overlays, so that what is behind a host fits too.
pub const DEFAULT_MTU: u16 = 1420;
/// Every IPv4 link takes so many bytes (RFC 791, § 3.2).
const MIN_MTU: u16 = 576;

/// The configuration file, or what the command line says of the same things.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The hub: `host`, `host:port` or `[v6]:port`.
    pub hub: Option<String>,
    /// The vIP to have.
    pub vip: Option<Vip>,
    /// Name of the TUN interface.
    pub tun: Option<String>,
    /// MTU of the TUN in bytes.
    pub mtu: Option<u16>,
    /// Take super-packets from the host and from peers.
    pub offload: Option<bool>,
    /// The congestion control of the connection to the hub.
    pub congestion: Option<Congestion>,
    /// Take a network that overlaps other routes.
    pub force: Option<bool>,
    /// Let IP in only from peers that this host has spoken to.
    pub shields_up: Option<bool>,
    /// Give peers names in `/etc/hosts`.
    pub hosts: Option<bool>,
    /// What this host calls itself.
    pub name: Option<Label>,
    /// A file with the network secret, or two.
    pub secret_file: Option<PathBuf>,
    /// The network secret itself, or two.
    pub secret: Option<Secrets>,
    /// The newest tunnels that are spoken.
    pub c2c: Option<C2c>,
    /// What version 1 is used for.
    pub version1: Option<Version1>,
    /// Which keys are trusted that nobody here knows yet.
    pub trust: Option<TrustPolicy>,
    /// The state folder.
    pub state: Option<PathBuf>,
    /// Path of the local socket.
    pub socket: Option<PathBuf>,
    /// Where Prometheus gets figures.
    pub metrics: Option<SocketAddr>,
    /// Log filter.
    pub log: Option<String>,
    /// How log lines look.
    pub log_format: Option<LogFormat>,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that it should not.
    #[error("{}, line {line}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        message: String,
        /// The known key that was probably meant.
        nearest: Option<String>,
    },
    /// An environment variable says something that it should not.
    #[error("the environment variable {name}: {why}")]
    Environment {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A file with a secret in it cannot be read, or not by its owner alone.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// A line of the secret file is no secret.
    #[error("{}, line {line}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong with it.
        source: SecretError,
    },
    /// The secret file holds none, or too many.
    #[error("{} holds {found} network secrets, not one or two", path.display())]
    SecretCount {
        /// The file.
        path: PathBuf,
        /// How many.
        found: usize,
    },
    /// One place has the secret in both ways.
    #[error("the network secret is set twice, by itself and as a file")]
    SecretTwice,
}

impl Settings {
    /// What is set here, and where nothing is, what `other` has.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        // One setting in two forms: that of one place hides that of the next, whatever its form.
        let has_secret = self.secret.is_some() || self.secret_file.is_some();
        let (secret, secret_file) = if has_secret {
            (self.secret, self.secret_file)
        } else {
            (other.secret, other.secret_file)
        };
        Self {
            hub: self.hub.or(other.hub),
            vip: self.vip.or(other.vip),
            tun: self.tun.or(other.tun),
            mtu: self.mtu.or(other.mtu),
            offload: self.offload.or(other.offload),
            congestion: self.congestion.or(other.congestion),
            force: self.force.or(other.force),
            shields_up: self.shields_up.or(other.shields_up),
            hosts: self.hosts.or(other.hosts),
            name: self.name.or(other.name),
            secret_file,
            secret,
            c2c: self.c2c.or(other.c2c),
            version1: self.version1.or(other.version1),
            trust: self.trust.or(other.trust),
            state: self.state.or(other.state),
            socket: self.socket.or(other.socket),
            metrics: self.metrics.or(other.metrics),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
        }
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// [`ConfigError`]; also where others can read a file with the network secret in it.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(read)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(read)?;
        let settings = Self::parse(&text, path)?;
        if settings.secret.is_some() {
            private::check(&file, path)?;
        }
        Ok(settings)
    }

    /// Reads the text of `path`.
    ///
    /// # Errors
    /// [`ConfigError::Parse`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            ConfigError::Parse {
                path: path.to_owned(),
                line: before.lines().count().max(1) + usize::from(before.ends_with('\n')),
                message: error.message().to_owned(),
                nearest: nearest_key(error.message()),
            }
        })
    }

    /// Reads the variables that the published implementation knows too: `DOSP_HOST`, `DOSP_PORT`,
    /// `DOSP_VIP`; and `DOSP_NAME`, `DOSP_SECRET`, `DOSP_SECRET_FILE`, `DOSP_STATE`, `DOSP_SOCKET`,
    /// `DOSP_METRICS`, `DOSP_LOG`.
    ///
    /// # Errors
    /// [`ConfigError::Environment`].
    pub fn from_environment(
        var: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let hub = match (var("DOSP_HOST"), var("DOSP_PORT")) {
            (Some(host), Some(port)) if host.contains(':') => Some(format!("[{host}]:{port}")),
            (Some(host), Some(port)) => Some(format!("{host}:{port}")),
            (host, _) => host,
        };
        Ok(Self {
            hub,
            vip: parsed("DOSP_VIP", &var)?,
            name: parsed("DOSP_NAME", &var)?,
            secret: parsed("DOSP_SECRET", &var)?,
            secret_file: var("DOSP_SECRET_FILE").map(PathBuf::from),
            state: var("DOSP_STATE").map(PathBuf::from),
            socket: var("DOSP_SOCKET").map(PathBuf::from),
            metrics: parsed("DOSP_METRICS", &var)?,
            log: var("DOSP_LOG"),
            ..Self::default()
        })
    }

    /// The hub, if one is set.
    ///
    /// # Errors
    /// [`crate::link::HubAddrError`].
    pub fn hub_addr(&self) -> Result<Option<HubAddr>, crate::link::HubAddrError> {
        self.hub.as_deref().map(str::parse).transpose()
    }

    /// The network secrets, none where there is none: the first opens tunnels, all are taken.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn secrets(&self) -> Result<Vec<NetworkSecret>, ConfigError> {
        match (&self.secret, &self.secret_file) {
            (Some(_), Some(_)) => Err(ConfigError::SecretTwice),
            (Some(secrets), None) => Ok(secrets.as_slice().to_vec()),
            (None, Some(path)) => secrets::from_file(path),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// What this host calls itself: what is set, or what can be kept of the host's own name.
    #[must_use]
    pub fn name(&self) -> Option<Label> {
        let of_host = || Label::of_host(&nix::unistd::gethostname().ok()?.to_string_lossy());
        self.name.clone().or_else(of_host)
    }

    /// Whether peers have names in `/etc/hosts`.
    #[must_use]
    pub fn hosts(&self) -> bool {
        self.hosts.unwrap_or(true)
    }

    /// Which super-packets are taken.
    #[must_use]
    pub fn offloads(&self) -> Offloads {
        if self.offload.unwrap_or(true) { Offloads::ALL } else { Offloads::NONE }
    }

    /// The newest tunnels that are spoken.
    #[must_use]
    pub fn c2c(&self) -> C2c {
        self.c2c.unwrap_or_default()
    }

    /// What version 1 is used for.
    #[must_use]
    pub fn version1(&self) -> Version1 {
        self.version1.unwrap_or_default()
    }

    /// Which keys are trusted that nobody here knows yet.
    #[must_use]
    pub fn trust(&self) -> TrustPolicy {
        self.trust.unwrap_or_default()
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_STATE))
    }

    /// Path of the local socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET))
    }

    /// Name of the TUN interface.
    #[must_use]
    pub fn tun(&self) -> &str {
        self.tun.as_deref().unwrap_or(DEFAULT_TUN)
    }

    /// MTU of the TUN in bytes; `None` where it is set too low for IPv4.
    #[must_use]
    pub fn mtu(&self) -> Option<u16> {
        Some(self.mtu.unwrap_or(DEFAULT_MTU)).filter(|mtu| *mtu >= MIN_MTU)
    }
}

/// What the environment variable `name` says.
fn parsed<T: FromStr<Err: Display>>(
    name: &'static str,
    var: impl Fn(&'static str) -> Option<String>,
) -> Result<Option<T>, ConfigError> {
    let failed = |error: T::Err| ConfigError::Environment { name, why: error.to_string() };
    var(name).map(|text| text.parse().map_err(failed)).transpose()
}

/// The known key nearest to the unknown one that a TOML error speaks of.
fn nearest_key(message: &str) -> Option<String> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    quoted
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests;
