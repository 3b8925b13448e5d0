//! What a check has found, in words and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::NetworkName;
use crate::failure::{Exit, Failure};

/// What is looked at, in the order in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    Configuration,
    Agent,
    Dns,
    Tcp,
    Protocol,
    Join,
    Clock,
    Tun,
    Routes,
    Mtu,
    Names,
    Firewall,
    Congestion,
    Offload,
}

impl Check {
    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Agent => "agent",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Protocol => "protocol",
            Self::Join => "join",
            Self::Clock => "clock",
            Self::Tun => "tun",
            Self::Routes => "routes",
            Self::Mtu => "mtu",
            Self::Names => "names",
            Self::Firewall => "firewall",
            Self::Congestion => "congestion",
            Self::Offload => "offload",
        }
    }
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    /// It works, and somebody should look.
    Warn,
    /// It does not work; with what the command exits.
    Fail(Exit),
    /// Nobody has looked, and the words say why.
    Skipped,
}

impl Verdict {
    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail(_) => "fail",
            Self::Skipped => "skipped",
        }
    }

    /// The code of its colour on a terminal (ECMA-48, SGR).
    const fn colour(self) -> u8 {
        match self {
            Self::Ok => 32,
            Self::Warn => 33,
            Self::Fail(_) => 31,
            Self::Skipped => 2,
        }
    }
}

/// One line of a doctor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    pub(crate) verdict: Verdict,
    /// What is so, or why nobody has looked.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) fix: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: Check, what: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, what: what.into(), fix: None }
    }

    pub(crate) fn skipped(check: Check, why: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Skipped, what: why.into(), fix: None }
    }

    pub(crate) fn warn(check: Check, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, what: what.into(), fix: Some(fix.into()) }
    }

    pub(crate) fn fail(
        check: Check,
        exit: Exit,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { check, verdict: Verdict::Fail(exit), what: what.into(), fix: Some(fix.into()) }
    }

    /// What a command that does the same would end with.
    pub(crate) fn failure(check: Check, failure: &Failure) -> Self {
        let fix = failure.advice().map(str::to_owned);
        Self { check, verdict: Verdict::Fail(failure.exit()), what: failure.words(), fix }
    }

    /// Makes its commands those of this network of several.
    pub(crate) fn in_commands_of(&mut self, network: &NetworkName) {
        self.what = network.in_commands(&self.what);
        self.fix = self.fix.take().map(|fix| network.in_commands(&fix));
    }

    fn line(&self, coloured: bool) -> String {
        let (word, check) = (self.verdict.name(), self.check.name());
        let mut line = if coloured {
            format!("\u{1b}[{}m{word:<8}\u{1b}[0m{check:<14} ", self.verdict.colour())
        } else {
            format!("{word:<8}{check:<14} ")
        };
        // A line is a check, whatever others say in it.
        line.push_str(&self.what.replace('\n', " "));
        if let Some(fix) = &self.fix {
            // Writing to a String cannot fail.
            write!(line, "; fix: {}", fix.replace('\n', " ")).ok();
        }
        line + "\n"
    }
}

/// All that was found.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The hub, where one is known.
    pub(crate) hub: Option<String>,
    /// In the order of the checks.
    pub(crate) all: Vec<Finding>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Findings {
    pub(crate) fn new(hub: Option<String>, mut all: Vec<Finding>, took: Duration) -> Self {
        all.sort_by_key(|finding| finding.check);
        Self { hub, all, took }
    }

    /// What the first check that failed exits with.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.all.iter().find_map(|finding| match finding.verdict {
            Verdict::Fail(exit) => Some(exit),
            Verdict::Ok | Verdict::Warn | Verdict::Skipped => None,
        })
    }

    /// How many have this verdict's word.
    pub(crate) fn count(&self, word: &str) -> usize {
        self.all.iter().filter(|finding| finding.verdict.name() == word).count()
    }

    /// A line a check.
    pub(crate) fn text(&self, coloured: bool) -> String {
        self.all.iter().map(|finding| finding.line(coloured)).collect()
    }

    /// `dosp.doctor/1`.
    pub(crate) fn json(&self) -> Value {
        let checks: Vec<_> = self.all.iter().map(check_json).collect();
        let result = match (self.exit(), self.count("warn")) {
            (Some(_), _) => "fail",
            (None, 0) => "ok",
            (None, _) => "warn",
        };
        json!({
            "schema": "dosp.doctor/1",
            "version": env!("CARGO_PKG_VERSION"),
            "hub": self.hub,
            "result": result,
            "exit": self.exit().map_or(0, |exit| exit as u8),
            "took_ns": u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX),
            "checks": checks,
        })
    }
}

fn check_json(finding: &Finding) -> Value {
    json!({
        "check": finding.check.name(),
        "result": finding.verdict.name(),
        "what": finding.what,
        "fix": finding.fix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let all = vec![
            Finding::fail(Check::Join, Exit::Refused, "no", "ask"),
            Finding::fail(Check::Tcp, Exit::NotReachable, "gone\naway", "start it"),
            Finding::warn(Check::Clock, "late", "set it"),
            Finding::ok(Check::Configuration, "good"),
            Finding::skipped(Check::Names, "no agent runs"),
        ];
        Findings::new(Some("hub:7744".to_owned()), all, Duration::from_millis(2))
    }

    #[test]
    fn first_failure_in_the_order_of_the_checks_decides() {
        assert_eq!(findings().exit(), Some(Exit::NotReachable));
        let mut fine = findings();
        fine.all.retain(|finding| !matches!(finding.verdict, Verdict::Fail(_)));
        assert_eq!((fine.exit(), fine.json()["result"].as_str()), (None, Some("warn")));
        fine.all.retain(|finding| finding.verdict != Verdict::Warn);
        assert_eq!(fine.json()["result"], "ok");
    }

    #[test]
    fn findings_as_text_and_as_json() {
        let expected = "\
ok      configuration  good
fail    tcp            gone away; fix: start it
fail    join           no; fix: ask
warn    clock          late; fix: set it
skipped names          no agent runs
";
        assert_eq!(findings().text(false), expected);
        assert!(findings().text(true).starts_with("\u{1b}[32mok      \u{1b}[0mconfiguration"));
        let expected = json!({
            "schema": "dosp.doctor/1", "version": env!("CARGO_PKG_VERSION"), "hub": "hub:7744",
            "result": "fail", "exit": 3, "took_ns": 2_000_000,
            "checks": [
                {"check": "configuration", "result": "ok", "what": "good", "fix": null},
                {"check": "tcp", "result": "fail", "what": "gone\naway", "fix": "start it"},
                {"check": "join", "result": "fail", "what": "no", "fix": "ask"},
                {"check": "clock", "result": "warn", "what": "late", "fix": "set it"},
                {"check": "names", "result": "skipped", "what": "no agent runs", "fix": null},
            ],
        });
        assert_eq!(findings().json(), expected);
    }
}
