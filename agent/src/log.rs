//! The log on standard error, or in a file of its own, with a filter that can change while it runs.

use std::io::IsTerminal;
use std::sync::Mutex;

use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogFormat, Settings};
use crate::detach::CappedLog;
use crate::failure::{Exit, Failure};

/// What is logged, to be changed.
#[derive(Debug, Clone)]
pub(crate) struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
    default: &'static str,
}

impl LogFilter {
    /// What `settings` want to be logged.
    pub(crate) fn wanted(&self, settings: &Settings) -> Result<EnvFilter, Failure> {
        parse(settings.log.as_deref().unwrap_or(self.default))
    }

    /// Logs by `filter` from now on.
    pub(crate) fn set(&self, filter: EnvFilter) {
        if let Err(error) = self.handle.reload(filter) {
            tracing::error!(%error, "the log's filter stays");
        }
    }
}

/// Starts it by `settings`; to `file`, where there is one. What is not set is `default`.
pub(crate) fn start(
    settings: &Settings,
    default: &'static str,
    file: Option<CappedLog>,
) -> Result<LogFilter, Failure> {
    let filter = parse(settings.log.as_deref().unwrap_or(default))?;
    let (filter, handle) = reload::Layer::new(filter);
    let terminal = file.is_none() && std::io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none();
    let writer = match file {
        Some(file) => BoxMakeWriter::new(Mutex::new(file)),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let lines = fmt::layer().with_target(false).with_ansi(colour).with_writer(writer);
    let lines = match settings.log_format.unwrap_or_default() {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Human => lines.boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Ok(LogFilter { handle, default })
}

fn parse(filter: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(filter).map_err(|error| {
        Failure::new(Exit::Usage, error)
            .context(format!("the log filter '{filter}'"))
            .hint("write error, warn, info, debug or trace")
    })
}
