//! Commands that ask a running hub over its local socket.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dosp_console::units::bytes;
use dosp_console::watch::parse_interval;
use dosp_server::control::DEFAULT_SOCKET;
use dosp_server::control::client::{self, ControlError};
use dosp_server::control::wire::{SessionStatus, Status};

use super::run_args::{Place, PlaceArgs};

/// Where the hub that is asked listens to this host's users.
pub(super) fn socket(place: Place) -> anyhow::Result<PathBuf> {
    match place.socket {
        Some(path) => Ok(path),
        None => Ok(place.file()?.socket.unwrap_or_else(|| DEFAULT_SOCKET.into())),
    }
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show it again and again: a picture in a terminal until 'q', else lines, or with --json objects
    #[arg(long)]
    watch: bool,
    /// Time between two looks [default: 1s]
    #[arg(long, value_name = "TIME", requires = "watch", value_parser = parse_interval)]
    interval: Option<Duration>,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// What to do; 'help' lists it
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) fn status(args: StatusArgs, place: Place) -> anyhow::Result<()> {
    let socket = socket(args.place.or(place))?;
    if args.watch {
        return super::watch::run(&socket, args.interval, args.json);
    }
    let status = client::status(&socket)?;
    let text = if args.json { serde_json::to_string(&status)? } else { in_words(&status) };
    print(&text);
    Ok(())
}

pub(super) fn admin(args: AdminArgs, place: Place) -> anyhow::Result<()> {
    print(&client::administer(&socket(args.place.or(place))?, args.command.join(" "))?);
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
    let name = status.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let dropped = status.dropped.iter().filter(|(_, count)| **count > 0);
    let dropped: Vec<_> = dropped.map(|(reason, count)| format!("{reason} {count}")).collect();
    let mut lines = vec![
        format!("hub      {name}{} of {}", status.network.hub(), status.network),
        format!("version  {}", status.version),
        format!("listen   {}", listen.join(" ")),
        format!("up       {}", seconds(status.up_for_ns)),
        format!("frames   {} received, {} sent", status.rx_frames, status.tx_frames),
        format!("bytes    {} received, {} sent", bytes(status.rx_bytes), bytes(status.tx_bytes)),
    ];
    if !dropped.is_empty() {
        lines.push(format!("dropped  {}", dropped.join(", ")));
    }
    if let Some(fingerprint) = &status.fingerprint {
        let is_closed = if status.closed { "members only" } else { "anybody can join" };
        lines.push(format!("key      {fingerprint}"));
        lines.push(format!("members  {}, {is_closed}", status.members));
    }
    if status.closed {
        lines.push(format!("waiting  {}", status.strangers));
    }
    lines.push(format!("clients  {}", status.sessions.len()));
    lines.extend(status.sessions.iter().map(session_in_words));
    lines.join("\n")
}

fn session_in_words(session: &SessionStatus) -> String {
    let name = session.name.as_ref().map(|name| format!("  {name}")).unwrap_or_default();
    let admin = if session.admin { "  admin" } else { "" };
    format!(
        "  {:<15}  {:<21}  up {}  rx {}  tx {}{name}{admin}",
        session.vip,
        session.addr,
        seconds(session.up_for_ns),
        session.rx_frames,
        session.tx_frames,
    )
}

fn seconds(nanos: u64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(Duration::from_nanos(nanos).as_secs()))
}

pub(super) fn print(text: &str) {
    // A closed pipe is the reader's own wish.
    writeln!(io::stdout(), "{text}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = concat!(
        r#"{"schema":"dosp.hub-status/1","version":"0.1.0","name":"home","network":"10.1.2.0/24","#,
        r#""listen":["0.0.0.0:7744"],"up_for_ns":90000000000,"compression":false,"rx_frames":5,"#,
        r#""tx_frames":6,"rx_bytes":512,"tx_bytes":7000,"sessions_cut":0,"dropped":{"queue_delay":7,"queue_full":8},"#,
        r#""fingerprint":"OLGW5-BBCYQ-D7W3I-JQ2IP","closed":true,"#,
        r#""members":3,"strangers":2,"tasks":11,"sessions":[{"vip":"10.1.2.2","name":"bob","#,
        r#""addr":"192.0.2.7:5000","admin":true,"hash":null,"up_for_ns":60000000000,"#,
        r#""rx_frames":1,"tx_frames":2,"rx_bytes":100,"tx_bytes":200,"queued_bytes":3000,"congestion":"bbr","#,
        r#""rtt_ns":25000000,"delivery_rate":1250000},{"vip":"10.1.2.3","name":null,"addr":"192.0.2.8:5000","#,
        r#""admin":false,"hash":null,"up_for_ns":0,"rx_frames":0,"tx_frames":0,"rx_bytes":0,"tx_bytes":0,"#,
        r#""queued_bytes":0,"congestion":null,"rtt_ns":null,"delivery_rate":null}]}"#,
    );
    const WORDS: &str = "\
hub      home: 10.1.2.1 of 10.1.2.0/24
version  0.1.0
listen   0.0.0.0:7744
up       1m 30s
frames   5 received, 6 sent
bytes    512 B received, 7.0 kB sent
dropped  queue_delay 7, queue_full 8
key      OLGW5-BBCYQ-D7W3I-JQ2IP
members  3, members only
waiting  2
clients  2
  10.1.2.2         192.0.2.7:5000         up 1m  rx 1  tx 2  bob  admin
  10.1.2.3         192.0.2.8:5000         up 0s  rx 0  tx 0";

    #[test]
    fn status_of_a_closed_hub_is_the_same_in_json_and_in_words() {
        let status: Status = serde_json::from_str(JSON).unwrap();
        assert_eq!(serde_json::to_string(&status).unwrap(), JSON);
        assert_eq!(in_words(&status), WORDS);
    }

    #[test]
    fn hub_without_members_says_nothing_of_them() {
        let status: Status = serde_json::from_str(JSON).unwrap();
        let (name, fingerprint, sessions) = (None, None, Vec::new());
        let dropped = [("queue_full".to_owned(), 0)].into();
        let status = Status { name, fingerprint, closed: false, dropped, sessions, ..status };
        let words = in_words(&status);
        assert!(words.starts_with("hub      10.1.2.1 of 10.1.2.0/24\n"), "{words}");
        assert!(words.ends_with("7.0 kB sent\nclients  0"), "{words}");
    }
}
