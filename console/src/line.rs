//! Lines of text with styles. What others have a say in goes through [`printable`] first.

use std::fmt::Write as _;

/// How a piece of text stands out, where there is colour at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// As all text.
    #[default]
    Plain,
    /// Less important.
    Dim,
    /// More important.
    Bold,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
}

impl Style {
    /// The parameters of SGR in ECMA-48.
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Dim => Some("2"),
            Self::Bold => Some("1"),
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("1;31"),
        }
    }
}

/// One line of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    pieces: Vec<(Style, String)>,
}

impl Line {
    /// A line of one piece.
    #[must_use]
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        Self::default().with(style, text)
    }

    /// The same line with one more piece.
    #[must_use]
    pub fn with(mut self, style: Style, text: impl Into<String>) -> Self {
        self.pieces.push((style, text.into()));
        self
    }

    /// How many columns it takes. Whatever is not ASCII counts as one, too.
    #[must_use]
    pub fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// The same line, every piece in this style.
    #[must_use]
    pub fn all(mut self, style: Style) -> Self {
        for piece in &mut self.pieces {
            piece.0 = style;
        }
        self
    }

    /// At most `width` columns of it; an ellipsis tells that there was more.
    #[must_use]
    pub fn cut(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1);
        let mut pieces = Vec::new();
        for (style, text) in self.pieces {
            let text: String = text.chars().take(left).collect();
            left -= text.chars().count();
            pieces.push((style, text));
        }
        if width > 0 {
            pieces.push((Style::Dim, "…".to_owned()));
        }
        Self { pieces }
    }

    /// The text, with escape codes for the styles where there is colour.
    #[must_use]
    pub fn paint(&self, has_colour: bool) -> String {
        let mut text = String::new();
        for (style, piece) in &self.pieces {
            match style.code().filter(|_| has_colour && !piece.is_empty()) {
                // Writing to a String cannot fail.
                Some(code) => write!(text, "\x1b[{code}m{piece}\x1b[m").unwrap_or_default(),
                None => text.push_str(piece),
            }
        }
        if has_colour { text } else { text.trim_end().to_owned() }
    }
}

/// The same text, with escapes in place of what a terminal would obey or that would not be seen.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Marks that change the order of what stands beside them, or take no room.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_cut_where_the_terminal_ends() {
        let line = Line::new(Style::Bold, "alice").with(Style::Plain, " and bob");
        assert_eq!(line.clone().cut(13).paint(false), "alice and bob");
        assert_eq!(line.clone().cut(12).paint(false), "alice and b…");
        assert_eq!(line.clone().cut(4).paint(false), "ali…");
        assert_eq!(line.clone().cut(1).paint(false), "…");
        assert_eq!(line.cut(0).paint(true), "");
    }

    #[test]
    fn styles_are_codes_that_end_with_their_piece() {
        let line = Line::new(Style::Bad, "no").with(Style::Plain, " way").with(Style::Good, "");
        assert_eq!(line.paint(true), "\x1b[1;31mno\x1b[m way");
        assert_eq!(line.all(Style::Dim).paint(true), "\x1b[2mno\x1b[m\x1b[2m way\x1b[m");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(printable("bob.berlin é"), "bob.berlin é");
        assert_eq!(printable("\x1b[2J\r\n\u{9b}"), r"\u{1b}[2J\u{d}\u{a}\u{9b}");
        assert_eq!(printable("a\u{202e}b\u{200b}"), r"a\u{202e}b\u{200b}");
    }
}
