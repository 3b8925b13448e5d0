//! `dosp-server restore`: a hub as it was when it was backed up.
//!
//! Everything that can be wrong is found out in a folder beside; then three renames change what is there,
//! and where one fails the others are undone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use dosp_server::backup::{Backup, MAX_LEN, Manifest};
use dosp_server::config::Settings;
use dosp_server::control::DEFAULT_SOCKET;
use dosp_server::control::client::{self, ControlError};
use dosp_server::members::record::date;
use dosp_server::members::store::{self, Store, StoreError};
use dosp_server::{hub_key, private};
use nix::unistd::{Gid, Group, Uid, User, chown};
use zeroize::Zeroizing;

use super::error::{BackupError, failed};
use super::{STANDARD, absolute};
use crate::cli::members::{MembersError, tell, unix_now};
use crate::cli::run_args::{DEFAULT_FILE, Place, PlaceArgs};

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArgs {
    /// The backup, or `-` for standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Replace what is there; it is kept beside under another name
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Where things go.
struct Goal {
    state: PathBuf,
    config: PathBuf,
    /// What was there is kept with this behind its name.
    suffix: String,
}

pub(in crate::cli) fn restore(args: RestoreArgs, place: Place) -> anyhow::Result<()> {
    let name = args.file.display().to_string();
    let packed = read(&args.file)?;
    let unpacked = Backup::unpack(&packed);
    let backup = unpacked.map_err(|source| BackupError::Unpack { name: name.clone(), source })?;
    let place = args.place.or(place);
    let goal = Goal::of(&backup.manifest, &place);
    let settings = settings(&backup, &goal, &name)?;
    let socket = place.socket.or(settings.socket).unwrap_or_else(|| DEFAULT_SOCKET.into());
    check_not_running(&goal, &socket)?;
    goal.check_free(&backup, args.force)?;

    let staged = Staged::make(&backup, &goal, &name)?;
    let kept = staged.put(&goal)?;
    say(&backup.manifest, &goal, settings.state.as_deref(), &kept);
    Ok(())
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, BackupError> {
    let mut content = Zeroizing::new(Vec::new());
    let read = if file == Path::new(STANDARD) {
        io::stdin().lock().take(MAX_LEN + 1).read_to_end(&mut content)
    } else {
        File::open(file).and_then(|file| file.take(MAX_LEN + 1).read_to_end(&mut content))
    };
    match read.map_err(failed(file))? {
        len if len as u64 > MAX_LEN => Err(failed(file)(io::ErrorKind::FileTooLarge.into())),
        _ => Ok(content),
    }
}

/// What the configuration in the backup sets, if this version can make sense of it.
fn settings(backup: &Backup, goal: &Goal, name: &str) -> Result<Settings, BackupError> {
    let Some(config) = &backup.config else { return Ok(Settings::default()) };
    let text = String::from_utf8_lossy(config);
    let settings = Settings::from_toml(&text, &goal.config);
    let checked = settings.and_then(|settings| settings.check().map(|()| settings));
    checked.map_err(|source| BackupError::Config { name: name.to_owned(), source })
}

/// A hub that runs has its members open, and knows nothing of another file in its place.
fn check_not_running(goal: &Goal, socket: &Path) -> anyhow::Result<()> {
    match client::status(socket) {
        Err(ControlError::NotRunning { .. }) => {}
        Err(error @ ControlError::Forbidden { .. }) => return Err(error.into()),
        Ok(_) | Err(_) => {
            let how = format!("it answers on {}", socket.display());
            return Err(BackupError::Running { how }.into());
        }
    }
    if !goal.state.join(store::FILE).exists() {
        return Ok(());
    }
    match Store::open(&goal.state) {
        Err(StoreError::InUse { .. }) => {
            let how = format!("it uses {}", goal.state.display());
            Err(BackupError::Running { how }.into())
        }
        // Damage may be what this is for.
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Goal {
    fn of(manifest: &Manifest, place: &Place) -> Self {
        let state = absolute(place.state.as_ref().unwrap_or(&manifest.state));
        let config = place.config.clone().or_else(|| manifest.config.clone());
        Self {
            // A link to the folder stays one.
            state: fs::canonicalize(&state).unwrap_or(state),
            config: absolute(&config.unwrap_or_else(|| DEFAULT_FILE.into())),
            suffix: format!(".before-restore-{}", date(unix_now()).replace(':', "")),
        }
    }

    /// Nothing is replaced unless somebody says so; an empty folder is nothing.
    fn check_free(&self, backup: &Backup, is_forced: bool) -> Result<(), BackupError> {
        if is_forced {
            return Ok(());
        }
        if is_in_use(&self.state)? {
            return Err(BackupError::Exists { path: self.state.clone() });
        }
        match (&backup.config, fs::read(&self.config)) {
            (Some(new), Ok(there)) if *new != there => {
                Err(BackupError::Exists { path: self.config.clone() })
            }
            _ => Ok(()),
        }
    }
}

fn is_in_use(folder: &Path) -> Result<bool, BackupError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(folder)(error)),
    }
}

/// What is to be put in place, complete and checked. Dropped, it goes.
struct Staged {
    state: PathBuf,
    config: Option<PathBuf>,
}

impl Staged {
    fn make(backup: &Backup, goal: &Goal, name: &str) -> Result<Self, BackupError> {
        let mut staged = Self { state: with_suffix(&goal.state, ".restoring"), config: None };
        remove(&staged.state).map_err(failed(&staged.state))?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&staged.state);
        made.map_err(failed(&staged.state))?;
        for (file, content) in &backup.state {
            let created = private::create(&staged.state, file, content);
            created.map_err(failed(&staged.state.join(file)))?;
        }
        let checked = check(&staged.state);
        checked.map_err(|source| BackupError::State { name: name.to_owned(), source })?;
        give(&staged.state, owner(backup, &goal.state)?).map_err(failed(&staged.state))?;
        if let Some(content) = &backup.config
            && fs::read(&goal.config).ok().as_ref() != Some(content)
        {
            let config = with_suffix(&goal.config, ".restoring");
            let written = write_config(&config, content, backup.manifest.config_mode, &goal.config);
            staged.config = Some(config.clone());
            written.map_err(failed(&config))?;
        }
        Ok(staged)
    }

    /// Puts it in place; returns under which names is kept what was there.
    fn put(&self, goal: &Goal) -> Result<Vec<PathBuf>, BackupError> {
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
        let state = put(&self.state, &goal.state, is_in_use(&goal.state)?);
        let config = self.config.as_ref().map(|new| (new, goal.config.exists()));
        let done = state.and_then(|()| {
            config.map_or(Ok(()), |(new, is_taken)| put(new, &goal.config, is_taken))
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
            remove(config).unwrap_or_default();
        }
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

/// Who is to own it: who owns the folder that is there, else who owned the one that was backed up.
fn owner(backup: &Backup, state: &Path) -> Result<Option<(Uid, Gid)>, BackupError> {
    match fs::metadata(state) {
        Ok(there) => return Ok(Some((there.uid().into(), there.gid().into()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(state)(error)),
    }
    let Some(owner) = backup.manifest.owner.as_ref().filter(|_| Uid::effective().is_root()) else {
        return Ok(None);
    };
    let user = User::from_name(&owner.user).ok().flatten();
    let group = Group::from_name(&owner.group).ok().flatten();
    if user.is_none() || group.is_none() {
        tell(&format!(
            "warning: {}:{} is not known here: the files are root's; chown them to the hub's user",
            owner.user.escape_default(),
            owner.group.escape_default(),
        ));
    }
    Ok(user.zip(group).map(|(user, group)| (user.uid, group.gid)))
}

fn give(folder: &Path, owner: Option<(Uid, Gid)>) -> io::Result<()> {
    let Some((user, group)) = owner else { return Ok(()) };
    for entry in fs::read_dir(folder)? {
        chown(&entry?.path(), Some(user), Some(group))?;
    }
    Ok(chown(folder, Some(user), Some(group))?)
}

/// With the mode and the owner of the file that it is to replace, where there is one.
fn write_config(new: &Path, content: &[u8], mode: u32, there: &Path) -> io::Result<()> {
    remove(new)?;
    if let Some(folder) = new.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    file.write_all(content)?;
    match fs::metadata(there) {
        Ok(there) => {
            chown(new, Some(there.uid().into()), Some(there.gid().into()))?;
            file.set_permissions(there.permissions())?;
        }
        Err(_) => file.set_permissions(Permissions::from_mode(mode & 0o777))?,
    }
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
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

fn say(manifest: &Manifest, goal: &Goal, configured: Option<&Path>, kept: &[PathBuf]) {
    let Manifest { fingerprint, members, made_at, .. } = manifest;
    let state = goal.state.display();
    tell(&format!("hub {fingerprint} of {made_at}, {members} members: in {state}"));
    match &manifest.config {
        Some(_) => tell(&format!("configuration: {}", goal.config.display())),
        None => tell("there is no configuration in the backup: start the hub as it was started"),
    }
    for kept in kept {
        tell(&format!("kept what was there: {}", kept.display()));
    }
    let same = |path: &Path| fs::canonicalize(path).is_ok_and(|path| path == goal.state);
    if configured.is_some_and(|path| !same(path)) {
        tell(&format!(
            "warning: the configuration names another folder: start the hub with --state {state}"
        ));
    }
}
