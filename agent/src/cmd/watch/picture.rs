//! Two looks at an agent as a picture, and as lines. Pure: no terminal and no clock.

use dosp_console::change::Change;
use dosp_console::line::{Line, Style, printable};
use dosp_console::table::fitted;
use dosp_console::units::{age, bit_rate, bytes, frequency, milliseconds};
use dosp_console::watch::Size;

use super::rows::{COLUMNS, Row, traffic};
use crate::control::wire::{State, Status};

/// Below this height the path and the queue leave their lines to peers.
const ROOMY: usize = 12;
/// So wide are the words before the lines of the head.
const LABEL_LEN: usize = 7;

/// A picture of at most `size`.
pub(super) fn draw(change: &Change<'_, Status>, size: Size) -> Vec<Line> {
    let status = change.now;
    let rows = Row::all(change);
    let mut lines = vec![title(status), hub(status)];
    if size.height >= ROOMY {
        lines.extend(path(status));
        lines.extend(queue(status));
    }
    lines.push(rates(change, &rows));
    lines.push(Line::default());
    if rows.is_empty() {
        lines.push(Line::new(Style::Dim, "this host has not spoken to any peer yet"));
        return lines;
    }
    lines.extend(peers(rows, Size { height: size.height.saturating_sub(lines.len()), ..size }));
    lines
}

/// The table of peers with as many as fit, and how many there are beside.
fn peers(rows: Vec<Row<'_>>, size: Size) -> Vec<Line> {
    let num_peers = rows.len();
    let room = size.height.saturating_sub(1);
    let num_shown = if num_peers <= room { num_peers } else { room.saturating_sub(1) };
    let cells: Vec<_> = Row::busiest(rows, num_shown).iter().map(Row::cells).collect();
    let mut lines = fitted(&COLUMNS, &cells, size.width);
    if num_shown < num_peers {
        lines.push(Line::new(Style::Dim, format!("and {} more", num_peers - num_shown)));
    }
    lines
}

fn title(status: &Status) -> Line {
    let who = status.name.as_deref().unwrap_or("this host");
    let mut line = Line::new(Style::Bold, printable(who));
    if let (Some(vip), Some(network)) = (status.vip, status.network) {
        line = line.with(Style::Plain, format!("  {vip} in {network}"));
    }
    line = line.with(Style::Plain, "  ");
    match (status.state, status.up_for_ns) {
        (State::Up, Some(up_for)) => line.with(Style::Good, format!("up for {}", age(up_for))),
        (State::Up, None) => line.with(Style::Good, "up"),
        (state, _) => {
            let why = status.last_error.as_ref().map(|why| format!(": {}", printable(why)));
            line.with(Style::Bad, format!("{}{}", state.name(), why.unwrap_or_default()))
        }
    }
}

fn labelled(label: &str) -> Line {
    Line::new(Style::Dim, format!("{label:<LABEL_LEN$}"))
}

fn hub(status: &Status) -> Line {
    let mut words = printable(&status.hub);
    if let Some(rtt) = status.hub_rtt_ns {
        words += &format!(", {} away", milliseconds(rtt));
    }
    let line = labelled("hub").with(Style::Plain, words);
    let nodes = status.nodes.as_ref().map(|nodes| {
        let num_online = nodes.iter().filter(|node| node.online).count();
        format!(", {num_online} of {} members online", nodes.len())
    });
    let line = line.with(Style::Plain, nodes.unwrap_or_default());
    match status.reconnects {
        0 => line,
        1 => line.with(Style::Plain, ", reconnected once"),
        times => line.with(Style::Plain, format!(", reconnected {times} times")),
    }
}

fn path(status: &Status) -> Option<Line> {
    let link = status.link.as_ref()?;
    let mut words = printable(&link.congestion);
    if link.rtt_ns > 0 {
        let [rtt, best] = [link.rtt_ns, link.min_rtt_ns].map(milliseconds);
        words += &format!(", round trip {rtt}, {best} at best");
    }
    if let Some(rate) = link.delivery_rate {
        words += &format!(", delivers {}", bit_rate(Some(rate as f64)));
    }
    Some(labelled("path").with(Style::Plain, words))
}

fn queue(status: &Status) -> Option<Line> {
    let queue = status.queue.as_ref()?;
    let mut words = match queue.packets {
        0 => "empty".to_owned(),
        packets => format!("{packets} packets, {}", bytes(queue.bytes)),
    };
    if queue.staged_bytes > 0 {
        words += &format!("; {} wait for tunnels", bytes(queue.staged_bytes));
    }
    Some(labelled("queue").with(Style::Plain, words))
}

fn rates(change: &Change<'_, Status>, rows: &[Row<'_>]) -> Line {
    let [rx, tx] = traffic(change, rows).map(bit_rate);
    let line = labelled("now").with(Style::Plain, format!("in {rx}, out {tx}, "));
    match drops(change) {
        None => line.with(Style::Plain, "drops -"),
        Some(drops) if drops.is_empty() => line.with(Style::Plain, "no drops"),
        Some(drops) => {
            let drop = |(reason, rate)| format!("{} {}", printable(reason), frequency(Some(rate)));
            let drops: Vec<_> = drops.into_iter().map(drop).collect();
            line.with(Style::Warn, format!("drops: {}", drops.join(", ")))
        }
    }
}

/// What is being dropped, by reason, the most frequent first.
fn drops<'a>(change: &Change<'a, Status>) -> Option<Vec<(&'a str, f64)>> {
    change.rates(|status| &status.dropped)
}

/// A line for the link, and one for each peer with which there was something.
pub(super) fn lines(change: &Change<'_, Status>) -> Vec<String> {
    let status = change.now;
    let rows = Row::all(change);
    let [rx, tx] = traffic(change, &rows);
    let rtt = status.hub_rtt_ns.map_or_else(|| "-".to_owned(), milliseconds);
    let queued = status.queue.as_ref().map_or(0, |queue| queue.bytes);
    let drops = drops(change).map(|drops| drops.iter().map(|(_, rate)| rate).sum());
    let link = format!(
        "link {} hub {} rtt {rtt} in {} out {} queued {} drops {}",
        status.state.name(),
        printable(&status.hub),
        bit_rate(rx),
        bit_rate(tx),
        bytes(queued),
        frequency(drops),
    );
    let busy = rows.iter().filter(|row| row.is_busy());
    std::iter::once(link).chain(busy.map(Row::line)).collect()
}

#[cfg(test)]
mod tests;
