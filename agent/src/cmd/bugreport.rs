//! `dosp-agent bugreport`: what helps to find a fault, in one text file that is easily read before it is
//! sent. No secret is in it: see [`mask`].

mod mask;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use self::mask::Mask;
use super::doctor::{self, JoinKey, Origin, agent, program};
use crate::config::{NetworkName, Settings};
use crate::failure::{Exit, Failure};

/// Stands for standard output.
const STDOUT: &str = "-";
/// As much of a log is taken from its end, in bytes: as much as is kept of one.
const MAX_LOG_LEN: u64 = 1024 * 1024;
/// What is taken of the journal; a busy agent writes a few lines an hour.
const JOURNAL: [&str; 5] = ["--no-pager", "-n", "2000", "--output=short-iso", "-u"];

/// A heading and the text below it.
type Section = (&'static str, String);

/// Writes the report to `file`, or to one with the time in its name.
pub(crate) async fn run(
    file: Option<&Path>,
    settings: Settings,
    origin: Origin,
) -> Result<(), Failure> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let mask = Mask::of(&settings);
    let sections = gather(settings, &origin).await;
    let report = mask.apply(&text(&now, &sections));
    if file.is_some_and(|file| file.as_os_str() == STDOUT) {
        return super::status::print(report);
    }
    let named = format!("dosp-bugreport-{}.txt", now.replace([':', '-'], ""));
    let path = file.unwrap_or(Path::new(&named));
    let write = || {
        let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        made.write_all(report.as_bytes())
    };
    write().map_err(|error| {
        Failure::new(Exit::Failed, error)
            .context(format!("write {}", path.display()))
            .hint("name another file, or - for standard output")
    })?;
    let words =
        format!("{} is written; it is plain text: read it before you send it\n", path.display());
    Ok(std::io::stderr().write_all(words.as_bytes())?)
}

fn text(now: &str, sections: &[Section]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "A bug report of dosp-agent {version}, made at {now}.\n\n\
         READ IT BEFORE YOU SEND IT. It holds what this host and its network are called, addresses and \
         routes\nof this host, names, vIPs and fingerprints of members, and the agent's log. It holds no \
         key, no secret\nand no join string: where one would stand it says {}.\n",
        mask::MASK
    );
    for (heading, body) in sections {
        let body = body.trim_end();
        text.push_str(&format!("\n===== {heading} =====\n{body}\n"));
    }
    text
}

async fn gather(settings: Settings, origin: &Origin) -> Vec<Section> {
    let read = |path: &str| {
        std::fs::read_to_string(path).unwrap_or_else(|error| format!("{path}: {error}"))
    };
    let (status, peers) = of_agent(&settings).await;
    let wrong = origin.wrong.as_ref().map(Failure::words).unwrap_or_default();
    let file = origin.file.as_deref().map(|file| file.display().to_string());
    let file = file.unwrap_or_else(|| "no file".to_owned());
    let mut sections = vec![
        ("version", format!("dosp-agent {}", env!("CARGO_PKG_VERSION"))),
        ("kernel", read("/proc/version") + &read("/etc/os-release")),
        ("configuration", format!("{file}\n{wrong}\n{settings:#?}")),
        ("status", status),
        ("peers", peers),
    ];
    let log = settings.socket().with_extension("log");
    let findings = doctor::examine(settings, origin, JoinKey::Keep).await;
    sections.push(("doctor", findings.text(false)));
    sections.push(("doctor --json", pretty(&findings.json())));
    for (heading, arguments) in [
        ("ip addr", &["addr"][..]),
        ("ip route", &["route", "show", "table", "all"]),
        ("ip rule", &["rule"]),
        ("ip -6 rule", &["-6", "rule"]),
        ("ip -s link", &["-s", "link"]),
    ] {
        sections.push((heading, printed("ip", arguments).await));
    }
    sections.push(("log, the older part", tail(&log.with_extension("log.1"))));
    sections.push(("log", tail(&log)));
    let unit = unit(origin.network.as_ref());
    let journal = [&JOURNAL[..], &[&unit]].concat();
    sections.push(("journal", printed("journalctl", &journal).await));
    sections
}

/// Whose journal it is.
fn unit(network: Option<&NetworkName>) -> String {
    network.map_or_else(|| "dosp-agent".to_owned(), NetworkName::unit)
}

async fn of_agent(settings: &Settings) -> (String, String) {
    match agent::ask(&settings.socket()).await {
        Ok(status) => {
            let said = serde_json::to_value(&status).unwrap_or_default();
            (pretty(&said), super::status::table(&status))
        }
        Err(error) => {
            let why = Failure::from(error).words();
            (why.clone(), why)
        }
    }
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

async fn printed(program: &str, arguments: &[&str]) -> String {
    let printed = program::run(program, arguments).await;
    printed.unwrap_or_else(|error| format!("{program}: {error}"))
}

/// The end of a file; why there is none.
fn tail(path: &Path) -> String {
    let read = || {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(MAX_LOG_LEN)))?;
        let mut text = Vec::new();
        file.take(MAX_LOG_LEN).read_to_end(&mut text)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&text).into_owned())
    };
    read().unwrap_or_else(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_begins_with_what_it_holds_and_has_its_sections_apart() {
        let sections = [("a", "1\n\n".to_owned()), ("b", String::new())];
        let text = text("2026-11-29T12:00:00Z", &sections);
        assert!(text.contains("READ IT BEFORE YOU SEND IT"), "{text}");
        assert!(text.ends_with("\n\n===== a =====\n1\n\n===== b =====\n\n"), "{text}");
    }

    #[test]
    fn journal_is_that_of_the_network_s_own_unit() {
        assert_eq!(unit(None), "dosp-agent");
        assert_eq!(unit(Some(&"work".parse().unwrap())), "dosp-agent@work");
    }

    #[test]
    fn tail_of_a_long_log_is_its_end() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("agent.log");
        assert!(tail(&path).contains("agent.log: "), "{}", tail(&path));
        let text = "x".repeat(usize::try_from(MAX_LOG_LEN).unwrap()) + "end";
        std::fs::write(&path, &text).unwrap();
        assert_eq!(tail(&path), text[3..]);
    }
}
