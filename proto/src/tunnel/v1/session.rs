//! Keys and numbers of one tunnel in one order of the two session ids.
//!
//! ```text
//! [nonce 12] [AES-256-GCM( [number u64] [message] )] [tag 16] [HMAC-SHA256 32]
//!             HMAC over number ‖ nonce ‖ ciphertext ‖ tag
//! ```
//!
//! Both directions use the same keys, so a frame of ours that comes back would open: its nonce,
//! which only we can compute, gives it away.

use aes::Aes256;
use aes::cipher::BlockCipherEncrypt;
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rand::CryptoRng;
use sha2::Sha256;
use x25519_dalek::SharedSecret;
use zeroize::Zeroizing;

use super::hello::SessionId;
use crate::buffer::PacketBuf;

const NONCE_LEN: usize = 12;
const NUMBER_LEN: usize = 8;
const TAG_LEN: usize = 16;
const MAC_LEN: usize = 32;
/// What a sealed message is longer than the message, in bytes.
pub const OVERHEAD_LEN: usize = NONCE_LEN + NUMBER_LEN + TAG_LEN + MAC_LEN;

/// A frame may be this much ahead of the last one: so many may be lost in a row.
const MAX_AHEAD: u64 = 64;
/// A tunnel ends after so many frames each way.
const MAX_FRAMES: u64 = 1 << 31;
const KDF_INFO: &[u8] = b"dosp-c2c-dh-v1";
/// Nonces never begin with the handshake's mark (published receivers look there first) nor with
/// that of a version 2 frame.
const FORBIDDEN_FIRST: [u8; 2] = [0x15, 0xD2];

/// Why DATA is no frame of a session. The session is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short for a sealed frame: somebody sent plain DATA into the tunnel.
    #[error("too short for a sealed frame")]
    TooShort,
    /// Claims a number that was already seen or is too far ahead.
    #[error("frame number is not one of the next {MAX_AHEAD}")]
    Number,
    /// HMAC or GCM tag is wrong.
    #[error("frame does not verify")]
    Forged,
    /// One of our own frames came back.
    #[error("frame is a reflection of our own")]
    Reflected,
}

/// All numbers of this tunnel are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tunnel has carried its last frame")]
pub struct Exhausted;

pub(super) struct Session {
    gcm: Aes256Gcm,
    /// The same key for one block: shows the number before anything else is paid for.
    block: Aes256,
    mac: Hmac<Sha256>,
    nonces: Hmac<Sha256>,
    last_sent: u64,
    last_received: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("last_sent", &self.last_sent)
            .field("last_received", &self.last_received)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Derives the keys for `initiator` and `responder` in this order, and draws a nonce key.
    pub(super) fn derive(
        secret: &SharedSecret,
        initiator: SessionId,
        responder: SessionId,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let mut keys = Zeroizing::new([0; 96]);
        let info = [KDF_INFO, &initiator, &responder];
        let expanded =
            Hkdf::<Sha256>::new(None, secret.as_bytes()).expand_multi_info(&info, &mut *keys);
        debug_assert!(expanded.is_ok(), "96 bytes are within HKDF's limit of 8,160");
        let mut nonce_key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *nonce_key);
        let [encryption, mac, _reserved] = keys.as_chunks::<32>().0 else {
            unreachable!("96 bytes are three keys")
        };
        Self {
            gcm: Aes256Gcm::new(encryption.into()),
            block: Aes256::new(encryption.into()),
            mac: keyed(mac),
            nonces: keyed(&nonce_key),
            last_sent: 0,
            last_received: 0,
        }
    }

    /// Seals the message in `buffer` where it is.
    pub(super) fn seal(&mut self, buffer: &mut PacketBuf) -> Result<(), Exhausted> {
        if self.last_sent >= MAX_FRAMES {
            return Err(Exhausted);
        }
        let number = self.last_sent + 1;
        let nonce = self.own_nonce(number);
        buffer.prepend(&number.to_be_bytes());
        let plaintext = buffer.content_mut();
        let tag = self.gcm.encrypt_inout_detached(&Nonce::from(nonce), &[], plaintext.into());
        // GCM's only limit is 64 GiB a message.
        let Ok(tag) = tag else {
            buffer.advance(NUMBER_LEN);
            return Err(Exhausted);
        };
        buffer.prepend(&nonce);
        buffer.append(&tag);
        let mac = self.mac_of(number, buffer.content()).finalize();
        buffer.append(&mac.into_bytes());
        self.last_sent = number;
        Ok(())
    }

    /// Checks everything but the GCM tag and returns the frame's number. Changes nothing, and costs
    /// one AES block where the number is not expected, one HMAC at the most where it is.
    pub(super) fn verify(&self, data: &[u8]) -> Result<u64, OpenError> {
        if data.len() < OVERHEAD_LEN {
            return Err(OpenError::TooShort);
        }
        let number = self.claimed_number(data).ok_or(OpenError::TooShort)?;
        if number <= self.last_received || number - self.last_received > MAX_AHEAD {
            return Err(OpenError::Number);
        }
        let (frame, mac) = data.split_last_chunk::<MAC_LEN>().ok_or(OpenError::TooShort)?;
        self.mac_of(number, frame).verify_slice(mac).map_err(|_| OpenError::Forged)?;
        if number <= self.last_sent && frame.starts_with(&self.own_nonce(number)) {
            return Err(OpenError::Reflected);
        }
        Ok(number)
    }

    /// Decrypts a frame that [`Self::verify`] took for `number`, in place.
    pub(super) fn open<'b>(
        &mut self,
        number: u64,
        data: &'b mut [u8],
    ) -> Result<&'b mut [u8], OpenError> {
        let (nonce, rest) = data.split_first_chunk_mut().ok_or(OpenError::TooShort)?;
        let (rest, _mac) = rest.split_last_chunk_mut::<MAC_LEN>().ok_or(OpenError::TooShort)?;
        let (ciphertext, tag) = rest.split_last_chunk_mut().ok_or(OpenError::TooShort)?;
        let (nonce, tag) = (Nonce::from(*nonce), Tag::from(*tag));
        self.gcm
            .decrypt_inout_detached(&nonce, &[], (&mut *ciphertext).into(), &tag)
            .map_err(|_| OpenError::Forged)?;
        let (sealed_number, message) =
            ciphertext.split_first_chunk_mut().ok_or(OpenError::TooShort)?;
        if u64::from_be_bytes(*sealed_number) != number {
            return Err(OpenError::Number);
        }
        self.last_received = number;
        Ok(message)
    }

    /// The number in the first eight bytes of ciphertext. GCM encrypts its first block with
    /// counter 2 (NIST SP 800-38D, § 7.1).
    fn claimed_number(&self, data: &[u8]) -> Option<u64> {
        let (nonce, rest) = data.split_first_chunk::<NONCE_LEN>()?;
        let (sealed, _) = rest.split_first_chunk::<NUMBER_LEN>()?;
        let mut block = [0; 16];
        let (counter_nonce, counter) = block.split_at_mut(NONCE_LEN);
        counter_nonce.copy_from_slice(nonce);
        counter.copy_from_slice(&2u32.to_be_bytes());
        let mut block = aes::Block::from(block);
        self.block.encrypt_block(&mut block);
        let (keystream, _) = block.split_first_chunk::<NUMBER_LEN>()?;
        Some(u64::from_be_bytes(*sealed) ^ u64::from_be_bytes(*keystream))
    }

    /// The nonce that we, and nobody else, give to frame `number`. Each order of a tunnel has a nonce
    /// key of its own.
    fn own_nonce(&self, number: u64) -> [u8; NONCE_LEN] {
        let mut attempt = 0u8;
        loop {
            let mut mac = self.nonces.clone();
            mac.update(&number.to_be_bytes());
            mac.update(&[attempt]);
            let digest = mac.finalize().into_bytes();
            let nonce: [u8; NONCE_LEN] = digest.first_chunk().copied().unwrap_or_default();
            let [first, ..] = nonce;
            if !FORBIDDEN_FIRST.contains(&first) {
                return nonce;
            }
            attempt = attempt.wrapping_add(1);
        }
    }

    fn mac_of(&self, number: u64, frame: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(&number.to_be_bytes());
        mac.update(frame);
        mac
    }

    /// A session as if it had sent and received so many frames.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, sent: u64, received: u64) {
        (self.last_sent, self.last_received) = (sent, received);
    }
}

/// HMAC-SHA256 with its key schedule done: a key shorter than a block is padded with zeros.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    let (head, _) = block.split_at_mut(key.len());
    head.copy_from_slice(key);
    Hmac::new((&*block).into())
}
