//! Whether the journal reads a stream, as systemd says it in the environment.

use std::os::fd::AsFd;

use nix::sys::stat::fstat;

/// Whether `stream` is what systemd connected with the journal. A variable that was inherited from a
/// parent, whose output goes there while ours does not, says nothing.
pub(super) fn is_behind(stream: impl AsFd) -> bool {
    let Ok(variable) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(stream).is_ok_and(|stat| names(&variable, stat.st_dev, stat.st_ino))
}

/// Whether `variable`, `DEVICE:INODE` in decimal, means this file.
fn names(variable: &str, device: u64, inode: u64) -> bool {
    let parsed = variable.split_once(':').map(|(device, inode)| (device.parse(), inode.parse()));
    parsed == Some((Ok(device), Ok(inode)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_file_is_meant() {
        assert!(names("9:1234", 9, 1234));
        for other in ["9:1235", "8:1234", "9", "", ":", "9:1234:", " 9:1234", "a:b"] {
            assert!(!names(other, 9, 1234), "{other}");
        }
    }
}
