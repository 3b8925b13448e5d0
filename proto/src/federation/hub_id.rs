//! What names a hub where a whole key would be too long.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::identity::PublicKey;
use crate::vip::Network;

const LEN: usize = 4;

/// The first four bytes of the SHA-256 of a hub's key. Enough to find loops, not to prove anything.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct HubId([u8; LEN]);

/// A text that names no hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hub's id has 8 hexadecimal digits")]
pub struct HubIdError;

impl HubId {
    /// The hub with this key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self::first_of(key.as_bytes())
    }

    /// A hub without a key: it is known by its network, which all that peer with it have to write alike.
    #[must_use]
    pub fn of_published(network: Network) -> Self {
        Self::first_of(format!("published {network}").as_bytes())
    }

    fn first_of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).first_chunk().copied().unwrap_or_default())
    }

    /// As in FWD.
    #[must_use]
    pub const fn bytes(self) -> [u8; LEN] {
        self.0
    }
}

impl From<[u8; LEN]> for HubId {
    fn from(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }
}

impl FromStr for HubId {
    type Err = HubIdError;

    fn from_str(text: &str) -> Result<Self, HubIdError> {
        let is_hex = text.len() == 2 * LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = u32::from_str_radix(text, 16).ok().filter(|_| is_hex);
        bits.map(|bits| Self(bits.to_be_bytes())).ok_or(HubIdError)
    }
}

impl TryFrom<String> for HubId {
    type Error = HubIdError;

    fn try_from(text: String) -> Result<Self, HubIdError> {
        text.parse()
    }
}

impl From<HubId> for String {
    fn from(id: HubId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_leads_back(bytes: [u8; LEN]) {
            let id = HubId(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_not_eight_digits_is_no_id() {
        for text in ["", "1234567", "123456789", "+1234567", "1234567g"] {
            assert_eq!(text.parse::<HubId>(), Err(HubIdError), "{text}");
        }
    }

    #[test]
    fn id_is_the_beginning_of_the_keys_digest() {
        // printf '\0%.0s' {1..32} | sha256sum
        assert_eq!(HubId::of(&PublicKey::from([0; 32])).to_string(), "66687aad");
    }
}
