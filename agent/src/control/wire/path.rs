//! How packets get from the host to the hub, and back: what waits, in what size, over which path.

use dosp_transport::governor;
use serde::{Deserialize, Serialize};

use super::nanos;
use crate::engine::QueueReport;
use crate::node::OffloadReport;

/// What waits for the link, and for tunnels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Queue {
    /// Packets that wait for the link.
    pub packets: u64,
    /// Memory that they wait in.
    pub bytes: u64,
    /// Flows that they belong to, and those that have just had their turn.
    pub flows: u64,
    /// The most memory that they may wait in.
    pub max_bytes: u64,
    /// How long they may wait in the long run; by the path.
    pub target_ns: u64,
    /// Memory of packets that wait for tunnels.
    pub staged_bytes: u64,
}

impl From<QueueReport> for Queue {
    fn from(report: QueueReport) -> Self {
        Self {
            packets: report.num_queued as u64,
            bytes: report.queued_len as u64,
            flows: report.num_flows as u64,
            max_bytes: report.max_len as u64,
            target_ns: nanos(report.target),
            staged_bytes: report.staged_len as u64,
        }
    }
}

/// What the interface leaves to this program, and the other way round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offload {
    /// Whether super-packets of TCP pass.
    pub tcp: bool,
    /// Whether those of UDP do.
    pub udp: bool,
    /// Whether the kernel refused one, and all are cut before it gets them.
    pub splits: bool,
}

impl From<OffloadReport> for Offload {
    fn from(report: OffloadReport) -> Self {
        let OffloadReport { offloads, splits } = report;
        Self { tcp: offloads.tcp, udp: offloads.udp, splits }
    }
}

/// How the connection with the hub fared when it last had something to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Link {
    /// The congestion control in use, by its name in the kernel.
    pub congestion: String,
    /// The setting: `auto`, `kernel`, `cubic` or `bbr`.
    pub wanted: String,
    /// What of it could not be used last, and why.
    pub refused: Option<String>,
    /// Bytes that may wait unsent in the kernel.
    pub unsent_limit: u64,
    /// The smoothed round trip of the connection; 0 before it is known.
    pub rtt_ns: u64,
    /// The shortest round trip of the last minutes; 0 before it is known.
    pub min_rtt_ns: u64,
    /// What arrives, in bytes per second; `null` before it is known.
    pub delivery_rate: Option<u64>,
    /// Segments sent once more.
    pub retransmitted: u64,
}

impl From<governor::Report> for Link {
    fn from(report: governor::Report) -> Self {
        Self {
            congestion: report.congestion,
            wanted: report.wanted.to_string(),
            refused: report.refused,
            unsent_limit: report.unsent_limit.into(),
            rtt_ns: nanos(report.rtt),
            min_rtt_ns: nanos(report.min_rtt),
            delivery_rate: report.delivery_rate,
            retransmitted: report.retransmitted.into(),
        }
    }
}
