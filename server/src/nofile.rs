//! How many connections the system lets this process have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that are no sessions: listeners, refused and ending connections, the runtime's own.
const RESERVE: u64 = 256;

/// Raises the limit on open files as far as it goes. Returns how many sessions fit under it.
///
/// # Errors
/// Where the system does not tell the limit.
pub fn raise() -> nix::Result<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Where it cannot be raised, the hub makes do with what it has.
    let limit = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard);
    Ok(max_sessions(limit))
}

fn max_sessions(limit: u64) -> usize {
    usize::try_from(limit - RESERVE.min(limit / 2)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_kept_for_other_things() {
        assert_eq!(max_sessions(20_000), 19_744);
        assert_eq!(max_sessions(100), 50);
        assert_eq!(max_sessions(u64::MAX), usize::MAX - 256);
    }
}
