//! One program, run to its end or to its limits.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Program;

/// Where programs without a path are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a program has no result. What the system says stays in the hub's log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("the program cannot be started")]
    Start(#[source] io::Error),
    #[error("the program's output cannot be read")]
    Read(#[source] io::Error),
    #[error("the program took longer than {} s", timeout.as_secs_f32())]
    TimedOut { timeout: Duration },
    #[error("the program wrote more than {max_output_len} bytes")]
    TooMuchOutput { max_output_len: usize },
    #[error("the program failed: {status}")]
    Failed { status: ExitStatus },
}

/// Kills the program with all that it started, unless it came to its end.
struct ProcessGroup(Option<Pid>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Gone already is as good.
            killpg(leader, Signal::SIGKILL).unwrap_or_default();
        }
    }
}

/// Runs it; returns what it wrote to its standard output. Dropped, it kills the program.
pub(super) async fn run(program: &Program) -> Result<Vec<u8>, ProgramError> {
    let mut words = program.exec.iter();
    let mut child = Command::new(words.next().map(String::as_str).unwrap_or_default())
        .args(words)
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(ProgramError::Start)?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = ProcessGroup(leader.map(Pid::from_raw));

    let limit = program.timeout;
    let ended = timeout(limit, finish(&mut child, program.max_output_len)).await;
    let (output, status) = ended.unwrap_or(Err(ProgramError::TimedOut { timeout: limit }))?;
    group.0 = None;
    if status.success() { Ok(output) } else { Err(ProgramError::Failed { status }) }
}

async fn finish(
    child: &mut Child,
    max_output_len: usize,
) -> Result<(Vec<u8>, ExitStatus), ProgramError> {
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = stdout.take(max_output_len as u64 + 1);
        stdout.read_to_end(&mut output).await.map_err(ProgramError::Read)?;
    }
    if output.len() > max_output_len {
        return Err(ProgramError::TooMuchOutput { max_output_len });
    }
    let status = child.wait().await.map_err(ProgramError::Read)?;
    Ok((output, status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::Allow;
    use std::time::Instant;

    fn program(exec: &[&str]) -> Program {
        Program {
            exec: exec.iter().map(|word| (*word).to_owned()).collect(),
            timeout: Duration::from_secs(20),
            max_output_len: 100,
            allow: Allow::Anyone,
        }
    }

    #[tokio::test]
    async fn output_is_the_result_and_words_are_no_shell() {
        let output = run(&program(&["printf", "%s", "$HOME; `id`"])).await.unwrap();
        assert_eq!(output, b"$HOME; `id`");
    }

    #[tokio::test]
    async fn environment_of_the_hub_is_not_passed_on() {
        let output = run(&program(&["env"])).await.unwrap();
        assert_eq!(output, format!("PATH={PATH}\n").as_bytes());
    }

    #[tokio::test]
    async fn failure_is_reported() {
        let error = run(&program(&["false"])).await.unwrap_err();
        assert_eq!(error.to_string(), "the program failed: exit status: 1");
        let error = run(&program(&["/nonexistent"])).await.unwrap_err();
        assert!(matches!(error, ProgramError::Start(_)));
    }

    #[tokio::test]
    async fn endless_output_ends_at_the_limit() {
        let error = run(&program(&["yes"])).await.unwrap_err();
        assert!(matches!(error, ProgramError::TooMuchOutput { max_output_len: 100 }));
    }

    #[tokio::test]
    async fn slow_program_is_killed_with_its_children() {
        let mut slow = program(&["sh", "-c", "sleep 1000 & echo $! ; sleep 1000"]);
        slow.timeout = Duration::from_millis(300);
        let started_at = Instant::now();
        let error = run(&slow).await.unwrap_err();
        assert_eq!(error.to_string(), "the program took longer than 0.3 s");
        assert!(started_at.elapsed() < Duration::from_secs(15));
    }
}
