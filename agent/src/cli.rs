//! The command line.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use dosp_proto::label::{Label, LabelError};
use dosp_proto::vip::Vip;
use dosp_transport::congestion::Congestion;

use crate::config::{LogFormat, Settings};
use crate::control::MAX_ECHO_LEN;
use crate::engine::{C2c, Version1};
use crate::known_peers::TrustPolicy;
use crate::peer_name::PeerName;

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
    Down,
    /// Show what the running agent is doing
    Status(Json),
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
}

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// A peer's vIP or name
    pub(crate) peer: PeerArg,
    /// End after so many echoes
    #[arg(short, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Seconds between two echoes [default: 1]
    #[arg(short, value_name = "SECONDS", default_value_t = 1.0, hide_default_value = true, value_parser = interval)]
    pub(crate) interval: f64,
    /// Bytes in each echo [default: 56]
    #[arg(short, value_name = "BYTES", default_value_t = 56, hide_default_value = true, value_parser = clap::value_parser!(u64).range(..=MAX_ECHO_LEN as u64))]
    pub(crate) size: u64,
    /// Print one JSON object an echo, and one of statistics
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) own: OwnLink,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trust {
    /// List the keys that are known
    List(Json),
    /// Accept the key that a peer has shown and that was refused
    Accept {
        /// The peer's vIP or name
        peer: PeerArg,
        /// The key's fingerprint, as its owner reads it
        fingerprint: Option<String>,
    },
    /// Forget a peer's key: the next one that it shows is trusted as on first use
    Forget {
        /// The peer's vIP or name
        peer: PeerArg,
    },
}

/// What stands for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PeerArg {
    Vip(Vip),
    Name(PeerName),
}

impl Display for PeerArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vip(vip) => vip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for PeerArg {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        // As programs on this host call them.
        let name = text.strip_suffix(".dosp").unwrap_or(text);
        text.parse().map(Self::Vip).or_else(|_| name.parse().map(Self::Name))
    }
}

/// As of ping: not faster than 500 a second.
fn interval(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.002..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "give seconds from 0.002 to 3600".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Print a new network secret, for all agents of a network and no hub
    New,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[arg(
        help = "The hub: HOST, HOST:PORT or [IPV6]:PORT; port 7744 unless told [default: the joined one]"
    )]
    hub: Option<String>,
    /// The vIP to have
    #[arg(long, value_name = "IP")]
    vip: Option<Vip>,
    /// What this host calls itself [default: the host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<Label>,
    /// File with the network secret, or with two: the first opens tunnels, both are taken
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The newest version of tunnels to speak [default: v2]
    #[arg(long, value_name = "VERSION")]
    c2c: Option<C2c>,
    /// What to use version 1 for with peers that know nothing else [default: messages]
    #[arg(long, value_name = "WHAT")]
    version1: Option<Version1>,
    /// Which keys to trust that nobody here knows yet [default: first-use]
    #[arg(long, value_name = "POLICY")]
    trust: Option<TrustPolicy>,
    /// Name of the TUN interface [default: dosp0]
    #[arg(long, value_name = "NAME")]
    tun: Option<String>,
    /// MTU of the TUN interface in bytes [default: 1420]
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u16>,
    /// Have the kernel cut all packets to the MTU, and take no longer ones from peers
    #[arg(long)]
    no_offload: bool,
    /// Congestion control of the connection to the hub: auto, kernel, cubic or bbr [default: auto]
    #[arg(long, value_name = "NAME")]
    congestion: Option<Congestion>,
    /// Return once the network is up, and go on in the background
    #[arg(long)]
    pub(crate) detach: bool,
    /// Take a network that overlaps other routes of this host
    #[arg(long)]
    force: bool,
    /// Let IP in only from peers to which this host has lately sent some
    #[arg(long)]
    shields_up: bool,
    /// Leave /etc/hosts alone: peers have no names for other programs
    #[arg(long)]
    no_hosts: bool,
    /// Set by --detach for the process in the background
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Json {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Whois {
    /// A peer's vIP or name
    pub(crate) peer: PeerArg,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// A peer's vIP or name, or `hub`
    #[arg(value_name = "PEER|hub")]
    pub(crate) to: PeerArg,
    /// The message; `-`, or nothing, reads standard input
    #[arg(conflicts_with = "file", allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// Send the content of a file
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Send without a tunnel: everybody on the way can read and change it
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) own: OwnLink,
}

#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// End after so many messages
    #[arg(short = 'n', value_name = "COUNT")]
    pub(crate) count: Option<u64>,
    /// Only messages of this peer
    #[arg(long, value_name = "PEER")]
    pub(crate) from: Option<PeerArg>,
    /// Print one JSON object a message
    #[arg(long, conflicts_with = "raw")]
    pub(crate) json: bool,
    /// Print the bytes as they are, without the sender
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) own: OwnLink,
}

#[derive(Debug, Args)]
pub(crate) struct Ask {
    #[command(flatten)]
    pub(crate) output: Json,
    #[command(flatten)]
    pub(crate) own: OwnLink,
}

#[derive(Debug, Args)]
pub(crate) struct Call {
    /// The function's name; a dosp-server knows time, uptime, version and clients
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// How a command works without a running agent.
#[derive(Debug, Args)]
pub(crate) struct OwnLink {
    /// Join this hub for this command alone, without a running agent
    #[arg(long, value_name = "HUB")]
    pub(crate) hub: Option<String>,
    /// The vIP to have at that hub
    #[arg(long, value_name = "IP", requires = "hub")]
    pub(crate) vip: Option<Vip>,
    /// File with the secret of that hub's network
    #[arg(long, value_name = "FILE", requires = "hub")]
    secret_file: Option<PathBuf>,
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
            | Self::Down
            | Self::Leave
            | Self::Status(_)
            | Self::Peers(_)
            | Self::Ip { .. }
            | Self::Whois(_)
            | Self::Trust { .. }
            | Self::Secret { .. } => None,
        }
    }
}

impl Cli {
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
        let Command::Up(up) = &self.command else { return settings };
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
            force: up.force.then_some(true),
            shields_up: up.shields_up.then_some(true),
            hosts: up.no_hosts.then_some(false),
            ..settings
        }
    }
}
