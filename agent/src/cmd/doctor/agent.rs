//! The running agent: whether one answers, and whether it is in the network that is meant.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::finding::{Check, Finding};
use crate::cmd::network::Network;
use crate::control::wire::Status;
use crate::control::{Client, ControlError};
use crate::failure::{Exit, Failure};
use crate::link::HubAddr;

/// An agent that lives answers at once.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the running agent has not said how it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// What it says instead, or why it cannot.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// It takes connections, and says nothing.
    #[error("the running agent does not answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Control(error) => error.into(),
            error @ AskError::TimedOut => Self::new(Exit::TimedOut, error).hint(
                "is its process stopped, or this host overloaded? else end it and start it again",
            ),
        }
    }
}

/// How the agent on this socket is, unless it takes too long to say.
pub(crate) async fn ask(socket: &Path) -> Result<Status, AskError> {
    ask_within(TIMEOUT, socket).await
}

async fn ask_within(patience: Duration, socket: &Path) -> Result<Status, AskError> {
    let asked = async { Client::connect(socket).await?.status().await };
    timeout(patience, asked).await.map_or(Err(AskError::TimedOut), |asked| Ok(asked?))
}

/// Whose this host's interface and names may be.
#[derive(Debug)]
pub(super) enum Agent {
    /// One answers, and is in the network that is meant.
    Here(Box<Status>),
    /// One answers, and is in another network.
    Elsewhere,
    /// One runs or may run, and says nothing to this user.
    Unknown,
    /// None runs.
    Absent,
}

impl Agent {
    /// What it says, where it is in the network that is meant.
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Self::Here(status) => Some(status),
            Self::Elsewhere | Self::Unknown | Self::Absent => None,
        }
    }
}

/// The agent that was asked, where `network` is meant.
pub(super) fn judge(
    asked: Result<Status, AskError>,
    network: Option<&Network>,
) -> (Finding, Agent) {
    let check = Check::Agent;
    let status = match asked {
        Ok(status) => status,
        Err(AskError::Control(ControlError::NotRunning { .. })) => {
            let why = "none runs: 'dosp-agent up' starts one";
            return (Finding::skipped(check, why), Agent::Absent);
        }
        Err(AskError::Control(ControlError::Forbidden { .. })) => {
            let why = "this user may not ask it: run as root, or as a member of the group dosp";
            return (Finding::skipped(check, why), Agent::Unknown);
        }
        Err(error) => return (Finding::failure(check, &error.into()), Agent::Unknown),
    };
    // It says which of the hub's addresses it was told.
    let is_of = |network: &Network| {
        status.hub.parse::<HubAddr>().is_ok_and(|hub| network.hubs.contains(&hub))
    };
    if network.is_some_and(|network| !is_of(network)) {
        let why = format!("the running one is at another hub, {}", status.hub);
        return (Finding::skipped(check, why), Agent::Elsewhere);
    }
    let (runs, here) = (&status.version, env!("CARGO_PKG_VERSION"));
    let finding = if runs == here {
        Finding::ok(check, format!("version {runs} runs, at {}", status.hub))
    } else {
        let what = format!("version {runs} runs, and this program is {here}");
        Finding::warn(check, what, "start the agent again")
    };
    (finding, Agent::Here(Box::new(status)))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use tokio::net::UnixListener;

    use super::super::finding::Verdict;
    use super::*;

    fn status() -> Status {
        serde_json::from_str(include_str!("../status/golden.json")).unwrap()
    }

    fn network(hubs: &[&str]) -> Network {
        let hubs: Vec<HubAddr> = hubs.iter().map(|hub| hub.parse().unwrap()).collect();
        Network { hubs, folder: "a".to_owned(), join: None }
    }

    #[test]
    fn agent_of_the_same_hub_is_asked_and_no_other() {
        let two = network(&["192.0.2.1", "hub.example.org"]);
        let (finding, agent) = judge(Ok(status()), Some(&two));
        assert_eq!(finding.verdict, Verdict::Ok);
        assert!(agent.status().is_some(), "{agent:?}");
        let other = network(&["other.example.org"]);
        let (finding, agent) = judge(Ok(status()), Some(&other));
        assert_eq!(finding.verdict, Verdict::Skipped);
        assert!(matches!(agent, Agent::Elsewhere), "{agent:?}");
        let old = Status { version: "0.0.1".to_owned(), ..status() };
        assert_eq!(judge(Ok(old), Some(&two)).0.verdict, Verdict::Warn);
    }

    #[test]
    fn agent_that_says_nothing_may_run_all_the_same() {
        let path = PathBuf::from("/nowhere");
        let absent = ControlError::NotRunning { path: path.clone() };
        assert!(matches!(judge(Err(absent.into()), None).1, Agent::Absent));
        let source = io::ErrorKind::PermissionDenied.into();
        let forbidden = ControlError::Forbidden { path, source };
        for error in [forbidden.into(), ControlError::Ended.into(), AskError::TimedOut] {
            assert!(matches!(judge(Err(error), None).1, Agent::Unknown));
        }
    }

    #[tokio::test]
    async fn agent_that_hangs_is_said_to_hang() {
        let dir = tempfile::TempDir::new().unwrap();
        let socket = dir.path().join("agent.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        let (finding, _) = judge(ask_within(Duration::from_millis(10), &socket).await, None);
        assert_eq!(finding.verdict, Verdict::Fail(Exit::TimedOut));
        assert_eq!(finding.what, "the running agent does not answer within 5 s");
    }
}
