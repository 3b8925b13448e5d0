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
//! | [`hosts`] | names of peers in `/etc/hosts` |
//! | [`known_peers`] | whose keys are trusted, without I/O |
//! | [`control`] | the local socket |
//! | [`state`], [`private`] | the state folder, and files that are for their owner alone |
//! | [`cli`], [`config`], [`detach`], [`failure`] | the edge |
//!
//! `cmd` has the commands. The life of a packet is told in `ARCHITECTURE.md`.

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
pub mod netcfg;
pub mod node;
pub mod peer_name;
pub mod private;
pub mod remote;
pub mod state;
#[cfg(test)]
mod test_log;
pub mod tun;

use std::process::ExitCode;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, Secret};
use crate::config::{ConfigError, LogFormat, Settings};
use crate::failure::{Exit, Failure};

/// Runs the command line `cli`.
///
/// # Errors
/// What the command ended with; see [`Failure::report`].
pub fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    let environment = Settings::from_environment(|name| std::env::var(name).ok())?;
    let file = Settings::from_file(cli.global.config.as_deref())?;
    let settings = cli.settings().or(environment).or(file);
    if let Command::Up(up) = &cli.command
        && up.detach
    {
        return detach::start();
    }
    start_logging(cli, &settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dispatch(&cli.command, settings)).map(|()| ExitCode::SUCCESS)
}

async fn dispatch(command: &Command, settings: Settings) -> Result<(), Failure> {
    match command {
        Command::Join { string } => cmd::join::run(string, &settings),
        Command::Up(up) => cmd::up::run(settings, up.detached).await,
        Command::Leave => cmd::leave::run(&settings).await,
        Command::Down => cmd::down(&settings).await,
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
    }
}

fn start_logging(cli: &Cli, settings: &Settings) -> Result<(), Failure> {
    let up = match &cli.command {
        Command::Up(up) => Some(up),
        _ => None,
    };
    let default = if up.is_some() { "info" } else { "warn" };
    let filter = settings.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::new(Exit::Usage, error)
            .context(format!("the log filter '{filter}'"))
            .hint("write error, warn, info, debug or trace")
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    let json = settings.log_format == Some(LogFormat::Json);
    if up.is_some_and(|up| up.detached) {
        detach::leave_session()?;
        let log = Mutex::new(detach::CappedLog::beside(&settings.socket())?);
        let builder = builder.with_ansi(false).with_writer(log);
        if json { builder.json().init() } else { builder.init() }
    } else {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        let builder = builder.with_ansi(colour).with_writer(std::io::stderr);
        if json { builder.json().init() } else { builder.init() }
    }
    Ok(())
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
