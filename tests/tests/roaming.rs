//! The host of an agent moves, sleeps or loses its clock; its hub restarts or becomes another one; its TUN
//! goes. The lines that begin with MEASURED say how long it took to be back.

use std::fs;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dosp_tests::dosp::RETURN_TIMEOUT;
use dosp_tests::{
    Agent, Hub, JumpingClock, Net, Overlay, measured, needs_root, wait_for, wait_until,
};
use nix::sys::signal::Signal;

/// A host that has moved is back within 3 s; the rest is for a busy machine. A heartbeat alone takes 22 s.
const SOON: Duration = Duration::from_secs(8);
/// The silent address of a hub costs 250 ms; alone it would take 5 s until it is given up.
const BEFORE_IT_IS_GIVEN_UP: Duration = Duration::from_secs(4);

/// Two members of a closed hub.
struct Members {
    agents: Vec<Agent>,
    hub: Hub,
    net: Arc<Net>,
}

impl Members {
    fn start() -> Result<Self> {
        Self::start_with(|net| Agent::up_joined(net, 0, &[]))
    }

    /// The first comes up as `first` says.
    fn start_with(first: impl FnOnce(&Arc<Net>) -> Result<Agent>) -> Result<Self> {
        let net = Net::star(2)?;
        let hub = Hub::closed(&net)?;
        for host in &net.hosts {
            host.join(&hub.invite(&[])?)?;
        }
        let agents = vec![first(&net)?, Agent::up_joined(&net, 1, &[])?];
        agents[0].ping(&agents[1].vip)?;
        Ok(Self { agents, hub, net })
    }

    /// The first has a clock of its own.
    fn start_with_clock(id: &str, seconds: u32) -> Result<(Self, JumpingClock)> {
        let mut clock = None;
        let members = Self::start_with(|net| {
            let clock = clock.insert(JumpingClock::build(net.dir(), id, seconds)?);
            Agent::up_with_clock(net, 0, clock)
        })?;
        Ok((members, clock.context("a clock")?))
    }
}

/// Waits until a new link of the agent carries packets to the peer, and tells how long that took.
fn back_after(what: &str, since: Instant, agent: &Agent, peer: &str) -> Result<()> {
    wait_until("the agent is back by another connection", SOON, || {
        Ok(agent.num_reconnects()? >= 1 && agent.host().vip_if_up().as_ref() == Some(&agent.vip))
    })?;
    wait_until("the peer answers", SOON, || agent.reaches(peer))?;
    measured(what, since);
    ensure!(since.elapsed() < SOON, "it took {:.1?}", since.elapsed());
    Ok(())
}

#[test]
fn host_with_a_new_address_is_back_soon() -> Result<()> {
    needs_root!();
    let Members { agents, hub: _hub, net: _net } = Members::start()?;

    let moved_at = Instant::now();
    agents[0]
        .ns()
        .sh("ip addr del 198.18.0.2/24 dev up0 && ip addr add 198.18.0.3/24 dev up0 &&
         ip route replace default via 198.18.0.1")?
        .ok()?;

    back_after("another address", moved_at, &agents[0], &agents[1].vip)
}

/// The kernel tries again every half second while it has no route: the old connection goes on.
#[test]
fn interface_that_was_down_is_used_again_soon() -> Result<()> {
    needs_root!();
    let Members { agents, hub: _hub, net: _net } = Members::start()?;
    let ns = agents[0].ns();
    ns.sh("ip link set up0 down")?.ok()?;
    sleep(Duration::from_secs(10));
    ensure!(!agents[0].reaches(&agents[1].vip)?, "there is another way");

    let up_at = Instant::now();
    ns.sh("ip link set up0 up && ip route replace default via 198.18.0.1")?.ok()?;

    wait_until("the peer answers", SOON, || agents[0].reaches(&agents[1].vip))?;
    measured("interface up again", up_at);
    agents[0].wait_until_back(SOON)
}

/// After 10 s of silence TCP waits for 12.8 s. The hub is open, and gives the vIP back because the old
/// connection was reset.
#[test]
fn connection_that_waits_too_long_is_replaced_when_the_host_moves() -> Result<()> {
    needs_root!();
    let Overlay { agents, hub, net: _net } = Overlay::start(2)?;
    agents[0].ping(&agents[1].vip)?;
    hub.cut()?;
    agents[0].ns().sh("ip addr add 198.18.9.1/32 dev lo")?.ok()?;
    sleep(Duration::from_secs(10));

    let mended_at = Instant::now();
    hub.mend()?;
    agents[0].ns().sh("ip addr add 198.18.9.2/32 dev lo")?.ok()?;

    back_after("moved after silence, open hub", mended_at, &agents[0], &agents[1].vip)
}

#[test]
fn change_that_costs_no_path_costs_no_connection() -> Result<()> {
    needs_root!();
    let Members { agents, hub: _hub, net: _net } = Members::start()?;
    let ns = agents[0].ns();
    for i in 0..20 {
        ns.sh(&format!("ip addr add 198.18.9.{i}/32 dev lo; ip route add 198.18.10.{i} dev up0"))?;
    }
    // The last of them is looked at, and its PING judged.
    sleep(Duration::from_secs(3));

    ensure!(agents[0].num_reconnects()? == 0, "it reconnected");
    agents[0].ping(&agents[1].vip)
}

#[test]
fn host_that_slept_keeps_a_connection_that_lives_and_replaces_one_that_does_not() -> Result<()> {
    needs_root!();
    let (members, clock) = Members::start_with_clock("CLOCK_BOOTTIME", 3600)?;
    let Members { mut agents, hub: _hub, net } = members;
    let num_sleeps = |agent: &mut Agent| -> Result<usize> {
        Ok(agent.process().stderr()?.matches("this host was suspended").count())
    };

    clock.jump()?;
    wait_until("the agent notices", SOON, || Ok(num_sleeps(&mut agents[0])? == 1))?;
    sleep(Duration::from_secs(3));
    ensure!(agents[0].num_reconnects()? == 0, "the hub had answered");

    // The router on the way has forgotten the connection meanwhile.
    let port = net.hub.sh("ss -Hnt state established 'sport = :7744' dst 198.18.0.2")?.ok()?.stdout;
    let port = port.trim().rsplit(':').next().context("the port of the connection")?.to_owned();
    let forgets = format!(
        "nft 'table inet forgot {{
           chain in {{ type filter hook input priority 0; tcp dport 7744 tcp sport {port} drop; }};
           chain out {{ type filter hook output priority 0; tcp sport 7744 tcp dport {port} drop; }};
         }}'"
    );
    net.hub.sh(&forgets)?.ok()?;
    clock.jump()?;
    wait_until("the agent notices", SOON, || Ok(num_sleeps(&mut agents[0])? == 2))?;
    back_after("after sleep, connection forgotten", Instant::now(), &agents[0], &agents[1].vip)
}

#[test]
fn host_whose_clock_jumps_by_a_year_stays_and_comes_back() -> Result<()> {
    needs_root!();
    let (members, clock) = Members::start_with_clock("CLOCK_REALTIME", 366 * 86_400)?;
    let Members { agents, mut hub, net: _net } = members;

    clock.jump()?;
    agents[0].ping(&agents[1].vip)?;
    ensure!(agents[0].num_reconnects()? == 0, "it reconnected");

    hub.kill()?;
    hub.start_again()?;
    let up_at = Instant::now();
    for agent in &agents {
        agent.wait_until_back(RETURN_TIMEOUT)?;
    }
    agents[0].ping(&agents[1].vip)?;
    agents[1].ping(&agents[0].vip)?;
    measured("hub back, clock a year ahead", up_at);
    Ok(())
}

#[test]
fn member_knows_that_its_hub_restarts_and_is_back_soon() -> Result<()> {
    needs_root!();
    let Members { mut agents, mut hub, net: _net } = Members::start()?;

    hub.terminate()?;
    wait_until("the agent is told", SOON, || {
        Ok(agents[0].process().stderr()?.contains("the hub restarts"))
    })?;
    hub.start_again()?;

    back_after("hub restarted", Instant::now(), &agents[0], &agents[1].vip)
}

#[test]
fn hub_whose_first_address_is_silent_is_reached_by_the_second() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &[])?;
    let host = &net.hosts[0];
    net.hub.sh(
        "ip addr add 2001:db8:d05b::1/64 dev host0 nodad &&
         nft 'table ip6 silent { chain in { type filter hook input priority 0; tcp dport 7744 drop; }; }'",
    )?.ok()?;
    host.ns.sh("ip addr add 2001:db8:d05b::2/64 dev up0 nodad")?.ok()?;
    let names = "2001:db8:d05b::1 both.example.org\n198.18.0.1 both.example.org\n";
    fs::write(host.ns.hosts_file(), names)?;
    let first = host.ns.sh("getent ahosts both.example.org | head -1")?.ok()?.stdout;
    ensure!(first.starts_with("2001:db8:d05b::1"), "the resolver prefers {first}");

    let started_at = Instant::now();
    let up = host.spawn_agent(&["--log", "debug", "up", "both.example.org"])?;
    wait_for("the agent is up", BEFORE_IT_IS_GIVEN_UP, || Ok(host.vip_if_up()))?;

    measured("up by the second address, from the start of the program", started_at);
    let log = up.stderr()?;
    let connected = log.lines().find(|line| line.contains("connected addr="));
    let connected = connected.with_context(|| log.clone())?;
    ensure!(connected.contains("198.18.0.1:7744"), "{connected}");
    Ok(())
}

#[test]
fn agent_whose_tun_is_removed_ends_and_says_so() -> Result<()> {
    needs_root!();
    let Overlay { mut agents, hub: _hub, net } = Overlay::start(1)?;
    let agent = agents.remove(0);
    agent.ns().sh("ip link del dosp0")?.ok()?;

    agent.ended()?.exits(1)?.says(&["dosp-agent: the TUN device is gone", "\nhint: "])?;

    // As whatever starts it again does.
    Agent::up(&net, 0, &[])?.stop(Signal::SIGTERM)?.ok()?;
    Ok(())
}

#[test]
fn hub_with_another_key_does_not_get_its_members_back_and_the_true_one_does() -> Result<()> {
    needs_root!();
    let Members { agents, mut hub, net } = Members::start()?;
    let (state, kept) = (Hub::state(&net), net.dir().join("kept.state"));
    hub.terminate()?;
    fs::rename(&state, &kept)?;
    let config = fs::read_to_string(net.dir().join("server.toml"))?;
    let mut other = Hub::closed(&net)?;

    wait_until("the agent says what is wrong", RETURN_TIMEOUT, || {
        let status = agents[0].host().status()?;
        let error = status["last_error"].as_str().unwrap_or_default();
        Ok(status["state"] != "up" && error.contains("key"))
    })?;
    ensure!(other.nodes()?.is_empty(), "somebody is in");

    other.terminate()?;
    fs::remove_dir_all(&state)?;
    fs::rename(&kept, &state)?;
    let _hub = Hub::start_configured(&net, &config, &[])?;
    back_after("hub with its own key again", Instant::now(), &agents[0], &agents[1].vip)
}
