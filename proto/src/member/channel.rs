//! The sealed channel: AES-256-GCM under the keys of the handshake, numbered from 0 each way as a Noise
//! transport numbers. TCP neither loses nor reorders, so whatever fails to open was tampered with.

use std::fmt;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Tag};

use super::control::Control;
use crate::frame::{self, FrameType};
use crate::noise::{Keys, nonce};

const TAG_LEN: usize = 16;

/// An XCTL body that is of no use. The connection is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It does not verify.
    #[error("a sealed control message does not verify")]
    Forged,
    /// It verifies and cannot be read.
    #[error("a control message of kind {kind} cannot be read")]
    Malformed {
        /// Its kind.
        kind: u8,
    },
}

/// Both directions, for one side.
#[derive(Debug)]
pub struct Channel {
    /// For what we say.
    pub sealer: Sealer,
    /// For what is said to us.
    pub opener: Opener,
}

impl Channel {
    pub(super) fn new(keys: &Keys) -> Self {
        let cipher = |key: &[u8; 32]| Box::new(Aes256Gcm::new(key.into()));
        Self {
            sealer: Sealer { cipher: cipher(&keys.seal), counter: 0 },
            opener: Opener { cipher: cipher(&keys.open), counter: 0 },
        }
    }
}

/// Seals; frames must be sent in the order in which they were sealed.
pub struct Sealer {
    cipher: Box<Aes256Gcm>,
    counter: u64,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("counter", &self.counter).finish_non_exhaustive()
    }
}

impl Sealer {
    /// Appends a whole XCTL frame.
    pub fn seal(&mut self, control: &Control, out: &mut Vec<u8>) {
        self.seal_encoded(&control.encode(), out);
    }

    /// As above, for a message that [`Control::encode`] made, which may go to many.
    pub fn seal_encoded(&mut self, encoded: &[u8], out: &mut Vec<u8>) {
        let mut text = encoded.to_vec();
        // It cannot fail: the longest text is far below the 64 GiB of AES-GCM.
        let tag =
            self.cipher.encrypt_inout_detached(&nonce(self.counter), &[], (&mut *text).into());
        let tag: [u8; TAG_LEN] = tag.unwrap_or_default().into();
        text.extend(tag);
        self.counter += 1;
        frame::encode(out, FrameType::XCTL, &text);
    }
}

/// Opens, in the order in which frames came.
pub struct Opener {
    cipher: Box<Aes256Gcm>,
    counter: u64,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("counter", &self.counter).finish_non_exhaustive()
    }
}

impl Opener {
    /// Opens the body of an XCTL frame.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&mut self, body: &[u8]) -> Result<Control, OpenError> {
        let (text, tag) = body.split_last_chunk::<TAG_LEN>().ok_or(OpenError::Forged)?;
        let (mut text, tag) = (text.to_vec(), Tag::from(*tag));
        let opened = self.cipher.decrypt_inout_detached(
            &nonce(self.counter),
            &[],
            (&mut *text).into(),
            &tag,
        );
        opened.map_err(|_| OpenError::Forged)?;
        self.counter += 1;
        Control::decode(&text)
    }
}
