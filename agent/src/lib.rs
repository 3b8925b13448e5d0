//! The DoSP agent: puts a host into a virtual network through a hub.
//!
//! | module | what it holds |
//! |---|---|
//! | [`engine`] | peers, tunnels and queues, without I/O |
//! | [`link`] | the connection to the hub: dial, join, heartbeat, back-off |
//! | [`directory`] | who is in the network, by the hub's word, without I/O |
//! | [`tun`] | the TUN device, and one for tests |
//! | [`node`] | the task that joins the three |
//! | [`netcfg`], [`host`] | addresses and routes of this host |
//! | `changes` | what happens to this host: addresses, routes, sleep |
//! | [`hosts`] | names of peers in `/etc/hosts` |
//! | [`known_peers`] | whose keys are trusted, without I/O |
//! | [`control`] | the local socket |
//! | [`state`] | the state folder |
//! | `metrics` | figures for Prometheus |
//! | [`cli`], [`config`], [`detach`], [`failure`] | the edge |
//!
//! `cmd` has the commands. The life of a packet is told in `ARCHITECTURE.md`.

mod changes;
pub mod cli;
mod clock;
mod cmd;
pub mod config;
pub mod control;
pub mod detach;
pub mod directory;
pub mod engine;
pub mod failure;
pub mod host;
pub mod hosts;
pub mod known_peers;
pub mod link;
mod log;
mod metrics;
pub mod netcfg;
pub mod node;
pub mod peer_name;
pub mod remote;
pub mod state;
#[cfg(test)]
mod test_log;
pub mod tun;

use std::process::ExitCode;

use crate::cli::{Cli, Command, Secret};
use crate::cmd::doctor::Origin;
use crate::cmd::up::Reload;
use crate::config::{ConfigError, Settings, Sources};
use crate::failure::{Exit, Failure};

/// Runs the command line `cli`.
///
/// # Errors
/// What the command ended with; see [`Failure::report`].
pub fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    let sources = cli.sources();
    let network = sources.network.clone();
    run_from(cli, sources).map_err(|failure| failure.of_network(network.as_ref()))
}

fn run_from(cli: &Cli, sources: Sources) -> Result<ExitCode, Failure> {
    let (settings, wrong) = sources.read_what_can_be();
    let wrong = wrong.map(Failure::from);
    let wrong =
        if cli.command.bears_wrong_settings() { wrong } else { wrong.map_or(Ok(None), Err)? };
    if let Command::Up(up) = &cli.command
        && up.detach
    {
        return detach::start();
    }
    let log = start_logging(cli, &settings)?;
    let names_hub = sources.arguments.hub.is_some();
    let (network, file) = (sources.network.clone(), sources.existing_file());
    let origin = Origin { names_hub, network, file, wrong };
    let reload = Reload { sources, log };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = dispatch(&cli.command, settings, origin, reload);
    runtime.block_on(run).map(|()| ExitCode::SUCCESS)
}

async fn dispatch(
    command: &Command,
    settings: Settings,
    origin: Origin,
    reload: Reload,
) -> Result<(), Failure> {
    match command {
        Command::Join { string } => cmd::join::run(string, &settings, origin.network.as_ref()),
        Command::Up(up) => cmd::up::run(settings, up.detached, reload).await,
        Command::Leave => cmd::leave::run(&settings).await,
        Command::Down { leftovers: true } => cmd::remove_leftovers(&settings).await,
        Command::Down { leftovers: false } => cmd::down(&settings).await,
        Command::Wait(args) => cmd::wait::run(args, &settings).await,
        Command::Status(args) => cmd::status::status(args, &settings).await,
        Command::Peers(args) => cmd::status::peers(args, &settings).await,
        Command::Ip { peer } => cmd::status::ip(peer.as_ref(), &settings).await,
        Command::Whois(args) => cmd::whois::run(args, &settings).await,
        Command::Ping(args) => cmd::ping::run(args, &settings).await,
        Command::Trust { command } => cmd::trust::run(command.as_ref(), &settings).await,
        Command::Send(args) => cmd::send::run(args, &settings).await,
        Command::Clients(args) => cmd::hub::clients(args, &settings).await,
        Command::Call(args) => cmd::hub::call(args, &settings).await,
        Command::Info(args) => cmd::hub::info(args, &settings).await,
        Command::Listen(args) => cmd::listen::run(args, &settings).await,
        Command::Secret { command: Secret::New } => cmd::secret::new(),
        Command::Doctor(args) => cmd::doctor::run(args.output.json, settings, origin).await,
        Command::Bugreport(args) => {
            cmd::bugreport::run(args.file.as_deref(), settings, origin).await
        }
        Command::Completions { shell } => cmd::manual::completions(*shell),
        Command::Man { dir } => cmd::manual::pages(dir),
    }
}

fn start_logging(cli: &Cli, settings: &Settings) -> Result<log::LogFilter, Failure> {
    let of = match &cli.command {
        Command::Up(up) if up.detached => {
            detach::leave_session()?;
            log::Of::Detached(detach::CappedLog::beside(&settings.socket())?)
        }
        Command::Up(_) => log::Of::Agent,
        _ => log::Of::Command,
    };
    log::start(settings, of)
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::Parse { nearest: Some(nearest), .. } => {
                format!("did you mean '{nearest}'?")
            }
            ConfigError::Parse { .. } => "see agent.example.toml for every key".to_owned(),
            ConfigError::Read { .. } => "name another file with --config".to_owned(),
            ConfigError::Environment { name, .. } => format!("correct or unset {name}"),
            ConfigError::Private(error) => error.hint(),
            ConfigError::Secret { .. } | ConfigError::SecretCount { .. } => {
                "one secret a line, two while you change it; 'dosp-agent secret new' makes one"
                    .to_owned()
            }
            ConfigError::SecretTwice => {
                "set secret or secret_file, DOSP_SECRET or DOSP_SECRET_FILE, not both".to_owned()
            }
        };
        Self::new(Exit::Usage, error).hint(hint)
    }
}
