//! Where the binaries under test are, built where that is needed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};

/// The path of a binary: in `$DOSP_BIN`, else beside this test's target folder, built when it is
/// missing or older than its sources.
pub fn binary(name: &str) -> Result<PathBuf> {
    static DIR: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let dir = DIR.get_or_init(|| binary_dir().map_err(|error| format!("{error:#}")));
    Ok(dir.as_ref().map_err(|error| anyhow!("{error}"))?.join(name))
}

fn binary_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("DOSP_BIN") {
        return fs::canonicalize(dir).context("DOSP_BIN");
    }
    let own = std::env::current_exe().context("find this program's own path")?;
    let mut folders = own.ancestors().skip(1);
    // A test is in `deps`, a program beside those under test.
    let dir =
        folders.find(|folder| !folder.ends_with("deps")).context("target/PROFILE")?.to_owned();
    let sources = newest_source()?;
    let is_current = |name| modified_at(&dir.join(name)).is_ok_and(|built_at| built_at > sources);
    if !["dosp-server", "dosp-agent"].into_iter().all(is_current) {
        build(&dir)?;
    }
    Ok(dir)
}

fn build(dir: &Path) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--workspace", "--bins", "--target-dir"]);
    cargo.arg(dir.parent().context("the target folder")?).current_dir(workspace());
    if dir.file_name() == Some(OsStr::new("release")) {
        cargo.arg("--release");
    }
    if !cargo.status().context("run cargo build")?.success() {
        bail!("the binaries under test do not build");
    }
    Ok(())
}

/// The root of the repository.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

fn newest_source() -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut dirs: Vec<PathBuf> = ["proto", "transport", "console", "daemon", "server", "agent"]
        .map(|name| workspace().join(name).join("src"))
        .to_vec();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("list {dir:?}"))? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                newest = newest.max(modified_at(&path)?);
            }
        }
    }
    Ok(newest)
}

fn modified_at(path: &Path) -> Result<SystemTime> {
    fs::metadata(path).and_then(|it| it.modified()).with_context(|| format!("look at {path:?}"))
}
