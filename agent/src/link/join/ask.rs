//! Asking for a vIP, and asking again until its former session is gone.

use std::time::{Duration, Instant};

use dosp_proto::frame::FrameType;
use dosp_proto::message::{ErrorCode, ErrorReport, VipAnswer, VipRequest};
use dosp_proto::vip::Vip;
use rand::{CryptoRng, RngExt};

use super::{JOIN_TIMEOUT, Join, JoinError, Seat, State, reason};

/// How long a vIP that nobody asked for by name is worth waiting for: longer than a hub needs to
/// notice that our former session is dead.
pub const COMING_BACK_TIMEOUT: Duration = Duration::from_secs(60);
/// Shortest pause before a vIP in use is asked for again.
pub const MIN_ASK_INTERVAL: Duration = Duration::from_millis(500);
/// Longest pause before a vIP in use is asked for again.
pub const MAX_ASK_INTERVAL: Duration = Duration::from_millis(1500);
/// How many random vIPs are tried to step aside to: half a network full of others is no reason
/// not to join.
pub const MAX_ASIDE_TRIES: u32 = 8;

/// Why a vIP was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    Wanted(Vip),
    Aside { wanted: Vip, tries_left: u32 },
}

impl Join {
    pub(super) fn ask(&mut self, seat: Seat, vip: Vip, question: Question, now: Instant) {
        VipRequest(vip).encode_to(&mut self.transmit);
        self.state = State::AwaitingAnswer { seat, question, until: now + JOIN_TIMEOUT };
    }

    pub(super) fn handle_vip_answer(
        &mut self,
        seat: Seat,
        question: Question,
        frame_type: FrameType,
        body: &[u8],
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<(), JoinError> {
        match frame_type {
            FrameType::RQIP => match VipAnswer::decode(body)? {
                VipAnswer::Granted => {
                    let until = now + JOIN_TIMEOUT;
                    self.state = State::AwaitingGrantedVip { seat, question, until };
                    Ok(())
                }
                refused @ VipAnswer::Refused(text) => {
                    let in_use = refused == VipAnswer::IN_USE;
                    self.refused(seat, question, in_use, text.as_bytes(), now, rng)
                }
            },
            FrameType::ERR => match ErrorReport::decode(body) {
                ErrorReport::Code(ErrorCode::RQIP_FAILED, detail) => {
                    self.refused(seat, question, false, detail, now, rng)
                }
                ErrorReport::Code(ErrorCode::UNKNOWN_TYPE, detail)
                    if detail.first() == Some(&FrameType::RQIP.0) =>
                {
                    self.refused(seat, question, false, b"it does not know RQIP", now, rng)
                }
                ErrorReport::Code(..)
                | ErrorReport::Undeliverable { .. }
                | ErrorReport::Text(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn refused(
        &mut self,
        seat: Seat,
        question: Question,
        in_use: bool,
        text: &[u8],
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<(), JoinError> {
        match question {
            Question::Aside { wanted, tries_left } => {
                self.step_aside(seat, wanted, tries_left, now, rng);
            }
            Question::Wanted(vip) if self.must_have_wanted() => {
                return Err(JoinError::VipRefused { vip, reason: reason(text) });
            }
            Question::Wanted(_) if !in_use || self.gives_up(now) => self.finish(seat),
            Question::Wanted(wanted) if self.coming_back_since.is_none() => {
                self.coming_back_since = Some(now);
                self.step_aside(seat, wanted, MAX_ASIDE_TRIES, now, rng);
            }
            Question::Wanted(wanted) => self.pause(seat, wanted, now, rng),
        }
        Ok(())
    }

    fn step_aside(
        &mut self,
        seat: Seat,
        wanted: Vip,
        tries_left: u32,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) {
        let Some(tries_left) = tries_left.checked_sub(1) else {
            return self.pause(seat, wanted, now, rng);
        };
        let (first, end) = (u32::from(seat.network.address()), u32::from(seat.network.broadcast()));
        let aside = rng.random_range(first + (end - first) / 2 + 1..end);
        self.ask(seat, Vip::from(aside), Question::Aside { wanted, tries_left }, now);
    }

    pub(super) fn granted(
        &mut self,
        seat: Seat,
        question: Question,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) {
        match question {
            Question::Aside { wanted, .. } if seat.vip != wanted => {
                self.pause(seat, wanted, now, rng);
            }
            Question::Aside { .. } | Question::Wanted(_) => self.finish(seat),
        }
    }

    fn pause(&mut self, seat: Seat, wanted: Vip, now: Instant, rng: &mut impl CryptoRng) {
        let until = now + rng.random_range(MIN_ASK_INTERVAL..=MAX_ASK_INTERVAL);
        self.state = State::Pausing { seat, wanted, until };
    }

    pub(super) fn give_up_at(&self) -> Option<Instant> {
        let since = self.coming_back_since.filter(|_| !self.config.explicit);
        since.map(|since| since + COMING_BACK_TIMEOUT)
    }

    pub(super) fn gives_up(&self, now: Instant) -> bool {
        self.give_up_at().is_some_and(|give_up_at| now >= give_up_at)
    }
}
