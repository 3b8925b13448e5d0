use std::os::unix::fs::PermissionsExt;

use dosp_proto::identity::KEY_LEN;
use dosp_proto::join_string::JoinKey;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::*;

fn join(hub: u8, addrs: &[&str]) -> JoinString {
    JoinString {
        hub_key: [hub; KEY_LEN].into(),
        addrs: addrs.iter().map(|addr| (*addr).to_owned()).collect(),
        join_key: Some(JoinKey::generate(&mut StdRng::seed_from_u64(1))),
        name: "bob".parse().ok(),
        vip: None,
        expires_at: Some(1_800_000_000),
    }
}

/// Opens the network's state and joins it.
fn joined_state(dir: &TempDir, join: &JoinString) -> NetworkState {
    let state = NetworkState::open(dir.path(), &folder_name(&join.hub_key)).unwrap();
    state.save_join(join).unwrap();
    state
}

fn of_hub(dir: &TempDir, hub: &str) -> Option<JoinString> {
    let found = Membership::of_hub(dir.path(), Some(&hub.parse().unwrap())).unwrap();
    found.map(|found| found.join)
}

fn latest(dir: &TempDir) -> Option<JoinString> {
    Membership::of_hub(dir.path(), None).unwrap().map(|found| found.join)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn network_is_found_without_a_hub_and_by_each_address() {
    let dir = TempDir::new().unwrap();
    assert_eq!((latest(&dir), of_hub(&dir, "hub.example")), (None, None));
    let first = join(1, &["hub.example:7744", "not an address", "[2001:db8::1]:80"]);
    let second = join(2, &["other.example"]);
    let state = joined_state(&dir, &first);
    assert_eq!(latest(&dir), Some(first.clone()));
    joined_state(&dir, &second);
    NetworkState::open(dir.path(), "named.example:7744").unwrap();
    assert_eq!(latest(&dir), Some(second.clone()), "the last one");
    for hub in ["hub.example", "hub.example:7744", "[2001:db8::1]:80"] {
        assert_eq!(of_hub(&dir, hub), Some(first.clone()), "{hub}");
    }
    assert_eq!(of_hub(&dir, "other.example"), Some(second));
    for hub in ["hub.example:80", "2001:db8::1", "named.example"] {
        assert_eq!(of_hub(&dir, hub), None, "{hub}");
    }
    let folder = folder_name(&first.hub_key);
    assert_eq!(folder.to_uppercase(), first.hub_key.fingerprint().to_string());
    assert!(state.folder().ends_with(&folder));
    assert_eq!(mode(&state.folder().join(JOIN)), 0o600);
    assert_eq!(mode(&dir.path().join(JOINED)), 0o600);
}

#[test]
fn joining_again_keeps_the_key() {
    let dir = TempDir::new().unwrap();
    let state = joined_state(&dir, &join(1, &["hub.example"]));
    let key = *state.identity(&mut StdRng::seed_from_u64(1)).unwrap().public();
    drop(state);
    let moved = join(1, &["moved.example"]);
    let state = joined_state(&dir, &moved);
    assert_eq!(*state.identity(&mut StdRng::seed_from_u64(2)).unwrap().public(), key);
    assert_eq!((latest(&dir), of_hub(&dir, "hub.example")), (Some(moved), None));
}

#[test]
fn join_key_is_spent_and_the_rest_is_kept() {
    let dir = TempDir::new().unwrap();
    let joined = join(1, &["hub.example"]);
    let state = joined_state(&dir, &joined);
    let spent = JoinString { join_key: None, expires_at: None, ..joined };
    for _ in 0..2 {
        state.spend_join_key().unwrap();
        assert_eq!(latest(&dir), Some(spent.clone()));
    }
    NetworkState::open(dir.path(), "named.example:7744").unwrap().spend_join_key().unwrap();
}

#[test]
fn network_that_was_left_is_forgotten_without_its_key() {
    let dir = TempDir::new().unwrap();
    let first = joined_state(&dir, &join(1, &["hub.example"]));
    first.identity(&mut StdRng::seed_from_u64(1)).unwrap();
    let second = joined_state(&dir, &join(2, &["other.example"]));
    first.forget_join().unwrap();
    assert_eq!((of_hub(&dir, "hub.example"), latest(&dir).is_some()), (None, true));
    assert!(first.folder().join("key").exists());
    second.forget_join().unwrap();
    assert!(!dir.path().join(JOINED).exists());
    second.forget_join().unwrap();
    // As after a crash in between.
    joined_state(&dir, &join(3, &["third.example"]));
    fs::remove_file(dir.path().join(NETWORKS).join(folder_name(&[3; KEY_LEN].into())).join(JOIN))
        .unwrap();
    assert_eq!(latest(&dir), None);
}

#[test]
fn key_of_a_hub_that_was_only_named_is_kept() {
    let dir = TempDir::new().unwrap();
    let state = NetworkState::open(dir.path(), "hub.example:7744").unwrap();
    assert_eq!(state.hub_key().unwrap(), None);
    let key = PublicKey::from([7; KEY_LEN]);
    state.save_hub_key(&key).unwrap();
    assert_eq!(state.hub_key().unwrap(), Some(key));
    let path = state.folder().join(HUB_KEY);
    assert_eq!((mode(&path), fs::read_to_string(&path).unwrap()), (0o600, format!("{key}\n")));
    fs::write(&path, "key").unwrap();
    let error = state.hub_key().unwrap_err();
    assert!(matches!(error, StateError::HubKey { .. }) && !error.is_permission(), "{error}");
    assert!(error.hint().starts_with("restore it from a backup"));
}

#[test]
fn damaged_files_are_refused_with_a_hint() {
    let dir = TempDir::new().unwrap();
    let state = joined_state(&dir, &join(1, &["hub.example"]));
    let path = state.folder().join(JOIN);
    let hub: HubAddr = "hub.example".parse().unwrap();
    for content in [&b"dosp1:AAAA"[..], b"", b"\xFF"] {
        fs::write(&path, content).unwrap();
        for hub in [None, Some(&hub)] {
            let error = Membership::of_hub(dir.path(), hub).unwrap_err();
            assert!(matches!(error, StateError::Join { .. }), "{error}");
            assert!(error.hint().starts_with("remove it, and join again"));
        }
    }
    for content in ["", "..\n", "a/b"] {
        fs::write(dir.path().join(JOINED), content).unwrap();
        let error = Membership::of_hub(dir.path(), None).unwrap_err();
        assert!(matches!(error, StateError::Joined { .. }), "{content}: {error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = Membership::of_hub(dir.path(), Some(&hub)).unwrap_err();
    assert!(error.hint().starts_with("chmod 600 "), "{error}");
    state.forget_join().unwrap();
    assert!(!path.exists());
}
