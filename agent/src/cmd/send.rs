//! `dosp-agent send`: one raw message.

use std::io::Read;
use std::time::Duration;

use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, S2C_ADDRESSES_LEN};
use dosp_proto::tunnel::v1::OVERHEAD_LEN;
use dosp_proto::vip::Vip;
use tokio::time::timeout;

use super::Agent;
use crate::cli::{PeerArg, Send};
use crate::config::Settings;
use crate::control::ControlError;
use crate::control::wire::Target;
use crate::failure::{Exit, Failure};

/// A peer that is there answers sooner.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// What stands for the hub in place of a peer.
const HUB: &str = "hub";
/// What fits into one frame, sealed in either version: version 1 takes more room.
const MAX_MESSAGE_LEN: usize = DEFAULT_MAX_BODY_LEN - S2C_ADDRESSES_LEN - OVERHEAD_LEN;

/// Sends the message, and returns when the hub has it.
pub(crate) async fn run(args: &Send, settings: &Settings) -> Result<(), Failure> {
    let data = content(args)?;
    if data.len() > MAX_MESSAGE_LEN {
        let text = format!("the message has {} bytes, the limit is {MAX_MESSAGE_LEN}", data.len());
        return Err(Failure::text(Exit::Usage, text)
            .hint("with 'dosp-agent up' on both hosts, scp to the vIP has no limit"));
    }
    let agent = Agent::find(&args.own, settings).await?;
    let to = target(args, &agent).await?;
    match send(&agent, to, data).await {
        Ok(Ok(())) => agent.leave().await,
        Ok(Err(failure)) => Err(failure),
        Err(error) => Err(agent.blame(error).await.context(format!("send to {}", args.to))),
    }
}

/// Makes sure that the peer is there and still has the key of the session: what is sealed for another
/// would be lost.
async fn knock(agent: &Agent, vip: Vip) -> Result<Result<(), Failure>, ControlError> {
    let client = match agent.client().await {
        Ok(client) => client,
        Err(failure) => return Ok(Err(failure)),
    };
    match timeout(ANSWER_TIMEOUT, client.echo(vip, 0)).await {
        Ok(answered) => answered.map(|_| Ok(())),
        Err(_) => Ok(Err(Failure::text(Exit::PeerOffline, format!("no answer of {vip}"))
            .hint("is its agent up, at the same hub?"))),
    }
}

async fn target(args: &Send, agent: &Agent) -> Result<Target, Failure> {
    match &args.to {
        PeerArg::Name(name) if name.to_string() == HUB => Ok(Target::Hub),
        peer => Ok(Target::Peer { vip: agent.resolve(peer).await?, plain: args.plain }),
    }
}

/// Says who can read it before it is sent. The outer error is the agent's, the inner one ours.
async fn send(
    agent: &Agent,
    to: Target,
    data: Vec<u8>,
) -> Result<Result<(), Failure>, ControlError> {
    match to {
        Target::Hub => {}
        Target::Peer { vip, plain: true } => {
            tracing::warn!("sending to {vip}, PLAIN: everybody on the way can read and change it");
        }
        Target::Peer { vip, plain: false } => {
            let client = match agent.client().await {
                Ok(client) => client,
                Err(failure) => return Ok(Err(failure)),
            };
            let tunnel = client.tunnel(vip).await?;
            if tunnel.authenticated {
                if let Err(failure) = knock(agent, vip).await? {
                    return Ok(Err(failure));
                }
            } else {
                tracing::warn!(
                    "sending to {vip}, UNAUTHENTICATED: version 1 does not know who the peer is"
                );
            }
        }
    }
    match agent.client().await {
        Ok(client) => client.send(to, data).await.map(Ok),
        Err(failure) => Ok(Err(failure)),
    }
}

fn content(args: &Send) -> Result<Vec<u8>, Failure> {
    // One byte more than fits is enough to know.
    let limit = MAX_MESSAGE_LEN as u64 + 1;
    let mut data = Vec::new();
    match (&args.file, args.text.as_deref()) {
        (Some(path), _) => {
            let context = format!("read {}", path.display());
            let read =
                std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut data));
            read.map_err(|error| Failure::new(Exit::Failed, error).context(context))?;
        }
        (None, Some(text)) if text != "-" => data.extend_from_slice(text.as_bytes()),
        (None, _) => {
            std::io::stdin().lock().take(limit).read_to_end(&mut data)?;
        }
    }
    Ok(data)
}
