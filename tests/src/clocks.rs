//! A clock of the system that jumps, for one program: the machine's own stays right.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Laid over the C library's: one clock is ahead by so many jumps as a file has bytes.
const SOURCE: &str = "
#define _GNU_SOURCE
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    int status = syscall(SYS_clock_gettime, id, time);
    struct stat jumps;
    if (id == CLOCK && stat(JUMPS, &jumps) == 0) time->tv_sec += SECONDS * jumps.st_size;
    return status;
}
";

/// A library that is loaded before others, and the file that it looks at.
#[derive(Debug)]
pub struct JumpingClock {
    library: PathBuf,
    jumps: PathBuf,
}

impl JumpingClock {
    /// `clock`, as C calls it, jumps ahead by `seconds` each time.
    ///
    /// # Errors
    /// There is no C compiler.
    pub fn build(dir: &Path, clock: &str, seconds: u32) -> Result<Self> {
        let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
        let jumps = dir.join("clock.jumps");
        fs::write(&source, SOURCE).with_context(|| format!("write {source:?}"))?;
        let made = Command::new("cc")
            .arg(format!("-DCLOCK={clock}"))
            .arg(format!("-DSECONDS={seconds}"))
            .arg(format!("-DJUMPS=\"{}\"", jumps.display()))
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status();
        ensure!(made.context("run cc")?.success(), "the clock does not build");
        Ok(Self { library, jumps })
    }

    /// Has it jump.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn jump(&self) -> Result<()> {
        let mut jumps = OpenOptions::new().create(true).append(true).open(&self.jumps)?;
        Ok(jumps.write_all(b"j")?)
    }

    /// What makes it the clock of all that a shell starts from then on.
    #[must_use]
    pub fn export(&self) -> String {
        format!("export LD_PRELOAD={}", self.library.display())
    }
}
