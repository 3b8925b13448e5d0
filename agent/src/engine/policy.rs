//! What the operator allows of tunnels.

use serde::Deserialize;

/// The newest version of tunnels that this agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum C2c {
    /// Version 1 only, as plain DoSP clients do.
    V1,
    /// Version 2, and version 1 where the peer knows nothing else.
    #[default]
    V2,
}

/// What tunnels of version 1, which do not know who the peer is, are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Version1 {
    /// Nothing.
    Off,
    /// Raw messages, no IP.
    #[default]
    Messages,
    /// Raw messages and IP.
    All,
}
