//! The log on standard error, with a level that can change while it runs.

use std::io::{self, IsTerminal};

use dosp_server::Config;
use dosp_server::config::LogFormat;
use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// The least important lines that are logged, to be changed.
#[derive(Debug)]
pub(super) struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    pub(super) fn set(&self, level: LevelFilter) {
        if let Err(reason) = self.0.reload(level) {
            error!(%reason, "the log's level stays");
        }
    }
}

pub(super) fn start(config: &Config) -> Level {
    let wants_no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let (level, handle) = reload::Layer::new(config.log);
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(!wants_no_color && io::stderr().is_terminal());
    let lines = match config.log_format {
        LogFormat::Human => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(level).with(lines).init();
    Level(handle)
}
