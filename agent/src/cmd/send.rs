//! `dosp-agent send`: one raw message.

use std::io::Read;

use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, S2C_ADDRESSES_LEN};
use dosp_proto::tunnel::v1::OVERHEAD_LEN;

use super::Agent;
use crate::cli::Send;
use crate::config::Settings;
use crate::control::wire::Target;
use crate::failure::{Exit, Failure};

/// What fits into one frame, sealed.
const MAX_MESSAGE_LEN: usize = DEFAULT_MAX_BODY_LEN - S2C_ADDRESSES_LEN - OVERHEAD_LEN;

/// Sends the message, and returns when the hub has it.
pub(crate) async fn run(args: &Send, settings: &Settings) -> Result<(), Failure> {
    let to = target(args)?;
    let data = content(args)?;
    if data.len() > MAX_MESSAGE_LEN {
        let text = format!("the message has {} bytes, the limit is {MAX_MESSAGE_LEN}", data.len());
        return Err(Failure::text(Exit::Usage, text)
            .hint("with 'dosp-agent up' on both hosts, scp to the vIP has no limit"));
    }
    if let Target::Peer { vip, plain } = to {
        let how = if plain {
            "PLAIN: everybody on the way can read it"
        } else {
            "UNAUTHENTICATED: version 1 does not know who the peer is"
        };
        tracing::warn!("sending to {vip}, {how}");
    }
    let agent = Agent::find(&args.own, settings).await?;
    match agent.client().await?.send(to, data).await {
        Ok(()) => agent.leave().await,
        Err(error) => Err(agent.blame(error).await),
    }
}

fn target(args: &Send) -> Result<Target, Failure> {
    if args.to == "hub" {
        return Ok(Target::Hub);
    }
    let vip = args.to.parse().map_err(|error: dosp_proto::vip::VipError| {
        Failure::new(Exit::Usage, error).hint("'dosp-agent peers' lists vIPs; 'hub' is the hub")
    })?;
    Ok(Target::Peer { vip, plain: args.plain })
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
