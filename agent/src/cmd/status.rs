//! `status`, `peers` and `ip`: what the running agent says of itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use dosp_console::table::aligned;
use dosp_console::units::{age, bytes};

use super::{Agent, connect};
use crate::cli::{self, Json, PeerArg};
use crate::config::Settings;
use crate::control::wire::{Link, Node, Offload, OtherNetwork, Peer, Queue, State, Status};
use crate::failure::{Exit, Failure};

/// `dosp-agent status`.
pub(crate) async fn status(args: &cli::Status, settings: &Settings) -> Result<(), Failure> {
    if args.watch {
        return super::watch::run(args, &settings.socket()).await;
    }
    let status = connect(&settings.socket()).await?.status().await?;
    print(if args.output.json { json(&status)? } else { overview(&status) })
}

/// `dosp-agent peers`.
pub(crate) async fn peers(args: &Json, settings: &Settings) -> Result<(), Failure> {
    let status = connect(&settings.socket()).await?.status().await?;
    print(if args.json {
        let Status { peers, nodes, networks, .. } = status;
        json(&serde_json::json!({
            "schema": "dosp.peers/1", "peers": peers, "nodes": nodes, "networks": networks,
        }))?
    } else {
        table(&status)
    })
}

/// `dosp-agent ip`.
pub(crate) async fn ip(peer: Option<&PeerArg>, settings: &Settings) -> Result<(), Failure> {
    if let Some(peer) = peer {
        let vip = Agent::Running(settings.socket()).resolve(peer).await?;
        return print(format!("{vip}\n"));
    }
    let status = connect(&settings.socket()).await?.status().await?;
    match status.vip {
        Some(vip) => {
            // Words, so that the vIP alone is what scripts get.
            tracing::warn!("the fingerprint of this host's key is {}", status.fingerprint);
            print(format!("{vip}\n"))
        }
        None => Err(Failure::text(Exit::NotReachable, "the agent has no vIP yet")
            .hint("'dosp-agent status' shows why")),
    }
}

pub(super) fn print(text: String) -> Result<(), Failure> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(text + "\n")
}

fn overview(status: &Status) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    let mut state = status.state.name().to_owned();
    if let (State::Up, Some(up_for)) = (status.state, status.up_for_ns) {
        state = format!("up for {}", age(up_for));
    }
    if let (true, Some(error)) = (status.state != State::Up, &status.last_error) {
        state = format!("{state}: {error}");
    }
    lines.push(("state", state));
    if let (Some(vip), Some(network)) = (status.vip, status.network) {
        lines.push(("vIP", format!("{vip} in {network}")));
    }
    lines.push(("name", status.name.clone().unwrap_or_else(|| "none".to_owned())));
    lines.push(("fingerprint", status.fingerprint.clone()));
    let rtt = status.hub_rtt_ns.map(|rtt| format!(", {:.1} ms away", rtt as f64 / 1e6));
    lines.push(("hub", format!("{}{}", status.hub, rtt.unwrap_or_default())));
    lines.extend(status.hub_fingerprint.clone().map(|fingerprint| ("hub's key", fingerprint)));
    let heads = std::iter::once("networks").chain(std::iter::repeat(""));
    lines.extend(heads.zip(status.networks.iter().map(other_network)));
    lines.push(("reconnects", status.reconnects.to_string()));
    lines.extend(status.link.as_ref().map(|path| ("link", link(path))));
    lines.extend(status.queue.as_ref().map(|waiting| ("queue", queue(waiting))));
    if let (Some(tun), Some(mtu)) = (&status.tun, status.mtu) {
        lines.push(("interface", format!("{tun}, MTU {mtu}")));
    }
    lines.extend(status.offload.as_ref().map(|has| ("offload", offload(has))));
    let shields = if status.shields_up { "up" } else { "down: every peer can reach this host" };
    lines.push(("shields", shields.to_owned()));
    let dropped = counts(&status.dropped);
    lines.push(("dropped", if dropped.is_empty() { "nothing".to_owned() } else { dropped }));
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a String cannot fail.
        writeln!(text, "{name:<11} {value}").ok();
    }
    if !status.peers.is_empty() || status.nodes.as_ref().is_some_and(|nodes| !nodes.is_empty()) {
        text.push('\n');
        text.push_str(&table(status));
    }
    text
}

fn link(link: &Link) -> String {
    let mut words = link.congestion.clone();
    if link.rtt_ns > 0 {
        let [rtt, min_rtt] = [link.rtt_ns, link.min_rtt_ns].map(|ns| ns as f64 / 1e6);
        write!(words, ", round trip {rtt:.1} ms, {min_rtt:.1} ms at best").ok();
    }
    if let Some(rate) = link.delivery_rate {
        write!(words, ", {}/s", bytes(rate)).ok();
    }
    if let Some(refused) = &link.refused {
        write!(words, "; not {refused}").ok();
    }
    words
}

fn queue(queue: &Queue) -> String {
    let waiting = match queue.packets {
        0 => "empty".to_owned(),
        packets => format!("{packets} packets in {}", bytes(queue.bytes)),
    };
    match queue.staged_bytes {
        0 => waiting,
        staged => format!("{waiting}; {} wait for tunnels", bytes(staged)),
    }
}

fn offload(offload: &Offload) -> String {
    let has = match (offload.tcp, offload.udp) {
        (true, true) => "TCP and UDP",
        (true, false) => "TCP",
        (false, true) => "UDP",
        (false, false) => "none",
    };
    let splits =
        if offload.splits { "; this kernel takes none back: they are cut here" } else { "" };
    format!("{has}{splits}")
}

fn other_network(other: &OtherNetwork) -> String {
    let hub = other.hub.as_ref().map(|hub| format!(" of {hub}")).unwrap_or_default();
    let way = match other.hops {
        Some(hops) => format!("{} hubs", u16::from(hops) + 1),
        None => "no way leads there now".to_owned(),
    };
    let routed = match (other.routed, &other.why) {
        (true, _) => String::new(),
        (false, None) => "; NOT ROUTED".to_owned(),
        (false, Some(why)) => format!("; NOT ROUTED: {why}"),
    };
    format!("{}{hub}, {way}{routed}", other.network)
}

/// Over which hubs a peer is reached, where that is not this host's own alone.
pub(super) fn way(via: Option<&str>, hops: Option<u8>) -> Option<String> {
    match (via, hops) {
        (None, Some(0) | None) => None,
        (Some(via), Some(hops)) => Some(format!("via {via}, {} hubs", u16::from(hops) + 1)),
        (None, Some(hops)) => Some(format!("via {} hubs", u16::from(hops) + 1)),
        (Some(via), None) => Some(format!("no way leads to {via} now")),
    }
}

/// Whom this host has spoken to, and all other members of the networks.
pub(super) fn table(status: &Status) -> String {
    let heads = ["PEER", "NAME", "TUNNEL", "FINGERPRINT", "SESSION", "LAST FRAME", "RX", "TX", ""];
    let nodes: BTreeMap<_, _> =
        status.nodes.iter().flatten().map(|node| (node.vip, node)).collect();
    let mut rows = BTreeMap::new();
    for node in nodes.values().filter(|node| Some(node.vip) != status.vip) {
        let name = node.name.clone().unwrap_or_else(|| "-".to_owned());
        let [dash, never, none] = ["-", "never", "0 B in 0"].map(str::to_owned);
        let row = [
            node.vip.to_string(),
            name,
            "none".to_owned(),
            node.fingerprint.clone(),
            dash,
            never,
            none.clone(),
            none,
            joined([way(node.via.as_deref(), node.hops), presence(node).map(str::to_owned)]),
        ];
        rows.insert(node.vip, row);
    }
    for peer in &status.peers {
        let mut row = spoken_to(peer);
        if let (Some(node), Some(last)) = (nodes.get(&peer.vip), row.last_mut()) {
            let said = Some(std::mem::take(last)).filter(|words| !words.is_empty());
            *last = joined([presence(node).map(str::to_owned), said]);
        }
        rows.insert(peer.vip, row);
    }
    let rows: Vec<_> =
        std::iter::once(heads.map(str::to_owned)).chain(rows.into_values()).collect();
    aligned(&rows)
}

const fn presence(node: &Node) -> Option<&'static str> {
    if node.online { None } else { Some("offline") }
}

fn joined(remarks: impl IntoIterator<Item = Option<String>>) -> String {
    remarks.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn spoken_to(peer: &Peer) -> [String; 9] {
    let name = match (&peer.name, &peer.claimed_name) {
        (Some(name), _) => name.clone(),
        (None, Some(claim)) => format!("{claim}?"),
        (None, None) => "-".to_owned(),
    };
    let last = peer.verified_ago_ns.map_or("never".to_owned(), |ns| format!("{} ago", age(ns)));
    [
        peer.vip.to_string(),
        name,
        tunnel(peer),
        peer.fingerprint.clone().unwrap_or_else(|| "-".to_owned()),
        peer.session_age_ns.map_or("-".to_owned(), age),
        last,
        format!("{} in {}", bytes(peer.rx_bytes), peer.rx_frames),
        format!("{} in {}", bytes(peer.tx_bytes), peer.tx_frames),
        remarks(peer),
    ]
}

fn tunnel(peer: &Peer) -> String {
    match (peer.tunnel.as_str(), peer.tunnel_version) {
        ("open", Some(version)) if !peer.authenticated => {
            format!("version {version} UNAUTHENTICATED")
        }
        ("open", Some(version)) => format!("version {version}"),
        (state, _) => state.to_owned(),
    }
}

fn remarks(peer: &Peer) -> String {
    let refusal = peer.refusal.as_ref().map(|words| format!("refuses: {words}"));
    let dropped = Some(counts(&peer.dropped)).filter(|dropped| !dropped.is_empty());
    let dropped = dropped.map(|dropped| format!("dropped: {dropped}"));
    joined([way(peer.via.as_deref(), peer.hops), refusal, dropped])
}

fn counts(dropped: &BTreeMap<String, u64>) -> String {
    let counts = dropped.iter().map(|(reason, count)| format!("{reason} {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overview_of_a_running_agent() {
        let status: Status = serde_json::from_str(include_str!("status/golden.json")).unwrap();
        assert_eq!(overview(&status), include_str!("status/golden.txt"));
        let again: serde_json::Value = serde_json::from_str(&json(&status).unwrap()).unwrap();
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("status/golden.json")).unwrap();
        assert_eq!(again, golden, "the schema is what the golden file shows");
    }

    #[test]
    fn agent_of_before_says_nothing_of_its_path() {
        let mut golden: serde_json::Value =
            serde_json::from_str(include_str!("status/golden.json")).unwrap();
        for field in ["queue", "offload", "link"] {
            golden.as_object_mut().unwrap().remove(field).unwrap();
        }
        let words = overview(&serde_json::from_value(golden).unwrap());
        for word in ["\nqueue ", "\noffload ", "\nlink "] {
            assert!(!words.contains(word), "{words}");
        }
    }

    #[test]
    fn path_is_told_as_far_as_it_is_known() {
        let status: Status = serde_json::from_str(include_str!("status/golden.json")).unwrap();
        let path = status.link.unwrap();
        let path = Link { rtt_ns: 0, delivery_rate: None, refused: None, ..path };
        assert_eq!(link(&path), "cubic");
        assert_eq!(queue(&Queue { packets: 0, staged_bytes: 0, ..status.queue.unwrap() }), "empty");
        let refused = offload(&Offload { tcp: true, udp: false, splits: true });
        assert_eq!(refused, "TCP; this kernel takes none back: they are cut here");
    }
}
