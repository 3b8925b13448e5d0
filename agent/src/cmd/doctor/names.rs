//! Whether programs of this host find members by their names.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dosp_proto::vip::Vip;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::agent::Agent;
use super::finding::{Check, Finding};
use crate::control::wire::Status;
use crate::failure::Exit;
use crate::hosts::{HostsFile, without_block};

/// Which sources of names programs ask (nsswitch.conf(5)).
const NSSWITCH: &str = "/etc/nsswitch.conf";
/// What is in a file takes no time, and a name server must not keep the other checks.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What is known of names.
#[derive(Debug)]
pub(super) struct Names {
    /// Whether the configuration wants any.
    pub(super) wanted: bool,
    /// Whose the names are: `None` where they may be those of an agent that has not said.
    pub(super) is_running: Option<bool>,
    /// Under which interface.
    pub(super) tun: String,
    /// Whether the file has the agent's block; what the system said where it cannot be read.
    pub(super) has_block: io::Result<bool>,
    /// The words behind `hosts:` in nsswitch.conf, where there are any.
    pub(super) sources: Option<String>,
    /// A member, and what it resolves to.
    pub(super) member: Option<(String, Vip, io::Result<Vec<IpAddr>>)>,
}

pub(super) async fn look(wanted: bool, tun: &str, agent: &Agent) -> Names {
    let status = agent.status();
    let tun = status.and_then(|status| status.tun.clone()).unwrap_or_else(|| tun.to_owned());
    let text = std::fs::read(HostsFile::default().path());
    let has_block = text.map(|text| without_block(&text, &tun) != text);
    let nsswitch = std::fs::read_to_string(NSSWITCH).unwrap_or_default();
    let member = match status.and_then(some_member) {
        Some((name, vip)) => {
            let found = resolve(&name).await;
            Some((name, vip, found))
        }
        None => None,
    };
    let is_running = match agent {
        Agent::Here(_) => Some(true),
        Agent::Absent => Some(false),
        Agent::Elsewhere | Agent::Unknown => None,
    };
    Names { wanted, is_running, tun, has_block, sources: hosts_sources(&nsswitch), member }
}

/// Another member with a name, as programs write it.
fn some_member(status: &Status) -> Option<(String, Vip)> {
    let mut nodes = status.nodes.iter().flatten().filter(|node| Some(node.vip) != status.vip);
    nodes.find_map(|node| Some((format!("{}.dosp", node.name.as_ref()?), node.vip)))
}

async fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    let found = timeout(RESOLVE_TIMEOUT, lookup_host((name, 0))).await??;
    Ok(found.map(|addr: SocketAddr| addr.ip()).collect())
}

fn hosts_sources(nsswitch: &str) -> Option<String> {
    let lines = nsswitch.lines().filter_map(|line| line.split('#').next());
    let mut lines = lines.filter_map(|line| line.trim().strip_prefix("hosts:"));
    lines.next().map(|sources| sources.trim().to_owned())
}

/// Whether anything of `sources` reads /etc/hosts: systemd-resolved does by itself.
fn reads_hosts(sources: &str) -> bool {
    sources.split_whitespace().any(|word| matches!(word, "files" | "resolve"))
}

pub(super) fn judge(names: &Names) -> Finding {
    let check = Check::Names;
    let Names { wanted, is_running, tun, has_block, sources, member } = names;
    if let Some(sources) = sources.as_ref().filter(|sources| *wanted && !reads_hosts(sources)) {
        let what = format!("programs do not read /etc/hosts: {NSSWITCH} has 'hosts: {sources}'");
        let fix = format!("write 'hosts: files {sources}' in {NSSWITCH}");
        return Finding::fail(check, Exit::Failed, what, fix);
    }
    let has_block = match has_block {
        Ok(has_block) => *has_block,
        Err(error) => {
            let what = format!("/etc/hosts cannot be read: {error}");
            return Finding::warn(check, what, "chmod 644 /etc/hosts");
        }
    };
    match (is_running, has_block) {
        (None, _) => {
            let why = "the names here may be those of an agent that is in another network, or \
                       has not answered";
            return Finding::skipped(check, why);
        }
        (Some(false), true) => {
            let what = format!("/etc/hosts has names of an agent on {tun}, and none answers here");
            let fix = "'dosp-agent down' removes what a killed agent left";
            return Finding::warn(check, what, fix);
        }
        (Some(false), false) => return Finding::skipped(check, "no agent runs"),
        _ if !wanted => return Finding::skipped(check, "hosts = false: peers have no names here"),
        (Some(true), _) => {}
    }
    let Some((name, vip, found)) = member else {
        return Finding::skipped(check, "no other member has a name");
    };
    if !has_block {
        let what = format!("/etc/hosts has no names of the agent on {tun}");
        let fix = "was it started with --no-hosts? else something has rewritten the file \
                   (cloud-init, a container): 'dosp-agent down' and 'up' write them again";
        return Finding::warn(check, what, fix);
    }
    judge_member(name, *vip, found)
}

/// Whether programs find a member where the agent does.
fn judge_member(name: &str, vip: Vip, found: &io::Result<Vec<IpAddr>>) -> Finding {
    let check = Check::Names;
    match found {
        Ok(addrs) if addrs.contains(&IpAddr::V4(vip.addr())) => {
            Finding::ok(check, format!("{name} is {vip}"))
        }
        Ok(addrs) => {
            let addrs = addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{name} is {addrs} for programs, and {vip} for the agent");
            let fix = "is there another line with that name in /etc/hosts? a cache of names \
                       ('nscd -i hosts', 'resolvectl flush-caches')?";
            Finding::warn(check, what, fix)
        }
        Err(error) => {
            let what = format!("{name} stands in /etc/hosts and does not resolve: {error}");
            let fix =
                format!("is 'files' in the line 'hosts:' of {NSSWITCH}, before what ends it?");
            Finding::fail(check, Exit::Failed, what, fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn names() -> Names {
        let vip: Vip = "10.77.0.2".parse().unwrap();
        let member = Some(("bob.dosp".to_owned(), vip, Ok(vec![IpAddr::V4(vip.addr())])));
        let (tun, sources) = ("dosp0".to_owned(), Some("files dns".to_owned()));
        Names { wanted: true, is_running: Some(true), tun, has_block: Ok(true), sources, member }
    }

    #[test]
    fn names_that_resolve_are_fine() {
        assert_eq!(judge(&names()), Finding::ok(Check::Names, "bob.dosp is 10.77.0.2"));
        for sources in [None, Some("mymachines resolve [!UNAVAIL=return] dns".to_owned())] {
            assert_eq!(judge(&Names { sources, ..names() }).verdict, Verdict::Ok);
        }
    }

    #[test]
    fn what_keeps_names_from_programs_is_told() {
        let wrong = |names: Names, verdict, words: &str| {
            let finding = judge(&names);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            let all = format!("{}; {}", finding.what, finding.fix.unwrap_or_default());
            assert!(all.contains(words), "{all}");
        };
        let failed = Verdict::Fail(Exit::Failed);
        let sources = Some("dns".to_owned());
        wrong(Names { sources, ..names() }, failed, "hosts: files dns");
        wrong(Names { has_block: Ok(false), ..names() }, Verdict::Warn, "--no-hosts");
        wrong(Names { is_running: Some(false), ..names() }, Verdict::Warn, "dosp-agent down");
        let denied = Err(io::ErrorKind::PermissionDenied.into());
        wrong(Names { has_block: denied, ..names() }, Verdict::Warn, "chmod 644");
        let mut member = names().member.unwrap();
        member.2 = Err(io::ErrorKind::NotFound.into());
        wrong(Names { member: Some(member), ..names() }, failed, "does not resolve");
        let mut member = names().member.unwrap();
        member.2 = Ok(vec!["192.0.2.1".parse().unwrap()]);
        wrong(Names { member: Some(member), ..names() }, Verdict::Warn, "192.0.2.1 for programs");
    }

    #[test]
    fn where_there_are_no_names_nothing_is_said() {
        for names in [
            Names { is_running: Some(false), has_block: Ok(false), ..names() },
            Names { is_running: None, ..names() },
            Names { wanted: false, ..names() },
            Names { member: None, has_block: Ok(false), ..names() },
        ] {
            assert_eq!(judge(&names).verdict, Verdict::Skipped);
        }
    }

    #[test]
    fn sources_are_read_as_the_resolver_reads_them() {
        let text = "# hosts: no\npasswd: files\nhosts:  dns files # here\n";
        assert_eq!(hosts_sources(text).as_deref(), Some("dns files"));
        assert_eq!(hosts_sources("passwd: files\n"), None);
        assert!(reads_hosts("dns files") && reads_hosts("resolve dns") && !reads_hosts("dns"));
    }
}
