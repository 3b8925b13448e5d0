//! The log on standard error, with a level that can change while it runs.

use std::io;

use dosp_daemon::log::Style;
use dosp_server::Config;
use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

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
    let (level, handle) = reload::Layer::new(config.log);
    let style = Style::of_stderr(config.log_format).limited();
    tracing_subscriber::registry().with(level).with(style.layer(io::stderr)).init();
    Level(handle)
}
