//! Which congestion controls the connection to the hub may use.

use std::time::Instant;

use dosp_transport::congestion::{Algorithm, Congestion};
use dosp_transport::governor::{Governor, RefusedError};
use tokio::net::TcpSocket;

use super::finding::{Check, Finding};
use crate::control::wire::Status;

/// What became of one that was tried on a socket.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) algorithm: Algorithm,
    /// Why it cannot be used, and what to do.
    pub(super) refused: Option<(String, String)>,
}

/// Tries those that `wanted` may come to.
pub(super) fn look(wanted: Congestion) -> Vec<Tried> {
    let algorithms: &[Algorithm] = match wanted {
        Congestion::Auto => &[Algorithm::Cubic, Algorithm::Bbr],
        Congestion::Cubic => &[Algorithm::Cubic],
        Congestion::Bbr => &[Algorithm::Bbr],
        Congestion::Kernel => &[],
    };
    algorithms.iter().filter_map(|algorithm| attempt(*algorithm)).collect()
}

/// `None` where there is not even a socket.
fn attempt(algorithm: Algorithm) -> Option<Tried> {
    let socket = TcpSocket::new_v4().ok()?;
    let wanted = match algorithm {
        Algorithm::Cubic => Congestion::Cubic,
        Algorithm::Bbr => Congestion::Bbr,
    };
    let change = Governor::new(wanted).tick(&socket, Instant::now());
    let refused = change.and_then(|change| change.refused);
    Some(Tried { algorithm, refused: refused.as_ref().map(in_words) })
}

fn in_words(refused: &RefusedError) -> (String, String) {
    let why = std::error::Error::source(refused).map(ToString::to_string).unwrap_or_default();
    (why, refused.hint())
}

/// The running agent has tried before, maybe with other rights than ours.
pub(super) fn judge(wanted: Congestion, tried: &[Tried], status: Option<&Status>) -> Finding {
    let check = Check::Congestion;
    let hint = |tried: &Tried| tried.refused.as_ref().map(|(_, fix)| fix.clone());
    if let Some(link) = status.and_then(|status| status.link.as_ref()) {
        let Some(refused) = &link.refused else {
            return Finding::ok(check, format!("the link uses {}", link.congestion));
        };
        let what = format!("the link keeps {} and cannot use {refused}", link.congestion);
        let fix = tried.iter().find_map(hint).unwrap_or_else(|| {
            "add it to 'sysctl net.ipv4.tcp_allowed_congestion_control', or 'modprobe tcp_bbr'"
                .to_owned()
        });
        return Finding::warn(check, what, fix);
    }
    let refused = tried.iter().find_map(|tried| Some((tried.algorithm, tried.refused.as_ref()?)));
    if let Some((algorithm, (why, fix))) = refused {
        let what = format!("{} cannot be used: {why}; {wanted} is set", algorithm.name());
        return Finding::warn(check, what, fix.clone());
    }
    let names = tried.iter().map(|tried| tried.algorithm.name()).collect::<Vec<_>>().join(", ");
    if tried.is_empty() {
        return Finding::ok(check, "left to the kernel");
    }
    Finding::ok(check, format!("{names} can be used; {wanted} is set"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn what_cannot_be_used_is_told_with_the_fix() {
        let good = || Tried { algorithm: Algorithm::Cubic, refused: None };
        let refused = Some(("not permitted".to_owned(), "sysctl …".to_owned()));
        let bad = || Tried { algorithm: Algorithm::Bbr, refused: refused.clone() };
        let fine = judge(Congestion::Auto, &[good()], None);
        assert_eq!(fine, Finding::ok(Check::Congestion, "cubic can be used; auto is set"));
        let finding = judge(Congestion::Auto, &[good(), bad()], None);
        let what = "bbr cannot be used: not permitted; auto is set";
        assert_eq!(finding, Finding::warn(Check::Congestion, what, "sysctl …"));
        assert_eq!(judge(Congestion::Kernel, &[], None).what, "left to the kernel");
    }

    #[test]
    fn running_agent_knows_better() {
        let golden = include_str!("../status/golden.json");
        let mut status: Status = serde_json::from_str(golden).unwrap();
        let finding = judge(Congestion::Auto, &[], Some(&status));
        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(finding.what.contains("cannot use bbr: Operation not permitted"), "{finding:?}");
        status.link.as_mut().unwrap().refused = None;
        let fine = judge(Congestion::Auto, &[], Some(&status));
        assert_eq!(fine, Finding::ok(Check::Congestion, "the link uses cubic"));
    }
}
