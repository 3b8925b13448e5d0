//! Tunnels of version 1: X25519, HKDF-SHA256, AES-256-GCM and HMAC-SHA256.
//!
//! [`Tunnel`] is everything that one peer's tunnel remembers. It decides what DATA from the peer
//! means, and has handshakes of its own to send ([`Tunnel::poll_data`]).
//!
//! What version 1 cannot do: it does not know *who* the peer is, and it never changes its keys.

mod established;
mod hello;
mod opening;
mod session;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::CryptoRng;
use x25519_dalek::SharedSecret;

use self::established::Established;
pub use self::hello::{HELLO_LEN, encode_refusal, is_hello, refusal, throwaway_hello};
use self::hello::{Handshake, Hello};
use self::opening::{Opening, agree};
use self::session::Session;
pub use self::session::{Exhausted, OVERHEAD_LEN, OpenError};
use crate::Now;
use crate::buffer::PacketBuf;
use crate::limit::TokenBucket;

/// Clocks may differ by this much, in seconds: an older hello may be a recording.
const MAX_CLOCK_SKEW: u64 = 300;
/// So many frames that do not open make us open anew …
const MAX_UNOPENED: u8 = 3;
/// … at most this often.
const REOPEN_INTERVAL: Duration = Duration::from_secs(5);
/// A peer's hellos are looked at this often in the long run …
const HELLOS_PER_SECOND: u32 = 20;
/// … and so many at once.
const HELLO_BURST: u32 = 5;
/// While no frame has verified under the keys of our last answer, a new hello is answered only after
/// this long. An answer looks like an opening: two sides of which neither has an opening under way
/// would answer each other's answers for ever. Shorter than `opening::FIRST_RETRY`, so that who really opens
/// anew is answered at his second try.
const ANSWER_INTERVAL: Duration = Duration::from_millis(990);
/// What published peers understand as a refusal of the legacy mode.
const LEGACY_REFUSED: &[u8] = b"E:NotSupported";

/// What DATA from the peer was.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'b> {
    /// A message that opened and verified.
    Message(&'b mut [u8]),
    /// A frame that opened and carries nothing.
    Empty,
    /// Part of a handshake; there may be something to send now.
    Handshake,
    /// The peer refuses, in its own words. Unauthenticated: it changes nothing.
    Refused(&'b str),
    /// Plain DATA from a peer that never had a tunnel with us.
    Plain(&'b mut [u8]),
}

/// Why DATA was not taken. The tunnel is as it was, but for the count that makes it reopen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// It opens under none of the tunnel's keys.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A hello whose clock is too far from ours; its sender was told.
    #[error("peer's clock differs by {seconds} s")]
    Clock {
        /// The difference in seconds.
        seconds: u64,
    },
    /// A public key that makes the secret known to everybody.
    #[error("peer's public key is of low order")]
    LowOrderKey,
    /// The peer offers the mode that protects nothing; it was told no.
    #[error("peer offers the legacy mode only")]
    Legacy,
    /// More hellos than anybody needs; each would cost a key agreement.
    #[error("too many handshakes")]
    TooMany,
    /// A hello of a tunnel that we have, once more.
    #[error("hello was seen before")]
    Repeated,
}

/// The tunnel with one peer.
#[derive(Debug)]
pub struct Tunnel {
    established: Option<Established>,
    /// Answers an opening while `established` lives; takes over with its first verified frame.
    successor: Option<Established>,
    opening: Option<Opening>,
    /// DATA to send.
    outgoing: VecDeque<Vec<u8>>,
    /// Whether there ever was a tunnel, so that DATA which does not open is not taken for plain.
    known: bool,
    unopened: u8,
    reopened_at: Option<Instant>,
    /// When we last answered, until a frame verifies under the keys of that answer.
    answered_at: Option<Instant>,
    verified_at: Option<Instant>,
    hellos: TokenBucket,
}

impl Default for Tunnel {
    fn default() -> Self {
        Self {
            established: None,
            successor: None,
            opening: None,
            outgoing: VecDeque::new(),
            known: false,
            unopened: 0,
            reopened_at: None,
            answered_at: None,
            verified_at: None,
            hellos: TokenBucket::new(HELLOS_PER_SECOND, HELLO_BURST),
        }
    }
}

impl Tunnel {
    /// Whether [`Self::seal`] can be called.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.established.is_some()
    }

    /// Since when an opening of ours has had no answer.
    #[must_use]
    pub fn opening_since(&self) -> Option<Instant> {
        self.opening.as_ref().map(|opening| opening.since)
    }

    /// When the last frame of the peer verified.
    #[must_use]
    pub fn verified_at(&self) -> Option<Instant> {
        self.verified_at
    }

    /// Starts a handshake, unless one is under way.
    pub fn open(&mut self, now: Now, rng: &mut impl CryptoRng) {
        if self.opening.is_some() {
            return;
        }
        let opening = Opening::new(now, rng);
        self.outgoing.push_back(opening.hello.encode().to_vec());
        self.opening = Some(opening);
    }

    /// Forgets all keys, as after a reconnect: the vIP may be somebody else's now. What is known of
    /// the time before stays: that there was a tunnel, and when a frame last verified.
    pub fn discard(&mut self) {
        *self = Self { known: self.known, verified_at: self.verified_at, ..Self::default() };
    }

    /// The next DATA to send to the peer as it is.
    pub fn poll_data(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.opening.as_ref().and_then(|opening| opening.retry_at)
    }

    /// Repeats an opening that got no answer, or gives it up.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        let is_due = |opening: &&mut Opening| opening.retry_at.is_some_and(|at| at <= now);
        let Some(opening) = self.opening.as_mut().filter(is_due) else { return };
        match opening.retry(now, rng) {
            Some(data) => self.outgoing.push_back(data),
            None => self.opening = None,
        }
    }

    /// Seals the message in `buffer` where it is; `false` where there is no tunnel yet (see
    /// [`Self::is_open`]).
    ///
    /// # Errors
    /// [`Exhausted`] after 2^31 frames: the tunnel is gone and must be opened anew.
    pub fn seal(&mut self, buffer: &mut PacketBuf) -> Result<bool, Exhausted> {
        let Some(established) = &mut self.established else { return Ok(false) };
        if let Err(exhausted) = established.seal(buffer) {
            self.established = self.successor.take();
            return Err(exhausted);
        }
        Ok(true)
    }

    /// Takes DATA from the peer; opens it in place.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub fn handle_data<'b>(
        &mut self,
        data: &'b mut [u8],
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<Received<'b>, ReceiveError> {
        // A nonce may look like anything, so the keys are asked first.
        let not_opened = match self.verify(data) {
            Ok((slot, number)) => return self.open_verified(slot, number, data, now.instant),
            Err(error) => error,
        };
        match Handshake::parse(data) {
            Some(Handshake::Hello(theirs)) => return self.handle_hello(theirs, now, rng),
            // Parsed again, or the borrow would last for the other arms too.
            Some(Handshake::Refused(_)) => {
                let Some(Handshake::Refused(reason)) = Handshake::parse(data) else {
                    return Err(not_opened.into());
                };
                return Ok(Received::Refused(reason));
            }
            Some(Handshake::Legacy) => {
                self.outgoing.push_back(LEGACY_REFUSED.to_vec());
                return Err(ReceiveError::Legacy);
            }
            None => {}
        }
        if !self.known {
            return Ok(Received::Plain(data));
        }
        if not_opened != OpenError::TooShort {
            self.count_unopened(now, rng);
        }
        Err(not_opened.into())
    }

    /// Says that a frame came which only keys that we no longer have can open, as after a restart.
    pub fn count_unopened(&mut self, now: Now, rng: &mut impl CryptoRng) {
        self.unopened = self.unopened.saturating_add(1);
        let rested = self.reopened_at.is_none_or(|at| now.instant >= at + REOPEN_INTERVAL);
        if self.unopened >= MAX_UNOPENED && rested && self.opening.is_none() {
            (self.known, self.unopened, self.reopened_at) = (true, 0, Some(now.instant));
            self.open(now, rng);
        }
    }

    /// Finds the keys under which `data` verifies; changes nothing.
    fn verify(&self, data: &[u8]) -> Result<(Slot, u64), OpenError> {
        if data.len() < OVERHEAD_LEN {
            return Err(OpenError::TooShort);
        }
        let mut outcome = Err(OpenError::Number);
        let current = self.established.iter().flat_map(|established| {
            let crossed = established.crossed.iter().map(|session| (Slot::Crossed, session));
            std::iter::once((Slot::Established, &established.session)).chain(crossed)
        });
        let next = self.successor.iter().map(|next| (Slot::Successor, &next.session));
        for (slot, session) in current.chain(next) {
            match session.verify(data) {
                Ok(number) => return Ok((slot, number)),
                // Said only where no other keys have more to say.
                Err(OpenError::Number) => {}
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    fn open_verified<'b>(
        &mut self,
        slot: Slot,
        number: u64,
        data: &'b mut [u8],
        now: Instant,
    ) -> Result<Received<'b>, ReceiveError> {
        let holder = match slot {
            Slot::Successor => &mut self.successor,
            Slot::Established | Slot::Crossed => &mut self.established,
        };
        let Some(holder) = holder else { return Err(OpenError::Forged.into()) };
        let session = match (slot, &mut holder.crossed) {
            (Slot::Crossed, Some(crossed)) => crossed,
            _ => &mut holder.session,
        };
        let message = session.open(number, data)?;
        holder.confirmed = true;
        holder.send_crossed |= slot == Slot::Crossed;
        if slot == Slot::Successor {
            self.established = self.successor.take();
        }
        if self.successor.is_none() {
            self.answered_at = None;
        }
        self.unopened = 0;
        self.verified_at = Some(now);
        Ok(if message.is_empty() { Received::Empty } else { Received::Message(message) })
    }

    fn handle_hello<'b>(
        &mut self,
        theirs: Hello,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<Received<'b>, ReceiveError> {
        if !self.hellos.take(now.instant) {
            return Err(ReceiveError::TooMany);
        }
        let seconds = theirs.unix_time.abs_diff(now.unix_time);
        if seconds > MAX_CLOCK_SKEW {
            self.outgoing.push_back(encode_refusal(&format!("clock differs by {seconds} s")));
            return Err(ReceiveError::Clock { seconds });
        }
        if self.is_like_ours(&theirs) {
            return Err(OpenError::Reflected.into());
        }
        let holders = [&mut self.established, &mut self.successor];
        if let Some(same) = holders.into_iter().flatten().find(|have| have.theirs == theirs) {
            self.outgoing.extend(same.repeat(now.instant));
            return Err(ReceiveError::Repeated);
        }
        match self.opening.take() {
            Some(opening) => {
                let Ok(secret) = agree(&opening.secret, &theirs) else {
                    self.opening = Some(opening);
                    return Err(ReceiveError::LowOrderKey);
                };
                self.finish_opening(opening.hello, theirs, &secret, now.instant, rng);
            }
            None => self.answer(theirs, now, rng)?,
        }
        self.known = true;
        Ok(Received::Handshake)
    }

    /// Whether a hello has the key or the session id of one of ours. With our key we would make a
    /// tunnel with ourselves; with our session id both orders of a tunnel would have the same keys,
    /// and a frame sent in one would pass for the peer's in the other.
    fn is_like_ours(&self, theirs: &Hello) -> bool {
        let holders = self.established.iter().chain(&self.successor).map(|holder| &holder.ours);
        let opening = self.opening.iter().map(|opening| &opening.hello);
        holders.chain(opening).any(|ours| {
            ours.public_key == theirs.public_key || ours.session_id == theirs.session_id
        })
    }

    /// An answer, or an opening that crossed ours: nobody can tell, so both orders are kept.
    fn finish_opening(
        &mut self,
        ours: Hello,
        theirs: Hello,
        secret: &SharedSecret,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) {
        let session = Session::derive(secret, ours.session_id, theirs.session_id, rng);
        let crossed = Session::derive(secret, theirs.session_id, ours.session_id, rng);
        let mut established = Established::new(ours, theirs, session, Some(crossed), now);
        if self.known {
            // The peer keeps an older tunnel until a frame under the new keys verifies.
            let mut confirmation = PacketBuf::default();
            if established.seal(&mut confirmation).is_ok() {
                self.outgoing.push_back(confirmation.content().to_vec());
            }
        }
        self.successor = None;
        self.established = Some(established);
    }

    fn answer(
        &mut self,
        theirs: Hello,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(), ReceiveError> {
        if self.answered_at.is_some_and(|at| now.instant < at + ANSWER_INTERVAL) {
            return Err(ReceiveError::TooMany);
        }
        let (ours, secret) = Hello::generate(now.unix_time, rng);
        let secret = agree(&secret, &theirs)?;
        let session = Session::derive(&secret, theirs.session_id, ours.session_id, rng);
        let answered = Established::new(ours, theirs, session, None, now.instant);
        self.outgoing.push_back(ours.encode().to_vec());
        self.answered_at = Some(now.instant);
        if self.established.is_some() {
            self.successor = Some(answered);
        } else {
            self.established = Some(answered);
        }
        Ok(())
    }
}

/// Which keys opened a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Established,
    Crossed,
    Successor,
}

#[cfg(test)]
mod tests;
