//! The clock of this host, against the hub's.

use super::finding::{Check, Finding};

/// Before that this version was not made: 2026-11-01T00:00:00Z, in Unix seconds.
const MADE_AT: u64 = 1_793_491_200;
/// Tunnels of version 1 are refused beyond this difference, in seconds.
const MAX_DIFFERENCE_S: u64 = 300;

/// `ours` and `theirs` are Unix seconds of the same moment, of this host and of the hub.
pub(super) fn judge(ours: u64, theirs: Option<u64>) -> Finding {
    let check = Check::Clock;
    let fix = "have the clocks set by NTP ('timedatectl set-ntp true'), at whoever is wrong";
    if ours < MADE_AT {
        let when = "the clock of this host is before the day on which this program was made";
        return Finding::warn(check, when, "set the clock: 'timedatectl set-ntp true'");
    }
    let Some(theirs) = theirs else {
        let what = "it is possible; the hub does not tell its own, so nobody has compared them";
        return Finding::ok(check, what);
    };
    let difference = ours.abs_diff(theirs);
    let way = if ours > theirs { "ahead of" } else { "behind" };
    if difference <= MAX_DIFFERENCE_S {
        return match difference {
            0 | 1 => Finding::ok(check, "as the hub's"),
            _ => Finding::ok(check, format!("{} {way} the hub's", words(difference))),
        };
    }
    let what = format!(
        "the clock of this host is {} {way} the hub's: tunnels of version 1 are refused, and dates \
         in logs do not fit",
        words(difference)
    );
    Finding::warn(check, what, fix)
}

fn words(seconds: u64) -> String {
    dosp_console::units::age(seconds.saturating_mul(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn clocks_are_compared() {
        let now = MADE_AT + 1000;
        assert_eq!(judge(now, Some(now + 1)), Finding::ok(Check::Clock, "as the hub's"));
        let near = judge(now, Some(now - 300));
        assert_eq!(near, Finding::ok(Check::Clock, "5 min 0 s ahead of the hub's"));
        let far = judge(now, Some(now + 366 * 86_400));
        assert_eq!(far.verdict, Verdict::Warn);
        assert!(far.what.contains("366 d 0 h behind the hub's"), "{far:?}");
        assert_eq!(judge(now, None).verdict, Verdict::Ok);
    }

    #[test]
    fn clock_before_this_version_is_wrong_whatever_the_hub_says() {
        for theirs in [None, Some(0), Some(MADE_AT + 1)] {
            let finding = judge(MADE_AT - 1, theirs);
            assert_eq!(finding.verdict, Verdict::Warn);
            assert!(finding.what.contains("before the day"), "{finding:?}");
        }
    }
}
