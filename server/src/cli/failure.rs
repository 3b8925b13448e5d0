//! What went wrong, as two lines and an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use dosp_daemon::metrics::ListenError;
use dosp_server::StartError;
use dosp_server::config::ConfigError;
use dosp_server::control::client::ControlError;

use super::backup::BackupError;
use super::init::InitError;
use super::members::MembersError;

/// It failed.
pub(super) const EXIT_FAILED: u8 = 1;
/// Usage or configuration.
pub(super) const EXIT_USAGE: u8 = 2;
/// There is no hub to ask.
pub(super) const EXIT_NOT_RUNNING: u8 = 3;
/// Refused.
pub(super) const EXIT_REFUSED: u8 = 4;
/// Nobody is known by that name.
pub(super) const EXIT_UNKNOWN: u8 = 5;
/// Interrupted, by SIGINT.
const EXIT_INTERRUPTED: u8 = 130;
/// The hub is not this user's to ask.
pub(super) const EXIT_NO_PRIVILEGE: u8 = 77;

/// The user has ended the command, and knows.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Two lines: what and why, and what to do.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    if error.is::<Interrupted>() {
        return ExitCode::from(EXIT_INTERRUPTED);
    }
    let (code, hint) = if let Some(error) = error.downcast_ref::<ConfigError>() {
        (EXIT_USAGE, Some(error.hint()))
    } else if let Some(error) = error.downcast_ref::<ControlError>() {
        let code = match error {
            ControlError::NotRunning { .. } => EXIT_NOT_RUNNING,
            ControlError::Forbidden { .. } => EXIT_NO_PRIVILEGE,
            _ => EXIT_FAILED,
        };
        (code, super::ask::hint(error))
    } else if let Some(error) = error.downcast_ref::<MembersError>() {
        (error.code(), error.hint())
    } else if let Some(error) = error.downcast_ref::<BackupError>() {
        (error.code(), error.hint())
    } else if let Some(error) = error.downcast_ref::<InitError>() {
        (error.code(), Some(error.hint().to_owned()))
    } else if let Some(error) = error.downcast_ref::<StartError>() {
        let code = match error {
            StartError::Tokens(_) => EXIT_USAGE,
            StartError::Bind(_) | StartError::State(_) => EXIT_FAILED,
        };
        (code, Some(error.hint()))
    } else if let Some(error) = error.downcast_ref::<ListenError>() {
        (EXIT_FAILED, Some(error.hint().to_owned()))
    } else {
        (EXIT_FAILED, None)
    };
    let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    // Without a stderr there is nobody to tell.
    write!(io::stderr(), "dosp-server: {error:#}\n{hint}").unwrap_or_default();
    ExitCode::from(code)
}
