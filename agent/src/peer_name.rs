//! What peers are called: `bob` in the own hub's network, `bob.berlin` in the one of the hub `berlin`.

use std::fmt;
use std::str::FromStr;

use dosp_proto::label::{Label, LabelError};

/// A member's name, with that of its hub where that is another one than ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerName {
    /// What its own hub calls it.
    pub name: Label,
    /// What that hub is called.
    pub hub: Option<Label>,
}

impl From<Label> for PeerName {
    fn from(name: Label) -> Self {
        Self { name, hub: None }
    }
}

impl FromStr for PeerName {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let name = match text.split_once('.') {
            Some((name, hub)) => name.parse().and_then(|name| Ok((name, Some(hub.parse()?)))),
            None => text.parse().map(|name| (name, None)),
        };
        match name {
            Ok((name, hub)) => Ok(Self { name, hub }),
            // The whole of it is what somebody wrote, and what the error is to show.
            Err(error) => Err(text.parse::<Label>().err().unwrap_or(error)),
        }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hub {
            Some(hub) => write!(f, "{}.{hub}", self.name),
            None => self.name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_label_or_two() {
        for (text, shown) in [("Bob", "bob"), ("bob.Berlin", "bob.berlin"), ("a-1.b2", "a-1.b2")] {
            assert_eq!(text.parse::<PeerName>().unwrap().to_string(), shown);
        }
        for text in ["", ".", "bob.", ".berlin", "a.b.c", "a b.c", "bob._"] {
            let error = text.parse::<PeerName>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("'{text}' is no name")), "{error}");
        }
    }
}
