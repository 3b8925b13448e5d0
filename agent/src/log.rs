//! The log on standard error, or in a file of its own, with a filter that can change while it runs.

use std::sync::Mutex;

use dosp_daemon::log::Style;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::Settings;
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

/// Whose log it is.
#[derive(Debug)]
pub(crate) enum Of {
    /// A command that somebody waits for.
    Command,
    /// The agent.
    Agent,
    /// The agent in the background.
    Detached(CappedLog),
}

/// Starts it by `settings`.
pub(crate) fn start(settings: &Settings, of: Of) -> Result<LogFilter, Failure> {
    let default = if matches!(of, Of::Command) { "warn" } else { "info" };
    let filter = parse(settings.log.as_deref().unwrap_or(default))?;
    let (filter, handle) = reload::Layer::new(filter);
    let format = settings.log_format.unwrap_or_default();
    let stderr = || BoxMakeWriter::new(std::io::stderr);
    let (style, writer) = match of {
        Of::Command => (Style::of_stderr(format), stderr()),
        Of::Agent => (Style::of_stderr(format).limited(), stderr()),
        Of::Detached(file) => {
            (Style::of_file(format).limited(), BoxMakeWriter::new(Mutex::new(file)))
        }
    };
    tracing_subscriber::registry().with(filter).with(style.layer(writer)).init();
    Ok(LogFilter { handle, default })
}

fn parse(filter: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(filter).map_err(|error| {
        Failure::new(Exit::Usage, error)
            .context(format!("the log filter '{filter}'"))
            .hint("write error, warn, info, debug or trace")
    })
}
