//! Several hubs, each in the middle of a star of its own, and wires between them that can be cut.
//!
//! ```text
//! agent 0 ─ hub 0 ═══ wire 0 ═══ hub 1 ─ agent 1        wire k: 198.19.k.1 ═ 198.19.k.2
//! 7.10.0.2  7.10.0.1             7.11.0.1  7.11.0.2
//! ```

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::dosp::{Agent, Hub};
use crate::netns::{Net, connect};
use crate::wait::{wait_for, wait_until};

/// Hubs have linked, and agents have heard of it, within this: two back-offs and a lost SYN.
pub const LINK_TIMEOUT: Duration = Duration::from_secs(40);

/// A hub that listens answers its operator within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Hubs with an agent each, linked as they were told.
#[derive(Debug)]
pub struct Federation {
    /// Agent i is up at hub i; more of them on request.
    pub agents: Vec<Agent>,
    /// The hubs.
    pub hubs: Vec<Hub>,
    /// The stars around the hubs.
    pub nets: Vec<Arc<Net>>,
    wires: Vec<Wire>,
}

/// A cable between two hubs, by their numbers.
type Wire = (usize, usize);

impl Federation {
    /// So many hubs, each with an agent, both ends of each wire dialling the other; waits until every hub
    /// knows the way to every other.
    pub fn start(num_hubs: usize, wires: &[Wire]) -> Result<Self> {
        let mut federation = Self::hubs(num_hubs, wires)?;
        federation.agents =
            federation.nets.iter().map(|net| Agent::up(net, 0, &[])).collect::<Result<_>>()?;
        federation.wait_until_linked()?;
        federation.wait_until_routed()?;
        Ok(federation)
    }

    /// The same without agents, and without waiting for the links.
    pub fn hubs(num_hubs: usize, wires: &[Wire]) -> Result<Self> {
        let nets = cabled(num_hubs, wires)?;
        let hub = |i: usize| start_hub(&nets[i], i, &peers_of(i, wires));
        let hubs = (0..num_hubs).map(hub).collect::<Result<_>>()?;
        Ok(Self { agents: Vec::new(), hubs, nets, wires: wires.to_vec() })
    }

    /// Waits until every hub has the shortest way to every other.
    pub fn wait_until_linked(&self) -> Result<()> {
        for from in 0..self.hubs.len() {
            for to in (0..self.hubs.len()).filter(|to| *to != from) {
                self.wait_for_hops(from, to, Some(self.distance(from, to)), LINK_TIMEOUT)?;
            }
        }
        Ok(())
    }

    /// Waits until the best way from one hub to another has so many links, or until there is none.
    pub fn wait_for_hops(
        &self,
        from: usize,
        to: usize,
        wanted: Option<u64>,
        within: Duration,
    ) -> Result<()> {
        let what = format!("{wanted:?} links from hub {from} to hub {to}");
        wait_until(&what, within, || Ok(self.hops(from, to)? == wanted)).with_context(|| {
            self.hubs[from].peers().map(|peers| peers.to_string()).unwrap_or_default()
        })
    }

    /// How many links the best way from one hub to another has, by its own word.
    pub fn hops(&self, from: usize, to: usize) -> Result<Option<u64>> {
        let peers = self.hubs[from].peers()?;
        let mut routes = peers["routes"].as_array().into_iter().flatten();
        let wanted = network(to);
        let best = routes.find(|route| route["network"] == wanted && route["is_best"] == true);
        Ok(best.and_then(|route| route["num_hops"].as_u64()))
    }

    /// Drops every packet on a wire, both ways and silently.
    pub fn cut(&self, wire: usize) -> Result<()> {
        let chain = |hook: &str, interface: &str| {
            format!(
                "chain {hook} {{ type filter hook {hook} priority 0; {interface} wire{wire} drop; }};"
            )
        };
        let (input, output) = (chain("input", "iifname"), chain("output", "oifname"));
        let table = format!("nft 'table inet cut{wire} {{ {input} {output} }}'");
        self.nets[self.wires[wire].0].hub.sh(&table)?.ok()?;
        Ok(())
    }

    /// Undoes [`Self::cut`].
    pub fn heal(&self, wire: usize) -> Result<()> {
        let hub = &self.nets[self.wires[wire].0].hub;
        hub.sh(&format!("nft delete table inet cut{wire}"))?.ok()?;
        Ok(())
    }

    /// Pulls a wire out of its first hub, which notices, or puts it back.
    pub fn plug(&self, wire: usize, is_in: bool) -> Result<()> {
        let state = if is_in { "up" } else { "down" };
        let hub = &self.nets[self.wires[wire].0].hub;
        hub.sh(&format!("ip link set wire{wire} {state}"))?.ok()?;
        Ok(())
    }

    /// The wires between the hubs, by number.
    #[must_use]
    pub fn wires(&self) -> &[Wire] {
        &self.wires
    }

    /// Over how many wires one hub is reached from another; as many as there are hubs where it is not.
    fn distance(&self, from: usize, to: usize) -> u64 {
        let mut reached = vec![from];
        let mut num_wires = 0;
        while !reached.contains(&to) && num_wires < self.hubs.len() as u64 {
            let both = self.wires.iter().flat_map(|&(a, b)| [(a, b), (b, a)]);
            let next: Vec<_> = both.filter(|(a, _)| reached.contains(a)).map(|(_, b)| b).collect();
            reached.extend(next);
            num_wires += 1;
        }
        num_wires
    }

    /// Waits until every agent sends packets for all other hubs' networks into its TUN.
    fn wait_until_routed(&self) -> Result<()> {
        let others = self.hubs.len() - 1;
        for agent in &self.agents {
            wait_until("the agent has routes to all networks", LINK_TIMEOUT, || {
                let status = agent.host().status()?;
                let networks = status["networks"].as_array().into_iter().flatten();
                let leads = |there: &&Value| there["routed"] == true && !there["hops"].is_null();
                Ok(networks.filter(leads).count() == others)
            })
            .with_context(|| agent.host().status().map(|s| s.to_string()).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl Hub {
    /// `dosp-server peers --json`; its socket may come after its port.
    pub fn peers(&self) -> Result<Value> {
        let said = wait_for("the hub answers", ANSWER_TIMEOUT, || {
            let output = self.ask("peers", &["--json"])?;
            if output.code == Some(3) { Ok(None) } else { Ok(Some(output.ok()?.stdout)) }
        })?;
        serde_json::from_str(&said).context(said)
    }
}

/// Stars whose hubs have wires between them, each with one host.
pub fn cabled(num_hubs: usize, wires: &[Wire]) -> Result<Vec<Arc<Net>>> {
    let nets = (0..num_hubs).map(|_| Net::star(1)).collect::<Result<Vec<_>>>()?;
    for (number, &(a, b)) in wires.iter().enumerate() {
        let name = format!("wire{number}");
        let ends = [(&nets[a].hub, end(number, 1)), (&nets[b].hub, end(number, 2))];
        connect(&name, ends.each_ref().map(|(hub, address)| (*hub, address.as_str())))?;
    }
    Ok(nets)
}

/// Starts hub number `i` with these peers, in the words of `--peer`.
pub fn start_hub(net: &Arc<Net>, i: usize, peers: &[String]) -> Result<Hub> {
    let (own, state) = (network(i), Hub::state(net).display().to_string());
    let mut args = vec!["--network", &own, "--state", &state];
    args.extend(peers.iter().flat_map(|peer| ["--peer", peer]));
    Hub::start_configured(net, &format!("name = \"hub{i}\"\n"), &args)
}

/// The peers of hub number `i`: each may lead on to anywhere.
#[must_use]
pub fn peers_of(i: usize, wires: &[Wire]) -> Vec<String> {
    let far = |(number, &(a, b)): (usize, &Wire)| match i {
        _ if i == a => Some((end(number, 2), b)),
        _ if i == b => Some((end(number, 1), a)),
        _ => None,
    };
    let far = wires.iter().enumerate().filter_map(far);
    far.map(|(addr, j)| format!("{addr}={},networks=7.0.0.0/8", network(j))).collect()
}

/// The network of hub number `i`.
#[must_use]
pub fn network(i: usize) -> String {
    format!("7.{}.0.0/24", 10 + i)
}

/// The address of one end of a wire, 1 or 2.
#[must_use]
pub fn end(wire: usize, side: usize) -> String {
    format!("198.19.{wire}.{side}")
}
