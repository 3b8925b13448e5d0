//! The way to the hub, step by step: name, connection, greeting, join.

use std::net::SocketAddr;

use super::Progress;
use super::agent::Agent;
use super::dial::{self, Resolved};
use super::entry::{self, Applicant, Entry, EntryError};
use super::finding::{Check, Finding};
use super::greeting::{self, Greeted};
use super::mtu::{self, Large};
use crate::clock;
use crate::cmd::network::Network;
use crate::config::Settings;
use crate::failure::Failure;
use crate::link::JoinError;

/// What may become of a join key that no hub has taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKey {
    /// The join that is tried uses it up.
    Spend,
    /// There is no join as long as it is there.
    Keep,
}

/// What was seen on the way.
#[derive(Debug)]
pub(super) struct HubSide {
    pub(super) findings: Vec<Finding>,
    /// The address that answered.
    pub(super) addr: Option<SocketAddr>,
    /// The path's MTU and the length of a segment.
    pub(super) lengths: (Option<u32>, Option<u32>),
    /// Whether long frames pass.
    pub(super) large: Large,
    /// This host's clock and the hub's at the same moment, in Unix seconds.
    pub(super) clocks: Option<(u64, u64)>,
    /// The place that this host had for a moment.
    pub(super) entry: Option<Entry>,
}

/// Goes as far as it leads. Where an agent runs, it is asked how the join went.
pub(super) async fn look(
    network: Option<&Network>,
    settings: &Settings,
    agent: &Agent,
    join_key: JoinKey,
    progress: &Progress,
) -> HubSide {
    let (findings, lengths, large) = (Vec::new(), (None, None), Large::Unknown);
    let mut side = HubSide { findings, addr: None, lengths, large, clocks: None, entry: None };
    let greeted = match network {
        None => {
            side.skip(&[Check::Dns, Check::Tcp, Check::Protocol], "no hub is known");
            None
        }
        Some(network) => reach(network, progress, &mut side).await,
    };
    let (Some(network), Some(greeted)) = (network, greeted) else {
        match agent.status() {
            Some(status) => side.findings.push(entry::judge_agent(status)),
            None => side.skip(&[Check::Join], "the hub is not reached"),
        }
        return side;
    };
    match agent {
        Agent::Here(status) => {
            side.findings.push(entry::judge_agent(status));
            greeting::leave(greeted.stream).await;
        }
        Agent::Unknown => {
            side.skip(&[Check::Join], "an agent that has not answered may have this host's place");
            greeting::leave(greeted.stream).await;
        }
        Agent::Elsewhere | Agent::Absent if join_key == JoinKey::Keep && network.has_join_key() => {
            let why = "a join would use up the join string: 'dosp-agent up' or 'dosp-agent doctor' \
                       makes one";
            side.skip(&[Check::Join], why);
            greeting::leave(greeted.stream).await;
        }
        Agent::Elsewhere | Agent::Absent => {
            progress.say("the join");
            join(network, settings, greeted, &mut side).await;
        }
    }
    side
}

impl HubSide {
    fn skip(&mut self, checks: &[Check], why: &str) {
        self.findings.extend(checks.iter().map(|check| Finding::skipped(*check, why)));
    }
}

async fn reach(network: &Network, progress: &Progress, side: &mut HubSide) -> Option<Greeted> {
    progress.say("the hub's name");
    let resolved = dial::resolve(&network.hubs).await;
    side.findings.push(dial::judge_dns(&resolved));
    let has_address = |one: &Resolved| one.addrs.as_ref().is_ok_and(|addrs| !addrs.is_empty());
    if !resolved.iter().any(has_address) {
        side.skip(&[Check::Tcp, Check::Protocol], "no address of the hub is known");
        return None;
    }
    progress.say("the connection to the hub");
    let (attempts, stream) = dial::connect(&resolved).await;
    side.findings.push(dial::judge_tcp(&attempts));
    let Some(stream) = stream else {
        side.skip(&[Check::Protocol], "no address of the hub answers");
        return None;
    };
    side.addr = stream.peer_addr().ok();
    progress.say("the hub's greeting");
    match greeting::greet(stream).await {
        Ok(greeted) => {
            side.lengths = mtu::of_path(&greeted.stream);
            side.findings.push(greeting::judge(Ok(greeted.hub)));
            Some(greeted)
        }
        Err(stranger) => {
            side.findings.push(greeting::judge(Err(&stranger)));
            None
        }
    }
}

async fn join(network: &Network, settings: &Settings, greeted: Greeted, side: &mut HubSide) {
    let applicant = match Applicant::of(network, settings) {
        Ok(applicant) => applicant,
        Err(failure) => return side.findings.push(entry::judge(Err(failure))),
    };
    match entry::enter(greeted, applicant).await {
        Ok(entry) => {
            side.findings.push(entry::judge(Ok(&entry)));
            (side.large, side.clocks) = (entry.large, entry.clocks);
            side.entry = Some(entry);
        }
        Err(error) => {
            if let EntryError::Join(JoinError::NotAdmitted(refused)) = &error {
                let known = Some(refused.time).filter(|time| *time > 0);
                side.clocks = known.map(|theirs| (clock::now().unix_time, theirs));
            }
            side.findings.push(entry::judge(Err(Failure::from(error))));
        }
    }
}
