//! A clock of the system that jumps, for one program: the machine's own stays right.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::preload;

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
        let jumps = dir.join("clock.jumps");
        let constants =
            [("CLOCK", clock), ("SECONDS", &seconds.to_string()), ("JUMPS", &format!("{jumps:?}"))];
        let define = |(name, value)| format!("#define {name} {value}\n");
        let source = constants.map(define).concat() + SOURCE;
        let library = preload::build(dir, "clock", &source)?;
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
        format!("export {}", self.preload())
    }

    /// The same for one command, to stand before it.
    #[must_use]
    pub fn preload(&self) -> String {
        format!("LD_PRELOAD={}", self.library.display())
    }
}
