//! What the agent keeps over restarts: for each network a key and what is known of its peers.
//!
//! ```text
//! STATE/joined              0600     the NETWORK of which one is when no hub is named, one line
//! STATE/networks/NETWORK/   0700     NETWORK is the fingerprint of a joined hub's key in lower case,
//!                                    or the HOST:PORT of a hub that was only named
//!     lock                           locked as long as an agent uses the folder
//!     key                   0600     the key in base64, one line
//!     known_peers           0600     see KnownPeers::to_text
//!     join                  0600     the join string; without its join key once the hub has that
//!     hub_key               0600     the key of a hub that was only named, in base64, one line
//!     *.new                          what a crash left of a file; the next one replaces it
//! ```
//!
//! A file is replaced as a whole or not at all, and one that is not understood is never overwritten.

mod error;
mod membership;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dosp_daemon::private;
use dosp_proto::identity::{IdentityKey, KEY_LEN, PublicKey};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::known_peers::{KnownPeers, TrustPolicy};

pub use error::StateError;
pub use membership::{Membership, folder_name};

const LOCK: &str = "lock";
const KEY: &str = "key";
const KNOWN_PEERS: &str = "known_peers";

/// The state of one network, and the right to use it: one agent at a time has it.
#[derive(Debug)]
pub struct NetworkState {
    /// The state of all networks.
    state: PathBuf,
    folder: PathBuf,
    /// Unlocked by the kernel with its last descriptor, however the process ends.
    _lock: File,
}

/// Makes what is missing: the state and what is in it for its owner alone, and what it lies in for all, as a
/// hub may have its state there, too.
fn make(state: &Path, folder: &Path) -> io::Result<()> {
    private::make_parents(state)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

impl NetworkState {
    /// Opens, or makes, what `state` holds of `network`: the folder of a [`Membership`], or the
    /// HOST:PORT of a hub.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(state: &Path, network: &str) -> Result<Self, StateError> {
        let folder = folder_of(state, network)?;
        let made = make(state, &folder);
        made.map_err(|source| StateError::Folder { path: folder.clone(), source })?;
        let path = folder.join(LOCK);
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let lock = opened.map_err(|source| StateError::Write { path: path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { state: state.to_owned(), folder, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse { path: folder }),
            Err(TryLockError::Error(source)) => Err(StateError::Write { path, source }),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// This host's key in this network. On the first start there is none, and one is made.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn identity(&self, rng: &mut impl CryptoRng) -> Result<IdentityKey, StateError> {
        let path = self.folder.join(KEY);
        match private::read(&path) {
            Ok(content) => parse_key(&content).ok_or(StateError::Key { path }),
            Err(error) if error.is_not_found() => {
                let key = IdentityKey::generate(rng);
                let replaced = self.replace(KEY, key_line(&key).as_bytes());
                replaced.map_err(|source| StateError::Write { path, source })?;
                Ok(key)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What was known of the peers when it was last saved. `own` is this host's key.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn known_peers(
        &self,
        own: PublicKey,
        policy: TrustPolicy,
    ) -> Result<KnownPeers, StateError> {
        read_known_peers(&self.folder, own, policy)
    }

    /// Saves what is known of the peers. It is on the disk when this returns.
    ///
    /// # Errors
    /// What the system says; then what was saved before still is.
    pub fn save_known_peers(&self, known: &KnownPeers) -> io::Result<()> {
        self.replace(KNOWN_PEERS, known.to_text().as_bytes())
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        private::replace(&self.folder, name, content)
    }
}

/// What an agent with the state folder `state` knows of the peers in `network`, for a command that
/// has a key of its own. Where this user may not look, nothing is known.
///
/// # Errors
/// [`StateError`].
pub fn look_up_known_peers(
    state: &Path,
    network: &str,
    own: PublicKey,
    policy: TrustPolicy,
) -> Result<KnownPeers, StateError> {
    match read_known_peers(&folder_of(state, network)?, own, policy) {
        Err(error) if error.is_permission() => Ok(KnownPeers::new(own, policy)),
        known => known,
    }
}

fn folder_of(state: &Path, network: &str) -> Result<PathBuf, StateError> {
    // Names of hosts differ in case and mean the same.
    let name = network.to_ascii_lowercase();
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(StateError::Network { network: network.to_owned() });
    }
    Ok(state.join("networks").join(name))
}

fn read_known_peers(
    folder: &Path,
    own: PublicKey,
    policy: TrustPolicy,
) -> Result<KnownPeers, StateError> {
    let path = folder.join(KNOWN_PEERS);
    match fs::read_to_string(&path) {
        Ok(text) => KnownPeers::parse(&text, own, policy)
            .map_err(|source| StateError::KnownPeers { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KnownPeers::new(own, policy)),
        Err(source) => Err(StateError::Read { path, source }),
    }
}

fn key_line(key: &IdentityKey) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64.encode(*key.to_bytes()));
    Zeroizing::new([&encoded, "\n"].concat())
}

fn parse_key(content: &[u8]) -> Option<IdentityKey> {
    let bytes = Zeroizing::new(BASE64.decode(content.trim_ascii()).ok()?);
    let bytes: &[u8; KEY_LEN] = bytes.as_slice().try_into().ok()?;
    Some(IdentityKey::from_bytes(bytes))
}

#[cfg(test)]
mod tests;
