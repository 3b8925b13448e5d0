//! A closed network of four agents, and traffic between them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::dosp::RETURN_TIMEOUT;
use dosp_tests::{Agent, Hub, Net, Process, wait_until};

use crate::sample::{self, Program, Sample};

/// Agents that live as long as the site.
pub(crate) const NUM_STEADY: usize = 3;
/// The one that is killed now and then.
pub(crate) const MORTAL: usize = NUM_STEADY;
const SETTLED_AFTER: Duration = Duration::from_secs(5);
const QUIET_TIMEOUT: Duration = Duration::from_secs(30);

/// The network, its programs and its traffic.
pub(crate) struct Site {
    pub(crate) net: Arc<Net>,
    pub(crate) hub: Hub,
    pub(crate) agents: Vec<Agent>,
    traffic: Vec<Process>,
}

impl Site {
    pub(crate) fn start() -> Result<Self> {
        let net = Net::star(NUM_STEADY + 1)?;
        let hub = Hub::closed(&net)?;
        let mut agents = Vec::new();
        for (i, host) in net.hosts.iter().enumerate() {
            host.join(&hub.invite(&["--name", &format!("host{i}")])?)?;
            agents.push(Agent::up_joined(&net, i, &[])?);
        }
        let mut site = Self { net, hub, agents, traffic: Vec::new() };
        site.traffic = site.start_traffic()?;
        site.wait_until_whole()?;
        Ok(site)
    }

    /// Streams both ways, echoes and messages. Whatever breaks begins again.
    fn start_traffic(&self) -> Result<Vec<Process>> {
        let [first, second, third, mortal] = [0, 1, 2, 3].map(|i| &self.agents[i]);
        let again = |what: String| format!("while :; do {what} >/dev/null 2>&1; sleep 0.3; done");
        let stream = |options: &str| {
            again(format!("timeout 8 iperf3 -c {} -t 4 -b 40M {options}", second.vip))
        };
        let say = third.host().agent_command()?.join(" ");
        Ok(vec![
            second.ns().spawn_sh("while :; do iperf3 -s -p 5201 >/dev/null 2>&1; done")?,
            second.ns().spawn_sh("while :; do iperf3 -s -p 5202 >/dev/null 2>&1; done")?,
            first.ns().spawn_sh(&stream("-p 5201"))?,
            third.ns().spawn_sh(&stream("-p 5202 -R"))?,
            third.ns().spawn_sh(&again(format!("ping -q -n -i 0.02 -c 200 {}", first.vip)))?,
            mortal.ns().spawn_sh(&again(format!("ping -q -n -i 0.05 -c 100 {}", second.vip)))?,
            third.ns().spawn_sh(&again(format!("timeout 5 {say} send {} hello", first.vip)))?,
        ])
    }

    /// Everybody is in the network with the old vIP, and reaches the next one.
    pub(crate) fn wait_until_whole(&self) -> Result<()> {
        for agent in &self.agents {
            agent.wait_until_back(RETURN_TIMEOUT)?;
        }
        for (agent, next) in self.agents.iter().zip(self.agents.iter().cycle().skip(1)) {
            let what = format!("{} reaches {}", agent.vip, next.vip);
            wait_until(&what, RETURN_TIMEOUT, || agent.reaches(&next.vip))?;
        }
        Ok(())
    }

    /// A host that has moved looks at its path a second later, and may make its link anew then: until all links
    /// have stood for longer, and everybody reaches everybody.
    fn wait_until_settled(&self) -> Result<()> {
        self.wait_until_whole()?;
        let has_stood = |agent: &Agent| {
            let up_for = agent.host().status()?["up_for_ns"].as_u64().map(Duration::from_nanos);
            Ok(up_for.is_some_and(|up_for| up_for > SETTLED_AFTER))
        };
        for agent in &self.agents {
            wait_until("the link has stood", RETURN_TIMEOUT, || has_stood(agent))?;
        }
        for (agent, other) in
            self.agents.iter().flat_map(|a| self.agents.iter().map(move |b| (a, b)))
        {
            let what = format!("{} reaches {}", agent.vip, other.vip);
            wait_until(&what, RETURN_TIMEOUT, || {
                Ok(agent.vip == other.vip || agent.reaches(&other.vip)?)
            })?;
        }
        Ok(())
    }

    /// Ends the traffic, and waits until nothing waits any more.
    pub(crate) fn rest(&mut self) -> Result<()> {
        self.traffic.clear();
        for agent in &self.agents {
            let kill = "for pid in $(ip netns pids $(ip netns identify $$)); do
                case $(cat /proc/$pid/comm) in iperf3|ping) kill -9 $pid;; esac; done; true";
            agent.ns().sh(kill)?.ok()?;
        }
        self.wait_until_settled()?;
        wait_until("nothing waits", QUIET_TIMEOUT, || {
            let hub = sample::status(&self.hub)?;
            let sessions = hub["sessions"].as_array().context("sessions")?;
            Ok(sessions.iter().all(|session| session["queued_bytes"] == 0))
        })
    }

    /// What every program takes now.
    pub(crate) fn sample(&mut self, at: Duration) -> Result<Vec<Sample>> {
        let mut samples =
            vec![Sample::of(Program::Hub, self.hub.pid(), &sample::status(&self.hub)?, at)?];
        for i in 0..NUM_STEADY {
            let status = self.agents[i].host().status()?;
            let pid = self.agents[i].process().pid();
            samples.push(Sample::of(Program::Agent(i), pid, &status, at)?);
        }
        Ok(samples)
    }

    /// Starts the mortal agent again.
    pub(crate) fn revive(&mut self) -> Result<()> {
        let vip = self.agents[MORTAL].vip.clone();
        self.agents.truncate(MORTAL);
        self.agents.push(Agent::up_joined(&self.net, MORTAL, &[])?);
        ensure!(self.agents[MORTAL].vip == vip, "it has another vIP");
        Ok(())
    }
}
