//! The commands, one file each.

pub(crate) mod bugreport;
pub(crate) mod doctor;
pub(crate) mod hub;
pub(crate) mod join;
pub(crate) mod leave;
pub(crate) mod listen;
pub(crate) mod manual;
mod network;
pub(crate) mod ping;
pub(crate) mod secret;
pub(crate) mod send;
pub(crate) mod status;
pub(crate) mod trust;
pub(crate) mod up;
pub(crate) mod wait;
mod watch;
pub(crate) mod whois;

use std::path::Path;
use std::sync::Arc;

use dosp_proto::identity::IdentityKey;
use dosp_proto::join_string::JoinString;
use dosp_proto::member::{Refusal, Refused};
use dosp_proto::vip::Vip;
use nix::net::if_::if_nametoindex;
use rand::rngs::StdRng;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::network::Network;
use crate::cli::{OwnLink, PeerArg};
use crate::config::Settings;
use crate::control::wire::{FailureKind, Surroundings};
use crate::control::{Client, ControlError, server};
use crate::engine::{C2c, EngineConfig};
use crate::failure::{Exit, Failure};
use crate::host::NoHost;
use crate::hosts::HostsFile;
use crate::link::{DialError, HubAddrError, JoinError};
use crate::node::{Access, LinkError, Node, NodeConfig, NodeError, NodeHandle, NodeIdentity};
use crate::state::{StateError, look_up_known_peers};
use crate::tun::{ChannelTun, LinuxTun};

/// Length in bytes of the headers of TCP and IPv4 without options, which the MTU has to hold as well.
const TCP_AND_IP_HEADERS_LEN: u16 = 40;
/// Joins a hub that nobody named.
const NO_HUB_HINT: &str = "join one: dosp-agent join STRING, or name one: dosp-agent up HUB, or \
                           hub = \"HUB\" in the configuration file";

/// Ends the running agent. Where none runs, what a killed one left is removed.
pub(crate) async fn down(settings: &Settings) -> Result<(), Failure> {
    match Client::connect(&settings.socket()).await {
        Err(error @ ControlError::NotRunning { .. }) => {
            remove_names(settings.tun(), &HostsFile::default());
            Err(error.into())
        }
        client => Ok(client?.down().await?),
    }
}

/// Removes what a killed agent left, where none runs: for a service manager whose agent has ended.
pub(crate) async fn remove_leftovers(settings: &Settings) -> Result<(), Failure> {
    if let Err(ControlError::NotRunning { .. }) = Client::connect(&settings.socket()).await {
        remove_names(settings.tun(), &HostsFile::default());
    }
    Ok(())
}

/// Removes the names that the agent of the interface `tun` left, if it was killed.
fn remove_names(tun: &str, hosts: &HostsFile) {
    // While the interface is there so is its agent, which answers on another socket.
    if if_nametoindex(tun).is_ok() {
        return;
    }
    let path = hosts.path().display();
    match hosts.remove(tun) {
        Ok(true) => tracing::warn!("removed the names that a killed agent left in {path}"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "names of a killed agent may be left in {path}"),
    }
}

pub(crate) async fn connect(socket: &Path) -> Result<Client, Failure> {
    Ok(Client::connect(socket).await?)
}

/// Who this node is, by the settings and with this key.
pub(crate) fn identity(
    settings: &Settings,
    key: IdentityKey,
    join: Option<&JoinString>,
) -> Result<NodeIdentity, Failure> {
    let secrets = settings.secrets()?;
    if settings.c2c() == C2c::V1 && !secrets.is_empty() {
        let text = "version 1 of tunnels knows no network secret";
        return Err(Failure::text(Exit::Usage, text).hint("leave out c2c = \"v1\", or the secret"));
    }
    let promised = || join.and_then(|join| join.name.clone());
    let name = settings.name.clone().or_else(promised).or_else(|| settings.name());
    Ok(NodeIdentity { key, secrets, name })
}

/// The MTU of the TUN in bytes. That of an interface that was made for this user is its maker's to choose.
fn mtu(settings: &Settings) -> Result<u16, Failure> {
    let made = LinuxTun::mtu_made_for_us(settings.tun());
    let settings = Settings { mtu: settings.mtu.or(made), ..Settings::default() };
    settings.mtu().ok_or_else(|| {
        Failure::text(Exit::Usage, "the MTU is too small for IPv4").hint("give at least 576")
    })
}

pub(crate) fn engine(settings: &Settings, carries_ip: bool) -> EngineConfig {
    EngineConfig {
        carries_ip,
        shields_up: settings.shields_up.unwrap_or_default(),
        c2c: settings.c2c(),
        version1: settings.version1(),
        max_segment_len: mtu(settings).ok().map(|mtu| mtu.saturating_sub(TCP_AND_IP_HEADERS_LEN)),
    }
}

/// An agent to talk to: the running one, or one of this command's own.
pub(crate) enum Agent {
    Running(std::path::PathBuf),
    Own { handle: NodeHandle, stop: CancellationToken, task: JoinHandle<Result<(), Failure>> },
}

impl Agent {
    /// The running agent, or with `--hub` a node that joins that hub and carries no IP.
    pub(crate) async fn find(own: &OwnLink, settings: &Settings) -> Result<Self, Failure> {
        let Some(hub) = &own.hub else { return Ok(Self::Running(settings.socket())) };
        let network = Network::at(hub.parse()?, settings)?;
        // A key for this command alone: that of a running agent must not be at two vIPs.
        let key = IdentityKey::generate(&mut rand::make_rng::<StdRng>());
        let state = settings.state();
        let known = look_up_known_peers(&state, &network.folder, *key.public(), settings.trust())?;
        let config = NodeConfig {
            hubs: network.hubs,
            access: Access {
                hub_key: network.join.map(|join| join.hub_key),
                is_guest: true,
                ..Access::default()
            },
            vip: own.vip,
            congestion: settings.congestion.unwrap_or_default(),
            reconnect: false,
            engine: engine(settings, false),
            identity: identity(settings, key, None)?,
            known,
        };
        let (node, handle) = Node::<ChannelTun, _>::new(config, None, NoHost);
        let stop = CancellationToken::new();
        let (run, name) = (node.run(stop.clone()), hub.clone());
        let mut task = tokio::spawn(async move { run.await.map_err(|error| ended(error, &name)) });
        tokio::select! {
            Some(_) = handle.up() => Ok(Self::Own { handle, stop, task }),
            ended = &mut task => Err(ended_early(ended)),
        }
    }

    /// The vIP of `peer`, which is one or a name.
    pub(crate) async fn resolve(&self, peer: &PeerArg) -> Result<Vip, Failure> {
        match peer {
            PeerArg::Vip(vip) => Ok(*vip),
            PeerArg::Name(name) => Ok(self.client().await?.resolve(name.to_string()).await?),
        }
    }

    /// A connection for one request.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        match self {
            Self::Running(socket) => connect(socket).await,
            Self::Own { handle, stop, .. } => {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                let surroundings = Arc::new(Surroundings::default());
                tokio::spawn(server::serve(theirs, handle.clone(), surroundings, stop.clone()));
                Ok(Client::over(ours))
            }
        }
    }

    /// Ends an agent of this command's own; a running one goes on.
    pub(crate) async fn leave(self) -> Result<(), Failure> {
        match self {
            Self::Running(_) => Ok(()),
            Self::Own { stop, task, .. } => {
                stop.cancel();
                task.await.unwrap_or_else(|error| Err(Failure::new(Exit::Failed, error)))
            }
        }
    }

    /// What ended an agent of this command's own, where that was not this command.
    pub(crate) async fn blame(self, error: ControlError) -> Failure {
        match (self, error) {
            (Self::Own { task, .. }, ControlError::Ended | ControlError::Io(_)) => {
                ended_early(task.await)
            }
            (_, error) => error.into(),
        }
    }
}

fn ended_early(ended: Result<Result<(), Failure>, tokio::task::JoinError>) -> Failure {
    match ended {
        Ok(Err(failure)) => failure,
        Ok(Ok(())) => Failure::text(Exit::Failed, "the agent stopped"),
        Err(error) => Failure::new(Exit::Failed, error),
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let (exit, hint) = match &error {
            ControlError::NotRunning { .. } => (
                Exit::NotReachable,
                Some(
                    "start one with 'dosp-agent up', which takes a HUB where none was joined; some commands work \
                     alone, with --hub HUB",
                ),
            ),
            ControlError::Forbidden { .. } => {
                (Exit::NoPrivilege, Some("run as root, or as a member of the group dosp"))
            }
            ControlError::Malformed(_) | ControlError::Unexpected => {
                (Exit::Failed, Some("restart the agent: it is of another version"))
            }
            ControlError::Io(_) | ControlError::Ended => (Exit::Failed, None),
            ControlError::Failed { kind, .. } => match kind {
                FailureKind::Usage => (Exit::Usage, Some("'dosp-agent status' shows the network")),
                FailureKind::NotConnected => {
                    (Exit::NotReachable, Some("'dosp-agent status' shows why"))
                }
                FailureKind::Offline => {
                    (Exit::PeerOffline, Some("is its agent up, at the same hub?"))
                }
                FailureKind::Refused => (Exit::Refused, None),
                FailureKind::UnknownPeer => (Exit::UnknownPeer, None),
                FailureKind::TimedOut => (Exit::TimedOut, None),
                FailureKind::Failed => (Exit::Failed, None),
            },
        };
        let said = match &error {
            ControlError::Failed { hint, .. } => hint.clone(),
            _ => None,
        };
        let failure = Self::new(exit, error);
        match said.or(hint.map(str::to_owned)) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// What a node that ended by itself means for its command.
pub(crate) fn ended<E: Into<Failure>>(error: NodeError<E>, hub: &str) -> Failure {
    match error {
        NodeError::Dial(error) => error.into(),
        NodeError::Join(error) => Failure::from(error).context(format!("join {hub}")),
        NodeError::Link(error) => Failure::from(error).context(format!("the link to {hub}")),
        NodeError::Host(error) => error.into(),
        NodeError::Left => Failure::text(Exit::Failed, "this host has left the network"),
        NodeError::Tun(source) => Failure::new(Exit::Failed, source)
            .context("the TUN device is gone")
            .hint("was the interface removed?"),
    }
}

impl From<std::convert::Infallible> for Failure {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<HubAddrError> for Failure {
    fn from(error: HubAddrError) -> Self {
        let hint = "write HOST, HOST:PORT or [IPV6]:PORT";
        Self::new(Exit::Usage, error).context("the hub").hint(hint)
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        let hint = error.hint();
        Self::new(Exit::NotReachable, error).hint(hint)
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let hint = error.hint();
        Self::new(Exit::NotReachable, error).hint(hint)
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let (exit, hint) = match &error {
            JoinError::Refused { .. } => (Exit::Refused, "ask whoever runs the hub"),
            JoinError::VipRefused { .. } => {
                (Exit::Refused, "take another vIP, or leave out --vip and let the hub choose")
            }
            JoinError::HubKey { .. } | JoinError::NoHubKey { .. } => (
                Exit::Refused,
                "ask whoever runs the hub whether its key is a new one; then join with a new join string, \
                 or remove the file hub_key in this network's state folder",
            ),
            JoinError::Handshake(_) | JoinError::Control(_) => {
                (Exit::Refused, "somebody between here and the hub changes what it says")
            }
            JoinError::NotAdmitted(refused) => (Exit::Refused, refusal_hint(refused)),
            JoinError::Compression => (Exit::Failed, "switch compression off at the hub"),
            JoinError::NotDosp { .. } | JoinError::Malformed(_) | JoinError::UnusableVip { .. } => {
                (Exit::Failed, "is it really a DoSP hub that listens there?")
            }
            JoinError::TimedOut { .. } => {
                (Exit::NotReachable, "is it really a DoSP hub that listens there?")
            }
        };
        Self::new(exit, error).hint(hint)
    }
}

/// What to do about a refusal.
fn refusal_hint(refused: &Refused) -> &'static str {
    match refused.reason {
        Refusal::MembersOnly => {
            "ask whoever runs the hub for a join string ('dosp-server invite'), then: dosp-agent join STRING"
        }
        Refusal::WrongKey | Refusal::UsedKey | Refusal::ExpiredKey | Refusal::RevokedKey => {
            "ask whoever runs the hub for a new join string ('dosp-server invite')"
        }
        Refusal::Removed => {
            "whoever runs the hub has removed this host; a new join string lets it in again"
        }
        Refusal::NameTaken => "take another name with --name, or leave it out",
        Refusal::VipTaken | Refusal::VipUnusable => {
            "take another vIP, or leave out --vip and let the hub choose"
        }
        Refusal::Full => {
            "'dosp-server nodes remove' at the hub makes room; so does a larger network"
        }
        Refusal::KeyInUse => {
            "is an agent with this state folder still running, or a copy of it on another host? \
             each host needs a key of its own"
        }
        Refusal::Store => "the hub's log says what is wrong with its state folder",
        Refusal::Kicked | Refusal::Other => "ask whoever runs the hub",
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let exit = if error.is_permission() { Exit::NoPrivilege } else { Exit::Failed };
        let hint = error.hint();
        Self::new(exit, error).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_an_agent_go_only_with_its_interface() {
        let dir = tempfile::TempDir::new().unwrap();
        let hosts = HostsFile::at(dir.path().join("hosts"));
        let names = [("10.1.2.3".parse().unwrap(), "bob".parse().unwrap())];
        for (tun, is_removed) in [("lo", false), ("no-such-tun", true)] {
            hosts.write(tun, &names).unwrap();
            remove_names(tun, &hosts);
            let text = std::fs::read_to_string(hosts.path()).unwrap();
            assert_eq!(!text.contains(&format!("dosp {tun}:")), is_removed, "{text}");
        }
    }
}
