//! One event, one line.

use std::fmt::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{self, Format, Full, Json, Writer};
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::causes::Causes;
use super::limiter::Limiter;
use super::{LogFormat, Style};

/// Formats events. Where the style is limited, it writes 10 lines of a kind a second, and 100 at once;
/// the next one that passes tells by `num_unlogged` how many did not. Lines below level info are not
/// limited, as somebody asked for them, nor are those of the audit, whose writers see to it themselves.
#[derive(Debug)]
pub struct Lines {
    form: Form,
    for_journal: bool,
    has_colour: bool,
    limiter: Option<Mutex<Limiter<Identifier>>>,
}

#[derive(Debug)]
enum Form {
    Timed(Format<Full, SystemTime>),
    Untimed(Format<Full, ()>),
    Json(Format<Json, SystemTime>),
}

impl Lines {
    pub(super) fn new(style: Style) -> Self {
        let human = format::format().with_target(false).with_ansi(style.has_colour);
        let form = match (style.format, style.for_journal) {
            (LogFormat::Human, false) => Form::Timed(human),
            (LogFormat::Human, true) => Form::Untimed(human.without_time()),
            (LogFormat::Json, _) => {
                Form::Json(human.json().flatten_event(true).with_span_list(false))
            }
        };
        Self {
            form,
            for_journal: style.for_journal,
            has_colour: style.has_colour,
            limiter: style.is_limited.then(Mutex::default),
        }
    }

    /// Whether the line is written: `None` where it is not, else how many like it were not.
    fn admit(&self, metadata: &Metadata<'_>) -> Option<u64> {
        let is_audit = metadata.fields().field("audit").is_some();
        match &self.limiter {
            Some(limiter) if *metadata.level() <= Level::INFO && !is_audit => {
                let mut limiter = limiter.lock().unwrap_or_else(PoisonError::into_inner);
                limiter.admit(metadata.callsite(), Instant::now())
            }
            Some(_) | None => Some(0),
        }
    }

    /// Puts `num_unlogged` at the end of a line.
    pub(super) fn tell_unlogged(&self, line: &mut String, num_unlogged: u64) -> fmt::Result {
        match &self.form {
            Form::Timed(_) | Form::Untimed(_) => write!(line, " num_unlogged={num_unlogged}"),
            Form::Json(_) => {
                line.pop(); // the brace
                write!(line, ",\"num_unlogged\":{num_unlogged}}}")
            }
        }
    }

    /// Writes one line, whatever is in it.
    fn write_escaped(&self, writer: &mut Writer<'_>, line: &str) -> fmt::Result {
        for (at, character) in line.char_indices() {
            if !character.is_control() || (self.has_colour && begins_colour(line, at)) {
                writer.write_char(character)?;
            } else if matches!(self.form, Form::Json(_)) {
                write!(writer, "\\u{:04x}", u32::from(character))?;
            } else {
                write!(writer, "{}", character.escape_default())?;
            }
        }
        writer.write_char('\n')
    }
}

/// Whether a sequence stands there that sets a colour, and moves nothing.
fn begins_colour(line: &str, at: usize) -> bool {
    let sequence = line.get(at..).and_then(|rest| rest.strip_prefix("\u{1b}["));
    let is_number = |character: char| character.is_ascii_digit() || character == ';';
    sequence.is_some_and(|rest| rest.trim_start_matches(is_number).starts_with('m'))
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Nothing formatted, nothing written.
        let Some(num_unlogged) = self.admit(event.metadata()) else { return Ok(()) };
        let mut line = String::new();
        let formatted = Writer::new(&mut line);
        match &self.form {
            Form::Timed(form) => form.format_event(context, formatted, event)?,
            Form::Untimed(form) => form.format_event(context, formatted, event)?,
            Form::Json(form) => form.format_event(context, formatted, event)?,
        }
        if line.ends_with('\n') {
            line.pop();
        }
        if matches!(self.form, Form::Json(_)) {
            Causes::of(event).tell(&mut line)?;
        }
        if num_unlogged > 0 {
            self.tell_unlogged(&mut line, num_unlogged)?;
        }
        if self.for_journal {
            write!(writer, "<{}>", priority(*event.metadata().level()))?;
        }
        self.write_escaped(&mut writer, &line)
    }
}

/// The priorities of syslog, as sd-daemon(3) has them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}
