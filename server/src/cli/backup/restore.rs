//! `dosp-server restore`: a hub as it was when it was backed up.
//!
//! Everything that can be wrong is found out in a folder beside; then three renames change what is there,
//! and where one fails the others are undone.

mod goal;
mod staged;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use dosp_server::backup::{Backup, MAX_LEN, Manifest};
use dosp_server::config::Settings;
use dosp_server::control::DEFAULT_SOCKET;
use dosp_server::control::client::{self, ControlError};
use dosp_server::members::store::{self, Store, StoreError};
use zeroize::Zeroizing;

use super::STANDARD;
use super::error::{BackupError, failed};
use crate::cli::members::tell;
use crate::cli::run_args::{Place, PlaceArgs};
use goal::Goal;
use staged::Staged;

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

pub(in crate::cli) fn restore(args: RestoreArgs, place: Place) -> anyhow::Result<()> {
    let name = args.file.display().to_string();
    let packed = read(&args.file)?;
    let unpacked = Backup::unpack(&packed);
    let backup = unpacked.map_err(|source| BackupError::Unpack { name: name.clone(), source })?;
    let place = args.place.or(place);
    let goal = Goal::of(&backup.manifest, &place)?;
    let settings = settings(&backup, &goal, &name)?;
    let socket = place.socket.or(settings.socket.clone()).unwrap_or_else(|| DEFAULT_SOCKET.into());
    check_not_running(&goal, &socket)?;
    goal.check_free(&backup, args.force)?;

    let staged = Staged::make(&backup, &goal, &name)?;
    let kept = staged.put(&goal)?;
    say(&backup.manifest, &goal, &kept);
    warn_of(&settings, &goal);
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
            return Err(BackupError::Answers { socket: socket.to_owned() }.into());
        }
    }
    if !goal.state.join(store::FILE).exists() {
        return Ok(());
    }
    match Store::open(&goal.state) {
        Err(StoreError::InUse { .. }) => {
            Err(BackupError::InUse { state: goal.state.clone() }.into())
        }
        // Damage may be what this is for.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn say(manifest: &Manifest, goal: &Goal, kept: &[PathBuf]) {
    let Manifest { fingerprint, members, made_at, .. } = manifest;
    let (fingerprint, made_at) = (fingerprint.escape_default(), made_at.escape_default());
    let state = goal.state.display();
    tell(&format!("hub {fingerprint} of {made_at}, {members} members: in {state}"));
    match &manifest.config {
        Some(_) => tell(&format!("configuration: {}", goal.config.display())),
        None => tell("there is no configuration in the backup: start the hub as it was started"),
    }
    for kept in kept {
        tell(&format!("kept what was there: {}", kept.display()));
    }
}

/// What the hub would stumble over.
fn warn_of(settings: &Settings, goal: &Goal) {
    let same = |path: &Path| fs::canonicalize(path).is_ok_and(|path| path == goal.state);
    if settings.state.as_deref().is_some_and(|path| !same(path)) {
        tell(&format!(
            "warning: the configuration names another folder: start the hub with --state {}",
            goal.state.display()
        ));
    }
    if let Some(file) = &settings.admin_token_file
        && !fs::exists(file).unwrap_or(true)
    {
        tell(&format!(
            "warning: admin_token_file is not in a backup, and {} does not exist: the hub does not start without it",
            file.display()
        ));
    }
}
