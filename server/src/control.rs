//! The local socket of a running hub.
//!
//! One request a connection, one line of JSON; then one line of JSON back. [`wire`] has the lines,
//! [`server`] the hub's end, [`client`] the commands' end.

pub mod client;
pub mod server;
pub mod wire;

/// Where the socket is unless somebody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/dosp/server.sock";
