//! A hub that runs: its log, its signals, its socket.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::{Hub, config_file, dosp_server, next_line_with, stderr};

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
