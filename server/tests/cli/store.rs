//! State folders that fail: in words, with an exit code, and without harm to what is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use dosp_server::members::store::{FILE, Store};

use crate::{Hub, dosp_server, stderr};

fn start(state: &Path) -> Command {
    let mut command = dosp_server(&["--listen", "127.0.0.1:0", "--state"]);
    command.arg(state).arg("--socket").arg(state.with_extension("sock"));
    command
}

/// What is said, apart from the log: two lines.
fn assert_fails(output: &Output, words: &str, hint: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let lines: Vec<_> = said.lines().filter(|line| !line.contains(" INFO ")).collect();
    let [why, what] = &*lines else { panic!("{said}") };
    assert!(why.starts_with("dosp-server: ") && why.contains(words), "{said}");
    assert!(what.starts_with("hint: ") && what.contains(hint), "{said}");
}

#[test]
fn damaged_file_stops_the_hub_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    drop(Store::open(&state).unwrap());
    let good = fs::read(state.join(FILE)).unwrap();
    let mut flipped = good.clone();
    flipped[64..4096].fill(0xA5);
    let half = good[..good.len() / 2].to_vec();
    for content in [b"no database at all".to_vec(), good[..5000].to_vec(), half, flipped] {
        fs::write(state.join(FILE), &content).unwrap();
        let output = start(&state).output().unwrap();
        assert_fails(&output, "members.redb is damaged", "it was not overwritten");
        assert!(fs::read(state.join(FILE)).unwrap() == content, "the file was changed");
    }
}

#[test]
fn one_state_folder_has_one_hub() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let _first = Hub::start(&mut start(&state));
    let mut second = dosp_server(&["--listen", "127.0.0.1:0", "--state"]);
    second.arg(&state).arg("--socket").arg(folder.path().join("other.sock"));
    let output = second.output().unwrap();
    assert_fails(&output, "a running hub uses ", "ask that hub over its socket");
}

/// In a mount namespace of its own; none where this user may not make one.
fn in_own_namespace(script: &str) -> Option<Command> {
    let probe = "mount -t tmpfs none /mnt";
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-ec", script]);
        command
    };
    let tried = unshared(probe).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        return None;
    }
    Some(unshared(script))
}

#[test]
fn read_only_state_folder_stops_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    drop(Store::open(&state).unwrap());
    let program = env!("CARGO_BIN_EXE_dosp-server");
    let state = state.to_str().unwrap();
    let script = format!(
        "mount --bind {state} {state}; mount -o remount,ro,bind {state}; \
         exec {program} --listen 127.0.0.1:0 --state {state} --socket {state}.sock"
    );
    let Some(mut command) = in_own_namespace(&script) else {
        return println!("SKIPPED: no mount namespace for this user");
    };
    assert_fails(&command.output().unwrap(), "cannot write ", "make the file system writable");
}
