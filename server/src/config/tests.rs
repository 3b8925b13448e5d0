use std::path::Path;

use super::*;
use std::error::Error;

fn from_toml(text: &str) -> Result<Settings, ConfigError> {
    Settings::from_toml(text, Path::new("hub.toml"))
}

/// The whole chain, as it is printed.
fn words(error: &ConfigError) -> String {
    let sources = std::iter::successors(error.source(), |error| (*error).source());
    sources.fold(error.to_string(), |words, source| format!("{words}: {source}"))
}

#[test]
fn example_says_what_the_defaults_say() {
    let is_key = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let keys: Vec<_> = EXAMPLE.lines().filter(is_key).collect();
    // [functions.NAME] and [[peer]] have no default that could be written down.
    assert_eq!(keys.len(), file::KEYS.len() - 2);
    let uncommented: String = keys.iter().map(|line| format!("{}\n", &line[1..])).collect();
    let settings = from_toml(&uncommented).unwrap();
    assert!(settings.listen.is_some() && settings.log_format.is_some());
    assert_eq!(Config::from(settings), Config::default());
    assert_eq!(from_toml(EXAMPLE).unwrap(), Settings::default());
}

#[test]
fn defaults_are_those_of_the_manual() {
    let config = Config::default();
    let listen: Vec<_> = config.listen.iter().map(|listen| listen.addr.to_string()).collect();
    assert_eq!(listen, ["0.0.0.0:7744", "[::]:7744"]);
    assert!(config.listen[0].is_required && !config.listen[1].is_required);
    assert_eq!(config.network, Network::DEFAULT);
    assert_eq!(config.max_frame_len, 1 << 20);
}

#[test]
fn file_is_read() {
    let settings = from_toml(
        "listen = ['[::1]:0']\nnetwork = '10.7.0.0/16'\nmax_clients = 5\nmax_frame_len = 70000\nlog = 'DEBUG'\nlog_format = 'json'",
    )
    .unwrap();
    let config = Config::from(settings);
    assert_eq!(config.listen, [required("[::1]:0".parse().unwrap())]);
    assert_eq!(config.network.to_string(), "10.7.0.0/16");
    assert_eq!((config.max_clients, config.max_frame_len), (5, 70000));
    assert_eq!((config.log, config.log_format), (LevelFilter::DEBUG, LogFormat::Json));
}

#[test]
fn peers_in_the_example_are_good() {
    let lines = EXAMPLE.lines().skip_while(|line| *line != "# [[peer]]");
    let lines = lines.take_while(|line| line.starts_with('#')).map(|line| &line[1..]);
    let peers: String = lines.map(|line| format!("{line}\n")).collect();
    let settings = from_toml(&format!("state = '/x'\n{peers}")).unwrap();
    settings.check().unwrap();
    let [hub, waits_for, published] = &*settings.peers.unwrap() else { panic!() };
    assert_eq!(hub.addr.as_deref(), Some("hub.example:7744"));
    assert_eq!((hub.network.to_string(), hub.networks.len()), ("7.11.0.0/24".to_owned(), 1));
    assert!(hub.key.is_some() && !hub.unauthenticated);
    assert!(waits_for.addr.is_none() && waits_for.key.is_some());
    assert!(published.unauthenticated && published.key.is_none());
}

#[test]
fn bad_peers_are_refused_with_the_line_of_what_is_wrong() {
    const GOOD: &str = "[[peer]]\naddress = 'a'\nnetwork = '7.11.0.x'\n";
    for (text, expected, hint) in [
        ("adress = 'a'", "hub.toml:4: unknown key 'adress'", "did you mean 'address'?"),
        ("timeout = 1", "hub.toml:4: unknown key 'timeout'", "the keys are address, network, key"),
        ("key = 'x'", "hub.toml:4: key: 'x' is not a public key", "'dosp-server peers'"),
        ("networks = ['x']", "hub.toml:4: networks: 'x' is no network", "10.8.0.0/16"),
        ("networks = 'x'", "hub.toml:4: networks: invalid type", "example"),
        (
            "[[peer]]\nnetwork = '7.12.0.x'",
            "hub.toml:4: peer: a peer without address",
            "give the key",
        ),
        (
            "unauthenticated = true\n[[peer]]\nunauthenticated = true\nnetwork = '7.12.0.x'",
            "hub.toml:5: peer: an unauthenticated peer is known by its address",
            "address",
        ),
        (
            "unauthenticated = true\n[[peer]]\nnetwork = '7.12'",
            "hub.toml:6: network: '7.12' is no network",
            "7.11.0.{x}",
        ),
        (
            "unauthenticated = true\n[[peer]]\naddress = ':1'\nnetwork = '7.12.0.x'",
            "hub.toml:6: address: ':1' is no host",
            "hub.example",
        ),
        ("unauthenticated = true\n[[peer]]\naddress = 'a'", "hub.toml:5: peer: missing", "example"),
    ] {
        let error = from_toml(&format!("{GOOD}{text}")).unwrap_err();
        assert!(words(&error).starts_with(expected), "{text}: {}", words(&error));
        assert!(error.hint().contains(hint), "{text}: {}", error.hint());
    }
    let error = from_toml("[peer]\nnetwork = '7.11.0.x'").unwrap_err();
    assert!(words(&error).starts_with("hub.toml:1: peer: invalid type"), "{}", words(&error));
}

#[test]
fn bad_files_are_refused_with_line_key_and_reason() {
    for (text, expected, hint) in [
        ("\nlisen = []", "hub.toml:2: unknown key 'lisen'", "did you mean 'listen'?"),
        ("[server]\nx = 1", "hub.toml:1: unknown key 'server'", "the keys are listen, network"),
        ("log = 'info'\nlog = 'info'", "hub.toml:2: duplicate key", "server.example.toml"),
        ("listen = ", "hub.toml:1: ", "server.example.toml"),
        ("\n\nmax_clients = 'ten'", "hub.toml:3: max_clients: invalid type", "example"),
        ("max_clients = -1", "hub.toml:1: max_clients: invalid value", "example"),
        ("\nlisten = ['x']", "hub.toml:2: listen: 'x' is no address and port", "0.0.0.0:7744"),
        ("listen = []", "hub.toml:1: listen: there is no address", "0.0.0.0:7744"),
        ("network = '7.10.0.9'", "hub.toml:1: network: '7.10.0.9' is no network", "7.10.0.{x}"),
        ("max_clients = 0", "hub.toml:1: max_clients: a hub needs room", "default"),
        ("max_frame_len = 67583", "hub.toml:1: max_frame_len: 67583 bytes is not", "1048576"),
        ("[functions.a]\nexec = []", "hub.toml:1: functions: exec names no", "no shell"),
        ("[functions.a]\nexe = []", "hub.toml:2: unknown field", "example"),
        ("functions.a = {exec=['a'], timeout_s=0}", "hub.toml:1: functions: 0 s is not", "5"),
        ("name = 'a b'", "hub.toml:1: name: 'a b' is no name", "needs no name"),
        ("advertise = ['a b']", "hub.toml:1: advertise: 'a b' is no host", "hub.example"),
        ("log = 'loud'", "hub.toml:1: log: 'loud' is no log level", "debug and trace"),
        ("log_format = 'xml'", "hub.toml:1: log_format: 'xml' is no log format", "human and json"),
    ] {
        let error = from_toml(text).unwrap_err();
        assert!(words(&error).starts_with(expected), "{text}: {}", words(&error));
        assert!(error.hint().contains(hint), "{text}: {}", error.hint());
    }
}

#[test]
fn addresses_that_are_advertised_have_a_port() {
    for (text, expected) in [
        ("hub.example", "hub.example:7744"),
        ("192.0.2.1:80", "192.0.2.1:80"),
        ("[2001:db8::1]", "[2001:db8::1]:7744"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
    ] {
        assert_eq!(parse_advertise(text).as_deref(), Ok(expected));
    }
    let long = "x".repeat(250);
    for text in ["", ":80", "hub:", "hub:0", "hub:x", "2001:db8::1", "[::x]", "a b", &long] {
        assert!(parse_advertise(text).is_err(), "{text}");
    }
}

#[test]
fn keys_that_exclude_each_other_are_refused() {
    for (text, words) in [
        ("closed = true", "'closed' needs 'state'"),
        ("closed = true\nstate = ''", "'closed' needs 'state'"),
        ("compression = true\nstate = '/x'", "'state' and 'compression' exclude each other"),
        (
            "compression = true\npeer = [{address = 'a', network = '7.11.0.x', unauthenticated = true}]",
            "'peer' and 'compression' exclude each other",
        ),
        (
            "peer = [{address = 'a', network = '7.10.0.x', unauthenticated = true}]",
            "the network 7.10.0.0/24 of a peer overlaps this hub's own, 7.10.0.0/24",
        ),
    ] {
        let error = from_toml(text).unwrap().check().unwrap_err();
        assert_eq!(error.to_string(), words);
        assert!(!error.hint().is_empty());
    }
    assert!(from_toml("closed = true\nstate = '/x'").unwrap().check().is_ok());
}

#[test]
fn missing_file_is_named() {
    let error = Settings::from_file(Path::new("/nonexistent/hub.toml")).unwrap_err();
    assert!(words(&error).starts_with("cannot read /nonexistent/hub.toml: No such file"));
}

fn from_env(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
    Settings::from_env(|name| find(name).map(|(_, value)| (*value).to_owned()))
}

#[test]
fn environment_is_read() {
    let settings = from_env(&[
        ("DOSP_HOST", "::1"),
        ("DOSP_PORT", "8000"),
        ("DOSP_IP_TEMPLATE", "10.1.2.x"),
        ("DOSP_PEERS", "10.0.0.50:7744:7.11.0.x"),
        ("DOSP_LOG", "warn"),
        ("DOSP_LOG_FORMAT", "json"),
    ])
    .unwrap();
    assert_eq!(settings.listen, Some(vec![required("[::1]:8000".parse().unwrap())]));
    assert_eq!(settings.network.unwrap().to_string(), "10.1.2.0/24");
    assert_eq!(settings.peers.unwrap()[0].addr.as_deref(), Some("10.0.0.50:7744"));
    assert_eq!(settings.log, Some(LevelFilter::WARN));
    assert_eq!(settings.log_format, Some(LogFormat::Json));
    assert_eq!(from_env(&[("DOSP_PORT", "1")]).unwrap().listen, Some(default_listen(1)));
    assert_eq!(from_env(&[("DOSP_HOST", "")]).unwrap(), Settings::default());
}

#[test]
fn bad_variable_is_named() {
    for (name, value) in [
        ("DOSP_HOST", "localhost"),
        ("DOSP_PORT", "65536"),
        ("DOSP_IP_TEMPLATE", "7.10"),
        ("DOSP_PEERS", "10.0.0.50"),
        ("DOSP_LOG", "loud"),
        ("DOSP_LOG_FORMAT", "xml"),
    ] {
        let error = from_env(&[(name, value)]).unwrap_err();
        assert!(words(&error).starts_with(&format!("{name} in the environment: '{value}' is no")));
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn first_source_wins() {
    let flags = Settings { max_clients: Some(1), ..Settings::default() };
    let file =
        Settings { max_clients: Some(2), max_frame_len: Some(70_000), ..Settings::default() };
    let config = Config::from(flags.or(file));
    assert_eq!((config.max_clients, config.max_frame_len), (1, 70_000));
}
