//! From the socket to the queues of the destinations.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dosp_proto::federation::{Forwarded, Forwarding};
use dosp_proto::frame::{Frame, FrameDecoder, FrameType, HEADER_LEN, S2c};
use dosp_proto::limit::TokenBucket;
use dosp_proto::mpak::{MpakError, SubFrames};
use dosp_proto::zlib::Inflater;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::{JoinSet, coop, yield_now};
use tokio::time::timeout_at;
use tracing::{Instrument, Span, debug, info, warn};

use super::End;
use super::entrance::{self, Entrance};
use crate::functions::{CallError, Function, MAX_CALLS, answer_frame};
use crate::hub::{AuthRefusal, Effect, Outcome};
use crate::input::{Filled, Input};
use crate::routes::RouteCache;
use crate::state::{Seat, Shared};
use crate::target::{NotPushed, Target, class_of};

/// Undeliverable frames that a sender is told of, per second.
const ERRORS_PER_SECOND: u32 = 20;

/// Ways that are tried for one frame.
const MAX_WAYS: usize = 2;
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
    pub(super) addr: SocketAddr,
    has_spoken: bool,
    routes: RouteCache<Target>,
    error_limit: TokenBucket,
    /// Programs that run for this session; killed when it ends.
    calls: JoinSet<()>,
    /// Frames not yet counted where others see it.
    num_uncounted: u64,
    uncounted_len: u64,
    /// When the frames of this turn came.
    now: Instant,
    pub(super) span: Span,
}

impl Reader {
    pub(super) fn new(seat: Seat, addr: SocketAddr, shared: Arc<Shared>, span: Span) -> Self {
        let entrance =
            if shared.membership.is_some() { Entrance::Outside } else { Entrance::Walled };
        let is_closed = shared.is_closed();
        Self {
            seat,
            entrance,
            is_member: false,
            stranger_until: is_closed.then(|| tokio::time::Instant::now() + STRANGER_TIMEOUT),
            shared,
            addr,
            has_spoken: false,
            routes: RouteCache::default(),
            error_limit: TokenBucket::new(ERRORS_PER_SECOND, ERRORS_PER_SECOND),
            calls: JoinSet::new(),
            num_uncounted: 0,
            uncounted_len: 0,
            now: Instant::now(),
            span,
        }
    }

    /// The seat, and whether it was a stranger's to the end.
    pub(super) fn into_seat(self) -> (Seat, bool) {
        (self.seat, self.stranger_until.is_some())
    }

    /// Reads until the session ends.
    pub(super) async fn run(&mut self, socket: &mut OwnedReadHalf, input: &mut Input) -> End {
        loop {
            if let Err(end) = self.wait_for_input(socket).await {
                return end;
            }
            input.decoder.set_max_body_len(self.max_frame_len());
            match self.take_turn(socket, input).await {
                // One buffer a turn: the others are to have theirs.
                Ok(Filled::More) => yield_now().await,
                Ok(_) => input.rest(&self.shared.read_buffers),
                Err(end) => return end,
            }
        }
    }

    pub(super) fn max_frame_len(&self) -> usize {
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

    /// Handles one buffer of input.
    async fn take_turn(
        &mut self,
        socket: &mut OwnedReadHalf,
        input: &mut Input,
    ) -> Result<Filled, End> {
        let filled = input.fill(socket, &self.shared.read_buffers).await.map_err(End::Read)?;
        if filled == Filled::Closed {
            return Err(End::Closed);
        }
        self.now = Instant::now();
        let handled = if self.shared.compression {
            self.handle_compressed(&mut input.decoder).await
        } else {
            self.handle_frames(&mut input.decoder).await
        };
        self.count();
        handled.map(|()| filled)
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
        self.uncounted_len += (HEADER_LEN + frame.body().len()) as u64;
        let is_first = !std::mem::replace(&mut self.has_spoken, true);
        if is_first
            && frame.frame_type() == FrameType::SD
            && let Some(linked) = self.handle_first_advertisement(frame.body())
        {
            return Err(linked);
        }
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
            Err(why) => {
                let forwarding = Forwarding::begin(self.shared.hub_id, self.is_member);
                let forwarded = self.forward_slowly(&forwarded(forwarding, &s2c), why).await;
                // What comes behind it has not waited in a queue.
                self.now = Instant::now();
                forwarded
            }
        }
    }

    /// The way of nearly every frame: a known route, and room in the queue. Fails without a reason
    /// where there is no route.
    fn try_forward(&mut self, s2c: &S2c<'_>) -> Result<(), Option<NotPushed>> {
        let (dst, shared) = (s2c.dst(), &self.shared);
        let route = self.routes.lookup(dst, shared.routes_version(), || shared.lookup(dst));
        let pushed = match route.ok_or(None)? {
            // As it came, in one piece: a header made anew costs nearly a third of the whole way.
            Target::Client(outbox) | Target::Member(outbox) => {
                let class = class_of(s2c.src(), s2c.data(), self.is_member);
                outbox.try_push([s2c.bytes(), &[]], class, self.now).map_err(NotPushed::from)
            }
            target @ Target::Hub(_) => {
                let forwarding = Forwarding::begin(shared.hub_id, self.is_member);
                target.try_push(&forwarded(forwarding, s2c), self.now)
            }
        };
        pushed.map_err(Some)
    }

    async fn forward_slowly(
        &mut self,
        frame: &Forwarded<'_>,
        why: Option<NotPushed>,
    ) -> Result<(), End> {
        let mut why = why;
        // A link that another one has replaced meanwhile is closed, and there is a way all the same.
        for _ in 0..MAX_WAYS {
            if !matches!(why, Some(NotPushed::Full | NotPushed::Closed)) {
                break;
            }
            let Some(target) = self.shared.lookup(frame.dst) else { break };
            self.count();
            match target.push(frame).await {
                Ok(()) => return Ok(()),
                Err(not_pushed) => why = Some(not_pushed),
            }
        }
        self.return_to_sender(frame, why).await
    }

    /// A frame goes nowhere: without a reason because no route leads there.
    async fn return_to_sender(
        &mut self,
        frame: &Forwarded<'_>,
        why: Option<NotPushed>,
    ) -> Result<(), End> {
        if why.is_none() && frame.dst == self.shared.network.hub() && !self.is_member {
            return self.handle_control(FrameType::MSG, frame.data).await;
        }
        if self.error_limit.take(Instant::now()) {
            self.seat.outbox.wait_for_room().await;
            self.shared.tell_gone(self.seat.id, &self.seat.outbox, frame.dst, why);
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
        let len = std::mem::take(&mut self.uncounted_len);
        self.seat.counters.rx_bytes.fetch_add(len, Ordering::Relaxed);
    }
}

fn forwarded<'a>(forwarding: Forwarding, s2c: &'a S2c<'_>) -> Forwarded<'a> {
    Forwarded { forwarding, dst: s2c.dst(), src: s2c.src(), data: s2c.data() }
}
