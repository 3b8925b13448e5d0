//! The options of a hub that runs, and where other commands find it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use dosp_proto::vip::Network;
use dosp_server::config::{self, ConfigError, LogFormat, PeerConfig, Settings};
use dosp_transport::congestion::Congestion;
use tracing::level_filters::LevelFilter;

use super::{Cli, env};

/// Read where it exists and no other file is given.
pub(super) const DEFAULT_FILE: &str = "/etc/dosp/server.toml";
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(super) struct RunArgs {
    /// Where clients connect; may be given more than once
    #[arg(long, value_name = "ADDR:PORT", value_parser = config::parse_listen)]
    pub(super) listen: Vec<SocketAddr>,
    /// Where vIPs come from: 7.10.0.{x} or 10.7.0.0/16
    #[arg(long, value_name = "TEMPLATE|CIDR", value_parser = config::parse_network)]
    pub(super) network: Option<Network>,
    /// Another hub to be linked with, as below; may be given more than once
    #[arg(long, value_name = "HOST[:PORT]=NETWORK,key=KEY", value_parser = parse_peer)]
    pub(super) peer: Vec<PeerConfig>,
    /// How many clients at a time
    #[arg(long, value_name = "N", value_parser = parse_max_clients)]
    pub(super) max_clients: Option<usize>,
    /// Congestion control of all connections: auto, kernel, cubic or bbr [default: auto]
    #[arg(long, value_name = "NAME")]
    pub(super) congestion: Option<Congestion>,
    /// Compress all bodies; clients before 0.1.4 cannot join then
    #[arg(long)]
    pub(super) compression: bool,
    /// Let clients call the functions time, uptime, version and clients
    #[arg(long)]
    pub(super) builtin_functions: bool,
    /// Tokens that make an administrator, one a line; nobody else may read the file
    #[arg(long, value_name = "FILE")]
    pub(super) admin_token_file: Option<PathBuf>,
    /// Folder of the hub's key and its members; without it there are none
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Local socket for status, admin, nodes, invite and peers [default: /run/dosp/server.sock]
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Serve figures for Prometheus at http://ADDR:PORT/metrics [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT", value_parser = config::parse_listen)]
    pub(super) metrics: Option<SocketAddr>,
    /// Configuration file [default: /etc/dosp/server.toml where it exists]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Least important lines to log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", value_parser = config::parse_level)]
    pub(super) log: Option<LevelFilter>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(super) log_format: Option<LogFormat>,
}

/// Where a command finds the hub: the options that mean something to every command.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) config: Option<PathBuf>,
    pub(super) state: Option<PathBuf>,
    pub(super) socket: Option<PathBuf>,
}

/// The same behind a command.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// The hub's local socket [default: that of the configuration, or /run/dosp/server.sock]
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
    /// The hub's configuration file [default: /etc/dosp/server.toml where it exists]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The hub's state folder [default: that of the configuration]
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<PathBuf>,
}

impl PlaceArgs {
    /// What it says, and where it says nothing, what stands before the command.
    pub(super) fn or(self, place: Place) -> Place {
        Place {
            config: self.config.or(place.config),
            state: self.state.or(place.state),
            socket: self.socket.or(place.socket),
        }
    }
}

impl Place {
    /// What a hub would be started with there.
    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        let said = Settings {
            state: self.state.clone(),
            socket: self.socket.clone(),
            ..Settings::default()
        };
        let file = self.file()?;
        Ok(said.or(env()?).or(file))
    }

    pub(super) fn file(&self) -> Result<Settings, ConfigError> {
        match &self.config {
            Some(file) => Settings::from_file(file),
            None => default_file(),
        }
    }
}

impl RunArgs {
    /// What `self` says, and where it says nothing, what `other` says.
    pub(super) fn or(self, other: Self) -> Self {
        let listen = if self.listen.is_empty() { other.listen } else { self.listen };
        Self {
            listen,
            network: self.network.or(other.network),
            peer: if self.peer.is_empty() { other.peer } else { self.peer },
            max_clients: self.max_clients.or(other.max_clients),
            congestion: self.congestion.or(other.congestion),
            compression: self.compression || other.compression,
            builtin_functions: self.builtin_functions || other.builtin_functions,
            admin_token_file: self.admin_token_file.or(other.admin_token_file),
            state: self.state.or(other.state),
            socket: self.socket.or(other.socket),
            metrics: self.metrics.or(other.metrics),
            config: self.config.or(other.config),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
        }
    }

    /// What stands in front of a command that runs no hub. Anything else there is a usage error.
    pub(super) fn into_place(mut self) -> Place {
        let (config, state, socket) = (self.config.take(), self.state.take(), self.socket.take());
        if self != Self::default() {
            let words = "only --config, --state and --socket can stand before this command";
            Cli::command().error(ErrorKind::ArgumentConflict, words).exit();
        }
        Place { config, state, socket }
    }

    pub(super) fn into_settings(self) -> Settings {
        let listen = (!self.listen.is_empty()).then(|| config::chosen_listen(&self.listen));
        Settings {
            listen,
            network: self.network,
            peers: (!self.peer.is_empty()).then_some(self.peer),
            max_clients: self.max_clients,
            log: self.log,
            admin_token_file: self.admin_token_file,
            congestion: self.congestion,
            compression: self.compression.then_some(true),
            state: self.state,
            socket: self.socket,
            metrics: self.metrics,
            builtin_functions: self.builtin_functions.then_some(true),
            log_format: self.log_format,
            ..Settings::default()
        }
    }
}

fn parse_max_clients(text: &str) -> anyhow::Result<usize> {
    Ok(config::check_max_clients(text.parse()?)?)
}

fn parse_peer(text: &str) -> anyhow::Result<PeerConfig> {
    config::parse_peer(text).map_err(|error| anyhow!("{error}\nhint: {}", error.hint()))
}

/// A file that is there and cannot be read is an error: a hub without it may listen where it must not.
fn default_file() -> Result<Settings, ConfigError> {
    match Settings::from_file(Path::new(DEFAULT_FILE)) {
        Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Settings::default())
        }
        read => read,
    }
}
