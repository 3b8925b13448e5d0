//! The other hubs: who they are, by key or address, and which links there are with them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dosp_proto::federation::{Claim, HubId};
use dosp_proto::identity::{Fingerprint, PublicKey};
use dosp_proto::label::Label;
use dosp_proto::limit::TokenBucket;
use dosp_proto::sd::{self, Advertisement};
use dosp_proto::vip::Network;
use tokio::sync::Notify;
use tracing::{error, info};

use crate::config::PeerConfig;
use crate::federation::known_hubs::{KnownHubs, StrangeHub};
use crate::federation::table::{MAX_REFUSALS, PeerId, RouteTable, Sources};
use crate::hub;
use crate::link::{Framing, Link, Traffic};

/// Clients told in a second that a frame went nowhere on another hub.
const GONE_PER_SECOND: u32 = 1000;

/// Lines that the log has of one peer, per second.
const LINES_PER_SECOND: u32 = 1;
/// And at once: all that is refused of one message.
const LINES_AT_ONCE: u32 = 64;
const _: () = assert!(LINES_AT_ONCE as usize == MAX_REFUSALS);

/// Links that one published hub has dialled, at a time: it dials one for each network that it is
/// configured to find here.
const MAX_ACCEPTED_PLAIN: usize = 16;

/// A hub that shows a key which is not its own to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("its key is this hub's own: the address is wrong, or a state folder was copied")]
    Itself,
    #[error("it shows the key {shown}, and {expected} is configured")]
    Wrong { shown: Fingerprint, expected: Fingerprint },
    #[error("it shows the key {0}, which is that of another peer")]
    OfAnother(Fingerprint),
    #[error(transparent)]
    Strange(#[from] StrangeHub),
}

/// Another hub, and its number.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) config: Arc<PeerConfig>,
}

/// What a hub with peers needs beside the hub.
#[derive(Debug)]
pub(crate) struct Federation {
    own_key: Option<PublicKey>,
    peers: Vec<Peer>,
    state: Mutex<State>,
    known: Mutex<KnownHubs>,
    /// The routes have changed, or a link is new.
    pub(super) changed: Notify,
    /// A link has ended.
    pub(super) ended: Notify,
    gone_limit: Mutex<TokenBucket>,
}

/// What is known of the links now.
#[derive(Debug)]
pub(super) struct State {
    pub(super) table: RouteTable,
    pub(super) slots: Vec<Slot>,
    /// Which link was asked who is in a network.
    pub(super) asked: BTreeMap<Network, Arc<Link>>,
}

/// What there is of one peer.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) links: Vec<Told>,
    pub(super) key: Option<PublicKey>,
    addrs: BTreeSet<IpAddr>,
    is_dialling: bool,
    pub(super) last_error: Option<String>,
    /// For what the log has of the peer, whatever links it makes.
    log_limit: TokenBucket,
    /// What went over links that have ended.
    pub(super) past: Traffic,
}

/// What people are told of one peer.
#[derive(Debug)]
pub(crate) struct PeerView {
    pub(crate) name: Option<Label>,
    pub(crate) key: Option<PublicKey>,
    pub(crate) links: Vec<Arc<Link>>,
    pub(crate) is_dialling: bool,
    pub(crate) last_error: Option<String>,
    pub(crate) past: Traffic,
}

/// A link, and what the other hub was told last.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) link: Arc<Link>,
    pub(super) claims: Option<(Vec<Claim>, Instant)>,
    /// The lists of members that it asked for, and what it knows of them.
    pub(super) lists: BTreeMap<Network, hub::Told>,
    /// What a published hub said last.
    pub(super) said: Advertisement,
}

impl Told {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        let (link, said) = (Arc::clone(link), Advertisement::default());
        Self { link, claims: None, lists: BTreeMap::new(), said }
    }
}

impl Slot {
    /// Whether one more line about this peer may be logged.
    pub(super) fn may_log(&mut self, now: Instant) -> bool {
        self.log_limit.take(now)
    }

    /// Whether this hub need not dial.
    fn has_enough(&self) -> bool {
        let serves = |link: &Link| link.framing == Framing::Forwarded || link.origin.is_dialled;
        self.links.iter().any(|told| serves(&told.link))
    }

    /// The link that frames for the peer go by: the one that we dialled, as a published hub may not
    /// expect any on the others; else the youngest, which is the likeliest to live.
    pub(super) fn way(&self) -> Option<&Arc<Link>> {
        let links = || self.links.iter().map(|told| &told.link);
        links().find(|link| link.origin.is_dialled).or_else(|| links().next_back())
    }

    /// The link that a new one takes the place of. Two hubs of ours have one; a published hub has one that
    /// we dialled, and several of its own.
    pub(super) fn rival_of(&self, link: &Link) -> Option<Arc<Link>> {
        let is_alike = |other: &&Arc<Link>| {
            link.framing == Framing::Forwarded || other.origin.is_dialled == link.origin.is_dialled
        };
        let alike = || self.links.iter().map(|told| &told.link).filter(is_alike);
        let is_several = link.framing == Framing::Plain && !link.origin.is_dialled;
        let max_alike = if is_several { MAX_ACCEPTED_PLAIN } else { 1 };
        if alike().count() < max_alike { None } else { alike().next().cloned() }
    }

    /// What a published hub has said on all its links that there are: on each, what it said last.
    pub(super) fn said_plainly(&self) -> Advertisement {
        let said = self.links.iter().flat_map(|told| &told.said.0);
        let mut shortest: BTreeMap<&str, &sd::Route> = BTreeMap::new();
        for route in said {
            let known = shortest.entry(&route.template).or_insert(route);
            if route.num_hops < known.num_hops {
                *known = route;
            }
        }
        Advertisement(shortest.into_values().cloned().collect())
    }
}

impl Federation {
    pub(super) fn new(
        own_key: Option<PublicKey>,
        table: RouteTable,
        peers: Vec<PeerConfig>,
        known: KnownHubs,
    ) -> Self {
        let slot = |peer: &PeerConfig| Slot {
            // What was kept of a hub that had a key is no way in for one that has none.
            key: peer
                .key
                .or_else(|| known.key(peer.network).copied())
                .filter(|_| !peer.unauthenticated),
            // It may dial before we do; a name has to be looked up first.
            addrs: literal_addr(peer).into_iter().collect(),
            links: Vec::new(),
            is_dialling: false,
            last_error: None,
            log_limit: TokenBucket::new(LINES_PER_SECOND, LINES_AT_ONCE),
            past: Traffic::default(),
        };
        let slots = peers.iter().map(slot).collect();
        let peers = (0..).map(PeerId).zip(peers);
        let peers = peers.map(|(id, config)| Peer { id, config: Arc::new(config) }).collect();
        Self {
            own_key,
            peers,
            state: Mutex::new(State { table, slots, asked: BTreeMap::new() }),
            known: Mutex::new(known),
            changed: Notify::new(),
            ended: Notify::new(),
            gone_limit: Mutex::new(TokenBucket::new(GONE_PER_SECOND, GONE_PER_SECOND)),
        }
    }

    /// All peers.
    pub(crate) fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// Whether one more client may be told that its frame went nowhere on another hub.
    pub(super) fn may_tell_gone(&self, now: Instant) -> bool {
        self.gone_limit.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }

    /// The peer that has this key.
    pub(crate) fn peer_with_key(&self, key: &PublicKey) -> Option<Peer> {
        self.find(|_, slot| slot.key.as_ref() == Some(key))
    }

    /// Where frames of a peer may come from.
    pub(crate) fn sources(&self, peer: PeerId) -> Sources {
        self.state().table.sources(peer)
    }

    /// The published hub that dials from this address.
    pub(crate) fn published_at(&self, addr: SocketAddr) -> Option<Peer> {
        let ip = addr.ip().to_canonical();
        self.find(|peer, slot| peer.unauthenticated && slot.addrs.contains(&ip))
    }

    fn find(&self, is_it: impl Fn(&PeerConfig, &Slot) -> bool) -> Option<Peer> {
        let state = self.state();
        let mut peers = self.peers.iter().zip(&state.slots);
        peers.find(|(peer, slot)| is_it(&peer.config, slot)).map(|(peer, _)| peer.clone())
    }

    /// A peer's name has been looked up.
    pub(crate) fn note_addrs(&self, peer: PeerId, addrs: impl Iterator<Item = IpAddr>) {
        if let Some(slot) = self.state().slots.get_mut(peer.0) {
            slot.addrs = addrs.map(|addr| addr.to_canonical()).collect();
        }
    }

    /// There is no link with a peer, for this reason.
    pub(crate) fn note_error(&self, peer: PeerId, error: &str) {
        if let Some(slot) = self.state().slots.get_mut(peer.0) {
            slot.last_error = Some(error.to_owned());
            slot.is_dialling = false;
        }
    }

    /// Whether one more line about a peer may be logged.
    pub(crate) fn may_log(&self, peer: PeerId) -> bool {
        let mut state = self.state();
        state.slots.get_mut(peer.0).is_some_and(|slot| slot.may_log(Instant::now()))
    }

    /// A peer is being dialled.
    pub(crate) fn note_dialling(&self, peer: PeerId) {
        if let Some(slot) = self.state().slots.get_mut(peer.0) {
            slot.is_dialling = true;
        }
    }

    /// All peers, for people.
    pub(crate) fn views(&self) -> Vec<(Peer, PeerView)> {
        let state = self.state();
        let view = |(peer, slot): (&Peer, &Slot)| {
            let view = PeerView {
                name: state.table.name_of(peer.id).cloned(),
                key: slot.key,
                links: slot.links.iter().map(|told| Arc::clone(&told.link)).collect(),
                is_dialling: slot.is_dialling,
                last_error: slot.last_error.clone(),
                past: slot.past,
            };
            (peer.clone(), view)
        };
        self.peers.iter().zip(&state.slots).map(view).collect()
    }

    /// All ways to other networks, by network, the best first; and whether it is the best.
    pub(crate) fn candidates(&self) -> Vec<(PeerId, Claim, bool)> {
        let state = self.state();
        let mut before = None;
        let candidates = state.table.candidates().into_iter().map(|(peer, claim)| {
            let is_best = before.replace(claim.network) != Some(claim.network);
            (peer, claim.clone(), is_best)
        });
        candidates.collect()
    }

    /// Whether the hub that was dialled as `peer` may have this key, which is kept where it is the first.
    pub(crate) fn check_key(&self, peer: &Peer, key: &PublicKey) -> Result<(), KeyError> {
        if self.own_key.as_ref() == Some(key) {
            return Err(KeyError::Itself);
        }
        let config = &peer.config;
        if let Some(expected) = config.key.filter(|expected| expected != key) {
            let (shown, expected) = (key.fingerprint(), expected.fingerprint());
            return Err(KeyError::Wrong { shown, expected });
        }
        if self.peer_with_key(key).is_some_and(|other| other.id != peer.id) {
            return Err(KeyError::OfAnother(key.fingerprint()));
        }
        if config.key.is_none() {
            self.check_known(config.network, key)?;
        }
        let mut state = self.state();
        state.table.learn_id(peer.id, HubId::of(key));
        if let Some(slot) = state.slots.get_mut(peer.id.0) {
            slot.key = Some(*key);
        }
        Ok(())
    }

    fn check_known(&self, network: Network, key: &PublicKey) -> Result<(), StrangeHub> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.judge(network, key)?;
        if known.key(network).is_some() {
            return Ok(());
        }
        let fingerprint = key.fingerprint();
        info!(audit = "hub known", %network, %fingerprint, "a peer shows its key for the first time");
        if let Err(reason) = known.keep(network, *key) {
            error!(%reason, %network, "the peer's key cannot be kept on the disk");
        }
        Ok(())
    }

    /// Returns when a peer is to be dialled. A published hub takes frames only on a link that it
    /// accepted, so that one that it dialled is not enough.
    ///
    /// Returns whether it had to wait for that.
    pub(crate) async fn until_needed(&self, peer: PeerId) -> bool {
        let mut has_waited = false;
        loop {
            let ended = self.ended.notified();
            if !self.state().slots.get(peer.0).is_some_and(Slot::has_enough) {
                return has_waited;
            }
            ended.await;
            has_waited = true;
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn literal_addr(peer: &PeerConfig) -> Option<IpAddr> {
    let addr: SocketAddr = peer.addr.as_deref()?.parse().ok()?;
    Some(addr.ip().to_canonical())
}
