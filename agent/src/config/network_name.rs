//! `--network NAME`: one of several networks of this host, each with an agent and places of its own.

use std::path::PathBuf;
use std::str::FromStr;

use super::Settings;

/// An interface's name has 15 bytes at most, and ours begins with `dosp-`.
const MAX_LEN: usize = 10;

/// What this host calls one of its networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkName(String);

/// No name for a network of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network's name has 1 to {MAX_LEN} characters: a to z, 0 to 9, and '-'")]
pub struct NetworkNameError;

impl FromStr for NetworkName {
    type Err = NetworkNameError;

    fn from_str(text: &str) -> Result<Self, NetworkNameError> {
        // It becomes part of paths.
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NetworkNameError)
        }
    }
}

impl NetworkName {
    /// The configuration file, where no other is named.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        PathBuf::from(format!("/etc/dosp/agent/{}.toml", self.0))
    }

    /// Its service's unit.
    #[must_use]
    pub fn unit(&self) -> String {
        format!("dosp-agent@{}", self.0)
    }

    /// `advice` with its commands made those of this network: a fix that names no network is one for
    /// another agent.
    #[must_use]
    pub fn in_commands(&self, advice: &str) -> String {
        advice.replace("dosp-agent ", &format!("dosp-agent --network {} ", self.0))
    }

    /// Its own places, in place of the default ones.
    #[must_use]
    pub fn places(&self) -> Settings {
        let name = &self.0;
        Settings {
            state: Some(PathBuf::from(format!("/var/lib/dosp/agent-{name}"))),
            socket: Some(PathBuf::from(format!("/run/dosp/agent-{name}.sock"))),
            tun: Some(format!("dosp-{name}")),
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tun::linux::MAX_NAME_LEN;

    #[test]
    fn names_fit_into_paths_and_interfaces() {
        for text in ["", "elevenchars", "Work", "a/b", "..", "a b", "grün", "a_b"] {
            assert_eq!(text.parse::<NetworkName>(), Err(NetworkNameError), "{text}");
        }
        for text in ["a", "tenletters", "0-9"] {
            let name: NetworkName = text.parse().unwrap();
            assert!(name.places().tun().len() <= MAX_NAME_LEN, "{text}");
        }
    }

    #[test]
    fn advice_is_for_the_network_s_own_agent() {
        let work: NetworkName = "work".parse().unwrap();
        let advice = work.in_commands("'dosp-agent down', then 'dosp-agent up'; 'dosp-server'");
        let expected =
            "'dosp-agent --network work down', then 'dosp-agent --network work up'; 'dosp-server'";
        assert_eq!(advice, expected);
        assert_eq!(work.unit(), "dosp-agent@work");
    }

    #[test]
    fn networks_share_no_place() {
        let [work, home] =
            ["work", "home"].map(|name| name.parse::<NetworkName>().unwrap().places());
        let all = [work.clone(), home, Settings::default()];
        for (index, one) in all.iter().enumerate() {
            for other in all.iter().skip(index + 1) {
                assert_ne!(one.socket(), other.socket());
                assert_ne!(one.state(), other.state());
                assert_ne!(one.tun(), other.tun());
            }
        }
        assert_eq!(work.tun(), "dosp-work");
        assert_eq!(work.socket(), Path::new("/run/dosp/agent-work.sock"));
        assert_eq!(work.state(), Path::new("/var/lib/dosp/agent-work"));
    }
}
