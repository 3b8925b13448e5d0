//! `dosp-server peers`: this hub's key, its links, and its routes.

use clap::{Args, Subcommand};
use dosp_console::table::aligned;
use dosp_proto::label::Label;
use dosp_server::control::client;
use dosp_server::control::wire::{DialledBy, LinkState, PeerStatus, Peers, RouteStatus};

use super::ask::{print, socket};
use super::run_args::{Place, PlaceArgs};

#[derive(Debug, Args)]
pub(super) struct PeersArgs {
    #[command(subcommand)]
    command: Option<PeersCommand>,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Subcommand)]
enum PeersCommand {
    /// List the peers and the routes, as without a command
    List,
}

pub(super) fn peers(args: PeersArgs, place: Place) -> anyhow::Result<()> {
    let (None | Some(PeersCommand::List)) = args.command;
    let peers = client::peers(&socket(args.place.or(place))?)?;
    let text = if args.json { serde_json::to_string(&peers)? } else { in_words(&peers) };
    print(&text);
    Ok(())
}

fn in_words(peers: &Peers) -> String {
    let name = peers.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let key = peers
        .key
        .as_deref()
        .unwrap_or("none: without a state folder it knows peers by address only");
    let mut lines = vec![
        format!("key      {key}"),
        format!("hub      {name}{} of {}", peers.network.hub(), peers.network),
        format!("peers    {}", peers.peers.len()),
    ];
    if !peers.peers.is_empty() {
        lines.push(String::new());
        lines.extend(links_in_words(&peers.peers));
    }
    if !peers.routes.is_empty() {
        lines.push(String::new());
        lines.extend(routes_in_words(&peers.routes));
    }
    lines.join("\n")
}

fn links_in_words(peers: &[PeerStatus]) -> Vec<String> {
    let head = ["hub", "network", "address", "link", "RTT", "rx", "tx", "dropped", ""];
    let rows = peers.iter().map(|peer| {
        [
            name(peer.hub.as_ref()),
            peer.network.to_string(),
            peer.addr.clone().unwrap_or_else(|| "-".to_owned()),
            link(peer).to_owned(),
            peer.rtt_ns.map_or_else(|| "-".to_owned(), milliseconds),
            peer.rx_frames.to_string(),
            peer.tx_frames.to_string(),
            peer.dropped_frames.to_string(),
            if peer.authenticated { "" } else { "UNAUTHENTICATED" }.to_owned(),
        ]
    });
    let table = table(head, rows);
    let mut table = table.lines().map(str::to_owned);
    let mut lines: Vec<_> = table.next().into_iter().collect();
    for (line, peer) in table.zip(peers) {
        lines.push(line);
        // The peer may have had a say in it.
        let why = peer.last_error.as_ref().map(|why| why.escape_debug());
        lines.extend(why.map(|why| format!("  last error: {why}")));
    }
    lines
}

fn link(peer: &PeerStatus) -> &'static str {
    match (peer.state, peer.dialled_by) {
        (LinkState::Up, Some(DialledBy::Us)) => "up, dialled by us",
        (LinkState::Up, Some(DialledBy::Them)) => "up, dialled by them",
        (LinkState::Up, None) => "up",
        (LinkState::Dialling, Some(DialledBy::Them)) => "dialling us",
        (LinkState::Dialling, _) => "dialling",
        (LinkState::Waiting, _) => "waiting",
    }
}

fn routes_in_words(routes: &[RouteStatus]) -> Vec<String> {
    let head = ["network", "hub", "via", "hops", ""];
    let rows = routes.iter().map(|route| {
        let best = if route.is_best { "*" } else { "" };
        let (network, hops) = (route.network.to_string(), route.num_hops.to_string());
        [network, name(route.hub.as_ref()), route.via.clone(), hops, best.to_owned()]
    });
    table(head, rows).lines().map(str::to_owned).collect()
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    aligned(&std::iter::once(head.map(str::to_owned)).chain(rows).collect::<Vec<_>>())
}

fn name(hub: Option<&Label>) -> String {
    hub.map_or("-", Label::as_str).to_owned()
}

fn milliseconds(nanos: u64) -> String {
    let micros = nanos / 1_000;
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = concat!(
        r#"{"schema":"dosp.hub-peers/1","name":"home","network":"10.1.2.0/24","#,
        r#""key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","peers":[{"hub":"lab","#,
        r#""addr":"192.0.2.7:7744","network":"10.8.0.0/16","state":"up","dialled_by":"us","#,
        r#""authenticated":true,"fingerprint":"OLGW5-BBCYQ-D7W3I-JQ2IP","#,
        r#""up_for_ns":60000000000,"rtt_ns":12345678,"rx_frames":1000,"tx_frames":20,"#,
        r#""rx_bytes":90000,"tx_bytes":1800,"#,
        r#""dropped_frames":3,"queued_bytes":70000,"congestion":"cubic","#,
        r#""delivery_rate":12500000,"last_error":null},{"hub":null,"addr":null,"#,
        r#""network":"10.9.0.0/24","state":"waiting","dialled_by":null,"authenticated":true,"#,
        r#""fingerprint":"OLGW5-BBCYQ-D7W3I-JQ2IP","up_for_ns":null,"rtt_ns":null,"#,
        r#""rx_frames":0,"tx_frames":0,"rx_bytes":0,"tx_bytes":0,"dropped_frames":0,"queued_bytes":0,"#,
        r#""congestion":null,"delivery_rate":null,"last_error":"closed: \u001b[2J"},"#,
        r#"{"hub":null,"addr":"hub.example:7744","network":"7.11.0.0/24","state":"dialling","#,
        r#""dialled_by":"us","authenticated":false,"fingerprint":null,"up_for_ns":null,"#,
        r#""rtt_ns":null,"rx_frames":0,"tx_frames":0,"rx_bytes":0,"tx_bytes":0,"dropped_frames":0,"queued_bytes":0,"#,
        r#""congestion":null,"delivery_rate":null,"last_error":null}],"#,
        r#""routes":[{"network":"10.8.0.0/16","hub":"lab","via":"lab","num_hops":1,"#,
        r#""is_best":true},{"network":"10.8.0.0/16","hub":"lab","via":"10.9.0.0/24","#,
        r#""num_hops":2,"is_best":false}]}"#,
    );
    const WORDS: &str = "\
key      AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
hub      home: 10.1.2.1 of 10.1.2.0/24
peers    3

hub  network      address           link               RTT        rx    tx  dropped
lab  10.8.0.0/16  192.0.2.7:7744    up, dialled by us  12.345 ms  1000  20  3
-    10.9.0.0/24  -                 waiting            -          0     0   0
  last error: closed: \\u{1b}[2J
-    7.11.0.0/24  hub.example:7744  dialling           -          0     0   0        UNAUTHENTICATED

network      hub  via          hops
10.8.0.0/16  lab  lab          1     *
10.8.0.0/16  lab  10.9.0.0/24  2";

    #[test]
    fn peers_are_the_same_in_json_and_in_words() {
        let peers: Peers = serde_json::from_str(JSON).unwrap();
        assert_eq!(serde_json::to_string(&peers).unwrap(), JSON);
        assert_eq!(in_words(&peers), WORDS);
    }

    #[test]
    fn hub_that_stands_alone_says_so_and_why_it_has_no_key() {
        let peers: Peers = serde_json::from_str(JSON).unwrap();
        let (name, key, none, routes) = (None, None, Vec::new(), Vec::new());
        let words = in_words(&Peers { name, key, peers: none, routes, ..peers });
        let expected = "\
key      none: without a state folder it knows peers by address only
hub      10.1.2.1 of 10.1.2.0/24
peers    0";
        assert_eq!(words, expected);
    }
}
