//! What the rest of the process may ask of a running node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dosp_proto::identity::{Fingerprint, PublicKey};
use dosp_proto::member;
use dosp_proto::offload::Offloads;
use dosp_proto::vip::Vip;
use dosp_transport::governor;
use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::{
    Drops, Echo, HubAnswer, HubRequest, MessageFailure, Overlay, PeerReport, QueueReport,
    RequestError, ResolveError, SendError, Traffic, Trust, TrustError, TunnelReport, Version,
};
use crate::known_peers::{KnownPeer, KnownPeers, TrustPolicy};
use crate::peer_name::PeerName;
use crate::remote::RemoteNetworks;

/// So many commands wait before their senders do.
const MAX_WAITING: usize = 64;
/// So many bytes wait for one listener before it is cut off.
const MAX_UNHEARD_LEN: usize = 16 * 1024 * 1024;
/// What a waiting message costs beside its content, in bytes, roughly.
const MESSAGE_COST: usize = 64;

/// Where a raw message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The hub itself, which logs it.
    Hub,
    /// A peer, sealed.
    Peer(Vip),
    /// A peer, readable for the hub and everybody on the way.
    Plain(Vip),
}

/// Why a raw message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendFailure {
    /// It was not even taken.
    #[error(transparent)]
    NotTaken(#[from] SendError),
    /// It was taken and did not get through.
    #[error(transparent)]
    Failed(#[from] MessageFailure),
    /// The node ended.
    #[error("the agent stopped")]
    Stopped,
}

impl SendFailure {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Failed(MessageFailure::Refused(refusal)) => refusal.hint(),
            Self::Failed(MessageFailure::NoAnswer) => Some(
                "is the peer up, at the same hub? published clients answer only while they receive"
                    .to_owned(),
            ),
            Self::Failed(MessageFailure::NoWay { .. }) => Some(
                "whoever runs the hubs can tell when they are linked again; 'dosp-agent status' shows \
                 the networks"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Why a node did not leave its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaveError {
    /// The hub keeps nothing of it.
    #[error("this hub has no members")]
    NoMember,
    /// The hub cannot be told.
    #[error("not connected to a hub")]
    NotConnected,
}

/// A raw message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it; `None` for a broadcast of the hub.
    pub from: Option<Vip>,
    /// The version of the tunnel that it came through; `None` where the hub could read it.
    pub version: Option<Version>,
    /// Its content.
    pub data: Vec<u8>,
}

/// How far the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Waiting for the next try, or dialling.
    Connecting,
    /// Connected, and not yet let in under the right vIP.
    Joining,
    /// Let in.
    Up(Overlay),
}

/// What a node tells about itself.
#[derive(Debug, Clone)]
pub struct NodeReport {
    /// How far the link is.
    pub link: LinkState,
    /// Where it is, or last was.
    pub overlay: Option<Overlay>,
    /// Why the last connection ended or failed.
    pub last_error: Option<String>,
    /// How often a link was lost since the start.
    pub num_link_losses: u64,
    /// Age of the link.
    pub up_for: Option<Duration>,
    /// Round trip of the last PING to the hub.
    pub hub_rtt: Option<Duration>,
    /// What was dropped, by reason.
    pub drops: Drops,
    /// Frames of all peers, also of those that are forgotten.
    pub traffic: Traffic,
    /// How often a peer has proved its key.
    pub num_handshakes: u64,
    /// All peers, by vIP.
    pub peers: Vec<PeerReport>,
    /// This agent's key, for people.
    pub fingerprint: Fingerprint,
    /// The name that the hub knows it by, or that it claims.
    pub name: Option<String>,
    /// The hub's key, where it has members.
    pub hub_key: Option<PublicKey>,
    /// Whether peers reach this host only when it has spoken to them.
    pub shields_up: bool,
    /// Whether only members are in the network.
    pub is_closed: bool,
    /// The networks of other hubs.
    pub networks: RemoteNetworks,
    /// Those of them that this host does not route, by their first address, and why.
    pub unrouted: BTreeMap<Vip, String>,
    /// All members of the networks; `None` where the hub has none.
    pub nodes: Option<Vec<member::Node>>,
    /// What waits for the link, and for tunnels.
    pub queue: QueueReport,
    /// Which super-packets the TUN has, where there is one.
    pub offload: Option<OffloadReport>,
    /// How the connection fares, while there is one.
    pub path: Option<governor::Report>,
    /// Unix seconds by the hub's clock, where it has told.
    pub hub_time: Option<u64>,
}

/// What becomes of super-packets at the TUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffloadReport {
    /// Those that the host gives and takes.
    pub offloads: Offloads,
    /// Whether the kernel refused one, and all are cut before it gets them.
    pub splits: bool,
}

/// One thing asked of the node.
#[derive(Debug)]
pub(super) enum Command {
    Report(oneshot::Sender<NodeReport>),
    Send(Destination, Vec<u8>, oneshot::Sender<Result<(), SendFailure>>),
    /// Ask for the tunnel with a peer.
    Tunnel(Vip, oneshot::Sender<Result<TunnelReport, SendFailure>>),
    Echo(Vip, Vec<u8>, oneshot::Sender<Result<Echo, SendFailure>>),
    /// From now on shields are up or not, and new keys are trusted by this policy.
    Protect(bool, TrustPolicy, oneshot::Sender<()>),
    Trust(Trust, oneshot::Sender<Result<KnownPeer, TrustError>>),
    Resolve(String, oneshot::Sender<Result<Vip, ResolveError>>),
    Listen(Listener),
    /// Give up this node's place in the network.
    Leave(oneshot::Sender<Result<(), LeaveError>>),
    Ask(HubRequest, oneshot::Sender<Result<HubAnswer, RequestError>>),
}

/// The node's end of a [`MessageStream`].
#[derive(Debug)]
pub(super) struct Listener {
    messages: mpsc::UnboundedSender<Message>,
    unheard_len: Arc<AtomicUsize>,
}

impl Listener {
    fn new() -> (Self, MessageStream) {
        let (messages, received) = mpsc::unbounded_channel();
        let unheard_len = Arc::new(AtomicUsize::new(0));
        let stream = MessageStream { messages: received, unheard_len: Arc::clone(&unheard_len) };
        (Self { messages, unheard_len }, stream)
    }

    /// Gives it a message; `false` where it has left, or does not keep up.
    pub(super) fn hears(&self, message: &Message) -> bool {
        let cost = message.data.len() + MESSAGE_COST;
        let before = self.unheard_len.fetch_add(cost, Ordering::Relaxed);
        before < MAX_UNHEARD_LEN && self.messages.send(message.clone()).is_ok()
    }
}

/// Gives the message to everybody who listens. Who has left or does not keep up is cut off.
pub(super) fn publish(listeners: &mut Vec<Listener>, message: &Message) {
    if listeners.is_empty() {
        tracing::info!(from = ?message.from, len = message.data.len(), "a message, and nobody listens");
    }
    listeners.retain(|listener| listener.hears(message));
}

/// Raw messages, in the order in which they came.
#[derive(Debug)]
pub struct MessageStream {
    messages: mpsc::UnboundedReceiver<Message>,
    unheard_len: Arc<AtomicUsize>,
}

impl MessageStream {
    /// The next one; `None` where the node has ended, or cut us off.
    pub async fn recv(&mut self) -> Option<Message> {
        let message = self.messages.recv().await?;
        self.unheard_len.fetch_sub(message.data.len() + MESSAGE_COST, Ordering::Relaxed);
        Some(message)
    }
}

/// The way to a running node; cheap to clone.
#[derive(Debug, Clone)]
pub struct NodeHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) link: watch::Receiver<LinkState>,
    known: watch::Receiver<KnownPeers>,
    names: watch::Receiver<Vec<(Vip, PeerName)>>,
}

/// The node's ends of a [`NodeHandle`].
#[derive(Debug)]
pub(super) struct NodeEnds {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) link: watch::Sender<LinkState>,
    pub(super) known: watch::Sender<KnownPeers>,
    pub(super) names: watch::Sender<Vec<(Vip, PeerName)>>,
}

impl NodeHandle {
    /// A handle, and the node's ends of it.
    pub(super) fn new(known: &KnownPeers) -> (Self, NodeEnds) {
        let (commands, commands_rx) = mpsc::channel(MAX_WAITING);
        let (link_tx, link) = watch::channel(LinkState::Connecting);
        let (known_tx, known) = watch::channel(known.clone());
        let (names_tx, names) = watch::channel(Vec::new());
        let ends =
            NodeEnds { commands: commands_rx, link: link_tx, known: known_tx, names: names_tx };
        (Self { commands, link, known, names }, ends)
    }

    /// Whose keys the node knows, and every change that is to be kept.
    #[must_use]
    pub fn known_peers(&self) -> watch::Receiver<KnownPeers> {
        self.known.clone()
    }

    /// What programs on this host may call the members of the network, whenever that changes.
    #[must_use]
    pub fn names(&self) -> watch::Receiver<Vec<(Vip, PeerName)>> {
        self.names.clone()
    }

    /// Gives up this node's place in the network, and returns when the hub has. The node ends then;
    /// `None` where it ends first.
    ///
    /// # Errors
    /// [`LeaveError`].
    pub async fn leave(&self) -> Option<Result<(), LeaveError>> {
        self.command(Command::Leave).await
    }

    /// What the node is doing; `None` once it has ended.
    pub async fn report(&self) -> Option<NodeReport> {
        self.command(Command::Report).await
    }

    /// Sends a raw message, and returns when the hub has it.
    ///
    /// # Errors
    /// [`SendFailure`].
    pub async fn send(&self, to: Destination, data: Vec<u8>) -> Result<(), SendFailure> {
        let sent = self.command(|reply| Command::Send(to, data, reply)).await;
        sent.unwrap_or(Err(SendFailure::Stopped))
    }

    /// Opens the tunnel with a peer, where there is none, and tells what it is.
    ///
    /// # Errors
    /// [`SendFailure`].
    pub async fn tunnel(&self, with: Vip) -> Result<TunnelReport, SendFailure> {
        let tunnel = self.command(|reply| Command::Tunnel(with, reply)).await;
        tunnel.unwrap_or(Err(SendFailure::Stopped))
    }

    /// Sends a peer something, and waits until it comes back; that may be never.
    ///
    /// # Errors
    /// [`SendFailure`].
    pub async fn echo(&self, to: Vip, payload: Vec<u8>) -> Result<Echo, SendFailure> {
        let echo = self.command(|reply| Command::Echo(to, payload, reply)).await;
        echo.unwrap_or(Err(SendFailure::Stopped))
    }

    /// Changes whom the node trusts; `None` where the node ends first.
    ///
    /// # Errors
    /// [`TrustError`].
    pub async fn trust(&self, change: Trust) -> Option<Result<KnownPeer, TrustError>> {
        self.command(|reply| Command::Trust(change, reply)).await
    }

    /// Raises or lowers the shields, and changes which new keys are trusted; `None` where the node ends
    /// first.
    pub async fn protect(&self, shields_up: bool, trust: TrustPolicy) -> Option<()> {
        self.command(|reply| Command::Protect(shields_up, trust, reply)).await
    }

    /// The vIP of a peer by its name, which from now on is the name of its key; `None` where the
    /// node ends first.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(&self, name: String) -> Option<Result<Vip, ResolveError>> {
        self.command(|reply| Command::Resolve(name, reply)).await
    }

    async fn command<R>(&self, command: impl FnOnce(oneshot::Sender<R>) -> Command) -> Option<R> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Asks the hub; `None` where the node ends first.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn ask(&self, request: HubRequest) -> Option<Result<HubAnswer, RequestError>> {
        self.command(|reply| Command::Ask(request, reply)).await
    }

    /// Every raw message from now on. Whoever leaves 16 MiB of them unread is cut off: the stream
    /// ends.
    pub async fn listen(&self) -> Option<MessageStream> {
        let (listener, stream) = Listener::new();
        self.commands.send(Command::Listen(listener)).await.ok()?;
        Some(stream)
    }

    /// Waits until the link is up; `None` where the node ends first.
    pub async fn up(&self) -> Option<Overlay> {
        match self.wait_for(|state| matches!(state, LinkState::Up(_))).await? {
            LinkState::Up(overlay) => Some(overlay),
            LinkState::Connecting | LinkState::Joining => None,
        }
    }

    /// Waits until the link is as `wanted` says; `None` where the node ends first.
    pub async fn wait_for(&self, wanted: impl Fn(LinkState) -> bool) -> Option<LinkState> {
        let mut link = self.link.clone();
        let state = link.wait_for(|state| wanted(*state)).await.ok()?;
        Some(*state)
    }
}
