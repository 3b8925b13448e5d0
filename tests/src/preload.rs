//! Libraries that are laid over the system's, so that one program sees another world than all others.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// No connection may have another congestion control than it has.
pub const NO_CONGESTION: &str = "
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <unistd.h>
int setsockopt(int fd, int level, int name, const void *value, socklen_t len) {
    if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
        errno = EPERM;
        return -1;
    }
    return syscall(SYS_setsockopt, fd, level, name, value, len);
}
";

/// Builds the library of `source` in `dir`, for `LD_PRELOAD`.
///
/// # Errors
/// There is no C compiler.
pub fn build(dir: &Path, name: &str, source: &str) -> Result<PathBuf> {
    let (file, library) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.so")));
    std::fs::write(&file, source).with_context(|| format!("write {file:?}"))?;
    let args = ["-shared", "-fPIC", "-o"];
    let made = Command::new("cc").args(args).arg(&library).arg(&file).status();
    ensure!(made.context("run cc")?.success(), "{name} does not build");
    Ok(library)
}
