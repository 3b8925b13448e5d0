//! What makes a connection a link, and its life as one.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dosp_proto::federation::HubId;
use dosp_proto::frame::{self, DecodeError, FrameType};
use dosp_proto::identity::PublicKey;
use dosp_proto::member::{Channel, Control, OpenError};
use dosp_proto::vip::Network;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::JoinError;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Span, debug, info, info_span};

use super::pulse::PING_INTERVAL;
use super::reader::Reader;
use super::{Framing, Link, Origin};
use crate::hub::{FrameCounters, exit_frame};
use crate::input::Input;
use crate::queue::Outbox;
use crate::state::{Peer, Shared};
use crate::writer::WriteError;

/// How often a published hub gets a PING: it drops a link on which it has heard nothing for 5 s.
const PUBLISHED_PING_INTERVAL: Duration = Duration::from_secs(3);
/// How long what is queued may take to be written when a link ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// EXIT of a link beside which there is another one.
const EXIT_DUPLICATE: &str = "there is another link between us";

/// A connection that another hub has dialled, and has shown who it is.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) peer: Peer,
    pub(crate) proof: Proof,
}

impl Proof {
    /// What the hub is called in paths.
    pub(super) fn hub(&self, network: Network) -> HubId {
        match self {
            Self::Key(key, _) => HubId::of(key),
            Self::Address(_) => HubId::of_published(network),
        }
    }
}

/// How a hub has shown who it is.
#[derive(Debug)]
pub(crate) enum Proof {
    /// By its key.
    Key(PublicKey, Channel),
    /// By its address; it has said this in SD, if anything.
    Address(Option<Vec<u8>>),
}

/// A connection, half used up.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: OwnedReadHalf,
    pub(crate) input: Input,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) counters: Arc<FrameCounters>,
    pub(crate) writing: AbortOnDropHandle<Result<(), WriteError>>,
}

impl Connection {
    /// Carries the link's frames both ways, until something ends that.
    async fn carry(&mut self, link: &Link, reader: &mut Reader) -> LinkEnd {
        tokio::select! {
            biased;
            () = self.outbox.finished() => {
                if self.outbox.is_cut() { LinkEnd::TooSlow } else { LinkEnd::Stopped }
            }
            end = reader.run(&mut self.socket, &mut self.input) => end,
            end = beat(link) => end,
            written = &mut self.writing => match written {
                Ok(Ok(())) => LinkEnd::Closed,
                Ok(Err(error)) => error.into(),
                Err(error) => LinkEnd::WriterFailed(error),
            },
        }
    }

    /// Gives what is queued a moment to arrive.
    async fn flush(&mut self, reader: &mut Reader, why: &LinkEnd) {
        self.outbox.finish(&[], 0);
        if matches!(why, LinkEnd::Stopped) {
            // Another link has taken its place, or the hub ends: what is under way is to arrive.
            let Self { socket, input, writing, .. } = self;
            let rest = async { tokio::join!(reader.run(socket, input), writing) };
            timeout(FLUSH_TIMEOUT, rest).await.ok();
        } else if !self.writing.is_finished() {
            timeout(FLUSH_TIMEOUT, &mut self.writing).await.ok();
        }
        self.outbox.close();
    }
}

/// Why a link ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkEnd {
    #[error("the other hub closed it")]
    Closed,
    #[error("the other hub ended it: {0}")]
    Left(String),
    #[error("there is another link with this hub")]
    Duplicate,
    #[error("others waited too long for what goes over it")]
    TooSlow,
    #[error("this hub has ended it")]
    Stopped,
    #[error("nothing was heard of the other hub for 2 s")]
    Silent,
    #[error(transparent)]
    Protocol(#[from] DecodeError),
    #[error(transparent)]
    Sealed(#[from] OpenError),
    #[error("reading failed")]
    Read(#[source] std::io::Error),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the writer failed")]
    WriterFailed(#[source] JoinError),
}

/// How a link ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) why: LinkEnd,
    /// Whether the other hub had taken this one for a peer before.
    pub(crate) was_up: bool,
}

/// Serves a link that another hub has dialled.
pub(crate) async fn run_accepted(
    shared: &Arc<Shared>,
    arrival: Arrival,
    addr: SocketAddr,
    connection: Connection,
) {
    run(shared, &arrival.peer, (addr, false), arrival.proof, connection).await;
}

/// Serves a link until one of the two hubs has had enough.
pub(super) async fn run(
    shared: &Arc<Shared>,
    peer: &Peer,
    (addr, is_dialled): (SocketAddr, bool),
    proof: Proof,
    mut connection: Connection,
) -> Ended {
    let config = &peer.config;
    let origin = Origin { peer: peer.id, hub: proof.hub(config.network), addr, is_dialled };
    let (key, sealer, opener, said) = match proof {
        Proof::Key(key, channel) => (Some(key), Some(channel.sealer), Some(channel.opener), None),
        Proof::Address(said) => (None, None, None, said),
    };
    let link = Arc::new(Link::new(
        origin,
        (config.network, shared.federation.sources(peer.id)),
        sealer,
        (Arc::clone(&connection.outbox), Arc::clone(&connection.counters)),
        Instant::now(),
    ));
    let span = info_span!("link", network = %config.network, %addr, dialled = is_dialled);
    if !shared.link_up(&link, key) {
        debug!(parent: &span, "there is another link with this hub");
        link.outbox.finish(&exit_frame(EXIT_DUPLICATE), 1);
        timeout(FLUSH_TIMEOUT, &mut connection.writing).await.ok();
        return Ended { why: LinkEnd::Duplicate, was_up: false };
    }
    let mut reader = Reader::new(Arc::clone(shared), Arc::clone(&link), opener, span.clone());
    reader.hear_advertisement(said.as_deref());
    let why = connection.carry(&link, &mut reader).await;
    shared.link_down(&link, &why.to_string());
    let was_up = link.is_up();
    log_end(&span, &why, was_up && shared.federation.may_log(peer.id));
    connection.flush(&mut reader, &why).await;
    Ended { why, was_up }
}

fn log_end(span: &Span, why: &LinkEnd, is_news: bool) {
    let reason: &(dyn Error + 'static) = why;
    if is_news {
        info!(parent: span, reason, "link down");
    } else {
        debug!(parent: span, reason, "no link");
    }
}

/// Shows the other hub that this one lives, and finds out whether it does.
async fn beat(link: &Link) -> LinkEnd {
    let period = match link.framing {
        Framing::Forwarded => PING_INTERVAL,
        Framing::Plain => PUBLISHED_PING_INTERVAL,
    };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        match link.framing {
            Framing::Forwarded if link.pulse().is_dead(now) => return LinkEnd::Silent,
            Framing::Forwarded => {
                if link.say(&Control::Ping) {
                    link.pulse().ask(now);
                }
            }
            // Only who dialled answers, so silence says nothing; TCP finds out.
            Framing::Plain => {
                link.say_plainly(&ping());
            }
        }
    }
}

/// PING, which also answers one.
pub(super) fn ping() -> Vec<u8> {
    let mut ping = Vec::new();
    frame::encode(&mut ping, FrameType::PING, &[]);
    ping
}
