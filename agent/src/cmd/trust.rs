//! `dosp-agent trust`: whose keys the running agent trusts.

use dosp_console::table::aligned;
use serde_json::json;

use super::connect;
use super::status::{json, print};
use crate::cli::{Json, PeerArg, Trust};
use crate::config::Settings;
use crate::control::wire::Trusted;
use crate::failure::Failure;
use dosp_proto::vip::Vip;

/// Lists keys where nothing else is asked for.
pub(crate) async fn run(command: Option<&Trust>, settings: &Settings) -> Result<(), Failure> {
    match command {
        None => list(&Json { json: false }, settings).await,
        Some(Trust::List(args)) => list(args, settings).await,
        Some(Trust::Accept { peer, fingerprint }) => {
            let vip = resolve(peer, settings).await?;
            let client = connect(&settings.socket()).await?;
            let accepted = client.accept(vip, fingerprint.clone()).await?;
            print(format!("accepted {} at {vip}\n", accepted.fingerprint))
        }
        Some(Trust::Forget { peer }) => {
            let vip = resolve(peer, settings).await?;
            let forgotten = connect(&settings.socket()).await?.forget(vip).await?;
            print(format!("forgot {} at {vip}\n", forgotten.fingerprint))
        }
    }
}

async fn list(args: &Json, settings: &Settings) -> Result<(), Failure> {
    let trusted = connect(&settings.socket()).await?.trusted().await?;
    print(if args.json {
        json(&json!({ "schema": "dosp.trust/1", "trusted": trusted }))?
    } else {
        table(&trusted)
    })
}

async fn resolve(peer: &PeerArg, settings: &Settings) -> Result<Vip, Failure> {
    match peer {
        PeerArg::Vip(vip) => Ok(*vip),
        PeerArg::Name(name) => {
            Ok(connect(&settings.socket()).await?.resolve(name.to_string()).await?)
        }
    }
}

fn table(trusted: &[Trusted]) -> String {
    let mut rows = vec![["PEER", "NAME", "FINGERPRINT", ""].map(str::to_owned)];
    rows.extend(trusted.iter().map(|known| {
        let name = known.name.clone().unwrap_or_else(|| "-".to_owned());
        let state = if known.pinned { "pinned" } else { "seen, not pinned" };
        [known.vip.to_string(), name, known.fingerprint.clone(), state.to_owned()]
    }));
    aligned(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_tells_pinned_keys_from_seen_ones() {
        let known = |vip: &str, name: Option<&str>, pinned| Trusted {
            vip: vip.parse().unwrap(),
            name: name.map(str::to_owned),
            fingerprint: "ABCDE-FGHIJ-KLMNO-PQRST".to_owned(),
            key: String::new(),
            pinned,
        };
        let shown =
            table(&[known("10.77.0.3", Some("bob"), true), known("10.77.0.4", None, false)]);
        let expected = "\
PEER       NAME  FINGERPRINT
10.77.0.3  bob   ABCDE-FGHIJ-KLMNO-PQRST  pinned
10.77.0.4  -     ABCDE-FGHIJ-KLMNO-PQRST  seen, not pinned
";
        assert_eq!(shown, expected);
    }
}
