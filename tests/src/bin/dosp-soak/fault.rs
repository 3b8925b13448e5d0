//! What happens to a network.

use anyhow::Result;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::site::{MORTAL, Site};

/// The host that the faults of one host hit: one that carries traffic both ways.
const HIT: usize = 2;

/// One kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9, and back.
    HubKilled,
    /// SIGTERM, and back.
    HubStopped,
    AgentKilled,
    /// SIGSTOP, and on.
    AgentHalted,
    /// Nothing gets through, and nobody says so.
    HubCutOff,
    /// One packet of ten is lost, to and from one host.
    Loss,
    /// The interface of one host goes down.
    LinkDown,
    /// One host gets another address.
    AddressChanged,
    /// The hub ends a member's session.
    Kicked,
    /// Others connect to the hub, and send what is no DoSP, or nothing.
    Strangers,
    /// None, for comparison.
    Calm,
}

const RESTARTS: [Fault; 2] = [Fault::HubKilled, Fault::HubStopped];
const OTHERS: [Fault; 9] = [
    Fault::AgentKilled,
    Fault::AgentHalted,
    Fault::HubCutOff,
    Fault::Loss,
    Fault::LinkDown,
    Fault::AddressChanged,
    Fault::Kicked,
    Fault::Strangers,
    Fault::Calm,
];

impl Fault {
    /// One by chance.
    pub(crate) fn any(may_restart: bool, rng: &mut StdRng) -> Self {
        let restarts = if may_restart { &RESTARTS[..] } else { &[] };
        let kinds = [restarts, &OTHERS].concat();
        kinds.choose(rng).copied().unwrap_or(Self::Calm)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::HubKilled => "hub killed",
            Self::HubStopped => "hub stopped",
            Self::AgentKilled => "agent killed",
            Self::AgentHalted => "agent halted",
            Self::HubCutOff => "hub cut off",
            Self::Loss => "loss",
            Self::LinkDown => "link down",
            Self::AddressChanged => "address changed",
            Self::Kicked => "kicked",
            Self::Strangers => "strangers",
            Self::Calm => "calm",
        }
    }

    pub(crate) fn begin(self, site: &mut Site) -> Result<()> {
        match self {
            Self::HubKilled => site.hub.kill(),
            Self::HubStopped => site.hub.terminate(),
            Self::AgentKilled => site.agents[MORTAL].process().kill(),
            Self::AgentHalted => site.agents[HIT].process().signal(Signal::SIGSTOP),
            Self::HubCutOff => site.hub.cut(),
            Self::Loss => run(site, &loss()),
            Self::LinkDown => run(site, "ip link set up0 down"),
            Self::AddressChanged => run(site, &readdress(site, 2, 9)),
            Self::Kicked => site.hub.ask("nodes", &["kick", "host2"])?.ok().map(drop),
            Self::Strangers => run(site, &strangers(site)),
            Self::Calm => Ok(()),
        }
    }

    pub(crate) fn end(self, site: &mut Site) -> Result<()> {
        match self {
            Self::HubKilled | Self::HubStopped => site.hub.start_again(),
            Self::AgentKilled => site.revive(),
            Self::AgentHalted => site.agents[HIT].process().signal(Signal::SIGCONT),
            Self::HubCutOff => site.hub.mend(),
            Self::Loss => run(site, "nft delete table inet loss"),
            Self::LinkDown => {
                let gateway = &site.net.hosts[HIT].hub_address;
                run(site, &format!("ip link set up0 up && ip route add default via {gateway}"))
            }
            Self::AddressChanged => run(site, &readdress(site, 9, 2)),
            Self::Kicked | Self::Strangers | Self::Calm => Ok(()),
        }
    }
}

fn run(site: &Site, script: &str) -> Result<()> {
    site.net.hosts[HIT].ns.sh(script)?.ok()?;
    Ok(())
}

/// Loss to and from one host, of what belongs to the connection with the hub.
fn loss() -> String {
    let chain = |hook: &str, port: &str| {
        format!(
            "chain {hook} {{ type filter hook {hook} priority 0; \
             tcp {port} 7744 numgen random mod 10 == 0 drop; }};"
        )
    };
    format!("nft 'table inet loss {{ {} {} }}'", chain("input", "sport"), chain("output", "dport"))
}

/// Gives the host another address in place of the one that it has.
fn readdress(site: &Site, from: u8, to: u8) -> String {
    let gateway = &site.net.hosts[HIT].hub_address;
    let address = |last: u8| format!("198.18.{HIT}.{last}/24 dev up0");
    format!(
        "ip addr del {} && ip addr add {} && ip route replace default via {gateway}",
        address(from),
        address(to)
    )
}

/// A hundred connections that send noise, and twenty that say nothing until they are closed.
fn strangers(site: &Site) -> String {
    let hub = &site.net.hosts[HIT].hub_address;
    format!(
        "for i in $(seq 100); do timeout 2 bash -c 'head -c 300 /dev/urandom >/dev/tcp/{hub}/7744' & done
         for i in $(seq 20); do timeout 3 bash -c 'exec 3<>/dev/tcp/{hub}/7744; sleep 2' & done; wait"
    ) + " 2>/dev/null; true"
}
