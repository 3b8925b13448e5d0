//! What there is to say of each peer, and of all together.

use std::collections::{BTreeMap, BTreeSet};

use dosp_console::change::{Change, per_second};
use dosp_console::line::{Style, printable};
use dosp_console::table::{Cell, Column};
use dosp_console::units::{bit_rate, bytes, frequency, milliseconds, short_age};
use dosp_proto::vip::Vip;

use crate::cmd::status::way;
use crate::control::wire::{Peer, Status};

/// The table's columns; those with high ranks go first in a narrow terminal.
pub(super) const COLUMNS: [Column; 10] = [
    Column::words("PEER", 0, 28),
    Column::words("VIP", 5, 15),
    Column::words("PATH", 6, 24),
    Column::words("TUNNEL", 8, 9),
    Column::numbers("IN", 1, 11),
    Column::numbers("OUT", 2, 11),
    Column::numbers("RTT", 7, 7),
    Column::numbers("HEARD", 4, 7),
    Column::numbers("QUEUED", 9, 7),
    Column::numbers("DROPS", 3, 6),
];

/// A peer, and what came and went in a second.
#[derive(Debug)]
pub(super) struct Row<'a> {
    peer: &'a Peer,
    /// Also at the look before.
    was_there: bool,
    is_offline: bool,
    rx: Option<f64>,
    tx: Option<f64>,
    drops: Option<f64>,
}

impl<'a> Row<'a> {
    /// All peers, by vIP.
    pub(super) fn all(change: &Change<'a, Status>) -> Vec<Self> {
        let before: BTreeMap<Vip, &Peer> = match change.before {
            Some((before, _)) => before.peers.iter().map(|peer| (peer.vip, peer)).collect(),
            None => BTreeMap::new(),
        };
        let nodes = change.now.nodes.iter().flatten();
        let offline: BTreeSet<Vip> =
            nodes.filter(|node| !node.online).map(|node| node.vip).collect();
        let row = |peer: &'a Peer| {
            let rate = |counter: fn(&Peer) -> u64| {
                let (_, elapsed) = change.before?;
                per_second(counter(before.get(&peer.vip)?), counter(peer), elapsed)
            };
            Row {
                peer,
                was_there: before.contains_key(&peer.vip),
                is_offline: offline.contains(&peer.vip),
                rx: rate(|peer| peer.rx_bytes),
                tx: rate(|peer| peer.tx_bytes),
                drops: rate(|peer| peer.dropped.values().sum()),
            }
        };
        change.now.peers.iter().map(row).collect()
    }

    /// The `len` busiest of them, by vIP as before: a row keeps its place as long as it can.
    pub(super) fn busiest(mut rows: Vec<Self>, len: usize) -> Vec<Self> {
        if rows.len() > len {
            rows.sort_by(|a, b| b.weight().total_cmp(&a.weight()));
            rows.truncate(len);
            rows.sort_by_key(|row| row.peer.vip);
        }
        rows
    }

    /// Traffic, and before those that have none whoever was heard last.
    fn weight(&self) -> f64 {
        let traffic = self.rx.unwrap_or_default() + self.tx.unwrap_or_default();
        let heard = self.peer.verified_ago_ns.map_or(0.0, |ago| 1.0 / (1.0 + ago as f64));
        traffic + heard
    }

    pub(super) fn is_busy(&self) -> bool {
        [self.rx, self.tx, self.drops].into_iter().flatten().any(|rate| rate > 0.0)
    }

    /// The cells, as [`COLUMNS`] has them.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let peer = self.peer;
        let style = if self.is_busy() { Style::Plain } else { Style::Dim };
        let name = if self.is_busy() { Style::Bold } else { Style::Plain };
        let drops = if self.drops > Some(0.0) { Style::Warn } else { style };
        let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            (name, self.name()),
            (style, peer.vip.to_string()),
            (style, self.path()),
            self.tunnel(style),
            (style, bit_rate(self.rx)),
            (style, bit_rate(self.tx)),
            (style, known(peer.rtt_ns.map(milliseconds))),
            (style, self.heard()),
            (style, bytes(peer.queued_bytes)),
            (drops, frequency(self.drops)),
        ]
    }

    /// The same in words.
    pub(super) fn line(&self) -> String {
        let rtt = self.peer.rtt_ns.map(|rtt| format!(" rtt {}", milliseconds(rtt)));
        format!(
            "peer {} {} {} in {} out {}{} queued {} drops {}",
            self.name(),
            self.peer.vip,
            self.path(),
            bit_rate(self.rx),
            bit_rate(self.tx),
            rtt.unwrap_or_default(),
            bytes(self.peer.queued_bytes),
            frequency(self.drops),
        )
    }

    fn name(&self) -> String {
        match (&self.peer.name, &self.peer.claimed_name) {
            (Some(name), _) => printable(name),
            (None, Some(claim)) => format!("{}?", printable(claim)),
            (None, None) => self.peer.vip.to_string(),
        }
    }

    fn path(&self) -> String {
        way(self.peer.via.as_deref(), self.peer.hops)
            .map_or_else(|| "direct".to_owned(), |way| printable(&way))
    }

    fn tunnel(&self, style: Style) -> Cell {
        match (self.peer.tunnel_version, &self.peer.refusal) {
            (Some(version), _) if self.peer.authenticated => (style, format!("v{version}")),
            (Some(version), _) => (Style::Warn, format!("v{version}, open")),
            (None, Some(_)) => (Style::Bad, "refused".to_owned()),
            (None, None) => (style, printable(&self.peer.tunnel)),
        }
    }

    fn heard(&self) -> String {
        match self.peer.verified_ago_ns {
            _ if self.is_offline => "offline".to_owned(),
            Some(ago) => short_age(ago),
            None => "never".to_owned(),
        }
    }
}

/// What all peers together send and are sent in a second, in bytes. Peers that came or went between do not
/// count; where all went, another agent has come, and nothing is known.
pub(super) fn traffic(change: &Change<'_, Status>, rows: &[Row<'_>]) -> [Option<f64>; 2] {
    let is_known = change
        .before
        .is_some_and(|(before, _)| before.peers.is_empty() || rows.iter().any(|row| row.was_there));
    let sum = |rate: fn(&Row<'_>) -> Option<f64>| {
        let rates = rows.iter().filter(|row| row.was_there).map(rate);
        rates.sum::<Option<f64>>().filter(|_| is_known)
    };
    [sum(|row| row.rx), sum(|row| row.tx)]
}
