//! Who is in the networks of other hubs: asked of the next hub on the way, told to whoever asks here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dosp_proto::member::{Control, Nodes};
use dosp_proto::vip::Network;

use super::Shared;
use super::federation::{State, Told};
use crate::hub;
use crate::link::{Framing, Link};

/// Lists that one hub may ask for: its own network's and all that a table holds.
const MAX_LISTS: usize = 256;

impl Shared {
    /// Asks the next hub on the way to each network who is there, once.
    pub(super) fn ask_for_lists(&self) {
        let mut state = self.federation.state();
        let State { table, slots, asked } = &mut *state;
        let ways = table.routes().filter_map(|route| {
            let link = slots.get(route.peer.0)?.way()?;
            Some((route.claim.network, link))
        });
        let ways: BTreeMap<_, _> =
            ways.filter(|(_, link)| link.framing == Framing::Forwarded).collect();
        asked.retain(|network, _| ways.contains_key(network));
        for (network, link) in ways {
            let was_asked = asked.get(&network).is_some_and(|asked| Arc::ptr_eq(asked, link));
            if !was_asked && link.say(&Control::List(network)) {
                asked.insert(network, Arc::clone(link));
            }
        }
    }

    /// Another hub asks who is in a network, and wants to be told what changes there.
    pub(crate) fn list_asked(&self, link: &Arc<Link>, network: Network) {
        let mut state = self.federation.state();
        let known = state.table.remote_networks().into_iter().map(|remote| remote.network);
        let known: BTreeSet<_> = known.chain([self.network]).collect();
        if !known.contains(&network) {
            return;
        }
        let slot = state.slots.get_mut(link.origin.peer.0);
        let links = slot.into_iter().flat_map(|slot| &mut slot.links);
        for told in links.filter(|told| Arc::ptr_eq(&told.link, link)) {
            if told.lists.len() >= MAX_LISTS {
                told.lists.retain(|network, _| known.contains(network));
            }
            told.lists.insert(network, hub::Told::default());
        }
        drop(state);
        self.note_news();
    }

    /// A part of a list that was asked for; anything else is passed over.
    pub(crate) fn hear_nodes(&self, link: &Arc<Link>, page: Nodes) {
        // Without one it is the list of the hub that says it.
        let network = page.network.unwrap_or(link.network);
        let was_asked = {
            let state = self.federation.state();
            state.asked.get(&network).is_some_and(|asked| Arc::ptr_eq(asked, link))
        };
        if was_asked && self.hub().take_nodes(network, page) {
            self.note_news();
        }
    }

    /// Tells other hubs what they lack of the lists that they asked for.
    pub(super) fn tell_lists(&self) {
        let mut hub = self.hub();
        let mut state = self.federation.state();
        for told in state.slots.iter_mut().flat_map(|slot| &mut slot.links) {
            let Told { link, lists, .. } = told;
            for (network, known) in lists {
                // Who does not read is told later, and then all at once.
                if link.outbox.has_room() {
                    hub.tell_list(*network, known, |word| link.say_encoded(word));
                } else {
                    self.note_news();
                }
            }
        }
    }
}
