//! Programs that a test runs: output to files, exit code, time limit, signals; ended on drop.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How much of its output a process shows when it is dropped.
const SHOWN_LINES: usize = 60;

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    started_at: Instant,
    stdout: PathBuf,
    stderr: PathBuf,
    shown_on_drop: bool,
}

/// What a program that ended has left.
#[derive(Debug)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// None: ended by a signal.
    pub code: Option<i32>,
    /// All of stdout, as text.
    pub stdout: String,
    /// All of stderr, as text.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Output {
    /// Self, if the exit code is 0.
    pub fn ok(self) -> Result<Self> {
        self.exits(0)
    }

    /// Self, if the exit code is `code`; else an error that shows everything.
    pub fn exits(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "expected exit code {code}, got {self}");
        Ok(self)
    }

    /// Self, if stderr has each of `words`.
    pub fn says(self, words: &[&str]) -> Result<Self> {
        for word in words {
            ensure!(self.stderr.contains(word), "expected {word:?} on stderr, got {self}");
        }
        Ok(self)
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr, took } = self;
        write!(f, "{code:?} after {took:.1?} from `{command}`\n{stdout}\n{stderr}")
    }
}

impl Process {
    /// Starts `command`; its output goes to files in `dir`.
    pub fn spawn(dir: &Path, name: &str, mut command: Command) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = |stream: &str| dir.join(format!("{count}-{name}.{stream}"));
        let (stdout, stderr) = (file("out"), file("err"));
        let create = |path: &Path| File::create(path).with_context(|| format!("create {path:?}"));
        command.stdin(Stdio::null()).stdout(create(&stdout)?).stderr(create(&stderr)?);
        let child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let name = name.to_owned();
        let started_at = Instant::now();
        Ok(Self { name, child, started_at, stdout, stderr, shown_on_drop: false })
    }

    /// Prints the end of its output on drop: the test runner shows that only when a test fails.
    #[must_use]
    pub fn shown_on_drop(mut self) -> Self {
        self.shown_on_drop = true;
        self
    }

    /// The program's process id: namespaces are entered by `exec`, not by a parent.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its stdout so far.
    pub fn stdout(&self) -> Result<String> {
        read_lossy(&self.stdout)
    }

    /// Its stderr so far.
    pub fn stderr(&self) -> Result<String> {
        read_lossy(&self.stderr)
    }

    /// The exit status, if it has ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("wait for {}", self.name))
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.try_wait()?.is_none())
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()).context("a process id fits")?);
        kill(pid, signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("kill {}", self.name))?;
        self.child.wait().with_context(|| format!("wait for {}", self.name))?;
        Ok(())
    }

    /// Waits until it has ended; after `within` it is killed and that is an error.
    pub fn output(mut self, within: Duration) -> Result<Output> {
        let status = loop {
            if let Some(status) = self.try_wait()? {
                break status;
            }
            if self.started_at.elapsed() > within {
                self.kill()?;
                return Err(anyhow!(
                    "{} did not end within {within:?}\n{}\n{}",
                    self.name,
                    self.stdout()?,
                    self.stderr()?
                ));
            }
            sleep(Duration::from_millis(5));
        };
        Ok(Output {
            command: self.name.clone(),
            code: status.code(),
            stdout: self.stdout()?,
            stderr: self.stderr()?,
            took: self.started_at.elapsed(),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if !self.shown_on_drop {
            return;
        }
        for (stream, text) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
            let text = text.unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let shown = lines.len().saturating_sub(SHOWN_LINES);
            if !lines.is_empty() {
                eprintln!("--- {stream} of {}\n{}", self.name, lines[shown..].join("\n"));
            }
        }
    }
}

fn read_lossy(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("read {path:?}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
