//! The same rules once more, in a flat list that is searched from one end to the other.

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 4] = ["alice", "bob", "bob.berlin", "carol"];

#[derive(Debug, Clone)]
enum Step {
    Pin(u16, u16),
    Address(u16),
    BindName(usize, u16),
    Refuse(u16, u16),
    Accept(u16),
    AcceptKey(u16, u16),
    Forget(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (vip, key) = (|| 1u16..6, || 0u16..7);
    let step = prop_oneof![
        4 => (vip(), key()).prop_map(|(vip, key)| Step::Pin(vip, key)),
        2 => vip().prop_map(Step::Address),
        1 => (0..NAMES.len(), vip()).prop_map(|(name, vip)| Step::BindName(name, vip)),
        1 => (vip(), key()).prop_map(|(vip, key)| Step::Refuse(vip, key)),
        1 => vip().prop_map(Step::Accept),
        1 => (vip(), key()).prop_map(|(vip, key)| Step::AcceptKey(vip, key)),
        1 => vip().prop_map(Step::Forget),
    ];
    proptest::collection::vec(step, 0..60)
}

struct Model {
    pinned: bool,
    peers: Vec<KnownPeer>,
    refused: Vec<(Vip, PublicKey)>,
}

impl Model {
    fn find(&self, wanted: impl Fn(&KnownPeer) -> bool) -> Option<KnownPeer> {
        self.peers.iter().find(|peer| wanted(peer)).cloned()
    }

    fn trusts(&self, vip: Vip, key: PublicKey) -> bool {
        let held = self.find(|peer| peer.vip == vip && peer.key != key && peer.addressed);
        let accepted = self.find(|peer| peer.key == key && peer.addressed).is_some();
        key != super::key(0) && held.is_none() && (accepted || !self.pinned)
    }

    fn put(&mut self, peer: KnownPeer) {
        self.peers.retain(|other| other.vip != peer.vip && other.key != peer.key);
        self.peers.push(peer);
        self.peers.sort_by_key(|peer| peer.vip);
    }

    fn pin(&mut self, vip: Vip, key: PublicKey) -> Option<Vip> {
        if !self.trusts(vip, key) {
            return None;
        }
        let before = self.find(|peer| peer.key == key);
        let stranger = KnownPeer { key, name: None, vip, version: 2, addressed: false };
        self.put(KnownPeer { vip, ..before.clone().unwrap_or(stranger) });
        before.map(|before| before.vip).filter(|before| *before != vip)
    }

    fn bind_name(&mut self, name: &str, vip: Vip) -> bool {
        let taken = self.find(|peer| peer.name.as_deref() == Some(name) && peer.vip != vip);
        let Some(peer) = self.find(|peer| peer.vip == vip) else { return false };
        if taken.is_none() {
            self.put(KnownPeer { name: Some(name.to_owned()), addressed: true, ..peer });
        }
        taken.is_none()
    }

    fn accept_key(&mut self, vip: Vip, key: PublicKey) -> bool {
        if key == super::key(0) {
            return false;
        }
        let name = self.find(|peer| peer.key == key).and_then(|peer| peer.name);
        let name = name.or(self.find(|peer| peer.vip == vip).and_then(|peer| peer.name));
        self.put(KnownPeer { key, name, vip, version: 2, addressed: true });
        self.refused.retain(|(refused_at, _)| *refused_at != vip);
        true
    }

    /// Does the same to both.
    fn take(&mut self, step: &Step, known: &mut KnownPeers) {
        match *step {
            Step::Pin(at, of) => {
                assert_eq!(known.pin(vip(at), key(of)), self.pin(vip(at), key(of)))
            }
            Step::Address(at) => {
                known.address(vip(at));
                let peer = self.find(|peer| peer.vip == vip(at));
                peer.into_iter().for_each(|peer| self.put(KnownPeer { addressed: true, ..peer }));
            }
            Step::BindName(name, at) => {
                let bound = known.bind_name(NAMES[name], vip(at)).is_ok();
                assert_eq!(bound, self.bind_name(NAMES[name], vip(at)));
            }
            Step::Refuse(at, of) => {
                known.note_refused(vip(at), key(of));
                if of != 0 {
                    self.refused.insert(0, (vip(at), key(of)));
                }
            }
            Step::Accept(at) => {
                let refused = self.refused.iter().find(|(refused_at, _)| *refused_at == vip(at));
                let accepted = refused.copied().is_some_and(|(at, key)| self.accept_key(at, key));
                assert_eq!(known.accept(vip(at), None).is_ok(), accepted);
            }
            Step::AcceptKey(at, of) => {
                let accepted = known.accept_key(vip(at), key(of)).is_ok();
                assert_eq!(accepted, self.accept_key(vip(at), key(of)));
            }
            Step::Forget(at) => {
                let forgotten = self.find(|peer| peer.vip == vip(at));
                self.peers.retain(|peer| peer.vip != vip(at));
                assert_eq!(known.forget(vip(at)), forgotten);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_steps_lead_where_the_list_leads(pinned: bool, steps in steps()) {
        let policy = if pinned { TrustPolicy::Pinned } else { TrustPolicy::FirstUse };
        let mut known = known(policy);
        let mut model = Model { pinned, peers: Vec::new(), refused: Vec::new() };
        for step in steps {
            let before = known.to_text();
            model.take(&step, &mut known);
            prop_assert!(known.iter().eq(model.peers.iter()), "{step:?}: {known:?}");
            for (at, of) in (1..6).flat_map(|at| (0..7).map(move |of| (at, of))) {
                let trusts = model.trusts(vip(at), key(of));
                prop_assert_eq!(known.judge(vip(at), &key(of)).is_ok(), trusts);
            }
            let text = known.to_text();
            prop_assert_eq!(known.take_changed(), text != before);
            let stored = KnownPeers::parse(&text, key(0), policy).unwrap();
            prop_assert!(stored.iter().eq(known.iter().filter(|peer| peer.addressed)));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "([#A-Za-z0-9+/=. -]{0,60}\n){0,4}") {
        let read = KnownPeers::parse(&text, key(0), TrustPolicy::FirstUse);
        if let Ok(read) = read {
            let again = KnownPeers::parse(&read.to_text(), key(0), TrustPolicy::FirstUse);
            prop_assert!(again.unwrap().iter().eq(read.iter()));
        }
    }
}
