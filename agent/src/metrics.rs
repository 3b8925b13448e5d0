//! The agent's figures for Prometheus, made of what it reports of itself; nothing is counted here.
//!
//! `docs/operations.md` has the same names, labels and words in a table; a test compares.

use dosp_daemon::metrics::{Endpoint, Exposition, Family, ListenError, Process};
use dosp_proto::member;
use dosp_transport::governor;

use crate::engine::{DropReason, PeerReport, QueueReport, Traffic, TunnelState};
use crate::failure::{Exit, Failure};
use crate::node::{LinkState, NodeHandle, NodeReport};

/// With more peers than this none has figures of its own: each series costs whoever collects them. Those of all
/// peers together are always there.
const MAX_PEERS: usize = 64;

const BUILD: Family<1> =
    Family::gauge("dosp_agent_build_info", ["version"], "Always 1; the version of the agent.");
const UP: Family<0> =
    Family::gauge("dosp_agent_up", [], "1 while the hub has let this host in, else 0.");
const RECONNECTS: Family<0> =
    Family::counter("dosp_agent_reconnects_total", [], "How often the link to the hub was lost.");
const HUB_RTT: Family<0> =
    Family::gauge("dosp_agent_hub_rtt_seconds", [], "Round trip of the last PING to the hub.");
const LINK_RTT: Family<0> = Family::gauge(
    "dosp_agent_link_rtt_seconds",
    [],
    "Smoothed round trip of the connection to the hub, as the kernel measures it.",
);
const LINK_MIN_RTT: Family<0> = Family::gauge(
    "dosp_agent_link_min_rtt_seconds",
    [],
    "Its shortest round trip of the last minutes.",
);
const LINK_DELIVERY: Family<0> = Family::gauge(
    "dosp_agent_link_delivery_bytes_per_second",
    [],
    "What arrives at the hub of what is sent, when there is much.",
);
const LINK_RETRANSMITTED: Family<0> = Family::counter(
    "dosp_agent_link_retransmitted_segments_total",
    [],
    "Segments sent once more; begins anew with each connection.",
);
const LINK_UNSENT: Family<0> =
    Family::gauge("dosp_agent_link_unsent_limit_bytes", [], "What may wait unsent in the kernel.");
const LINK_CONGESTION: Family<1> = Family::gauge(
    "dosp_agent_link_congestion_info",
    ["congestion"],
    "Always 1; the congestion control of the connection, by its name in the kernel.",
);
const MEMBERS: Family<1> = Family::gauge(
    "dosp_agent_members",
    ["state"],
    "Members of the networks, online or offline; no figure where the hub has no members.",
);
const NETWORKS: Family<1> =
    Family::gauge("dosp_agent_networks", ["state"], "Networks of other hubs, routed or unrouted.");
const PEERS: Family<1> = Family::gauge(
    "dosp_agent_peers",
    ["tunnel"],
    "Peers that were spoken to, by their tunnel: none, opening or open.",
);
const HANDSHAKES: Family<0> = Family::counter(
    "dosp_agent_handshakes_total",
    [],
    "Handshakes of version 2 that were done, renewals too; a refused one is a drop.",
);
const RX_FRAMES: Family<0> =
    Family::counter("dosp_agent_rx_frames_total", [], "Frames from peers.");
const RX_BYTES: Family<0> =
    Family::counter("dosp_agent_rx_bytes_total", [], "Bytes from peers, as the hub carries them.");
const TX_FRAMES: Family<0> = Family::counter("dosp_agent_tx_frames_total", [], "Frames to peers.");
const TX_BYTES: Family<0> =
    Family::counter("dosp_agent_tx_bytes_total", [], "Bytes to peers, as the hub carries them.");
const DROPPED: Family<1> = Family::counter(
    "dosp_agent_dropped_total",
    ["reason"],
    "Packets and frames that were dropped, see Drops.",
);
const QUEUED: Family<0> =
    Family::gauge("dosp_agent_queued_packets", [], "Packets that wait for the link.");
const QUEUED_LEN: Family<0> =
    Family::gauge("dosp_agent_queued_bytes", [], "Memory that they wait in.");
const QUEUE_LIMIT: Family<0> =
    Family::gauge("dosp_agent_queue_limit_bytes", [], "The most memory that they may wait in.");
const QUEUE_TARGET: Family<0> = Family::gauge(
    "dosp_agent_queue_target_seconds",
    [],
    "How long they may wait in the long run, by the path.",
);
const STAGED: Family<0> =
    Family::gauge("dosp_agent_staged_packets", [], "Packets that wait for a tunnel.");
const STAGED_LEN: Family<0> =
    Family::gauge("dosp_agent_staged_bytes", [], "Memory that they wait in.");
const PEER_RX_BYTES: Family<1> =
    Family::counter("dosp_agent_peer_rx_bytes_total", ["peer"], "Bytes from this peer.");
const PEER_TX_BYTES: Family<1> =
    Family::counter("dosp_agent_peer_tx_bytes_total", ["peer"], "Bytes to this peer.");
const PEER_DROPPED: Family<1> = Family::counter(
    "dosp_agent_peer_dropped_total",
    ["peer"],
    "Packets and frames of this peer and for it that were dropped, for all reasons.",
);
const PEER_QUEUED: Family<1> =
    Family::gauge("dosp_agent_peer_queued_bytes", ["peer"], "Bytes that wait for this peer.");

/// Answers scrapers until the node has ended.
pub(crate) async fn serve(endpoint: Endpoint, node: NodeHandle) {
    let process = Process::this();
    let figures = move || {
        let node = node.clone();
        async move { Some(text(&node.report().await?, &process)) }
    };
    endpoint.run(figures).await;
}

fn text(report: &NodeReport, process: &Process) -> String {
    let mut exposition = Exposition::default();
    expose(report, &mut exposition);
    process.expose(&mut exposition);
    exposition.into_text()
}

fn expose(report: &NodeReport, exposition: &mut Exposition) {
    exposition.family(&BUILD, [([env!("CARGO_PKG_VERSION")], 1)]);
    exposition.single(&UP, u8::from(matches!(report.link, LinkState::Up(_))));
    exposition.single(&RECONNECTS, report.num_link_losses);
    exposition.known(&HUB_RTT, report.hub_rtt.map(|rtt| rtt.as_secs_f64()));
    expose_link(report.path.as_ref(), exposition);
    expose_members(report, exposition);
    let tunnels = [
        ("none", TunnelState::None),
        ("opening", TunnelState::Opening),
        ("open", TunnelState::Open),
    ];
    let num_peers = |state| report.peers.iter().filter(|peer| peer.tunnel == state).count();
    exposition.family(&PEERS, tunnels.map(|(name, state)| ([name], num_peers(state))));
    exposition.single(&HANDSHAKES, report.num_handshakes);
    let Traffic { rx_frames, rx_bytes, tx_frames, tx_bytes } = report.traffic;
    exposition.single(&RX_FRAMES, rx_frames);
    exposition.single(&RX_BYTES, rx_bytes);
    exposition.single(&TX_FRAMES, tx_frames);
    exposition.single(&TX_BYTES, tx_bytes);
    let drops = DropReason::ALL.iter().map(|reason| ([reason.name()], report.drops.count(*reason)));
    exposition.family(&DROPPED, drops);
    expose_queue(&report.queue, exposition);
    expose_peers(&report.peers, exposition);
}

/// Where there is a connection, and as far as its kernel has measured it.
fn expose_link(path: Option<&governor::Report>, exposition: &mut Exposition) {
    let seconds = |of: fn(&governor::Report) -> std::time::Duration| {
        path.map(of).filter(|time| !time.is_zero()).map(|time| time.as_secs_f64())
    };
    exposition.known(&LINK_RTT, seconds(|path| path.rtt));
    exposition.known(&LINK_MIN_RTT, seconds(|path| path.min_rtt));
    exposition.known(&LINK_DELIVERY, path.and_then(|path| path.delivery_rate));
    exposition.known(&LINK_RETRANSMITTED, path.map(|path| path.retransmitted));
    exposition.known(&LINK_UNSENT, path.map(|path| path.unsent_limit));
    let congestion = path.map(|path| &path.congestion).filter(|name| !name.is_empty());
    exposition.family(&LINK_CONGESTION, congestion.map(|name| ([name], 1)));
}

fn expose_members(report: &NodeReport, exposition: &mut Exposition) {
    let split = |nodes: &Vec<member::Node>| {
        let online = nodes.iter().filter(|node| node.is_online).count();
        [(["online"], online), (["offline"], nodes.len() - online)]
    };
    exposition.family(&MEMBERS, report.nodes.as_ref().map(split).into_iter().flatten());
    let all = report.networks.iter().count();
    let routed = report.networks.iter().filter(|remote| remote.is_routed).count();
    exposition.family(&NETWORKS, [(["routed"], routed), (["unrouted"], all - routed)]);
}

fn expose_queue(queue: &QueueReport, exposition: &mut Exposition) {
    exposition.single(&QUEUED, queue.num_queued);
    exposition.single(&QUEUED_LEN, queue.queued_len);
    exposition.single(&QUEUE_LIMIT, queue.max_len);
    exposition.single(&QUEUE_TARGET, queue.target.as_secs_f64());
    exposition.single(&STAGED, queue.num_staged);
    exposition.single(&STAGED_LEN, queue.staged_len);
}

fn expose_peers(peers: &[PeerReport], exposition: &mut Exposition) {
    let peers = if peers.len() <= MAX_PEERS { peers } else { &[] };
    let mut add = |family: &Family<1>, of: fn(&PeerReport) -> u64| {
        exposition.family(family, peers.iter().map(|peer| ([peer.vip.to_string()], of(peer))));
    };
    add(&PEER_RX_BYTES, |peer| peer.rx_bytes);
    add(&PEER_TX_BYTES, |peer| peer.tx_bytes);
    add(&PEER_DROPPED, |peer| peer.drops.iter().map(|(_, count)| count).sum());
    add(&PEER_QUEUED, |peer| peer.queued_len as u64);
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        let hint = error.hint();
        Self::new(Exit::Failed, error).hint(hint)
    }
}

#[cfg(test)]
mod tests;
