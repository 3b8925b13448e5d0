//! What one peer's tunnel remembers: an opening under way, the session it sends in, and those that
//! only receive.

mod handshake;
mod peer;
mod timers;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::CryptoRng;

pub use self::handshake::HandshakeError;
use super::Kind;
use super::endpoint::{Endpoint, Ends, Proved};
use super::payload::Introduction;
use super::session::{MAX_AGE, OpenError, Role, Session};
use super::wire::{Opening, Reply};
use crate::buffer::PacketBuf;
use crate::identity::PublicKey;
use crate::limit::TokenBucket;
use crate::noise::{Answered, Initiator};
use crate::packet::FlowId;
use crate::tunnel::v1::HELLO_LEN;

/// An unanswered opening is repeated after this long, then after twice as long, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Message 3 is repeated after these times, until a frame of the session verifies.
const PROOF_REPEATS: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// Who got something and has nothing to say says that he is there, after so long.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
/// Who sent something and heard nothing for so long opens anew.
const OVERDUE_AFTER: Duration = Duration::from_secs(8);
/// A session that was replaced receives for so long.
const RECEIVES_FOR: Duration = Duration::from_secs(60);
/// So many sessions only receive; each is 10 KiB.
const MAX_OLDER: usize = 3;
/// A peer's openings, answers and proofs, of each so many a second are looked at …
const HANDSHAKES_PER_SECOND: u32 = 20;
/// … and so many at once.
const HANDSHAKE_BURST: u32 = 5;

/// An answer to our opening. The peer has shown its key; we have not shown ours yet.
pub struct Answer {
    /// The peer's key.
    pub key: PublicKey,
    /// What it says of itself.
    pub introduction: Option<Introduction>,
    answered: Answered,
    remote_index: u32,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A frame that was opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened<'b> {
    /// What it carries.
    pub kind: Kind,
    /// The content, where it was sealed.
    pub content: &'b mut [u8],
    /// Whether it is the first of a session that we opened: the peer has proved all of its key.
    pub confirms: bool,
}

#[derive(Debug)]
struct Opener {
    initiator: Initiator,
    index: u32,
    data: Vec<u8>,
    /// When the first of the openings began that led to no session.
    since: Instant,
    /// When this one began.
    opened_at: Instant,
    retry_at: Instant,
    retry_after: Duration,
}

/// A session that we opened, until a frame of it verifies.
#[derive(Debug)]
struct Proving {
    session: Session,
    key: PublicKey,
    introduction: Option<Introduction>,
    /// Message 3, as DATA.
    data: Vec<u8>,
    since: Instant,
    num_repeats: usize,
    repeat_at: Option<Instant>,
    give_up_at: Instant,
}

/// A session that only receives.
#[derive(Debug)]
struct Older {
    session: Session,
    until: Instant,
}

/// The tunnel with one peer.
#[derive(Debug)]
pub struct Tunnel {
    opener: Option<Opener>,
    proving: Option<Proving>,
    /// What we send in.
    current: Option<Session>,
    older: Vec<Older>,
    /// Who is at the other end of `current`, or was at that of the last one.
    key: Option<PublicKey>,
    introduction: Option<Introduction>,
    /// DATA to send.
    outgoing: VecDeque<Vec<u8>>,
    openings: TokenBucket,
    replies: TokenBucket,
    /// Whether something that was sent or received shows that a new session is due.
    rekey_due: bool,
    /// Since when openings lead to nothing, where a new one is due.
    reopen_since: Option<Instant>,
    keepalive_at: Option<Instant>,
    /// Since when what was sent has had no answer.
    unanswered_since: Option<Instant>,
    /// When to look at that again.
    unanswered_at: Option<Instant>,
    is_silent: bool,
    verified_at: Option<Instant>,
}

impl Default for Tunnel {
    fn default() -> Self {
        Self {
            opener: None,
            proving: None,
            current: None,
            older: Vec::new(),
            key: None,
            introduction: None,
            outgoing: VecDeque::new(),
            openings: TokenBucket::new(HANDSHAKES_PER_SECOND, HANDSHAKE_BURST),
            replies: TokenBucket::new(HANDSHAKES_PER_SECOND, HANDSHAKE_BURST),
            rekey_due: false,
            reopen_since: None,
            keepalive_at: None,
            unanswered_since: None,
            unanswered_at: None,
            is_silent: false,
            verified_at: None,
        }
    }
}

impl Tunnel {
    /// Whether [`Self::seal`] has a session to seal in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        (self.current.is_some() && !self.is_silent) || self.proving.is_some()
    }

    /// Whether the peer has proved its key, in the session that is sent in.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.current.is_some()
    }

    /// Since when openings of ours have led to no session.
    #[must_use]
    pub fn opening_since(&self) -> Option<Instant> {
        self.opener.as_ref().map(|opener| opener.since)
    }

    /// Whether a handshake of ours is under way.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        self.opener.is_some() || self.proving.is_some()
    }

    /// Whether a frame with this receiver index is one of a session here.
    #[must_use]
    pub fn has_session(&self, receiver: u32) -> bool {
        self.sessions().any(|session| session.local_index == receiver)
    }

    /// Whether a frame with this receiver index is one of ours, sent back.
    #[must_use]
    pub fn is_reflected(&self, receiver: u32) -> bool {
        self.sessions().any(|session| session.remote_index == receiver)
    }

    /// Seals the content of `buffer` where it is, as DATA. `false`, and nothing is done, where there
    /// is no session, or it has just ended.
    pub fn seal(
        &mut self,
        kind: Kind,
        flow: Option<FlowId>,
        buffer: &mut PacketBuf,
        now: Instant,
    ) -> bool {
        let current = self.current.as_mut().filter(|_| !self.is_silent);
        let session = match (current, &mut self.proving) {
            (Some(session), _) => session,
            (None, Some(proving)) => &mut proving.session,
            (None, None) => return false,
        };
        if !session.seal(kind, flow, buffer, now) {
            if self.current.take().is_none() {
                self.proving = None;
            }
            return false;
        }
        self.rekey_due |= session.wants_rekey_on_send(now);
        self.keepalive_at = None;
        if kind != Kind::Keepalive && self.unanswered_since.is_none() {
            self.unanswered_since = Some(now);
            self.unanswered_at = Some(now + OVERDUE_AFTER);
        }
        true
    }

    /// Opens a frame for the session with index `receiver`, where it is.
    ///
    /// # Errors
    /// [`OpenError`]; the tunnel is as it was.
    pub fn handle_frame<'b>(
        &mut self,
        receiver: u32,
        data: &'b mut [u8],
        now: Instant,
    ) -> Result<Opened<'b>, OpenError> {
        let is_it = |session: &Session| session.local_index == receiver;
        let confirms = self.proving.as_ref().is_some_and(|proving| is_it(&proving.session));
        let session = self.sessions_mut().find(|session| is_it(session));
        let session = session.ok_or(OpenError::NoSession)?;
        let (kind, content) = session.open(data, now)?;
        let rekey_due = session.wants_rekey_on_receive(now);
        self.verified_at = Some(now);
        self.answered();
        if let (true, Some(proving)) = (confirms, self.proving.take()) {
            self.replace(proving.session, proving.key, proving.introduction, now);
        }
        self.rekey_due |= rekey_due && self.current.as_ref().is_some_and(is_it);
        if kind == Kind::Keepalive {
            self.learn_name(content);
        } else {
            self.keepalive_at.get_or_insert(now + KEEPALIVE_AFTER);
        }
        Ok(Opened { kind, content, confirms })
    }

    /// Whether it is time for [`Self::open`] though nothing may wait: the session is worn, or the peer
    /// does not answer in it.
    #[must_use]
    pub fn needs_opening(&self) -> bool {
        let due = self.rekey_due || self.reopen_since.is_some();
        due && self.opener.is_none() && self.proving.is_none()
    }

    /// Somebody else shows a key at the peer's vIP. Where what was sent has no answer, no more is sent
    /// in this session, until a frame of the peer verifies and shows that it is still there.
    pub fn doubt(&mut self) {
        self.is_silent |= self.unanswered_since.is_some();
    }

    /// Repeats an opening that is under way not before `at`: the peer answered in another way, and
    /// would take a repetition for a second opening.
    pub fn pause_opening(&mut self, at: Instant) {
        if let Some(opener) = &mut self.opener {
            opener.retry_at = opener.retry_at.max(at);
        }
    }

    /// Gives up an opening that is under way: the peer answered in another way.
    pub fn give_up_opening(&mut self) {
        self.opener = None;
        self.reopen_since = None;
    }

    /// Forgets all sessions and openings. Who the peer was stays known.
    pub fn discard(&mut self) {
        *self = Self {
            key: self.key,
            introduction: self.introduction.take(),
            verified_at: self.verified_at,
            openings: self.openings.clone(),
            replies: self.replies.clone(),
            ..Self::default()
        };
    }

    /// The peer has said goodbye: as [`discard`](Self::discard), and it counts as unseen.
    pub fn end(&mut self) {
        self.discard();
        self.verified_at = None;
    }

    /// The next DATA to send to the peer as it is.
    pub fn poll_data(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    fn send_keepalive(&mut self, content: &[u8], now: Instant) {
        let mut buffer = PacketBuf::from(content);
        if self.seal(Kind::Keepalive, None, &mut buffer, now) {
            self.outgoing.push_back(buffer.content().to_vec());
        }
    }

    /// From now on we send in `session`; what we sent in goes on receiving for a while.
    fn replace(
        &mut self,
        session: Session,
        key: PublicKey,
        introduction: Option<Introduction>,
        now: Instant,
    ) {
        if let Some(session) = self.current.replace(session) {
            let until = (now + RECEIVES_FOR).min(session.created_at + MAX_AGE);
            self.older.push(Older { session, until });
            let excess = self.older.len().saturating_sub(MAX_OLDER);
            self.older.drain(..excess);
        }
        let name = self.introduction.take().and_then(|before| before.name);
        self.introduction = introduction.map(|mut introduction| {
            // The responder's name comes later; the same key still has the same name.
            if self.key == Some(key) {
                introduction.name = introduction.name.or(name);
            }
            introduction
        });
        self.key = Some(key);
        (self.opener, self.reopen_since) = (None, None);
        self.rekey_due = false;
        self.answered();
    }

    /// The responder's first keepalive has its name.
    fn learn_name(&mut self, content: &[u8]) {
        let name = Introduction::decode(content).and_then(|introduction| introduction.name);
        if let (Some(known), Some(name)) = (&mut self.introduction, name) {
            known.name = Some(name);
        }
    }

    fn sessions(&self) -> impl Iterator<Item = &Session> {
        let proving = self.proving.iter().map(|proving| &proving.session);
        let older = self.older.iter().map(|older| &older.session);
        self.current.iter().chain(proving).chain(older)
    }

    fn sessions_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        let proving = self.proving.iter_mut().map(|proving| &mut proving.session);
        let older = self.older.iter_mut().map(|older| &mut older.session);
        self.current.iter_mut().chain(proving).chain(older)
    }
}

#[cfg(test)]
impl Tunnel {
    pub(super) fn current_session(&mut self) -> &mut Session {
        self.current.as_mut().expect("the tunnel is open")
    }

    pub(super) fn sessions_len(&self) -> usize {
        self.sessions().count()
    }

    /// A frame of any kind, in the current session.
    pub(super) fn seal_byte(&mut self, kind: u8, now: Instant) -> Vec<u8> {
        let mut buffer = PacketBuf::default();
        assert!(self.current_session().seal_kind(kind, 0, &mut buffer, now));
        buffer.content().to_vec()
    }
}
