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
mod connection;
mod serve;
mod turn;

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use dosp_proto::Now;
use dosp_proto::vip::Vip;
use rand::rngs::StdRng;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use self::command::{
    Destination, LinkState, Message, MessageStream, NodeHandle, NodeReport, SendFailure,
};
pub use self::connection::LinkError;

use self::command::{Command, Listener};
use self::connection::Connection;
use crate::engine::{Engine, EngineConfig, HubAnswer, Overlay, RequestError, Ticket};
use crate::host::Host;
use crate::link::{self, Backoff, DialError, HubAddr, JoinConfig, JoinError, Joined};
use crate::tun::TunDevice;

/// Packets taken from the TUN in one turn.
const MAX_PACKETS: usize = 64;
/// Reads from the socket in one turn.
const MAX_READS: usize = 8;

/// What a node is to do.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The hub.
    pub hub: HubAddr,
    /// The vIP that a person named.
    pub vip: Option<Vip>,
    /// Whether a lost link is made again. The first one is tried once in any case.
    pub reconnect: bool,
    /// For the engine.
    pub engine: EngineConfig,
}

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
    /// The TUN is gone.
    #[error("the TUN device is gone")]
    Tun(#[source] std::io::Error),
}

type Dialling = Pin<Box<dyn Future<Output = Result<TcpStream, DialError>> + Send>>;

enum Link {
    Waiting { until: Instant },
    Dialling(Dialling),
    Connected(Box<Connection>),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Waiting { .. } => "Waiting",
            Self::Dialling(_) => "Dialling",
            Self::Connected(_) => "Connected",
        })
    }
}

/// An agent, to be [run](Self::run).
#[derive(Debug)]
pub struct Node<T, H> {
    config: NodeConfig,
    tun: Option<T>,
    host: H,
    engine: Engine,
    link: Link,
    backoff: Backoff,
    rng: StdRng,
    commands: mpsc::Receiver<Command>,
    state: watch::Sender<LinkState>,
    listeners: Vec<Listener>,
    sends: HashMap<Ticket, oneshot::Sender<Result<(), SendFailure>>>,
    asks: HashMap<Ticket, oneshot::Sender<Result<HubAnswer, RequestError>>>,
    next_ticket: Ticket,
    up_since: Option<Instant>,
    was_up: bool,
    num_link_losses: u64,
    last_error: Option<String>,
}

impl<T: TunDevice, H: Host> Node<T, H> {
    /// A node that has not dialled yet, and the way to it.
    #[must_use]
    pub fn new(config: NodeConfig, tun: Option<T>, host: H) -> (Self, NodeHandle) {
        let (handle, commands, state) = NodeHandle::new();
        let node = Self {
            engine: Engine::new(config.engine),
            link: Link::Dialling(dialling(&config.hub)),
            config,
            tun,
            host,
            backoff: Backoff::new(),
            rng: rand::make_rng(),
            commands,
            state,
            listeners: Vec::new(),
            sends: HashMap::new(),
            asks: HashMap::new(),
            next_ticket: 0,
            up_since: None,
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
            let wake_at = self.poll_timeout();
            let wants_write = self.engine.wants_transmit();
            tokio::select! {
                () = stop.cancelled() => break,
                ready = readable(self.tun.as_ref()) => ready.map_err(NodeError::Tun)?,
                dialled = link_ready(&mut self.link, wants_write) => match dialled {
                    Some(Ok(stream)) => self.connected(stream),
                    Some(Err(error)) => self.dial_failed(error)?,
                    None => {}
                },
                Some(command) = self.commands.recv() => self.handle_command(command),
                () = tokio::time::sleep_until(wake_at.into()) => {}
            }
        }
        if let Link::Connected(connection) = &mut self.link {
            connection.leave();
        }
        Ok(())
    }

    async fn turn(&mut self) -> Result<(), NodeError<H::Error>> {
        self.recv_packets()?;
        loop {
            match self.work_link() {
                // Frames behind the join wait for the host to be configured, and then for us.
                Ok(Some((joined, hub))) => self.joined(joined, hub).await?,
                Ok(None) => break,
                Err(LinkEnd::Lost(error)) => return self.link_lost(error),
                Err(LinkEnd::NotJoined(error)) => return self.join_failed(error),
            }
        }
        self.handle_events();
        Ok(())
    }

    fn recv_packets(&mut self) -> Result<(), NodeError<H::Error>> {
        let Some(tun) = &self.tun else { return Ok(()) };
        for _ in 0..MAX_PACKETS {
            let mut buffer = self.engine.buffer();
            match tun.try_recv(buffer.space(tun.mtu().into())) {
                Ok(len) => {
                    buffer.truncate(len);
                    self.engine.handle_packet(buffer, now(), &mut self.rng);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.engine.recycle(buffer);
                    break;
                }
                Err(error) => return Err(NodeError::Tun(error)),
            }
        }
        Ok(())
    }

    fn connected(&mut self, stream: TcpStream) {
        let before = self.engine.overlay().map(|overlay| overlay.vip);
        let config = JoinConfig {
            wanted: before.or(self.config.vip),
            explicit: self.config.vip.is_some(),
            first: !self.was_up,
        };
        self.link = Link::Connected(Box::new(Connection::new(stream, config, Instant::now())));
        self.state.send_replace(LinkState::Joining);
    }

    async fn joined(&mut self, joined: Joined, hub: IpAddr) -> Result<(), NodeError<H::Error>> {
        let overlay = Overlay { vip: joined.vip, network: joined.network };
        let before = self.engine.overlay();
        if before != Some(overlay) {
            self.host.apply(before, overlay, hub).await.map_err(NodeError::Host)?;
        }
        if let (true, Some(before)) = (joined.moved, before) {
            tracing::warn!(vip = %joined.vip, before = %before.vip, "the old vIP did not come back");
        }
        tracing::info!(vip = %joined.vip, network = %joined.network, hub = %self.config.hub, "up");
        self.engine.link_up(overlay, joined.hub, now(), &mut self.rng);
        (self.was_up, self.up_since) = (true, Some(Instant::now()));
        self.backoff.reset();
        self.state.send_replace(LinkState::Up(overlay));
        Ok(())
    }

    fn dial_failed(&mut self, error: DialError) -> Result<(), NodeError<H::Error>> {
        if !self.was_up {
            return Err(NodeError::Dial(error));
        }
        self.retry(&error);
        Ok(())
    }

    fn join_failed(&mut self, error: JoinError) -> Result<(), NodeError<H::Error>> {
        if !self.was_up {
            return Err(NodeError::Join(error));
        }
        self.retry(&error);
        Ok(())
    }

    fn link_lost(&mut self, error: LinkError) -> Result<(), NodeError<H::Error>> {
        if self.up_since.take().is_some() {
            self.num_link_losses += 1;
            self.engine.link_down();
            self.handle_events();
        }
        if !self.was_up || !self.config.reconnect {
            return Err(NodeError::Link(error));
        }
        self.retry(&error);
        Ok(())
    }

    fn retry(&mut self, error: &(impl std::error::Error + Send + Sync)) {
        let text = chain(error);
        let now = Instant::now();
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
        let far = Instant::now() + Duration::from_secs(3600);
        link.into_iter().chain(self.engine.poll_timeout()).min().unwrap_or(far)
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

fn dialling(hub: &HubAddr) -> Dialling {
    let hub = hub.clone();
    Box::pin(async move { link::dial(&hub).await })
}

async fn readable<T: TunDevice>(tun: Option<&T>) -> std::io::Result<()> {
    match tun {
        Some(tun) => tun.readable().await,
        None => std::future::pending().await,
    }
}

/// Waits for whatever the link waits for; a finished dial is returned.
async fn link_ready(link: &mut Link, wants_write: bool) -> Option<Result<TcpStream, DialError>> {
    match link {
        Link::Waiting { .. } => std::future::pending().await,
        Link::Dialling(dialling) => Some(dialling.await),
        Link::Connected(connection) => {
            // An error shows again, and is handled, in the next read.
            connection.ready(wants_write).await.ok();
            None
        }
    }
}

/// The present, from the system's clocks.
fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 is as wrong as any other that peers refuse.
    Now { instant: Instant::now(), unix_time: since_epoch.unwrap_or_default().as_secs() }
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
