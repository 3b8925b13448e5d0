//! Commands about members, with and without a hub.

use std::path::PathBuf;
use std::process::Output;

use tempfile::TempDir;

use crate::{Hub, config_file, dosp_server, next_line_with, stderr};

#[test]
fn closed_hub_without_state_is_a_configuration_error() {
    let file = config_file("closed = true");
    let output = dosp_server(&["check", file.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("dosp-server: 'closed' needs 'state'\nhint: "));
}

#[test]
fn members_are_looked_after_without_a_hub() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    let (mut store, _) = dosp_server::members::store::Store::open(folder.path()).unwrap();
    let member = serde_json::json!({
        "key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "vip": "7.10.0.2", "name": "bob",
        "joined_at": 1_795_791_600, "last_seen_at": 1_795_791_600,
    });
    let member: dosp_server::members::record::Member = serde_json::from_value(member).unwrap();
    store.commit(&[dosp_server::members::record::Row::Member(member.key, Some(member))]).unwrap();
    drop(store);
    let ask = |args: &[&str]| {
        let place = ["--state", state, "--socket", "/nonexistent/hub.sock"];
        let output = dosp_server(&place).args(args).output().unwrap();
        let words = String::from_utf8(output.stdout.clone()).unwrap();
        (output.status.code(), words, stderr(&output))
    };
    let words = format!(
        "no hub runs: done in {state}
bob is called eve now
"
    );
    assert_eq!(ask(&["nodes", "rename", "bob", "eve"]).2, words);
    let (_, table, _) = ask(&["nodes"]);
    let expected = "name                  vIP              seen                  fingerprint\n\
                    eve                   7.10.0.2         2026-11-27T15:00:00Z  OLGW5-BBCYQ-D7W3I-JQ2IP\n";
    assert_eq!(table, expected);
    let (_, json, _) = ask(&["nodes", "show", "7.10.0.2", "--json"]);
    assert!(
        json.starts_with(r#"{"schema":"dosp.nodes/1","nodes":[{"name":"eve","vip":"7.10.0.2","#)
    );

    let (code, join, words) = ask(&["invite", "--name", "al"]);
    assert_eq!(code, Some(0), "{words}");
    assert!(join.starts_with("dosp1:") && join.lines().count() == 1, "{join}");
    let id = words.split("invite ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_eq!(ask(&["invite", "--name", "al"]).0, Some(4), "the name is promised");
    assert_eq!(ask(&["invite", "revoke", &id]).0, Some(0));
    let (_, list, _) = ask(&["invite", "list", "--json"]);
    assert!(list.starts_with(r#"{"schema":"dosp.invites/1","invites":[{"id":"#), "{list}");
    assert!(ask(&["invite", "list"]).1.contains(&format!("{id}  revoked  0/1")));

    assert_eq!(ask(&["nodes", "kick", "eve"]).0, Some(3), "nobody is connected");
    assert_eq!(ask(&["nodes", "remove", "eve"]).0, Some(0));
    let (code, _, words) = ask(&["nodes", "show", "eve"]);
    assert_eq!(code, Some(5));
    assert!(words.contains("dosp-server: no node is 'eve'\nhint: 'dosp-server nodes'"), "{words}");
}

#[test]
fn hub_without_members_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("hub.sock");
    let socket = socket.to_str().unwrap();
    let _hub = Hub::start(&mut dosp_server(&["--listen", "127.0.0.1:0", "--socket", socket]));
    let output = dosp_server(&["nodes", "--socket", socket]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = "dosp-server: this hub keeps no members: it has no state folder; 'dosp-server init' makes one\n";
    assert!(stderr(&output).starts_with(words), "{}", stderr(&output));
}

/// A host on which `init` makes a network.
struct Fresh {
    config: PathBuf,
    state: PathBuf,
    _folder: TempDir,
}

impl Fresh {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            config: folder.path().join("etc/dosp/server.toml"),
            state: folder.path().join("state"),
            _folder: folder,
        }
    }

    fn init(&self, more: &[&str]) -> Output {
        let (config, state) = (self.config.to_str().unwrap(), self.state.to_str().unwrap());
        let args = ["init", "--config", config, "--state", state];
        dosp_server(&args).args(more).output().unwrap()
    }
}

#[test]
fn init_makes_a_closed_network() {
    let host = Fresh::new();
    let Fresh { config, state, .. } = &host;
    let config_arg = config.to_str().unwrap();
    let args = ["--network", "7.10.0.{x}", "--name", "home", "--advertise", "hub.example"];
    let output = host.init(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let words = stderr(&output);
    assert!(words.starts_with("warning: 7.10.0.0/24 is public address space"), "{words}");
    assert!(words.contains(&format!("dosp-server --config {config_arg}\n")), "{words}");
    let line = String::from_utf8(output.stdout).unwrap();
    let join: dosp_proto::join_string::JoinString =
        line.trim().strip_prefix("dosp-agent join ").unwrap().parse().unwrap();
    assert_eq!(join.addrs, ["hub.example:7744"]);
    let (fingerprint, key) = (join.hub_key.fingerprint(), join.hub_key);
    let key = format!("\nfingerprint    {fingerprint}\nkey            {key}\n");
    assert!(words.contains(&key), "{words}");
    assert!(join.join_key.is_some() && join.expires_at.is_some());

    let mode = |path: &std::path::Path| {
        let permissions = std::fs::metadata(path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777
    };
    let modes =
        [state, &state.join("key"), &state.join("members.redb"), config].map(|path| mode(path));
    assert_eq!(modes, [0o700, 0o600, 0o600, 0o644]);
    let settings = dosp_server::config::Settings::from_file(config).unwrap();
    settings.check().unwrap();
    assert_eq!((settings.closed, settings.state), (Some(true), Some(state.clone())));
    let list = ["invite", "list", "--config", config_arg, "--socket", "/nonexistent.sock"];
    let output = dosp_server(&list).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
}

#[test]
fn init_makes_a_network_once_and_replaces_a_configuration_where_it_is_told_to() {
    let host = Fresh::new();
    let output = host.init(&["--network", "7.10.0.{x}"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for more in [&[][..], &["--force"]] {
        let output = host.init(more);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).starts_with("dosp-server: there is a network already: "));
        assert!(stderr(&output).contains("\nhint: 'dosp-server invite'"));
    }
    std::fs::remove_dir_all(&host.state).unwrap();
    let output = host.init(&["--open"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("hint: --force replaces it"), "{}", stderr(&output));
    let output = host.init(&["--open", "--force"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("warning: "), "{}", stderr(&output));
    let settings = dosp_server::config::Settings::from_file(&host.config).unwrap();
    assert_eq!(settings.closed, Some(false));
}

#[test]
fn options_stand_before_and_after_what_is_asked_of_members() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    drop(dosp_server::members::store::Store::open(folder.path()).unwrap());
    let file = config_file(&format!("state = '{state}'\nsocket = '/nonexistent/hub.sock'\n"));
    let config = file.path().to_str().unwrap();
    for args in [
        ["invite", "list", "--config", config],
        ["invite", "--config", config, "list"],
        ["--config", config, "invite", "list"],
        ["nodes", "list", "--config", config],
        ["nodes", "--config", config, "list"],
        ["--config", config, "nodes", "list"],
    ] {
        let output = dosp_server(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    }
    let output = dosp_server(&["invite", "--name", "bob", "list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("are for a new invite"), "{}", stderr(&output));
}

#[test]
fn invite_ends_never_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    drop(dosp_server::members::store::Store::open(folder.path()).unwrap());
    let invite = |more: &[&str]| {
        let args = ["invite", "--json", "--state", state, "--socket", "/nonexistent/hub.sock"];
        let output = dosp_server(&args).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["expires_at"].clone()
    };
    assert!(invite(&[]).is_string(), "a day where nobody says otherwise");
    assert!(invite(&["--ttl", "never"]).is_null());
    let output = dosp_server(&["invite", "--ttl", "nevr"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn status_says_how_many_members_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let (state, socket) = (folder.path().join("state"), folder.path().join("hub.sock"));
    let socket = socket.to_str().unwrap();
    let file = config_file(&format!("closed = true\nname = 'home'\nstate = '{}'", state.display()));
    let config = file.path().to_str().unwrap();
    let args = ["--config", config, "--listen", "127.0.0.1:0", "--socket", socket];
    let mut hub = Hub::start(&mut dosp_server(&args));
    let line = next_line_with(&mut hub.log, "this hub is closed");
    assert!(line.contains("name=home network=7.10.0.0/24 key="), "{line}");
    let key = line.trim().rsplit("key=").next().unwrap();
    let _stranger = std::net::TcpStream::connect(&hub.addr).unwrap();
    let status = loop {
        let output = dosp_server(&["status", "--json", "--socket", socket]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        if status["strangers"] == 1 {
            break status;
        }
    };
    let shown = ["name", "fingerprint", "closed", "members"].map(|field| status[field].clone());
    assert_eq!(serde_json::json!(shown), serde_json::json!(["home", key, true, 0]));
}
