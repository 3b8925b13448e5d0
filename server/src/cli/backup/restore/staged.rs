//! What is to be put in place, made beside it first.
//!
//! The folder beside may be in one that a user may write, who can put a link in its place at any time, while
//! this is root. So it is made by this, opened once, and only used through its descriptor.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use dosp_daemon::private;
use dosp_server::backup::{Backup, Owner};
use dosp_server::hub_key;
use dosp_server::members::store::{self, Store, StoreError};
use nix::libc::{O_DIRECTORY, O_NOFOLLOW};
use nix::unistd::{Group, Uid, User};

use super::goal::Goal;
use crate::cli::backup::error::{BackupError, failed};
use crate::cli::members::{MembersError, tell};

/// Complete and checked. Dropped, it goes.
pub(super) struct Staged {
    state: PathBuf,
    config: Option<PathBuf>,
}

impl Staged {
    pub(super) fn make(backup: &Backup, goal: &Goal, name: &str) -> Result<Self, BackupError> {
        let state = with_suffix(&goal.state, ".restoring");
        remove(&state).map_err(failed(&state))?;
        let folder = Folder::make(&state).map_err(failed(&state))?;
        let mut staged = Self { state, config: None };
        for (file, content) in &backup.state {
            let created = private::create(&folder.path, file, content);
            created.map_err(failed(&staged.state.join(file)))?;
        }
        check(&folder.path).map_err(|error| {
            let why = format!("{:#}", anyhow::Error::from(error));
            let (held, named) = (folder.path.to_string_lossy(), staged.state.to_string_lossy());
            BackupError::State { name: name.to_owned(), why: why.replace(&*held, &named) }
        })?;
        if let Some(owner) = owner(&goal.state, backup.manifest.owner.as_ref())? {
            let files = backup.state.keys().map(String::as_str);
            folder.give(files, owner).map_err(failed(&staged.state))?;
        }
        if let Some(content) = &backup.config
            && goal.config()?.as_ref() != Some(content)
        {
            let config = with_suffix(&goal.config, ".restoring");
            remove_file(&config).map_err(failed(&config))?;
            staged.config = Some(config.clone());
            write_config(&config, content, backup, &goal.config)?;
        }
        Ok(staged)
    }

    /// Puts it in place; returns under which names is kept what was there.
    pub(super) fn put(&self, goal: &Goal) -> Result<Vec<PathBuf>, BackupError> {
        let mut renames = Renames::default();
        let mut kept = Vec::new();
        let mut put = |new: &Path, at: &Path, is_taken: bool| {
            if is_taken {
                let old = with_suffix(at, &goal.suffix);
                renames.rename(at, &old).map_err(failed(at))?;
                kept.push(old);
            }
            renames.rename(new, at).map_err(failed(at))
        };
        let state = put(&self.state, &goal.state, goal.has_state()?);
        let done = state.and_then(|()| match &self.config {
            Some(new) => put(new, &goal.config, goal.config()?.is_some()),
            None => Ok(()),
        });
        match done {
            Ok(()) => Ok(kept),
            Err(error) => {
                renames.undo();
                Err(error)
            }
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What was put in place is here no more; what cannot go is replaced by the next try.
        remove(&self.state).unwrap_or_default();
        if let Some(config) = &self.config {
            remove_file(config).unwrap_or_default();
        }
    }
}

/// A folder that this has made, and that nobody else can write into.
struct Folder {
    handle: File,
    /// It, whatever is under its name meanwhile.
    path: PathBuf,
}

impl Folder {
    /// # Errors
    /// What the system says, also where something is there.
    fn make(path: &Path) -> io::Result<Self> {
        private::make_parents(path)?;
        DirBuilder::new().mode(0o700).create(path)?;
        let flags = O_DIRECTORY | O_NOFOLLOW;
        let handle = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let made = handle.metadata()?;
        if made.uid() != Uid::effective().as_raw() || made.mode() & 0o077 != 0 {
            return Err(io::Error::other("somebody else has put another folder in its place"));
        }
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd()).into();
        Ok(Self { handle, path })
    }

    /// Gives it to `owner`, with those `files` in it.
    fn give<'a>(&self, files: impl Iterator<Item = &'a str>, owner: Ids) -> io::Result<()> {
        for name in files {
            let path = self.path.join(name);
            let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(path)?;
            owner.give(&file)?;
        }
        owner.give(&self.handle)
    }
}

/// What was renamed, in this order.
#[derive(Default)]
struct Renames {
    done: Vec<(PathBuf, PathBuf)>,
}

impl Renames {
    /// It is on the disk when this returns.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        self.done.push((from.to_owned(), to.to_owned()));
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn undo(self) {
        for (from, to) in self.done.into_iter().rev() {
            if let Err(error) = fs::rename(&to, &from) {
                tell(&format!("warning: {} is still {}: {error}", from.display(), to.display()));
            }
        }
    }
}

/// Whether a hub of this version could start with the folder.
fn check(state: &Path) -> Result<(), MembersError> {
    for file in [hub_key::FILE, store::FILE] {
        let path = state.join(file);
        if !path.exists() {
            let why = "there is none in the backup".to_owned();
            return Err(StoreError::Damaged { path, why }.into());
        }
    }
    hub_key::load(state, &mut rand::rng())?;
    Store::open(state)?;
    Ok(())
}

/// A user and its group, as numbers of this machine.
#[derive(Debug, Clone, Copy)]
struct Ids {
    user: u32,
    group: u32,
}

impl Ids {
    fn of(there: &fs::Metadata) -> Self {
        Self { user: there.uid(), group: there.gid() }
    }

    fn give(self, file: &File) -> io::Result<()> {
        fchown(file, Some(self.user), Some(self.group))
    }
}

/// Who is to own it: who owns what is at `path`, else, for root, who owned what was backed up.
fn owner(path: &Path, before: Option<&Owner>) -> Result<Option<Ids>, BackupError> {
    match fs::metadata(path) {
        Ok(there) => return Ok(Some(Ids::of(&there))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(path)(error)),
    }
    let Some(owner) = before.filter(|_| Uid::effective().is_root()) else { return Ok(None) };
    let user = User::from_name(&owner.user).ok().flatten();
    let group = Group::from_name(&owner.group).ok().flatten();
    if user.is_none() || group.is_none() {
        tell(&format!(
            "warning: {}:{} is not known here: {} is root's; chown it to the hub's user",
            owner.user.escape_default(),
            owner.group.escape_default(),
            path.display(),
        ));
    }
    let ids = user.zip(group);
    Ok(ids.map(|(user, group)| Ids { user: user.uid.as_raw(), group: group.gid.as_raw() }))
}

/// With the owner and the mode of the file that it is to replace, else of the one that was backed up.
fn write_config(
    new: &Path,
    content: &[u8],
    backup: &Backup,
    there: &Path,
) -> Result<(), BackupError> {
    let owner = owner(there, backup.manifest.config_owner.as_ref())?;
    let mode = fs::metadata(there).map_or(backup.manifest.config_mode, |there| there.mode());
    let written = || {
        private::make_parents(new)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        file.write_all(content)?;
        if let Some(owner) = owner {
            owner.give(&file)?;
        }
        file.set_permissions(Permissions::from_mode(mode & 0o777))?;
        file.sync_all()
    };
    written().map_err(failed(new))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => found_or_gone(fs::remove_dir_all(path)),
        _ => remove_file(path),
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    found_or_gone(fs::remove_file(path))
}

fn found_or_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folder_is_used_whatever_is_put_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let folder = Folder::make(&path("above/folder")).unwrap();
        let mode = |name: &str| fs::metadata(path(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("above"), mode("above/folder")), (0o755, 0o700));

        fs::rename(path("above/folder"), path("moved")).unwrap();
        fs::create_dir(path("victim")).unwrap();
        fs::write(path("victim/file"), "precious").unwrap();
        symlink(path("victim"), path("above/folder")).unwrap();
        private::create(&folder.path, "key", b"secret").unwrap();
        assert_eq!(fs::read(path("moved/key")).unwrap(), b"secret");
        if Uid::effective().is_root() {
            folder.give(["key"].into_iter(), Ids { user: 12_345, group: 23_456 }).unwrap();
            let owner = |name: &str| fs::metadata(path(name)).unwrap().uid();
            assert_eq!((owner("moved"), owner("moved/key")), (12_345, 12_345));
            assert_eq!((owner("victim"), owner("victim/file")), (0, 0));
        }
        assert_eq!(fs::read_dir(path("victim")).unwrap().count(), 1);
        assert!(Folder::make(&path("above/folder")).is_err());
    }
}
