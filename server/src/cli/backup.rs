//! `dosp-server backup`: all that a hub keeps, in one file, also while it runs.

mod error;
mod output;
pub(super) mod restore;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use dosp_proto::identity::PublicKey;
use dosp_server::backup::{Backup, Manifest, Owner, STATE_FILES};
use dosp_server::control::DEFAULT_SOCKET;
use dosp_server::control::client::{self, ControlError};
use dosp_server::hub_key;
use dosp_server::members::record::{Row, date};
use dosp_server::members::store::{self, Store, StoreError};
use nix::unistd::{Group, User};
use zeroize::Zeroizing;

use super::members::{MembersError, tell, unix_now};
use super::run_args::{DEFAULT_FILE, Place, PlaceArgs};
pub(super) use error::BackupError;
use error::failed;

/// Stands for standard output or input.
const STANDARD: &str = "-";

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The file to write, or `-` for standard output
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) fn backup(args: BackupArgs, place: Place) -> anyhow::Result<()> {
    if args.file == Path::new(STANDARD) && io::stdout().is_terminal() {
        return Err(BackupError::Terminal.into());
    }
    let place = args.place.or(place);
    let settings = place.settings()?;
    let state = settings.state.ok_or(BackupError::NoState)?;
    let socket = settings.socket.unwrap_or_else(|| DEFAULT_SOCKET.into());
    let backup = gather(&place, &absolute(&state), &socket)?;
    let packed = backup.pack()?;
    write(&args.file, &packed)?;
    let Manifest { fingerprint, members, config, .. } = &backup.manifest;
    let config = match config {
        Some(config) => format!("with {}", config.display()),
        None => "without a configuration file, for there is none".to_owned(),
    };
    tell(&format!("hub {fingerprint}, {members} members, {config}: {} bytes", packed.len()));
    Ok(())
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn gather(place: &Place, state: &Path, socket: &Path) -> anyhow::Result<Backup> {
    let key_file = state.join(hub_key::FILE);
    if !fs::exists(&key_file).map_err(failed(&key_file))? {
        return Err(BackupError::Empty { path: key_file }.into());
    }
    let key = *hub_key::load(state, &mut rand::rng()).map_err(MembersError::from)?.public();
    let rows = rows(state, socket, &key)?;
    let members = rows.iter().filter(|row| matches!(row, Row::Member(..))).count();
    let config = place.config.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    let (config, content, config_mode, config_owner) = match fs::read(&config) {
        Ok(content) => {
            let mode = fs::metadata(&config).map_err(failed(&config))?.permissions().mode();
            let owner = owner(&config).map_err(failed(&config))?;
            (Some(absolute(&config)), Some(content), mode & 0o777, owner)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None, 0, None),
        Err(error) => return Err(failed(&config)(error).into()),
    };
    let mut files = std::collections::BTreeMap::new();
    for name in STATE_FILES {
        let path = state.join(name);
        if name == store::FILE {
            let image = store::image(&rows).map_err(MembersError::from)?;
            files.insert(name.to_owned(), Zeroizing::new(image));
        } else if fs::exists(&path).map_err(failed(&path))? {
            let content = fs::read(&path).map_err(failed(&path))?;
            files.insert(name.to_owned(), Zeroizing::new(content));
        }
    }
    let manifest = Manifest {
        schema: Manifest::schema(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: date(unix_now()),
        config,
        config_mode,
        config_owner,
        state: state.to_owned(),
        owner: owner(state).map_err(failed(state))?,
        fingerprint: key.fingerprint().to_string(),
        members,
    };
    Ok(Backup { manifest, config: content, state: files })
}

/// What is stored of the members: by the word of the hub that has them open, else out of the file.
fn rows(state: &Path, socket: &Path, key: &PublicKey) -> anyhow::Result<Vec<Row>> {
    let refused = match client::snapshot(socket) {
        Ok((hub, stored)) if hub == *key => return Ok(stored.into_rows()),
        // Another hub, or one that keeps nothing: this folder may still be nobody's.
        Ok(_) | Err(ControlError::NotRunning { .. }) => None,
        Err(refused @ ControlError::Refused { .. }) => Some(refused),
        Err(error) => return Err(error.into()),
    };
    let path = state.join(store::FILE);
    if !fs::exists(&path).map_err(failed(&path))? {
        return Err(BackupError::Empty { path }.into());
    }
    match (Store::open(state), refused) {
        (Ok((_store, rows)), _) => Ok(rows),
        // The hub that has them open is the one that said why not.
        (Err(StoreError::InUse { .. }), Some(source)) => {
            Err(BackupError::Refused { source }.into())
        }
        (Err(error), _) => Err(MembersError::from(error).into()),
    }
}

/// Whose a file is, where both have names.
fn owner(path: &Path) -> io::Result<Option<Owner>> {
    let of = fs::metadata(path)?;
    let user = User::from_uid(of.uid().into())?.map(|user| user.name);
    let group = Group::from_gid(of.gid().into())?.map(|group| group.name);
    Ok(user.zip(group).map(|(user, group)| Owner { user, group }))
}

fn write(file: &Path, content: &[u8]) -> Result<(), BackupError> {
    if file != Path::new(STANDARD) {
        return output::write(file, content);
    }
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(content).and_then(|()| stdout.flush());
    written.map_err(failed(Path::new("standard output")))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use dosp_proto::identity::IdentityKey;
    use dosp_server::control::wire::Reply;

    use super::*;

    #[test]
    fn why_the_running_hub_refuses_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let _hub_has_it_open = Store::open(folder.path()).unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let hub = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            BufReader::new(&stream).read_line(&mut String::new()).unwrap();
            let reply = Reply::Failed { why: "the disk is full".to_owned() };
            let line = serde_json::to_string(&reply).unwrap() + "\n";
            stream.write_all(line.as_bytes()).unwrap();
        });
        let key = IdentityKey::generate(&mut rand::rng());
        let error = rows(folder.path(), &socket, key.public()).unwrap_err();
        hub.join().unwrap();
        let words = format!("{error:#}");
        assert_eq!(words, "the running hub does not say what it keeps: the disk is full");
    }
}
