//! Tables: as wide as they need to be, or as wide as there is room.

use crate::line::{Line, Style};

/// Between two columns.
const GAP: usize = 2;

/// A column of a table that has to fit.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// What stands above it.
    pub head: &'static str,
    /// Whether its cells are numbers, which end below each other.
    pub is_number: bool,
    /// The column with the highest rank goes first where there is no room.
    pub rank: u8,
    /// It is at least so wide, so that it does not jump with every number.
    pub min_width: usize,
    /// Longer cells are cut.
    pub max_width: usize,
}

impl Column {
    /// A column of words.
    #[must_use]
    pub const fn words(head: &'static str, rank: u8, max_width: usize) -> Self {
        Self { head, is_number: false, rank, min_width: 0, max_width }
    }

    /// A column of numbers.
    #[must_use]
    pub const fn numbers(head: &'static str, rank: u8, min_width: usize) -> Self {
        Self { head, is_number: true, rank, min_width, max_width: usize::MAX }
    }
}

/// A cell and how it stands out.
pub type Cell = (Style, String);

/// The head and the rows, in at most `width` columns of text. A row has a cell for each of `columns`.
#[must_use]
pub fn fitted(columns: &[Column], rows: &[Vec<Cell>], width: usize) -> Vec<Line> {
    let mut shown: Vec<(usize, &Column, usize)> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| (i, column, widest(column, i, rows)))
        .collect();
    while total(&shown) > width && shown.len() > 1 {
        let least = shown.iter().map(|(_, column, _)| column.rank).max();
        shown.retain(|(_, column, _)| Some(column.rank) != least);
    }
    let head = shown
        .iter()
        .map(|(_, column, width)| (Style::Dim, padded(column.head, column.is_number, *width)));
    let mut lines = vec![line(head).cut(width)];
    for row in rows {
        let cells = shown.iter().filter_map(|(i, column, width)| {
            let (style, text) = row.get(*i)?;
            Some((*style, padded(text, column.is_number, *width)))
        });
        lines.push(line(cells).cut(width));
    }
    lines
}

fn widest(column: &Column, index: usize, rows: &[Vec<Cell>]) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(index));
    let widest = cells.map(|(_, text)| text.chars().count()).max().unwrap_or_default();
    widest.max(column.head.chars().count()).max(column.min_width).min(column.max_width)
}

fn total(shown: &[(usize, &Column, usize)]) -> usize {
    let gaps = GAP * shown.len().saturating_sub(1);
    shown.iter().map(|(_, _, width)| width).sum::<usize>() + gaps
}

fn padded(text: &str, is_number: bool, width: usize) -> String {
    let text = Line::new(Style::Plain, text).cut(width).paint(false);
    if is_number { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

fn line(cells: impl Iterator<Item = Cell>) -> Line {
    let mut line = Line::default();
    for (i, (style, text)) in cells.enumerate() {
        let gap = if i == 0 { 0 } else { GAP };
        line = line.with(Style::Plain, " ".repeat(gap)).with(style, text);
    }
    line
}

/// The rows, each column as wide as its widest cell, with a line feed behind each.
#[must_use]
pub fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::words("NAME", 0, 8),
        Column::words("VIP", 2, 15),
        Column::numbers("IN", 1, 6),
        Column::numbers("RTT", 3, 0),
    ];

    fn drawn(width: usize) -> Vec<String> {
        let row = |cells: [&str; 4]| cells.map(|cell| (Style::Plain, cell.to_owned())).to_vec();
        let rows = [row(["bob", "10.1.2.3", "12/s", "1 ms"]), row(["a-long-name", "-", "0", "-"])];
        fitted(&COLUMNS, &rows, width).iter().map(|line| line.paint(false)).collect()
    }

    #[test]
    fn columns_go_by_rank_where_there_is_no_room() {
        let all = [
            "NAME      VIP           IN   RTT",
            "bob       10.1.2.3    12/s  1 ms",
            "a-long-…  -              0     -",
        ];
        assert_eq!(drawn(32), all);
        let without_rtt = [
            "NAME      VIP           IN",
            "bob       10.1.2.3    12/s",
            "a-long-…  -              0",
        ];
        assert_eq!(drawn(31), without_rtt);
        assert_eq!(drawn(25), ["NAME          IN", "bob         12/s", "a-long-…       0"]);
        assert_eq!(drawn(10), ["NAME", "bob", "a-long-…"]);
        assert_eq!(drawn(3), ["NA…", "bo…", "a-…"]);
    }

    #[test]
    fn whole_table_is_as_wide_as_its_cells() {
        let rows = [["a", "bb", ""], ["aaa", "b", "c"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "a    bb\naaa  b   c\n");
    }
}
