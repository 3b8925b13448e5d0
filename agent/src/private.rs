//! Files with secrets in them: nobody but their owner may read or write them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// No key and no secret is near so long; what is longer is another file.
const MAX_LEN: usize = 4096;

/// A file that a secret must not come from.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The system says no.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read or write it.
    #[error("{} is open to others: its mode is {mode:04o}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

impl PrivateFileError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => "make it readable for this user, or name another one".to_owned(),
            Self::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
        }
    }
}

/// What is in `path`.
///
/// # Errors
/// [`PrivateFileError`].
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let failed = |source| PrivateFileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    check(&file, path)?;
    // A buffer that grew would leave a part of the secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(2 * MAX_LEN));
    file.take(MAX_LEN as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > MAX_LEN {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(content)
}

/// Whether `file`, opened at `path`, is its owner's alone.
///
/// # Errors
/// [`PrivateFileError`].
pub fn check(file: &File, path: &Path) -> Result<(), PrivateFileError> {
    let failed = |source| PrivateFileError::Read { path: path.to_owned(), source };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}
