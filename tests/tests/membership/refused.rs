//! Who does not get into a closed network, and what is said of it: exit code 4, one line, a hint.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use dosp_proto::join_string::{JoinKey, JoinString};
use dosp_tests::{Agent, Hub, Net, Output, needs_root};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;

use crate::common::{Members, copy_folder, is_refused, join_as};

/// What `dosp-agent up` says on a host that has just joined.
fn up_with(net: &Net, host: usize, join_string: &str) -> Result<Output> {
    net.hosts[host].join(join_string)?;
    net.hosts[host].agent(&["up"])
}

#[test]
fn host_without_a_join_string_is_refused() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::closed(&net)?;
    let host = &net.hosts[0];

    let output = host.agent(&["up", &host.hub_address])?;

    is_refused(output, &["this network is closed", "dosp-server invite"])
}

#[test]
fn join_keys_that_are_no_good_are_refused() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let hub = Hub::closed(&net)?;
    let mut wrong: JoinString = hub.invite(&[])?.parse()?;
    wrong.join_key = Some(JoinKey::generate(&mut rand::make_rng::<StdRng>()));
    is_refused(up_with(&net, 0, &wrong.to_text())?, &["never made that join key"])?;

    let expired = hub.invite(&["--ttl", "0s"])?;
    is_refused(up_with(&net, 0, &expired)?, &["the join key expired", "a new join string"])?;

    let said = hub.ask("invite", &["--json"])?.ok()?.stdout;
    let invited: serde_json::Value = serde_json::from_str(&said)?;
    let id = invited["id"].as_str().context("no id")?;
    hub.ask("invite", &["revoke", id])?.ok()?;
    let revoked = invited["join_string"].as_str().context("no join string")?;
    is_refused(up_with(&net, 0, revoked)?, &["the join key was revoked"])?;

    let used = hub.invite(&[])?;
    net.hosts[0].join(&used)?;
    Agent::up_joined(&net, 0, &[])?.stop(Signal::SIGTERM)?.ok()?;
    is_refused(up_with(&net, 1, &used)?, &["the join key was used already"])
}

#[test]
fn removed_node_ends_and_does_not_come_back_without_a_new_invite() -> Result<()> {
    needs_root!();
    let Members { mut agents, hub, net } = Members::start(2)?;

    hub.ask("nodes", &["remove", "bob"])?.ok()?;

    is_refused(agents.remove(1).ended()?, &["removed"])?;
    is_refused(net.hosts[1].agent(&["up"])?, &["this node was removed from the network on"])?;
    join_as(&hub, &net.hosts[1], "bob")?;
    Agent::up_joined(&net, 1, &[])?.ping(&agents[0].vip)
}

#[test]
fn names_and_vips_of_others_are_refused() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let hub = Hub::closed(&net)?;
    join_as(&hub, &net.hosts[0], "alice")?;
    let alice = Agent::up_joined(&net, 0, &[])?;
    net.hosts[1].join(&hub.invite(&[])?)?;

    let named = net.hosts[1].agent(&["up", "--name", "alice"])?;
    is_refused(named, &["'alice' belongs to another node", "--name"])?;
    let addressed = net.hosts[1].agent(&["up", "--vip", &alice.vip])?;
    is_refused(addressed, &["belongs to another node", "--vip"])?;

    // Neither has used the join key up.
    Agent::up_joined(&net, 1, &["--name", "bob"])?.ping(&alice.vip)
}

#[test]
fn full_network_is_refused() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let hub = Hub::closed_with(&net, "10.77.1.0/30")?;
    join_as(&hub, &net.hosts[0], "alice")?;
    let _alice = Agent::up_joined(&net, 0, &[])?;

    let output = up_with(&net, 1, &hub.invite(&[])?)?;

    is_refused(output, &["every vIP of 10.77.1.0/30 is taken", "dosp-server nodes remove"])
}

#[test]
fn hub_with_another_key_is_refused() -> Result<()> {
    needs_root!();
    let Members { agents, mut hub, net } = Members::start(1)?;
    for agent in agents {
        agent.stop(Signal::SIGTERM)?.ok()?;
    }
    hub.terminate()?;
    fs::remove_dir_all(Hub::state(&net))?;
    let _other = Hub::closed(&net)?;

    is_refused(net.hosts[0].agent(&["up"])?, &["key", "join with a new join string"])
}

#[test]
fn copy_of_a_state_folder_is_refused_while_the_original_is_up() -> Result<()> {
    needs_root!();
    let Members { agents, hub, net } = Members::start(1)?;
    let spare = spare_host(&agents, &net)?;

    is_refused(spare, &["another host", "copy"])?;

    ensure!(agents[0].host().vip_if_up().as_ref() == Some(&agents[0].vip), "the original is down");
    ensure!(hub.nodes()?.len() == 1, "there are others");
    Ok(())
}

/// What a second agent with the state of the first says, with an interface of its own.
fn spare_host(agents: &[Agent], net: &Arc<Net>) -> Result<Output> {
    let host = agents[0].host();
    let copy = net.dir().join("copy.state");
    copy_folder(&host.state(), &copy)?;
    let socket = net.dir().join("copy.sock").display().to_string();
    let state = copy.display().to_string();
    host.agent(&["up", "--socket", &socket, "--state", &state, "--tun", "dosp1"])
}
