//! `status --watch`: what the running hub does, again and again.

mod picture;
mod rows;

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use dosp_console::change::Change;
use dosp_console::line::Line;
use dosp_console::watch::{self, End, Error, Options, Size, Trouble};
use dosp_server::control::client::{self, ControlError};
use dosp_server::control::wire::{Peers, Status};

use super::failure::Interrupted;

/// Where nobody says otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// One look at a hub.
#[derive(Debug, Clone)]
struct Snapshot {
    status: Status,
    peers: Peers,
}

/// Shows it until the user ends it.
pub(super) fn run(socket: &Path, interval: Option<Duration>, json: bool) -> anyhow::Result<()> {
    let interval = interval.unwrap_or(DEFAULT_INTERVAL);
    let options = Options { program: "dosp-server", interval, json };
    let first = look(socket)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let watched = runtime.block_on(watch::watch(options, &View, first, || ask(socket)));
    // A question that a stopped hub leaves open must not keep this command.
    runtime.shutdown_background();
    match watched {
        Ok(End::Quit) => Ok(()),
        Ok(End::Interrupted) => Err(Interrupted.into()),
        Err(Error::Asked(error)) => Err(error.into()),
        Err(Error::Io(error)) => Err(error.into()),
    }
}

fn look(socket: &Path) -> Result<Snapshot, ControlError> {
    Ok(Snapshot { status: client::status(socket)?, peers: client::peers(socket)? })
}

async fn ask(socket: &Path) -> Result<Snapshot, Trouble<ControlError>> {
    let socket = socket.to_owned();
    let asked = tokio::task::spawn_blocking(move || look(&socket)).await;
    asked.unwrap_or_else(|error| Err(io::Error::other(error).into())).map_err(trouble)
}

/// A hub may end at any moment, and another one begin.
fn trouble(error: ControlError) -> Trouble<ControlError> {
    match error {
        ControlError::NotRunning { .. } | ControlError::Io(_) => Trouble::Away(error),
        // It ended before its answer.
        ControlError::Malformed(ref cut) if cut.is_eof() => Trouble::Away(error),
        ControlError::Malformed(_)
        | ControlError::Forbidden { .. }
        | ControlError::Unexpected
        | ControlError::Refused { .. } => Trouble::Final(error),
    }
}

struct View;

impl watch::View for View {
    type Snapshot = Snapshot;

    fn screen(&self, change: &Change<'_, Snapshot>, size: Size) -> Vec<Line> {
        picture::draw(change, size)
    }

    fn lines(&self, change: &Change<'_, Snapshot>) -> Vec<String> {
        picture::lines(change)
    }

    fn json(&self, snapshot: &Snapshot) -> io::Result<String> {
        Ok(serde_json::to_string(&snapshot.status)?)
    }
}
