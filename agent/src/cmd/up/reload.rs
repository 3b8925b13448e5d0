//! SIGHUP: the configuration is read again.
//!
//! What a running agent can take up it takes up; every other key that has changed is named in a warning. Where
//! the configuration cannot be used, all goes on as before.

use std::io::{self, IsTerminal};

use dosp_daemon::service::{self, Word};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Settings, Sources};
use crate::failure::Failure;
use crate::log::LogFilter;
use crate::node::NodeHandle;

/// What can be read again, and what can change by that beside the node.
#[derive(Debug)]
pub(crate) struct Reload {
    /// Where the settings come from.
    pub(crate) sources: Sources,
    /// What is logged.
    pub(crate) log: LogFilter,
}

impl Reload {
    /// Reads the configuration again on every SIGHUP, in a task of its own. `running` are the settings
    /// until then.
    ///
    /// # Errors
    /// The system says no.
    pub(super) fn start(
        self,
        running: Settings,
        handle: NodeHandle,
        stop: CancellationToken,
        detached: bool,
    ) -> io::Result<()> {
        let hangup = signal(SignalKind::hangup())?;
        tokio::spawn(self.on_hangup(hangup, running, handle, stop, detached));
        Ok(())
    }

    async fn on_hangup(
        self,
        mut hangup: Signal,
        mut running: Settings,
        handle: NodeHandle,
        stop: CancellationToken,
        detached: bool,
    ) {
        let in_terminal = || !detached && io::stderr().is_terminal();
        let had_terminal = in_terminal();
        while hangup.recv().await.is_some() {
            if had_terminal && !in_terminal() {
                // It was closed, and this is how its programs are told.
                stop.cancel();
                return;
            }
            service::say(Word::Reloading).await;
            match self.apply(&running, &handle).await {
                Ok(settings) => running = settings,
                Err(failure) => {
                    tracing::error!(
                        error = failure.to_string(),
                        "the configuration stays as it was"
                    );
                }
            }
            service::say(Word::Ready).await;
        }
    }

    /// Returns the settings that are in force now.
    async fn apply(&self, running: &Settings, handle: &NodeHandle) -> Result<Settings, Failure> {
        let new = self.sources.read()?;
        let filter = self.log.wanted(&new)?;
        let needs_restart = needs_restart(running, &new);
        let applied = Settings {
            log: new.log.clone(),
            shields_up: new.shields_up,
            trust: new.trust,
            ..running.clone()
        };
        let has_changed = applied != *running;
        self.log.set(filter);
        handle.protect(applied.shields_up.unwrap_or_default(), applied.trust()).await;
        tracing::info!(has_changed, "the configuration was read again");
        if !needs_restart.is_empty() {
            let keys = needs_restart.join(", ");
            tracing::warn!(keys, "these keys have changed, and need a restart of the agent");
        }
        Ok(applied)
    }
}

/// The keys that a running agent does not take up, and that are not what it runs with.
fn needs_restart(running: &Settings, new: &Settings) -> Vec<&'static str> {
    // One by one, so that a new key is either named here or known to be applied.
    let Settings {
        hub,
        vip,
        tun,
        mtu,
        offload,
        congestion,
        metrics,
        force,
        shields_up: _,
        hosts,
        name,
        secret_file,
        secret,
        c2c,
        version1,
        trust: _,
        state,
        socket,
        log: _,
        log_format,
    } = new;
    let keys = [
        ("hub", *hub != running.hub),
        ("vip", *vip != running.vip),
        ("tun", *tun != running.tun),
        ("mtu", *mtu != running.mtu),
        ("offload", *offload != running.offload),
        ("congestion", *congestion != running.congestion),
        ("metrics", *metrics != running.metrics),
        ("force", *force != running.force),
        ("hosts", *hosts != running.hosts),
        ("name", *name != running.name),
        ("secret_file", *secret_file != running.secret_file),
        ("secret", *secret != running.secret),
        ("c2c", *c2c != running.c2c),
        ("version1", *version1 != running.version1),
        ("state", *state != running.state),
        ("socket", *socket != running.socket),
        ("log_format", *log_format != running.log_format),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::parse(text, std::path::Path::new("agent.toml")).unwrap()
    }

    #[test]
    fn what_is_taken_up_needs_no_restart_and_all_else_is_named() {
        let example = include_str!("../../../agent.example.toml");
        let is_key = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
        let lines = example.lines().filter_map(|line| line.strip_prefix('#'));
        let lines: Vec<_> = lines.filter(is_key).collect();
        let keys = lines.iter().filter_map(|line| Some(line.split_once(" = ")?.0));
        let keys: Vec<_> = keys.collect();
        let all = settings(&lines.join("\n"));
        let named = needs_restart(&Settings::default(), &all);
        for key in &keys {
            let is_applied = ["log", "shields_up", "trust"].contains(key);
            assert_ne!(named.contains(key), is_applied, "{key}");
        }
        assert!(keys.len() > 15, "{keys:?}");
        assert!(needs_restart(&all, &all).is_empty());
    }
}
