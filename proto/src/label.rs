//! What a node calls itself: one label of a DNS name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name in bytes: a label of a DNS name (RFC 1035, § 2.3.4).
pub const MAX_NAME_LEN: usize = 63;

/// Whether `name` can name a host: a DNS label in lower case (RFC 1123, § 2.1).
#[must_use]
pub fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME_LEN).contains(&name.len())
        && name.bytes().all(letter)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A name: `a` to `z`, digits and hyphens, no hyphen at its ends. Case is folded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

/// Text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{}' is no name, which has 1 to {MAX_NAME_LEN} letters from a to z, digits, and hyphens between them",
    text.escape_default()
)]
pub struct LabelError {
    text: String,
}

impl Label {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What can be kept of a host's name: its first label, other characters as hyphens.
    #[must_use]
    pub fn of_host(name: &str) -> Option<Self> {
        let first = name.split('.').next()?;
        let fitting = |char: char| if char.is_ascii_alphanumeric() { char } else { '-' };
        let text: String = first.chars().map(fitting).skip_while(|char| *char == '-').collect();
        text.get(..text.len().min(MAX_NAME_LEN))?.trim_end_matches('-').parse().ok()
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let folded = text.to_ascii_lowercase();
        if is_name(&folded) { Ok(Self(folded)) } else { Err(LabelError { text: text.to_owned() }) }
    }
}

impl TryFrom<String> for Label {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels_of_folded_case() {
        let long = "x".repeat(63);
        for (text, name) in [("a", "a"), ("Bob-2", "bob-2"), ("0", "0"), (&long, &long)] {
            assert_eq!(text.parse::<Label>().unwrap().as_str(), name);
        }
        let too_long = "x".repeat(64);
        for text in ["", "-", "-a", "a-", "a b", "a.b", "a_b", "é", "a\n", &too_long] {
            assert!(text.parse::<Label>().is_err(), "{text:?}");
        }
        let error = "a\x1b[2J".parse::<Label>().unwrap_err().to_string();
        assert!(error.starts_with(r"'a\u{1b}[2J' is no name"), "{error}");
    }

    #[test]
    fn host_name_gives_the_name_that_it_can() {
        let long = format!("{}-b", "x".repeat(62));
        for (host, name) in [
            ("Web1.example.org", Some("web1")),
            ("my_host", Some("my-host")),
            ("_x_", Some("x")),
            ("é", None),
            ("", None),
            (".example", None),
            (&long, Some(&long[..62])),
        ] {
            assert_eq!(Label::of_host(host).as_ref().map(Label::as_str), name, "{host}");
        }
    }
}
