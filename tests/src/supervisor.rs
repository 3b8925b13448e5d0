//! A service manager, as far as `sd_notify(3)` goes: a socket on which a program says how it is.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Something is said within that, also when all cores are busy.
const TIMEOUT: Duration = Duration::from_secs(20);
/// What may lie between two signs of life, in microseconds.
const WATCHDOG_USEC: u32 = 400_000;
/// Whoever says more than that before the word that is waited for says the wrong thing.
const MAX_MESSAGES: usize = 200;

/// Listens to one program.
#[derive(Debug)]
pub struct Supervisor {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Supervisor {
    /// With its socket in `dir`.
    pub fn new(dir: &Path) -> Result<Self> {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).context("bind the notify socket")?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { socket, path })
    }

    /// A line of shell that becomes `command`, supervised.
    #[must_use]
    pub fn supervised(&self, command: &str) -> String {
        let path = self.path.display();
        format!("NOTIFY_SOCKET={path} WATCHDOG_USEC={WATCHDOG_USEC} WATCHDOG_PID=$$ exec {command}")
    }

    /// The next message that has `line`, and all before it, in their lines.
    pub fn until(&self, line: &str) -> Result<Vec<Vec<String>>> {
        let mut messages: Vec<Vec<String>> = Vec::new();
        while messages.len() < MAX_MESSAGES {
            let mut buffer = [0; 4096];
            let len = self.socket.recv(&mut buffer);
            let len = len.with_context(|| format!("no {line:?} after {messages:?}"))?;
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            messages.push(text.lines().map(str::to_owned).collect());
            if text.lines().any(|said| said == line) {
                return Ok(messages);
            }
        }
        bail!("no {line:?} in {messages:?}")
    }
}
