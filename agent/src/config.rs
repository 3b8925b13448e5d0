//! Settings: command line, then environment, then file, then defaults.

use std::path::{Path, PathBuf};

use dosp_proto::vip::Vip;
use serde::Deserialize;

use crate::link::HubAddr;

/// Read where no other file is named, if it exists.
pub const DEFAULT_PATH: &str = "/etc/dosp/agent.toml";
/// Where a running agent answers commands.
pub const DEFAULT_SOCKET: &str = "/run/dosp/agent.sock";
/// The name of the TUN interface.
pub const DEFAULT_TUN: &str = "dosp0";
/// The MTU of the TUN in bytes: as with other overlays, so that what is behind a host fits too.
pub const DEFAULT_MTU: u16 = 1420;
/// Every IPv4 link takes so many bytes (RFC 791, § 3.2).
const MIN_MTU: u16 = 576;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

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
    /// Take a network that overlaps other routes.
    pub force: Option<bool>,
    /// Let IP in only from peers that this host has spoken to.
    pub shields_up: Option<bool>,
    /// Path of the local socket.
    pub socket: Option<PathBuf>,
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
}

impl Settings {
    /// What is set here, and where nothing is, what `other` has.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            hub: self.hub.or(other.hub),
            vip: self.vip.or(other.vip),
            tun: self.tun.or(other.tun),
            mtu: self.mtu.or(other.mtu),
            force: self.force.or(other.force),
            shields_up: self.shields_up.or(other.shields_up),
            socket: self.socket.or(other.socket),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
        }
    }

    /// Reads `path`, or the default file where there is one.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_file(path: Option<&Path>) -> Result<Self, ConfigError> {
        let default = Path::new(DEFAULT_PATH);
        let path = match path {
            Some(path) => path,
            None if default.exists() => default,
            None => return Ok(Self::default()),
        };
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        Self::parse(&text, path)
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
    /// `DOSP_VIP`; and `DOSP_SOCKET`, `DOSP_LOG`.
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
        let vip = var("DOSP_VIP").map(|text| text.parse()).transpose();
        let vip = vip.map_err(|error: dosp_proto::vip::VipError| ConfigError::Environment {
            name: "DOSP_VIP",
            why: error.to_string(),
        })?;
        let socket = var("DOSP_SOCKET").map(PathBuf::from);
        Ok(Self { hub, vip, socket, log: var("DOSP_LOG"), ..Self::default() })
    }

    /// The hub, if one is set.
    ///
    /// # Errors
    /// [`crate::link::HubAddrError`].
    pub fn hub_addr(&self) -> Result<Option<HubAddr>, crate::link::HubAddrError> {
        self.hub.as_deref().map(str::parse).transpose()
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
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, ConfigError> {
        Settings::parse(text, Path::new("agent.toml"))
    }

    /// `example`, with the settings that its comments show.
    fn uncommented(example: &str) -> String {
        let setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
        let lines: Vec<_> = example.lines().filter(setting).collect();
        lines.join("\n").replace('#', "")
    }

    #[test]
    fn example_file_shows_every_key_with_its_default() {
        let example = include_str!("../agent.example.toml");
        assert_eq!(parse(example).unwrap(), Settings::default(), "all is commented out");
        let shown = parse(&uncommented(example)).unwrap();
        assert_eq!((shown.tun(), shown.mtu()), (DEFAULT_TUN, Some(DEFAULT_MTU)));
        assert_eq!(shown.socket(), Path::new(DEFAULT_SOCKET));
        assert_eq!((shown.force, shown.shields_up), (Some(false), Some(false)));
        assert_eq!(
            (shown.log.as_deref(), shown.log_format),
            (Some("info"), Some(LogFormat::Human))
        );
        assert!(shown.hub.is_some() && shown.vip.is_some());
    }

    #[test]
    fn errors_name_file_line_and_the_nearest_key() {
        let error = parse("hub = \"h\"\nmtuu = 1400\n").unwrap_err();
        assert!(
            error.to_string().starts_with("agent.toml, line 2: unknown field `mtuu`"),
            "{error}"
        );
        let ConfigError::Parse { nearest, .. } = error else { panic!() };
        assert_eq!(nearest.as_deref(), Some("mtu"));
        for (text, line) in [("\n\nmtu = \"x\"", 3), ("vip = \"bob\"", 1), ("hub", 1), ("a b", 1)] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("agent.toml, line {line}: ")), "{text}: {error}");
        }
    }

    #[test]
    fn flag_beats_environment_beats_file() {
        let flag = Settings { mtu: Some(1), ..Settings::default() };
        let vars = |name| (name == "DOSP_VIP").then(|| "7.10.0.9".to_owned());
        let environment = Settings::from_environment(vars).unwrap();
        let file = parse("mtu = 2\nvip = \"7.10.0.2\"\ntun = \"t\"").unwrap();
        let settings = flag.or(environment).or(file);
        assert_eq!((settings.mtu, settings.tun()), (Some(1), "t"));
        assert_eq!(settings.vip, "7.10.0.9".parse().ok());
    }

    #[test]
    fn published_variables_name_the_hub() {
        for (host, port, hub) in [
            ("h", None, "h"),
            ("h", Some("1"), "h:1"),
            ("2001:db8::1", Some("1"), "[2001:db8::1]:1"),
        ] {
            let settings = Settings::from_environment(|name| match name {
                "DOSP_HOST" => Some(host.to_owned()),
                "DOSP_PORT" => port.map(str::to_owned),
                _ => None,
            });
            assert_eq!(settings.unwrap().hub.as_deref(), Some(hub));
        }
        let error = Settings::from_environment(|name| (name == "DOSP_VIP").then(|| "x".to_owned()));
        assert!(error.unwrap_err().to_string().contains("DOSP_VIP"));
    }
}
