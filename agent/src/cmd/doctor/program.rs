//! What programs of the system print.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// What they do, they do at once; a large ruleset or journal takes a moment.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// There is no such program.
    #[error("there is no such program")]
    Missing,
    /// It did not end well; what it said on standard error.
    #[error("{0}")]
    Failed(String),
    /// It took too long, and was ended.
    #[error("it took longer than {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// The system says no.
    #[error(transparent)]
    Io(std::io::Error),
}

/// The standard output of `program`, which is ended when it takes too long.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> Result<String, RunError> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(TIMEOUT, command.output()).await {
        Err(_) => return Err(RunError::TimedOut),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(RunError::Missing);
        }
        Ok(output) => output.map_err(RunError::Io)?,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(RunError::Failed(said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_and_failures_are_told_apart() {
        assert_eq!(run("echo", &["a"]).await.unwrap(), "a\n");
        assert!(matches!(run("no-such-program-here", &[]).await, Err(RunError::Missing)));
        let failed = run("sh", &["-c", "echo no >&2; exit 3"]).await.unwrap_err();
        assert_eq!(failed.to_string(), "no");
    }
}
