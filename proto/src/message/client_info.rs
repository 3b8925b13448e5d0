//! CLIENT_INFO: the hash by which a client makes itself known.

use std::fmt;
use std::str::FromStr;

use super::MalformedBody;
use crate::frame::{self, FrameType};

const HASH_LEN: usize = 64;

/// 64 hex digits that a client says of itself. They prove nothing: anybody can send any.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientHash([u8; HASH_LEN]);

impl ClientHash {
    /// Appends the whole frame.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        frame::encode(out, FrameType::CLIENT_INFO, &self.0);
    }

    /// Reads 64 hex digits; what stands behind them is ignored.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(body: &[u8]) -> Result<Self, MalformedBody> {
        let digits = body.first_chunk::<HASH_LEN>();
        match digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            Some(digits) => Ok(Self(digits.map(|digit| digit.to_ascii_lowercase()))),
            None => Err(MalformedBody::new(FrameType::CLIENT_INFO, body)),
        }
    }
}

impl FromStr for ClientHash {
    type Err = MalformedBody;

    fn from_str(text: &str) -> Result<Self, MalformedBody> {
        if text.len() == HASH_LEN {
            return Self::decode(text.as_bytes());
        }
        Err(MalformedBody::new(FrameType::CLIENT_INFO, text.as_bytes()))
    }
}

impl fmt::Display for ClientHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for ClientHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_digits_are_a_hash_and_nothing_else_is() {
        let text = "2d71164".repeat(10);
        let hash = ClientHash::decode(text.as_bytes()).unwrap();
        assert_eq!(hash.to_string(), text[..64]);
        assert_eq!(text[..64].to_uppercase().parse(), Ok(hash));
        assert_eq!(format!("{hash:.16}"), text[..16]);
        for bad in ["", "abc", &text[..63], &"x".repeat(64)] {
            assert!(ClientHash::decode(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(text.parse::<ClientHash>().is_err(), "70 digits are no hash to type in");
    }
}
