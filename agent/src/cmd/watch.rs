//! `status --watch`: what the running agent does, again and again.

mod picture;
mod rows;

use std::io;
use std::path::Path;
use std::time::Duration;

use dosp_console::change::Change;
use dosp_console::line::Line;
use dosp_console::watch::{self, End, Error, Options, Size, Trouble};

use crate::cli;
use crate::control::wire::Status;
use crate::control::{Client, ControlError};
use crate::failure::Failure;

/// Where nobody says otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// Shows it until the user ends it.
pub(super) async fn run(args: &cli::Status, socket: &Path) -> Result<(), Failure> {
    let options = Options {
        program: "dosp-agent",
        interval: args.interval.unwrap_or(DEFAULT_INTERVAL),
        json: args.output.json,
    };
    let first = Client::connect(socket).await?.status().await?;
    let ask = || async move {
        let answer = async { Client::connect(socket).await?.status().await };
        answer.await.map_err(trouble)
    };
    match watch::watch(options, &View, first, ask).await {
        Ok(End::Quit) => Ok(()),
        Ok(End::Interrupted) => Err(Failure::interrupted()),
        Err(Error::Asked(error)) => Err(error.into()),
        Err(Error::Io(error)) => Err(error.into()),
    }
}

/// An agent may end at any moment, and another one begin.
fn trouble(error: ControlError) -> Trouble<ControlError> {
    match error {
        ControlError::NotRunning { .. } | ControlError::Io(_) | ControlError::Ended => {
            Trouble::Away(error)
        }
        ControlError::Forbidden { .. }
        | ControlError::Malformed(_)
        | ControlError::Unexpected
        | ControlError::Failed { .. } => Trouble::Final(error),
    }
}

struct View;

impl watch::View for View {
    type Snapshot = Status;

    fn screen(&self, change: &Change<'_, Status>, size: Size) -> Vec<Line> {
        picture::draw(change, size)
    }

    fn lines(&self, change: &Change<'_, Status>) -> Vec<String> {
        picture::lines(change)
    }

    fn json(&self, status: &Status) -> io::Result<String> {
        Ok(serde_json::to_string(status)?)
    }
}
