//! Names of peers in `/etc/hosts`, so that every program on this host finds them.
//!
//! `block` makes the new text of the file, without I/O; [`HostsFile`] puts it there. The file is
//! rewritten in place: it may be a mount of its own, as in containers, or the one file in its folder
//! that a service may write.

mod block;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dosp_proto::label::Label;
use dosp_proto::vip::Vip;

use crate::peer_name::PeerName;

pub use block::{with_block, without_block};

/// Where programs look names up first.
pub const DEFAULT_PATH: &str = "/etc/hosts";
/// The longest file that is touched, in bytes: it is read as a whole.
pub const MAX_LEN: usize = 1024 * 1024;
/// Another agent has the file locked for as long as it takes to write it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The file with the names of hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsFile {
    path: PathBuf,
}

impl Default for HostsFile {
    fn default() -> Self {
        Self::at(DEFAULT_PATH)
    }
}

impl HostsFile {
    /// The one at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes `entries` the names of the agent with the tag `tag`, in place of those that it had, and
    /// returns how many are left out, for want of room in [`MAX_LEN`] bytes. Nothing is written where
    /// they are there already.
    ///
    /// # Errors
    /// What the system says, or a file of more than [`MAX_LEN`] bytes; then the file is as it was.
    pub fn write(&self, tag: &str, entries: &[(Vip, PeerName)]) -> io::Result<usize> {
        if entries.is_empty() {
            return self.remove(tag).map(|_| 0);
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o644);
        let file = options.open(&self.path)?;
        lock(&file)?;
        let before = read(&file)?;
        // A peer may call itself what this host is called, and must not get what is meant for it.
        let own = nix::unistd::gethostname().ok();
        let own = own.and_then(|name| Label::of_host(&name.to_string_lossy()));
        let (after, num_left_out) = with_block(&before, tag, entries, own.as_ref(), MAX_LEN);
        replace(&file, &before, &after)?;
        Ok(num_left_out)
    }

    /// Removes the names of the agent with the tag `tag`, and tells whether there were any.
    ///
    /// # Errors
    /// As for [`HostsFile::write`].
    pub fn remove(&self, tag: &str) -> io::Result<bool> {
        // Who may only read the file need not write it where nothing is to be removed.
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let before = read(&file)?;
        if without_block(&before, tag) == before {
            return Ok(false);
        }
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        lock(&file)?;
        let before = read(&file)?;
        let after = without_block(&before, tag);
        replace(&file, &before, &after)?;
        Ok(before != after)
    }
}

/// As every agent does before it writes. Who may only read the file can hold the lock, too, and is not to hold
/// up this agent's end.
fn lock(file: &File) -> io::Result<()> {
    let began_at = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if began_at.elapsed() < LOCK_TIMEOUT => sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                let words = "another program has it locked";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, words));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MAX_LEN as u64 + 1).read_to_end(&mut text)?;
    if text.len() > MAX_LEN { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// Writes from the first byte that changes. The lines of others only ever move to the front, so that
/// each is still at its old place until it is at its new one.
fn replace(file: &File, before: &[u8], after: &[u8]) -> io::Result<()> {
    let same = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    if same == before.len().max(after.len()) {
        return Ok(());
    }
    let written = write_from(file, same, after, before.len() > after.len());
    if written.is_err() {
        // As of a full disk: half of a name is worse than none. What was there still has its room.
        write_from(file, same, before, true).ok();
    }
    written
}

fn write_from(file: &File, start: usize, text: &[u8], cut: bool) -> io::Result<()> {
    file.write_all_at(text.get(start..).unwrap_or_default(), start as u64)?;
    if cut {
        // What moved must be on the disk before its old place goes.
        file.sync_data()?;
        file.set_len(text.len() as u64)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests;
