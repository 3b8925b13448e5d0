//! Between an agent and its hub: a handshake that shows both keys, and a channel of sealed words.
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
//! greeting that the hub sent. The rest of the connection, S2C above all, is not sealed by this.

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

const PROLOGUE_LABEL: &[u8] = b"dosp-net-join-v1";

fn terms(greeting: &[u8]) -> Terms {
    Terms { psk: None, prologue: [PROLOGUE_LABEL, greeting].concat() }
}

fn xhs(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(&mut out, FrameType::XHS, message);
    out
}

/// The agent's side of a handshake, until the hub answers.
#[derive(Debug)]
pub struct Dialler(Initiator);

impl Dialler {
    /// Begins, with the frame to be sent. `greeting` is AIP and HSK, whole frames as they came.
    ///
    /// # Errors
    /// Where the identity is of no use.
    pub fn start(
        identity: &IdentityKey,
        greeting: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), NoiseError> {
        let initiator = Initiator::new(terms(greeting), rng);
        let message_1 = initiator.message_1(identity)?;
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
pub struct Answerer(Responder);

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
        if body.len() != PLAIN_MESSAGE_1_LEN {
            return Err(NoiseError::Length);
        }
        let (responder, message_2) = Responder::answer(identity, &terms(greeting), body, &[], rng)?;
        Ok((Self(responder), xhs(&message_2)))
    }

    /// Reads the last message: the agent's key, and the channel.
    ///
    /// # Errors
    /// Where it does not verify.
    pub fn finish(self, body: &[u8]) -> Result<(PublicKey, Channel), NoiseError> {
        let (key, _, keys) = self.0.read_message_3(body)?;
        Ok((key, Channel::new(&keys)))
    }
}

#[cfg(test)]
mod tests;
