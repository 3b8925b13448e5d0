//! Dialling another hub, again and again.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dosp_proto::backoff::Backoff;
use dosp_proto::frame::{self, DecodeError, FrameType};
use dosp_proto::identity::IdentityKey;
use dosp_proto::member::{Dialler, Introduced, NoiseError, Purpose};
use dosp_proto::message::{Hsk, HskFlag};
use dosp_transport::socket::prepare;
use rand::rngs::StdRng;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Span, debug, info_span, warn};

use super::accept::{Connection, Ended, LinkEnd, Proof, run};
use crate::federation::table::PeerId;
use crate::hub::{FrameCounters, loggable};
use crate::input::{Filled, Input};
use crate::state::{KeyError, Peer, Shared};
use crate::writer::Writer;

/// How long connecting and introducing oneself may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// A link that lived for so long was a good one: the next attempt comes soon.
const GOOD_LINK: Duration = Duration::from_secs(10);
/// Enough for a greeting and the handshake.
const MAX_GREETING_LEN: usize = 64 * 1024;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("its address cannot be found")]
    Resolve(#[source] io::Error),
    #[error("it has no address")]
    NoAddress,
    #[error("it cannot be reached")]
    Connect(#[source] io::Error),
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("no answer within {} s", DIAL_TIMEOUT.as_secs())]
    Timeout,
    #[error("it closed the connection")]
    Closed,
    #[error("it says: {0}")]
    Refused(String),
    #[error(transparent)]
    Protocol(#[from] DecodeError),
    #[error(
        "it shows no key: it is no hub of ours, or keeps no state; 'unauthenticated' lets it be a peer all the same"
    )]
    NoKey,
    #[error("it does not greet as a hub does")]
    NoGreeting,
    #[error(
        "it compresses its frames, and hubs cannot be linked so: turn its 'allow_compression' off"
    )]
    Compresses,
    #[error("the handshake failed")]
    Handshake(#[from] NoiseError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Keeps a link with a peer up, for ever.
pub(crate) async fn keep_dialling(shared: Arc<Shared>, peer: Peer, shutdown: CancellationToken) {
    let mut backoff = Backoff::new();
    let mut last_error = String::new();
    let span = info_span!("peer", network = %peer.config.network, addr = peer.config.addr);
    loop {
        let delay = backoff.next_delay(Instant::now(), &mut rand::make_rng::<StdRng>());
        let wait = async {
            sleep(delay).await;
            shared.federation.until_needed(peer.id).await
        };
        match shutdown.run_until_cancelled(wait).await {
            None => return,
            // There was a link all that time.
            Some(true) => backoff.reset(),
            Some(false) => {}
        }
        let started_at = Instant::now();
        shared.federation.note_dialling(peer.id);
        let dial = timeout(DIAL_TIMEOUT, connect(&shared, &peer));
        let Some(dialled) = shutdown.run_until_cancelled(dial).await else { return };
        match dialled.unwrap_or(Err(DialError::Timeout)) {
            Ok((addr, proof, connection)) => {
                let ended = run(&shared, &peer, (addr, true), proof, connection).await;
                let Ended { why, was_up } = ended;
                if was_up {
                    last_error.clear();
                } else if !matches!(why, LinkEnd::Duplicate) {
                    note_error(&shared, peer.id, &why, &mut last_error, &span);
                }
                if was_up && started_at.elapsed() >= GOOD_LINK {
                    backoff.reset();
                }
            }
            Err(error) => note_error(&shared, peer.id, &error, &mut last_error, &span),
        }
    }
}

/// Says why there is no link, once.
fn note_error(
    shared: &Shared,
    peer: PeerId,
    error: &(dyn Error + 'static),
    last_error: &mut String,
    span: &Span,
) {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    shared.federation.note_error(peer, &text);
    if text == *last_error {
        debug!(parent: span, reason = text, "still no link");
    } else {
        warn!(parent: span, reason = text, "no link");
        *last_error = text;
    }
}

async fn connect(
    shared: &Shared,
    peer: &Peer,
) -> Result<(SocketAddr, Proof, Connection), DialError> {
    let config = &peer.config;
    let addr = config.addr.as_deref().ok_or(DialError::NoAddress)?;
    let addrs = tokio::net::lookup_host(addr).await.map_err(DialError::Resolve)?;
    let addrs: Vec<_> = addrs.collect();
    shared.federation.note_addrs(peer.id, addrs.iter().map(SocketAddr::ip));
    let socket = TcpStream::connect(&*addrs).await.map_err(DialError::Connect)?;
    prepare(&socket)?;
    let addr = socket.peer_addr()?;
    let (socket, write_half) = socket.into_split();
    let mut call = Call { socket, input: Input::new(MAX_GREETING_LEN), shared };
    let outbox = Arc::new(shared.new_outbox());
    let counters = Arc::new(FrameCounters::default());
    let writer = Writer::new(write_half, Arc::clone(&outbox), Arc::clone(&counters), shared);
    let writing = AbortOnDropHandle::new(tokio::spawn(writer.run()));
    let (greeting, hsk) = call.greeting().await?;
    if hsk.flag == HskFlag::Compression {
        return Err(DialError::Compresses);
    }
    let proof = if config.unauthenticated {
        Proof::Address(None)
    } else {
        let identity = shared.identity().filter(|_| hsk.token == Hsk::DOSP_NET);
        let identity = identity.ok_or(DialError::NoKey)?;
        let mut rng: StdRng = rand::make_rng();
        let (dialler, first) = Dialler::start(Purpose::Peer, identity, &greeting, &mut rng)?;
        outbox.reply(&first, 1, || {});
        let introduced = call.answer(dialler, identity).await?;
        let key = *introduced.hub_key();
        shared.check_key(peer, &key)?;
        let (third, channel) = introduced.finish()?;
        outbox.reply(&third, 1, || {});
        Proof::Key(key, channel)
    };
    let Call { socket, input, .. } = call;
    Ok((addr, proof, Connection { socket, input, outbox, counters, writing }))
}

/// A connection on which hubs do not know each other yet.
struct Call<'a> {
    socket: OwnedReadHalf,
    input: Input,
    shared: &'a Shared,
}

impl Call<'_> {
    /// AIP and HSK, as they came, and what HSK says.
    async fn greeting(&mut self) -> Result<(Vec<u8>, Hsk), DialError> {
        let mut greeting = Vec::new();
        loop {
            let (frame_type, body) = self.next_frame().await?;
            if greeting.len() + body.len() > MAX_GREETING_LEN {
                return Err(DialError::NoGreeting);
            }
            frame::encode(&mut greeting, frame_type, &body);
            if frame_type == FrameType::HSK {
                return Ok((greeting, Hsk::decode(&body)));
            }
        }
    }

    async fn answer(
        &mut self,
        dialler: Dialler,
        identity: &IdentityKey,
    ) -> Result<Introduced, DialError> {
        loop {
            // On an open hub frames for the vIP that it gave us may come before.
            let (frame_type, body) = self.next_frame().await?;
            if frame_type == FrameType::XHS {
                return Ok(dialler.read_answer(identity, &body)?);
            }
        }
    }

    async fn next_frame(&mut self) -> Result<(FrameType, Vec<u8>), DialError> {
        loop {
            if let Some(frame) = self.input.decoder.next_frame()? {
                let (frame_type, body) = (frame.frame_type(), frame.body().to_vec());
                if frame_type == FrameType::EXIT {
                    return Err(DialError::Refused(loggable(&body)));
                }
                return Ok((frame_type, body));
            }
            self.socket.readable().await?;
            let filled = self.input.fill(&mut self.socket, &self.shared.read_buffers).await?;
            if filled == Filled::Closed {
                return Err(DialError::Closed);
            }
        }
    }
}
