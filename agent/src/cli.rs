//! The command line.

mod args;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::cmd::manual::Shell;
use crate::config::{LogFormat, NetworkName, Settings, Sources};
pub(crate) use args::{
    Ask, Bugreport, Call, Doctor, Json, Listen, OwnLink, PeerArg, Ping, Secret, Send, Status,
    Trust, Up, Wait, Whois,
};

/// Puts this host into a virtual network through a DoSP hub.
#[derive(Debug, Parser)]
#[command(name = "dosp-agent", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file [default: /etc/dosp/agent.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One of several networks of this host: /etc/dosp/agent/NAME.toml, interface dosp-NAME,
    /// and a state folder and a local socket of its own
    #[arg(long, global = true, value_name = "NAME", env = "DOSP_NETWORK", hide_env_values = true)]
    network: Option<NetworkName>,
    /// Folder of keys and of what is known of peers [default: /var/lib/dosp/agent]
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Local socket of the running agent [default: /run/dosp/agent.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or a filter [default: info for up, else warn]
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
    /// How log lines look [default: human]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Join a network by a string of 'dosp-server invite'; 'up' then brings it up
    Join {
        /// The string, a file with it, or `-` for standard input
        #[arg(value_name = "STRING|FILE|-", allow_hyphen_values = true)]
        string: String,
    },
    /// Join the hub's network and bring the TUN interface up
    Up(Up),
    /// Give up this host's place in the network, its vIP and its name
    Leave,
    /// End the running agent
    Down {
        /// Only remove what a killed agent left: a running one goes on
        #[arg(long, hide = true)]
        leftovers: bool,
    },
    /// Wait until the network is up, also for an agent that is not there yet
    Wait(Wait),
    /// Show what the running agent is doing
    Status(Status),
    /// Show the peers that this host has spoken to
    Peers(Json),
    /// Print this host's vIP, and say its key's fingerprint; or print a peer's vIP
    Ip {
        /// A peer's name
        peer: Option<PeerArg>,
    },
    /// Show who a peer is: its name, vIP and key, and whether it is there
    Whois(Whois),
    /// Measure the way to a peer and back, through the tunnel
    Ping(Ping),
    /// Show, accept or forget the keys of peers
    Trust {
        #[command(subcommand)]
        command: Option<Trust>,
    },
    /// Send a raw message
    Send(Send),
    /// Print raw messages as they come
    Listen(Listen),
    /// Print the vIPs of all clients of the hub
    Clients(Ask),
    /// Call a function of the hub and print what it returns
    Call(Call),
    /// Show what the hub knows of this agent
    Info(Ask),
    /// Make a network secret
    Secret {
        #[command(subcommand)]
        command: Secret,
    },
    /// Look at everything between this host and the hub, and say what is wrong and how to mend it
    Doctor(Doctor),
    /// Write all that helps to find a fault into one text file, without secrets
    Bugreport(Bugreport),
    /// Print the completions of a shell
    Completions {
        /// Which shell's
        shell: Shell,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder
        dir: PathBuf,
    },
}

impl Command {
    fn own_link(&self) -> Option<&OwnLink> {
        match self {
            Self::Send(args) => Some(&args.own),
            Self::Ping(args) => Some(&args.own),
            Self::Listen(args) => Some(&args.own),
            Self::Clients(args) | Self::Info(args) => Some(&args.own),
            Self::Call(args) => Some(&args.ask.own),
            Self::Join { .. }
            | Self::Up(_)
            | Self::Down { .. }
            | Self::Leave
            | Self::Wait(_)
            | Self::Status(_)
            | Self::Peers(_)
            | Self::Ip { .. }
            | Self::Whois(_)
            | Self::Trust { .. }
            | Self::Secret { .. }
            | Self::Doctor(_)
            | Self::Bugreport(_)
            | Self::Completions { .. }
            | Self::Man { .. } => None,
        }
    }

    /// Whether it does its work also where the settings are wrong: it says what is wrong with them, or is the
    /// same whatever they are.
    pub(crate) const fn bears_wrong_settings(&self) -> bool {
        matches!(
            self,
            Self::Doctor(_) | Self::Bugreport(_) | Self::Completions { .. } | Self::Man { .. }
        )
    }
}

impl Cli {
    /// Where the settings of this command come from.
    pub(crate) fn sources(&self) -> Sources {
        let Global { config, network, .. } = &self.global;
        Sources { arguments: self.settings(), file: config.clone(), network: network.clone() }
    }

    /// What the command line sets.
    pub(crate) fn settings(&self) -> Settings {
        let Global { state, socket, log, log_format, .. } = &self.global;
        let settings = Settings {
            secret_file: self.command.own_link().and_then(|own| own.secret_file.clone()),
            state: state.clone(),
            socket: socket.clone(),
            log: log.clone(),
            log_format: *log_format,
            ..Settings::default()
        };
        let up = match &self.command {
            Command::Up(up) => up,
            Command::Doctor(doctor) => return Settings { hub: doctor.hub.clone(), ..settings },
            _ => return settings,
        };
        Settings {
            hub: up.hub.clone(),
            vip: up.vip,
            name: up.name.clone(),
            secret_file: up.secret_file.clone(),
            c2c: up.c2c,
            version1: up.version1,
            trust: up.trust,
            tun: up.tun.clone(),
            mtu: up.mtu,
            offload: up.no_offload.then_some(false),
            congestion: up.congestion,
            metrics: up.metrics,
            force: up.force.then_some(true),
            shields_up: up.shields_up.then_some(true),
            hosts: up.no_hosts.then_some(false),
            ..settings
        }
    }
}
