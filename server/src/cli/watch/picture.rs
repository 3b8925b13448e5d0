//! Two looks at a hub as a picture, and as lines. Pure: no terminal and no clock.

use dosp_console::change::Change;
use dosp_console::line::{Line, Style, printable};
use dosp_console::table::fitted;
use dosp_console::units::{age, bit_rate, frequency};
use dosp_console::watch::Size;

use super::Snapshot;
use super::rows::{CLIENT_COLUMNS, Client, LINK_COLUMNS, Link};

/// So wide are the words before the lines of the head.
const LABEL_LEN: usize = 9;

/// A picture of at most `size`.
pub(super) fn draw(change: &Change<'_, Snapshot>, size: Size) -> Vec<Line> {
    let clients = Client::all(change);
    let mut lines = vec![title(change.now), members(change.now), rates(change)];
    lines.push(Line::default());
    let links = links(&Link::all(change), Size { height: size.height / 3, ..size });
    let room = size.height.saturating_sub(lines.len() + links.len());
    if clients.is_empty() {
        lines.push(Line::new(Style::Dim, "nobody is connected"));
    } else {
        lines.extend(table_of_clients(clients, Size { height: room, ..size }));
    }
    lines.extend(links);
    lines
}

/// The clients, as many as fit, and how many there are beside.
fn table_of_clients(clients: Vec<Client<'_>>, size: Size) -> Vec<Line> {
    let num_clients = clients.len();
    let room = size.height.saturating_sub(1);
    let num_shown = if num_clients <= room { num_clients } else { room.saturating_sub(1) };
    let cells: Vec<_> = Client::busiest(clients, num_shown).iter().map(Client::cells).collect();
    let mut lines = fitted(&CLIENT_COLUMNS, &cells, size.width);
    lines.extend(more(num_clients - num_shown));
    lines
}

/// The links in the order of the configuration, with an empty line before; none where there are none.
fn links(links: &[Link<'_>], size: Size) -> Vec<Line> {
    // The empty line, the head, and how many there are beside.
    let room = size.height.saturating_sub(2);
    if links.is_empty() || room == 0 {
        return Vec::new();
    }
    let num_shown = if links.len() <= room { links.len() } else { room - 1 };
    let cells: Vec<_> = links.iter().take(num_shown).map(Link::cells).collect();
    let mut lines = vec![Line::default()];
    lines.extend(fitted(&LINK_COLUMNS, &cells, size.width));
    lines.extend(more(links.len() - num_shown));
    lines
}

fn more(count: usize) -> Option<Line> {
    (count > 0).then(|| Line::new(Style::Dim, format!("and {count} more")))
}

fn title(snapshot: &Snapshot) -> Line {
    let status = &snapshot.status;
    let name = status.name.as_ref().map_or("hub", |name| name.as_str());
    Line::new(Style::Bold, printable(name))
        .with(Style::Plain, format!("  {} of {}  ", status.network.hub(), status.network))
        .with(Style::Good, format!("up for {}", age(status.up_for_ns)))
        .with(Style::Dim, format!("  version {}", printable(&status.version)))
}

fn labelled(label: &str) -> Line {
    Line::new(Style::Dim, format!("{label:<LABEL_LEN$}"))
}

fn members(snapshot: &Snapshot) -> Line {
    let status = &snapshot.status;
    let mut words = status.sessions.len().to_string();
    if status.fingerprint.is_some() {
        words += &format!(" of {} members", status.members);
    }
    if !status.closed {
        words += ", anybody can join";
    }
    if status.strangers > 0 {
        words += &format!(", {} at the door", status.strangers);
    }
    if status.sessions_cut > 0 {
        words += &format!(", {} were cut off", status.sessions_cut);
    }
    labelled("clients").with(Style::Plain, words)
}

fn rates(change: &Change<'_, Snapshot>) -> Line {
    let [rx, tx] = traffic(change).map(bit_rate);
    let frames = frequency(change.rate(|snapshot| Some(snapshot.status.rx_frames)));
    let line = labelled("now").with(Style::Plain, format!("in {rx}, out {tx}, "));
    match drops(change) {
        None => line.with(Style::Plain, format!("drops -, {frames} frames")),
        Some(drops) if drops.is_empty() => {
            line.with(Style::Plain, format!("no drops, {frames} frames"))
        }
        Some(drops) => {
            let drop = |(reason, rate)| format!("{} {}", printable(reason), frequency(Some(rate)));
            let drops: Vec<_> = drops.into_iter().map(drop).collect();
            line.with(Style::Warn, format!("drops: {}", drops.join(", ")))
        }
    }
}

/// Bytes from all clients and to them in a second, also of those that came or went between.
fn traffic(change: &Change<'_, Snapshot>) -> [Option<f64>; 2] {
    let rx = change.rate(|snapshot| Some(snapshot.status.rx_bytes));
    let tx = change.rate(|snapshot| Some(snapshot.status.tx_bytes));
    [rx, tx]
}

/// What is being dropped, by reason, the most frequent first.
fn drops<'a>(change: &Change<'a, Snapshot>) -> Option<Vec<(&'a str, f64)>> {
    change.rates(|snapshot| &snapshot.status.dropped)
}

/// A line for the hub, one for each client with traffic, and one for each link.
pub(super) fn lines(change: &Change<'_, Snapshot>) -> Vec<String> {
    let clients = Client::all(change);
    let [rx, tx] = traffic(change).map(bit_rate);
    let drops = drops(change).map(|drops| drops.iter().map(|(_, rate)| rate).sum());
    let frames = change.rate(|snapshot| Some(snapshot.status.rx_frames));
    let hub = format!(
        "hub clients {} in {rx} out {tx} frames {} drops {}",
        clients.len(),
        frequency(frames),
        frequency(drops),
    );
    let busy = clients.iter().filter(|client| client.is_busy()).map(Client::line);
    let links = Link::all(change);
    std::iter::once(hub).chain(busy).chain(links.iter().map(Link::line)).collect()
}

#[cfg(test)]
mod tests;
