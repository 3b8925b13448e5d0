//! What has changed in the list of members, and since when, so that each member is told only what it
//! does not know. Pure.

use std::collections::BTreeMap;

use dosp_proto::identity::PublicKey;

/// Changes of keys that are no members any more are forgotten beyond so many; who was told nothing of
/// them gets the whole list.
const MAX_CHANGES: usize = 65_536;

/// The order of changes. A revision is a number of changes.
#[derive(Debug, Default)]
pub(super) struct Directory {
    revision: u64,
    by_revision: BTreeMap<u64, PublicKey>,
    revisions: BTreeMap<PublicKey, u64>,
    /// Whoever knows less than this cannot be told the difference.
    forgotten: u64,
}

impl Directory {
    /// Something about `key` is not what it was.
    pub(super) fn note(&mut self, key: PublicKey) {
        self.revision += 1;
        if let Some(before) = self.revisions.insert(key, self.revision) {
            self.by_revision.remove(&before);
        }
        self.by_revision.insert(self.revision, key);
        if self.by_revision.len() > MAX_CHANGES
            && let Some((oldest, key)) = self.by_revision.pop_first()
        {
            self.revisions.remove(&key);
            self.forgotten = oldest;
        }
    }

    /// The present.
    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whose entries have changed since `told`; `None` where only the whole list will do.
    pub(super) fn since(&self, told: u64) -> Option<impl Iterator<Item = &PublicKey>> {
        (told >= self.forgotten).then(|| self.by_revision.range(told + 1..).map(|(_, key)| key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whoever is told all changes since he last asked knows of every change.
        #[test]
        fn nothing_is_missed(steps in proptest::collection::vec((0u8..6, any::<bool>()), 0..80)) {
            let mut directory = Directory::default();
            let (mut told, mut unknown) = (0, std::collections::BTreeSet::new());
            for (key, asks) in steps {
                let key = PublicKey::from([key; 32]);
                directory.note(key);
                unknown.insert(key);
                if asks {
                    let changed: std::collections::BTreeSet<_> =
                        directory.since(told).unwrap().copied().collect();
                    prop_assert_eq!(&changed, &unknown);
                    (told, unknown) = (directory.revision(), std::collections::BTreeSet::new());
                }
            }
        }
    }

    #[test]
    fn forgotten_changes_call_for_the_whole_list() {
        let mut directory = Directory::default();
        for number in 0..=MAX_CHANGES {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            directory.note(key.into());
        }
        assert!(directory.since(0).is_none());
        assert_eq!(directory.since(1).map(Iterator::count), Some(MAX_CHANGES));
        assert_eq!(directory.revisions.len(), directory.by_revision.len());
    }
}
