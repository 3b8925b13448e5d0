//! The hub's figures for Prometheus, made of what it reports of itself; nothing is counted here.
//!
//! `docs/operations.md` has the same names, labels and words in a table; a test compares.

use std::collections::BTreeMap;

use dosp_daemon::metrics::{Endpoint, Exposition, Family, Process};

use crate::HubHandle;
use crate::control::wire::{LinkState, PeerStatus, Peers, Status};

/// Nanoseconds of a second.
const NANOS: f64 = 1e9;
/// What the congestion control of a connection is called before something was written to it.
const UNKNOWN: &str = "unknown";

const BUILD: Family<1> =
    Family::gauge("dosp_hub_build_info", ["version"], "Always 1; the version of the hub.");
const SESSIONS: Family<0> =
    Family::gauge("dosp_hub_sessions", [], "Connections that have a vIP: clients and members.");
const MEMBERS: Family<0> = Family::gauge("dosp_hub_members", [], "Members, connected or not.");
const STRANGERS: Family<0> =
    Family::gauge("dosp_hub_strangers", [], "Connections that have not joined a closed hub yet.");
const CUT: Family<0> = Family::counter(
    "dosp_hub_sessions_cut_total",
    [],
    "Sessions cut because they read nothing, or too little for those who waited for them.",
);
const RX_FRAMES: Family<0> =
    Family::counter("dosp_hub_rx_frames_total", [], "Frames from sessions.");
const TX_FRAMES: Family<0> = Family::counter("dosp_hub_tx_frames_total", [], "Frames to sessions.");
const RX_BYTES: Family<0> = Family::counter(
    "dosp_hub_rx_bytes_total",
    [],
    "Bytes of the frames from sessions, before compression.",
);
const TX_BYTES: Family<0> = Family::counter(
    "dosp_hub_tx_bytes_total",
    [],
    "Bytes of the frames to sessions, before compression.",
);
const DROPPED: Family<1> = Family::counter(
    "dosp_hub_dropped_total",
    ["reason"],
    "Frames of flows for sessions and links that were dropped, see Drops.",
);
const QUEUED: Family<0> =
    Family::gauge("dosp_hub_queued_bytes", [], "Bytes that wait for all sessions.");
const RTT_MEDIAN: Family<0> = Family::gauge(
    "dosp_hub_session_rtt_median_seconds",
    [],
    "Smoothed round trip of the sessions' connections: half of them have less.",
);
const RTT_MAX: Family<0> =
    Family::gauge("dosp_hub_session_rtt_max_seconds", [], "The longest of these round trips.");
const CONGESTION: Family<1> = Family::gauge(
    "dosp_hub_session_congestion",
    ["congestion"],
    "Sessions by the congestion control of their connection; unknown before the first write.",
);
const NETWORKS: Family<0> =
    Family::gauge("dosp_hub_networks", [], "Networks of other hubs that a way leads to.");
const LINKS: Family<1> =
    Family::gauge("dosp_hub_links", ["state"], "Peers by their link: up, dialling or waiting.");
const LINK_UP: Family<1> = Family::gauge(
    "dosp_hub_link_up",
    ["network"],
    "1 while there is a link with this peer, else 0.",
);
const LINK_RX_FRAMES: Family<1> =
    Family::counter("dosp_hub_link_rx_frames_total", ["network"], "Frames from this peer.");
const LINK_TX_FRAMES: Family<1> =
    Family::counter("dosp_hub_link_tx_frames_total", ["network"], "Frames to this peer.");
const LINK_RX_BYTES: Family<1> = Family::counter(
    "dosp_hub_link_rx_bytes_total",
    ["network"],
    "Bytes of the frames from this peer.",
);
const LINK_TX_BYTES: Family<1> = Family::counter(
    "dosp_hub_link_tx_bytes_total",
    ["network"],
    "Bytes of the frames to this peer.",
);
const LINK_DROPPED: Family<1> = Family::counter(
    "dosp_hub_link_dropped_total",
    ["network"],
    "Frames from this peer or for it that did not pass.",
);
const LINK_RTT: Family<1> =
    Family::gauge("dosp_hub_link_rtt_seconds", ["network"], "How long the last echo took.");
const LINK_QUEUED: Family<1> =
    Family::gauge("dosp_hub_link_queued_bytes", ["network"], "Bytes that wait for this peer.");
const LINK_DELIVERY: Family<1> = Family::gauge(
    "dosp_hub_link_delivery_bytes_per_second",
    ["network"],
    "What arrives at this peer of what is sent, when there is much.",
);
const LINK_CONGESTION: Family<2> = Family::gauge(
    "dosp_hub_link_congestion_info",
    ["network", "congestion"],
    "Always 1; the congestion control of the link, by its name in the kernel.",
);

/// Answers scrapers for ever.
pub async fn serve(endpoint: Endpoint, hub: HubHandle) {
    let process = Process::this();
    let figures = move || {
        let text = text(&hub.status(), &hub.peers(), &process);
        async move { Some(text) }
    };
    endpoint.run(figures).await;
}

fn text(status: &Status, peers: &Peers, process: &Process) -> String {
    let mut exposition = Exposition::default();
    expose_hub(status, &mut exposition);
    expose_sessions(status, &mut exposition);
    expose_links(peers, &mut exposition);
    process.expose(&mut exposition);
    exposition.into_text()
}

fn expose_hub(status: &Status, exposition: &mut Exposition) {
    exposition.family(&BUILD, [([&status.version], 1)]);
    exposition.single(&SESSIONS, status.sessions.len());
    exposition.single(&MEMBERS, status.members);
    exposition.single(&STRANGERS, status.strangers);
    exposition.single(&CUT, status.sessions_cut);
    exposition.single(&RX_FRAMES, status.rx_frames);
    exposition.single(&TX_FRAMES, status.tx_frames);
    exposition.single(&RX_BYTES, status.rx_bytes);
    exposition.single(&TX_BYTES, status.tx_bytes);
    exposition.family(&DROPPED, status.dropped.iter().map(|(reason, count)| ([reason], count)));
}

fn expose_sessions(status: &Status, exposition: &mut Exposition) {
    let sessions = &status.sessions;
    exposition.single(&QUEUED, sessions.iter().map(|session| session.queued_bytes).sum::<u64>());
    let mut rtts: Vec<u64> = sessions.iter().filter_map(|session| session.rtt_ns).collect();
    rtts.sort_unstable();
    exposition.known(&RTT_MEDIAN, rtts.get(rtts.len() / 2).copied().map(seconds));
    exposition.known(&RTT_MAX, rtts.last().copied().map(seconds));
    let mut by_congestion = BTreeMap::from([(UNKNOWN, 0_u64)]);
    for session in sessions {
        *by_congestion.entry(session.congestion.as_deref().unwrap_or(UNKNOWN)).or_default() += 1;
    }
    exposition.family(&CONGESTION, by_congestion.into_iter().map(|(name, count)| ([name], count)));
}

/// Of each peer, of which there are as many as the configuration has.
fn expose_links(peers: &Peers, exposition: &mut Exposition) {
    let num_networks = peers.routes.iter().filter(|route| route.is_best).count();
    exposition.single(&NETWORKS, num_networks);
    let peers = &peers.peers;
    let states =
        [("up", LinkState::Up), ("dialling", LinkState::Dialling), ("waiting", LinkState::Waiting)];
    let num_links = |state| peers.iter().filter(|peer| peer.state == state).count();
    exposition.family(&LINKS, states.map(|(name, state)| ([name], num_links(state))));
    let mut add = |family: &Family<1>, of: fn(&PeerStatus) -> Option<u64>| {
        let figures = peers.iter().filter_map(|peer| Some(([peer.network.to_string()], of(peer)?)));
        exposition.family(family, figures);
    };
    add(&LINK_UP, |peer| Some((peer.state == LinkState::Up).into()));
    add(&LINK_RX_FRAMES, |peer| Some(peer.rx_frames));
    add(&LINK_TX_FRAMES, |peer| Some(peer.tx_frames));
    add(&LINK_RX_BYTES, |peer| Some(peer.rx_bytes));
    add(&LINK_TX_BYTES, |peer| Some(peer.tx_bytes));
    add(&LINK_DROPPED, |peer| Some(peer.dropped_frames));
    add(&LINK_QUEUED, |peer| Some(peer.queued_bytes));
    add(&LINK_DELIVERY, |peer| peer.delivery_rate);
    let rtt = |peer: &PeerStatus| Some(([peer.network.to_string()], seconds(peer.rtt_ns?)));
    exposition.family(&LINK_RTT, peers.iter().filter_map(rtt));
    let congestion =
        |peer: &PeerStatus| Some(([peer.network.to_string(), peer.congestion.clone()?], 1));
    exposition.family(&LINK_CONGESTION, peers.iter().filter_map(congestion));
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / NANOS
}
