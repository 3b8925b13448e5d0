//! The hub's own key, by which its members know it.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dosp_daemon::private::{self, PrivateFileError};
use dosp_proto::identity::{IdentityKey, KEY_LEN};
use rand::CryptoRng;
use zeroize::Zeroizing;

/// Its name in the state folder.
pub const FILE: &str = "key";

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HubKeyError {
    /// It cannot be read, or not by us alone.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// The file holds something else.
    #[error("{} is damaged: it holds no key", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// There is none, and none can be made.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HubKeyError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Private(error) => error.hint(),
            Self::Damaged { .. } => "restore it from a backup: with another key the hub is a \
                                     stranger to its members"
                .to_owned(),
            Self::Write { .. } => "choose another folder with --state".to_owned(),
        }
    }
}

/// The key in the state folder `folder`. On the first start there is none, and one is made.
///
/// # Errors
/// [`HubKeyError`].
pub fn load(folder: &Path, rng: &mut impl CryptoRng) -> Result<IdentityKey, HubKeyError> {
    let path = folder.join(FILE);
    match private::read(&path) {
        Ok(content) => parse(&content).ok_or(HubKeyError::Damaged { path }),
        Err(error) if error.is_not_found() => {
            let key = IdentityKey::generate(rng);
            let created = private::create(folder, FILE, line(&key).as_bytes());
            created.map_err(|source| HubKeyError::Write { path, source })?;
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
}

fn line(key: &IdentityKey) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64.encode(*key.to_bytes()));
    Zeroizing::new([&encoded, "\n"].concat())
}

fn parse(content: &[u8]) -> Option<IdentityKey> {
    let bytes = Zeroizing::new(BASE64.decode(content.trim_ascii()).ok()?);
    let bytes: &[u8; KEY_LEN] = bytes.as_slice().try_into().ok()?;
    Some(IdentityKey::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let key = load(folder.path(), &mut rand::rng()).unwrap();
        assert_eq!(load(folder.path(), &mut rand::rng()).unwrap().public(), key.public());
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(private::create(folder.path(), FILE, b"other").is_err());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = load(folder.path(), &mut rand::rng()).unwrap_err();
        assert_eq!(error.hint(), format!("chmod 600 {}", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "bob\n").unwrap();
        let error = load(folder.path(), &mut rand::rng()).unwrap_err();
        assert!(matches!(error, HubKeyError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"bob\n");
    }
}
