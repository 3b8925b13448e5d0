//! Why there is no backup, or nothing is restored, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use dosp_server::backup::UnpackError;
use dosp_server::config::ConfigError;
use dosp_server::control::client::ControlError;

use crate::cli::failure::{EXIT_FAILED, EXIT_NO_PRIVILEGE, EXIT_USAGE};

/// Why there is no backup, or nothing is restored.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum BackupError {
    #[error("this hub keeps nothing: it has no state folder")]
    NoState,
    #[error("there is nothing to back up: {} does not exist", path.display())]
    Empty { path: PathBuf },
    #[error("a backup has the hub's key in it, and does not go to a terminal")]
    Terminal,
    #[error("the running hub does not say what it keeps")]
    Refused { source: ControlError },
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{name} is not restored")]
    Unpack { name: String, source: UnpackError },
    #[error("{name} is not restored: its configuration is no good here")]
    Config { name: String, source: ConfigError },
    #[error("{name} is not restored: its state is no good here: {why}")]
    State { name: String, why: String },
    #[error("a hub runs: it answers on {}", socket.display())]
    Answers { socket: PathBuf },
    #[error("a hub runs: it uses {}", state.display())]
    InUse { state: PathBuf },
    #[error(
        "the backup is of {} and {}, which are not the usual places",
        escaped(state),
        escaped(config)
    )]
    Elsewhere { state: PathBuf, config: PathBuf },
    #[error("the configuration {} would be inside the state folder {}", config.display(), state.display())]
    Inside { state: PathBuf, config: PathBuf },
    #[error("{} is no file", path.display())]
    NoFile { path: PathBuf },
    #[error("{} exists", path.display())]
    Exists { path: PathBuf },
}

impl BackupError {
    pub(in crate::cli) fn code(&self) -> u8 {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                EXIT_NO_PRIVILEGE
            }
            Self::NoState | Self::Terminal | Self::Elsewhere { .. } | Self::Inside { .. } => {
                EXIT_USAGE
            }
            _ => EXIT_FAILED,
        }
    }

    pub(in crate::cli) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoState | Self::Empty { .. } => {
                "name the configuration with --config, or the folder with --state"
            }
            Self::Terminal => "name a file, or send it into a pipe",
            Self::Refused { .. } => "mend what it names, or stop the hub and try again",
            Self::Io { source, .. } => return io_hint(source.kind()).map(str::to_owned),
            Self::Unpack { source: UnpackError::Later { .. }, .. } => {
                "restore it with the version of dosp-server that wrote it, or a later one"
            }
            Self::Unpack { .. } | Self::State { .. } => "nothing was changed; take another backup",
            Self::Config { .. } => {
                "nothing was changed; if a later version of dosp-server wrote it, restore it with that one"
            }
            Self::Answers { .. } => {
                "stop it first, it would write over what is restored; where that is another hub's socket, name \
                 with --socket that of the hub to be restored"
            }
            Self::InUse { .. } => "stop it first; it would write over what is restored",
            Self::Elsewhere { state, config } => {
                let (state, config) = (escaped(state), escaped(config));
                return Some(format!(
                    "nothing was changed; if they are right: --state {state} --config {config}"
                ));
            }
            Self::Inside { .. } => {
                "nothing was changed; name a file elsewhere with --config, and start the hub with it"
            }
            Self::NoFile { .. } => "nothing was changed; name a file with --config",
            Self::Exists { .. } => "--force replaces it, and keeps it beside under another name",
        };
        Some(hint.to_owned())
    }
}

/// What to do about what the system says.
fn io_hint(kind: io::ErrorKind) -> Option<&'static str> {
    use io::ErrorKind as Kind;
    match kind {
        Kind::PermissionDenied => Some("be root or the hub's user"),
        Kind::NotFound => Some("there is no such file or folder; is the name right?"),
        Kind::IsADirectory | Kind::NotADirectory => Some("name a file in a folder"),
        Kind::StorageFull | Kind::QuotaExceeded => Some("make room, or use another disk"),
        Kind::ReadOnlyFilesystem => Some("use a disk that can be written"),
        Kind::FileTooLarge => Some("no backup is as long as that; is the name right?"),
        // It is put in place by a rename, and that neither replaces a mount point nor crosses one.
        Kind::ResourceBusy | Kind::CrossesDevices => Some(
            "nothing was changed; a mount point cannot be replaced: name a place elsewhere (to restore: --state, \
             --config), and move by hand what is in it",
        ),
        _ => None,
    }
}

/// A path as a backup has it, which may have been made to mislead a terminal.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_is_of_what_the_system_says() {
        let cases = [
            (nix::libc::EACCES, "be root"),
            (nix::libc::ENOENT, "no such file"),
            (nix::libc::ENOSPC, "make room"),
            (nix::libc::EBUSY, "--state"),
            (nix::libc::EXDEV, "--state"),
        ];
        for (errno, words) in cases {
            let hint = failed(Path::new("x"))(io::Error::from_raw_os_error(errno)).hint();
            assert!(hint.as_ref().is_some_and(|hint| hint.contains(words)), "{errno}: {hint:?}");
        }
        assert_eq!(
            failed(Path::new("x"))(io::Error::from_raw_os_error(nix::libc::EIO)).hint(),
            None
        );
    }
}
