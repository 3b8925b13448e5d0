//! The keys that hubs have shown whose peer entry names none: kept from the first link on.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use dosp_daemon::private::{self, PrivateFileError};
use dosp_proto::identity::{Fingerprint, PublicKey};
use dosp_proto::vip::Network;

/// Its name in the state folder.
pub const FILE: &str = "known_hubs";

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KnownHubsError {
    /// It cannot be read, or not by us alone.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// A line says something else than a network and a key.
    #[error("line {line} of {} holds no network and key", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
    },
}

impl KnownHubsError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Private(error) => error.hint(),
            Self::Line { .. } => "correct the line or remove it".to_owned(),
        }
    }
}

/// A hub shows another key than before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it shows the key {shown}, and before it had {known}: if its operator has changed the key, remove \
     the line of {network} from {} and start this hub again",
    path.display()
)]
pub struct StrangeHub {
    network: Network,
    shown: Fingerprint,
    known: Fingerprint,
    path: PathBuf,
}

/// Which key the hub of which network has.
#[derive(Debug, Default)]
pub struct KnownHubs {
    folder: PathBuf,
    /// The file, with whatever its operator wrote beside.
    text: String,
    by_network: BTreeMap<Network, PublicKey>,
}

impl KnownHubs {
    /// What is in the state folder; nothing where there is no file yet.
    ///
    /// # Errors
    /// [`KnownHubsError`].
    pub fn load(folder: &Path) -> Result<Self, KnownHubsError> {
        let path = folder.join(FILE);
        let text = match private::read(&path) {
            Ok(text) => text,
            Err(error) if error.is_not_found() => Default::default(),
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let by_network = parse(&text).map_err(|line| KnownHubsError::Line { path, line })?;
        Ok(Self { folder: folder.to_owned(), text, by_network })
    }

    /// The key of the hub of `network`.
    #[must_use]
    pub fn key(&self, network: Network) -> Option<&PublicKey> {
        self.by_network.get(&network)
    }

    /// Keeps the key that the hub of `network` shows for the first time. Where it cannot be written down
    /// it is known until this hub ends.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(&mut self, network: Network, key: PublicKey) -> io::Result<()> {
        self.by_network.insert(network, key);
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.text.push_str(&format!("{network} {key}\n"));
        private::replace(&self.folder, FILE, self.text.as_bytes())
    }

    /// Whether the hub of `network` may show `key`.
    ///
    /// # Errors
    /// [`StrangeHub`] where another one is known.
    pub fn judge(&self, network: Network, key: &PublicKey) -> Result<(), StrangeHub> {
        match self.key(network) {
            Some(known) if known != key => Err(StrangeHub {
                network,
                shown: key.fingerprint(),
                known: known.fingerprint(),
                path: self.folder.join(FILE),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// The keys by network, or the number of the first line that is neither that nor a comment.
fn parse(text: &str) -> Result<BTreeMap<Network, PublicKey>, usize> {
    let mut by_network = BTreeMap::new();
    for (line, text) in (1usize..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (network, key) = text.split_once(' ').ok_or(line)?;
        let network: Network = network.parse().map_err(|_| line)?;
        by_network.insert(network, key.trim().parse().map_err(|_| line)?);
    }
    Ok(by_network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        "7.11.0.{x}".parse().unwrap()
    }

    #[test]
    fn first_key_is_kept_and_another_one_is_strange() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = KnownHubs::load(folder.path()).unwrap();
        let key = PublicKey::from([1; 32]);
        assert_eq!(known.judge(network(), &key), Ok(()));
        known.keep(network(), key).unwrap();
        known.keep("7.12.0.{x}".parse().unwrap(), key).unwrap();
        let known = KnownHubs::load(folder.path()).unwrap();
        assert_eq!(known.judge(network(), &key), Ok(()));
        let strange = known.judge(network(), &PublicKey::from([2; 32])).unwrap_err();
        assert!(strange.to_string().contains("7.11.0.0/24"), "{strange}");
    }

    #[test]
    fn lines_of_people_are_read_and_wrong_ones_named() {
        let key = PublicKey::from([1; 32]);
        let text = format!("# berlin\n\n7.11.0.{{x}}  {key}\n");
        assert_eq!(parse(&text).unwrap().get(&network()), Some(&key));
        for wrong in ["7.11.0.0/24", "7.11.0.0/24 key", "berlin AAAA"] {
            assert_eq!(parse(&format!("# x\n{wrong}\n")), Err(2), "{wrong}");
        }
    }
}
