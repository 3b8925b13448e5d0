//! The TUN device and its configuration against the real kernel, in a network namespace of its own.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

use std::future::Future;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use dosp_agent::engine::Overlay;
use dosp_agent::host::{Host, TunHost};
use dosp_agent::netcfg::{Conflict, NetConfig, NetError};
use dosp_agent::tun::{LinuxTun, TunDevice, TunError};
use dosp_proto::offload::{Offloads, VnetHeader};
use dosp_proto::vip::{Network, Vip};
use nix::sched::{CloneFlags, unshare};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const NAME: &str = "dosp-test";
const MTU: u16 = 1380;
/// Of the namespace of whoever opens it.
const PROMOTE_SECONDARIES: &str = "/proc/sys/net/ipv4/conf/dosp-test/promote_secondaries";
const HUB: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

#[test]
fn interface_has_address_mtu_queue_and_route() {
    in_namespace(async {
        let _tun = configured_tun().await;
        let link = ip(&["-j", "addr", "show", NAME]);
        assert_eq!(link[0]["mtu"], MTU);
        assert_eq!(link[0]["txqlen"], 1000);
        assert!(link[0]["flags"].as_array().unwrap().contains(&"UP".into()));
        assert_eq!(addresses(), ["7.10.0.2/24"]);
        assert_eq!(ip(&["-j", "route"])[0]["dst"], "7.10.0.0/24");
    });
}

#[test]
fn interface_goes_with_its_owner() {
    in_namespace(async {
        drop(configured_tun().await);
        assert_eq!(ip(&["-j", "route"]).as_array().map(Vec::len), Some(0));
        LinuxTun::create(NAME, MTU, Offloads::ALL).unwrap();
    });
}

#[test]
fn packets_pass_in_both_directions() {
    in_namespace(async {
        let (tun, _) = configured_tun().await;
        let socket = UdpSocket::bind("7.10.0.2:4000").await.unwrap();
        socket.send_to(b"ping", "7.10.0.3:4001").await.unwrap();
        let (header, mut packet) = next_ipv4(&tun).await;
        assert_eq!(&packet[12..20], [7, 10, 0, 2, 7, 10, 0, 3]);
        assert_eq!(&packet[28..], b"ping");

        // Turned around, both checksums stay right: they are sums. That of UDP is left to us, and we
        // leave it to the kernel again.
        let (src, dst) = (packet[12..16].to_vec(), packet[16..20].to_vec());
        packet[12..16].copy_from_slice(&dst);
        packet[16..20].copy_from_slice(&src);
        let (src, dst) = (packet[20..22].to_vec(), packet[22..24].to_vec());
        packet[20..22].copy_from_slice(&dst);
        packet[22..24].copy_from_slice(&src);
        tun.try_send(header, &packet).unwrap();
        let mut buffer = [0; 64];
        let received = timeout(Duration::from_secs(5), socket.recv_from(&mut buffer));
        let (len, from) = received.await.unwrap().unwrap();
        assert_eq!((&buffer[..len], from.to_string().as_str()), (&b"ping"[..], "7.10.0.3:4001"));
    });
}

#[test]
fn dry_device_would_block_and_bad_packet_is_an_error_of_its_own() {
    in_namespace(async {
        let (tun, _) = configured_tun().await;
        let mut buffer = [0; 2048];
        while tun.try_recv(&mut buffer).is_ok() {}
        assert_eq!(tun.try_recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(
            tun.try_send(VnetHeader::default(), &[0xFF; 40]).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}

#[test]
fn readdressing_works_within_a_network_and_between_two() {
    in_namespace(async {
        let (_tun, config) = configured_tun().await;
        let large: Network = "10.7.0.0/16".parse().unwrap();
        let steps = [
            (vip("7.10.0.2"), Network::DEFAULT, "7.10.0.2/24"),
            (vip("7.10.0.200"), Network::DEFAULT, "7.10.0.200/24"),
            (vip("10.7.1.9"), large, "10.7.1.9/16"),
            (vip("10.7.1.9"), large, "10.7.1.9/16"),
        ];
        for promote_secondaries in ["0", "1"] {
            std::fs::write(PROMOTE_SECONDARIES, promote_secondaries).unwrap();
            for step in steps.windows(2) {
                let [(old, old_network, _), (new, new_network, shown)] = *step else { continue };
                let new = (new, new_network);
                config.readdress(NAME, (old, old_network), new).await.unwrap();
                assert_eq!(addresses(), [shown]);
                let route = &ip(&["-j", "route"])[0];
                assert_eq!(route["dst"], new_network.to_string());
                assert_eq!(route["prefsrc"], new.0.to_string());
            }
            let first = (steps[0].0, steps[0].1);
            config.readdress(NAME, (steps[3].0, steps[3].1), first).await.unwrap();
        }
    });
}

#[test]
fn conflicts_name_route_and_interface() {
    in_namespace(async {
        let config = NetConfig::open().unwrap();
        assert_eq!(config.conflicts(Network::DEFAULT, HUB).await.unwrap(), []);
        ip(&["tuntap", "add", "lan0", "mode", "tap"]);
        ip(&["addr", "add", "7.10.0.77/25", "dev", "lan0"]);
        ip(&["addr", "add", "192.168.1.2/24", "dev", "lan0"]);
        ip(&["link", "set", "lan0", "up"]);
        ip(&["route", "add", "default", "via", "192.168.1.1"]);
        ip(&["route", "add", "blackhole", "7.0.0.0/8", "table", "1000"]);
        let hub = "7.10.0.200".parse().unwrap();
        let found = config.conflicts(Network::DEFAULT, hub).await.unwrap();
        let route = |addr: &str, prefix_len, interface: Option<&str>| Conflict::Route {
            addr: addr.parse().unwrap(),
            prefix_len,
            interface: interface.map(str::to_owned),
        };
        assert_eq!(found.len(), 3, "{found:?}");
        for conflict in [
            Conflict::Hub { addr: Ipv4Addr::new(7, 10, 0, 200) },
            route("7.10.0.0", 25, Some("lan0")),
            route("7.0.0.0", 8, None),
        ] {
            assert!(found.contains(&conflict), "{conflict} not in {found:?}");
        }
        let mapped = "::ffff:7.10.0.200".parse().unwrap();
        assert_eq!(config.conflicts(Network::DEFAULT, mapped).await.unwrap().len(), 3);
    });
}

#[test]
fn host_leaves_no_more_to_be_done_than_is_wanted() {
    in_namespace(async {
        let (tun, _) = configured_tun_with(Offloads::NONE).await;
        let socket = UdpSocket::bind("7.10.0.2:4000").await.unwrap();
        socket.send_to(b"ping", "7.10.0.3:4001").await.unwrap();
        let (header, _) = next_ipv4(&tun).await;
        assert_eq!(header, VnetHeader::default(), "with its checksum");
        drop((tun, socket));
        let (tun, _) = configured_tun_with(Offloads { tcp: true, udp: false }).await;
        assert!(tun.offloads().tcp);
        let socket = UdpSocket::bind("7.10.0.2:4000").await.unwrap();
        socket.send_to(b"ping", "7.10.0.3:4001").await.unwrap();
        assert_eq!(next_ipv4(&tun).await.0.csum_start, 20, "the checksum is left to us");
    });
}

#[test]
fn networks_of_other_hubs_lead_into_the_interface_and_outlive_a_new_address() {
    in_namespace(async {
        let _tun = LinuxTun::create(NAME, MTU, Offloads::ALL).unwrap();
        let mut host = TunHost::new(NAME, MTU, false).unwrap();
        let place = |text: &str| Overlay { vip: vip(text), network: Network::DEFAULT };
        host.apply(None, place("7.10.0.2"), HUB).await.unwrap();
        let [berlin, oslo] = networks(["7.11.0.0/24", "7.12.0.0/16"]);
        assert!(host.route(&[berlin, oslo], HUB).await.is_empty());
        assert_eq!(routes(), ["7.10.0.0/24", "7.11.0.0/24", "7.12.0.0/16"]);
        let from = ip(&["-j", "route", "get", "7.12.3.4"]);
        assert_eq!((&from[0]["dev"], &from[0]["prefsrc"]), (&NAME.into(), &"7.10.0.2".into()));
        for promote_secondaries in ["0", "1"] {
            std::fs::write(PROMOTE_SECONDARIES, promote_secondaries).unwrap();
            host.apply(Some(place("7.10.0.2")), place("7.10.0.9"), HUB).await.unwrap();
            assert_eq!(routes(), ["7.10.0.0/24", "7.11.0.0/24", "7.12.0.0/16"]);
            let from = ip(&["-j", "route", "get", "7.12.3.4"]);
            assert_eq!(from[0]["prefsrc"], "7.10.0.9");
            host.apply(Some(place("7.10.0.9")), place("7.10.0.2"), HUB).await.unwrap();
        }
        // The own network moves into what was another hub's, which is told next.
        let moved = Overlay { vip: vip("7.12.0.7"), network: oslo };
        host.apply(Some(place("7.10.0.2")), moved, HUB).await.unwrap();
        assert!(host.route(&[berlin], HUB).await.is_empty());
        assert!(routes().contains(&"7.12.0.0/16".to_owned()), "{:?}", routes());
        // A route that is gone already is not missed.
        ip(&["route", "del", "7.11.0.0/24"]);
        assert!(host.route(&[], HUB).await.is_empty());
        assert_eq!(routes(), ["7.12.0.0/16"]);
    });
}

#[test]
fn networks_of_other_hubs_never_take_what_this_host_uses() {
    in_namespace(async {
        let _tun = LinuxTun::create(NAME, MTU, Offloads::ALL).unwrap();
        ip(&["tuntap", "add", "lan0", "mode", "tap"]);
        ip(&["addr", "add", "192.168.1.2/24", "dev", "lan0"]);
        ip(&["link", "set", "lan0", "up"]);
        // Force is for the own network alone.
        let mut host = TunHost::new(NAME, MTU, true).unwrap();
        let place = Overlay { vip: vip("7.10.0.2"), network: Network::DEFAULT };
        host.apply(None, place, HUB).await.unwrap();
        let all = networks(["192.0.2.0/24", "192.168.0.0/16", "192.168.1.128/25", "7.11.0.0/24"]);
        let failed = host.route(&all, HUB).await;
        let words: Vec<_> = failed.iter().map(|(_, why)| why.to_string()).collect();
        assert_eq!(
            words,
            [
                "the network 192.0.2.0/24 overlaps the hub's own address 192.0.2.1",
                "the network 192.168.0.0/16 overlaps the route 192.168.1.0/24 over lan0",
                "the network 192.168.1.128/25 overlaps the route 192.168.1.0/24 over lan0",
            ]
        );
        assert_eq!(routes(), ["192.168.1.0/24", "7.10.0.0/24", "7.11.0.0/24"]);
        // The hub is found at another address, which is in a network that was routed until now.
        let failed = host.route(&all[3..], "7.11.0.9".parse().unwrap()).await;
        assert_eq!(failed.len(), 1);
        assert_eq!(routes(), ["192.168.1.0/24", "7.10.0.0/24"]);
    });
}

#[test]
fn names_of_other_interfaces_are_taken() {
    in_namespace(async {
        let _tun = LinuxTun::create(NAME, MTU, Offloads::ALL).unwrap();
        ip(&["tuntap", "add", "dosp-old", "mode", "tun"]);
        for name in [NAME, "dosp-old", "lo"] {
            let error = LinuxTun::create(name, MTU, Offloads::ALL).unwrap_err();
            assert!(matches!(error, TunError::NameTaken { .. }), "{name}: {error:?}");
        }
    });
}

#[test]
fn missing_interface_is_an_error() {
    in_namespace(async {
        let config = NetConfig::open().unwrap();
        let configured = config.configure("gone", vip("7.10.0.2"), Network::DEFAULT, MTU).await;
        let error = configured.unwrap_err();
        assert!(matches!(error, NetError::Lookup { .. }), "{error:?}");
        assert!(!error.is_permission());
    });
}

#[test]
fn lack_of_privilege_is_told_apart() {
    in_namespace(async {
        let (_tun, config) = configured_tun().await;
        nix::unistd::setresuid(0.into(), 65534.into(), 0.into()).unwrap();
        let error = LinuxTun::create("dosp-other", MTU, Offloads::ALL).unwrap_err();
        let configured = config.configure(NAME, vip("7.10.0.2"), Network::DEFAULT, MTU).await;
        nix::unistd::setresuid(0.into(), 0.into(), 0.into()).unwrap();
        // Which of them is for the mode of /dev/net/tun to say.
        let is_told = matches!(error, TunError::NoPrivilege { .. } | TunError::DriverClosed { .. });
        assert!(is_told, "{error:?}");
        assert!(configured.unwrap_err().is_permission());
    });
}

/// Runs `test` on a thread that has a network namespace to itself; what it spawns inherits that.
fn in_namespace(test: impl Future<Output = ()> + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: a network namespace and a TUN need root");
        return;
    }
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

async fn configured_tun() -> (LinuxTun, NetConfig) {
    configured_tun_with(Offloads::ALL).await
}

async fn configured_tun_with(wanted: Offloads) -> (LinuxTun, NetConfig) {
    let tun = LinuxTun::create(NAME, MTU, wanted).unwrap();
    assert!(tun.offloads().is_within(wanted));
    assert_eq!(tun.name(), NAME);
    let config = NetConfig::open().unwrap();
    config.configure(NAME, vip("7.10.0.2"), Network::DEFAULT, MTU).await.unwrap();
    (tun, config)
}

/// The kernel sends IPv6 words of its own as soon as the interface is up.
async fn next_ipv4(tun: &LinuxTun) -> (VnetHeader, Vec<u8>) {
    let mut buffer = vec![0; 2048];
    loop {
        match tun.try_recv(&mut buffer) {
            Ok((header, len)) if buffer[0] >> 4 == 4 => return (header, buffer[..len].to_vec()),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                timeout(Duration::from_secs(5), tun.readable()).await.unwrap().unwrap();
            }
        }
    }
}

fn vip(text: &str) -> Vip {
    text.parse().unwrap()
}

fn addresses() -> Vec<String> {
    let link = ip(&["-j", "-4", "addr", "show", NAME]);
    let addresses = link[0]["addr_info"].as_array().unwrap();
    addresses
        .iter()
        .map(|addr| format!("{}/{}", addr["local"].as_str().unwrap(), addr["prefixlen"]))
        .collect()
}

fn networks<const N: usize>(of: [&str; N]) -> [Network; N] {
    of.map(|text| text.parse().unwrap())
}

/// Where the routes of the main table lead to, in the order of their text.
fn routes() -> Vec<String> {
    let routes = ip(&["-j", "route"]);
    let to = |route: &serde_json::Value| route["dst"].as_str().unwrap().to_owned();
    let mut routes: Vec<_> = routes.as_array().into_iter().flatten().map(to).collect();
    routes.sort();
    routes
}

fn ip(arguments: &[&str]) -> serde_json::Value {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}
