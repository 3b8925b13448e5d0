//! Network secrets in the configuration, in the environment, and in a file of their own.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use dosp_daemon::private;
use dosp_proto::secret::{NetworkSecret, SecretError};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::ConfigError;

/// Two, so that all agents of a network can go from one to the next without one that is cut off.
const MAX_SECRETS: usize = 2;

/// One network secret, or two: the first opens tunnels, both are taken. `Debug` does not show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets(Vec<NetworkSecret>);

impl Secrets {
    /// All of them, the one that opens first.
    #[must_use]
    pub fn as_slice(&self) -> &[NetworkSecret] {
        &self.0
    }
}

impl FromStr for Secrets {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        Ok(Self(vec![text.parse()?]))
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrTwo)
    }
}

struct OneOrTwo;

impl<'de> Visitor<'de> for OneOrTwo {
    type Value = Secrets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a network secret, or a list of one or two")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secrets, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Secrets, A::Error> {
        let mut secrets = Vec::new();
        while let Some(text) = list.next_element()?.map(Zeroizing::<String>::new) {
            secrets.push(text.parse().map_err(A::Error::custom)?);
        }
        if !(1..=MAX_SECRETS).contains(&secrets.len()) {
            return Err(A::Error::invalid_length(secrets.len(), &self));
        }
        Ok(Secrets(secrets))
    }
}

/// The secrets in `path`, one a line. Empty lines and those that begin with `#` are for people.
pub(super) fn from_file(path: &Path) -> Result<Vec<NetworkSecret>, ConfigError> {
    let content = private::read(path)?;
    let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"));
    let read = |(index, line): (usize, &[u8])| {
        let secret = str::from_utf8(line).map_or(Err(SecretError::Form), str::parse);
        let line = index + 1;
        secret.map_err(|source| ConfigError::Secret { path: path.to_owned(), line, source })
    };
    let secrets: Vec<_> = lines.map(read).collect::<Result<_, _>>()?;
    // A file that was emptied by mistake must not make the network one without a secret.
    if !(1..=MAX_SECRETS).contains(&secrets.len()) {
        return Err(ConfigError::SecretCount { path: path.to_owned(), found: secrets.len() });
    }
    Ok(secrets)
}
