//! The TUN interface: whether there can be one, the one that is there, and its offloads.

use std::net::Ipv4Addr;
use std::path::Path;

use dosp_proto::offload::Offloads;
use dosp_proto::vip::Vip;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;

use super::agent::Agent;
use super::finding::{Check, Finding};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::tun::{LinuxTun, TunDevice};

/// What is known of the interface.
#[derive(Debug)]
pub(super) enum Interface {
    /// The running agent has it.
    Running {
        name: String,
        is_there: bool,
        /// Whether it has the agent's vIP.
        is_addressed: bool,
        /// What the agent says of its offloads.
        offload: Option<crate::control::wire::Offload>,
    },
    /// It is there, and stays: somebody made it for this user.
    MadeForUs { name: String },
    /// It is there, and may be that of an agent that is in another network or has not answered.
    Others { name: String },
    /// It is there although no agent runs.
    Foreign { name: String, is_tun: bool },
    /// One was made, and is gone again.
    Made { offloads: Offloads },
    /// None can be made.
    Refused(Failure),
}

/// Looks at the agent's interface, or makes one for a moment.
pub(super) fn look(settings: &Settings, agent: &Agent) -> Interface {
    let is_there = |name: &str| if_nametoindex(name).is_ok();
    if let Some((name, status)) =
        agent.status().and_then(|status| Some((status.tun.clone()?, status)))
    {
        let is_addressed = status.vip.is_none_or(|vip| has_address(&name, vip));
        let (is_there, offload) = (is_there(&name), status.offload.clone());
        return Interface::Running { name, is_there, is_addressed, offload };
    }
    let name = settings.tun().to_owned();
    if LinuxTun::mtu_made_for_us(&name).is_some() {
        return Interface::MadeForUs { name };
    }
    if is_there(&name) {
        if matches!(agent, Agent::Elsewhere | Agent::Unknown) {
            return Interface::Others { name };
        }
        let is_tun = Path::new("/sys/class/net").join(&name).join("tun_flags").exists();
        return Interface::Foreign { name, is_tun };
    }
    // A name of its own, so that nothing that follows the configured one takes notice.
    let probe = format!("dospdr{}", std::process::id() % 10_000_000);
    match LinuxTun::create(&probe, crate::config::DEFAULT_MTU, settings.offloads()) {
        Ok(tun) => Interface::Made { offloads: tun.offloads() },
        Err(error) => Interface::Refused(error.into()),
    }
}

fn has_address(ifname: &str, vip: Vip) -> bool {
    let Ok(all) = getifaddrs() else { return false };
    let addrs = all.filter(|one| one.interface_name == ifname).filter_map(|one| one.address);
    let mut addrs = addrs.filter_map(|addr| addr.as_sockaddr_in().map(|addr| addr.ip()));
    addrs.any(|addr: Ipv4Addr| Vip::from(addr) == vip)
}

/// Whether there is an interface, or can be one.
pub(super) fn judge_tun(interface: &Interface) -> Finding {
    let check = Check::Tun;
    let again = "'dosp-agent down', then 'dosp-agent up' again";
    match interface {
        Interface::Running { name, is_there: false, .. } => {
            let what = format!("the interface {name} of the running agent is gone");
            Finding::fail(check, Exit::Failed, what, again)
        }
        Interface::Running { name, is_addressed: false, .. } => {
            let what = format!("the interface {name} has lost the agent's address");
            let fix = format!("{again}; does NetworkManager or systemd-networkd manage {name}?");
            Finding::fail(check, Exit::Failed, what, fix)
        }
        Interface::Running { name, .. } => {
            Finding::ok(check, format!("{name} is there, with the agent's address"))
        }
        Interface::MadeForUs { name } => {
            Finding::ok(check, format!("{name} is there, made for this user"))
        }
        Interface::Others { name } => {
            let why = format!(
                "{name} is there, and may be that of an agent that is in another network, or has \
                 not answered"
            );
            Finding::skipped(check, why)
        }
        Interface::Foreign { name, is_tun: true } => Finding::warn(
            check,
            format!("the interface {name} exists already, and no agent answers here"),
            "another agent's? then name its --socket; else 'ip link delete', or another --tun",
        ),
        Interface::Foreign { name, is_tun: false } => Finding::fail(
            check,
            Exit::Usage,
            format!("the interface {name} exists already, and is no TUN"),
            "choose another name with --tun, or tun in the configuration",
        ),
        Interface::Made { .. } => Finding::ok(check, "an interface can be made"),
        Interface::Refused(failure) => {
            let finding = Finding::failure(check, failure);
            Finding { what: format!("no interface can be made: {}", finding.what), ..finding }
        }
    }
}

/// Which super-packets there are.
pub(super) fn judge_offload(interface: &Interface, wanted: bool) -> Finding {
    let check = Check::Offload;
    let (tcp, udp) = match interface {
        Interface::Running { offload: Some(offload), .. } if offload.splits => {
            let what = "the kernel refuses super-packets, so each is cut here: slower";
            return Finding::warn(check, what, "a newer kernel takes them");
        }
        Interface::Running { offload: Some(offload), .. } => (offload.tcp, offload.udp),
        Interface::Made { offloads } => (offloads.tcp, offloads.udp),
        Interface::Running { offload: None, .. } => {
            return Finding::skipped(check, "the running agent does not say");
        }
        Interface::MadeForUs { .. } | Interface::Others { .. } => {
            return Finding::skipped(check, "the agent knows once it has the interface");
        }
        Interface::Foreign { .. } | Interface::Refused(_) => {
            return Finding::skipped(check, "there is no interface to look at");
        }
    };
    match (wanted, tcp, udp) {
        (_, true, true) => Finding::ok(check, "super-packets of TCP and UDP"),
        (false, ..) => Finding::ok(check, "switched off by the configuration"),
        (true, true, false) => {
            Finding::ok(check, "super-packets of TCP; those of UDP need Linux 6.2")
        }
        (true, false, _) => Finding::warn(
            check,
            "no super-packets: each packet is cut to the MTU, which is slower",
            "was the agent started with --no-offload? else a newer kernel takes them",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::finding::Verdict;
    use super::*;
    use crate::tun::TunError;

    fn running(is_there: bool, is_addressed: bool) -> Interface {
        let offload = Some(crate::control::wire::Offload { tcp: true, udp: true, splits: false });
        Interface::Running { name: "dosp0".to_owned(), is_there, is_addressed, offload }
    }

    #[test]
    fn reasons_for_no_interface_are_told_apart() {
        let source = || io::Error::from(io::ErrorKind::PermissionDenied);
        for (error, exit, fix) in [
            (TunError::NoDriver { source: source() }, Exit::Failed, "modprobe tun"),
            (
                TunError::NoPrivilege { name: "x".to_owned(), source: source() },
                Exit::NoPrivilege,
                "CAP_NET_ADMIN",
            ),
        ] {
            let finding = judge_tun(&Interface::Refused(error.into()));
            assert_eq!(finding.verdict, Verdict::Fail(exit));
            assert!(finding.fix.as_ref().unwrap().contains(fix), "{finding:?}");
        }
        for (is_tun, verdict) in [(true, Verdict::Warn), (false, Verdict::Fail(Exit::Usage))] {
            let foreign = Interface::Foreign { name: "dosp0".to_owned(), is_tun };
            assert_eq!(judge_tun(&foreign).verdict, verdict);
            assert_eq!(judge_offload(&foreign, true).verdict, Verdict::Skipped);
        }
    }

    #[test]
    fn nobody_is_told_to_delete_what_may_be_in_use() {
        // The one interface that every host has.
        let settings = Settings { tun: Some("lo".to_owned()), ..Settings::default() };
        for agent in [Agent::Elsewhere, Agent::Unknown] {
            let finding = judge_tun(&look(&settings, &agent));
            assert_eq!((finding.verdict, finding.fix), (Verdict::Skipped, None));
        }
        let foreign = look(&settings, &Agent::Absent);
        assert_eq!(judge_tun(&foreign).verdict, Verdict::Fail(Exit::Usage));
        let made = Interface::MadeForUs { name: "dosp0".to_owned() };
        assert_eq!(judge_tun(&made).verdict, Verdict::Ok);
    }

    #[test]
    fn interface_of_the_running_agent_may_have_suffered() {
        assert_eq!(judge_tun(&running(true, true)).verdict, Verdict::Ok);
        for (is_there, is_addressed, word) in [(false, false, "gone"), (true, false, "address")] {
            let finding = judge_tun(&running(is_there, is_addressed));
            assert_eq!(finding.verdict, Verdict::Fail(Exit::Failed));
            assert!(finding.what.contains(word), "{finding:?}");
        }
    }

    #[test]
    fn offloads_are_judged_by_what_was_wanted() {
        let made = |tcp, udp, wanted| {
            judge_offload(&Interface::Made { offloads: Offloads { tcp, udp } }, wanted).verdict
        };
        assert_eq!(made(true, true, true), Verdict::Ok);
        assert_eq!(made(true, false, true), Verdict::Ok);
        assert_eq!(made(false, false, false), Verdict::Ok);
        assert_eq!(made(false, false, true), Verdict::Warn);
        assert_eq!(judge_offload(&running(true, true), true).verdict, Verdict::Ok);
    }
}
