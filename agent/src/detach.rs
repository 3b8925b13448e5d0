//! `up --detach`: the same command once more, in a session of its own, until it says that it is up.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::failure::{Exit, Failure};

/// The log of an agent in the background; the one before is kept as `….1`.
const MAX_LOG_LEN: u64 = 1024 * 1024;

/// Starts this very command in the background, and waits until it is up or has failed. Its errors
/// come on our standard error.
///
/// # Errors
/// The process cannot be started. Where it fails later, its exit code is returned.
pub fn start() -> Result<ExitCode, Failure> {
    let program = std::env::current_exe()?;
    let arguments = std::env::args_os().skip(1);
    let arguments: Vec<OsString> = arguments
        .map(|argument| if argument == "--detach" { "--detached".into() } else { argument })
        .collect();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if !line.is_empty() {
        io::stdout().write_all(line.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(Exit::Failed as u8)))
}

/// Leaves the terminal's session: its end is not ours.
///
/// # Errors
/// The system says no.
pub fn leave_session() -> io::Result<()> {
    nix::unistd::setsid().map(|_| ()).map_err(io::Error::from)
}

/// Lets go of the standard streams of whoever started us.
pub fn let_go() {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let redirected = null.and_then(|null| {
        nix::unistd::dup2_stdin(&null)?;
        nix::unistd::dup2_stdout(&null)?;
        nix::unistd::dup2_stderr(&null)?;
        Ok(())
    });
    if let Err(error) = redirected {
        tracing::warn!(%error, "the standard streams stay open");
    }
}

/// A log file that never grows beyond two megabytes.
#[derive(Debug)]
pub struct CappedLog {
    path: PathBuf,
    file: File,
    len: u64,
}

impl CappedLog {
    /// Opens the log beside the local socket `socket`.
    ///
    /// # Errors
    /// The system says no.
    pub fn beside(socket: &Path) -> io::Result<Self> {
        let path = socket.with_extension("log");
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&path)?;
        let len = file.metadata()?.len();
        Ok(Self { path, file, len })
    }

    fn turn_over(&mut self) -> io::Result<()> {
        std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        self.file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?;
        self.len = 0;
        Ok(())
    }
}

impl Write for CappedLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.len >= MAX_LOG_LEN {
            self.turn_over()?;
        }
        let len = self.file.write(line)?;
        self.len += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_is_turned_over_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("sub").join("agent.sock");
        let mut log = CappedLog::beside(&socket).unwrap();
        for _ in 0..5000 {
            log.write_all(&[b'x'; 999]).unwrap();
        }
        for name in ["agent.log", "agent.log.1"] {
            let len = socket.with_file_name(name).metadata().unwrap().len();
            assert!(len <= MAX_LOG_LEN + 999, "{name}: {len}");
        }
    }
}
