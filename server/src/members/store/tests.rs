use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use dosp_proto::identity::PublicKey;
use dosp_proto::join_string::JoinKeyHash;
use dosp_proto::vip::Vip;

use super::*;

fn member(number: u8, last_seen_at: u64) -> Row {
    let key = PublicKey::from([number; 32]);
    let member = Member {
        key,
        vip: Vip::from([10, 1, 2, number]),
        name: None,
        joined_at: 1,
        last_seen_at,
        invite: Some("0a0b0c0d".to_owned()),
        is_guest: false,
    };
    Row::Member(key, Some(member))
}

fn invite(number: u8) -> Row {
    let hash = JoinKeyHash::from([number; 32]);
    let invite = Invite {
        hash,
        name: Some("bob".parse().unwrap()),
        vip: None,
        max_uses: 1,
        num_used: 0,
        created_at: 1,
        expires_at: Some(2),
        revoked_at: None,
    };
    Row::Invite(hash, Some(invite))
}

fn reopened(folder: &Path) -> Vec<Row> {
    Store::open(folder).unwrap().1
}

#[test]
fn what_was_committed_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, rows) = Store::open(folder.path()).unwrap();
    assert!(rows.is_empty());
    let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    store.commit(&[member(2, 5), member(3, 5), invite(1)]).unwrap();
    store.commit(&[member(2, 6), Row::Member(PublicKey::from([3; 32]), None)]).unwrap();
    let in_use = Store::open(folder.path()).unwrap_err();
    assert!(matches!(in_use, StoreError::InUse { .. }), "{in_use}");
    drop(store);
    assert_eq!(reopened(folder.path()), [member(2, 6), invite(1)]);
}

#[test]
fn file_of_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    let database = store.database.unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("version", VERSION + 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let later = Store::open(folder.path()).unwrap_err();
    assert!(matches!(later, StoreError::Later { version: 2, .. }), "{later}");
    assert!(later.hint().contains("version"));
}

/// Opens a file that something has damaged: the rows are all there, or it says that it is damaged.
fn check_damaged(content: &[u8], expected: &[Row], what: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), content).unwrap();
    match Store::open(folder.path()) {
        Ok((_, rows)) => {
            assert_eq!(rows, expected, "{what}");
            false
        }
        Err(error) => {
            assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error:?}");
            true
        }
    }
}

#[test]
fn damage_is_said_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    let expected: Vec<_> = (2..200).map(|number| member(number, 7)).collect();
    store.commit(&expected).unwrap();
    drop(store);
    let content = fs::read(folder.path().join(FILE)).unwrap();
    for part in 0..32 {
        let len = content.len() * part / 32;
        assert!(check_damaged(&content[..len], &expected, &format!("cut at {len}")));
    }
    let mut num_damaged = 0;
    for step in 0..200 {
        // The header byte by byte, then all over the file.
        let at = if step < 100 { step * 3 } else { content.len() * (step - 100) / 100 };
        let mut flipped = content.clone();
        flipped[at] ^= 0x40;
        num_damaged += usize::from(check_damaged(&flipped, &expected, &format!("flipped at {at}")));
    }
    assert!(num_damaged > 20, "{num_damaged}");
}

#[test]
fn errors_of_the_system_are_told_apart() {
    for (errno, words) in [
        (nix::libc::ENOSPC, "make room"),
        (nix::libc::EDQUOT, "make room"),
        (nix::libc::EROFS, "writable"),
        (nix::libc::EACCES, "be the hub's user"),
        (nix::libc::EIO, "kernel's log"),
    ] {
        let error = Failure::from(io::Error::from_raw_os_error(errno)).at(FILE.into());
        assert!(error.hint().contains(words), "{error:?}");
    }
}

mod torn {
    use std::sync::{Arc, Mutex};

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// A disk that keeps what is synced, and of the rest what it likes.
    #[derive(Debug, Clone, Default)]
    struct Disk(Arc<Mutex<Content>>);

    #[derive(Debug, Default)]
    struct Content {
        synced: Vec<u8>,
        now: Vec<u8>,
        unsynced: Vec<(usize, Vec<u8>)>,
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.lock().unwrap().now.len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let at = usize::try_from(offset).unwrap();
            out.copy_from_slice(&self.0.lock().unwrap().now[at..at + out.len()]);
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            let mut content = self.0.lock().unwrap();
            let len = usize::try_from(len).unwrap();
            content.now.resize(len, 0);
            // A file is grown before anything is written there.
            content.synced.resize(len, 0);
            content.unsynced.retain(|(at, data)| at + data.len() <= len);
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            let mut content = self.0.lock().unwrap();
            content.synced = content.now.clone();
            content.unsynced.clear();
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            let mut content = self.0.lock().unwrap();
            let at = usize::try_from(offset).unwrap();
            content.now[at..at + data.len()].copy_from_slice(data);
            content.unsynced.push((at, data.to_vec()));
            Ok(())
        }
    }

    impl Disk {
        /// What the disk holds after the power failed: any of the unsynced writes, in 512-byte parts.
        fn after_power_failure(&self, rng: &mut StdRng) -> Self {
            let content = self.0.lock().unwrap();
            let mut now = content.synced.clone();
            for (at, data) in &content.unsynced {
                for (number, part) in data.chunks(512).enumerate() {
                    if rng.random_bool(0.5) {
                        let at = at + number * 512;
                        now[at..at + part.len()].copy_from_slice(part);
                    }
                }
            }
            let content = Content { synced: now.clone(), now, unsynced: Vec::new() };
            Self(Arc::new(Mutex::new(content)))
        }
    }

    /// Fails the power at the nth operation of the disk, by taking a picture of it there.
    #[derive(Debug)]
    struct Failing {
        disk: Disk,
        countdown: Mutex<usize>,
        picture: Arc<Mutex<Option<Disk>>>,
        seed: u64,
    }

    impl Failing {
        fn tick(&self) {
            let mut countdown = self.countdown.lock().unwrap();
            if *countdown == 0 {
                let mut rng = StdRng::seed_from_u64(self.seed);
                let picture = &mut *self.picture.lock().unwrap();
                picture.get_or_insert_with(|| self.disk.after_power_failure(&mut rng));
            }
            *countdown = countdown.saturating_sub(1);
        }
    }

    impl StorageBackend for Failing {
        fn len(&self) -> io::Result<u64> {
            self.disk.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.disk.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.tick();
            self.disk.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.tick();
            self.disk.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.tick();
            self.disk.write(offset, data)
        }
    }

    #[test]
    fn power_failure_leaves_whole_transactions() {
        for seed in 0..150 {
            let disk = Disk::default();
            drop(initialise(disk.clone()).unwrap());
            let picture = Arc::new(Mutex::new(None));
            let countdown = usize::try_from(seed).unwrap() * 2;
            let failing = Failing {
                disk,
                countdown: Mutex::new(countdown),
                picture: Arc::clone(&picture),
                seed,
            };
            let database = builder().create_with_backend(failing).unwrap();
            let mut store =
                Store { path: FILE.into(), database: Some(database), doubtful: Vec::new() };
            let mut history = vec![BTreeMap::new()];
            // How many transactions had ended when the power failed, if it did.
            let mut num_certain = None;
            for number in 2..40 {
                let mut rows = history.last().unwrap().clone();
                let transaction = [member(number, 1), member(number / 2 + 1, 2)];
                for row in &transaction {
                    let Row::Member(key, _) = row else { continue };
                    rows.insert(*key, row.clone());
                }
                store.commit(&transaction).unwrap();
                if picture.lock().unwrap().is_some() && num_certain.is_none() {
                    num_certain = Some(history.len() - 1);
                }
                history.push(rows);
            }
            let (Some(disk), Some(num_certain)) = (picture.lock().unwrap().take(), num_certain)
            else {
                continue;
            };
            let database = builder().create_with_backend(disk).unwrap();
            let rows = read(&database).unwrap();
            let is = |at: usize| history[at].values().cloned().collect::<Vec<_>>() == rows;
            assert!(is(num_certain) || is(num_certain + 1), "seed {seed}: {} rows", rows.len());
        }
    }
}

#[test]
fn image_is_a_file_that_holds_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [member(2, 5), member(3, 5), invite(1)];
    fs::write(folder.path().join(FILE), image(&rows).unwrap()).unwrap();
    assert_eq!(reopened(folder.path()), rows);
}
