//! The commands of administrators: those of the published admin program, with its answers.

use std::fmt::Write;
use std::time::Instant;

use dosp_proto::message::ClientHash;
use dosp_proto::vip::Vip;

use super::admin::ListFull;
use super::{Hub, Session, loggable};

/// Lines of `clients`: so the answer stays far below any frame limit.
const MAX_LISTED: usize = 5000;
/// vIPs that may be blocked at the same time.
const MAX_BLOCKED: usize = 1024;

const HELP: &str = "\
Commands:
  help                     - what can be done
  clients                  - all clients
  client <vip>             - one client
  kick <vip>               - end a client's session
  ban <vip>                - end it and refuse its hash
  unban <hash>             - refuse a hash no more
  whitelist <hash>         - let a hash in while the whitelist is on
  whitelist-remove <hash>  - take a hash from the whitelist
  whitelist-on             - refuse every hash that is not on the whitelist
  whitelist-off            - refuse banned hashes only
  block <vip>              - give a vIP to nobody
  unblock <vip>            - give it again
  stats                    - counters of the hub
  broadcast <message>      - a message to all clients
  exit                     - end this session";

/// What a command causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing but an answer.
    Said(String),
    /// A message goes to every other client; the answer is how many got it.
    Broadcast(String),
    /// Sessions end.
    Cut {
        /// Whose.
        vips: Vec<Vip>,
        /// The answer.
        said: String,
    },
    /// The administrator's own session ends.
    Leave(String),
}

/// Why a command does nothing. The texts are those of the published hub.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("Empty command")]
    Empty,
    #[error("Unknown command: {command}. Type 'help' for available commands.")]
    Unknown { command: String },
    #[error("Usage: {command} <{argument}>")]
    Usage { command: &'static str, argument: &'static str },
    #[error("Invalid VIP: {text}")]
    InvalidVip { text: String },
    #[error("Invalid hash: {text}")]
    InvalidHash { text: String },
    #[error("Client {0} not found")]
    NotFound(Vip),
    #[error("Client {0} has no hash or not found")]
    NoHash(Vip),
    #[error("Hash not in ban list")]
    NotBanned,
    #[error("Hash not in whitelist")]
    NotWhitelisted,
    #[error("List is full")]
    ListFull(#[from] ListFull),
}

type Answer = Result<Outcome, CommandError>;

impl Hub {
    /// Does what an administrator says. Refusals are answers that begin with `ERR:`.
    pub fn administer(&mut self, line: &str, now: Instant) -> Outcome {
        let (command, argument) = line.trim().split_once(char::is_whitespace).unwrap_or((line, ""));
        let command = command.trim().to_lowercase();
        let argument = argument.trim();
        let answer = match command.as_str() {
            "" => Err(CommandError::Empty),
            "help" => said(HELP),
            "clients" => said(self.list_clients(now)),
            "stats" => said(self.list_counters()),
            "client" => self.show_client(argument, now),
            "kick" => self.kick(argument),
            "ban" => self.ban(argument),
            "unban" => self.unban(argument),
            "whitelist" => self.whitelist(argument),
            "whitelist-remove" => self.unlist(argument),
            "whitelist-on" | "whitelist-off" => self.switch_whitelist(command == "whitelist-on"),
            "block" => self.block(argument),
            "unblock" => self.unblock(argument),
            "broadcast" if argument.is_empty() => {
                Err(CommandError::Usage { command: "broadcast", argument: "message" })
            }
            "broadcast" => Ok(Outcome::Broadcast(argument.to_owned())),
            "exit" | "quit" => Ok(Outcome::Leave("Goodbye".to_owned())),
            _ => Err(CommandError::Unknown { command: loggable(command.as_bytes()) }),
        };
        answer.unwrap_or_else(|refusal| Outcome::Said(format!("ERR:{refusal}")))
    }

    fn list_clients(&self, now: Instant) -> String {
        if self.by_vip.is_empty() {
            return "No clients connected".to_owned();
        }
        let mut text = format!("Clients ({}):", self.by_vip.len());
        for (vip, id) in self.by_vip.iter().take(MAX_LISTED) {
            let Some(session) = self.sessions.get(id) else { continue };
            let admin = if session.is_admin { " [ADMIN]" } else { "" };
            let hash = session.hash.map_or("N/A".to_owned(), |hash| format!("{hash:.16}..."));
            let uptime_s = session.uptime(now).as_secs();
            let (rx, tx) = session.num_frames();
            write!(text, "\n  {vip}{admin}  hash={hash}  uptime={uptime_s}s  rx={rx}  tx={tx}")
                .unwrap_or_default();
        }
        if self.by_vip.len() > MAX_LISTED {
            write!(text, "\n  and {} more", self.by_vip.len() - MAX_LISTED).unwrap_or_default();
        }
        text
    }

    fn list_counters(&self) -> String {
        let (rx, tx) = self.num_frames();
        let on = if self.admin.whitelist_only { "ON" } else { "OFF" };
        format!(
            "Server packets received: {rx}\n\
             Server packets sent:     {tx}\n\
             Clients connected:       {}\n\
             Banned hashes:           {}\n\
             Whitelist hashes:        {}\n\
             Whitelist mode:          {on}\n\
             Admin tokens configured: {}",
            self.sessions.len(),
            self.admin.banned.len(),
            self.admin.whitelist.len(),
            self.admin.access.tokens.len(),
        )
    }

    fn show_client(&self, argument: &str, now: Instant) -> Answer {
        let (vip, session) = self.client(argument, "client")?;
        let hash = session.hash.map_or("N/A".to_owned(), |hash| hash.to_string());
        let admin = if session.is_admin { "True" } else { "False" };
        let (rx, tx) = session.num_frames();
        said(format!(
            "Client {vip}:\n  Hash: {hash}\n  Admin: {admin}\n  Address: {}\n  \
             Connected: {} s ago\n  Packets received: {rx}\n  Packets sent: {tx}",
            session.addr,
            session.uptime(now).as_secs(),
        ))
    }

    fn kick(&self, argument: &str) -> Answer {
        let (vip, _) = self.client(argument, "kick")?;
        Ok(Outcome::Cut { vips: vec![vip], said: format!("Client {vip} kicked") })
    }

    fn ban(&mut self, argument: &str) -> Answer {
        let target = parse_vip(argument, "ban")?;
        let session = self.by_vip.get(&target).and_then(|id| self.sessions.get(id));
        let hash = session.and_then(|session| session.hash);
        let hash = hash.ok_or(CommandError::NoHash(target))?;
        self.admin.banned.insert(hash)?;
        let sessions = self.sessions.values();
        let vips =
            sessions.filter(|session| session.hash == Some(hash)).map(|session| session.vip.get());
        let said = format!("Client {target} banned (hash: {hash:.16}...)");
        Ok(Outcome::Cut { vips: vips.collect(), said })
    }

    fn unban(&mut self, argument: &str) -> Answer {
        let hash = parse_hash(argument, "unban")?;
        if !self.admin.banned.remove(&hash) {
            return Err(CommandError::NotBanned);
        }
        said(format!("Hash {hash:.16}... removed from ban list"))
    }

    fn whitelist(&mut self, argument: &str) -> Answer {
        let hash = parse_hash(argument, "whitelist")?;
        self.admin.whitelist.insert(hash)?;
        said(format!("Hash {hash:.16}... added to whitelist"))
    }

    fn unlist(&mut self, argument: &str) -> Answer {
        let hash = parse_hash(argument, "whitelist-remove")?;
        if !self.admin.whitelist.remove(&hash) {
            return Err(CommandError::NotWhitelisted);
        }
        said(format!("Hash {hash:.16}... removed from whitelist"))
    }

    fn switch_whitelist(&mut self, is_on: bool) -> Answer {
        self.admin.whitelist_only = is_on;
        said(format!("Whitelist-only mode {}", if is_on { "enabled" } else { "disabled" }))
    }

    fn block(&mut self, argument: &str) -> Answer {
        let vip = parse_vip(argument, "block")?;
        if self.blocked.len() >= MAX_BLOCKED && !self.blocked.contains(&vip) {
            return Err(ListFull.into());
        }
        if self.blocked.insert(vip) {
            // Where somebody has it, the block takes it over when it comes free.
            self.vips.take(vip).unwrap_or_default();
        }
        said(format!("VIP {vip} blocked"))
    }

    fn unblock(&mut self, argument: &str) -> Answer {
        let vip = parse_vip(argument, "unblock")?;
        if self.blocked.remove(&vip) && !self.by_vip.contains_key(&vip) {
            self.release(vip);
        }
        said(format!("VIP {vip} unblocked"))
    }

    fn client(
        &self,
        argument: &str,
        command: &'static str,
    ) -> Result<(Vip, &Session), CommandError> {
        let vip = parse_vip(argument, command)?;
        let session = self.by_vip.get(&vip).and_then(|id| self.sessions.get(id));
        session.map(|session| (vip, session)).ok_or(CommandError::NotFound(vip))
    }
}

fn said(text: impl Into<String>) -> Answer {
    Ok(Outcome::Said(text.into()))
}

fn parse_vip(argument: &str, command: &'static str) -> Result<Vip, CommandError> {
    if argument.is_empty() {
        return Err(CommandError::Usage { command, argument: "vip" });
    }
    let vip = argument.parse().ok();
    vip.ok_or_else(|| CommandError::InvalidVip { text: loggable(argument.as_bytes()) })
}

fn parse_hash(argument: &str, command: &'static str) -> Result<ClientHash, CommandError> {
    if argument.is_empty() {
        return Err(CommandError::Usage { command, argument: "hash" });
    }
    let hash = argument.parse().ok();
    hash.ok_or_else(|| CommandError::InvalidHash { text: loggable(argument.as_bytes()) })
}
