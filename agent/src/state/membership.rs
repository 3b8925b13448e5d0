//! The networks that this host has joined, and whose hub is known by its key.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use dosp_daemon::private::{self, PrivateFileError};
use dosp_proto::identity::PublicKey;
use dosp_proto::join_string::{JoinString, JoinStringError};
use zeroize::Zeroizing;

use super::{NetworkState, StateError, folder_of};
use crate::link::HubAddr;

const JOIN: &str = "join";
const JOINED: &str = "joined";
const HUB_KEY: &str = "hub_key";
const NETWORKS: &str = "networks";

/// A network that this host has joined, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The name of its folder, for [`NetworkState::open`].
    pub folder: String,
    /// What is known of it.
    pub join: JoinString,
}

impl Membership {
    /// The network of `hub` in the state folder `state`: of the hub that was joined last where none is
    /// named, or of the one whose join string has that address. `None` where there is none.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn of_hub(state: &Path, hub: Option<&HubAddr>) -> Result<Option<Self>, StateError> {
        match hub {
            None => match joined(state)? {
                Some(folder) => Self::read(state, folder),
                None => Ok(None),
            },
            Some(hub) => Self::at(state, hub),
        }
    }

    fn at(state: &Path, hub: &HubAddr) -> Result<Option<Self>, StateError> {
        for folder in folders(&state.join(NETWORKS))? {
            let is_at_hub = |text: &String| text.parse::<HubAddr>().is_ok_and(|addr| addr == *hub);
            match Self::read(state, folder)? {
                Some(found) if found.join.addrs.iter().any(is_at_hub) => return Ok(Some(found)),
                Some(_) | None => {}
            }
        }
        Ok(None)
    }

    fn read(state: &Path, folder: String) -> Result<Option<Self>, StateError> {
        let path = folder_of(state, &folder)?.join(JOIN);
        let Some(content) = read(&path)? else { return Ok(None) };
        let join = str::from_utf8(&content).map_or(Err(JoinStringError::Form), str::parse);
        let join = join.map_err(|source| StateError::Join { path, source })?;
        Ok(Some(Self { folder, join }))
    }
}

/// The name of the folder of the network whose hub has this key.
#[must_use]
pub fn folder_name(hub_key: &PublicKey) -> String {
    hub_key.fingerprint().to_string().to_ascii_lowercase()
}

impl NetworkState {
    /// Keeps `join`, in place of what was kept before, and makes this network the one for which no hub
    /// needs to be named.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub fn save_join(&self, join: &JoinString) -> Result<(), StateError> {
        self.write_join(join)?;
        let path = self.state.join(JOINED);
        let replaced =
            private::replace(&self.state, JOINED, format!("{}\n", self.name()).as_bytes());
        replaced.map_err(|source| StateError::Write { path, source })
    }

    /// Forgets the join key, which the hub has taken, and what it was for. The rest is kept.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn spend_join_key(&self) -> Result<(), StateError> {
        match Membership::read(&self.state, self.name())? {
            Some(Membership { join, .. }) if join.join_key.is_some() => {
                self.write_join(&JoinString { join_key: None, expires_at: None, ..join })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Forgets that this network was joined. This host's key in it is kept.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forget_join(&self) -> Result<(), StateError> {
        remove(&self.folder, JOIN)?;
        // A damaged one names nobody, and is for a person to look at.
        match joined(&self.state) {
            Ok(Some(folder)) if folder == self.name() => remove(&self.state, JOINED),
            Ok(_) | Err(StateError::Joined { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The key that a hub without a join string has shown; `None` where it never has.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn hub_key(&self) -> Result<Option<PublicKey>, StateError> {
        let path = self.folder.join(HUB_KEY);
        let Some(content) = read(&path)? else { return Ok(None) };
        let key = String::from_utf8_lossy(content.trim_ascii()).parse();
        key.map(Some).map_err(|source| StateError::HubKey { path, source })
    }

    /// Keeps the key that the hub has shown.
    ///
    /// # Errors
    /// [`StateError::Write`].
    pub fn save_hub_key(&self, key: &PublicKey) -> Result<(), StateError> {
        let path = self.folder.join(HUB_KEY);
        let replaced = self.replace(HUB_KEY, format!("{key}\n").as_bytes());
        replaced.map_err(|source| StateError::Write { path, source })
    }

    fn write_join(&self, join: &JoinString) -> Result<(), StateError> {
        let line = Zeroizing::new([&join.to_text(), "\n"].concat());
        let path = self.folder.join(JOIN);
        let replaced = self.replace(JOIN, line.as_bytes());
        replaced.map_err(|source| StateError::Write { path, source })
    }

    fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The folder of the network for which no hub needs to be named.
fn joined(state: &Path) -> Result<Option<String>, StateError> {
    let path = state.join(JOINED);
    let Some(content) = read(&path)? else { return Ok(None) };
    let name = String::from_utf8_lossy(content.trim_ascii()).into_owned();
    match folder_of(state, &name) {
        Ok(_) => Ok(Some(name)),
        Err(_) => Err(StateError::Joined { path }),
    }
}

/// What is in a file of ours; `None` where there is none.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
    match private::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(PrivateFileError::Read { source, .. }) if is_absence(&source) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The names in `networks`, in order, so that two networks of one address are always tried alike.
fn folders(networks: &Path) -> Result<Vec<String>, StateError> {
    let failed = |source| StateError::Read { path: networks.to_owned(), source };
    let entries = match fs::read_dir(networks) {
        Err(error) if is_absence(&error) => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names: Vec<_> = names.collect::<io::Result<_>>().map_err(failed)?;
    let mut names: Vec<_> =
        names.into_iter().flatten().filter(|name| !name.starts_with('.')).collect();
    names.sort();
    Ok(names)
}

fn remove(folder: &Path, name: &str) -> Result<(), StateError> {
    let path = folder.join(name);
    let removed = match fs::remove_file(&path) {
        Err(error) if is_absence(&error) => return Ok(()),
        removed => removed.and_then(|()| File::open(folder)?.sync_all()),
    };
    removed.map_err(|source| StateError::Write { path, source })
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests;
