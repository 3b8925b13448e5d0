//! Commands that ask a running hub over its local socket.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dosp_server::control::DEFAULT_SOCKET;
use dosp_server::control::client::{self, ControlError};
use dosp_server::control::wire::Status;

use super::Place;

#[derive(Debug, Args)]
pub(super) struct SocketArg {
    /// The hub's local socket [default: that of /etc/dosp/server.toml, or /run/dosp/server.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl SocketArg {
    fn path(self, place: &Place) -> anyhow::Result<PathBuf> {
        match self.socket.or_else(|| place.socket.clone()) {
            Some(path) => Ok(path),
            None => Ok(place.file()?.socket.unwrap_or_else(|| DEFAULT_SOCKET.into())),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    #[command(flatten)]
    socket: SocketArg,
    /// What to do; 'help' lists it
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) fn status(args: StatusArgs, place: &Place) -> anyhow::Result<()> {
    let status = client::status(&args.socket.path(place)?)?;
    let text = if args.json { serde_json::to_string(&status)? } else { in_words(&status) };
    print(&text);
    Ok(())
}

pub(super) fn admin(args: AdminArgs, place: &Place) -> anyhow::Result<()> {
    print(&client::administer(&args.socket.path(place)?, args.command.join(" "))?);
    Ok(())
}

pub(super) fn hint(error: &ControlError) -> Option<String> {
    let hint = match error {
        ControlError::NotRunning { .. } => "start one with 'dosp-server', or name its --socket",
        ControlError::Forbidden { .. } => "be root or in the group dosp",
        ControlError::Refused { .. } => "'dosp-server admin help' lists the commands",
        ControlError::Io(_) | ControlError::Malformed(_) | ControlError::Unexpected => return None,
    };
    Some(hint.to_owned())
}

fn in_words(status: &Status) -> String {
    let listen: Vec<_> = status.listen.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        format!("hub      {} of {}", status.network.hub(), status.network),
        format!("version  {}", status.version),
        format!("listen   {}", listen.join(" ")),
        format!("up       {}", seconds(status.up_for_ns)),
        format!("frames   {} received, {} sent", status.rx_frames, status.tx_frames),
        format!("clients  {}", status.sessions.len()),
    ];
    lines.extend(status.sessions.iter().map(|session| {
        let admin = if session.admin { "  admin" } else { "" };
        format!(
            "  {:<15}  {:<21}  up {}  rx {}  tx {}{admin}",
            session.vip,
            session.addr,
            seconds(session.up_for_ns),
            session.rx_frames,
            session.tx_frames,
        )
    }));
    lines.join("\n")
}

fn seconds(nanos: u64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(Duration::from_nanos(nanos).as_secs()))
}

pub(super) fn print(text: &str) {
    // A closed pipe is the reader's own wish.
    writeln!(io::stdout(), "{text}").unwrap_or_default();
}
