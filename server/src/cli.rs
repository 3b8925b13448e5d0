//! The edge: the command line, the log, signals, exit codes, and errors in words.

mod ask;
mod backup;
mod failure;
mod init;
mod log;
mod manual;
mod members;
mod peers;
mod reload;
mod run_args;
mod service;
mod watch;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use dosp_daemon::metrics::{Endpoint, ListenError};
use dosp_daemon::service::{Word, say};
use dosp_server::config::{ConfigError, Settings};
use dosp_server::control::DEFAULT_SOCKET;
use dosp_server::control::server::{ControlServer, SocketError};
use dosp_server::{Config, HubHandle, Server, metrics, nofile};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use ask::{AdminArgs, StatusArgs};
use backup::BackupArgs;
use backup::restore::RestoreArgs;
use init::InitArgs;
use manual::Shell;
use members::{InviteArgs, NodesArgs};
use peers::PeersArgs;
use reload::{Reload, Sources};
use run_args::{Place, RunArgs};

/// The DoSP hub: routes frames by vIP and cannot read them.
#[derive(Debug, Parser)]
#[command(name = "dosp-server", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

const AFTER_HELP: &str = "\
Without any option and any file the hub listens on 0.0.0.0:7744 and [::]:7744 and gives anyone who
reaches it a vIP of 7.10.0.{x}.

--peer [HOST[:PORT]]=NETWORK[,key=KEY][,networks=NETWORK+NETWORK...][,unauthenticated]
  HOST     where it is dialled; without one it dials this hub
  NETWORK  its own, such as 7.11.0.{x}; it also speaks for those behind networks=
  KEY      what 'dosp-server peers' prints there; a published DoSP hub has none, and whoever answers at
           its address passes for it: 'unauthenticated' allows that

Environment: DOSP_HOST, DOSP_PORT, DOSP_IP_TEMPLATE, DOSP_PEERS (HOST:PORT:TEMPLATE,... of published
hubs), DOSP_METRICS, DOSP_LOG, DOSP_LOG_FORMAT.
The order is: option, environment, file, default.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub, as without a command
    Run(RunArgs),
    /// Say whether a configuration file is good: exit code 0, else 2
    Check {
        /// The file
        file: PathBuf,
    },
    /// Show what the running hub is doing
    Status(StatusArgs),
    /// Administer the running hub: kick, ban, block, broadcast and more
    Admin(AdminArgs),
    /// Make a network with members: key, configuration, and the first join string
    Init(InitArgs),
    /// Make a join string, by which a node becomes a member; list them, or take one back
    Invite(InviteArgs),
    /// Show the members, or change one
    Nodes(NodesArgs),
    /// Write all that the hub keeps, and its configuration, into one file; it may run meanwhile
    Backup(BackupArgs),
    /// Make a hub of a backup; it must not run
    Restore(RestoreArgs),
    /// Show this hub's key, the hubs that it is linked with, and the networks behind them
    Peers(PeersArgs),
    /// Print the completions of a shell
    Completions {
        /// Which shell's
        shell: Shell,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder
        dir: PathBuf,
    },
}

/// Parses, runs, and maps what went wrong to an exit code.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Check { file }) => {
            cli.run.into_place();
            check(&file)
        }
        Some(Command::Status(args)) => ask::status(args, cli.run.into_place()),
        Some(Command::Admin(args)) => ask::admin(args, cli.run.into_place()),
        Some(Command::Init(args)) => init::init(args, cli.run.into_place()),
        Some(Command::Invite(args)) => members::invite(args, cli.run.into_place()),
        Some(Command::Nodes(args)) => members::nodes(args, cli.run.into_place()),
        Some(Command::Backup(args)) => backup::backup(args, cli.run.into_place()),
        Some(Command::Restore(args)) => backup::restore::restore(args, cli.run.into_place()),
        Some(Command::Peers(args)) => peers::peers(args, cli.run.into_place()),
        Some(Command::Completions { shell }) => {
            cli.run.into_place();
            manual::completions(shell)
        }
        Some(Command::Man { dir }) => {
            cli.run.into_place();
            manual::pages(&dir)
        }
        Some(Command::Run(args)) => run(args.or(cli.run)),
        None => run(cli.run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

fn check(file: &Path) -> anyhow::Result<()> {
    Settings::from_file(file)?.check()?;
    // A closed pipe is no reason to call the file bad.
    writeln!(io::stdout(), "{}: ok", file.display()).unwrap_or_default();
    Ok(())
}

fn run(args: RunArgs) -> anyhow::Result<()> {
    let place = Place { config: args.config.clone(), ..Place::default() };
    let sources = Sources { arguments: args.into_settings(), place };
    let running = sources.read()?;
    let mut config = running.clone();
    let level = log::start(&config);
    limit_clients(&mut config);
    let max_clients = config.max_clients.min(config.network.assignable().len());
    info!(max_clients, network = %config.network, "starting");
    let reload = Reload { sources, level, running };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(serve(&config, reload))
}

fn env() -> Result<Settings, ConfigError> {
    // What is not UTF-8 is as wrong as any other bad value, and is reported as one.
    Settings::from_env(|name| {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })
}

async fn serve(config: &Config, reload: Reload) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    let server = Server::bind(config)?;
    let control = start_control(config, server.handle()).await?;
    let metrics = start_metrics(config, server.handle()).await?;
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => info!(signal = "SIGINT", "asked to stop"),
            _ = terminate.recv() => info!(signal = "SIGTERM", "asked to stop"),
        }
        stop.cancel();
    });
    let service = AbortOnDropHandle::new(tokio::spawn(service::follow(server.handle())));
    tokio::spawn(reload.on_hangup(hangup, server.handle(), shutdown.clone()));
    let stopping = tokio::spawn(say_stopping(shutdown.clone(), service));
    server.run(shutdown.clone()).await;
    // Where the listeners have failed nobody has said so yet.
    shutdown.cancel();
    stopping.await.context("tell the service manager")?;
    drop((control, metrics));
    Ok(())
}

/// After what `service` has told, nothing but that.
async fn say_stopping(shutdown: CancellationToken, service: AbortOnDropHandle<()>) {
    shutdown.cancelled().await;
    drop(service);
    say(Word::Stopping).await;
}

/// The local socket, until the task is dropped. At its default place it may be missing: a hub needs no
/// right to write there.
async fn start_control(
    config: &Config,
    hub: HubHandle,
) -> Result<Option<AbortOnDropHandle<()>>, SocketError> {
    match ControlServer::bind(&config.socket).await {
        Ok(control) => Ok(Some(AbortOnDropHandle::new(tokio::spawn(control.run(hub))))),
        Err(error) if config.socket == Path::new(DEFAULT_SOCKET) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            warn!(
                error,
                "no local socket: 'dosp-server status' and 'admin' will not reach this hub"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What Prometheus asks, until the task is dropped.
async fn start_metrics(
    config: &Config,
    hub: HubHandle,
) -> Result<Option<AbortOnDropHandle<()>>, ListenError> {
    let Some(addr) = config.metrics else { return Ok(None) };
    let serving = metrics::serve(Endpoint::bind(addr).await?, hub);
    Ok(Some(AbortOnDropHandle::new(tokio::spawn(serving))))
}

/// Every session needs a file: the system's limit is a limit on clients as well.
fn limit_clients(config: &mut Config) {
    let wanted = config.max_clients.min(config.network.assignable().len());
    match nofile::raise() {
        Ok(allowed) if allowed < wanted => {
            warn!(max_clients = allowed, wanted, "fewer clients: the limit on open files is low");
            config.max_clients = allowed;
        }
        Ok(_) => {}
        Err(reason) => warn!(%reason, "the limit on open files is unknown"),
    }
}
