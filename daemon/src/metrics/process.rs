//! What the system knows of this process, by /proc, under the names that all programs use for it.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit};
use nix::time::{ClockId, clock_gettime};

use super::{Exposition, Family};

/// The kernel tells times of processes in such units: USER_HZ, 100 on x86-64 and arm64 whatever the kernel's own
/// clock does.
const TICKS_PER_SECOND: u64 = 100;

const CPU: Family<0> = Family::counter(
    "process_cpu_seconds_total",
    [],
    "Time on the processors, in user and kernel mode.",
);
const RESIDENT: Family<0> =
    Family::gauge("process_resident_memory_bytes", [], "Memory that is in RAM.");
const VIRTUAL: Family<0> = Family::gauge("process_virtual_memory_bytes", [], "Address space.");
const OPEN_FDS: Family<0> = Family::gauge("process_open_fds", [], "Open file descriptors.");
const MAX_FDS: Family<0> =
    Family::gauge("process_max_fds", [], "The most that there may be of them.");
const START_TIME: Family<0> =
    Family::gauge("process_start_time_seconds", [], "When it began, in Unix time.");

/// This process. Made once: its start does not move when the clock is set.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    started_at: Option<u64>,
}

/// What `/proc/self/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    /// Since the system's start.
    start_ticks: u64,
}

impl Process {
    /// This process, as it began.
    #[must_use]
    pub fn this() -> Self {
        let age = || {
            let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
            let started = Duration::from_secs(stat()?.start_ticks / TICKS_PER_SECOND);
            Duration::from(since_boot).checked_sub(started)
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let started_at = now.zip(age()).and_then(|(now, age)| now.checked_sub(age));
        Self { started_at: started_at.map(|at| at.as_secs()) }
    }

    /// Adds its figures; those that the system does not tell are left out.
    pub fn expose(&self, exposition: &mut Exposition) {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cpu = stat().map(|stat| stat.cpu_ticks as f64 / TICKS_PER_SECOND as f64);
        exposition.known(&CPU, cpu);
        exposition.known(&RESIDENT, memory_len(&status, "VmRSS:"));
        exposition.known(&VIRTUAL, memory_len(&status, "VmSize:"));
        // The one that reads the folder is not among them afterwards.
        let open = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1));
        exposition.known(&OPEN_FDS, open);
        let max = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft);
        exposition.known(&MAX_FDS, max);
        exposition.known(&START_TIME, self.started_at);
    }
}

fn stat() -> Option<Stat> {
    parse_stat(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// The fields of proc(5), counted from 1: 14 and 15 are the times, 22 is the start. Behind the name in
/// parentheses, in which there may be anything, the first one is 3.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat { cpu_ticks: field(14)? + field(15)?, start_ticks: field(22)? })
}

/// A line such as `VmRSS:     1234 kB`, in bytes.
fn memory_len(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc_are_read() {
        let text = "7 (a) (b c) S 1 7 7 0 -1 4194560 99 0 0 0 12 30 0 0 20 0 4 0 5678 1000 25 18446744073709551615";
        assert_eq!(parse_stat(text), Some(Stat { cpu_ticks: 42, start_ticks: 5678 }));
        for bad in ["", "7 (a", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4194560 99 0 0 0 x 30"] {
            assert_eq!(parse_stat(bad), None, "{bad}");
        }
        let status = "Name:\tVmRSS:\nVmSize:\t  12 kB\nVmRSS:\t    3 kB\n";
        assert_eq!(memory_len(status, "VmRSS:"), Some(3072));
        assert_eq!(memory_len(status, "VmHWM:"), None);
    }

    #[test]
    fn this_process_is_told_of() {
        let mut exposition = Exposition::default();
        Process::this().expose(&mut exposition);
        let text = exposition.into_text();
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse::<f64>().unwrap()
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - figure("process_start_time_seconds");
        assert!((0.0..3600.0).contains(&age), "{age}");
        assert!(figure("process_resident_memory_bytes") > 100_000.0);
        assert!(figure("process_virtual_memory_bytes") >= figure("process_resident_memory_bytes"));
        assert!(figure("process_open_fds") >= 3.0);
        assert!(figure("process_open_fds") <= figure("process_max_fds"));
        assert!(figure("process_cpu_seconds_total") >= 0.0);
    }
}
