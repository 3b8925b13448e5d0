//! How the fields of spans look.

use std::fmt;

use tracing::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields, Writer};
use tracing_subscriber::fmt::{FormatFields, FormattedFields};

use super::LogFormat;

/// Fields as words or as JSON: two types of the library in one, so that the format can be chosen while
/// the program runs.
#[derive(Debug)]
pub struct Fields {
    format: LogFormat,
}

impl Fields {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format }
    }
}

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        match self.format {
            LogFormat::Human => DefaultFields::new().format_fields(writer, fields),
            LogFormat::Json => JsonFields::new().format_fields(writer, fields),
        }
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        match self.format {
            LogFormat::Human => {
                if !current.fields.is_empty() {
                    current.fields.push(' ');
                }
                self.format_fields(current.as_writer(), fields)
            }
            LogFormat::Json => {
                let text = std::mem::take(&mut current.fields);
                let mut object = FormattedFields::<JsonFields>::new(text);
                let added = JsonFields::new().add_fields(&mut object, fields);
                current.fields = object.fields;
                added
            }
        }
    }
}
