//! From the hub's names to connections: DNS and TCP.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::finding::{Check, Finding};
use crate::failure::Exit;
use crate::link::dial::RESOLVE_TIMEOUT;
use crate::link::{DialError, HubAddr, dial};

/// What the resolver says of one name of the hub.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) hub: HubAddr,
    pub(super) took: Duration,
    pub(super) addrs: io::Result<Vec<SocketAddr>>,
}

/// Looks all names up, at the same time.
pub(super) async fn resolve(hubs: &[HubAddr]) -> Vec<Resolved> {
    let tasks: Vec<_> = hubs.iter().cloned().map(|hub| tokio::spawn(resolve_one(hub))).collect();
    let mut all = Vec::with_capacity(tasks.len());
    for task in tasks {
        all.extend(task.await);
    }
    all
}

async fn resolve_one(hub: HubAddr) -> Resolved {
    let started_at = Instant::now();
    let found = timeout(RESOLVE_TIMEOUT, lookup_host((hub.host(), hub.port()))).await;
    let addrs = found.map_err(io::Error::from).flatten().map(|addrs| addrs.collect::<Vec<_>>());
    Resolved { took: started_at.elapsed(), addrs, hub }
}

/// One name that resolves is enough to work, and all of them are to.
pub(super) fn judge_dns(all: &[Resolved]) -> Finding {
    let is_found = |one: &Resolved| one.addrs.as_ref().is_ok_and(|addrs| !addrs.is_empty());
    let words = all.iter().map(dns_words).collect::<Vec<_>>().join("; ");
    let fix = "check the name; can this host reach its name server ('getent hosts NAME', \
               /etc/resolv.conf)?";
    match all.iter().filter(|one| is_found(one)).count() {
        0 => Finding::fail(Check::Dns, Exit::NotReachable, words, fix),
        found if found < all.len() => Finding::warn(Check::Dns, words, fix),
        _ => Finding::ok(Check::Dns, words),
    }
}

fn dns_words(one: &Resolved) -> String {
    let host = one.hub.host();
    match &one.addrs {
        Ok(addrs) if addrs.is_empty() => format!("{host} has no address"),
        Ok(addrs) => {
            let addrs = addrs.iter().map(|addr| addr.ip().to_string()).collect::<Vec<_>>();
            if addrs == [host] {
                format!("{host} is an address")
            } else {
                format!("{host} is {} ({})", addrs.join(", "), millis(one.took))
            }
        }
        Err(error) => format!("{host} does not resolve: {error}"),
    }
}

/// What became of a connection.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) addr: SocketAddr,
    pub(super) took: Duration,
    pub(super) failed: Option<DialError>,
}

/// Connects to all addresses, at the same time; the first that answers, in their order, is kept.
pub(super) async fn connect(all: &[Resolved]) -> (Vec<Attempt>, Option<TcpStream>) {
    let addrs = all.iter().filter_map(|one| one.addrs.as_ref().ok()).flatten();
    let tasks: Vec<_> = addrs.map(|addr| tokio::spawn(connect_one(*addr))).collect();
    let (mut attempts, mut kept) = (Vec::with_capacity(tasks.len()), None);
    for task in tasks {
        let Ok((attempt, stream)) = task.await else { continue };
        attempts.push(attempt);
        kept = kept.or(stream);
    }
    (attempts, kept)
}

async fn connect_one(addr: SocketAddr) -> (Attempt, Option<TcpStream>) {
    let started_at = Instant::now();
    // An address is a hub, too.
    let dialled = match addr.to_string().parse() {
        Ok(hub) => dial(&hub).await,
        Err(error) => {
            let source = io::Error::new(io::ErrorKind::InvalidInput, error);
            Err(DialError::Connect { addr, source })
        }
    };
    let took = started_at.elapsed();
    match dialled {
        Ok(stream) => (Attempt { addr, took, failed: None }, Some(stream)),
        Err(error) => (Attempt { addr, took, failed: Some(error) }, None),
    }
}

/// One address that answers is enough to work.
pub(super) fn judge_tcp(attempts: &[Attempt]) -> Finding {
    let words = attempts.iter().map(tcp_words).collect::<Vec<_>>().join("; ");
    let failed = attempts.iter().filter_map(|attempt| attempt.failed.as_ref());
    // What says most of the hub, and least of one address family alone.
    let Some(worst) = failed.max_by_key(|error| weight(error)) else {
        return Finding::ok(Check::Tcp, words);
    };
    let fix = worst.hint();
    if attempts.iter().any(|attempt| attempt.failed.is_none()) {
        // A host without IPv6 at a hub that has it is as it should be.
        return match worst {
            DialError::Unreachable { .. } => Finding::ok(Check::Tcp, words),
            _ => Finding::warn(Check::Tcp, words, fix),
        };
    }
    Finding::fail(Check::Tcp, Exit::NotReachable, words, fix)
}

const fn weight(error: &DialError) -> u8 {
    match error {
        DialError::Refused { .. } => 3,
        DialError::TimedOut { .. } => 2,
        DialError::Unreachable { .. } => 0,
        _ => 1,
    }
}

fn tcp_words(attempt: &Attempt) -> String {
    let Attempt { addr, took, failed } = attempt;
    match failed {
        None => format!("{addr} answers in {}", millis(*took)),
        Some(DialError::Refused { .. }) => format!("{addr} refuses connections"),
        Some(DialError::TimedOut { .. }) => format!("{addr} does not answer"),
        Some(DialError::Unreachable { .. }) => format!("no route leads to {addr}"),
        Some(other) => match std::error::Error::source(other) {
            Some(source) => format!("{addr}: {source}"),
            None => format!("{addr}: {other}"),
        },
    }
}

pub(super) fn millis(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn resolved(host: &str, addrs: io::Result<Vec<&str>>) -> Resolved {
        let parse = |addrs: Vec<&str>| addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        let took = Duration::from_millis(3);
        Resolved { hub: host.parse().unwrap(), took, addrs: addrs.map(parse) }
    }

    fn attempt(addr: &str, failed: Option<fn(SocketAddr, io::Error) -> DialError>) -> Attempt {
        let addr = addr.parse().unwrap();
        let failed = failed.map(|failed| failed(addr, io::ErrorKind::Other.into()));
        Attempt { addr, took: Duration::from_micros(1500), failed }
    }

    const REFUSED: fn(SocketAddr, io::Error) -> DialError =
        |addr, source| DialError::Refused { addr, source };
    const SILENT: fn(SocketAddr, io::Error) -> DialError =
        |addr, source| DialError::TimedOut { addr, source };
    const NO_ROUTE: fn(SocketAddr, io::Error) -> DialError =
        |addr, source| DialError::Unreachable { addr, source };

    #[test]
    fn names_are_judged_together() {
        let good = || resolved("hub.example", Ok(vec!["192.0.2.1:7744", "[2001:db8::1]:7744"]));
        let bad = || resolved("gone.example", Err(io::ErrorKind::NotFound.into()));
        let found = judge_dns(&[good()]);
        assert_eq!(
            found,
            Finding::ok(Check::Dns, "hub.example is 192.0.2.1, 2001:db8::1 (3.0 ms)")
        );
        assert_eq!(judge_dns(&[good(), bad()]).verdict, Verdict::Warn);
        let failed = judge_dns(&[bad()]);
        assert_eq!(failed.verdict, Verdict::Fail(Exit::NotReachable));
        assert!(failed.what.starts_with("gone.example does not resolve: "), "{failed:?}");
        let plain = judge_dns(&[resolved("192.0.2.1", Ok(vec!["192.0.2.1:7744"]))]);
        assert_eq!(plain, Finding::ok(Check::Dns, "192.0.2.1 is an address"));
        let empty = judge_dns(&[resolved("hub.example", Ok(vec![]))]);
        assert_eq!(empty.verdict, Verdict::Fail(Exit::NotReachable));
    }

    #[test]
    fn ways_to_fail_are_told_apart() {
        for (failed, words, fix) in [
            (REFUSED, "refuses connections", "is the hub running"),
            (SILENT, "does not answer", "firewall"),
            (NO_ROUTE, "no route leads to", "routes"),
        ] {
            let finding = judge_tcp(&[attempt("192.0.2.1:7744", Some(failed))]);
            assert_eq!(finding.verdict, Verdict::Fail(Exit::NotReachable));
            assert!(finding.what.contains(words), "{finding:?}");
            assert!(finding.fix.as_ref().unwrap().contains(fix), "{finding:?}");
        }
    }

    #[test]
    fn one_address_that_answers_is_enough() {
        let good = || attempt("192.0.2.1:7744", None);
        let found = judge_tcp(&[good()]);
        assert_eq!(found, Finding::ok(Check::Tcp, "192.0.2.1:7744 answers in 1.5 ms"));
        let other = |failed| judge_tcp(&[good(), attempt("[2001:db8::1]:7744", Some(failed))]);
        assert_eq!(other(NO_ROUTE).verdict, Verdict::Ok);
        assert_eq!(other(REFUSED).verdict, Verdict::Warn);
        let both = [NO_ROUTE, SILENT].map(|failed| attempt("192.0.2.1:7744", Some(failed)));
        assert!(judge_tcp(&both).fix.unwrap().contains("firewall"), "the more telling one");
    }
}
