use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, setfsuid};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::*;

const NETWORK: &str = "hub.example:7744";

fn open(state: &TempDir) -> NetworkState {
    NetworkState::open(state.path(), NETWORK).unwrap()
}

fn identity(state: &NetworkState) -> Result<PublicKey, StateError> {
    state.identity(&mut StdRng::seed_from_u64(1)).map(|key| *key.public())
}

fn known_peers(state: &NetworkState) -> Result<KnownPeers, StateError> {
    state.known_peers([1; KEY_LEN].into(), TrustPolicy::FirstUse)
}

/// One peer more than `known`.
fn grown(mut known: KnownPeers) -> KnownPeers {
    let number = u8::try_from(known.iter().count()).unwrap() + 2;
    known.accept_key([10, 0, 0, number].into(), [number; KEY_LEN].into()).unwrap();
    known
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn hint(error: &StateError) -> String {
    assert!(!error.is_permission(), "{error}");
    error.hint()
}

#[test]
fn key_is_made_once_and_for_its_owner_alone() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let key = identity(&state).unwrap();
    assert_eq!(mode(&dir.path().join("networks")), 0o700);
    assert_eq!(mode(state.folder()), 0o700);
    assert_eq!(mode(&state.folder().join("key")), 0o600);
    drop(state);
    let again = open(&dir).identity(&mut StdRng::seed_from_u64(2)).unwrap();
    assert_eq!(*again.public(), key);
    let line = fs::read_to_string(dir.path().join("networks").join(NETWORK).join("key")).unwrap();
    assert_eq!((line.len(), line.trim().len()), (45, 44));
}

#[test]
fn each_network_has_a_key_of_its_own() {
    let dir = TempDir::new().unwrap();
    let other = NetworkState::open(dir.path(), "[::1]:7744").unwrap();
    other.identity(&mut StdRng::seed_from_u64(2)).unwrap();
    let state = NetworkState::open(dir.path(), "HUB.example:7744").unwrap();
    identity(&state).unwrap();
    assert_ne!(identity(&state).unwrap(), identity(&other).unwrap());
    assert!(state.folder().ends_with(NETWORK), "names of hosts have no case");
    for network in ["", ".", "..", "../x:1", "a/b:1", "a\0:1"] {
        let error = NetworkState::open(dir.path(), network).unwrap_err();
        assert!(hint(&error).contains("HOST:PORT"), "{network:?}: {error}");
    }
}

#[test]
fn key_that_others_can_read_is_refused() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    identity(&state).unwrap();
    let path = state.folder().join("key");
    for open_to in [0o640, 0o604, 0o620, 0o777] {
        set_mode(&path, open_to);
        let error = identity(&state).unwrap_err();
        assert!(error.to_string().ends_with(&format!("its mode is {open_to:04o}")), "{error}");
        assert_eq!(hint(&error), format!("chmod 600 {}", path.display()));
    }
    set_mode(&path, 0o400);
    identity(&state).unwrap();
}

#[test]
fn damaged_key_is_refused_and_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    identity(&state).unwrap();
    let path = state.folder().join("key");
    let key = fs::read_to_string(&path).unwrap();
    let (short, long) = (BASE64.encode([7; 31]), BASE64.encode([7; 33]));
    let damaged = ["", "\n", "key", &key[..43], &key[1..], &short, &long, "\u{e9}"];
    for content in damaged.map(str::as_bytes).into_iter().chain([&b"\xFF\xFE"[..]]) {
        fs::write(&path, content).unwrap();
        let error = identity(&state).unwrap_err();
        assert!(matches!(error, StateError::Key { .. }), "{content:?}: {error}");
        assert!(hint(&error).starts_with("restore it from a backup"));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::write(&path, vec![b'A'; 100_000]).unwrap();
    assert!(matches!(identity(&state), Err(StateError::Private(_))), "too long for a key");
}

#[test]
fn known_peers_are_saved_and_read() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let mut known = known_peers(&state).unwrap();
    assert_eq!(known.iter().count(), 0);
    for _ in 0..2 {
        known = grown(known);
        state.save_known_peers(&known).unwrap();
        assert!(known_peers(&state).unwrap().iter().eq(known.iter()));
    }
    assert_eq!(mode(&state.folder().join("known_peers")), 0o600);
}

#[test]
fn damaged_known_peers_are_refused_with_the_line() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    state.save_known_peers(&grown(known_peers(&state).unwrap())).unwrap();
    let path = state.folder().join("known_peers");
    let cut = fs::read_to_string(&path).unwrap().replace(" - 2", "");
    fs::write(&path, cut).unwrap();
    let error = known_peers(&state).unwrap_err();
    assert!(hint(&error).starts_with("correct or remove that line"));
    let shown = format!("{:#}", anyhow::Error::from(error));
    assert!(shown.contains("known_peers is damaged: line 2: a line has a key"), "{shown}");
    fs::write(&path, b"\xFF").unwrap();
    assert!(matches!(known_peers(&state), Err(StateError::Read { .. })));
}

#[test]
fn what_a_crash_left_is_harmless() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    fs::write(state.folder().join("key.new"), "half a k").unwrap();
    set_mode(&state.folder().join("key.new"), 0o666);
    std::os::unix::fs::symlink(&elsewhere, state.folder().join("known_peers.new")).unwrap();
    let key = identity(&state).unwrap();
    assert_eq!(identity(&state).unwrap(), key);
    assert_eq!(mode(&state.folder().join("key")), 0o600);
    state.save_known_peers(&grown(known_peers(&state).unwrap())).unwrap();
    assert_eq!(known_peers(&state).unwrap().iter().count(), 1);
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "mine");
    let left = fs::read_dir(state.folder()).unwrap().count();
    assert_eq!(left, 3, "lock, key and known_peers");
}

#[test]
fn folder_is_for_one_agent_at_a_time() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    let error = NetworkState::open(dir.path(), NETWORK).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }), "{error}");
    assert!(hint(&error).starts_with("'dosp-agent down' ends it"));
    NetworkState::open(dir.path(), "other:7744").unwrap();
    drop(state);
    open(&dir);
}

#[test]
fn file_where_a_folder_should_be_is_said() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("networks"), "").unwrap();
    let error = NetworkState::open(dir.path(), NETWORK).unwrap_err();
    assert!(matches!(error, StateError::Folder { .. }), "{error}");
    assert_eq!(hint(&error), "choose another folder with --state");
}

#[test]
fn folder_of_somebody_else_needs_privilege() {
    let dir = TempDir::new().unwrap();
    let state = open(&dir);
    identity(&state).unwrap();
    drop(state);
    set_mode(dir.path(), 0o555);
    let other = dir.path().join("networks").join(NETWORK);
    let errors = as_nobody(|| {
        let opened = NetworkState::open(dir.path(), NETWORK).unwrap_err();
        let made = NetworkState::open(&dir.path().join("new"), NETWORK).unwrap_err();
        [opened, made, private::read(&other.join("key")).unwrap_err().into()]
    });
    set_mode(dir.path(), 0o700);
    for error in errors.into_iter().flatten() {
        assert!(error.is_permission(), "{error:?}");
        assert_eq!(error.hint(), "run as root, or choose a folder of your own with --state");
    }
}

#[test]
fn full_disk_keeps_what_was_saved_before() {
    let dir = TempDir::new().unwrap();
    let Some(()) = mount_small(dir.path()) else { return };
    let state = open(&dir);
    let known = grown(known_peers(&state).unwrap());
    state.save_known_peers(&known).unwrap();
    let filled = fs::write(dir.path().join("full"), vec![0; 1024 * 1024]);
    assert_eq!(filled.unwrap_err().kind(), io::ErrorKind::StorageFull);
    let error = state.save_known_peers(&grown(known.clone())).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(!state.folder().join("known_peers.new").exists());
    assert!(known_peers(&state).unwrap().iter().eq(known.iter()));
    let error = identity(&state).unwrap_err();
    assert!(matches!(error, StateError::Write { .. }), "{error}");
    assert!(!state.folder().join("key").exists(), "no key is better than half of one");
    fs::remove_file(dir.path().join("full")).unwrap();
    identity(&state).unwrap();
}

/// Runs `work` with the rights of nobody, which this thread alone has meanwhile.
fn as_nobody<T>(work: impl FnOnce() -> T) -> Option<T> {
    if !Uid::effective().is_root() {
        eprintln!("SKIPPED: another user's files need root");
        return None;
    }
    setfsuid(Uid::from_raw(65_534));
    let done = work();
    setfsuid(Uid::from_raw(0));
    Some(done)
}

/// Mounts a file system of 64 KiB that this thread and its children alone see.
fn mount_small(path: &Path) -> Option<()> {
    if !Uid::effective().is_root() {
        eprintln!("SKIPPED: a full disk needs root");
        return None;
    }
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let script = "mount --make-rprivate / && mount -t tmpfs -o size=64k none \"$0\"";
    assert!(Command::new("sh").args(["-c", script]).arg(path).status().unwrap().success());
    Some(())
}
