//! Who administers the hub, and what administrators have forbidden. Kept in memory only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use dosp_proto::message::ClientHash;

use crate::tokens::AdminTokens;

/// Wrong tokens that one source may send in [`GUESS_INTERVAL`].
const MAX_GUESSES: u32 = 5;
const GUESS_INTERVAL: Duration = Duration::from_secs(60);
/// Sources whose wrong tokens are remembered; beyond, everybody new is refused for a while.
const MAX_SOURCES: usize = 1024;
/// Entries of each list of hashes.
const MAX_HASHES: usize = 4096;

/// Why a token made nobody an administrator. The client is told nothing of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthRefusal {
    /// There are no tokens.
    #[error("no admin_token_file is configured")]
    Off,
    /// Only this machine may administer the hub.
    #[error("admin_remote is off")]
    Remote,
    /// Too many wrong tokens came from there.
    #[error("locked out")]
    LockedOut,
    /// No such token.
    #[error("wrong token")]
    Wrong,
    /// No such token, and so many that no more are looked at for a while.
    #[error("wrong token, now locked out")]
    WrongAndLockedOut,
}

/// Who may administer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminAccess {
    /// What administrators know.
    pub tokens: AdminTokens,
    /// Whether they may come from other machines, over plain TCP.
    pub allows_remote: bool,
}

#[derive(Debug, Default)]
pub(super) struct Admin {
    pub(super) access: AdminAccess,
    guesses: BTreeMap<IpAddr, Guesses>,
    pub(super) banned: HashList,
    pub(super) whitelist: HashList,
    pub(super) whitelist_only: bool,
}

#[derive(Debug, Clone, Copy)]
struct Guesses {
    since: Instant,
    count: u32,
}

impl Admin {
    pub(super) fn check_token(
        &mut self,
        addr: SocketAddr,
        token: &[u8],
        now: Instant,
    ) -> Result<(), AuthRefusal> {
        let ip = addr.ip().to_canonical();
        if self.access.tokens.is_empty() {
            return Err(AuthRefusal::Off);
        }
        if !self.access.allows_remote && !ip.is_loopback() {
            return Err(AuthRefusal::Remote);
        }
        let source = source_of(ip);
        if self.is_locked_out(source, now) {
            return Err(AuthRefusal::LockedOut);
        }
        if self.access.tokens.contains(token.trim_ascii()) {
            return Ok(());
        }
        let guesses = self.guesses.entry(source).or_insert(Guesses { since: now, count: 0 });
        guesses.count += 1;
        let is_last = guesses.count == MAX_GUESSES;
        Err(if is_last { AuthRefusal::WrongAndLockedOut } else { AuthRefusal::Wrong })
    }

    fn is_locked_out(&mut self, source: IpAddr, now: Instant) -> bool {
        let is_recent = |guesses: &Guesses| now < guesses.since + GUESS_INTERVAL;
        match self.guesses.get(&source) {
            Some(guesses) if is_recent(guesses) => guesses.count >= MAX_GUESSES,
            Some(_) => {
                self.guesses.remove(&source);
                false
            }
            None => {
                if self.guesses.len() >= MAX_SOURCES {
                    self.guesses.retain(|_, guesses| is_recent(guesses));
                }
                self.guesses.len() >= MAX_SOURCES
            }
        }
    }

    pub(super) fn is_blocked(&self, hash: &ClientHash) -> bool {
        let is_unlisted = self.whitelist_only && !self.whitelist.contains(hash);
        is_unlisted || self.banned.contains(hash)
    }
}

/// Whoever has one address of a /64 has all of them.
pub(super) fn source_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

/// A list that has no room left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the list is full")]
pub(super) struct ListFull;

/// Hashes of clients, bounded.
#[derive(Debug, Default)]
pub(super) struct HashList(BTreeSet<ClientHash>);

impl HashList {
    pub(super) fn insert(&mut self, hash: ClientHash) -> Result<(), ListFull> {
        if self.0.len() >= MAX_HASHES && !self.0.contains(&hash) {
            return Err(ListFull);
        }
        self.0.insert(hash);
        Ok(())
    }

    pub(super) fn remove(&mut self, hash: &ClientHash) -> bool {
        self.0.remove(hash)
    }

    pub(super) fn contains(&self, hash: &ClientHash) -> bool {
        self.0.contains(hash)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
