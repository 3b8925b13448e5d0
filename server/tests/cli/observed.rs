//! What others see of a hub that runs: its log, for people, machines and the journal, and its figures.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Hub, dosp_server, next_line_with, stderr};

/// A hub that is loaded heavily says within this what it has to say.
const PATIENCE: Duration = Duration::from_secs(20);

/// A hub whose standard error is a file, and what it wrote there until it listened.
fn log_in_file(args: &[&str], environment: impl Fn(&mut Command, &File)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = File::create(&path).unwrap();
    let mut command = dosp_server(&[&["--listen", "127.0.0.1:0"], args].concat());
    environment(&mut command, &log);
    let mut child = command.stderr(log).spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    let text = loop {
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("this hub is open") || Instant::now() > until {
            break text;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(text.contains("this hub is open"), "{text}");
    text
}

fn journal_stream(command: &mut Command, log: &File) {
    let metadata = log.metadata().unwrap();
    command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()));
}

#[test]
fn journal_gets_priorities_and_no_times() {
    let text = log_in_file(&[], journal_stream);
    for line in text.lines() {
        let is_known = line.starts_with("<6> INFO ") || line.starts_with("<4> WARN ");
        assert!(is_known, "{line}");
    }
    assert!(text.contains("<6> INFO listening addr=127.0.0.1:"), "{text}");
    let text = log_in_file(&[], |command, log| {
        let metadata = log.metadata().unwrap();
        command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino() + 1));
    });
    assert!(!text.contains('<') && text.starts_with("20"), "somebody else's journal: {text}");
}

#[test]
fn json_has_its_fields_on_one_level() {
    let text = log_in_file(&["--log-format", "json", "--log", "debug"], |_, _| {});
    for line in text.lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let object = object.as_object().unwrap();
        let time = object["timestamp"].as_str().unwrap();
        assert!(time.len() == 27 && time.ends_with('Z') && time.contains('T'), "{line}");
        assert!(["WARN", "INFO", "DEBUG"].contains(&object["level"].as_str().unwrap()), "{line}");
        assert!(!object["message"].as_str().unwrap().is_empty(), "{line}");
        let is_flat = |(name, value): (&String, &Value)| name == "span" || !value.is_object();
        assert!(object.iter().all(is_flat), "{line}");
    }
    let open = text.lines().find(|line| line.contains("this hub is open")).unwrap();
    let open: Value = serde_json::from_str(open).unwrap();
    assert_eq!((&open["level"], &open["network"]), (&"WARN".into(), &"7.10.0.0/24".into()));
}

#[test]
fn connections_without_end_do_not_fill_the_log() {
    let mut hub = Hub::start(&mut dosp_server(&["--listen", "127.0.0.1:0"]));
    let (addr, is_told) = (hub.addr.clone(), AtomicBool::new(false));
    let (num_connections, num_lines, unlogged) = std::thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let (mut count, until) = (0, Instant::now() + PATIENCE);
            while !is_told.load(Ordering::Relaxed) && Instant::now() < until {
                TcpStream::connect(&addr).unwrap().read_exact(&mut [0; 21]).unwrap();
                count += 1;
            }
            count
        });
        let mut num_lines = 0;
        let line = loop {
            let line = next_line_with(&mut hub.log, "session up");
            num_lines += 1;
            if line.contains("num_unlogged=") {
                break line;
            }
        };
        is_told.store(true, Ordering::Relaxed);
        let count = line.trim_end().rsplit_once("num_unlogged=").unwrap().1.parse::<u64>().unwrap();
        (connecting.join().unwrap(), num_lines, count)
    });
    assert!(unlogged > 0 && num_lines + unlogged <= num_connections, "{num_lines} + {unlogged}");
    assert!(num_lines >= 100, "a burst is logged: {num_lines}");
}

/// What the hub answers there.
fn ask(addr: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn figures_are_served_when_asked_for_and_the_address_is_one_hubs_alone() {
    let args = ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"];
    let mut child = dosp_server(&args).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let line = next_line_with(&mut log, " INFO metrics addr=");
    let addr = line.split("addr=").nth(1).unwrap().trim().to_owned();
    next_line_with(&mut log, "listening");
    let answer = ask(&addr, "GET /metrics HTTP/1.1\r\n\r\n");
    let lost = ask(&addr, "GET / HTTP/1.1\r\n\r\n");

    // By the environment, and it is taken.
    let mut second = dosp_server(&["--listen", "127.0.0.1:0"]);
    let refused = second.env("DOSP_METRICS", &addr).output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\ndosp_hub_sessions 0\n"), "{answer}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(answer.contains(&format!("{{version=\"{version}\"}} 1\n")), "{answer}");
    assert!(lost.starts_with("HTTP/1.1 404 "), "{lost}");
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    let expected = format!("dosp-server: serve metrics on {addr}: Address already in use");
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("\nhint: another program has it"), "{said}");
}
