//! The secret that all agents of a network share, and no hub.
//!
//! Who does not have it cannot open a tunnel of version 2 into the network, nor sit in the middle of
//! one. It is made by a program: words that a person could remember could be guessed.
//!
//! ```text
//! dosps1:[base64url, no padding, of [secret 32] [first 4 bytes of SHA-256 over label ‖ secret]]
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use hkdf::Hkdf;
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

const SECRET_LEN: usize = 32;
const CHECKSUM_LEN: usize = 4;
/// What the text form begins with.
const PREFIX: &str = "dosps1:";
const CHECKSUM_LABEL: &[u8] = b"dosp-secret-v1";
const PSK_INFO: &[u8] = b"dosp-psk-v1";
const PSK_ID_INFO: &[u8] = b"dosp-psk-id-v1";

/// Text that is no network secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not of the form at all, words for example.
    #[error("not a network secret: those begin with '{PREFIX}' and are made by a program")]
    Form,
    /// Of the form, with a wrong character somewhere.
    #[error("the network secret is damaged: its checksum is wrong")]
    Checksum,
}

/// A network's secret. It is erased from memory when dropped, and never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkSecret([u8; SECRET_LEN]);

impl NetworkSecret {
    /// A new one, whose [id](Psk::id) is not that of "no secret".
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        loop {
            let mut secret = Self([0; SECRET_LEN]);
            rng.fill_bytes(&mut secret.0);
            if secret.psk().id != Psk::none().id {
                return secret;
            }
        }
    }

    /// The text form, to be kept secret too.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new([&self.0[..], &self.checksum()].concat());
        let encoded = Zeroizing::new(BASE64_URL.encode(&*bytes));
        Zeroizing::new([PREFIX, &encoded].concat())
    }

    /// What the handshake mixes in.
    #[must_use]
    pub fn psk(&self) -> Psk {
        let hkdf = Hkdf::<Sha256>::new(None, &self.0);
        let mut psk = Psk::none();
        let expanded = hkdf.expand(PSK_INFO, &mut psk.key);
        let id_expanded = hkdf.expand(PSK_ID_INFO, &mut psk.id);
        debug_assert!(expanded.is_ok() && id_expanded.is_ok(), "within HKDF's limit of 8,160");
        psk
    }

    fn checksum(&self) -> [u8; CHECKSUM_LEN] {
        let digest = Sha256::new().chain_update(CHECKSUM_LABEL).chain_update(self.0).finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }
}

impl FromStr for NetworkSecret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(SecretError::Form)?;
        let bytes = Zeroizing::new(BASE64_URL.decode(encoded).map_err(|_| SecretError::Form)?);
        let (secret, checksum) =
            bytes.split_first_chunk::<SECRET_LEN>().ok_or(SecretError::Form)?;
        let secret = Self(*secret);
        if secret.checksum() != *checksum || secret.psk().id == Psk::none().id {
            return Err(SecretError::Checksum);
        }
        Ok(secret)
    }
}

impl Drop for NetworkSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for NetworkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkSecret")
    }
}

/// The key that a network secret gives to a handshake, and the name under which both sides know it.
#[derive(Clone, Zeroize)]
#[zeroize(drop)]
pub struct Psk {
    /// Mixed into the handshake.
    pub key: [u8; SECRET_LEN],
    /// Sent in the clear.
    pub id: [u8; 4],
}

impl Psk {
    /// Where there is no network secret: 32 zero bytes, which make XXpsk3 as strong as XX.
    #[must_use]
    pub const fn none() -> Self {
        Self { key: [0; SECRET_LEN], id: [0; 4] }
    }

    /// Whether it stands for no secret.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.id == Self::none().id
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Psk").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn text_form_is_read_back_and_a_wrong_character_is_found() {
        let secret = NetworkSecret::generate(&mut StdRng::seed_from_u64(1));
        let text = secret.to_text();
        assert_eq!(text.parse(), Ok(secret.clone()));
        assert_eq!(format!(" {}\n", *text).parse(), Ok(secret));
        for at in PREFIX.len()..text.len() {
            let mut damaged = text.to_string().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(damaged.parse::<NetworkSecret>(), Err(SecretError::Checksum), "{at}");
        }
    }

    #[test]
    fn words_are_refused() {
        for text in ["", "correct horse battery staple", "dosps1:", "dosps1:c2VjcmV0"] {
            assert_eq!(text.parse::<NetworkSecret>(), Err(SecretError::Form), "{text}");
        }
        assert_eq!(format!("{:?}", NetworkSecret([7; 32])), "NetworkSecret");
    }

    /// Computed with Python's hmac and hashlib: RFC 5869 over the bytes 0 to 31.
    #[test]
    fn psk_and_its_id_are_what_hkdf_gives() {
        let secret = NetworkSecret(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        let Psk { key, id } = &secret.psk();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            (hex(key), hex(id)),
            (
                "6aaeb696b479351c51a9b3fb931e3b2d110c391359798d48e0ab5a2a6172e7ff".to_owned(),
                "0ca0a5d4".to_owned()
            )
        );
        assert_eq!(&**secret.to_text(), "dosps1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh_yq62c");
    }
}
