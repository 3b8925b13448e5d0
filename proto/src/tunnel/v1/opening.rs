//! An opening that waits for its answer, and the key agreement that an answer allows.

use std::time::{Duration, Instant};

use rand::CryptoRng;
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};

use super::hello::{HELLO_LEN, Hello};
use super::{ReceiveError, Tunnel};
use crate::Now;

/// An unanswered opening is repeated after this long, then after twice as long, and so on.
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(1);
/// An opening is repeated at least this often.
const MAX_RETRY: Duration = Duration::from_secs(5);
/// After this long an opening is given up; the next message makes a new one.
const GIVE_UP: Duration = Duration::from_secs(90);

/// An opening of ours that has no answer yet.
pub(super) struct Opening {
    pub(super) hello: Hello,
    pub(super) secret: StaticSecret,
    pub(super) since: Instant,
    /// When it is sent again, unless somebody else sends it.
    pub(super) retry_at: Option<Instant>,
    pub(super) retry_after: Duration,
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("since", &self.since).finish_non_exhaustive()
    }
}

impl Opening {
    pub(super) fn new(now: Now, rng: &mut impl CryptoRng) -> Self {
        let (hello, secret) = Hello::generate(now.unix_time, rng);
        let retry_at = Some(now.instant + jittered(FIRST_RETRY, rng));
        Self { hello, secret, since: now.instant, retry_at, retry_after: FIRST_RETRY }
    }

    /// The same bytes again, because an answer does not say which opening it answers; `None` once
    /// it is time to give up.
    pub(super) fn retry(&mut self, now: Instant, rng: &mut impl CryptoRng) -> Option<Vec<u8>> {
        if now.duration_since(self.since) >= GIVE_UP {
            return None;
        }
        self.retry_after = (self.retry_after * 2).min(MAX_RETRY);
        self.retry_at = Some(now + jittered(self.retry_after, rng));
        Some(self.hello.encode().to_vec())
    }
}

impl Tunnel {
    /// The hello of an opening that somebody else sends and repeats, with bytes of his own behind it.
    /// An answer to it opens the tunnel.
    pub fn offer(&mut self, now: Now, rng: &mut impl CryptoRng) -> [u8; HELLO_LEN] {
        let new = || Opening { retry_at: None, ..Opening::new(now, rng) };
        self.opening.get_or_insert_with(new).hello.encode()
    }

    /// Takes back an [offer](Self::offer) that nobody answered.
    pub fn withdraw(&mut self) {
        self.opening.take_if(|opening| opening.retry_at.is_none());
    }
}

/// The secret that our `secret` and their public key make; one that everybody knows is refused.
pub(super) fn agree(secret: &StaticSecret, theirs: &Hello) -> Result<SharedSecret, ReceiveError> {
    let shared = secret.diffie_hellman(&PublicKey::from(theirs.public_key));
    if shared.was_contributory() { Ok(shared) } else { Err(ReceiveError::LowOrderKey) }
}

/// `duration`, longer by up to a quarter.
fn jittered(duration: Duration, rng: &mut impl CryptoRng) -> Duration {
    duration + duration.mul_f64(0.25) * (rng.next_u32() % 1024) / 1024
}
