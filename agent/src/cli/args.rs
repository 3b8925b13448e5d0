//! What the commands are told: the arguments of each.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use dosp_console::watch::parse_interval;
use dosp_proto::label::{Label, LabelError};
use dosp_proto::vip::Vip;
use dosp_transport::congestion::Congestion;

use crate::control::MAX_ECHO_LEN;
use crate::engine::{C2c, Version1};
use crate::known_peers::TrustPolicy;
use crate::peer_name::PeerName;

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
    pub(super) hub: Option<String>,
    /// The vIP to have
    #[arg(long, value_name = "IP")]
    pub(super) vip: Option<Vip>,
    /// What this host calls itself [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<Label>,
    /// File with the network secret, or with two: the first opens tunnels, both are taken
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,
    /// The newest version of tunnels to speak [default: v2]
    #[arg(long, value_name = "VERSION")]
    pub(super) c2c: Option<C2c>,
    /// What to use version 1 for with peers that know nothing else [default: messages]
    #[arg(long, value_name = "WHAT")]
    pub(super) version1: Option<Version1>,
    /// Which keys to trust that nobody here knows yet [default: first-use]
    #[arg(long, value_name = "POLICY")]
    pub(super) trust: Option<TrustPolicy>,
    /// Name of the TUN interface [default: dosp0]
    #[arg(long, value_name = "NAME")]
    pub(super) tun: Option<String>,
    /// MTU of the TUN interface in bytes [default: 1420]
    #[arg(long, value_name = "BYTES")]
    pub(super) mtu: Option<u16>,
    /// Have the kernel cut all packets to the MTU, and take no longer ones from peers
    #[arg(long)]
    pub(super) no_offload: bool,
    /// Congestion control of the connection to the hub: auto, kernel, cubic or bbr [default: auto]
    #[arg(long, value_name = "NAME")]
    pub(super) congestion: Option<Congestion>,
    /// Serve figures for Prometheus at http://ADDR:PORT/metrics [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) metrics: Option<SocketAddr>,
    /// Return once the network is up, and go on in the background
    #[arg(long)]
    pub(crate) detach: bool,
    /// Take a network that overlaps other routes of this host
    #[arg(long)]
    pub(super) force: bool,
    /// Let IP in only from peers to which this host has lately sent some
    #[arg(long)]
    pub(super) shields_up: bool,
    /// Leave /etc/hosts alone: peers have no names for other programs
    #[arg(long)]
    pub(super) no_hosts: bool,
    /// Set by --detach for the process in the background
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// How long, such as 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The hub to look at [default: that of the running agent, or the joined one]
    pub(super) hub: Option<String>,
    #[command(flatten)]
    pub(crate) output: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Bugreport {
    /// The file to make, or `-` for standard output [default: dosp-bugreport-TIME.txt, here]
    #[arg(value_name = "FILE|-")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Json {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) output: Json,
    /// Show it again and again: a picture in a terminal until 'q', else lines, or with --json objects
    #[arg(long)]
    pub(crate) watch: bool,
    /// Time between two looks [default: 1s]
    #[arg(long, value_name = "TIME", requires = "watch", value_parser = parse_interval)]
    pub(crate) interval: Option<Duration>,
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
    pub(super) secret_file: Option<PathBuf>,
}
