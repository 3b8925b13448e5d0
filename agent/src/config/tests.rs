use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::cli::Cli;

/// Of the bytes 0 to 31, and of 32 twos.
const SECRETS: [&str; 2] = [
    "dosps1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh_yq62c",
    "dosps1:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgJTv5i9",
];

fn parse(text: &str) -> Result<Settings, ConfigError> {
    Settings::parse(text, Path::new("agent.toml"))
}

fn secrets(of: &[usize]) -> Vec<NetworkSecret> {
    of.iter().map(|number| SECRETS[*number].parse().unwrap()).collect()
}

/// A file of this content and mode.
fn file(dir: &TempDir, content: &str, mode: u32) -> PathBuf {
    let path = dir.path().join("file");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

fn from_secret_file(content: &str, mode: u32) -> Result<Vec<NetworkSecret>, ConfigError> {
    let dir = TempDir::new().unwrap();
    let secret_file = Some(file(&dir, content, mode));
    Settings { secret_file, ..Settings::default() }.secrets()
}

/// `example`, with the settings that its comments show.
fn uncommented(example: &str) -> String {
    let setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
    let lines: Vec<_> = example.lines().filter(setting).collect();
    lines.join("\n").replace('#', "")
}

#[test]
fn example_file_shows_every_key_with_its_default() {
    let example = include_str!("../../agent.example.toml");
    assert_eq!(parse(example).unwrap(), Settings::default(), "all is commented out");
    let shown = parse(&uncommented(example)).unwrap();
    assert_eq!((shown.tun(), shown.mtu()), (DEFAULT_TUN, Some(DEFAULT_MTU)));
    assert_eq!(shown.socket(), Path::new(DEFAULT_SOCKET));
    assert_eq!((shown.force, shown.shields_up), (Some(false), Some(false)));
    assert_eq!((shown.hosts, Settings::default().hosts()), (Some(true), true));
    assert_eq!((shown.offload, Settings::default().offloads()), (Some(true), Offloads::ALL));
    assert_eq!((shown.log.as_deref(), shown.log_format), (Some("info"), Some(LogFormat::Human)));
    assert_eq!(shown.state(), Path::new(DEFAULT_STATE));
    let policies = (shown.c2c, shown.version1, shown.trust);
    let defaults = (C2c::default(), Version1::default(), TrustPolicy::default());
    assert_eq!(policies, (Some(defaults.0), Some(defaults.1), Some(defaults.2)));
    assert!(shown.hub.is_some() && shown.vip.is_some() && shown.name.is_some());
    assert!(shown.metrics.is_some_and(|addr| addr.ip().is_loopback()));
    assert!(shown.secret_file.is_some() && example.contains("secret = \"dosps1:...\""));
}

#[test]
fn example_file_names_every_key() {
    let example = include_str!("../../agent.example.toml");
    let Err(ConfigError::Parse { message, .. }) = parse("no_key = 1") else { panic!() };
    let keys: Vec<_> = message.split('`').skip(3).step_by(2).collect();
    assert!(keys.len() > 18 && keys.contains(&"log_format"), "{message}");
    for key in keys {
        let names =
            |line: &str| line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} ="));
        assert!(example.lines().any(names), "{key}");
    }
}

#[test]
fn errors_name_file_line_and_the_nearest_key() {
    let error = parse("hub = \"h\"\nmtuu = 1400\n").unwrap_err();
    assert!(error.to_string().starts_with("agent.toml, line 2: unknown field `mtuu`"), "{error}");
    let ConfigError::Parse { nearest, .. } = error else { panic!() };
    assert_eq!(nearest.as_deref(), Some("mtu"));
    for (text, line) in [("\n\nmtu = \"x\"", 3), ("vip = \"bob\"", 1), ("hub", 1), ("a b", 1)] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("agent.toml, line {line}: ")), "{text}: {error}");
    }
}

#[test]
fn flag_beats_environment_beats_file() {
    let flag = Settings { mtu: Some(1), ..Settings::default() };
    let vars = |name| (name == "DOSP_VIP").then(|| "7.10.0.9".to_owned());
    let environment = Settings::from_environment(vars).unwrap();
    let file = parse("mtu = 2\nvip = \"7.10.0.2\"\ntun = \"t\"").unwrap();
    let settings = flag.or(environment).or(file);
    assert_eq!((settings.mtu, settings.tun()), (Some(1), "t"));
    assert_eq!(settings.vip, "7.10.0.9".parse().ok());
}

#[test]
fn published_variables_name_the_hub() {
    for (host, port, hub) in
        [("h", None, "h"), ("h", Some("1"), "h:1"), ("2001:db8::1", Some("1"), "[2001:db8::1]:1")]
    {
        let settings = Settings::from_environment(|name| match name {
            "DOSP_HOST" => Some(host.to_owned()),
            "DOSP_PORT" => port.map(str::to_owned),
            _ => None,
        });
        assert_eq!(settings.unwrap().hub.as_deref(), Some(hub));
    }
    let error = Settings::from_environment(|name| (name == "DOSP_VIP").then(|| "x".to_owned()));
    assert!(error.unwrap_err().to_string().contains("DOSP_VIP"));
}

#[test]
fn every_policy_has_a_name() {
    let settings = parse("c2c = \"v1\"\nversion1 = \"off\"\ntrust = \"pinned\"").unwrap();
    let policies = (settings.c2c(), settings.version1(), settings.trust());
    assert_eq!(policies, (C2c::V1, Version1::Off, TrustPolicy::Pinned));
    assert_eq!(parse("version1 = \"all\"").unwrap().version1(), Version1::All);
    for text in ["c2c = \"v3\"", "version1 = \"\"", "trust = \"Pinned\"", "name = \"a_b\""] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn flags_set_what_the_file_sets() {
    let up = "up hub --name Bob --secret-file s --c2c v1 --version1 off --trust pinned --state d --no-hosts --no-offload";
    let flags = Cli::parse_from(["dosp-agent"].into_iter().chain(up.split(' '))).settings();
    let file = "hub = \"hub\"\nname = \"bob\"\nsecret_file = \"s\"\nc2c = \"v1\"\n\
                version1 = \"off\"\ntrust = \"pinned\"\nstate = \"d\"\nhosts = false\noffload = false";
    assert_eq!(flags, parse(file).unwrap());
    for command in ["send hub x", "listen", "clients", "info", "call time"] {
        let line = format!("dosp-agent {command} --hub hub --secret-file s");
        let settings = Cli::parse_from(line.split(' ')).settings();
        assert_eq!(settings.secret_file.as_deref(), Some(Path::new("s")), "{command}");
        let alone = format!("dosp-agent {command} --secret-file s");
        assert!(Cli::try_parse_from(alone.split(' ')).is_err(), "{command}: --hub is missing");
    }
}

#[test]
fn variables_set_what_the_file_sets() {
    let settings = Settings::from_environment(|name| match name {
        "DOSP_NAME" => Some("Bob".to_owned()),
        "DOSP_SECRET" => Some(SECRETS[0].to_owned()),
        "DOSP_STATE" => Some("d".to_owned()),
        _ => None,
    });
    let file = format!("name = \"bob\"\nsecret = \"{}\"\nstate = \"d\"", SECRETS[0]);
    assert_eq!(settings.unwrap(), parse(&file).unwrap());
    for (variable, text) in [("DOSP_NAME", "a b"), ("DOSP_SECRET", "words"), ("DOSP_SECRET", "")] {
        let vars = |name| (name == variable).then(|| text.to_owned());
        let error = Settings::from_environment(vars).unwrap_err().to_string();
        assert!(error.contains(variable), "{error}");
    }
}

#[test]
fn name_is_the_hosts_own_where_none_is_set() {
    assert_eq!(parse("name = \"Bob\"").unwrap().name(), "bob".parse().ok());
    let host = nix::unistd::gethostname().unwrap();
    assert_eq!(Settings::default().name(), Label::of_host(host.to_str().unwrap()));
}

#[test]
fn secret_is_one_or_a_list_of_two() {
    let [first, second] = SECRETS;
    for (text, of) in [
        (format!("secret = \"{first}\""), &[0][..]),
        (format!("secret = [\"{second}\"]"), &[1]),
        (format!("secret = [\"{second}\",\n\"{first}\"]"), &[1, 0]),
        (String::new(), &[]),
    ] {
        assert_eq!(parse(&text).unwrap().secrets().unwrap(), secrets(of), "{text}");
    }
    let three = format!("secret = [\"{first}\", \"{second}\", \"{first}\"]");
    for text in ["secret = []", "secret = 5", "secret = \"words\"", "secret = [5]", &three] {
        let error = parse(&format!("\n{text}")).unwrap_err().to_string();
        assert!(error.starts_with("agent.toml, line 2: "), "{text}: {error}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let [first, second] = SECRETS;
    let settings = parse(&format!("secret = [\"{first}\", \"{second}\"]")).unwrap();
    let shown = format!("{settings:?}");
    assert!(shown.contains("NetworkSecret") && !shown.contains("AAEC"), "{shown}");
    let damaged = first.replace("DA0", "DAA");
    for text in [
        format!("secret = \"{damaged}\""),
        format!("secret = {first}"),
        format!("secret = \"{first}"),
        format!("secret = [\"{first}\", 5]"),
        format!("secret = {{ a = \"{first}\" }}"),
    ] {
        let error = parse(&text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("AAEC"), "{shown}");
    }
    let error = from_secret_file(&damaged, 0o600).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("AAEC"));
}

#[test]
fn secret_file_has_one_or_two_lines() {
    let [first, second] = SECRETS;
    let both = format!("# the new one\n{second}\r\n\n  {first}");
    assert_eq!(from_secret_file(&both, 0o600).unwrap(), secrets(&[1, 0]));
    assert_eq!(from_secret_file(first, 0o400).unwrap(), secrets(&[0]));
    for (content, words) in [
        (String::new(), "holds 0 network secrets"),
        ("# none\n\n".to_owned(), "holds 0 network secrets"),
        (format!("{first}\n{second}\n{first}\n"), "holds 3 network secrets"),
        (format!("{first}\n\nwords\n"), "file, line 3"),
        (format!("{first} {second}"), "file, line 1"),
        ("#".repeat(70_000), "read "),
    ] {
        let error = from_secret_file(&content, 0o600).unwrap_err().to_string();
        assert!(error.contains(words), "{content}: {error}");
    }
    let nowhere = Settings { secret_file: Some("/nowhere".into()), ..Settings::default() };
    assert!(nowhere.secrets().unwrap_err().to_string().contains("/nowhere"));
}

#[test]
fn files_with_secrets_are_for_their_owner_alone() {
    let with_secret = format!("secret = \"{}\"", SECRETS[0]);
    let dir = TempDir::new().unwrap();
    for mode in [0o644, 0o640, 0o604, 0o620] {
        let errors = [
            from_secret_file(SECRETS[0], mode).unwrap_err(),
            Settings::from_file(&file(&dir, &with_secret, mode)).unwrap_err(),
        ];
        for error in errors {
            let ConfigError::Private(exposed) = &error else { panic!("{error}") };
            assert!(exposed.to_string().ends_with(&format!("its mode is {mode:04o}")));
            assert!(exposed.hint().starts_with("chmod 600 /"), "{}", exposed.hint());
        }
        Settings::from_file(&file(&dir, "mtu = 1400", mode)).unwrap();
    }
    let settings = Settings::from_file(&file(&dir, &with_secret, 0o600)).unwrap();
    assert_eq!(settings.secrets().unwrap(), secrets(&[0]));
}

#[test]
fn secret_of_one_place_hides_that_of_the_next_in_whatever_form() {
    let file = parse(&format!("secret = \"{}\"", SECRETS[0])).unwrap();
    let flag = Settings { secret_file: Some("/nowhere".into()), ..Settings::default() };
    let settings = flag.clone().or(file.clone());
    assert_eq!((settings.secret, settings.secret_file), (None, flag.secret_file.clone()));
    let settings = file.clone().or(flag.clone());
    assert_eq!(settings.secrets().unwrap(), secrets(&[0]));
    let both = Settings { secret: file.secret, ..flag };
    assert!(matches!(both.secrets(), Err(ConfigError::SecretTwice)));
}
