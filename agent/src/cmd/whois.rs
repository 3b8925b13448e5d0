//! `dosp-agent whois`: who a peer is, by what this host has seen and by the hub's word.

use dosp_proto::vip::Vip;
use serde::Serialize;

use super::status::{json, print, way};
use super::{Agent, connect};
use crate::cli::Whois;
use crate::config::Settings;
use crate::control::wire::Status;
use crate::failure::{Exit, Failure};

/// `dosp.whois/1`: one peer.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Found {
    schema: &'static str,
    vip: Vip,
    name: Option<String>,
    fingerprint: Option<String>,
    /// Whether it is connected to the hub; `null` where the hub does not say.
    online: Option<bool>,
    /// Whether it has proved its key to this host.
    proven: bool,
    /// What its hub is called; `null` for this host's own, and for one without a name.
    via: Option<String>,
    /// The links between this host's hub and its own; `null` where that is not known.
    hops: Option<u8>,
}

pub(crate) async fn run(args: &Whois, settings: &Settings) -> Result<(), Failure> {
    let vip = Agent::Running(settings.socket()).resolve(&args.peer).await?;
    let status = connect(&settings.socket()).await?.status().await?;
    let found = find(vip, &status).ok_or_else(|| {
        Failure::text(Exit::UnknownPeer, format!("nobody is known at {vip}"))
            .hint("'dosp-agent peers' shows who is")
    })?;
    print(if args.output.json { json(&found)? } else { in_words(&found) })
}

fn find(vip: Vip, status: &Status) -> Option<Found> {
    let node = status.nodes.iter().flatten().find(|node| node.vip == vip);
    let peer = status.peers.iter().find(|peer| peer.vip == vip);
    let proven = peer.and_then(|peer| peer.fingerprint.clone());
    if node.is_none() && proven.is_none() {
        return None;
    }
    Some(Found {
        schema: "dosp.whois/1",
        vip,
        name: peer
            .and_then(|peer| peer.name.clone())
            .or_else(|| node.and_then(|node| node.name.clone())),
        proven: proven.is_some(),
        fingerprint: proven.or_else(|| node.map(|node| node.fingerprint.clone())),
        online: node.map(|node| node.online),
        via: node.map_or_else(|| peer.and_then(|peer| peer.via.clone()), |node| node.via.clone()),
        hops: node.map_or_else(|| peer.and_then(|peer| peer.hops), |node| node.hops),
    })
}

fn in_words(found: &Found) -> String {
    let key = found.fingerprint.as_deref().unwrap_or("none");
    let word = if found.proven { "proved to this host" } else { "by the hub's word" };
    let online = match found.online {
        Some(true) => "online",
        Some(false) => "offline",
        None => "unknown",
    };
    let way = way(found.via.as_deref(), found.hops);
    let way = way.map(|way| format!("way         {way}\n")).unwrap_or_default();
    format!(
        "vIP         {}\nname        {}\nfingerprint {key}, {word}\nhub says    {online}\n{way}",
        found.vip,
        found.name.as_deref().unwrap_or("none"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> Status {
        serde_json::from_str(include_str!("status/golden.json")).unwrap()
    }

    #[test]
    fn peers_and_members_are_found() {
        let status = golden();
        let found = |vip: &str| find(vip.parse().unwrap(), &status);
        assert_eq!(
            in_words(&found("7.10.0.3").unwrap()),
            "vIP         7.10.0.3\nname        bob\n\
             fingerprint FGHIJ-KLMNO-PQRST-UVWXY, proved to this host\nhub says    online\n"
        );
        assert_eq!(
            in_words(&found("7.10.0.9").unwrap()),
            "vIP         7.10.0.9\nname        dave\n\
             fingerprint PQRST-UVWXY-Z2345-67ABC, by the hub's word\nhub says    offline\n"
        );
        assert_eq!(
            in_words(&found("7.11.0.5").unwrap()),
            "vIP         7.11.0.5\nname        bob.berlin\n\
             fingerprint ZZZZZ-KLMNO-PQRST-UVWXY, proved to this host\nhub says    online\n\
             way         via berlin, 2 hubs\n"
        );
        assert_eq!(
            json(&found("7.11.0.5").unwrap()).unwrap(),
            "{\"schema\":\"dosp.whois/1\",\"vip\":\"7.11.0.5\",\"name\":\"bob.berlin\",\
             \"fingerprint\":\"ZZZZZ-KLMNO-PQRST-UVWXY\",\"online\":true,\"proven\":true,\
             \"via\":\"berlin\",\"hops\":1}\n"
        );
        assert_eq!(found("7.10.0.77"), None);
    }
}
