//! What a process has worked.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// The time on a core that a process has had since it began, in user space and in the kernel. The kernel
/// tells it in ticks, mostly of 10 ms.
pub(crate) fn time_of(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the hub's work")?;
    let ticks = ticks(&stat).context("/proc/PID/stat reads otherwise than expected")?;
    let ticks_per_s = sysconf(SysconfVar::CLK_TCK)?.context("the kernel's ticks")?;
    Ok(Duration::from_secs_f64(ticks as f64 / ticks_per_s as f64))
}

/// `utime` and `stime` of proc(5), fields 14 and 15. The name before them may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut fields = behind_name.split(' ').skip(11);
    let (user, kernel) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user + kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_spaces_and_brackets() {
        let stat = "7 (a ) (b) 1) S 1 7 7 0 -1 4 1 2 3 4 250 50 8 9 20 0 1 0";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn work_of_a_process_grows() -> Result<()> {
        let before = time_of(std::process::id())?;
        while time_of(std::process::id())? == before {}
        Ok(())
    }
}
