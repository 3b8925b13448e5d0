//! What DATA that begins with 0x15 says.
//!
//! ```text
//! [0x15] [session id 8] [unix time u64] [X25519 public key 32] [trailing bytes: ignored]
//! [0x15] [0xFF] [reason, UTF-8]
//! [0x15] [16 bytes]                                            legacy
//! ```

use rand::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};

/// The first byte of every handshake.
const MARK: u8 = 0x15;
/// The second byte of the error form.
const REFUSED: u8 = 0xFF;
/// Length of a hello.
pub const HELLO_LEN: usize = 49;
/// Length of a legacy opening.
const LEGACY_LEN: usize = 17;
/// What a version 2 handshake begins with where a session id would stand.
const VERSION_2_MARK: &[u8] = b"DSP2";

/// Session id of one side.
pub(super) type SessionId = [u8; 8];

/// One side's half of a handshake: an opening and an answer look the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) session_id: SessionId,
    /// Seconds since 1970 by the sender's clock.
    pub(super) unix_time: u64,
    pub(super) public_key: [u8; 32],
}

impl Hello {
    /// A fresh half and the secret to it.
    pub(super) fn generate(unix_time: u64, rng: &mut impl CryptoRng) -> (Self, StaticSecret) {
        let secret = StaticSecret::random_from_rng(rng);
        let public_key = PublicKey::from(&secret).to_bytes();
        let mut session_id = SessionId::default();
        // A receiver would take 0xFF for the error form and "DSP2" for version 2.
        while {
            rng.fill_bytes(&mut session_id);
            session_id.starts_with(&[REFUSED]) || session_id.starts_with(VERSION_2_MARK)
        } {}
        (Self { session_id, unix_time, public_key }, secret)
    }

    pub(super) fn encode(&self) -> [u8; HELLO_LEN] {
        let mut data = [MARK; HELLO_LEN];
        let (_, rest) = data.split_at_mut(1);
        let (session_id, rest) = rest.split_at_mut(self.session_id.len());
        let (unix_time, public_key) = rest.split_at_mut(8);
        session_id.copy_from_slice(&self.session_id);
        unix_time.copy_from_slice(&self.unix_time.to_be_bytes());
        public_key.copy_from_slice(&self.public_key);
        data
    }
}

/// A hello that nobody is to answer, for a message of version 2 to ride behind.
pub fn throwaway_hello(unix_time: u64, rng: &mut impl CryptoRng) -> [u8; HELLO_LEN] {
    Hello::generate(unix_time, rng).0.encode()
}

/// A parsed handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake<'a> {
    Hello(Hello),
    /// The peer says no, and why.
    Refused(&'a str),
    /// The mode without key exchange, which protects nothing from the hub.
    Legacy,
}

impl<'a> Handshake<'a> {
    /// `None` for DATA that is no handshake of any known form.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let (&MARK, rest) = data.split_first()? else { return None };
        // Published peers may choose a session id that begins like a refusal; the rest is no text.
        if let Some(reason) = rest.strip_prefix(&[REFUSED])
            && let Ok(reason) = std::str::from_utf8(reason)
        {
            return Some(Self::Refused(reason));
        }
        if data.len() == LEGACY_LEN {
            return Some(Self::Legacy);
        }
        let (session_id, rest) = rest.split_first_chunk()?;
        let (unix_time, rest) = rest.split_first_chunk()?;
        let (public_key, _) = rest.split_first_chunk()?;
        Some(Self::Hello(Hello {
            session_id: *session_id,
            unix_time: u64::from_be_bytes(*unix_time),
            public_key: *public_key,
        }))
    }
}

/// Whether DATA is a hello, by its form alone.
#[must_use]
pub fn is_hello(data: &[u8]) -> bool {
    matches!(Handshake::parse(data), Some(Handshake::Hello(_)))
}

/// The reason where DATA refuses a handshake. Nobody vouches for it.
#[must_use]
pub fn refusal(data: &[u8]) -> Option<&str> {
    match Handshake::parse(data) {
        Some(Handshake::Refused(reason)) => Some(reason),
        _ => None,
    }
}

/// DATA that refuses a handshake.
#[must_use]
pub fn encode_refusal(reason: &str) -> Vec<u8> {
    [&[MARK, REFUSED], reason.as_bytes()].concat()
}
