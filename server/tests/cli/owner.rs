//! What root does in the state folder of a hub that has a user of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use crate::{dosp_server, stderr};

/// Nobody's, and no user of this machine is asked for.
const USER: u32 = 65_534;

#[test]
fn root_makes_state_for_the_owner_of_its_folder() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can make files for others");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (config, state) = (home.path().join("server.toml"), home.path().join("state"));
    fs::create_dir(&state).unwrap();
    chown(&state, Some(USER), Some(USER)).unwrap();
    let ask = |args: &[&str]| {
        let mut command = dosp_server(&["--socket", "/nonexistent/hub.sock", "--config"]);
        let output = command.arg(&config).arg("--state").arg(&state).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    };
    ask(&["init"]);
    ask(&["invite", "--name", "bob"]);
    ask(&["nodes"]);
    let mut names = Vec::new();
    for entry in fs::read_dir(&state).unwrap().map(Result::unwrap) {
        let file = entry.metadata().unwrap();
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (USER, USER, 0o600), "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["key", "members.redb"]);
    assert_eq!(fs::metadata(&config).unwrap().uid(), 0);
}
