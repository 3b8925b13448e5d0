//! One connection: the task that reads it, and the task that writes it.
//!
//! ```text
//! socket ─▶ Reader ─▶ Routes ─▶ Outbox of the destination ─▶ its Writer ─▶ its socket
//! ```
//!
//! A reader whose destination has no room waits, and with it the TCP connection it reads from: that
//! is all the flow control there is, and only for frames that may not be dropped. A session that takes
//! next to nothing is cut after a while, so that nobody waits for it for ever.

mod entrance;
mod reader;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dosp_proto::frame::DecodeError;
use dosp_proto::identity::Fingerprint;
use dosp_proto::member::{NoiseError, OpenError};
use dosp_proto::message::ErrorReport;
use dosp_proto::zlib::InflateError;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::field::Empty;
use tracing::{Span, debug, info, info_span};

use crate::hub::{Refused, exit_frame};
use crate::input::Input;
use crate::link::{self, Arrival, Connection};
use crate::queue::Outbox;
use crate::state::{Seat, Shared};
use crate::writer::{WriteError, Writer};
use reader::Reader;

/// How long an ending session may take to read what is queued for it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the hub then waits for the other side to close. Closing with unread input would make
/// the kernel reset the connection, and the last words would be lost with it.
const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// EXIT of a closed hub to whoever does not join.
const EXIT_MEMBERS_ONLY: &str = "members only";
/// EXIT to whoever comes while there are too many handshakes.
const EXIT_BUSY: &str = "too many handshakes, try again";

/// EXIT to a hub that is no peer.
const EXIT_NO_PEER: &str = "this hub does not have yours for a peer";

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client closed the connection")]
    Closed,
    #[error("the client left")]
    Left,
    #[error(transparent)]
    Protocol(#[from] DecodeError),
    #[error(transparent)]
    Inflate(#[from] InflateError),
    #[error("it sent something else than a join to a hub that is for members only")]
    MembersOnly,
    #[error("it did not join in time")]
    NotJoined,
    #[error("it was not let in")]
    NotAdmitted,
    #[error("the hub has too many handshakes to answer")]
    Busy,
    #[error("its handshake failed")]
    Handshake(#[from] NoiseError),
    #[error(transparent)]
    Sealed(#[from] OpenError),
    #[error("it is a hub whose key, {0}, is none of a peer's")]
    NotAPeer(Fingerprint),
    #[error("it is another hub")]
    Linked(Box<Arrival>),
    #[error("reading failed")]
    Read(#[source] io::Error),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("others waited too long for it")]
    TooSlow,
    #[error("the hub has ended it")]
    Stopped,
    #[error("the writer failed")]
    WriterFailed(#[source] JoinError),
}

/// Serves one client until it, or the hub, has had enough.
pub(crate) async fn run(socket: TcpStream, addr: SocketAddr, seat: Seat, shared: Arc<Shared>) {
    let span = open_span(addr, &seat, &shared);
    let (mut socket, write_half) = socket.into_split();
    let outbox = Arc::clone(&seat.outbox);
    let counters = Arc::clone(&seat.counters);
    let writer = Writer::new(write_half, Arc::clone(&outbox), Arc::clone(&counters), &shared);
    let mut writing = AbortOnDropHandle::new(if shared.compression {
        tokio::spawn(writer.run_compressed())
    } else {
        tokio::spawn(writer.run())
    });

    let mut reader = Reader::new(seat, addr, Arc::clone(&shared), span.clone());
    let mut input = Input::new(reader.max_frame_len());
    let end = tokio::select! {
        biased;
        () = outbox.finished() => if outbox.is_cut() { End::TooSlow } else { End::Stopped },
        end = reader.run(&mut socket, &mut input) => end,
        written = &mut writing => match written {
            Ok(Ok(())) => End::Stopped,
            Ok(Err(error)) => End::Write(error),
            Err(error) => End::WriterFailed(error),
        },
    };

    // Kept until the end: dropping it discards what is still to be written.
    let (seat, is_stranger) = reader.into_seat();
    seat.leave();
    if let End::Linked(arrival) = end {
        debug!(parent: &span, "this is a link with another hub");
        let connection = Connection { socket, input, outbox, counters, writing };
        return link::run_accepted(&shared, *arrival, addr, connection).await;
    }
    finish(&outbox, &end);
    if !writing.is_finished() && timeout(FLUSH_TIMEOUT, &mut writing).await.is_err() {
        debug!(parent: &span, "the client did not read its last frames");
    }
    if is_stranger {
        let reason: &(dyn Error + 'static) = &end;
        debug!(parent: &span, reason, "connection ended");
    } else {
        log_end(&span, &end, &seat, &shared);
    }
    if !matches!(end, End::Closed | End::Read(_) | End::Write(_) | End::WriterFailed(_)) {
        linger(&socket, &shared).await;
    }
}

fn open_span(addr: SocketAddr, seat: &Seat, shared: &Shared) -> Span {
    if shared.is_closed() {
        // Anybody can connect; it counts once it has joined, and has a vIP.
        let span = info_span!("session", id = %seat.id, vip = Empty, %addr);
        debug!(parent: &span, "connected");
        span
    } else {
        let span = info_span!("session", id = %seat.id, vip = %seat.vip.get(), %addr);
        info!(parent: &span, "session up");
        span
    }
}

/// Tells a client that there is no place for it.
pub(crate) async fn refuse(mut socket: TcpStream, refused: Refused, shared: Arc<Shared>) {
    // Whether the client hears it is its own business; the connection ends either way.
    let said = timeout(LINGER_TIMEOUT, async {
        socket.write_all(&refused.exit_frame()).await?;
        socket.shutdown().await
    });
    if matches!(said.await, Ok(Ok(()))) {
        let (socket, _write_half) = socket.into_split();
        linger(&socket, &shared).await;
    }
}

/// Reads and forgets until the other side closes, for a moment.
async fn linger(socket: &OwnedReadHalf, shared: &Shared) {
    let mut buffer = shared.read_buffers.take();
    let drain = async {
        while socket.readable().await.is_ok() {
            match socket.try_read(&mut buffer) {
                Ok(1..) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    };
    // Running out of time is as good an end as any.
    timeout(LINGER_TIMEOUT, drain).await.unwrap_or_default();
    shared.read_buffers.put(buffer);
}

/// Queues what the client is told last, and nothing more comes behind it.
fn finish(outbox: &Outbox, end: &End) {
    match end {
        End::Protocol(_) | End::Inflate(_) => outbox.finish(&last_words(end), 2),
        End::MembersOnly | End::NotJoined => outbox.finish(&exit_frame(EXIT_MEMBERS_ONLY), 1),
        End::Busy => outbox.finish(&exit_frame(EXIT_BUSY), 1),
        End::Handshake(_) | End::Sealed(_) => outbox.finish(&exit_frame("protocol error"), 1),
        End::Closed | End::Left | End::NotAdmitted => outbox.finish(&[], 0),
        End::NotAPeer(_) => outbox.finish(&exit_frame(EXIT_NO_PEER), 1),
        // Its last words are queued.
        End::TooSlow | End::Stopped | End::Linked(_) => {}
        End::Read(_) | End::Write(_) | End::WriterFailed(_) => outbox.close(),
    }
}

fn last_words(error: &End) -> Vec<u8> {
    let mut out = Vec::new();
    ErrorReport::Text(&error.to_string()).encode_to(&mut out);
    out.extend(exit_frame("protocol error"));
    out
}

fn log_end(span: &Span, end: &End, seat: &Seat, shared: &Shared) {
    if matches!(end, End::TooSlow | End::Write(WriteError::Stalled { .. })) {
        let num_cut = shared.num_cut.fetch_add(1, Ordering::Relaxed) + 1;
        info!(parent: span, num_cut, "session cut");
    }
    let reason: &(dyn Error + 'static) = end;
    let rx_frames = seat.counters.rx.load(Ordering::Relaxed);
    let tx_frames = seat.counters.tx.load(Ordering::Relaxed);
    info!(parent: span, reason, rx_frames, tx_frames, "session down");
}
