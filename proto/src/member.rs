//! Between a hub and an agent, or another hub: a handshake that shows both keys, and a channel of
//! sealed words.
//!
//! ```text
//! agent                                     hub
//!          ◀── AIP, HSK with TOKEN ────────
//!  Dialler ─── XHS: message 1 ────────────▶ Answerer
//!          ◀── XHS: message 2 ─────────────          the hub's key
//!  Channel ─── XHS: message 3 ────────────▶ Channel  the agent's key
//!          ─── XCTL: join ────────────────▶
//!          ◀── XCTL: welcome or refused ───
//!          ◀── XCTL: nodes, gone, … ───────
//! ```
//!
//! The handshake is `Noise_XX_25519_AESGCM_SHA256`, once a connection. Its prologue binds it to the
//! greeting that the hub sent, and to what the dialler is. The rest of the connection, S2C above all, is
//! not sealed by this. A hub that dials another one puts one byte behind message 1, and says `routes`
//! where an agent says `join`; see [`crate::federation`].

mod channel;
mod control;

use rand::CryptoRng;

pub use self::channel::{Channel, OpenError, Opener, Sealer};
pub use self::control::{
    Control, Gone, GoneReason, Join, MAX_PAGE_LEN, Node, Nodes, Refusal, Refused, Welcome,
};
pub use crate::noise::NoiseError;

use crate::frame::{self, FrameType};
use crate::identity::{IdentityKey, PublicKey};
use crate::noise::{Answered, Initiator, PLAIN_MESSAGE_1_LEN, Responder, Terms};

/// Behind message 1 of a hub that dials. Nothing vouches for it, but the prologue depends on it.
const PEER_MARK: &[u8] = &[0x01];

/// What a dialler is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A node that wants to join.
    Join,
    /// Another hub.
    Peer,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Join => b"dosp-net-join-v1",
            Self::Peer => b"dosp-net-peer-v1",
        }
    }

    const fn mark(self) -> &'static [u8] {
        match self {
            Self::Join => &[],
            Self::Peer => PEER_MARK,
        }
    }

    fn terms(self, greeting: &[u8]) -> Terms {
        Terms { psk: None, prologue: [self.label(), greeting].concat() }
    }
}

fn xhs(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(&mut out, FrameType::XHS, message);
    out
}

/// The dialler's side of a handshake, until the hub answers.
#[derive(Debug)]
pub struct Dialler(Initiator);

impl Dialler {
    /// Begins, with the frame to be sent. `greeting` is AIP and HSK, whole frames as they came.
    ///
    /// # Errors
    /// Where the identity is of no use.
    pub fn start(
        purpose: Purpose,
        identity: &IdentityKey,
        greeting: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), NoiseError> {
        let initiator = Initiator::new(purpose.terms(greeting), rng);
        let mut message_1 = initiator.message_1(identity)?;
        message_1.extend_from_slice(purpose.mark());
        Ok((Self(initiator), xhs(&message_1)))
    }

    /// Reads the hub's answer, the body of an XHS frame.
    ///
    /// # Errors
    /// Where it does not verify.
    pub fn read_answer(
        self,
        identity: &IdentityKey,
        body: &[u8],
    ) -> Result<Introduced, NoiseError> {
        self.0.read_message_2(identity, body).map(Introduced)
    }
}

/// The hub has shown its key, and ours is not shown yet.
pub struct Introduced(Answered);

impl std::fmt::Debug for Introduced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Introduced").field(self.hub_key()).finish()
    }
}

impl Introduced {
    /// The hub's key.
    #[must_use]
    pub const fn hub_key(&self) -> &PublicKey {
        &self.0.remote
    }

    /// Shows our key: the frame to be sent, and the channel.
    ///
    /// # Errors
    /// Where the handshake cannot be finished.
    pub fn finish(self) -> Result<(Vec<u8>, Channel), NoiseError> {
        let (message_3, keys) = self.0.message_3(&[])?;
        Ok((xhs(&message_3), Channel::new(&keys)))
    }
}

/// The hub's side of a handshake, once it has answered.
pub struct Answerer {
    responder: Responder,
    purpose: Purpose,
}

impl std::fmt::Debug for Answerer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answerer")
    }
}

impl Answerer {
    /// Answers the first message, the body of an XHS frame, with a frame.
    ///
    /// # Errors
    /// Where it is none.
    pub fn answer(
        identity: &IdentityKey,
        greeting: &[u8],
        body: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), NoiseError> {
        let parts = body.split_at_checked(PLAIN_MESSAGE_1_LEN);
        let (message_1, mark) = parts.ok_or(NoiseError::Length)?;
        let purposes = [Purpose::Join, Purpose::Peer];
        let purpose = purposes.into_iter().find(|purpose| purpose.mark() == mark);
        let purpose = purpose.ok_or(NoiseError::Length)?;
        let terms = purpose.terms(greeting);
        let (responder, message_2) = Responder::answer(identity, &terms, message_1, &[], rng)?;
        Ok((Self { responder, purpose }, xhs(&message_2)))
    }

    /// What the dialler says that it is; true once the handshake has been finished.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Reads the last message: the dialler's key, and the channel.
    ///
    /// # Errors
    /// Where it does not verify.
    pub fn finish(self, body: &[u8]) -> Result<(PublicKey, Channel), NoiseError> {
        let (key, _, keys) = self.responder.read_message_3(body)?;
        Ok((key, Channel::new(&keys)))
    }
}

#[cfg(test)]
mod tests;
