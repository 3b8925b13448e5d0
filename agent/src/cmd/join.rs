//! `dosp-agent join`: keeps a join string, for `dosp-agent up` to use.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use dosp_proto::join_string::{JoinString, JoinStringError};
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use crate::config::{NetworkName, Settings};
use crate::failure::{Exit, Failure};
use crate::link::{NoHubAddr, hub_addrs};
use crate::state::{NetworkState, folder_name};

/// Stands for standard input.
const STDIN: &str = "-";
/// No join string is near so long; what is longer is another file.
const MAX_LEN: usize = 4096;

/// Makes this host's key in the network, and the network the one that `up` takes.
pub(crate) fn run(
    given: &str,
    settings: &Settings,
    network: Option<&NetworkName>,
) -> Result<(), Failure> {
    let join: JoinString = text(given)?.parse()?;
    // Found out before anything is made.
    let addrs = hub_addrs(&join.addrs)?;
    let state = NetworkState::open(&settings.state(), &folder_name(&join.hub_key))?;
    state.identity(&mut rand::make_rng::<StdRng>())?;
    state.save_join(&join)?;
    let fingerprint = join.hub_key.fingerprint();
    let at = addrs.first().map(|addr| format!(" at {addr}")).unwrap_or_default();
    let next = next(network);
    let words = format!("joined the network of the hub {fingerprint}{at}; {next}\n");
    Ok(io::stderr().write_all(words.as_bytes())?)
}

/// What to do then, in the commands of this network of several, where it is one.
fn next(network: Option<&NetworkName>) -> String {
    let words = "'dosp-agent up' brings it up";
    network.map_or_else(|| words.to_owned(), |network| network.in_commands(words))
}

/// What is given, or what is in the file that is given.
fn text(given: &str) -> Result<Zeroizing<String>, Failure> {
    let path = Path::new(given);
    let read = if given == STDIN {
        read(io::stdin().lock())
    } else if given.contains('/') || path.is_file() {
        File::open(path).and_then(read)
    } else {
        return Ok(Zeroizing::new(given.to_owned()));
    };
    read.map_err(|error| {
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        let exit = if denied { Exit::NoPrivilege } else { Exit::Failed };
        let failure = Failure::new(exit, error).context(format!("read {given}"));
        if denied {
            failure.hint("make it readable for this user, or run as root")
        } else {
            failure
        }
    })
}

fn read(source: impl Read) -> io::Result<Zeroizing<String>> {
    // A buffer that grew would leave a part of the secret behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * MAX_LEN));
    source.take(MAX_LEN as u64 + 1).read_to_string(&mut text)?;
    if text.len() > MAX_LEN { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

impl From<JoinStringError> for Failure {
    fn from(error: JoinStringError) -> Self {
        let hint = match error {
            JoinStringError::Form => "give the string, a file with it, or - for standard input",
            JoinStringError::Checksum => "copy it again, from its beginning to its end",
            JoinStringError::Later => "upgrade dosp-agent",
        };
        Self::new(Exit::Usage, error).hint(hint)
    }
}

impl From<NoHubAddr> for Failure {
    fn from(error: NoHubAddr) -> Self {
        Self::new(Exit::Usage, error).hint("ask whoever runs the hub for another join string")
    }
}

#[cfg(test)]
mod tests {
    use dosp_proto::identity::KEY_LEN;
    use tempfile::TempDir;

    use super::*;
    use crate::state::Membership;

    fn join(addr: &str) -> JoinString {
        let hub_key = [7; KEY_LEN].into();
        let addrs = vec![addr.to_owned()];
        JoinString { hub_key, addrs, join_key: None, name: None, vip: None, expires_at: None }
    }

    fn settings(dir: &TempDir) -> Settings {
        Settings { state: Some(dir.path().join("state")), ..Settings::default() }
    }

    #[test]
    fn string_and_file_are_taken() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("string");
        let (first, second) = (join("hub.example"), join("moved.example"));
        std::fs::write(&file, format!("{}\n", *second.to_text())).unwrap();
        for (given, join) in [(&first.to_text()[..], &first), (file.to_str().unwrap(), &second)] {
            run(given, &settings(&dir), None).unwrap();
            let joined = Membership::of_hub(&settings(&dir).state(), None).unwrap().unwrap();
            assert_eq!(joined.join, *join);
        }
    }

    #[test]
    fn what_is_no_join_string_leaves_nothing_behind() {
        let dir = TempDir::new().unwrap();
        let long = dir.path().join("long");
        std::fs::write(&long, "d".repeat(MAX_LEN + 1)).unwrap();
        let nowhere = join("quic://x").to_text();
        let missing = dir.path().join("missing");
        let [long, missing] = [&long, &missing].map(|path| path.to_str().unwrap());
        for given in ["", "hub.example", "dosp1:AAAA", &nowhere, missing, long] {
            assert!(run(given, &settings(&dir), None).is_err(), "{given}");
            assert!(!settings(&dir).state().exists(), "{given}");
        }
    }
}
