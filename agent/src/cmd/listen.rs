//! `dosp-agent listen`: raw messages, as they come.

use std::io::Write;

use super::Agent;
use crate::cli::Listen;
use crate::config::Settings;
use crate::control::wire::Message;
use crate::failure::{Exit, Failure};

/// Prints messages until there were enough of them, or for ever.
pub(crate) async fn run(args: &Listen, settings: &Settings) -> Result<(), Failure> {
    let agent = Agent::find(&args.own, settings).await?;
    let listened = tokio::select! {
        listened = listen(&agent, args) => listened,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Ok(Err(Failure::interrupted()))
        }
    };
    match listened {
        Ok(outcome) => {
            agent.leave().await?;
            outcome
        }
        Err(error) => Err(agent.blame(error).await),
    }
}

/// The outer error is the agent's, the inner one ours.
async fn listen(
    agent: &Agent,
    args: &Listen,
) -> Result<Result<(), Failure>, crate::control::ControlError> {
    let client = match agent.client().await {
        Ok(client) => client,
        Err(failure) => return Ok(Err(failure)),
    };
    let from = match &args.from {
        Some(peer) => match agent.resolve(peer).await {
            Ok(vip) => Some(vip),
            Err(failure) => return Ok(Err(failure)),
        },
        None => None,
    };
    let mut messages = client.listen().await?;
    // Said only now: what comes from here on is not missed.
    match agent {
        Agent::Own { handle, .. } => {
            let vip = handle.up().await.map(|overlay| overlay.vip.to_string());
            tracing::warn!("listening as {}", vip.unwrap_or_default());
        }
        Agent::Running(_) => tracing::warn!("listening"),
    }
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let message = messages.next().await?;
        if from.is_some() && message.from != from {
            continue;
        }
        if let Err(failure) = print(&message, args) {
            return Ok(Err(failure));
        }
        left -= 1;
    }
    Ok(Ok(()))
}

fn print(message: &Message, args: &Listen) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    if args.raw {
        stdout.write_all(&message.data.0)?;
    } else if args.json {
        let line = serde_json::to_string(message);
        writeln!(stdout, "{}", line.map_err(|error| Failure::new(Exit::Failed, error))?)?;
    } else {
        writeln!(stdout, "{}", line(message))?;
    }
    Ok(stdout.flush()?)
}

/// Nothing in somebody else's message may move the cursor or change colours.
fn line(message: &Message) -> String {
    let from = message.from.map_or_else(|| "hub".to_owned(), |vip| vip.to_string());
    let how = match (message.sealed, message.authenticated) {
        (false, _) => " (plain)",
        (true, false) => " (UNAUTHENTICATED)",
        (true, true) => "",
    };
    match &message.text {
        Some(text) => {
            let safe: String = text
                .chars()
                .flat_map(|char| {
                    let keep = !char.is_control();
                    let escaped = (!keep).then(|| char.escape_default());
                    keep.then_some(char).into_iter().chain(escaped.into_iter().flatten())
                })
                .collect();
            format!("{from}{how}: {safe}")
        }
        None => format!("{from}{how}: {}", message.data.0.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Version;
    use crate::node;

    fn shown(from: Option<&str>, version: Option<Version>, data: &[u8]) -> String {
        let from = from.map(|vip| vip.parse().unwrap());
        line(&node::Message { from, version, data: data.to_vec() }.into())
    }

    #[test]
    fn control_characters_and_bytes_are_escaped() {
        let (one, two) = (Some(Version::One), Some(Version::Two));
        assert_eq!(shown(Some("7.10.0.3"), two, "grüße".as_bytes()), "7.10.0.3: grüße");
        assert_eq!(shown(Some("7.10.0.3"), one, b"hi"), "7.10.0.3 (UNAUTHENTICATED): hi");
        assert_eq!(
            shown(Some("7.10.0.3"), None, b"a\x1b[2Jb\n"),
            "7.10.0.3 (plain): a\\u{1b}[2Jb\\n"
        );
        assert_eq!(shown(None, None, &[0xFF, b'x']), "hub (plain): \\xffx");
    }

    #[test]
    fn json_of_a_message() {
        let from = Some("7.10.0.3".parse().unwrap());
        let message = Message::from(node::Message {
            from,
            version: Some(Version::Two),
            data: b"hi".to_vec(),
        });
        let golden = r#"{"schema":"dosp.message/1","from":"7.10.0.3","sealed":true,"authenticated":true,"text":"hi","data":"aGk="}"#;
        assert_eq!(serde_json::to_string(&message).unwrap(), golden);
    }
}
