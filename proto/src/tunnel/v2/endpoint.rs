//! What all tunnels of a node share: its key, its network's secrets, its indices, and the openings
//! of others that are not proved yet.
//!
//! Whoever opens has shown nothing but an address, so an opening is kept here, within limits, and
//! touches no tunnel before message 3 proves who sent it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::CryptoRng;

use super::payload::Introduction;
use super::session::{Role, Session};
use super::wire::{Opening, Reply};
use crate::identity::{IdentityKey, PublicKey};
use crate::limit::TokenBucket;
use crate::noise::{Initiator, MESSAGE_1_LEN, NoiseError, Responder, Terms};
use crate::offload::Offloads;
use crate::secret::{NetworkSecret, Psk};
use crate::tunnel::v1::HELLO_LEN;
use crate::vip::Vip;

const PROLOGUE: &[u8] = b"dosp-c2c-v2";
/// An opening waits so long for its message 3.
const HALF_OPEN_FOR: Duration = Duration::from_secs(10);
/// So many wait of one vIP; a new one takes the place of the oldest …
const MAX_HALF_OPEN_OF_VIP: usize = 4;
/// … and so many in all; then new ones are refused.
const MAX_HALF_OPEN: usize = 1024;
/// Openings a second that are looked at in all, each costing three key agreements …
const OPENINGS_PER_SECOND: u32 = 1000;
/// … of which strangers cannot use up more than this.
const STRANGERS_PER_SECOND: u32 = 800;

/// Both ends of a tunnel, as the hub addresses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Our own vIP.
    pub ours: Vip,
    /// The peer's.
    pub theirs: Vip,
}

/// Why an opening was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is under another network secret, or under none.
    #[error("the network secret differs")]
    Secret,
    /// More openings than anybody needs.
    #[error("too many handshakes")]
    TooMany,
    /// It is not what it should be.
    #[error(transparent)]
    Noise(#[from] NoiseError),
}

/// A peer that proved who it is, and the session that this made.
#[derive(Debug)]
pub struct Proved {
    /// The peer's key.
    pub key: PublicKey,
    /// What it says of itself.
    pub introduction: Option<Introduction>,
    pub(super) session: Session,
}

/// An opening of somebody else that we have answered.
struct HalfOpen {
    ends: Ends,
    theirs: u32,
    ours: u32,
    message_1: [u8; MESSAGE_1_LEN],
    answer: Vec<u8>,
    responder: Responder,
    at: Instant,
}

/// What all tunnels of a node share.
pub struct Endpoint {
    identity: IdentityKey,
    /// The first is what we open with; all are taken.
    psks: Vec<Psk>,
    introduction: Introduction,
    next_index: u32,
    index_step: u32,
    /// The oldest first.
    half_open: VecDeque<HalfOpen>,
    openings: TokenBucket,
    strangers: TokenBucket,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("identity", &self.identity)
            .field("num_half_open", &self.half_open.len())
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// A node that has this key, shares `secrets` with its network (opening with the first), and
    /// calls itself `name`.
    #[must_use]
    pub fn new(
        identity: IdentityKey,
        secrets: &[NetworkSecret],
        name: Option<String>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let mut psks: Vec<_> = secrets.iter().map(NetworkSecret::psk).collect();
        if psks.is_empty() {
            psks.push(Psk::none());
        }
        Self {
            identity,
            psks,
            introduction: Introduction::ours(name, Offloads::NONE),
            next_index: rng.next_u32(),
            index_step: rng.next_u32() | 1,
            half_open: VecDeque::new(),
            openings: TokenBucket::new(OPENINGS_PER_SECOND, OPENINGS_PER_SECOND),
            strangers: TokenBucket::new(STRANGERS_PER_SECOND, STRANGERS_PER_SECOND),
        }
    }

    /// Which super-packets the node takes.
    #[must_use]
    pub fn super_packets(&self) -> Offloads {
        self.introduction.super_packets
    }

    /// The same for a node that takes these super-packets, and says so in handshakes.
    #[must_use]
    pub fn with_super_packets(mut self, super_packets: Offloads) -> Self {
        self.introduction = Introduction::ours(self.introduction.name, super_packets);
        self
    }

    /// This node's key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.identity.public()
    }

    /// The name that this node claims.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.introduction.name.as_deref()
    }

    /// Whether this network has a secret.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.psks.iter().any(|psk| !psk.is_none())
    }

    pub(super) fn identity(&self) -> &IdentityKey {
        &self.identity
    }

    pub(super) fn introduction(&self) -> &Introduction {
        &self.introduction
    }

    /// A new index: an odd step visits each of the 2^32 once before any comes again.
    pub(super) fn draw_index(&mut self) -> u32 {
        self.next_index = self.next_index.wrapping_add(self.index_step);
        self.next_index
    }

    /// The beginning of an opening of ours, and the id of its secret.
    pub(super) fn initiate(&self, ends: Ends, rng: &mut impl CryptoRng) -> (Initiator, [u8; 4]) {
        let psk = self.psks.first().cloned().unwrap_or_else(Psk::none);
        let id = psk.id;
        (Initiator::new(terms(psk, ends.ours, ends.theirs), rng), id)
    }

    /// Answers an opening: DATA with message 2. The same opening gets the same answer.
    pub(super) fn answer(
        &mut self,
        opening: &Opening<'_>,
        ends: Ends,
        is_known: bool,
        hello: &[u8; HELLO_LEN],
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, AnswerError> {
        self.half_open.retain(|half| now.duration_since(half.at) < HALF_OPEN_FOR);
        let is_same = |half: &&HalfOpen| {
            (half.ends, half.theirs, &half.message_1) == (ends, opening.sender, opening.noise)
        };
        if let Some(same) = self.half_open.iter().find(is_same) {
            return Ok(same.answer.clone());
        }
        let psk = self.psks.iter().find(|psk| psk.id == opening.psk_id);
        let psk = psk.cloned().ok_or(AnswerError::Secret)?;
        if !(is_known || self.strangers.take(now)) || !self.openings.take(now) {
            return Err(AnswerError::TooMany);
        }
        self.make_room(ends.theirs)?;
        let terms = terms(psk, ends.theirs, ends.ours);
        let payload = self.introduction.nameless().encode();
        let (responder, noise) =
            Responder::answer(&self.identity, &terms, opening.noise, &payload, rng)?;
        let ours = self.draw_index();
        let reply = Reply { sender: ours, receiver: opening.sender, noise: &noise };
        let answer = reply.encode_answer(hello);
        self.half_open.push_back(HalfOpen {
            ends,
            theirs: opening.sender,
            ours,
            message_1: *opening.noise,
            answer: answer.clone(),
            responder,
            at: now,
        });
        Ok(answer)
    }

    fn make_room(&mut self, theirs: Vip) -> Result<(), AnswerError> {
        let of_vip = |half: &HalfOpen| half.ends.theirs == theirs;
        if self.half_open.iter().filter(|half| of_vip(half)).count() >= MAX_HALF_OPEN_OF_VIP {
            let oldest = self.half_open.iter().position(of_vip);
            oldest.and_then(|at| self.half_open.remove(at));
        }
        if self.half_open.len() < MAX_HALF_OPEN { Ok(()) } else { Err(AnswerError::TooMany) }
    }

    /// Takes message 3 of an opening that we have answered; `None` where there is none of this index
    /// and these ends. One that fails ends the opening.
    pub(super) fn finish(
        &mut self,
        proof: &Reply<'_>,
        ends: Ends,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Option<Result<Proved, NoiseError>> {
        let at = self.half_open.iter().position(|half| {
            (half.ends, half.ours, half.theirs) == (ends, proof.receiver, proof.sender)
        })?;
        let half = self.half_open.remove(at)?;
        if now.duration_since(half.at) >= HALF_OPEN_FOR {
            return None;
        }
        let read = half.responder.read_message_3(proof.noise);
        Some(read.map(|(key, payload, keys)| {
            let indices = (half.ours, half.theirs);
            let session =
                Session::new(Role::Responder, indices, &keys, &self.introduction, now, rng);
            Proved { key, introduction: Introduction::decode(&payload), session }
        }))
    }
}

/// Both vIPs and the secret's id are part of the handshake: a hub that translates addresses breaks it.
fn terms(psk: Psk, initiator: Vip, responder: Vip) -> Terms {
    let prologue = [PROLOGUE, &initiator.octets(), &responder.octets(), &psk.id].concat();
    Terms { psk: Some(psk), prologue }
}
