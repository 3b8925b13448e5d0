//! `clients`, `call` and `info`: what the hub answers.

use std::fmt::Write as _;
use std::io::Write as _;

use dosp_console::units::age;

use super::Agent;
use super::status::{json, print};
use crate::cli::{Ask, Call, OwnLink};
use crate::config::Settings;
use crate::control::wire::{Answer, Clients, Info};
use crate::control::{Client, ControlError};
use crate::failure::Failure;

/// `dosp-agent clients`.
pub(crate) async fn clients(args: &Ask, settings: &Settings) -> Result<(), Failure> {
    let clients = ask(&args.own, settings, Client::clients).await?;
    print(if args.output.json { json(&clients)? } else { list(&clients) })
}

/// `dosp-agent call`: what the function returned, byte for byte.
pub(crate) async fn call(args: &Call, settings: &Settings) -> Result<(), Failure> {
    let answer = ask(&args.ask.own, settings, |client| client.call(args.name.clone())).await?;
    if args.ask.output.json {
        return print(json(&answer)?);
    }
    Ok(std::io::stdout().write_all(&shown(answer))?)
}

/// `dosp-agent info`.
pub(crate) async fn info(args: &Ask, settings: &Settings) -> Result<(), Failure> {
    let info = ask(&args.own, settings, Client::info).await?;
    print(if args.output.json { json(&info)? } else { overview(&info) })
}

async fn ask<T, A>(
    own: &OwnLink,
    settings: &Settings,
    request: impl FnOnce(Client) -> A,
) -> Result<T, Failure>
where
    A: Future<Output = Result<T, ControlError>>,
{
    let agent = Agent::find(own, settings).await?;
    match request(agent.client().await?).await {
        Ok(answer) => agent.leave().await.map(|()| answer),
        Err(error) => Err(agent.blame(error).await),
    }
}

fn list(clients: &Clients) -> String {
    clients.clients.iter().map(|vip| format!("{vip}\n")).collect()
}

/// Text ends its line; nothing in it may move the cursor or change colours of a terminal.
fn shown(answer: Answer) -> Vec<u8> {
    let Some(text) = answer.text else { return answer.data.0 };
    if !std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return answer.data.0;
    }
    on_terminal(&text).into_bytes()
}

fn on_terminal(text: &str) -> String {
    let escaped = |char: char| {
        if char == '\n' || !char.is_control() {
            return char.to_string();
        }
        char.escape_default().to_string()
    };
    let mut safe: String = text.chars().map(escaped).collect();
    if !safe.ends_with('\n') {
        safe.push('\n');
    }
    safe
}

fn overview(Info { session, .. }: &Info) -> String {
    let admin = if session.admin { "yes" } else { "no" };
    let mut text = String::new();
    for (name, value) in [
        ("vIP", format!("{} in {}", session.vip, session.network)),
        ("up for", age(session.uptime_s.saturating_mul(1_000_000_000))),
        ("received", format!("{} frames", session.rx_frames)),
        ("sent", format!("{} frames", session.tx_frames)),
        ("admin", admin.to_owned()),
    ] {
        // Writing to a String cannot fail.
        writeln!(text, "{name:<9} {value}").ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::wire::Reply;
    use crate::engine::HubAnswer;
    use dosp_proto::message::SessionInfo;

    #[test]
    fn clients_are_a_line_each() {
        let vips = ["7.10.0.2", "7.10.0.3"].map(|vip| vip.parse().unwrap());
        let Reply::Clients(clients) = HubAnswer::Clients(vips.to_vec()).into() else { panic!() };
        assert_eq!(list(&clients), "7.10.0.2\n7.10.0.3\n");
        let golden = r#"{"schema":"dosp.clients/1","clients":["7.10.0.2","7.10.0.3"]}"#;
        assert_eq!(json(&clients).unwrap().trim(), golden);
    }

    #[test]
    fn answers_are_text_or_bytes() {
        let of = |data: &[u8]| match HubAnswer::Returned(data.to_vec()).into() {
            Reply::Answer(answer) => json(&answer).unwrap(),
            other => panic!("{other:?}"),
        };
        let text = r#"{"schema":"dosp.answer/1","text":"noon","data":"bm9vbg=="}"#;
        assert_eq!(of(b"noon").trim(), text);
        let bytes = r#"{"schema":"dosp.answer/1","text":null,"data":"/w=="}"#;
        assert_eq!(of(&[0xFF]).trim(), bytes);
        assert_eq!(on_terminal("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\nc\n");
    }

    #[test]
    fn info_is_what_the_hub_says_of_the_session() {
        let session = SessionInfo {
            vip: "7.10.0.2".parse().unwrap(),
            network: "7.10.0.0/24".parse().unwrap(),
            uptime_s: 61,
            rx_frames: 3,
            tx_frames: 4,
            admin: false,
        };
        let Reply::Info(info) = HubAnswer::Info(session).into() else { panic!() };
        let golden = r#"{"schema":"dosp.info/1","vip":"7.10.0.2","network":"7.10.0.0/24","uptime_s":61,"rx_frames":3,"tx_frames":4,"admin":false}"#;
        assert_eq!(json(&info).unwrap().trim(), golden);
        let text = "vIP       7.10.0.2 in 7.10.0.0/24\nup for    1 min 1 s\n\
                    received  3 frames\nsent      4 frames\nadmin     no\n";
        assert_eq!(overview(&info), text);
    }
}
