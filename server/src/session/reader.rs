//! From the socket to the queues of the destinations.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use dosp_proto::frame::{Frame, FrameDecoder, FrameType, S2c};
use dosp_proto::limit::TokenBucket;
use dosp_proto::mpak::{MpakError, SubFrames};
use dosp_proto::zlib::Inflater;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::{JoinSet, coop, yield_now};
use tokio::time::timeout_at;
use tracing::{Instrument, Span, debug, info, warn};

use super::End;
use super::entrance::{self, Entrance};
use crate::buffers::BUFFER_LEN;
use crate::functions::{CallError, Function, MAX_CALLS, answer_frame};
use crate::hub::{AuthRefusal, Effect, Outcome, undeliverable_frame};
use crate::queue::{Outbox, PushError};
use crate::routes::RouteCache;
use crate::state::{Seat, Shared};

/// Undeliverable frames that a sender is told of, per second.
const ERRORS_PER_SECOND: u32 = 20;

const NO_SUCH_CLIENT: &str = "no such client";
const CLIENT_LEFT: &str = "the client left";

/// What a connection that has not joined a closed hub may send at once, in bytes.
const MAX_STRANGER_FRAME_LEN: usize = 4096;
/// How long it may take to join.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(10);

/// The reading side of one session.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) seat: Seat,
    pub(super) entrance: Entrance,
    pub(super) is_member: bool,
    /// When whoever has not joined a closed hub is cut off.
    pub(super) stranger_until: Option<tokio::time::Instant>,
    pub(super) shared: Arc<Shared>,
    routes: RouteCache<Arc<Outbox>>,
    error_limit: TokenBucket,
    /// Programs that run for this session; killed when it ends.
    calls: JoinSet<()>,
    /// Frames not yet counted where others see it.
    num_uncounted: u64,
    pub(super) span: Span,
}

/// Why a frame is not in a queue yet.
enum NotForwarded {
    Full(Arc<Outbox>),
    Closed,
    NoRoute,
}

impl Reader {
    pub(super) fn new(seat: Seat, shared: Arc<Shared>, span: Span) -> Self {
        let entrance =
            if shared.membership.is_some() { Entrance::Outside } else { Entrance::Walled };
        let is_closed = shared.is_closed();
        Self {
            seat,
            entrance,
            is_member: false,
            stranger_until: is_closed.then(|| tokio::time::Instant::now() + STRANGER_TIMEOUT),
            shared,
            routes: RouteCache::default(),
            error_limit: TokenBucket::new(ERRORS_PER_SECOND, ERRORS_PER_SECOND),
            calls: JoinSet::new(),
            num_uncounted: 0,
            span,
        }
    }

    /// The seat, and whether it was a stranger's to the end.
    pub(super) fn into_seat(self) -> (Seat, bool) {
        (self.seat, self.stranger_until.is_some())
    }

    /// Reads until the session ends.
    pub(super) async fn run(&mut self, socket: &mut OwnedReadHalf) -> End {
        let mut decoder = FrameDecoder::new(self.max_frame_len());
        let mut owns_buffer = false;
        loop {
            if let Err(end) = self.wait_for_input(socket).await {
                return end;
            }
            decoder.set_max_body_len(self.max_frame_len());
            if !owns_buffer {
                decoder.attach_buffer(self.shared.read_buffers.take());
                owns_buffer = true;
            }
            let is_dry = match self.take_turn(socket, &mut decoder).await {
                Ok(is_dry) => is_dry,
                Err(end) => return end,
            };
            if !is_dry {
                // One buffer a turn: the others are to have theirs.
                yield_now().await;
            } else if let Some(buffer) = decoder.detach_buffer() {
                self.shared.read_buffers.put(buffer);
                owns_buffer = false;
            }
        }
    }

    fn max_frame_len(&self) -> usize {
        if self.stranger_until.is_some() {
            MAX_STRANGER_FRAME_LEN
        } else {
            self.shared.max_frame_len
        }
    }

    async fn wait_for_input(&self, socket: &OwnedReadHalf) -> Result<(), End> {
        let readable = match self.stranger_until {
            None => socket.readable().await,
            Some(until) => match timeout_at(until, socket.readable()).await {
                // Bytes that trickle in do not win more time.
                Ok(readable) if tokio::time::Instant::now() < until => readable,
                Ok(_) | Err(_) => return Err(End::NotJoined),
            },
        };
        readable.map_err(End::Read)
    }

    /// Handles one buffer of input; returns whether that was all there is.
    async fn take_turn(
        &mut self,
        socket: &mut OwnedReadHalf,
        decoder: &mut FrameDecoder,
    ) -> Result<bool, End> {
        let space = decoder.space();
        let space_len = space.len().min(BUFFER_LEN);
        let space = space.get_mut(..space_len).unwrap_or_default();
        let Some(read_len) = read_now(socket, space).await.map_err(End::Read)? else {
            return Ok(true);
        };
        if read_len == 0 {
            return Err(End::Closed);
        }
        decoder.advance(read_len);
        let handled = if self.shared.compression {
            self.handle_compressed(decoder).await
        } else {
            self.handle_frames(decoder).await
        };
        self.count();
        handled.map(|()| read_len < space_len)
    }

    async fn handle_frames(&mut self, decoder: &mut FrameDecoder) -> Result<(), End> {
        while let Some(frame) = decoder.next_frame()? {
            self.handle_frame(frame).await?;
        }
        Ok(())
    }

    /// As above, where every body is compressed. What inflates them is made anew each turn, so that
    /// an idle session owns none.
    async fn handle_compressed(&mut self, decoder: &mut FrameDecoder) -> Result<(), End> {
        let mut inflater = Inflater::new(self.shared.max_frame_len);
        let mut room = Vec::new();
        while let Some(frame) = decoder.next_frame()? {
            let frame = inflater.inflate_frame(&frame, &mut room)?;
            self.handle_frame(frame).await?;
            // A small body can be much work.
            coop::consume_budget().await;
        }
        Ok(())
    }

    async fn handle_frame(&mut self, frame: Frame<'_>) -> Result<(), End> {
        self.num_uncounted += 1;
        match frame.frame_type() {
            FrameType::XHS if !matches!(self.entrance, Entrance::Walled) => {
                self.handle_handshake(frame.body())
            }
            FrameType::XCTL if matches!(self.entrance, Entrance::Inside(_)) => {
                self.handle_sealed(frame.body()).await
            }
            _ if self.stranger_until.is_some() => Err(End::MembersOnly),
            other if self.is_member && !entrance::is_open(other) => {
                debug!(parent: &self.span, frame_type = %other, "not sealed, and dropped");
                Ok(())
            }
            FrameType::S2C => self.handle_s2c(frame.into_s2c()?).await,
            FrameType::MPAK => self.handle_mpak(frame.into_body_mut()).await,
            other => self.handle_control(other, frame.body()).await,
        }
    }

    /// Every frame in it as if it had been sent alone. What is no frame is passed over.
    async fn handle_mpak(&mut self, body: &mut [u8]) -> Result<(), End> {
        let mut frames = SubFrames::new(body);
        loop {
            match frames.next_frame() {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) if frame.frame_type() == FrameType::S2C => {
                    self.handle_s2c(frame.into_s2c()?).await?;
                }
                Ok(Some(frame)) => self.handle_control(frame.frame_type(), frame.body()).await?,
                // Refused like any other type that is not known there.
                Err(MpakError::Nested) => self.handle_control(FrameType::MPAK, &[]).await?,
                Err(reason) => debug!(parent: &self.span, %reason, "part of an MPAK dropped"),
            }
        }
    }

    async fn handle_s2c(&mut self, mut s2c: S2c<'_>) -> Result<(), End> {
        s2c.stamp_src(self.seat.vip.get());
        match self.try_forward(&s2c) {
            Ok(()) => Ok(()),
            Err(not_forwarded) => self.forward_slowly(&s2c, not_forwarded).await,
        }
    }

    /// The way of nearly every frame: a known route, and room in the queue.
    fn try_forward(&mut self, s2c: &S2c<'_>) -> Result<(), NotForwarded> {
        let (dst, shared) = (s2c.dst(), &self.shared);
        let route = self.routes.lookup(dst, shared.routes_version(), || shared.lookup(dst));
        let outbox = route.ok_or(NotForwarded::NoRoute)?;
        outbox.try_push(s2c.bytes()).map_err(|error| match error {
            PushError::Full => NotForwarded::Full(Arc::clone(outbox)),
            PushError::Closed => NotForwarded::Closed,
        })
    }

    async fn forward_slowly(&mut self, s2c: &S2c<'_>, why: NotForwarded) -> Result<(), End> {
        let reason = match why {
            NotForwarded::Full(outbox) => {
                self.count();
                if outbox.push(s2c.bytes()).await.is_ok() {
                    return Ok(());
                }
                CLIENT_LEFT
            }
            NotForwarded::Closed => CLIENT_LEFT,
            NotForwarded::NoRoute if s2c.dst() == self.shared.network.hub() && !self.is_member => {
                return self.handle_control(FrameType::MSG, s2c.data()).await;
            }
            NotForwarded::NoRoute => NO_SUCH_CLIENT,
        };
        if self.error_limit.take(Instant::now()) {
            self.seat.outbox.wait_for_room().await;
            if self.is_member {
                self.shared.tell_gone(self.seat.id, &self.seat.outbox, s2c.dst());
            } else {
                self.seat.outbox.reply(&undeliverable_frame(s2c.dst(), reason), 1, || {});
            }
        }
        Ok(())
    }

    pub(super) async fn handle_control(
        &mut self,
        frame_type: FrameType,
        body: &[u8],
    ) -> Result<(), End> {
        self.count();
        // Whoever asks and does not read the answers waits for itself.
        self.seat.outbox.wait_for_room().await;
        coop::consume_budget().await;
        match self.seat.handle_control(frame_type, body) {
            Effect::Nothing | Effect::Reply(_) => {}
            Effect::Readdress { from, to, .. } if from == to => {}
            Effect::Readdress { from, to, .. } => {
                info!(parent: &self.span, %from, %to, "vIP changed");
                self.span.record("vip", tracing::field::display(to));
            }
            Effect::Auth { outcome: Ok(()), .. } => {
                info!(parent: &self.span, "the client is an administrator now");
            }
            Effect::Auth { outcome: Err(reason @ AuthRefusal::WrongAndLockedOut), .. } => {
                warn!(parent: &self.span, %reason, "AUTH refused");
            }
            Effect::Auth { outcome: Err(reason), .. } => {
                debug!(parent: &self.span, %reason, "AUTH refused");
            }
            Effect::Administer { command, outcome } => {
                info!(parent: &self.span, command, "administered");
                if matches!(outcome, Outcome::Leave(_)) {
                    return Err(End::Left);
                }
            }
            Effect::Broadcast { message } => {
                info!(parent: &self.span, message_len = message.len(), "broadcast");
            }
            Effect::Dismiss { .. } => {
                info!(parent: &self.span, "hash is blocked");
                return Err(End::Left);
            }
            Effect::Call { name, is_admin } => self.call(&name, is_admin),
            Effect::Log { text, message_len, num_suppressed } => {
                info!(parent: &self.span, text, message_len, num_suppressed, "message to the hub");
            }
            Effect::Close { code } => {
                debug!(parent: &self.span, code, "EXIT");
                return Err(End::Left);
            }
        }
        Ok(())
    }

    fn call(&mut self, name: &str, is_admin: bool) {
        while self.calls.try_join_next().is_some() {}
        let functions = Arc::clone(&self.shared.functions);
        let answer = match functions.lookup(name, is_admin) {
            Err(error) => Err(error),
            Ok(Function::Program(_)) if self.calls.len() >= MAX_CALLS => Err(CallError::Busy),
            Ok(Function::Program(program)) => {
                let (id, outbox) = (self.seat.id, Arc::clone(&self.seat.outbox));
                let shared = Arc::clone(&self.shared);
                let run = async move {
                    let answer = functions.run(&program).await;
                    if let Err(error) = &answer {
                        let error: &(dyn std::error::Error + 'static) = error;
                        debug!(error, program = program.exec.first(), "a function failed");
                    }
                    outbox.wait_for_room().await;
                    shared.answer(id, &outbox, answer_frame(&answer));
                };
                self.calls.spawn(run.instrument(self.span.clone()));
                return;
            }
            Ok(Function::BuiltIn(function)) => {
                Ok(functions.built_in(function, self.shared.num_sessions()).into_bytes())
            }
        };
        self.shared.answer(self.seat.id, &self.seat.outbox, answer_frame(&answer));
    }

    /// Counts once a turn, not once a frame: the counters are shared with the hub.
    fn count(&mut self) {
        let num_frames = std::mem::take(&mut self.num_uncounted);
        self.seat.counters.rx.fetch_add(num_frames, Ordering::Relaxed);
    }
}

/// Reads what is there; `None` where that is nothing.
///
/// Unlike `try_read`, this tells the runtime that a short read emptied the socket, which saves the
/// system call that would find out; unlike `read`, it does not hold a buffer while it waits.
async fn read_now(socket: &mut OwnedReadHalf, space: &mut [u8]) -> io::Result<Option<usize>> {
    let mut buffer = ReadBuf::new(space);
    poll_fn(|cx| match Pin::new(&mut *socket).poll_read(cx, &mut buffer) {
        Poll::Pending => Poll::Ready(Ok(None)),
        Poll::Ready(read) => Poll::Ready(read.map(|()| Some(buffer.filled().len()))),
    })
    .await
}
