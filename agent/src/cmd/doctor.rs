//! `dosp-agent doctor`: what is wrong between here and there, one line a check, with the fix.
//!
//! Each check gathers facts in one function and judges them in another, which does no I/O. What the hub
//! says and what this host says are looked at side by side; a check whose ground is missing is skipped.

pub(super) mod agent;
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
use std::time::Instant;

use self::agent::Agent;
pub(crate) use self::finding::Findings;
use self::finding::{Check, Finding};
use self::hub::HubSide;
pub(crate) use self::hub::JoinKey;
use self::routes::{Networks, Overlap};
use super::network::Network;
use crate::clock;
use crate::config::{NetworkName, Settings};
use crate::control::wire::Status;
use crate::failure::Failure;

/// Where the settings come from, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Whether the command line names the hub.
    pub(crate) names_hub: bool,
    /// Which of several networks of this host it is about.
    pub(crate) network: Option<NetworkName>,
    /// The configuration file, where there is one.
    pub(crate) file: Option<PathBuf>,
    /// Why a part of the settings is not known.
    pub(crate) wrong: Option<Failure>,
}

/// `dosp-agent doctor`.
pub(crate) async fn run(json: bool, settings: Settings, origin: Origin) -> Result<(), Failure> {
    let findings = examine(settings, &origin, JoinKey::Spend).await;
    let text = if json {
        super::status::json(&findings.json())?
    } else {
        findings.text(dosp_console::has_colour(&std::io::stdout()))
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
pub(crate) async fn examine(settings: Settings, origin: &Origin, join_key: JoinKey) -> Findings {
    let started_at = Instant::now();
    let progress = Progress::start();
    progress.say("the configuration, and the running agent");
    let asked = agent::ask(&settings.socket()).await;
    let asked_at = clock::now().unix_time;
    let meant = meant(&settings, origin, asked.as_ref().ok());
    let network = find(&meant);
    let (finding, agent) = agent::judge(asked, network.as_ref().ok());
    let mut all = vec![judge_configuration(&settings, origin, network.as_ref()), finding];
    let (network, status) = (network.ok(), agent.status());
    let (hub, host) = tokio::join!(
        hub::look(network.as_ref(), &meant, &agent, join_key, &progress),
        look_at_host(&meant, &agent),
    );
    let (routes, is_covered) = look_at_routes(&meant, status, &hub).await;
    all.push(routes);
    all.extend(host.into_findings(&meant, status, is_covered));
    all.push(judge_clock(&hub, status, asked_at));
    all.push(judge_mtu(&hub, status));
    all.extend(hub.findings);
    progress.end();
    if let Some(name) = &origin.network {
        all.iter_mut().for_each(|finding| finding.in_commands_of(name));
    }
    Findings::new(network.map(|network| network.hub()), all, started_at.elapsed())
}

/// The settings with the hub that is meant: the one that the command line names, or else the running
/// agent's, which may have been named on its own command line alone.
fn meant(settings: &Settings, origin: &Origin, status: Option<&Status>) -> Settings {
    let running = status.filter(|_| !origin.names_hub).map(|status| status.hub.clone());
    Settings { hub: running.or_else(|| settings.hub.clone()), ..settings.clone() }
}

/// The network that is meant. What was joined may not be for this user to read, and a named hub is
/// looked at all the same.
fn find(settings: &Settings) -> Result<Network, Failure> {
    match settings.hub_addr()? {
        Some(hub) => Network::at(hub, settings),
        None => Network::of(settings),
    }
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
    if let Err(wrong) = settings.hub_addr() {
        return Finding::failure(check, &wrong.into());
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

async fn look_at_host(settings: &Settings, agent: &Agent) -> HostSide {
    let status = agent.status();
    let tun = status.and_then(|status| status.tun.as_deref()).unwrap_or(settings.tun());
    let (names, firewall) =
        tokio::join!(names::look(settings.hosts(), settings.tun(), agent), firewall::look(tun));
    HostSide {
        interface: interface::look(settings, agent),
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
        is_covered: bool,
    ) -> [Finding; 5] {
        let wants_offload = settings.offload.unwrap_or(true);
        [
            interface::judge_tun(&self.interface),
            interface::judge_offload(&self.interface, wants_offload),
            names::judge(&self.names),
            firewall::judge(&self.firewall, is_covered),
            congestion::judge(settings.congestion.unwrap_or_default(), &self.congestion, status),
        ]
    }
}

/// Also tells whether another route is taken to some of the addresses.
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
            (routes::judge(&networks, &overlaps, forced), overlaps.iter().any(Overlap::covers))
        }
        Err(error) => (Finding::failure(check, &error.into()), false),
    }
}

/// `asked_at` is when the agent said its `status`, in Unix seconds: other checks take their time.
fn judge_clock(hub: &HubSide, status: Option<&Status>, asked_at: u64) -> Finding {
    let by_agent = status.and_then(|status| status.hub_time).map(|theirs| (asked_at, theirs));
    match hub.clocks.or(by_agent) {
        Some((ours, theirs)) => time::judge(ours, Some(theirs)),
        None => time::judge(asked_at, None),
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
    use super::*;

    fn status() -> Status {
        serde_json::from_str(include_str!("status/golden.json")).unwrap()
    }

    fn settings(hub: &str) -> Settings {
        let state = Some(PathBuf::from("/nowhere"));
        Settings { hub: Some(hub.to_owned()), state, ..Settings::default() }
    }

    #[test]
    fn running_agent_s_hub_is_meant_unless_the_command_line_names_one() {
        let (runs, settings) = (status(), settings("other.example.org"));
        for (names_hub, status, hub) in [
            (true, Some(&runs), "other.example.org"),
            (false, Some(&runs), "hub.example.org:7744"),
            (false, None, "other.example.org"),
        ] {
            let origin = Origin { names_hub, network: None, file: None, wrong: None };
            assert_eq!(meant(&settings, &origin, status).hub.as_deref(), Some(hub));
        }
    }

    #[test]
    fn first_thing_that_is_wrong_with_the_settings_is_told() {
        let origin = |wrong| Origin { names_hub: true, network: None, file: None, wrong };
        let good = settings("hub.example.org");
        let network = find(&good);
        let judge = |settings: &Settings, wrong| {
            judge_configuration(settings, &origin(wrong), network.as_ref())
        };
        let what = "no file; the hub is hub.example.org:7744, named";
        assert_eq!(judge(&good, None), Finding::ok(Check::Configuration, what));
        let wrong = Failure::text(crate::failure::Exit::Usage, "no").hint("yes");
        assert_eq!(judge(&good, Some(wrong)).fix.as_deref(), Some("yes"));
        let malformed = settings("[::1");
        assert!(judge(&malformed, None).what.contains("the hub"), "{:?}", judge(&malformed, None));
        let small = Settings { mtu: Some(100), ..good.clone() };
        assert!(judge(&small, None).what.contains("MTU"));
        let missing = Settings { secret_file: Some("/nowhere".into()), ..good };
        assert!(judge(&missing, None).what.contains("/nowhere"));
    }
}
