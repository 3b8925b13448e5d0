//! SIGHUP: the configuration is read again.
//!
//! What a running hub can take up it takes up; every other key that has changed is named in a warning. Where the
//! configuration cannot be used, all goes on as before.

use std::io::{self, IsTerminal};

use dosp_daemon::service::{self, Word};
use dosp_server::config::Settings;
use dosp_server::{Config, HubHandle};
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::log::Level;
use super::run_args::Place;

/// Where the configuration comes from.
#[derive(Debug)]
pub(super) struct Sources {
    /// The command line.
    pub(super) arguments: Settings,
    /// The file that it names, if any.
    pub(super) place: Place,
}

impl Sources {
    /// Command line, then environment, then file, then defaults.
    pub(super) fn read(&self) -> anyhow::Result<Config> {
        let settings = self.arguments.clone().or(super::env()?).or(self.place.file()?);
        settings.check()?;
        Ok(Config::from(settings))
    }
}

/// What can be read again, and what can change by that beside the hub.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) sources: Sources,
    pub(super) level: Level,
    /// What the hub runs with, as it was read.
    pub(super) running: Config,
}

impl Reload {
    /// Reads the configuration again on every SIGHUP.
    pub(super) async fn on_hangup(
        mut self,
        mut hangup: Signal,
        hub: HubHandle,
        shutdown: CancellationToken,
    ) {
        let had_terminal = io::stderr().is_terminal();
        while hangup.recv().await.is_some() {
            if had_terminal && !io::stderr().is_terminal() {
                // It was closed, and this is how its programs are told.
                shutdown.cancel();
                return;
            }
            service::say(Word::Reloading).await;
            if let Err(reason) = self.apply(&hub) {
                error!(reason = format!("{reason:#}"), "the configuration stays as it was");
            }
            service::say(Word::Ready).await;
        }
    }

    fn apply(&mut self, hub: &HubHandle) -> anyhow::Result<()> {
        let new = self.sources.read()?;
        let keys = needs_restart(&self.running, &new);
        let applied = Config {
            max_clients: new.max_clients,
            builtin_functions: new.builtin_functions,
            functions: new.functions,
            admin_token_file: new.admin_token_file,
            admin_remote: new.admin_remote,
            log: new.log,
            ..self.running.clone()
        };
        let mut limited = applied.clone();
        super::limit_clients(&mut limited);
        hub.reload(&limited)?;
        self.level.set(applied.log);
        let has_changed = applied != self.running;
        self.running = applied;
        info!(has_changed, "the configuration was read again");
        if !keys.is_empty() {
            warn!(keys = keys.join(", "), "these keys have changed, and need a restart of the hub");
        }
        Ok(())
    }
}

/// The keys that a running hub does not take up, and that are not what it runs with.
fn needs_restart(running: &Config, new: &Config) -> Vec<&'static str> {
    // One by one, so that a new key is either named here or known to be applied.
    let Config {
        listen,
        network,
        max_clients: _,
        max_frame_len,
        write_timeout: _,
        congestion,
        metrics,
        compression,
        builtin_functions: _,
        functions: _,
        admin_token_file: _,
        admin_remote: _,
        state,
        closed,
        name,
        advertise,
        peers,
        socket,
        log: _,
        log_format,
    } = new;
    let keys = [
        ("listen", *listen != running.listen),
        ("network", *network != running.network),
        ("max_frame_len", *max_frame_len != running.max_frame_len),
        ("congestion", *congestion != running.congestion),
        ("metrics", *metrics != running.metrics),
        ("compression", *compression != running.compression),
        ("state", *state != running.state),
        ("closed", *closed != running.closed),
        ("name", *name != running.name),
        ("advertise", *advertise != running.advertise),
        ("peer", *peers != running.peers),
        ("socket", *socket != running.socket),
        ("log_format", *log_format != running.log_format),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use dosp_server::config::{LogFormat, chosen_listen};
    use dosp_transport::congestion::Congestion;
    use tracing::level_filters::LevelFilter;

    use super::*;

    #[test]
    fn what_is_taken_up_needs_no_restart_and_all_else_is_named() {
        let running = Config::default();
        let applied = Config {
            max_clients: 1,
            builtin_functions: true,
            admin_token_file: Some(PathBuf::from("/tokens")),
            admin_remote: true,
            log: LevelFilter::TRACE,
            ..running.clone()
        };
        assert!(needs_restart(&running, &applied).is_empty());
        let new = Config {
            listen: chosen_listen(&["127.0.0.1:1".parse().unwrap()]),
            network: "10.0.0.0/24".parse().unwrap(),
            max_frame_len: 1,
            congestion: Congestion::Kernel,
            metrics: Some("127.0.0.1:9".parse().unwrap()),
            compression: true,
            state: Some(PathBuf::from("/state")),
            closed: true,
            name: Some("b".parse().unwrap()),
            advertise: vec!["b:1".to_owned()],
            socket: PathBuf::from("/socket"),
            log_format: LogFormat::Json,
            ..applied
        };
        let named = needs_restart(&running, &new);
        assert_eq!(named.len(), 12, "{named:?}");
        assert!(needs_restart(&new, &new).is_empty());
    }
}
