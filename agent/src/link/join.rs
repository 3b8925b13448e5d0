//! From a TCP connection to a vIP, without I/O.
//!
//! ```text
//! AIP ─ HSK ┬ other hub ──────────────────────────────────────────────────────── joined, /24
//!           ├ hub with members ─ XHS ─ XHS ─ XCTL join ─ XCTL welcome ─────────── joined
//!           └ our hub ─ GSI ┬ nothing else wanted ────────────────────────────── joined
//!                           └ RQIP wanted ┬ granted ──────────────────────────── joined
//!                                         ├ can't be used ────────────────────── joined, moved
//!                                         └ in use ─ step aside ─ ask each 1 s ─ joined
//! ```
//!
//! "Step aside": whoever asks again and again sits on a random vIP in the upper half of the network
//! meanwhile, because hubs give the lowest free one, and that may be what somebody else wants back.
//!
//! The caller keeps the heartbeat of the connection running all the time: coming back can last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dosp_proto::frame::{self, FrameType};
use dosp_proto::message::{Aip, ErrorReport, Hsk, HskFlag, SessionInfo};
use dosp_proto::vip::{Network, Vip};
use rand::CryptoRng;

mod ask;
mod enter;
mod error;

use ask::Question;
pub use ask::{COMING_BACK_TIMEOUT, MAX_ASIDE_TRIES, MAX_ASK_INTERVAL, MIN_ASK_INTERVAL};
use enter::Entering;
pub use enter::{Credentials, Membership};
pub use error::JoinError;

/// How long the hub may take for its greeting, and then for each answer.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How many characters of a hub's words are kept.
const MAX_REASON_CHARS: usize = 200;
/// What hubs that give no network out have, as far as their clients know.
const DEFAULT_PREFIX_LEN: u8 = 24;

/// What the agent wants of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JoinConfig {
    /// The vIP to have, or to have again.
    pub wanted: Option<Vip>,
    /// Whether a person named `wanted`: then nothing else will do.
    pub explicit: bool,
    /// Whether this is the first join of this run: then a person is there to read a refusal.
    pub first: bool,
}

/// A place in a virtual network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Our vIP.
    pub vip: Vip,
    /// The network it lies in.
    pub network: Network,
    /// The hub's greeting.
    pub hub: Hsk,
    /// Whether another vIP was wanted.
    pub moved: bool,
}

/// The state machine of one join.
///
/// An input that fails leaves it as it was, but for the handshake with a hub that has members, which is
/// over.
#[derive(Debug)]
pub struct Join {
    config: JoinConfig,
    credentials: Arc<Credentials>,
    state: State,
    /// AIP and HSK, as they came.
    greeting: Vec<u8>,
    /// As long as the state is [`State::Entering`].
    entering: Option<Entering>,
    membership: Option<Membership>,
    /// When the wanted vIP was found to be in use.
    coming_back_since: Option<Instant>,
    transmit: Vec<u8>,
    joined: Option<Joined>,
}

/// What the hub has given so far.
#[derive(Debug, Clone, Copy)]
struct Seat {
    vip: Vip,
    network: Network,
    hub: Hsk,
}

#[derive(Debug, Clone, Copy)]
enum State {
    AwaitingVip { until: Instant },
    AwaitingGreeting { vip: Vip, until: Instant },
    Entering { hub: Hsk, until: Instant },
    AwaitingNetwork { seat: Seat, until: Instant },
    AwaitingAnswer { seat: Seat, question: Question, until: Instant },
    AwaitingGrantedVip { seat: Seat, question: Question, until: Instant },
    Pausing { seat: Seat, wanted: Vip, until: Instant },
    Done,
}

impl Join {
    /// A join over a connection that was made `now`.
    #[must_use]
    pub fn new(config: JoinConfig, credentials: Arc<Credentials>, now: Instant) -> Self {
        Self {
            config,
            credentials,
            state: State::AwaitingVip { until: now + JOIN_TIMEOUT },
            greeting: Vec::new(),
            entering: None,
            membership: None,
            coming_back_since: None,
            transmit: Vec::new(),
            joined: None,
        }
    }

    /// Takes a frame from the hub. Frames that have nothing to do with joining are ignored once
    /// the greeting is through.
    ///
    /// # Errors
    /// [`JoinError`], after which the connection is of no use.
    pub fn handle_frame(
        &mut self,
        frame_type: FrameType,
        body: &[u8],
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<(), JoinError> {
        if frame_type == FrameType::EXIT {
            return Err(JoinError::Refused { reason: reason(body) });
        }
        match (self.state, frame_type) {
            (State::AwaitingVip { until }, FrameType::AIP) => {
                let vip = Aip::decode(body)?.0;
                frame::encode(&mut self.greeting, frame_type, body);
                self.state = State::AwaitingGreeting { vip, until };
                Ok(())
            }
            (State::AwaitingVip { .. }, _) => {
                Err(JoinError::NotDosp { expected: FrameType::AIP, frame_type })
            }
            (State::AwaitingGreeting { vip, .. }, FrameType::HSK) => {
                self.handle_hsk(vip, body, now, rng)
            }
            // The vIP is routed from the moment that it is given; a hub may not wait for its HSK.
            (State::AwaitingGreeting { .. }, FrameType::S2C | FrameType::MSG) => Ok(()),
            (State::AwaitingGreeting { .. }, _) => {
                Err(JoinError::NotDosp { expected: FrameType::HSK, frame_type })
            }
            (State::Entering { hub, .. }, _) => self.handle_entering(hub, frame_type, body, now),
            (State::AwaitingNetwork { seat, .. }, _) => {
                self.handle_network_answer(seat, frame_type, body, now);
                Ok(())
            }
            (State::AwaitingAnswer { seat, question, .. }, _) => {
                self.handle_vip_answer(seat, question, frame_type, body, now, rng)
            }
            (State::AwaitingGrantedVip { seat, question, .. }, FrameType::AIP) => {
                let vip = usable(Aip::decode(body)?.0)?;
                self.granted(seat.moved_to(vip), question, now, rng);
                Ok(())
            }
            (State::AwaitingGrantedVip { .. } | State::Pausing { .. } | State::Done, _) => Ok(()),
        }
    }

    /// Lets time pass; harmless when called too early.
    ///
    /// # Errors
    /// [`JoinError::TimedOut`].
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), JoinError> {
        if self.poll_timeout().is_none_or(|due_at| now < due_at) {
            return Ok(());
        }
        let expected = match self.state {
            State::AwaitingVip { .. } | State::AwaitingGrantedVip { .. } => FrameType::AIP,
            State::AwaitingGreeting { .. } => FrameType::HSK,
            State::Entering { .. } => self.awaits(),
            State::AwaitingAnswer { .. } => FrameType::RQIP,
            State::AwaitingNetwork { seat, .. } => {
                self.seated(seat, now);
                return Ok(());
            }
            State::Pausing { seat, wanted, .. } => {
                if self.gives_up(now) {
                    self.finish(seat);
                } else {
                    self.ask(seat, wanted, Question::Wanted(wanted), now);
                }
                return Ok(());
            }
            State::Done => return Ok(()),
        };
        Err(JoinError::TimedOut { expected })
    }

    /// When to call [`Self::handle_timeout`]; `None` once joined.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::AwaitingVip { until }
            | State::AwaitingGreeting { until, .. }
            | State::Entering { until, .. }
            | State::AwaitingNetwork { until, .. }
            | State::AwaitingAnswer { until, .. }
            | State::AwaitingGrantedVip { until, .. } => Some(until),
            State::Pausing { until, .. } => {
                Some(self.give_up_at().map_or(until, |give_up_at| until.min(give_up_at)))
            }
            State::Done => None,
        }
    }

    /// Appends what is to be sent; `false` where there is nothing.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let any = !self.transmit.is_empty();
        out.append(&mut self.transmit);
        any
    }

    /// The outcome, once.
    pub fn poll_joined(&mut self) -> Option<Joined> {
        self.joined.take()
    }

    /// What came with [`Self::poll_joined`] from a hub that has members, once.
    pub fn take_membership(&mut self) -> Option<Membership> {
        self.membership.take()
    }

    fn handle_hsk(
        &mut self,
        vip: Vip,
        body: &[u8],
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<(), JoinError> {
        let len = self.greeting.len();
        frame::encode(&mut self.greeting, FrameType::HSK, body);
        let greeted = self.greeted(vip, Hsk::decode(body), now, rng);
        if greeted.is_err() {
            self.greeting.truncate(len);
        }
        greeted
    }

    fn greeted(
        &mut self,
        vip: Vip,
        hub: Hsk,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<(), JoinError> {
        if hub.token == Hsk::DOSP_NET && hub.flag == HskFlag::Space {
            return self.enter(hub, now, rng);
        }
        if let Some(known) = &self.credentials.hub_key {
            return Err(JoinError::NoHubKey { known: known.fingerprint() });
        }
        let vip = usable(vip)?;
        let seat = Seat { vip, network: network_around(vip), hub };
        match hub.flag {
            HskFlag::Compression => return Err(JoinError::Compression),
            HskFlag::Space => {
                frame::encode(&mut self.transmit, FrameType::GSI, &[]);
                self.state = State::AwaitingNetwork { seat, until: now + JOIN_TIMEOUT };
            }
            // Published hubs end the session on GSI and RQIP: their vIP is taken as it comes.
            HskFlag::Off => {
                let refused = self.config.wanted.filter(|wanted| *wanted != vip);
                if let Some(vip) = refused.filter(|_| self.must_have_wanted()) {
                    let reason = "it takes no requests for a vIP".to_owned();
                    return Err(JoinError::VipRefused { vip, reason });
                }
                self.finish(seat);
            }
        }
        Ok(())
    }

    fn handle_network_answer(
        &mut self,
        mut seat: Seat,
        frame_type: FrameType,
        body: &[u8],
        now: Instant,
    ) {
        match frame_type {
            FrameType::GSI => {
                let network = SessionInfo::decode(body).ok().map(|info| info.network);
                if let Some(network) = network.filter(|network| network.contains(seat.vip)) {
                    seat.network = network;
                }
            }
            // About a packet that the vIP's former session sent, not about GSI.
            FrameType::ERR if is_undeliverable(body) => return,
            FrameType::ERR => {}
            _ => return,
        }
        self.seated(seat, now);
    }

    /// The vIP and its network are known: asks for another one where one is wanted.
    fn seated(&mut self, seat: Seat, now: Instant) {
        match self.config.wanted {
            Some(wanted) if wanted != seat.vip => {
                self.ask(seat, wanted, Question::Wanted(wanted), now);
            }
            _ => self.finish(seat),
        }
    }

    fn finish(&mut self, Seat { vip, network, hub }: Seat) {
        let moved = self.config.wanted.is_some_and(|wanted| wanted != vip);
        self.joined = Some(Joined { vip, network, hub, moved });
        self.state = State::Done;
    }

    fn must_have_wanted(&self) -> bool {
        self.config.explicit && self.config.first
    }
}

impl Seat {
    fn moved_to(self, vip: Vip) -> Self {
        let network = if self.network.contains(vip) { self.network } else { network_around(vip) };
        Self { vip, network, ..self }
    }
}

#[expect(clippy::expect_used, reason = "the prefix length is a constant")]
fn network_around(vip: Vip) -> Network {
    Network::containing(vip, DEFAULT_PREFIX_LEN).expect("invariant: a network can have 24 bits")
}

/// The kernel would refuse other addresses later and say less, or take 127/8 and break the host.
pub(crate) fn usable(vip: Vip) -> Result<Vip, JoinError> {
    let [first, ..] = vip.octets();
    match first {
        0 | 127 | 224.. => Err(JoinError::UnusableVip { vip }),
        _ => Ok(vip),
    }
}

fn is_undeliverable(body: &[u8]) -> bool {
    matches!(ErrorReport::decode(body), ErrorReport::Undeliverable { .. })
}

/// A hub's words, fit for a terminal.
fn reason(text: &[u8]) -> String {
    if text.is_empty() {
        return "no reason given".to_owned();
    }
    let mut words = String::new();
    for char in String::from_utf8_lossy(text).chars().take(MAX_REASON_CHARS) {
        match char {
            '\'' | '"' => words.push(char),
            _ => words.extend(char.escape_debug()),
        }
    }
    words
}

#[cfg(test)]
mod tests;
