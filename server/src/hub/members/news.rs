//! What members are told of each other: the directory, in pages.

use dosp_proto::identity::PublicKey;
use dosp_proto::member::{Control, Node, Nodes};
use dosp_proto::vip::Network;

use super::{Members, Shown};
use crate::hub::directory::Directory;
use crate::hub::{Hub, SessionId};
use crate::members::record::Member;

/// Nodes on one page of the directory: each has 190 bytes at most, so that a page keeps below its 32 KiB.
pub(super) const PAGE_LEN: usize = 150;

/// The encoded pages from one revision of the directory to another: most members need the same ones.
#[derive(Debug, Default)]
pub(super) struct News {
    told: u64,
    pub(super) revision: u64,
    pub(super) pages: Vec<Vec<u8>>,
}

impl Hub {
    /// The members that do not know the newest directory.
    pub fn uninformed(&self) -> Vec<SessionId> {
        let Some(members) = &self.members else { return Vec::new() };
        members.online.values().filter(|id| self.is_uninformed(**id)).copied().collect()
    }

    /// Whether a session is a member's who does not know all that there is to know.
    #[must_use]
    pub fn is_uninformed(&self, id: SessionId) -> bool {
        let Some(members) = &self.members else { return false };
        let shown = self.sessions.get(&id).and_then(|session| session.shown.as_ref());
        shown.is_some_and(|shown| {
            shown.is_member
                && (shown.told < members.directory.revision()
                    || shown.told_networks < members.remote.revision
                    || members.remote.has_news(&shown.told_lists))
        })
    }

    /// Appends what a member does not know of the directory; returns how many frames that are.
    pub fn append_news(&mut self, id: SessionId, out: &mut Vec<u8>) -> u64 {
        let (Some(members), Some(session)) = (&mut self.members, self.sessions.get_mut(&id)) else {
            return 0;
        };
        let Some(shown) = &mut session.shown else { return 0 };
        let mut num_frames = 0;
        if shown.told_networks < members.remote.revision {
            shown.told_networks = members.remote.revision;
            shown.sealer.seal(&Control::Networks(members.remote.networks.clone()), out);
            num_frames += 1;
        }
        let news = members.news_since(shown.told);
        for page in &news.pages {
            shown.sealer.seal_encoded(page, out);
        }
        shown.told = news.revision;
        num_frames += news.pages.len() as u64;
        let Shown { sealer, told_lists, .. } = shown;
        members.remote.tell(told_lists, |page| {
            sealer.seal_encoded(page, out);
            num_frames += 1;
        });
        num_frames
    }
}

impl News {
    /// What leads from revision `told` to `revision`.
    pub(super) fn between(
        &mut self,
        told: u64,
        revision: u64,
        pages: impl FnOnce() -> Vec<Nodes>,
    ) -> &Self {
        if self.pages.is_empty() || (self.told, self.revision) != (told, revision) {
            let pages = pages().into_iter().map(|page| Control::Nodes(page).encode()).collect();
            *self = Self { told, revision, pages };
        }
        self
    }
}

impl Members {
    /// What leads from the directory at revision `told` to the present one.
    pub(super) fn news_since(&mut self, told: u64) -> &News {
        let Self { ledger, online, directory, news, .. } = self;
        let entry = |member: &Member| Node {
            key: member.key,
            vip: member.vip,
            name: member.name.clone(),
            is_online: online.contains_key(&member.key),
        };
        news.between(told, directory.revision(), || {
            let by_key = |key: &PublicKey| ledger.by_key(key).map(entry);
            pages_since(directory, told, ledger.members().map(entry), by_key, None)
        })
    }
}

/// The pages that lead from a list at revision `told` to the present one.
pub(super) fn pages_since(
    directory: &Directory,
    told: u64,
    all: impl Iterator<Item = Node>,
    by_key: impl Fn(&PublicKey) -> Option<Node>,
    network: Option<Network>,
) -> Vec<Nodes> {
    // Who is told for the first time gets everybody, also those that never changed.
    let changed = if told == 0 { None } else { directory.since(told) };
    let is_snapshot = changed.is_none();
    let (mut nodes, mut removed) = (Vec::new(), Vec::new());
    match changed {
        None => nodes.extend(all),
        Some(keys) => {
            for key in keys {
                match by_key(key) {
                    Some(node) => nodes.push(node),
                    None => removed.push(*key),
                }
            }
        }
    }
    let mut pages = paged(is_snapshot, nodes, removed);
    pages.iter_mut().for_each(|page| page.network = network);
    pages
}

pub(super) fn paged(is_snapshot: bool, nodes: Vec<Node>, removed: Vec<PublicKey>) -> Vec<Nodes> {
    let mut pages = vec![Nodes { is_snapshot, removed: Vec::new(), ..Nodes::default() }];
    for keys in removed.chunks(PAGE_LEN) {
        pages.push(Nodes { removed: keys.to_vec(), ..Nodes::default() });
    }
    for nodes in nodes.chunks(PAGE_LEN) {
        pages.push(Nodes { nodes: nodes.to_vec(), ..Nodes::default() });
    }
    // The first one says whether it all begins anew, which can go with the next.
    if let [first, second, ..] = &mut *pages {
        second.is_snapshot = first.is_snapshot;
        pages.remove(0);
    }
    if let Some(last) = pages.last_mut() {
        last.is_done = true;
    }
    pages
}
