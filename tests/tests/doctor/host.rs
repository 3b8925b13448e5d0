//! An agent that runs, on a host that is in its way.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Agent, Host, Hub, Net, needs_root, wait_until};

use crate::common::doctor;

/// News of the directory have come everywhere within this.
const NEWS: Duration = Duration::from_secs(20);

#[test]
fn what_is_in_the_way_of_a_running_agent_is_named() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let mut hub = Hub::closed(&net)?;
    let mut agents = Vec::new();
    for (i, name) in ["alice", "bob"].iter().enumerate() {
        net.hosts[i].join(&hub.invite(&["--name", name])?)?;
        agents.push(Agent::up_joined(&net, i, &[])?);
    }
    let host = &net.hosts[0];
    wait_until("bob has a name", NEWS, || Ok(host.names()?.contains("bob.dosp")))?;
    doctor(host, "", "")?.is_healthy(&[])?;
    hub.cut()?;
    // It waits for the hub for some seconds, by which the clocks do not differ.
    let cut_off = doctor(host, "", "")?;
    cut_off.names("tcp", "fail", 3, &["198.18.0.1:7744 does not answer"])?;
    cut_off.has("clock", "ok", &["as the hub's"])?;
    hub.mend()?;
    let of_another_hub = doctor(host, "", "198.18.0.1:7")?;
    for check in ["tun", "names"] {
        of_another_hub.has(check, "skipped", &["may be", "an agent that is in another network"])?;
    }
    where_names_are_lost(host)?;
    where_a_firewall_stands(host, &agents)?;
    where_the_tun_is_changed(host)?;

    hub.kill()?;
    agents[0].wait_until_lost(NEWS)?;
    let words = ["198.18.0.1:7744 refuses connections", "is the hub running"];
    doctor(host, "", "")?.names("tcp", "fail", 3, &words)
}

fn where_names_are_lost(host: &Host) -> Result<()> {
    let names = host.names()?;
    let (others, _) = names.split_once("# BEGIN").context("no block")?;
    fs::write(host.ns.hosts_file(), others)?;
    let words = ["no names of the agent on dosp0", "something has rewritten the file"];
    doctor(host, "", "")?.names("names", "warn", 0, &words)?;
    fs::write(host.ns.hosts_file(), &names)?;

    let nsswitch = host.ns.hosts_file().with_file_name("nsswitch.conf");
    fs::write(&nsswitch, "hosts: dns\n")?;
    let words = ["programs do not read /etc/hosts", "hosts: files dns"];
    // The hub's name stands in that file, too.
    doctor(host, "", "")?.has("names", "fail", &words)?;
    fs::remove_file(&nsswitch)?;
    Ok(())
}

/// The advice lets bob in, who is the second of them.
fn where_a_firewall_stands(host: &Host, agents: &[Agent]) -> Result<()> {
    let chain = "type filter hook input priority 0; policy drop; \
                 ct state established,related accept; iifname { lo, up0 } accept;";
    host.ns.sh(&format!("nft 'table inet guard {{ chain input {{ {chain} }}; }}'"))?.ok()?;
    ensure!(!agents[1].reaches(&agents[0].vip)?, "the firewall lets bob in");
    let fix = "nft insert rule inet guard input iifname dosp0 accept";
    let words = ["the policy of the chain inet guard input drops what comes over dosp0", fix];
    doctor(host, "", "")?.names("firewall", "warn", 0, &words)?;
    host.ns.sh(fix)?.ok()?;
    agents[1].ping(&agents[0].vip)?;
    doctor(host, "", "")?.is_healthy(&[])
}

/// It has no address afterwards.
fn where_the_tun_is_changed(host: &Host) -> Result<()> {
    host.ns.sh("ip link set dosp0 mtu 1300")?.ok()?;
    let words = ["MTU of 1300, and the agent gave it 1420", "start the agent again"];
    doctor(host, "", "")?.names("mtu", "warn", 0, &words)?;
    host.ns.sh("ip link set dosp0 mtu 1420 && ip addr flush dev dosp0")?.ok()?;
    let words = ["dosp0 has lost the agent's address", "'dosp-agent up' again"];
    doctor(host, "", "")?.names("tun", "fail", 1, &words)
}

#[test]
fn lines_for_people_tell_the_fix_and_the_exit_code_says_what_failed() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;

    let output = net.hosts[0].agent(&["doctor", "198.18.0.1:7"])?.exits(3)?;

    ensure!(output.stdout.lines().count() == 14, "{output}");
    let line = output.stdout.lines().find(|line| line.starts_with("fail    tcp "));
    let fix = "198.18.0.1:7 refuses connections; fix: nothing listens there";
    ensure!(line.is_some_and(|line| line.contains(fix)), "{output}");
    output.says(&["dosp-agent: 1 of 14 checks failed"])?;
    Ok(())
}
