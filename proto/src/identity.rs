//! Who a node is: a static X25519 key, and the short form of it that people read to each other.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

/// Length of a key in bytes.
pub const KEY_LEN: usize = 32;
/// Characters of a fingerprint: at 5 bits each, 100 bits.
const FINGERPRINT_LEN: usize = 20;
/// Characters of a fingerprint between two hyphens.
const GROUP_LEN: usize = 5;
/// RFC 4648, § 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a public key: {KEY_LEN} bytes in base64 are wanted")]
pub struct KeyError;

/// A node's public key: a peer is its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PublicKey([u8; KEY_LEN]);

impl PublicKey {
    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// 100 bits of its SHA-256, for people.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = Sha256::digest(self.0);
        let bit = |at: usize| digest.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
        let symbol = |at: usize| (at * 5..at * 5 + 5).fold(0, |value, at| value << 1 | bit(at));
        Fingerprint(std::array::from_fn(|at| {
            BASE32.get(usize::from(symbol(at))).copied().unwrap_or_default()
        }))
    }
}

impl From<[u8; KEY_LEN]> for PublicKey {
    fn from(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64.decode(text).map_err(|_| KeyError)?;
        bytes.try_into().map(Self).map_err(|_| KeyError)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

/// What people compare: `ABCDE-FGHIJ-KLMNO-PQRST`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; FINGERPRINT_LEN]);

impl Fingerprint {
    /// Whether a person means this one: hyphens, spaces and case do not matter.
    #[must_use]
    pub fn is_spelled(&self, text: &str) -> bool {
        let letters = text.bytes().filter(|byte| !matches!(byte, b'-' | b' '));
        letters.map(|byte| byte.to_ascii_uppercase()).eq(self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, group) in self.0.chunks(GROUP_LEN).enumerate() {
            let hyphen = if number == 0 { "" } else { "-" };
            write!(f, "{hyphen}{}", String::from_utf8_lossy(group))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node's secret key. It is erased from memory when dropped, and never shown.
#[derive(Clone)]
pub struct IdentityKey {
    secret: StaticSecret,
    public: PublicKey,
}

impl IdentityKey {
    /// A new one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        StaticSecret::random_from_rng(rng).into()
    }

    /// The one with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; KEY_LEN]) -> Self {
        StaticSecret::from(*bytes).into()
    }

    /// Its bytes, for whoever stores or uses it.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_LEN]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }
}

impl From<StaticSecret> for IdentityKey {
    fn from(secret: StaticSecret) -> Self {
        let public = PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes());
        Self { secret, public }
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey({})", self.public.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alice's key pair of RFC 7748, § 6.1.
    const SECRET: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
    const PUBLIC: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

    fn identity() -> IdentityKey {
        IdentityKey::from_bytes(SECRET.parse::<PublicKey>().unwrap().as_bytes())
    }

    #[test]
    fn public_half_is_that_of_the_rfc() {
        assert_eq!(identity().public().to_string(), PUBLIC);
        assert_eq!(PUBLIC.parse(), Ok(*identity().public()));
        for text in ["", "bob", &PUBLIC[..43], &PUBLIC[4..]] {
            assert_eq!(text.parse::<PublicKey>(), Err(KeyError), "{text:?}");
        }
    }

    #[test]
    fn fingerprint_is_the_start_of_sha_256_in_base32() {
        let fingerprint = identity().public().fingerprint();
        let text = fingerprint.to_string();
        assert_eq!(text, GOLDEN);
        assert!(fingerprint.is_spelled(&text) && fingerprint.is_spelled(&text.to_lowercase()));
        assert!(fingerprint.is_spelled(&text.replace('-', " ")));
        assert!(!fingerprint.is_spelled(&text[1..]) && !fingerprint.is_spelled(""));
    }

    #[test]
    fn secret_is_not_shown() {
        let shown = format!("{:?}", identity());
        assert_eq!(shown, format!("IdentityKey({GOLDEN})"));
    }

    /// `printf PUBLIC | base64 -d | sha256sum | xxd -r -p | base32`, cut and grouped.
    const GOLDEN: &str = "GAGJZ-FQDXE-VEWOP-NHFML";
}
