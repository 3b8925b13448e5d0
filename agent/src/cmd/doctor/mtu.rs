//! How long packets may be: on the path to the hub, and in the interface.

use nix::sys::socket::{getsockopt, sockopt};
use socket2::SockRef;
use tokio::net::TcpStream;

use super::finding::{Check, Finding};
use crate::failure::Exit;

/// What every IPv6 path takes (RFC 8200, § 5). A path that takes less is a tunnel in a tunnel, or wrong.
const COMMON_MTU: u32 = 1280;

/// What became of a frame that is longer than a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Large {
    /// It went to the hub and came back.
    Passes,
    /// The hub's kernel never acknowledged it.
    NotThere,
    /// It got there, and nothing came back.
    NotBack,
    /// It was not tried, or the connection ended.
    Unknown,
}

/// What is known of lengths, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths {
    /// What the kernel knows of the path to the hub.
    pub(super) path: Option<u32>,
    /// What a segment to the hub carries.
    pub(super) segment: Option<u32>,
    pub(super) large: Large,
    /// The MTU of the interface, and what the running agent set.
    pub(super) tun: Option<(u32, u32)>,
}

/// The path's MTU and the length of a segment, by the kernel.
pub(super) fn of_path(stream: &TcpStream) -> (Option<u32>, Option<u32>) {
    let path = getsockopt(stream, sockopt::IpMtu).ok().and_then(|mtu| u32::try_from(mtu).ok());
    (path, SockRef::from(stream).tcp_mss().ok())
}

/// The MTU that the interface `ifname` has.
pub(super) fn of_interface(ifname: &str) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/sys/class/net/{ifname}/mtu")).ok()?;
    text.trim().parse().ok()
}

pub(super) fn judge(lengths: Lengths) -> Finding {
    let check = Check::Mtu;
    let Lengths { path, segment, large, tun } = lengths;
    let mut words = Vec::new();
    words.extend(path.map(|mtu| format!("the path to the hub takes packets of {mtu} bytes")));
    words.extend(segment.map(|len| format!("segments of {len}")));
    words.extend(tun.map(|(mtu, _)| format!("the interface {mtu}")));
    let known = words.join(", ");
    let black_hole = |way: &str| {
        let what = format!("long packets {way} are lost without a word ({known})");
        let fix = "a router in between drops them: let ICMP 'fragmentation needed' pass, or 'sysctl -w \
                   net.ipv4.tcp_mtu_probing=1' at both ends, or a lower MTU on the interface that \
                   leads to the hub";
        Finding::fail(check, Exit::Failed, what, fix)
    };
    match (large, path, tun) {
        (Large::NotThere, ..) => return black_hole("to the hub"),
        (Large::NotBack, ..) => return black_hole("from the hub"),
        (_, Some(mtu), _) if mtu < COMMON_MTU => {
            let what = format!("{known}: less than any IPv6 path, so all is cut small");
            let fix = "does the way to the hub lead through another tunnel? raise the MTU of the \
                       interface that leads there ('ip route get HUB', 'ip link')";
            return Finding::warn(check, what, fix);
        }
        (_, _, Some((is, was))) if is != was => {
            let what = format!("the interface has an MTU of {is}, and the agent gave it {was}");
            let fix = "somebody has changed it: set mtu in the agent's configuration instead, and \
                       start the agent again";
            return Finding::warn(check, what, fix);
        }
        _ => {}
    }
    match (large, words.is_empty()) {
        (_, true) => Finding::skipped(check, "there is no connection to the hub"),
        (Large::Passes, _) => Finding::ok(check, format!("{known}; long frames pass both ways")),
        _ => Finding::ok(check, known),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    const GOOD: Lengths =
        Lengths { path: Some(1500), segment: Some(1448), large: Large::Passes, tun: None };

    #[test]
    fn common_paths_are_fine() {
        let what = "the path to the hub takes packets of 1500 bytes, segments of 1448; long frames \
                    pass both ways";
        assert_eq!(judge(GOOD), Finding::ok(Check::Mtu, what));
        for path in [Some(1280), Some(1420), Some(65_535), None] {
            assert_eq!(judge(Lengths { path, ..GOOD }).verdict, Verdict::Ok);
        }
        let nothing = Lengths { path: None, segment: None, large: Large::Unknown, tun: None };
        assert_eq!(judge(nothing).verdict, Verdict::Skipped);
    }

    #[test]
    fn black_holes_narrow_paths_and_changed_interfaces_are_named() {
        for (large, words) in [(Large::NotThere, "to the hub"), (Large::NotBack, "from the hub")] {
            let finding = judge(Lengths { large, ..GOOD });
            assert_eq!(finding.verdict, Verdict::Fail(Exit::Failed));
            assert!(finding.what.contains(words), "{finding:?}");
            assert!(finding.fix.as_ref().unwrap().contains("tcp_mtu_probing"), "{finding:?}");
        }
        let narrow = judge(Lengths { path: Some(1279), ..GOOD });
        assert_eq!(narrow.verdict, Verdict::Warn);
        let changed = judge(Lengths { tun: Some((1500, 1420)), ..GOOD });
        assert_eq!(changed.verdict, Verdict::Warn);
        assert_eq!(judge(Lengths { tun: Some((1420, 1420)), ..GOOD }).verdict, Verdict::Ok);
    }
}
