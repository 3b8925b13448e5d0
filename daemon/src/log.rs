//! How lines of the log look: for people, for machines, for the journal.
//!
//! Whatever is logged is one line, without control characters: a peer's text can neither begin a line of
//! its own nor move the cursor of a terminal. Of a kind of lines (those of one place in the source) a
//! daemon writes so many in a second and no more, because some are written whenever somebody out there
//! wants it.

mod causes;
mod fields;
mod journal;
mod limiter;
mod lines;

use std::io::{self, IsTerminal};

use serde::Deserialize;
use tracing::Subscriber;
use tracing_subscriber::fmt::{Layer, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

pub use fields::Fields;
pub use lines::Lines;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Everything that decides how lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    format: LogFormat,
    /// The reader is the journal, which notes the time itself and wants to know how bad it is.
    for_journal: bool,
    has_colour: bool,
    is_limited: bool,
}

impl Style {
    /// For lines on standard error, by what that is.
    #[must_use]
    pub fn of_stderr(format: LogFormat) -> Self {
        let stderr = io::stderr();
        let wants_no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let has_colour = stderr.is_terminal() && !wants_no_colour;
        Self { for_journal: journal::is_behind(&stderr), has_colour, ..Self::of_file(format) }
    }

    /// For lines in a file.
    #[must_use]
    pub fn of_file(format: LogFormat) -> Self {
        Self { format, for_journal: false, has_colour: false, is_limited: false }
    }

    /// For a program that runs on and that others make talk: see [`Lines`].
    #[must_use]
    pub fn limited(self) -> Self {
        Self { is_limited: true, ..self }
    }

    /// What writes such lines to `writer`.
    #[must_use]
    pub fn layer<S, W>(self, writer: W) -> Layer<S, Fields, Lines, W>
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
        W: for<'writer> MakeWriter<'writer> + 'static,
    {
        tracing_subscriber::fmt::layer()
            .with_ansi(self.has_colour)
            .fmt_fields(Fields::new(self.format))
            .event_format(Lines::new(self))
            .with_writer(writer)
    }
}

#[cfg(test)]
mod tests;
