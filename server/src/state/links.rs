//! Links that come and go, what other hubs say on them, and what follows for the routes.
//!
//! The lock of the federation's state is held until the routes of all readers agree with the table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dosp_proto::federation::{Claim, INITIAL_TTL, Routes};
use dosp_proto::identity::PublicKey;
use dosp_proto::member::{Control, Gone, GoneReason};
use dosp_proto::sd::Advertisement;
use dosp_proto::vip::Vip;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::federation::{Slot, State, Told};
use super::{KeyError, Peer, Shared};
use crate::federation::keeps_new;
use crate::federation::table::{NoWay, PeerId, RefusedClaim, RouteTable};
use crate::hub::exit_frame;
use crate::link::{Framing, Link};
use crate::target::{NotPushed, Target, Way};

/// Changes of the routes are gathered for so long before other hubs are told.
const GATHER_FOR: Duration = Duration::from_millis(20);
/// Other hubs are told again after so long, changed or not.
const TELL_INTERVAL: Duration = Duration::from_secs(30);
/// How often that is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// EXIT of a link that another one takes the place of.
const EXIT_REPLACED: &str = "replaced by another link";

impl Shared {
    /// A connection has become a link. `false` where the one that there is already stays.
    pub(crate) fn link_up(&self, link: &Arc<Link>, key: Option<PublicKey>) -> bool {
        let mut state = self.federation.state();
        let peer = link.origin.peer;
        let Some(slot) = state.slots.get_mut(peer.0) else { return false };
        let rival = slot.rival_of(link);
        if let Some(rival) = &rival {
            let keys = self.identity().map(|own| *own.public()).zip(key);
            if !keeps_new(keys, rival.origin.is_dialled, link.origin.is_dialled) {
                return false;
            }
            link.inherit(rival);
            slot.links.retain(|told| !Arc::ptr_eq(&told.link, rival));
            slot.past = slot.past.plus(rival.traffic());
        }
        slot.links.push(Told::new(link));
        if link.framing == Framing::Plain {
            log_up(slot, link);
        }
        state.table.link_up(peer);
        if link.framing == Framing::Plain {
            hear_plain(&mut state, link);
        }
        self.tell(&mut state, peer, Instant::now());
        self.publish(&state);
        self.federation.changed.notify_one();
        drop(state);
        // Only now, when frames have the new way.
        if let Some(rival) = rival {
            rival.outbox.finish(&exit_frame(EXIT_REPLACED), 1);
        }
        true
    }

    /// A link has ended; harmless where another one has taken its place.
    pub(crate) fn link_down(&self, link: &Arc<Link>, why: &str) {
        let mut state = self.federation.state();
        let peer = link.origin.peer;
        let Some(slot) = state.slots.get_mut(peer.0) else { return };
        let num_before = slot.links.len();
        slot.links.retain(|told| !Arc::ptr_eq(&told.link, link));
        if slot.links.len() < num_before {
            slot.last_error = Some(why.to_owned());
            slot.past = slot.past.plus(link.traffic());
            if slot.links.is_empty() {
                state.table.link_down(peer);
            } else if link.framing == Framing::Plain {
                // What it said on this link goes with it.
                hear_plain(&mut state, link);
            }
            self.publish(&state);
            self.federation.changed.notify_one();
        }
        self.federation.ended.notify_waiters();
    }

    /// A hub of ours says where it leads.
    pub(crate) fn hear_routes(&self, link: &Arc<Link>, routes: Routes) {
        let is_new = !link.is_up();
        link.set_max_frame_len(routes.max_frame_len);
        self.change_state(link, |state, _| {
            if is_new && let Some(slot) = state.slots.get_mut(link.origin.peer.0) {
                log_up(slot, link);
            }
            hear(state, link, routes.routes);
        });
    }

    /// A published hub says where it leads.
    pub(crate) fn hear_sd(&self, link: &Arc<Link>, advertisement: Advertisement) {
        self.change_state(link, |state, place| {
            let slot = state.slots.get_mut(link.origin.peer.0);
            if let Some(told) = slot.and_then(|slot| slot.links.get_mut(place)) {
                told.said = advertisement;
            }
            hear_plain(state, link);
        });
    }

    /// Does something that may change the table, unless the link, which has this place among those of its
    /// peer, is gone; then brings the routes in line.
    fn change_state(&self, link: &Arc<Link>, change: impl FnOnce(&mut State, usize)) {
        let mut state = self.federation.state();
        let slot = state.slots.get(link.origin.peer.0);
        let place =
            slot.and_then(|slot| slot.links.iter().position(|told| Arc::ptr_eq(&told.link, link)));
        let Some(place) = place else { return };
        let before = state.table.revision();
        change(&mut state, place);
        if state.table.revision() != before {
            self.publish(&state);
            self.federation.changed.notify_one();
        }
    }

    /// As [`Federation::check_key`](super::Federation::check_key), which may change the table.
    pub(crate) fn check_key(&self, peer: &Peer, key: &PublicKey) -> Result<(), KeyError> {
        let checked = self.federation.check_key(peer, key);
        self.publish(&self.federation.state());
        checked
    }

    /// Brings the routes of all readers in line with the table.
    fn publish(&self, state: &State) {
        let ways = state.table.routes().filter_map(|route| {
            let link = Arc::clone(state.slots.get(route.peer.0)?.way()?);
            let way = Way { link, path: route.claim.path.clone() };
            Some((route.claim.network, Target::Hub(Arc::new(way))))
        });
        self.change_routes().set_networks(ways);
    }

    /// Tells other hubs, and the members, where this one leads: on every change, and now and then.
    pub(crate) async fn tell_routes(self: Arc<Self>) {
        loop {
            timeout(LOOK_INTERVAL, self.federation.changed.notified()).await.ok();
            sleep(GATHER_FOR).await;
            let networks = {
                let mut state = self.federation.state();
                for peer in 0..state.slots.len() {
                    self.tell(&mut state, PeerId(peer), Instant::now());
                }
                state.table.remote_networks()
            };
            self.tell_networks(networks);
            // What is answered has a place now.
            self.ask_for_lists();
        }
    }

    /// Tells one peer where this hub leads, unless it knows.
    fn tell(&self, state: &mut State, peer: PeerId, now: Instant) {
        let claims = state.table.advertisement(peer);
        let State { table, slots, .. } = state;
        let links = slots.get_mut(peer.0).map(|slot| &mut slot.links);
        for told in links.into_iter().flatten() {
            let is_fresh = |at: &Instant| now.saturating_duration_since(*at) < TELL_INTERVAL;
            if told.claims.as_ref().is_some_and(|(said, at)| *said == claims && is_fresh(at)) {
                continue;
            }
            let was_said = match told.link.framing {
                Framing::Forwarded => {
                    let max_frame_len = u32::try_from(self.max_frame_len).unwrap_or(u32::MAX);
                    let routes = Routes { max_frame_len, routes: claims.clone() };
                    told.link.say(&Control::Routes(routes))
                }
                Framing::Plain => told.link.say_plainly(&self.advertisement(table, peer)),
            };
            told.claims = was_said.then(|| (claims.clone(), now));
        }
    }

    /// What a published hub is told: nothing where it is not configured at which address it could be
    /// dialled, as it would dial whatever it is told.
    fn advertisement(&self, table: &RouteTable, peer: PeerId) -> Vec<u8> {
        let place = self.advertised.as_deref().and_then(|addr| addr.rsplit_once(':'));
        let place = place.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let advertisement = place.map(|(host, port)| table.sd_advertisement(peer, host, port));
        let mut sd = Vec::new();
        if let Err(reason) = advertisement.unwrap_or_default().encode_to(&mut sd) {
            warn!(%reason, "the routes do not fit into SD");
        }
        sd
    }

    /// Ends all links.
    pub(crate) fn finish_links(&self, exit: &[u8]) {
        for slot in &self.federation.state().slots {
            slot.links.iter().for_each(|told| told.link.outbox.finish(exit, 1));
        }
    }

    /// Why a frame for `dst` goes nowhere; `why` is what its way says, where there is one.
    pub(crate) fn why_gone(&self, dst: Vip, why: Option<NotPushed>) -> GoneReason {
        match why {
            Some(NotPushed::TooLong) => GoneReason::TooLong,
            _ if !self.network.contains(dst) => {
                match self.federation.state().table.next_hop(dst, None) {
                    Err(NoWay::Unknown) => GoneReason::Unknown,
                    _ => GoneReason::Unreachable,
                }
            }
            Some(_) => GoneReason::Offline,
            None => self.hub().why_missing(dst),
        }
    }

    /// Another hub says that a frame went nowhere; the sender is told, or the hub on the way to it.
    pub(crate) fn pass_gone(&self, link: &Link, gone: Gone) {
        let Some(to) = gone.to.filter(|_| link.may_speak(gone.vip)) else { return };
        if self.network.contains(to) {
            if self.federation.may_tell_gone(Instant::now()) {
                self.tell_client_gone(to, gone.vip, gone.why);
            }
        } else if let Some(Target::Hub(way)) = self.lookup(to)
            && way.link.origin.peer != link.origin.peer
            && let Some(ttl) = gone.ttl.min(INITIAL_TTL).checked_sub(1).filter(|ttl| *ttl > 0)
        {
            way.link.say(&Control::Gone(Gone { ttl, ..gone }));
        }
    }

    fn tell_client_gone(&self, to: Vip, vip: Vip, why: GoneReason) {
        let mut hub = self.hub();
        let Some(id) = hub.session_at(to) else { return };
        // Nobody waits for a client that does not read.
        let Some(outbox) = self.outbox(id).filter(|outbox| outbox.has_room()) else { return };
        outbox.reply(&hub.gone(id, vip, why), 1, || {});
    }
}

/// Takes what a peer says of networks, and says what is not believed.
fn hear(state: &mut State, link: &Link, claims: Vec<Claim>) {
    let State { table, slots, .. } = state;
    let Some(slot) = slots.get_mut(link.origin.peer.0) else { return };
    for RefusedClaim { network, reason } in table.hear(link.origin.peer, claims) {
        if slot.may_log(Instant::now()) {
            warn!(peer = %link.network, %network, %reason, "a peer's route is not taken");
        } else {
            debug!(peer = %link.network, %network, %reason, "a peer's route is not taken");
        }
    }
}

/// As above, for what a published hub has said on all its links.
fn hear_plain(state: &mut State, link: &Link) {
    let peer = link.origin.peer;
    let said = state.slots.get(peer.0).map(Slot::said_plainly).unwrap_or_default();
    let claims = state.table.claims_of(peer, &said);
    hear(state, link, claims);
}

fn log_up(slot: &mut Slot, link: &Link) {
    let (peer, origin) = (link.network, link.origin);
    if slot.may_log(Instant::now()) {
        info!(%peer, addr = %origin.addr, dialled = origin.is_dialled, "link up");
    }
}
