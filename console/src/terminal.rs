//! The terminal while a picture is on it: another screen, no cursor, no echo. It is given back as it
//! was when this is dropped.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::line::Line;

/// Where a terminal does not say how large it is: that of a VT100.
const DEFAULT_SIZE: Size = Size { width: 80, height: 24 };

/// Columns and lines of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Lines.
    pub height: usize,
}

#[derive(Debug)]
pub(crate) struct Terminal {
    has_colour: bool,
    /// How the keyboard was, while it is otherwise.
    before: Option<Termios>,
}

impl Terminal {
    /// Takes the terminal.
    pub(crate) fn take() -> io::Result<Self> {
        let mut terminal = Self { has_colour: has_colour(&io::stdout()), before: None };
        terminal.enter()?;
        Ok(terminal)
    }

    /// The other screen, without a cursor; keys come one by one and are not shown.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            let before = tcgetattr(&stdin)?;
            let mut modes = before.clone();
            // Ctrl-C and Ctrl-Z stay signals.
            modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            tcsetattr(&stdin, OptionalActions::Now, &modes)?;
            self.before = Some(before);
        }
        write("\x1b[?1049h\x1b[?25l\x1b[2J")
    }

    /// Gives it back.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        let shown = write("\x1b[?25h\x1b[?1049l");
        if let Some(before) = self.before.take() {
            tcsetattr(io::stdin(), OptionalActions::Now, &before)?;
        }
        shown
    }

    pub(crate) fn size(&self) -> Size {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { width: size.ws_col.into(), height: size.ws_row.into() }
            }
            Ok(_) | Err(_) => DEFAULT_SIZE,
        }
    }

    /// Draws over what is there, without a moment of emptiness between.
    pub(crate) fn draw(&self, lines: Vec<Line>) -> io::Result<()> {
        let size = self.size();
        let mut text = "\x1b[H".to_owned();
        for (i, line) in lines.into_iter().take(size.height).enumerate() {
            let feed = if i == 0 { "" } else { "\r\n" };
            let line = line.cut(size.width).paint(self.has_colour);
            // Writing to a String cannot fail.
            write!(text, "{feed}{line}\x1b[K").unwrap_or_default();
        }
        text.push_str("\x1b[J");
        write(&text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone cannot be given back.
        self.leave().unwrap_or_default();
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Whether what goes there may have colours: to a terminal, whose user has not set `NO_COLOR`.
#[must_use]
pub fn has_colour(stream: &impl IsTerminal) -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !no_colour
}

/// Whether standard output is a terminal that can show a picture.
pub(crate) fn is_there() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdout().is_terminal() && !is_dumb
}
