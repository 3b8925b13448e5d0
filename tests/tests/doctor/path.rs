//! A member that is not up: what keeps it from the hub, and what would keep it from coming up.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, ensure};
use dosp_tests::member::enter;
use dosp_tests::netns::Namespace;
use dosp_tests::preload::{self, NO_CONGESTION};
use dosp_tests::{Agent, Host, Hub, JumpingClock, Net, needs_root};
use nix::sys::signal::Signal;

use crate::common::doctor;

/// What no agent that runs leaves to look at.
const SKIPPED: [&str; 2] = ["agent", "names"];

#[test]
fn what_is_wrong_on_the_way_to_the_hub_is_named() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let mut hub = Hub::closed(&net)?;
    let host = &net.hosts[0];
    host.join(&hub.invite(&["--name", "alice"])?)?;
    let first = doctor(host, "", "")?;
    first.is_healthy(&SKIPPED)?;
    first.has("join", "ok", &["that used up the join string"])?;
    // It was a real join, and the place is kept.
    ensure!(hub.nodes()?.len() == 1, "{:?}", hub.nodes()?);
    let second = doctor(host, "", "")?;
    second.is_healthy(&SKIPPED)?;
    second.has("join", "ok", &[" in 10.77.1.0/24; fix: "])?;

    let names = host.names()?;
    fs::write(host.ns.hosts_file(), "127.0.0.1 localhost\n")?;
    let words = ["hub.example.org does not resolve", "fix: check the name"];
    doctor(host, "", "")?.names("dns", "fail", 3, &words)?;
    fs::write(host.ns.hosts_file(), names)?;

    host.ns.sh("ip link set up0 down")?.ok()?;
    let words = ["no route leads to 198.18.0.1:7744", "network and routes"];
    doctor(host, "", "")?.names("tcp", "fail", 3, &words)?;
    host.ns.sh("ip link set up0 up")?.ok()?;

    hub.cut()?;
    let words = ["198.18.0.1:7744 does not answer", "is a firewall in between?"];
    doctor(host, "", "")?.names("tcp", "fail", 3, &words)?;
    hub.mend()?;

    black_hole(host, &net.hub)?;

    hub.terminate()?;
    let words = ["198.18.0.1:7744 refuses connections", "is the hub running"];
    doctor(host, "", "")?.names("tcp", "fail", 3, &words)?;
    hub.start_again()?;
    doctor(host, "", "")?.is_healthy(&SKIPPED)
}

/// Packets that are longer than some router likes.
fn black_hole(host: &Host, hub: &Namespace) -> Result<()> {
    let chain = "type filter hook input priority 0; iifname host0 ip length > 1300 drop;";
    hub.sh(&format!("nft 'table inet hole {{ chain input {{ {chain} }}; }}'"))?.ok()?;
    let words = ["long packets to the hub are lost", "tcp_mtu_probing"];
    doctor(host, "", "")?.names("mtu", "fail", 1, &words)?;
    hub.sh("nft delete table inet hole")?.ok()?;

    host.ns.sh("ip link set up0 mtu 1200")?.ok()?;
    let words = ["takes packets of 1200 bytes", "raise the MTU"];
    doctor(host, "", "")?.names("mtu", "warn", 0, &words)?;
    host.ns.sh("ip link set up0 mtu 1500")?.ok()?;
    Ok(())
}

#[test]
fn who_is_at_the_port_and_who_is_not_let_in_is_named() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let mut hub = Hub::closed(&net)?;
    let host = &net.hosts[0];
    let invite = hub.invite(&[])?;
    host.join(&invite)?;
    Agent::up_joined(&net, 0, &[])?.stop(Signal::SIGTERM)?.ok()?;
    let state = |name: &str| format!("--state {}", net.dir().join(name).display());

    web_server(&net, "198.18.0.1:7745")?;
    let words = ["a web server (HTTP) listens there", "is the port right?"];
    doctor(host, "", "198.18.0.1:7745")?.names("protocol", "fail", 3, &words)?;

    let words = ["this network is closed", "dosp-agent join STRING"];
    let stranger = format!("hub.example.org {}", state("stranger"));
    doctor(host, "", &stranger)?.names("join", "fail", 4, &words)?;

    let late = state("late");
    let program = host.agent_command()?.join(" ");
    host.ns.sh(&format!("{program} join {invite} {late}"))?.ok()?;
    let words = ["the join key was used already", "a new join string"];
    doctor(host, "", &late)?.names("join", "fail", 4, &words)?;

    let words = ["no hub is set", "dosp-agent join STRING"];
    doctor(host, "", &state("empty"))?.names("configuration", "fail", 2, &words)?;
    let words = ["dosp-agent --network work join STRING", "dosp-agent --network work up HUB"];
    let work = format!("--network work {}", state("empty"));
    doctor(host, "", &work)?.names("configuration", "fail", 2, &words)?;

    hub.terminate()?;
    fs::remove_dir_all(Hub::state(&net))?;
    let _other = Hub::closed(&net)?;
    let words = ["the hub has the key", "whether its key is a new one"];
    doctor(host, "", "")?.names("join", "fail", 4, &words)
}

/// Answers each connection as a web server does, as long as this test runs.
fn web_server(net: &std::sync::Arc<Net>, addr: &'static str) -> Result<()> {
    let (ready, listens) = mpsc::channel();
    let net = std::sync::Arc::downgrade(net);
    thread::spawn(move || -> Result<()> {
        enter(&net.upgrade().context("the net is gone")?.hub)?;
        let listener = TcpListener::bind(addr)?;
        ready.send(())?;
        loop {
            let (mut stream, _) = listener.accept()?;
            thread::spawn(move || {
                let mut asked = [0; 512];
                if stream.read(&mut asked).is_ok_and(|len| len > 0) {
                    drop(stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n"));
                }
            });
        }
    });
    listens.recv().context("the web server does not listen")
}

#[test]
fn what_would_keep_this_host_from_coming_up_is_named() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hub = Hub::closed(&net)?;
    let host = &net.hosts[0];
    host.join(&hub.invite(&[])?)?;

    let words = ["no interface can be made", "modprobe tun"];
    doctor(host, "mount -t tmpfs none /dev/net &&", "")?.names("tun", "fail", 1, &words)?;

    let words = ["no interface can be made", "CAP_NET_ADMIN"];
    let without = "setpriv --bounding-set=-net_admin";
    doctor(host, without, "")?.names("tun", "fail", 77, &words)?;

    host.ns.sh("ip link add dosp0 type veth peer name dosp1")?.ok()?;
    let words = ["dosp0 exists already, and is no TUN", "--tun"];
    doctor(host, "", "")?.names("tun", "fail", 2, &words)?;
    host.ns.sh("ip link del dosp0 && ip tuntap add dev dosp0 mode tun user root")?.ok()?;
    doctor(host, "", "")?.has("tun", "ok", &["dosp0 is there, made for this user"])?;
    host.ns.sh("ip link del dosp0")?.ok()?;

    host.ns.sh("ip route add 10.77.1.0/25 dev up0")?.ok()?;
    let words = ["10.77.1.0/24 overlaps the route 10.77.1.0/25 over up0", "--force"];
    doctor(host, "", "")?.names("routes", "fail", 2, &words)?;
    host.ns.sh("ip route del 10.77.1.0/25")?.ok()?;

    let words = ["366 d 0 h ahead of the hub's", "set by NTP"];
    let clock = JumpingClock::build(net.dir(), "CLOCK_REALTIME", 366 * 86400)?;
    clock.jump()?;
    let later = clock.preload();
    doctor(host, &later, "")?.names("clock", "warn", 0, &words)?;
    let words = [" cannot be used", "tcp_allowed_congestion_control"];
    let library = preload::build(net.dir(), "fixed", NO_CONGESTION)?;
    let fixed = format!("LD_PRELOAD={}", library.display());
    doctor(host, &fixed, "")?.names("congestion", "warn", 0, &words)?;

    let file = net.dir().join("exposed.toml");
    fs::write(&file, "secret_file = \"/nowhere\"\nmtuu = 3\n")?;
    let wrong = format!("--config {}", file.display());
    let words = ["line 2", "did you mean 'mtu'?"];
    doctor(host, "", &wrong)?.names("configuration", "fail", 2, &words)?;
    let secret = host.agent(&["secret", "new"])?.ok()?.stdout;
    fs::write(&file, format!("secret = \"{}\"\n", secret.trim()))?;
    let words = ["is open to others", "chmod 600"];
    doctor(host, "", &wrong)?.names("configuration", "fail", 2, &words)
}
