//! The hub as a child.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use crate::IO_TIMEOUT;

/// In the line of the log that says so.
const LISTENING: &str = "listening";
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A hub that listens. It ends with this.
#[derive(Debug)]
pub(super) struct Hub {
    child: Child,
    listening_at: Instant,
}

impl Hub {
    /// Starts it, and waits until it listens. Its log goes on to our stderr.
    pub(super) fn start(command: &[String]) -> Result<Self> {
        let (program, options) = command.split_first().context("no hub to start")?;
        let started = Command::new(program).args(options).stderr(Stdio::piped()).spawn();
        let mut child = started.with_context(|| format!("start {program}"))?;
        let log = BufReader::new(child.stderr.take().context("no stderr")?);
        let (told, listening) = mpsc::channel();
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if line.contains(LISTENING) {
                    told.send(Instant::now()).ok();
                }
                // There is a line for each session.
                if !line.contains("session") {
                    eprintln!("{line}");
                }
            }
        });
        let mut hub = Self { child, listening_at: Instant::now() };
        hub.listening_at = listening.recv_timeout(IO_TIMEOUT).context("the hub does not listen")?;
        Ok(hub)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) const fn listening_at(&self) -> Instant {
        self.listening_at
    }

    /// Ends it as an init system does, and waits for that.
    pub(super) async fn end(&mut self) -> Result<()> {
        let pid = Pid::from_raw(self.pid().try_into().context("a large process id")?);
        kill(pid, Signal::SIGTERM).context("end the hub")?;
        let until = Instant::now() + IO_TIMEOUT;
        while self.child.try_wait().context("wait for the hub")?.is_none() {
            ensure!(Instant::now() < until, "the hub does not end");
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
