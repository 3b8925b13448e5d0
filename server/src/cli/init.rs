//! `dosp-server init`: everything that a hub with members needs, and the first join string.

mod routes;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use dosp_daemon::private;
use dosp_proto::join_string::JoinString;
use dosp_proto::label::Label;
use dosp_proto::vip::Network;
use dosp_server::members::command::{Door, MembersReply, MembersRequest, carry_out};
use dosp_server::members::ledger::Ledger;
use dosp_server::members::store::{self, Store};
use dosp_server::vips::VipAllocator;
use dosp_server::{Config, config, hub_key};

use super::ask::print;
use super::failure::{EXIT_FAILED, EXIT_NO_PRIVILEGE};
use super::members::{MembersError, host_name, tell, unix_now};
use super::run_args::{DEFAULT_FILE, Place};
use routes::Routes;

/// Where the state is unless somebody says otherwise.
pub(super) const DEFAULT_STATE: &str = "/var/lib/dosp/server";
/// How long the first join string is good.
const FIRST_TTL_S: u64 = 24 * 3600;

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum InitError {
    /// There is a network already.
    #[error("there is a network already: {} exists", path.display())]
    State { path: PathBuf },
    /// There is a configuration already.
    #[error("{} exists", path.display())]
    Config { path: PathBuf },
    /// The system says no.
    #[error("cannot make {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl InitError {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                EXIT_NO_PRIVILEGE
            }
            Self::State { .. } | Self::Config { .. } | Self::Io { .. } => EXIT_FAILED,
        }
    }

    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::State { .. } => {
                "'dosp-server invite' makes a join string; --state makes room for another network"
            }
            Self::Config { .. } => "--force replaces it; --config writes another one",
            Self::Io { .. } => "be root, or give --config and --state where you may write",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where vIPs come from [default: some free /24 of 10.0.0.0/8]
    #[arg(long, value_name = "TEMPLATE|CIDR", value_parser = config::parse_network)]
    network: Option<Network>,
    /// What the hub is called
    #[arg(long)]
    name: Option<Label>,
    /// Where nodes reach the hub; may be given more than once [default: the name of this host]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = config::parse_advertise)]
    advertise: Vec<String>,
    /// Let everybody in who reaches the hub
    #[arg(long)]
    open: bool,
    /// Configuration file to write [default: /etc/dosp/server.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for the hub's key and its members [default: /var/lib/dosp/server]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Replace the configuration file; a state folder is never replaced
    #[arg(long)]
    force: bool,
}

pub(super) fn init(args: InitArgs, place: Place) -> anyhow::Result<()> {
    let file = args.config.clone().or(place.config).unwrap_or_else(|| DEFAULT_FILE.into());
    let state = args.state.clone().or(place.state).unwrap_or_else(|| DEFAULT_STATE.into());
    let state = std::path::absolute(&state).unwrap_or(state);
    for name in [hub_key::FILE, store::FILE] {
        let path = state.join(name);
        if path.exists() {
            return Err(InitError::State { path }.into());
        }
    }
    if file.exists() && !args.force {
        return Err(InitError::Config { path: file }.into());
    }
    let routes = Routes::of_this_machine();
    let network = args.network.unwrap_or_else(|| routes.free_network(&mut rand::rng()));
    warn_of(network, &routes);

    // What can fail comes before what must not be there half-way.
    let new = with_suffix(&file, ".new");
    write_config(&new, &config_text(&args, network, &state))?;
    let made = make_state(&args, network, &state);
    let renamed = made.and_then(|join| {
        let failed = |source| InitError::Io { path: file.clone(), source };
        fs::rename(&new, &file).map_err(failed)?;
        Ok(join)
    });
    if renamed.is_err() {
        fs::remove_file(&new).ok();
    }
    say(&renamed?, network, &file, &state);
    Ok(())
}

fn say(join: &JoinString, network: Network, file: &Path, state: &Path) {
    let at = if join.addrs.is_empty() { "nowhere".to_owned() } else { join.addrs.join(" ") };
    tell(&format!("network        {network}, the hub is {}", network.hub()));
    tell(&format!("configuration  {}", file.display()));
    tell(&format!("state          {}", state.display()));
    tell(&format!("fingerprint    {}", join.hub_key.fingerprint()));
    tell(&format!("key            {}", join.hub_key));
    tell(&format!("nodes reach it at {at}; 'advertise' in the configuration says otherwise"));
    let start = match file.to_str() {
        Some(DEFAULT_FILE) if is_of_another_user(state) => "systemctl start dosp-server".to_owned(),
        Some(DEFAULT_FILE) => "dosp-server".to_owned(),
        _ => format!("dosp-server --config {}", file.display()),
    };
    tell(&format!("\nstart the hub:   {start}"));
    let good_for = if join.join_key.is_some() { " (one node, within 24 hours)" } else { "" };
    tell(&format!("then on a host{good_for}:   the line below, and 'dosp-agent up'"));
    print(&format!("dosp-agent join {}", *join.to_text()));
}

/// As with the packages, whose hub has a user of its own.
fn is_of_another_user(state: &Path) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    fs::metadata(state).is_ok_and(|state| state.uid() != own)
}

fn warn_of(network: Network, routes: &Routes) {
    if !routes::is_private(network) {
        tell(&format!(
            "warning: {network} is public address space: its hosts cannot be reached from members"
        ));
    }
    if let Some(route) = routes.overlap(network) {
        tell(&format!("warning: {network} overlaps the route {route} of this machine"));
    }
}

fn make_state(args: &InitArgs, network: Network, state: &Path) -> anyhow::Result<JoinString> {
    private::make_folder(state)
        .map_err(|source| InitError::Io { path: state.to_owned(), source })?;
    let mut rng = rand::rng();
    let key = hub_key::load(state, &mut rng).map_err(MembersError::from)?;
    let (mut store, rows) = Store::open(state).map_err(MembersError::from)?;
    let listen: Vec<_> = Config::default().listen.iter().map(|listen| listen.addr).collect();
    let door = Door::new(*key.public(), &args.advertise, &listen, host_name().as_deref());
    if args.open {
        let Door { hub_key, addrs } = door;
        let (join_key, name, vip, expires_at) = (None, None, None, None);
        return Ok(JoinString { hub_key, addrs, join_key, name, vip, expires_at });
    }
    let mut ledger = Ledger::new(network, false, rows).map_err(MembersError::from)?;
    let mut vips = VipAllocator::new(network);
    let request =
        MembersRequest::Invite { name: None, vip: None, uses: 1, ttl_s: Some(FIRST_TTL_S) };
    let outcome = carry_out(&mut ledger, &mut vips, request, &door, &mut rng, unix_now());
    store.commit(&outcome.rows).map_err(MembersError::from)?;
    ledger.settle(outcome.undo, &mut vips);
    match outcome.reply {
        MembersReply::Invited(invited) => Ok(invited.join_string.parse()?),
        _ => anyhow::bail!("no join string could be made"),
    }
}

fn config_text(args: &InitArgs, network: Network, state: &Path) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let name = match &args.name {
        Some(name) => format!("name = {}\n", quoted(name.as_str())),
        None => "#name = \"\"\n".to_owned(),
    };
    let advertised: Vec<_> = args.advertise.iter().map(|addr| quoted(addr)).collect();
    let sign = if args.advertise.is_empty() { "#" } else { "" };
    format!(
        "# The configuration of dosp-server, made by 'dosp-server init'. server.example.toml has all keys.\n\
         \n\
         # Where vIPs come from. Members keep theirs: with members in it, it cannot be changed.\n\
         network = {}\n\
         \n\
         # The hub's key and its members.\n\
         state = {}\n\
         \n\
         # Whether whoever is no member needs a join string of 'dosp-server invite'.\n\
         closed = {}\n\
         \n\
         # What the hub is called.\n\
         {name}\
         \n\
         # Where nodes reach the hub: what join strings say.\n\
         {sign}advertise = [{}]\n",
        quoted(&network.to_string()),
        quoted(&state.to_string_lossy()),
        !args.open,
        advertised.join(", "),
    )
}

fn write_config(path: &Path, text: &str) -> Result<(), InitError> {
    let written = || {
        private::make_parents(path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file: File =
            OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().map_err(|source| InitError::Io { path: path.to_owned(), source })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
