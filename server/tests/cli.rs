//! The program: its words, its exit codes, its signals.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

fn dosp_server(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dosp-server"));
    for name in ["DOSP_HOST", "DOSP_PORT", "DOSP_IP_TEMPLATE", "DOSP_LOG", "DOSP_LOG_FORMAT"] {
        command.env_remove(name);
    }
    command.args(args);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn config_file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// A running hub on a free port; killed when dropped.
struct Hub {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    addr: String,
}

impl Hub {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let line = next_line_with(&mut log, "listening addr=");
        let addr = line.split("addr=").nth(1).unwrap().trim().to_owned();
        Self { child, log, addr }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Fails where it has ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

fn next_line_with(log: &mut impl BufRead, words: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "no '{words}' in: {seen}");
        if line.contains(words) {
            return line;
        }
        seen += &line;
    }
}

#[test]
fn hub_says_where_it_listens_and_that_it_is_open() {
    let file = config_file("");
    let path = file.path().to_str().unwrap();
    let mut hub = Hub::start(&mut dosp_server(&["--config", path, "--listen", "127.0.0.1:0"]));
    let warning = next_line_with(&mut hub.log, "this hub is open");
    assert!(warning.contains(" WARN ") && warning.contains("network=7.10.0.0/24"), "{warning}");
    let mut greeting = [0; 21];
    TcpStream::connect(&hub.addr).unwrap().read_exact(&mut greeting).unwrap();
    assert_eq!(greeting[..9], [0x13, 0, 0, 0, 4, 7, 10, 0, 2]);
}

#[test]
fn signals_stop_it_cleanly() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut hub = Hub::start(&mut dosp_server(&["run", "--listen", "127.0.0.1:0"]));
        let mut client = TcpStream::connect(&hub.addr).unwrap();
        client.read_exact(&mut [0; 21]).unwrap();
        hub.signal(signal);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"\x11\0\0\0\x0fhub is stopping");
        drop(client);
        assert_eq!(hub.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn sources_are_laid_over_each_other() {
    let file = config_file("listen = ['127.0.0.9:1']\nnetwork = '10.9.0.{x}'\nlog = 'debug'");
    let path = file.path().to_str().unwrap();
    let mut command = dosp_server(&["--config", path, "--network", "10.7.0.0/16"]);
    let hub = Hub::start(command.env("DOSP_HOST", "127.0.0.1").env("DOSP_PORT", "0"));
    assert!(hub.addr.starts_with("127.0.0.1:"), "the environment is above the file: {}", hub.addr);
    let mut aip = [0; 9];
    TcpStream::connect(&hub.addr).unwrap().read_exact(&mut aip).unwrap();
    assert_eq!(aip[5..], [10, 7, 0, 2], "the option is above the file");
}

#[test]
fn log_is_json_when_asked() {
    let args = ["--listen", "127.0.0.1:0", "--log-format", "json"];
    let mut child = dosp_server(&args).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let line = next_line_with(&mut log, "listening");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with('{') && line.contains(r#""message":"listening""#), "{line}");
}

#[test]
fn message_of_a_client_reaches_the_log_harmless() {
    let mut hub = Hub::start(&mut dosp_server(&["--listen", "127.0.0.1:0"]));
    let mut client = TcpStream::connect(&hub.addr).unwrap();
    client.write_all(b"\x01\0\0\0\x0a\x1b[2J\0hi\r\n!").unwrap();
    let line = next_line_with(&mut hub.log, "message to the hub");
    assert!(line.contains(" INFO session{id=1 vip=7.10.0.2 addr=127.0.0.1:"), "{line}");
    assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
}

#[test]
fn limit_on_files_is_raised_and_limits_the_clients() {
    let program = env!("CARGO_BIN_EXE_dosp-server");
    let line = format!(
        "ulimit -Sn 300; ulimit -Hn 1000; exec {program} --listen 127.0.0.1:0 --network 10.7.0.0/16"
    );
    let mut child = Command::new("sh").args(["-c", &line]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let warning = next_line_with(&mut log, "the limit on open files is low");
    next_line_with(&mut log, "listening");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(warning.contains("max_clients=744 wanted=10000"), "{warning}");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("1000"), "{files}");
}

#[test]
fn running_hub_is_asked_over_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("new/hub.sock");
    let socket = socket.to_str().unwrap();
    let hub = Hub::start(&mut dosp_server(&["--listen", "127.0.0.1:0", "--socket", socket]));
    let mut client = TcpStream::connect(&hub.addr).unwrap();
    client.read_exact(&mut [0; 21]).unwrap();
    let mode = std::fs::metadata(socket).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o660);

    let output = dosp_server(&["status", "--json", "--socket", socket]).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["schema"], "dosp.hub-status/1");
    assert_eq!(status["sessions"][0]["vip"], "7.10.0.2");
    let output = dosp_server(&["status", "--socket", socket]).output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(words.starts_with("hub      7.10.0.1 of 7.10.0.0/24\n"), "{words}");

    let admin = ["admin", "--socket", socket, "broadcast", "hello", "all"];
    let output = dosp_server(&admin).output().unwrap();
    assert_eq!(output.stdout, b"Broadcast sent to 1 clients\n");
    let mut message = [0; 14];
    client.read_exact(&mut message).unwrap();
    assert_eq!(message, *b"\x01\0\0\0\x09hello all");
    let output = dosp_server(&["admin", "--socket", socket, "kick", "7.10.0.9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("dosp-server: Client 7.10.0.9 not found\nhint: "));
}

#[test]
fn commands_without_a_hub_exit_with_3() {
    for command in ["status", "admin"] {
        let args = [command, "--socket", "/nonexistent/hub.sock"];
        let help = (command == "admin").then_some("help");
        let output = dosp_server(&args).args(help).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stderr(&output).contains("no hub is running"), "{}", stderr(&output));
    }
}

#[test]
fn socket_that_was_named_must_be_possible() {
    let args = ["--listen", "127.0.0.1:0", "--socket", "/proc/hub.sock"];
    let output = dosp_server(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot make the local socket"), "{}", stderr(&output));
}

#[test]
fn token_file_open_to_others_is_a_configuration_error() {
    let file = config_file("0123456789abcdef");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(file.path(), open).unwrap();
    let path = file.path().to_str().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--admin-token-file", path];
    let output = dosp_server(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let words = format!("hint: chmod 600 {path}");
    assert!(stderr(&output).contains(&words), "{}", stderr(&output));
}

#[test]
fn options_stand_before_and_after_the_command() {
    let file = config_file("network = '10.9.0.{x}'");
    let path = file.path().to_str().unwrap();
    for args in [
        ["--config", path, "run", "--listen", "127.0.0.1:0"],
        ["--listen", "127.0.0.1:0", "run", "--config", path],
    ] {
        let hub = Hub::start(&mut dosp_server(&args));
        let mut aip = [0; 9];
        TcpStream::connect(&hub.addr).unwrap().read_exact(&mut aip).unwrap();
        assert_eq!(aip[5..], [10, 9, 0, 2], "{args:?}");
    }
    let output = dosp_server(&["--socket", "/nonexistent.sock", "status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let output = dosp_server(&["--network", "10.9.0.{x}", "status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn closed_hub_without_state_is_a_configuration_error() {
    let file = config_file("closed = true");
    let output = dosp_server(&["check", file.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("dosp-server: 'closed' needs 'state'\nhint: "));
}

#[test]
fn unknown_option_is_a_usage_error() {
    let output = dosp_server(&["--lisen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--lisen"), "{}", stderr(&output));
    assert!(stderr(&output).contains("--listen"), "{}", stderr(&output));
}

#[test]
fn bad_option_values_are_usage_errors() {
    for (args, words) in [
        (["--listen", "localhost"], "is no address and port"),
        (["--network", "7.10.0.5"], "is no network"),
        (["--max-clients", "0"], "room for at least one client"),
        (["--log", "loud"], "is no log level"),
        (["--log-format", "xml"], "possible values: human, json"),
    ] {
        let output = dosp_server(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(words), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn unknown_key_is_named_with_its_line_and_the_nearest() {
    let file = config_file("# a hub\nmax-clients = 5\n");
    let path = file.path().to_str().unwrap();
    for args in [["check", path], ["--config", path]] {
        let output = dosp_server(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let expected = format!(
            "dosp-server: {path}:2: unknown key 'max-clients'\nhint: did you mean 'max_clients'?\n"
        );
        assert_eq!(stderr(&output), expected);
    }
}

#[test]
fn good_file_passes_the_check() {
    let file = config_file(dosp_server::config::EXAMPLE);
    let path = file.path().to_str().unwrap();
    let output = dosp_server(&["check", path]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{path}: ok\n"));
}

#[test]
fn missing_file_is_a_configuration_error() {
    let output = dosp_server(&["--config", "/nonexistent.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "dosp-server: cannot read /nonexistent.toml: No such file or directory (os error 2)\n\
         hint: give another file with --config, or make this one readable\n"
    );
}

#[test]
fn port_in_use_is_said_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let output = dosp_server(&["--listen", &addr.to_string()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = format!("dosp-server: cannot listen on {addr}: Address already in use");
    assert!(stderr(&output).contains(&words), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: 'ss -ltnp sport = :"), "{}", stderr(&output));
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

#[test]
fn init_makes_a_closed_network_once() {
    let folder = tempfile::tempdir().unwrap();
    let (config, state) = (folder.path().join("etc/dosp/server.toml"), folder.path().join("state"));
    let (config_arg, state_arg) = (config.to_str().unwrap(), state.to_str().unwrap());
    let init = |more: &[&str]| {
        let args = ["init", "--config", config_arg, "--state", state_arg];
        dosp_server(&args).args(more).output().unwrap()
    };
    let args = ["--network", "7.10.0.{x}", "--name", "home", "--advertise", "hub.example"];
    let output = init(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let words = stderr(&output);
    assert!(words.starts_with("warning: 7.10.0.0/24 is public address space"), "{words}");
    assert!(words.contains(&format!("dosp-server --config {config_arg}\n")), "{words}");
    let line = String::from_utf8(output.stdout).unwrap();
    let join: dosp_proto::join_string::JoinString =
        line.trim().strip_prefix("dosp-agent join ").unwrap().parse().unwrap();
    assert_eq!(join.addrs, ["hub.example:7744"]);
    assert!(join.join_key.is_some() && join.expires_at.is_some());

    let mode = |path: &std::path::Path| {
        let permissions = std::fs::metadata(path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777
    };
    let modes =
        [&state, &state.join("key"), &state.join("members.redb"), &config].map(|path| mode(path));
    assert_eq!(modes, [0o700, 0o600, 0o600, 0o644]);
    let settings = dosp_server::config::Settings::from_file(&config).unwrap();
    settings.check().unwrap();
    assert_eq!((settings.closed, settings.state), (Some(true), Some(state.clone())));
    let list = ["invite", "list", "--config", config_arg, "--socket", "/nonexistent.sock"];
    let output = dosp_server(&list).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);

    for more in [&[][..], &["--force"]] {
        let output = init(more);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).starts_with("dosp-server: there is a network already: "));
        assert!(stderr(&output).contains("\nhint: 'dosp-server invite'"));
    }
    std::fs::remove_dir_all(&state).unwrap();
    let output = init(&["--open"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("hint: --force replaces it"), "{}", stderr(&output));
    let output = init(&["--open", "--force"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("warning: "), "{}", stderr(&output));
    assert_eq!(dosp_server::config::Settings::from_file(&config).unwrap().closed, Some(false));
}
