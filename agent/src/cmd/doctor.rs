//! `dosp-agent doctor`: what is wrong between here and there, one line a check, with the fix.
//!
//! Each check gathers facts in one function and judges them in another, which does no I/O. What the hub
//! says and what this host says are looked at side by side; a check whose ground is missing is skipped.

mod congestion;
mod dial;
mod entry;
mod finding;
mod firewall;
mod greeting;
mod hub;
mod interface;
mod mtu;
mod names;
pub(super) mod program;
mod routes;
mod ruleset;
mod time;

use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::timeout;

pub(crate) use self::finding::Findings;
use self::finding::{Check, Finding};
use self::hub::HubSide;
use self::routes::Networks;
use super::network::Network;
use crate::clock;
use crate::config::Settings;
use crate::control::wire::Status;
use crate::control::{Client, ControlError};
use crate::failure::Failure;

/// An agent that lives answers at once.
const AGENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the settings come from, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The configuration file, where there is one.
    pub(crate) file: Option<PathBuf>,
    /// Why a part of the settings is not known.
    pub(crate) wrong: Option<Failure>,
}

/// `dosp-agent doctor`.
pub(crate) async fn run(json: bool, settings: Settings, origin: Origin) -> Result<(), Failure> {
    let findings = examine(settings, &origin).await;
    let text = if json {
        super::status::json(&findings.json())?
    } else {
        let stdout = std::io::stdout();
        findings.text(stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none())
    };
    super::status::print(text)?;
    match findings.exit() {
        None => Ok(()),
        Some(exit) => {
            let failed = findings.count("fail");
            let all = findings.all.len();
            Err(Failure::text(exit, format!("{failed} of {all} checks failed")))
        }
    }
}

/// Runs all checks.
pub(crate) async fn examine(mut settings: Settings, origin: &Origin) -> Findings {
    let started_at = Instant::now();
    let progress = Progress::start();
    progress.say("the configuration, and the running agent");
    let asked = timeout(AGENT_TIMEOUT, ask(&settings)).await;
    let asked = asked.unwrap_or(Err(ControlError::Ended));
    if let (Ok(status), Err(_)) = (&asked, find(&settings)) {
        // It may have been named on the agent's command line alone.
        settings.hub = settings.hub.or_else(|| Some(status.hub.clone()));
    }
    let network = find(&settings);
    let (agent, status) = judge_agent(asked, &settings, network.as_ref().ok());
    let mut all = vec![judge_configuration(&settings, origin, network.as_ref()), agent];
    let network = network.ok();
    let (hub, host) = tokio::join!(
        hub::look(network.as_ref(), &settings, status.as_ref(), &progress),
        look_at_host(&settings, status.as_ref()),
    );
    let (routes, overlaps) = look_at_routes(&settings, status.as_ref(), &hub).await;
    all.push(routes);
    all.extend(host.into_findings(&settings, status.as_ref(), overlaps));
    all.push(judge_clock(&hub, status.as_ref()));
    all.push(judge_mtu(&hub, status.as_ref()));
    all.extend(hub.findings);
    progress.end();
    Findings::new(network.map(|network| network.hub()), all, started_at.elapsed())
}

/// The network that is meant. What was joined may not be for this user to read, and a named hub is
/// looked at all the same.
fn find(settings: &Settings) -> Result<Network, Failure> {
    match settings.hub_addr()? {
        Some(hub) => Network::at(hub, settings),
        None => Network::of(settings),
    }
}

async fn ask(settings: &Settings) -> Result<Status, ControlError> {
    Client::connect(&settings.socket()).await?.status().await
}

/// Whether an agent runs; its status, where it is in the network that is meant.
fn judge_agent(
    asked: Result<Status, ControlError>,
    settings: &Settings,
    network: Option<&Network>,
) -> (Finding, Option<Status>) {
    let check = Check::Agent;
    let status = match asked {
        Ok(status) => status,
        Err(ControlError::NotRunning { .. }) => {
            return (Finding::skipped(check, "none runs: 'dosp-agent up' starts one"), None);
        }
        Err(ControlError::Forbidden { .. }) => {
            let why = "this user may not ask it: run as root, or as a member of the group dosp";
            return (Finding::skipped(check, why), None);
        }
        Err(error) => return (Finding::failure(check, &error.into()), None),
    };
    let own = Settings { hub: Some(status.hub.clone()), ..settings.clone() };
    let own = find(&own).ok().map(|own| own.folder);
    if network.is_some_and(|network| own.as_ref() != Some(&network.folder)) {
        let why = format!("the running one is at another hub, {}", status.hub);
        return (Finding::skipped(check, why), None);
    }
    let (runs, here) = (&status.version, env!("CARGO_PKG_VERSION"));
    let finding = if runs == here {
        Finding::ok(check, format!("version {runs} runs, at {}", status.hub))
    } else {
        let what = format!("version {runs} runs, and this program is {here}");
        Finding::warn(check, what, "start the agent again")
    };
    (finding, Some(status))
}

/// Whether all that a running agent needs to be told can be read.
fn judge_configuration(
    settings: &Settings,
    origin: &Origin,
    network: Result<&Network, &Failure>,
) -> Finding {
    let check = Check::Configuration;
    if let Some(wrong) = &origin.wrong {
        return Finding::failure(check, wrong);
    }
    if let Err(wrong) = super::mtu(settings) {
        return Finding::failure(check, &wrong);
    }
    if let Err(wrong) = settings.secrets() {
        return Finding::failure(check, &wrong.into());
    }
    match network {
        Err(wrong) => Finding::failure(check, wrong),
        Ok(network) => {
            let file = origin.file.as_deref().map(Path::display);
            let file = file.map_or("no file".to_owned(), |file| file.to_string());
            let how = if network.join.is_some() { "joined" } else { "named" };
            Finding::ok(check, format!("{file}; the hub is {}, {how}", network.hub()))
        }
    }
}

/// What is known of this host alone.
#[derive(Debug)]
struct HostSide {
    interface: interface::Interface,
    names: names::Names,
    firewall: firewall::Firewall,
    congestion: Vec<congestion::Tried>,
}

async fn look_at_host(settings: &Settings, status: Option<&Status>) -> HostSide {
    let tun = status.and_then(|status| status.tun.as_deref()).unwrap_or(settings.tun());
    let (names, firewall) =
        tokio::join!(names::look(settings.hosts(), settings.tun(), status), firewall::look(tun));
    HostSide {
        interface: interface::look(settings, status),
        names,
        firewall,
        congestion: congestion::look(settings.congestion.unwrap_or_default()),
    }
}

impl HostSide {
    fn into_findings(
        self,
        settings: &Settings,
        status: Option<&Status>,
        overlaps: bool,
    ) -> [Finding; 5] {
        let wants_offload = settings.offload.unwrap_or(true);
        [
            interface::judge_tun(&self.interface),
            interface::judge_offload(&self.interface, wants_offload),
            names::judge(&self.names),
            firewall::judge(&self.firewall, overlaps),
            congestion::judge(settings.congestion.unwrap_or_default(), &self.congestion, status),
        ]
    }
}

/// Also tells whether something is in the way.
async fn look_at_routes(
    settings: &Settings,
    status: Option<&Status>,
    hub: &HubSide,
) -> (Finding, bool) {
    let check = Check::Routes;
    let tun = status.and_then(|status| status.tun.as_deref()).unwrap_or(settings.tun()).to_owned();
    let at: Option<IpAddr> = hub.addr.map(|addr| addr.ip());
    let networks = match (status.and_then(|status| Some((status.network?, status))), &hub.entry) {
        (Some((own, status)), _) => {
            let others = status.networks.iter().map(|other| other.network).collect();
            Networks { own, others, hub: at, tun }
        }
        (None, Some(entry)) => {
            let others = entry.others.iter().map(|other| other.network).collect();
            Networks { own: entry.joined.network, others, hub: at, tun }
        }
        (None, None) => {
            let why = "the network is known once the hub lets this host in";
            return (Finding::skipped(check, why), false);
        }
    };
    match routes::look(&networks).await {
        Ok(overlaps) => {
            let forced = settings.force.unwrap_or_default();
            (routes::judge(&networks, &overlaps, forced), !overlaps.is_empty())
        }
        Err(error) => (Finding::failure(check, &error.into()), false),
    }
}

fn judge_clock(hub: &HubSide, status: Option<&Status>) -> Finding {
    let now = clock::now().unix_time;
    let by_agent = status.and_then(|status| status.hub_time).map(|theirs| (now, theirs));
    match hub.clocks.or(by_agent) {
        Some((ours, theirs)) => time::judge(ours, Some(theirs)),
        None => time::judge(now, None),
    }
}

fn judge_mtu(hub: &HubSide, status: Option<&Status>) -> Finding {
    let interface = status.and_then(|status| {
        let is = mtu::of_interface(status.tun.as_deref()?)?;
        Some((is, u32::from(status.mtu?)))
    });
    let (path, segment) = hub.lengths;
    mtu::judge(mtu::Lengths { path, segment, large: hub.large, tun: interface })
}

/// What is going on, for whoever waits at a terminal.
#[derive(Debug)]
struct Progress {
    is_shown: bool,
}

impl Progress {
    fn start() -> Self {
        Self { is_shown: std::io::stderr().is_terminal() }
    }

    fn say(&self, what: &str) {
        self.write(&format!("\r\u{1b}[Klooking at {what} …"));
    }

    fn end(&self) {
        self.write("\r\u{1b}[K");
    }

    fn write(&self, text: &str) {
        if self.is_shown {
            // Nobody needs it where it cannot be seen.
            std::io::stderr().write_all(text.as_bytes()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::finding::Verdict;
    use super::*;

    fn status() -> Status {
        serde_json::from_str(include_str!("status/golden.json")).unwrap()
    }

    fn settings(hub: &str) -> Settings {
        let state = Some(PathBuf::from("/nowhere"));
        Settings { hub: Some(hub.to_owned()), state, ..Settings::default() }
    }

    #[test]
    fn agent_of_the_same_hub_is_asked_and_no_other() {
        for (hub, is_asked) in [("hub.example.org", true), ("other.example.org", false)] {
            let settings = settings(hub);
            let network = find(&settings).unwrap();
            let (finding, asked) = judge_agent(Ok(status()), &settings, Some(&network));
            assert_eq!(asked.is_some(), is_asked, "{finding:?}");
            let verdict = if is_asked { Verdict::Ok } else { Verdict::Skipped };
            assert_eq!(finding.verdict, verdict);
        }
        let old = Status { version: "0.0.1".to_owned(), ..status() };
        let settings = settings("hub.example.org");
        let network = find(&settings).unwrap();
        assert_eq!(judge_agent(Ok(old), &settings, Some(&network)).0.verdict, Verdict::Warn);
    }

    #[test]
    fn first_thing_that_is_wrong_with_the_settings_is_told() {
        let origin = |wrong| Origin { file: None, wrong };
        let good = settings("hub.example.org");
        let network = find(&good);
        let judge = |settings: &Settings, wrong| {
            judge_configuration(settings, &origin(wrong), network.as_ref())
        };
        let what = "no file; the hub is hub.example.org:7744, named";
        assert_eq!(judge(&good, None), Finding::ok(Check::Configuration, what));
        let wrong = Failure::text(crate::failure::Exit::Usage, "no").hint("yes");
        assert_eq!(judge(&good, Some(wrong)).fix.as_deref(), Some("yes"));
        let small = Settings { mtu: Some(100), ..good.clone() };
        assert!(judge(&small, None).what.contains("MTU"));
        let missing = Settings { secret_file: Some("/nowhere".into()), ..good };
        assert!(judge(&missing, None).what.contains("/nowhere"));
    }
}
