//! `dosp-agent wait`: until the network is up.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::cli::Wait;
use crate::config::Settings;
use crate::control::wire::{State, Status};
use crate::control::{Client, ControlError};
use crate::failure::{Exit, Failure};

/// An agent that is not there is looked for so often; one that is there says by itself that it is up.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// An agent that answers at all says within that why it is not up.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// Waits for an agent, and until it is up.
pub(crate) async fn run(args: &Wait, settings: &Settings) -> Result<(), Failure> {
    let socket = settings.socket();
    tokio::select! {
        waited = timeout(args.timeout, until_up(&socket)) => match waited {
            Ok(waited) => waited,
            Err(_) => too_late(args.timeout, &socket).await,
        },
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(Failure::interrupted())
        }
    }
}

async fn until_up(socket: &Path) -> Result<(), Failure> {
    let mut said = "";
    loop {
        match Client::connect(socket).await {
            Ok(client) => {
                tell(&mut said, "waiting for the agent to be up");
                match client.up().await {
                    Ok(_) => return Ok(()),
                    // It may be on its way back.
                    Err(ControlError::Ended | ControlError::Io(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(ControlError::NotRunning { .. }) => tell(&mut said, "waiting for an agent"),
            Err(error) => return Err(error.into()),
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Shows a person what is waited for, whenever that is something else.
fn tell(said: &mut &'static str, words: &'static str) {
    let mut stderr = std::io::stderr();
    if *said != words && stderr.is_terminal() {
        // Without a terminal there is nobody to tell.
        writeln!(stderr, "dosp-agent: {words}").ok();
    }
    *said = words;
}

async fn too_late(waited: Duration, socket: &Path) -> Result<(), Failure> {
    let asked = async { Client::connect(socket).await?.status().await };
    let (what, hint) = match timeout(STATUS_TIMEOUT, asked).await {
        Ok(Ok(Status { state: State::Up, .. })) => return Ok(()),
        Ok(Ok(status)) => {
            let why = status.last_error.map(|error| format!(": {error}")).unwrap_or_default();
            (format!("the agent is {}{why}", status.state.name()), "'dosp-agent status' shows more")
        }
        Ok(Err(ControlError::NotRunning { .. })) => {
            let what = format!("no agent answers on {}", socket.display());
            (what, "start one with 'dosp-agent up'")
        }
        Ok(Err(_)) | Err(_) => {
            let what = format!("the agent on {} gives no answer", socket.display());
            (what, "restart the agent")
        }
    };
    let waited = humantime::format_duration(waited);
    Err(Failure::text(Exit::TimedOut, format!("not up within {waited}: {what}")).hint(hint))
}
