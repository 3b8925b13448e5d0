//! What members are told of each other: the directory, in pages.

use dosp_proto::identity::PublicKey;
use dosp_proto::member::{Control, Node, Nodes};

use super::Members;
use crate::hub::{Hub, SessionId};
use crate::members::record::Member;

/// Nodes on one page of the directory: each has 190 bytes at most, so that a page keeps below its 32 KiB.
pub(super) const PAGE_LEN: usize = 150;

/// The encoded pages from one revision of the directory to another: most members need the same ones.
#[derive(Debug, Default)]
pub(super) struct News {
    told: u64,
    revision: u64,
    pages: Vec<Vec<u8>>,
}

impl Hub {
    /// The members that do not know the newest directory.
    pub fn uninformed(&self) -> Vec<SessionId> {
        let Some(members) = &self.members else { return Vec::new() };
        let (revision, networks) = (members.directory.revision(), members.remote.revision);
        let is_behind = |id: &&SessionId| {
            let shown = self.sessions.get(id).and_then(|session| session.shown.as_ref());
            shown.is_some_and(|shown| {
                shown.is_member && (shown.told < revision || shown.told_networks < networks)
            })
        };
        members.online.values().filter(is_behind).copied().collect()
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
        num_frames + news.pages.len() as u64
    }
}

impl Members {
    /// What leads from the directory at revision `told` to the present one.
    fn news_since(&mut self, told: u64) -> &News {
        let revision = self.directory.revision();
        if self.news.pages.is_empty() || (self.news.told, self.news.revision) != (told, revision) {
            let pages = self.pages_since(told).into_iter();
            let pages = pages.map(|page| Control::Nodes(page).encode()).collect();
            self.news = News { told, revision, pages };
        }
        &self.news
    }

    fn pages_since(&self, told: u64) -> Vec<Nodes> {
        // Who is told for the first time gets everybody, also those that never changed.
        let changed = if told == 0 { None } else { self.directory.since(told) };
        let is_snapshot = changed.is_none();
        let (mut nodes, mut removed) = (Vec::new(), Vec::new());
        match changed {
            None => nodes.extend(self.ledger.members().map(|member| self.entry(member))),
            Some(keys) => {
                for key in keys {
                    match self.ledger.by_key(key) {
                        Some(member) => nodes.push(self.entry(member)),
                        None => removed.push(*key),
                    }
                }
            }
        }
        paged(is_snapshot, nodes, removed)
    }

    fn entry(&self, member: &Member) -> Node {
        let is_online = self.is_online(&member.key);
        Node { key: member.key, vip: member.vip, name: member.name.clone(), is_online }
    }
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
