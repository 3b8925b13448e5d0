//! What there is to say of each client and each link.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dosp_console::change::{Change, per_second};
use dosp_console::line::{Style, printable};
use dosp_console::table::{Cell, Column};
use dosp_console::units::{bit_rate, bytes, frequency, milliseconds, short_age};
use dosp_proto::label::Label;
use dosp_proto::vip::{Network, Vip};
use dosp_server::control::wire::{LinkState, PeerStatus, SessionStatus};

use super::Snapshot;

/// The columns of clients; those with high ranks go first in a narrow terminal.
pub(super) const CLIENT_COLUMNS: [Column; 9] = [
    Column::words("CLIENT", 0, 24),
    Column::words("VIP", 4, 15),
    Column::words("ADDRESS", 6, 47),
    Column::numbers("IN", 1, 11),
    Column::numbers("OUT", 2, 11),
    Column::numbers("QUEUED", 3, 8),
    Column::numbers("RTT", 5, 8),
    Column::words("CC", 7, 12),
    Column::numbers("UP", 8, 6),
];

/// Those of links.
pub(super) const LINK_COLUMNS: [Column; 9] = [
    Column::words("LINK", 0, 24),
    Column::words("NETWORK", 4, 18),
    Column::words("STATE", 3, 8),
    Column::numbers("IN", 1, 11),
    Column::numbers("OUT", 2, 11),
    Column::numbers("QUEUED", 6, 8),
    Column::numbers("RTT", 5, 8),
    Column::words("CC", 8, 12),
    Column::numbers("DROPS", 7, 6),
];

/// A client, and bytes from it and to it in a second.
#[derive(Debug)]
pub(super) struct Client<'a> {
    session: &'a SessionStatus,
    rx: Option<f64>,
    tx: Option<f64>,
}

impl<'a> Client<'a> {
    /// All of them, by vIP.
    pub(super) fn all(change: &Change<'a, Snapshot>) -> Vec<Self> {
        // Who came back has other counters, at another address.
        let key = |session: &SessionStatus| (session.vip, session.addr);
        let before: BTreeMap<(Vip, SocketAddr), &SessionStatus> = match change.before {
            Some((before, _)) => {
                before.status.sessions.iter().map(|session| (key(session), session)).collect()
            }
            None => BTreeMap::new(),
        };
        let client = |session: &'a SessionStatus| {
            let rate = |counter: fn(&SessionStatus) -> u64| {
                let (_, elapsed) = change.before?;
                per_second(counter(before.get(&key(session))?), counter(session), elapsed)
            };
            let (rx, tx) = (rate(|session| session.rx_bytes), rate(|session| session.tx_bytes));
            Self { session, rx, tx }
        };
        change.now.status.sessions.iter().map(client).collect()
    }

    /// The `len` busiest of them, by vIP as before: a row keeps its place as long as it can.
    pub(super) fn busiest(mut clients: Vec<Self>, len: usize) -> Vec<Self> {
        if clients.len() > len {
            clients.sort_by(|a, b| b.traffic().total_cmp(&a.traffic()));
            clients.truncate(len);
            clients.sort_by_key(|client| client.session.vip);
        }
        clients
    }

    fn traffic(&self) -> f64 {
        self.rx.unwrap_or_default() + self.tx.unwrap_or_default()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.traffic() > 0.0
    }

    /// The cells, as [`CLIENT_COLUMNS`] has them.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let session = self.session;
        let style = if self.is_busy() { Style::Plain } else { Style::Dim };
        let name = if self.is_busy() { Style::Bold } else { Style::Plain };
        vec![
            (name, self.name()),
            (style, session.vip.to_string()),
            (style, session.addr.to_string()),
            (style, bit_rate(self.rx)),
            (style, bit_rate(self.tx)),
            (style, bytes(session.queued_bytes)),
            (style, or_dash(session.rtt_ns.map(milliseconds))),
            (style, or_dash(session.congestion.as_deref().map(printable))),
            (style, short_age(session.up_for_ns)),
        ]
    }

    /// The same in words.
    pub(super) fn line(&self) -> String {
        let session = self.session;
        format!(
            "client {} {} {} in {} out {} queued {} rtt {}",
            self.name(),
            session.vip,
            session.addr,
            bit_rate(self.rx),
            bit_rate(self.tx),
            bytes(session.queued_bytes),
            or_dash(session.rtt_ns.map(milliseconds)),
        )
    }

    fn name(&self) -> String {
        let name = self.session.name.as_ref().map(|name| printable(name.as_str()));
        name.unwrap_or_else(|| self.session.vip.to_string())
    }
}

/// A link with another hub, and what came and went in a second.
#[derive(Debug)]
pub(super) struct Link<'a> {
    peer: &'a PeerStatus,
    rx: Option<f64>,
    tx: Option<f64>,
    drops: Option<f64>,
}

impl<'a> Link<'a> {
    /// All of them, in the order of the configuration.
    pub(super) fn all(change: &Change<'a, Snapshot>) -> Vec<Self> {
        let before: BTreeMap<Network, &PeerStatus> = match change.before {
            Some((before, _)) => {
                before.peers.peers.iter().map(|peer| (peer.network, peer)).collect()
            }
            None => BTreeMap::new(),
        };
        let link = |peer: &'a PeerStatus| {
            let rate = |counter: fn(&PeerStatus) -> u64| {
                let (_, elapsed) = change.before?;
                per_second(counter(before.get(&peer.network)?), counter(peer), elapsed)
            };
            Self {
                peer,
                rx: rate(|peer| peer.rx_bytes),
                tx: rate(|peer| peer.tx_bytes),
                drops: rate(|peer| peer.dropped_frames),
            }
        };
        change.now.peers.peers.iter().map(link).collect()
    }

    /// The cells, as [`LINK_COLUMNS`] has them.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let peer = self.peer;
        let is_up = peer.state == LinkState::Up;
        let style = if is_up { Style::Plain } else { Style::Dim };
        let state = if is_up { Style::Good } else { Style::Bad };
        let drops = if self.drops > Some(0.0) { Style::Warn } else { style };
        vec![
            (Style::Bold, self.name()),
            (style, peer.network.to_string()),
            (state, self.state().to_owned()),
            (style, bit_rate(self.rx)),
            (style, bit_rate(self.tx)),
            (style, bytes(peer.queued_bytes)),
            (style, or_dash(peer.rtt_ns.map(milliseconds))),
            (style, or_dash(peer.congestion.as_deref().map(printable))),
            (drops, frequency(self.drops)),
        ]
    }

    /// The same in words.
    pub(super) fn line(&self) -> String {
        format!(
            "link {} {} {} in {} out {} queued {} rtt {} drops {}",
            self.name(),
            self.peer.network,
            self.state(),
            bit_rate(self.rx),
            bit_rate(self.tx),
            bytes(self.peer.queued_bytes),
            or_dash(self.peer.rtt_ns.map(milliseconds)),
            frequency(self.drops),
        )
    }

    fn name(&self) -> String {
        self.peer.hub.as_ref().map_or_else(|| "-".to_owned(), |hub: &Label| printable(hub.as_str()))
    }

    fn state(&self) -> &'static str {
        match self.peer.state {
            LinkState::Up => "up",
            LinkState::Dialling => "dialling",
            LinkState::Waiting => "waiting",
        }
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
