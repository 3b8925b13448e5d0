//! The agent at work: one task that owns the TUN, the connection to the hub and the [`Engine`].
//!
//! One turn of [`Node::run`] does what is ready and then waits:
//!
//! ```text
//! recv_packets   TUN ─▶ Engine::handle_packet          at most a batch, so that frames get their turn
//! read_frames    hub ─▶ FrameDecoder ─▶ Engine::handle_frame ─▶ TUN
//! handle_timeouts
//! transmit       Engine::poll_transmit ─▶ hub          until the socket is full or the queue is dry
//! ```

mod command;
mod config;
mod connection;
mod dialling;
mod place;
mod roam;
mod serve;
mod turn;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dosp_proto::backoff::Backoff;
use dosp_proto::vip::Vip;
use dosp_transport::congestion::Congestion;
use dosp_transport::fq_codel::Law;
use dosp_transport::governor::Governor;
use rand::rngs::StdRng;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use self::command::{
    Destination, LeaveError, LinkState, Message, MessageStream, NodeHandle, NodeReport,
    OffloadReport, SendFailure,
};
pub use self::config::{Access, NodeConfig, NodeIdentity};
pub use self::connection::LinkError;

use self::command::{Command, Listener};
use self::connection::Connection;
use self::dialling::{Link, Rescue, dialling, link_ready};
use crate::clock;
use crate::engine::{Echo, Engine, HubAnswer, Overlay, RequestError, Ticket, TunnelReport};
use crate::host::Host;
use crate::known_peers::KnownPeers;
use crate::link::{
    Credentials, DialError, HubAddr, Join, JoinConfig, JoinError, Joined, Membership, Roaming,
};
use crate::peer_name::PeerName;
use crate::tun::{TunDevice, TunWriter};

/// Why a node ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError<E> {
    /// The hub cannot be reached.
    #[error(transparent)]
    Dial(DialError),
    /// The hub does not let us in.
    #[error(transparent)]
    Join(JoinError),
    /// The link was lost, and is not to be made again.
    #[error(transparent)]
    Link(LinkError),
    /// The host cannot be configured.
    #[error(transparent)]
    Host(E),
    /// The hub has given up this node's place, as it was asked to.
    #[error("this host has left the network")]
    Left,
    /// The TUN is gone.
    #[error("the TUN device is gone")]
    Tun(#[source] std::io::Error),
}

/// An agent, to be [run](Self::run).
#[derive(Debug)]
pub struct Node<T, H> {
    hubs: Vec<HubAddr>,
    credentials: Arc<Credentials>,
    /// The vIP that a person named.
    vip: Option<Vip>,
    reconnect: bool,
    congestion: Congestion,
    tun: Option<T>,
    tun_writer: TunWriter,
    host: H,
    engine: Engine,
    link: Link,
    roaming: Roaming,
    rescue: Rescue,
    backoff: Backoff,
    rng: StdRng,
    commands: mpsc::Receiver<Command>,
    state: watch::Sender<LinkState>,
    known: watch::Sender<KnownPeers>,
    names: watch::Sender<Vec<(Vip, PeerName)>>,
    listeners: Vec<Listener>,
    sends: HashMap<Ticket, oneshot::Sender<Result<(), SendFailure>>>,
    tunnels: HashMap<Ticket, oneshot::Sender<Result<TunnelReport, SendFailure>>>,
    echoes: HashMap<Ticket, oneshot::Sender<Result<Echo, SendFailure>>>,
    asks: HashMap<Ticket, oneshot::Sender<Result<HubAnswer, RequestError>>>,
    leavers: Vec<oneshot::Sender<Result<(), LeaveError>>>,
    next_ticket: Ticket,
    up_since: Option<Instant>,
    routes: place::Routes,
    /// Where the hub was looked for in vain.
    missed_hub: Option<IpAddr>,
    /// Unix seconds by the hub's clock, and when it told them.
    hub_time: Option<(u64, Instant)>,
    was_up: bool,
    num_link_losses: u64,
    last_error: Option<String>,
}

impl<T: TunDevice, H: Host> Node<T, H> {
    /// A node that has not dialled yet, and the way to it.
    #[must_use]
    pub fn new(config: NodeConfig, tun: Option<T>, host: H) -> (Self, NodeHandle) {
        let NodeConfig { hubs, access, vip, reconnect, congestion, engine, identity, known } =
            config;
        let (handle, ends) = NodeHandle::new(&known);
        let mut rng: StdRng = rand::make_rng();
        let credentials = access.credentials(&identity);
        let mut endpoint = identity.endpoint(&mut rng);
        if let Some(tun) = &tun {
            endpoint = endpoint.with_super_packets(tun.offloads());
        }
        let node = Self {
            engine: Engine::new(engine, endpoint, known),
            link: Link::Dialling(dialling(&hubs)),
            hubs,
            credentials: Arc::new(credentials),
            vip,
            reconnect,
            congestion,
            tun,
            tun_writer: TunWriter::default(),
            host,
            roaming: Roaming::default(),
            rescue: Rescue::default(),
            backoff: Backoff::new(),
            rng,
            commands: ends.commands,
            state: ends.link,
            known: ends.known,
            names: ends.names,
            listeners: Vec::new(),
            sends: HashMap::new(),
            tunnels: HashMap::new(),
            echoes: HashMap::new(),
            asks: HashMap::new(),
            leavers: Vec::new(),
            next_ticket: 0,
            up_since: None,
            routes: place::Routes::default(),
            missed_hub: None,
            hub_time: None,
            was_up: false,
            num_link_losses: 0,
            last_error: None,
        };
        (node, handle)
    }

    /// Works until `stop`, then leaves the hub.
    ///
    /// # Errors
    /// Why there is no point in going on.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), NodeError<H::Error>> {
        loop {
            self.turn().await?;
            let sleep = self.poll_timeout().saturating_duration_since(clock::instant());
            let wants_write = self.engine.wants_transmit();
            tokio::select! {
                () = stop.cancelled() => break,
                ready = readable(self.tun.as_ref()) => ready.map_err(NodeError::Tun)?,
                dialled = link_ready(&mut self.link, wants_write) => match dialled {
                    Some(Ok(stream)) => self.connected(stream),
                    Some(Err(error)) => self.dial_failed(error)?,
                    None => {}
                },
                dialled = self.rescue.ended() => self.rescued(dialled),
                change = self.host.changed() => self.changed(change)?,
                Some(command) = self.commands.recv() => self.handle_command(command),
                () = tokio::time::sleep(sleep) => {}
            }
        }
        self.leave();
        Ok(())
    }

    /// Says goodbye to peers and hub, as far as the socket takes it at once.
    fn leave(&mut self) {
        let Link::Connected(connection) = &mut self.link else { return };
        let (engine, rng) = (&mut self.engine, &mut self.rng);
        engine.say_goodbye(clock::now(), rng);
        let said =
            connection.write(|batch, len| engine.poll_transmit(batch, len, clock::now(), rng));
        if let Err(error) = said {
            tracing::debug!(%error, "no goodbye to peers");
        }
        connection.leave();
    }

    async fn turn(&mut self) -> Result<(), NodeError<H::Error>> {
        self.recv_packets()?;
        self.roam().await?;
        loop {
            match self.work_link() {
                // Frames behind the join wait for the host to be configured, and then for us.
                Ok(Some(entry)) => self.joined(entry).await?,
                Ok(None) => break,
                Err(LinkEnd::Lost(error)) => {
                    // What the hub said last may be why.
                    self.settle().await?;
                    let is_over = !matches!(self.link, Link::Connected(_));
                    return if is_over { Ok(()) } else { self.link_lost(error) };
                }
                Err(LinkEnd::NotJoined(error)) => return self.join_failed(error),
            }
        }
        self.settle().await
    }

    fn connected(&mut self, stream: TcpStream) {
        let before = self.engine.overlay().map(|overlay| overlay.vip);
        let config = JoinConfig {
            wanted: before.or(self.vip),
            explicit: self.vip.is_some(),
            first: !self.was_up,
        };
        let join = Join::new(config, Arc::clone(&self.credentials), clock::instant());
        let governor = Governor::new(self.congestion);
        self.engine.set_queue_law(Law::DEFAULT);
        let connection = Connection::new(stream, join, governor, clock::instant());
        self.link = Link::Connected(Box::new(connection));
        self.rescue = Rescue::default();
        self.state.send_replace(LinkState::Joining);
    }

    async fn joined(&mut self, entry: Entry) -> Result<(), NodeError<H::Error>> {
        let Entry { joined, membership, hub } = entry;
        let overlay = Overlay { vip: joined.vip, network: joined.network };
        let before = self.engine.overlay();
        if before != Some(overlay) {
            self.host.apply(before, overlay, hub).await.map_err(NodeError::Host)?;
        }
        if let (true, Some(before)) = (joined.moved, before) {
            tracing::warn!(vip = %joined.vip, before = %before.vip, "the old vIP did not come back");
        }
        tracing::info!(vip = %joined.vip, network = %joined.network, %hub, "up");
        if let Some(membership) = membership {
            self.became_member(membership);
        }
        self.engine.link_up(overlay, joined.hub, clock::now(), &mut self.rng);
        // Also where they are the same as before: the hub may have another address.
        self.route_networks(hub).await;
        (self.was_up, self.up_since) = (true, Some(clock::instant()));
        self.backoff.reset();
        self.state.send_replace(LinkState::Up(overlay));
        Ok(())
    }

    fn dial_failed(&mut self, error: DialError) -> Result<(), NodeError<H::Error>> {
        if !self.was_up {
            return Err(NodeError::Dial(error));
        }
        self.missed_hub = error.addr().map(|addr| addr.ip());
        self.retry(&error);
        Ok(())
    }

    fn join_failed(&mut self, error: JoinError) -> Result<(), NodeError<H::Error>> {
        if !self.was_up || place::is_final(&error) {
            return Err(NodeError::Join(error));
        }
        self.retry(&error);
        Ok(())
    }

    fn link_lost(&mut self, error: LinkError) -> Result<(), NodeError<H::Error>> {
        self.link_ended();
        if !self.was_up || !self.reconnect {
            return Err(NodeError::Link(error));
        }
        self.retry(&error);
        Ok(())
    }

    /// What waits for answers from this connection gets none any more.
    fn link_ended(&mut self) {
        self.roaming.end_probe();
        self.rescue = Rescue::default();
        if self.up_since.take().is_some() {
            self.num_link_losses += 1;
            self.engine.link_down();
            self.finish_events();
        }
    }

    fn retry(&mut self, error: &(impl std::error::Error + Send + Sync)) {
        let text = chain(error);
        let now = clock::instant();
        let delay = self.backoff.next_delay(now, &mut self.rng);
        tracing::warn!(error = text, retry_in_ms = delay.as_millis(), "no link to the hub");
        self.last_error = Some(text);
        self.link = Link::Waiting { until: now + delay };
        self.state.send_replace(LinkState::Connecting);
    }

    fn poll_timeout(&self) -> Instant {
        let link = match &self.link {
            Link::Waiting { until } => Some(*until),
            Link::Dialling(_) => None,
            Link::Connected(connection) => Some(connection.poll_timeout()),
        };
        let far = clock::instant() + Duration::from_secs(3600);
        let others = [self.engine.poll_timeout(), self.roaming.poll_timeout()];
        link.into_iter().chain(others.into_iter().flatten()).min().unwrap_or(far)
    }
}

/// How a connection ends.
enum LinkEnd {
    Lost(LinkError),
    NotJoined(JoinError),
}

impl<E: Into<LinkError>> From<E> for LinkEnd {
    fn from(error: E) -> Self {
        Self::Lost(error.into())
    }
}

/// What comes of a join.
struct Entry {
    joined: Joined,
    membership: Option<Membership>,
    hub: IpAddr,
}

async fn readable<T: TunDevice>(tun: Option<&T>) -> std::io::Result<()> {
    match tun {
        Some(tun) => tun.readable().await,
        None => std::future::pending().await,
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
