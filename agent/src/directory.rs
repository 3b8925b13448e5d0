//! Who is in the network, by the hub's word: names, vIPs and keys of all members. Pure.

use std::collections::BTreeMap;

use dosp_proto::identity::PublicKey;
use dosp_proto::label::Label;
use dosp_proto::member::{Node, Nodes};
use dosp_proto::vip::Vip;

/// As many as the largest networks have, and a bound on what a hub can make us keep.
const MAX_NODES: usize = 65_536;

/// The hub's list of members.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    nodes: BTreeMap<PublicKey, Node>,
    by_vip: BTreeMap<Vip, PublicKey>,
    by_name: BTreeMap<Label, PublicKey>,
}

impl Directory {
    /// Takes a page of it.
    pub fn take(&mut self, page: Nodes) {
        if page.is_snapshot {
            *self = Self::default();
        }
        for key in &page.removed {
            self.remove(key);
        }
        for node in page.nodes {
            self.insert(node);
        }
    }

    fn insert(&mut self, node: Node) {
        self.remove(&node.key);
        // A page may say of one node that it has moved before it says so of the other.
        if let Some(former) = self.by_vip.get(&node.vip).copied() {
            self.remove(&former);
        }
        if self.nodes.len() >= MAX_NODES {
            return;
        }
        self.by_vip.insert(node.vip, node.key);
        if let Some(name) = &node.name {
            self.by_name.insert(name.clone(), node.key);
        }
        self.nodes.insert(node.key, node);
    }

    fn remove(&mut self, key: &PublicKey) {
        let Some(node) = self.nodes.remove(key) else { return };
        self.by_vip.remove(&node.vip);
        if let Some(name) = node.name
            && self.by_name.get(&name) == Some(key)
        {
            self.by_name.remove(&name);
        }
    }

    /// Who is at `vip`.
    #[must_use]
    pub fn at(&self, vip: Vip) -> Option<&Node> {
        self.nodes.get(self.by_vip.get(&vip)?)
    }

    /// Where and what the member with this key is.
    #[must_use]
    pub fn by_key(&self, key: &PublicKey) -> Option<&Node> {
        self.nodes.get(key)
    }

    /// Whose name `name` is, in whatever case it is written.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Node> {
        let name: Label = name.parse().ok()?;
        self.nodes.get(self.by_name.get(&name)?)
    }

    /// All members, by vIP.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.by_vip.values().filter_map(|key| self.nodes.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(key: u8, x: u8, name: Option<&str>) -> Node {
        let name = name.map(|name| name.parse().unwrap());
        Node { key: [key; 32].into(), vip: Vip::from([10, 0, 0, x]), name, is_online: true }
    }

    fn page(nodes: Vec<Node>) -> Nodes {
        Nodes { nodes, is_done: true, ..Nodes::default() }
    }

    #[test]
    fn pages_add_change_and_remove() {
        let mut directory = Directory::default();
        directory.take(page(vec![node(1, 2, Some("a")), node(2, 3, Some("b"))]));
        assert_eq!(directory.by_name("B").unwrap().vip, Vip::from([10, 0, 0, 3]));
        // The two change places and names.
        directory.take(page(vec![node(1, 3, Some("b")), node(2, 2, Some("a"))]));
        assert_eq!(directory.by_name("b").unwrap().key, [1; 32].into());
        assert_eq!(directory.at(Vip::from([10, 0, 0, 2])).unwrap().key, [2; 32].into());
        directory.take(Nodes { removed: vec![[1; 32].into()], ..Nodes::default() });
        assert!(
            directory.by_name("b").is_none() && directory.at(Vip::from([10, 0, 0, 3])).is_none()
        );
        directory.take(Nodes { is_snapshot: true, ..page(vec![node(3, 9, None)]) });
        assert_eq!(directory.iter().map(|node| node.vip.octets()[3]).collect::<Vec<_>>(), [9]);
    }

    proptest! {
        /// However a hub lies, the three maps never contradict each other.
        #[test]
        fn look_ups_agree(pages in proptest::collection::vec((0u8..5, 0u8..5, 0u8..5, any::<bool>()), 0..60)) {
            let names = [None, Some("a"), Some("b"), Some("c"), Some("d")];
            let mut directory = Directory::default();
            for (key, x, name, removes) in pages {
                let mut page = page(vec![node(key, x, names[usize::from(name)])]);
                if removes {
                    page = Nodes { removed: vec![[key; 32].into()], ..Nodes::default() };
                }
                directory.take(page);
                prop_assert_eq!(directory.iter().count(), directory.nodes.len());
                for node in directory.nodes.values() {
                    prop_assert_eq!(directory.at(node.vip), Some(node));
                }
                for (name, key) in &directory.by_name {
                    prop_assert_eq!(directory.nodes[key].name.as_ref(), Some(name));
                }
            }
        }
    }
}
