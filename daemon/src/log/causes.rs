//! The causes of the errors that an event has, for lines of JSON: the library writes them for people only.

use std::error::Error;
use std::fmt::{self, Write};
use std::iter::successors;

use tracing::Event;
use tracing::field::{Field, Visit};

/// By field, what each cause says, the nearest first.
#[derive(Debug, Default)]
pub(super) struct Causes(Vec<(&'static str, Vec<String>)>);

impl Causes {
    /// Those of all errors that this event has.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut causes = Self::default();
        event.record(&mut causes);
        causes
    }

    /// Puts them at the end of an object, as `FIELD.sources`.
    pub(super) fn tell(&self, line: &mut String) -> fmt::Result {
        for (field, causes) in &self.0 {
            let causes = serde_json::to_string(causes).map_err(|_| fmt::Error)?;
            line.pop(); // the brace
            write!(line, ",\"{field}.sources\":{causes}}}")?;
        }
        Ok(())
    }
}

impl Visit for Causes {
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let causes = successors(error.source(), |&cause| cause.source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        if !causes.is_empty() {
            self.0.push((field.name(), causes));
        }
    }
}
