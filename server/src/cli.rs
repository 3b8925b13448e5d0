//! The edge: the command line, the log, signals, exit codes, and errors in words.

mod ask;
mod init;
mod members;
mod peers;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use dosp_proto::vip::Network;
use dosp_server::config::{self, ConfigError, LogFormat, PeerConfig, Settings};
use dosp_server::control::DEFAULT_SOCKET;
use dosp_server::control::client::ControlError;
use dosp_server::control::server::{ControlServer, SocketError};
use dosp_server::{Config, HubHandle, Server, StartError, nofile};
use dosp_transport::congestion::Congestion;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};

use ask::{AdminArgs, StatusArgs};
use init::{InitArgs, InitError};
use members::{InviteArgs, MembersError, NodesArgs};
use peers::PeersArgs;

/// Read where it exists and no other file is given.
const DEFAULT_FILE: &str = "/etc/dosp/server.toml";
/// It failed.
const EXIT_FAILED: u8 = 1;
/// Usage or configuration.
const EXIT_USAGE: u8 = 2;
/// There is no hub to ask.
const EXIT_NOT_RUNNING: u8 = 3;
/// Refused.
const EXIT_REFUSED: u8 = 4;
/// Nobody is known by that name.
const EXIT_UNKNOWN: u8 = 5;
/// The hub is not this user's to ask.
const EXIT_NO_PRIVILEGE: u8 = 77;

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
hubs), DOSP_LOG, DOSP_LOG_FORMAT.
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
    /// Show this hub's key, the hubs that it is linked with, and the networks behind them
    Peers(PeersArgs),
}

#[derive(Debug, Default, PartialEq, Eq, Args)]
struct RunArgs {
    /// Where clients connect; may be given more than once
    #[arg(long, value_name = "ADDR:PORT", value_parser = config::parse_listen)]
    listen: Vec<SocketAddr>,
    /// Where vIPs come from: 7.10.0.{x} or 10.7.0.0/16
    #[arg(long, value_name = "TEMPLATE|CIDR", value_parser = config::parse_network)]
    network: Option<Network>,
    /// Another hub to be linked with, as below; may be given more than once
    #[arg(long, value_name = "HOST[:PORT]=NETWORK,key=KEY", value_parser = parse_peer)]
    peer: Vec<PeerConfig>,
    /// How many clients at a time
    #[arg(long, value_name = "N", value_parser = parse_max_clients)]
    max_clients: Option<usize>,
    /// Congestion control of all connections: auto, kernel, cubic or bbr [default: auto]
    #[arg(long, value_name = "NAME")]
    congestion: Option<Congestion>,
    /// Compress all bodies; clients before 0.1.4 cannot join then
    #[arg(long)]
    compression: bool,
    /// Let clients call the functions time, uptime, version and clients
    #[arg(long)]
    builtin_functions: bool,
    /// Tokens that make an administrator, one a line; nobody else may read the file
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Folder of the hub's key and its members; without it there are none
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Local socket for status, admin, nodes, invite and peers [default: /run/dosp/server.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Configuration file [default: /etc/dosp/server.toml where it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Least important lines to log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", value_parser = config::parse_level)]
    log: Option<LevelFilter>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum)]
    log_format: Option<LogFormat>,
}

/// Parses, runs, and maps what went wrong to an exit code.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Check { file }) => {
            cli.run.into_place();
            check(&file)
        }
        Some(Command::Status(args)) => ask::status(args, &cli.run.into_place()),
        Some(Command::Admin(args)) => ask::admin(args, &cli.run.into_place()),
        Some(Command::Init(args)) => init::init(args, cli.run.into_place()),
        Some(Command::Invite(args)) => members::invite(args, cli.run.into_place()),
        Some(Command::Nodes(args)) => members::nodes(args, cli.run.into_place()),
        Some(Command::Peers(args)) => peers::peers(args, &cli.run.into_place()),
        Some(Command::Run(args)) => run(args.or(cli.run)),
        None => run(cli.run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
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
    let file = place.file()?;
    let settings = args.into_settings().or(env()?).or(file);
    settings.check()?;
    let mut config = Config::from(settings);
    start_log(&config);
    limit_clients(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(serve(&config))
}

fn env() -> Result<Settings, ConfigError> {
    // What is not UTF-8 is as wrong as any other bad value, and is reported as one.
    Settings::from_env(|name| {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })
}

/// A file that is there and cannot be read is an error: a hub without it may listen where it must not.
fn default_file() -> Result<Settings, ConfigError> {
    match Settings::from_file(Path::new(DEFAULT_FILE)) {
        Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Settings::default())
        }
        read => read,
    }
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let server = Server::bind(config)?;
    let control = start_control(config, server.handle()).await?;
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => info!(signal = "SIGINT", "asked to stop"),
            _ = terminate.recv() => info!(signal = "SIGTERM", "asked to stop"),
        }
        stop.cancel();
    });
    server.run(shutdown).await;
    drop(control);
    Ok(())
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

/// Where a command finds the hub: the options that mean something to every command.
#[derive(Debug, Default)]
struct Place {
    config: Option<PathBuf>,
    state: Option<PathBuf>,
    socket: Option<PathBuf>,
}

impl Place {
    fn file(&self) -> Result<Settings, ConfigError> {
        match &self.config {
            Some(file) => Settings::from_file(file),
            None => default_file(),
        }
    }
}

impl RunArgs {
    /// What `self` says, and where it says nothing, what `other` says.
    fn or(self, other: Self) -> Self {
        let listen = if self.listen.is_empty() { other.listen } else { self.listen };
        Self {
            listen,
            network: self.network.or(other.network),
            peer: if self.peer.is_empty() { other.peer } else { self.peer },
            max_clients: self.max_clients.or(other.max_clients),
            congestion: self.congestion.or(other.congestion),
            compression: self.compression || other.compression,
            builtin_functions: self.builtin_functions || other.builtin_functions,
            admin_token_file: self.admin_token_file.or(other.admin_token_file),
            state: self.state.or(other.state),
            socket: self.socket.or(other.socket),
            config: self.config.or(other.config),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
        }
    }

    /// What stands in front of a command that runs no hub. Anything else there is a usage error.
    fn into_place(mut self) -> Place {
        let (config, state, socket) = (self.config.take(), self.state.take(), self.socket.take());
        if self != Self::default() {
            let words = "only --config, --state and --socket can stand before this command";
            Cli::command().error(ErrorKind::ArgumentConflict, words).exit();
        }
        Place { config, state, socket }
    }

    fn into_settings(self) -> Settings {
        let listen = (!self.listen.is_empty()).then(|| config::chosen_listen(&self.listen));
        Settings {
            listen,
            network: self.network,
            peers: (!self.peer.is_empty()).then_some(self.peer),
            max_clients: self.max_clients,
            log: self.log,
            admin_token_file: self.admin_token_file,
            congestion: self.congestion,
            compression: self.compression.then_some(true),
            state: self.state,
            socket: self.socket,
            builtin_functions: self.builtin_functions.then_some(true),
            log_format: self.log_format,
            ..Settings::default()
        }
    }
}

fn parse_max_clients(text: &str) -> anyhow::Result<usize> {
    Ok(config::check_max_clients(text.parse()?)?)
}

fn parse_peer(text: &str) -> anyhow::Result<PeerConfig> {
    config::parse_peer(text).map_err(|error| anyhow!("{error}\nhint: {}", error.hint()))
}

fn start_log(config: &Config) {
    let wants_no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_max_level(config.log)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(!wants_no_color && io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Human => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Every session needs a file: the system's limit is a limit on clients as well.
fn limit_clients(config: &mut Config) {
    let wanted = config.max_clients.min(config.network.assignable().len());
    match nofile::raise() {
        Ok(allowed) if allowed < wanted => {
            warn!(max_clients = allowed, wanted, "fewer clients: the limit on open files is low");
            config.max_clients = allowed;
        }
        Ok(_) => info!(max_clients = wanted, network = %config.network, "starting"),
        Err(reason) => warn!(%reason, "the limit on open files is unknown"),
    }
}

/// Two lines: what and why, and what to do.
fn report(error: &anyhow::Error) -> ExitCode {
    let (code, hint) = if let Some(error) = error.downcast_ref::<ConfigError>() {
        (EXIT_USAGE, Some(error.hint()))
    } else if let Some(error) = error.downcast_ref::<ControlError>() {
        let code = match error {
            ControlError::NotRunning { .. } => EXIT_NOT_RUNNING,
            ControlError::Forbidden { .. } => EXIT_NO_PRIVILEGE,
            _ => EXIT_FAILED,
        };
        (code, ask::hint(error))
    } else if let Some(error) = error.downcast_ref::<MembersError>() {
        (error.code(), error.hint())
    } else if let Some(error) = error.downcast_ref::<InitError>() {
        (error.code(), Some(error.hint().to_owned()))
    } else if let Some(error) = error.downcast_ref::<StartError>() {
        let code = match error {
            StartError::Tokens(_) => EXIT_USAGE,
            StartError::Bind(_) | StartError::State(_) => EXIT_FAILED,
        };
        (code, Some(error.hint()))
    } else {
        (EXIT_FAILED, None)
    };
    let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    // Without a stderr there is nobody to tell.
    write!(io::stderr(), "dosp-server: {error:#}\n{hint}").unwrap_or_default();
    ExitCode::from(code)
}
