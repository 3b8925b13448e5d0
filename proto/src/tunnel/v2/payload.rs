//! What two nodes tell each other in a handshake: one JSON object, unknown fields ignored.

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::label::is_name;
use crate::offload::Offloads;

/// What a node says of itself. Nobody vouches for the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The name that it claims, where it claims a usable one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The kinds of frames that it takes.
    #[serde(default)]
    pub kinds: Vec<u8>,
    /// The longest DATA that it takes, in bytes.
    #[serde(default)]
    pub max_data_len: u32,
    /// Which super-packets it takes, in frames of kind 3.
    #[serde(default, skip_serializing_if = "Offloads::is_none")]
    pub super_packets: Offloads,
}

impl Introduction {
    /// Of a node that takes these super-packets.
    #[must_use]
    pub(super) fn ours(name: Option<String>, super_packets: Offloads) -> Self {
        let is_taken = |kind: &&Kind| **kind != Kind::SuperPacket || !super_packets.is_none();
        Self {
            name,
            kinds: Kind::ALL.iter().filter(is_taken).map(|kind| kind.byte()).collect(),
            max_data_len: super::MAX_DATA_LEN,
            super_packets,
        }
    }

    /// The same without the name, for whoever has not shown a key yet.
    pub(super) fn nameless(&self) -> Self {
        Self { name: None, ..self.clone() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Strings and numbers always are JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What cannot be read says nothing; an unusable name is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut introduction: Self = serde_json::from_slice(bytes).ok()?;
        introduction.name = introduction.name.filter(|name| is_name(name));
        Some(introduction)
    }

    /// Whether it takes frames of this kind.
    #[must_use]
    pub fn takes(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind.byte())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn introduction_is_json_and_unknown_fields_are_ignored() {
        let ours = Introduction::ours(Some("bob".to_owned()), Offloads::NONE);
        let text = String::from_utf8(ours.encode()).unwrap();
        assert_eq!(text, r#"{"name":"bob","kinds":[0,1,2,4,5],"max_data_len":1048568}"#);
        assert_eq!(Introduction::decode(text.as_bytes()), Some(ours.clone()));
        let later = r#"{"kinds":[0,9],"name":"Bob!","colour":"blue"}"#;
        let later = Introduction::decode(later.as_bytes()).unwrap();
        assert_eq!((later.name, later.kinds), (None, vec![0, 9]));
        assert_eq!(Introduction::decode(b"{"), None);
        assert_eq!(ours.nameless().name, None);
    }

    #[test]
    fn super_packets_are_announced_by_who_takes_some() {
        let ours = Introduction::ours(None, Offloads { tcp: true, udp: false });
        let text = String::from_utf8(ours.encode()).unwrap();
        let kinds = r#"{"kinds":[0,1,2,3,4,5],"max_data_len":1048568,"#;
        let super_packets = r#""super_packets":{"tcp":true,"udp":false}}"#;
        assert_eq!(text, [kinds, super_packets].concat());
        assert_eq!(Introduction::decode(text.as_bytes()), Some(ours));
        assert!(!Introduction::ours(None, Offloads::NONE).takes(Kind::SuperPacket));
    }
}
