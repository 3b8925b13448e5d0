//! Commands about members: they ask the running hub, and where none runs, they do it themselves.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Subcommand};
use dosp_proto::label::Label;
use dosp_proto::vip::Vip;
use dosp_server::Config;
use dosp_server::control::DEFAULT_SOCKET;
use dosp_server::control::client::{self, ControlError};
use dosp_server::hub_key::{self, HubKeyError};
use dosp_server::members::command::{
    Door, InviteList, MembersReply, MembersRequest, NodeList, NodeStatus, carry_out,
};
use dosp_server::members::ledger::{Ledger, LedgerError};
use dosp_server::members::store::{self, Store, StoreError};
use dosp_server::vips::VipAllocator;

use super::Cli;
use super::ask::print;
use super::failure::{EXIT_FAILED, EXIT_NO_PRIVILEGE, EXIT_REFUSED, EXIT_UNKNOWN, EXIT_USAGE};
use super::run_args::{Place, PlaceArgs};

/// How long an invite is good where nobody says otherwise.
const DEFAULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a command about members fails, where no hub says so.
#[derive(Debug, thiserror::Error)]
pub(super) enum MembersError {
    /// There is no such node or invite.
    #[error("{text}")]
    Unknown { text: String },
    /// It is not possible.
    #[error("{text}")]
    Denied { text: String },
    /// The running hub cannot.
    #[error("{why}")]
    Hub { why: String },
    /// The members cannot be read or stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They do not fit the configuration.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The hub's key cannot be read.
    #[error(transparent)]
    Key(#[from] HubKeyError),
}

impl MembersError {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Unknown { .. } => EXIT_UNKNOWN,
            Self::Denied { .. } => EXIT_REFUSED,
            Self::Store(StoreError::Forbidden { .. }) => EXIT_NO_PRIVILEGE,
            Self::Ledger(LedgerError::Outside { .. }) => EXIT_USAGE,
            Self::Hub { .. } | Self::Store(_) | Self::Ledger(_) | Self::Key(_) => EXIT_FAILED,
        }
    }

    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => {
                Some("'dosp-server nodes' and 'dosp-server invite list' list them".to_owned())
            }
            Self::Denied { .. } | Self::Hub { .. } => None,
            Self::Store(error) => Some(error.hint().to_owned()),
            Self::Ledger(error) => Some(error.hint().to_owned()),
            Self::Key(error) => Some(error.hint()),
        }
    }
}

#[derive(Debug, Args)]
struct HubArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
}

/// How long an invite is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ttl {
    For(Duration),
    Never,
}

fn parse_ttl(text: &str) -> Result<Ttl, humantime::DurationError> {
    match text {
        "never" => Ok(Ttl::Never),
        text => humantime::parse_duration(text).map(Ttl::For),
    }
}

#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    #[command(subcommand)]
    command: Option<InviteCommand>,
    /// What the node is to be called
    #[arg(long)]
    name: Option<Label>,
    /// The vIP that it is to have
    #[arg(long, value_name = "IP")]
    vip: Option<Vip>,
    /// How many nodes may use it [default: 1]
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// How long it is good, or 'never' for one that does not end by itself [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    ttl: Option<Ttl>,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, Subcommand)]
enum InviteCommand {
    /// List the invites
    List,
    /// Take an invite back
    Revoke {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct NodesArgs {
    #[command(subcommand)]
    command: Option<NodesCommand>,
    #[command(flatten)]
    hub: HubArgs,
}

/// A node goes by its name, its vIP or its fingerprint.
#[derive(Debug, Subcommand)]
enum NodesCommand {
    /// List the members, as without a command
    List,
    /// Show one member
    Show {
        /// Name, vIP or fingerprint
        node: String,
    },
    /// Call a node otherwise
    Rename {
        /// Name, vIP or fingerprint
        node: String,
        /// The new name
        name: Label,
    },
    /// Give a node another vIP
    SetVip {
        /// Name, vIP or fingerprint
        node: String,
        /// The new vIP
        vip: Vip,
    },
    /// Take a node's membership away: it needs a join string to come back
    Remove {
        /// Name, vIP or fingerprint
        node: String,
    },
    /// End a node's connection; it may come again
    Kick {
        /// Name, vIP or fingerprint
        node: String,
    },
}

pub(super) fn invite(args: InviteArgs, place: Place) -> anyhow::Result<()> {
    let is_new = args.name.is_some() || args.vip.is_some();
    if args.command.is_some() && (is_new || args.uses.is_some() || args.ttl.is_some()) {
        let words = "--name, --vip, --uses and --ttl are for a new invite";
        Cli::command().error(ErrorKind::ArgumentConflict, words).exit();
    }
    let request = match args.command {
        Some(InviteCommand::List) => MembersRequest::Invites,
        Some(InviteCommand::Revoke { id }) => MembersRequest::Revoke { id },
        None => MembersRequest::Invite {
            name: args.name,
            vip: args.vip,
            uses: args.uses.unwrap_or(1),
            ttl_s: match args.ttl.unwrap_or(Ttl::For(DEFAULT_TTL)) {
                Ttl::For(ttl) => Some(ttl.as_secs()),
                Ttl::Never => None,
            },
        },
    };
    let is_json = args.hub.json;
    show(ask(request, &args.hub.place.or(place))?, is_json, None)
}

pub(super) fn nodes(args: NodesArgs, place: Place) -> anyhow::Result<()> {
    let mut only = None;
    let request = match args.command {
        None | Some(NodesCommand::List) => MembersRequest::Nodes,
        Some(NodesCommand::Show { node }) => {
            only = Some(node);
            MembersRequest::Nodes
        }
        Some(NodesCommand::Rename { node, name }) => MembersRequest::Rename { node, name },
        Some(NodesCommand::SetVip { node, vip }) => MembersRequest::SetVip { node, vip },
        Some(NodesCommand::Remove { node }) => MembersRequest::Remove { node },
        Some(NodesCommand::Kick { node }) => MembersRequest::Kick { node },
    };
    let is_json = args.hub.json;
    show(ask(request, &args.hub.place.or(place))?, is_json, only.as_deref())
}

fn ask(request: MembersRequest, place: &Place) -> anyhow::Result<MembersReply> {
    let settings = place.settings()?;
    let socket = settings.socket.clone().unwrap_or_else(|| DEFAULT_SOCKET.into());
    match client::members(&socket, request.clone()) {
        Err(ControlError::Refused { why }) => Err(MembersError::Hub { why }.into()),
        asked if matches!(request, MembersRequest::Kick { .. }) => Ok(asked?),
        Err(error @ ControlError::NotRunning { .. }) => {
            settings.check()?;
            let config = Config::from(settings);
            let state = config.state.as_deref().filter(|state| state.join(store::FILE).exists());
            let Some(state) = state else { return Err(error.into()) };
            let words = format!("no hub runs: done in {}", state.display());
            let reply = do_without_hub(request, &config, state)?;
            tell(&words);
            Ok(reply)
        }
        asked => Ok(asked?),
    }
}

/// What the hub would do; the store is ours alone meanwhile.
fn do_without_hub(
    request: MembersRequest,
    config: &Config,
    state: &Path,
) -> Result<MembersReply, MembersError> {
    let (mut store, rows) = Store::open(state)?;
    let mut rng = rand::rng();
    let key = hub_key::load(state, &mut rng)?;
    let mut ledger = Ledger::new(config.network, !config.closed, rows)?;
    let mut vips = VipAllocator::new(config.network);
    ledger.reserve(&mut vips);
    let listen: Vec<_> = config.listen.iter().map(|listen| listen.addr).collect();
    let door = Door::new(*key.public(), &config.advertise, &listen, host_name().as_deref());
    let outcome = carry_out(&mut ledger, &mut vips, request, &door, &mut rng, unix_now());
    if !outcome.rows.is_empty() {
        store.commit(&outcome.rows)?;
    }
    ledger.settle(outcome.undo, &mut vips);
    Ok(outcome.reply)
}

pub(super) fn host_name() -> Option<String> {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok())
}

pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn show(reply: MembersReply, is_json: bool, only: Option<&str>) -> anyhow::Result<()> {
    match reply {
        MembersReply::Invited(invited) => {
            if is_json {
                print(&serde_json::to_string(&invited)?);
                return Ok(());
            }
            print(&invited.join_string);
            let until = match invited.expires_at {
                Some(at) => format!("good until {at}"),
                None => "good until it is used or revoked".to_owned(),
            };
            tell(&format!("invite {}, {until}", invited.id));
        }
        MembersReply::Invites(list) if is_json => print(&serde_json::to_string(&list)?),
        MembersReply::Invites(list) => print(&invites_in_words(&list)),
        MembersReply::Nodes(list) => {
            let list = match only {
                Some(text) => one(list, text)?,
                None => list,
            };
            match only {
                _ if is_json => print(&serde_json::to_string(&list)?),
                Some(_) => print(&list.nodes.iter().map(node_in_words).collect::<String>()),
                None => print(&nodes_in_words(&list)),
            }
        }
        MembersReply::Done { text } => tell(&text),
        MembersReply::Unknown { text } => return Err(MembersError::Unknown { text }.into()),
        MembersReply::Denied { text } => return Err(MembersError::Denied { text }.into()),
    }
    Ok(())
}

fn one(list: NodeList, text: &str) -> Result<NodeList, MembersError> {
    let is_meant = |node: &NodeStatus| {
        node.vip.to_string() == text
            || node.name.as_ref().is_some_and(|name| name.as_str().eq_ignore_ascii_case(text))
            || node.key.fingerprint().is_spelled(text)
    };
    let nodes: Vec<_> = list.nodes.into_iter().filter(is_meant).collect();
    if nodes.is_empty() {
        let text = format!("no node is '{}'", text.escape_default());
        return Err(MembersError::Unknown { text });
    }
    Ok(NodeList { nodes, ..list })
}

fn nodes_in_words(list: &NodeList) -> String {
    let mut lines =
        vec![format!("{:<20}  {:<15}  {:<20}  {}", "name", "vIP", "seen", "fingerprint")];
    lines.extend(list.nodes.iter().map(|node| {
        let seen = if node.is_online { "online" } else { &node.last_seen_at };
        format!("{:<20}  {:<15}  {seen:<20}  {}", name(node), node.vip, node.fingerprint)
    }));
    lines.join("\n")
}

fn node_in_words(node: &NodeStatus) -> String {
    let addr = node.addr.map(|addr| format!(" from {addr}")).unwrap_or_default();
    let seen = if node.is_online { "online" } else { &node.last_seen_at };
    format!(
        "name         {}\nvIP          {}\nseen         {seen}{addr}\njoined       {}\nfingerprint  {}\nkey          {}",
        name(node),
        node.vip,
        node.joined_at,
        node.fingerprint,
        node.key,
    )
}

fn name(node: &NodeStatus) -> &str {
    node.name.as_ref().map_or("-", Label::as_str)
}

fn invites_in_words(list: &InviteList) -> String {
    let mut lines = vec![format!(
        "{:<8}  {:<7}  {:<7}  {:<20}  {:<15}  {}",
        "id", "state", "used", "name", "vIP", "expires"
    )];
    lines.extend(list.invites.iter().map(|invite| {
        let name = invite.name.as_ref().map_or("-", Label::as_str);
        let vip = invite.vip.map_or_else(|| "-".to_owned(), |vip| vip.to_string());
        let used = format!("{}/{}", invite.num_used, invite.max_uses);
        let expires = invite.expires_at.as_deref().unwrap_or("never");
        format!("{}  {:<7}  {used:<7}  {name:<20}  {vip:<15}  {expires}", invite.id, invite.state)
    }));
    lines.join("\n")
}

/// For people only: what a program reads is on standard output.
pub(super) fn tell(text: &str) {
    // Without a stderr there is nobody to tell.
    writeln!(io::stderr(), "{text}").unwrap_or_default();
}
