//! From a link to the queues of clients and of other links.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dosp_proto::federation::{FWD_EXTRA_LEN, Forwarded, Forwarding, HubId, INITIAL_TTL};
use dosp_proto::frame::{Frame, FrameType, HEADER_LEN};
use dosp_proto::limit::TokenBucket;
use dosp_proto::member::{Control, Gone, GoneReason, Opener};
use dosp_proto::sd::Advertisement;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tracing::{Span, debug};

use super::accept::{LinkEnd, ping};
use super::{Framing, Link};
use crate::hub::loggable;
use crate::input::{Filled, Input};
use crate::routes::RouteCache;
use crate::state::Shared;
use crate::target::{NotPushed, Target, Way};

/// How long a link waits for room in one destination's queue; all others of the link wait with it.
const MAX_WAIT: Duration = Duration::from_millis(50);
/// After a wait in vain it waits for nobody for so long, however many destinations are slow.
const IMPATIENCE: Duration = Duration::from_millis(200);
/// How long it waits for a plain client before that is cut off, and how often: so a host that is busy for a
/// moment loses nobody, and the others lose 2 s in a minute at most.
const LAST_WAIT: Duration = Duration::from_millis(500);
const BETWEEN_LAST_WAITS: Duration = Duration::from_secs(15);
/// Bytes that are queued for a destination that has no room, of what must not be dropped.
const MAX_EXCESS_LEN: usize = 1024 * 1024;
/// Frames that went nowhere and that the other hub is told of, per second.
const GONE_PER_SECOND: u32 = 200;
/// Questions whether this hub lives that are answered, per second: many more than an honest hub asks, and
/// not so many that the answers fill the memory where nobody reads them.
const ANSWERS_PER_SECOND: u32 = 50;
/// Words about routes and lists that are taken, per second: more than an honest hub says in the long run.
const WORDS_PER_SECOND: u32 = 20;
/// And at once: the lists of all networks, of 65,536 members and more, when the link is new.
const WORDS_AT_ONCE: u32 = 1024;

/// The reading side of one link.
#[derive(Debug)]
pub(super) struct Reader {
    shared: Arc<Shared>,
    link: Arc<Link>,
    opener: Option<Opener>,
    routes: RouteCache<Target>,
    gone_limit: TokenBucket,
    answer_limit: TokenBucket,
    word_limit: TokenBucket,
    patient_at: Instant,
    may_hold_up_at: Instant,
    num_uncounted: u64,
    uncounted_len: u64,
    /// When the frames of this turn came.
    now: Instant,
    span: Span,
}

impl Reader {
    pub(super) fn new(
        shared: Arc<Shared>,
        link: Arc<Link>,
        opener: Option<Opener>,
        span: Span,
    ) -> Self {
        Self {
            shared,
            link,
            opener,
            routes: RouteCache::default(),
            gone_limit: TokenBucket::new(GONE_PER_SECOND, GONE_PER_SECOND),
            answer_limit: TokenBucket::new(ANSWERS_PER_SECOND, ANSWERS_PER_SECOND),
            word_limit: TokenBucket::new(WORDS_PER_SECOND, WORDS_AT_ONCE),
            patient_at: Instant::now(),
            may_hold_up_at: Instant::now(),
            num_uncounted: 0,
            uncounted_len: 0,
            now: Instant::now(),
            span,
        }
    }

    /// Reads until the link ends.
    pub(super) async fn run(&mut self, socket: &mut OwnedReadHalf, input: &mut Input) -> LinkEnd {
        input.decoder.set_max_body_len(self.shared.max_frame_len + FWD_EXTRA_LEN);
        // What came before this was a link is in there.
        loop {
            if let Err(end) = self.handle_frames(input).await {
                return end;
            }
            let filled = match input.fill(socket, &self.shared.read_buffers).await {
                Ok(filled) => filled,
                Err(error) => return LinkEnd::Read(error),
            };
            match filled {
                Filled::Closed => return LinkEnd::Closed,
                Filled::Nothing => {
                    input.rest(&self.shared.read_buffers);
                    if let Err(error) = socket.readable().await {
                        return LinkEnd::Read(error);
                    }
                }
                // A part of a long frame is a sign of life, too.
                Filled::More => {
                    self.link.pulse().hear(Instant::now());
                    yield_now().await;
                }
                Filled::Dry => self.link.pulse().hear(Instant::now()),
            }
        }
    }

    async fn handle_frames(&mut self, input: &mut Input) -> Result<(), LinkEnd> {
        self.now = Instant::now();
        while let Some(frame) = input.decoder.next_frame()? {
            self.num_uncounted += 1;
            self.uncounted_len += (HEADER_LEN + frame.body().len()) as u64;
            self.handle_frame(frame).await?;
        }
        let num_frames = std::mem::take(&mut self.num_uncounted);
        if num_frames > 0 {
            self.link.counters.rx.fetch_add(num_frames, Ordering::Relaxed);
            let len = std::mem::take(&mut self.uncounted_len);
            self.link.counters.rx_bytes.fetch_add(len, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn handle_frame(&mut self, frame: Frame<'_>) -> Result<(), LinkEnd> {
        match (self.link.framing, frame.frame_type()) {
            (Framing::Forwarded, FrameType::FWD) => self.forward(Forwarded::decode(frame)?).await,
            (Framing::Forwarded, FrameType::XCTL) => self.handle_sealed(frame.body()).await?,
            (Framing::Plain, FrameType::S2C) => {
                // Nobody vouches that its sender is a member, and it enters the federation here.
                let forwarding = Forwarding::begin(self.shared.hub_id, false);
                let s2c = frame.into_s2c()?;
                let (dst, src, data) = (s2c.dst(), s2c.src(), s2c.data());
                self.forward(Forwarded { forwarding, dst, src, data }).await;
            }
            (Framing::Plain, FrameType::SD) => self.hear_advertisement(Some(frame.body())),
            (Framing::Plain, FrameType::PING) if !self.link.origin.is_dialled => {
                if self.answer_limit.take(Instant::now()) {
                    self.link.say_plainly(&ping());
                }
            }
            (_, FrameType::EXIT) => return Err(LinkEnd::Left(loggable(frame.body()))),
            // Answers to our PING, and whatever a published hub says to its clients.
            (Framing::Plain, _) => {}
            (Framing::Forwarded, other) => {
                debug!(parent: &self.span, frame_type = %other, "dropped: not between hubs");
                self.link.count_drop();
            }
        }
        Ok(())
    }

    /// Takes what a published hub says of networks, the body of SD.
    pub(super) fn hear_advertisement(&self, body: Option<&[u8]>) {
        match body.map(Advertisement::decode) {
            Some(Ok(advertisement)) => self.shared.hear_sd(&self.link, advertisement),
            Some(Err(reason)) => debug!(parent: &self.span, %reason, "SD dropped"),
            None => {}
        }
    }

    async fn handle_sealed(&mut self, body: &[u8]) -> Result<(), LinkEnd> {
        let Some(opener) = &mut self.opener else { return Ok(()) };
        let word = opener.open(body)?;
        if matches!(word, Control::Routes(_) | Control::List(_) | Control::Nodes(_)) {
            // They are work for everybody here: who says too many waits.
            while !self.word_limit.take(Instant::now()) {
                sleep(MAX_WAIT).await;
                // The silence is ours.
                self.link.pulse().hear(Instant::now());
            }
        }
        match word {
            Control::Ping => {
                if self.answer_limit.take(Instant::now()) {
                    self.link.say(&Control::Pong);
                }
            }
            Control::Pong => self.link.pulse().answer(Instant::now()),
            Control::Routes(routes) => self.shared.hear_routes(&self.link, routes),
            Control::Gone(gone) => {
                if self.gone_limit.take(Instant::now()) {
                    self.shared.pass_gone(&self.link, gone);
                }
            }
            Control::List(network) => self.shared.list_asked(&self.link, network),
            Control::Nodes(page) => self.shared.hear_nodes(&self.link, page),
            word => debug!(parent: &self.span, ?word, "dropped: not between hubs"),
        }
        Ok(())
    }

    async fn forward(&mut self, frame: Forwarded<'_>) {
        let (link, shared) = (&self.link, &self.shared);
        // What claims to come from elsewhere is not answered either.
        if !link.may_speak(frame.src) {
            return link.count_drop();
        }
        let dst = frame.dst;
        let target = self.routes.lookup(dst, shared.routes_version(), || shared.lookup(dst));
        let Some(target) = target else { return self.tell_gone(&frame, None) };
        let forwarding = match target {
            Target::Client(_) | Target::Member(_) => {
                Some(frame.forwarding).filter(|forwarding| forwarding.ttl > 0)
            }
            Target::Hub(way) if leads_back(way, link, &frame, shared.hub_id) => None,
            Target::Hub(_) => frame.forwarding.next(),
        };
        let Some(forwarding) = forwarding else { return link.count_drop() };
        let frame = Forwarded { forwarding, ..frame };
        // The way of nearly every frame: there is room in the queue.
        match target.try_push(&frame, self.now) {
            Ok(()) => {}
            Err(NotPushed::Full) => {
                let target = target.clone();
                let pushed = self.wait_and_push(&target, &frame).await;
                self.now = Instant::now();
                if let Err(why) = pushed {
                    self.tell_gone(&frame, Some(why));
                }
            }
            Err(why) => self.tell_gone(&frame, Some(why)),
        }
    }

    /// Queues a frame that is kept, and does not wait long for a destination that takes nothing: a member
    /// loses it then, as its tunnels do not end with one; a client that knows only version 1 is cut off.
    async fn wait_and_push(
        &mut self,
        target: &Target,
        frame: &Forwarded<'_>,
    ) -> Result<(), NotPushed> {
        if !target.outbox().is_stuck() && Instant::now() >= self.patient_at {
            if let Ok(pushed) = timeout(MAX_WAIT, target.push(frame)).await {
                return pushed;
            }
            target.outbox().set_stuck();
            self.patient_at = Instant::now() + IMPATIENCE;
        }
        match target.push_within(frame, MAX_EXCESS_LEN) {
            Err(NotPushed::Full) => {}
            pushed => return pushed,
        }
        if let Target::Client(outbox) = target {
            if self.may_hold_up()
                && let Ok(pushed) = timeout(LAST_WAIT, target.push(frame)).await
            {
                return pushed;
            }
            outbox.cut();
        }
        self.link.count_drop();
        Ok(())
    }

    /// Whether all that is on the link may wait once more for one client that reads and is behind.
    fn may_hold_up(&mut self) -> bool {
        let now = Instant::now();
        let may = now >= self.may_hold_up_at;
        if may {
            self.may_hold_up_at = now + BETWEEN_LAST_WAITS;
        }
        may
    }

    /// Tells the other hub, for the sender, that a frame went nowhere.
    fn tell_gone(&mut self, frame: &Forwarded<'_>, why: Option<NotPushed>) {
        self.link.count_drop();
        if self.link.framing == Framing::Forwarded && self.gone_limit.take(Instant::now()) {
            let why: GoneReason = self.shared.why_gone(frame.dst, why);
            let gone = Gone { to: Some(frame.src), ttl: INITIAL_TTL, ..Gone::new(frame.dst, why) };
            self.link.say(&Control::Gone(gone));
        }
    }
}

/// Whether a frame that came by `link` would come back to where it has been.
fn leads_back(way: &Way, link: &Link, frame: &Forwarded<'_>, own: HubId) -> bool {
    way.link.origin.peer == link.origin.peer
        || way.path.contains(&link.origin.hub)
        // A frame that began here, as those of a published hub's clients may.
        || (link.framing == Framing::Forwarded && frame.forwarding.origin == own)
}
