//! The program: its words, its exit codes, its signals.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod members;
mod observed;
mod owner;
mod peers;
mod running;
mod store;
mod usage;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

pub(crate) fn dosp_server(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dosp-server"));
    for name in ["HOST", "PORT", "IP_TEMPLATE", "PEERS", "METRICS", "LOG", "LOG_FORMAT"] {
        command.env_remove(format!("DOSP_{name}"));
    }
    command.args(args);
    command
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn config_file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// A running hub on a free port; killed when dropped.
pub(crate) struct Hub {
    pub(crate) child: Child,
    pub(crate) log: BufReader<std::process::ChildStderr>,
    pub(crate) addr: String,
}

impl Hub {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let line = next_line_with(&mut log, "listening addr=");
        let addr = line.split("addr=").nth(1).unwrap().trim().to_owned();
        Self { child, log, addr }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Fails where it has ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

pub(crate) fn next_line_with(log: &mut impl BufRead, words: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "no '{words}' in: {seen}");
        if line.contains(words) {
            return line;
        }
        seen += &line;
    }
}
