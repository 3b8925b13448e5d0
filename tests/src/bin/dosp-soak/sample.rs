//! What a program takes at rest.

use std::fmt::{self, Display};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use dosp_tests::Hub;
use serde_json::Value;

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Program {
    Hub,
    Agent(usize),
}

impl Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub => f.write_str("hub"),
            Self::Agent(i) => write!(f, "agent{i}"),
        }
    }
}

/// A program at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) program: Program,
    pub(crate) pid: u32,
    /// Memory that is there because the program wrote it, in KiB.
    pub(crate) memory: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    pub(crate) tasks: u64,
}

impl Sample {
    /// Looks at a process; `status` is what it says of itself.
    pub(crate) fn of(program: Program, pid: u32, status: &Value, at: Duration) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).context("read its status")?;
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            number.with_context(|| format!("{name} of {program}"))
        };
        Ok(Self {
            at,
            program,
            pid,
            memory: number("RssAnon")?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).context("list its files")?.count()
                as u64,
            threads: number("Threads")?,
            tasks: status["tasks"].as_u64().with_context(|| format!("tasks of {program}"))?,
        })
    }
}

/// As a line of a table.
impl Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, program, pid, memory, descriptors, threads, tasks } = self;
        let at = at.as_secs_f64();
        write!(f, "{at:.1}\t{program}\t{pid}\t{memory}\t{descriptors}\t{threads}\t{tasks}")
    }
}

/// `dosp-server status --json`.
pub(crate) fn status(hub: &Hub) -> Result<Value> {
    let said = hub.ask("status", &["--json"])?.ok()?.stdout;
    serde_json::from_str(&said).context(said)
}
