//! Files with secrets in them: nobody but their owner may read or write them. Root makes them for the owner
//! of their folder. The folders for them, too.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// More keys, secrets and tokens than anybody has, in bytes; what is longer is another file.
const MAX_LEN: usize = 64 * 1024;

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
    /// Whether there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

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
    // The mode is that of the file that is read, even where its name changes hands.
    let file = File::open(path).map_err(failed)?;
    check(&file, path)?;
    // A buffer that grew would leave a part of the secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1024));
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

/// Gives `file`, which was just made in `folder`, to the owner of the folder, where root made it: whoever
/// administers a program that has a user of its own is not to lock it out of its state.
///
/// # Errors
/// What the system says.
pub fn hand_over(file: &File, folder: &Path) -> io::Result<()> {
    let (own, wanted) = (file.metadata()?, fs::metadata(folder)?);
    if !nix::unistd::geteuid().is_root() || own.uid() == wanted.uid() {
        return Ok(());
    }
    fchown(file, Some(wanted.uid()), Some(wanted.gid()))
}

/// Makes what is missing above `path`. Others can pass through, as through the folders that the system has:
/// the program's user may be another one than who makes them.
///
/// # Errors
/// What the system says.
pub fn make_parents(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => DirBuilder::new().recursive(true).mode(0o755).create(parent),
        None => Ok(()),
    }
}

/// Makes the folder `path` for its owner alone, and what is missing above it, unless it is there.
///
/// # Errors
/// What the system says.
pub fn make_folder(path: &Path) -> io::Result<()> {
    make_parents(path)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes the file `name` in `folder`, which must not exist. It is on the disk when this returns.
///
/// # Errors
/// What the system says; then there is no such file.
pub fn create(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    // Unlike a rename, a link fails where somebody else was faster.
    write(folder, name, content, |new, path| fs::hard_link(new, path))
}

/// Makes `content` what the file `name` in `folder` holds. It is on the disk when this returns.
///
/// # Errors
/// What the system says; then it holds what it held before.
pub fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    write(folder, name, content, |new, path| fs::rename(new, path))
}

fn write(
    folder: &Path,
    name: &str,
    content: &[u8],
    put: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    // What a crash left may have another mode, or be a link to elsewhere.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    let put = written.and_then(|mut file| {
        hand_over(&file, folder)?;
        file.write_all(content)?;
        file.sync_all()?;
        put(&new, &folder.join(name))
    });
    // The half of a file is of no use; where it cannot go either, the next one replaces it.
    fs::remove_file(&new).ok();
    put.and_then(|()| File::open(folder)?.sync_all())
}
