//! What is wrong is said in two lines, with an exit code.

use std::io::Read;
use std::net::{TcpListener, TcpStream};

use crate::{Hub, config_file, dosp_server, stderr};

#[test]
fn commands_without_a_hub_exit_with_3() {
    for command in ["status", "admin", "peers"] {
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
        (["--peer", "hub.example"], "it names no network\nhint: write it like hub.example:7744="),
        (["--peer", "hub.example=7.11.0.x"], "needs 'state'"),
        (["--peer", "=7.11.0.x"], "a peer without address and key"),
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
