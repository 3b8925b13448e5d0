//! The local socket of a running agent.
//!
//! One request a connection, one line of JSON; then one or more lines of JSON back. [`wire`] has
//! the lines, [`server`] the agent's end, [`client`] the commands' end.

pub mod client;
pub mod server;
pub mod wire;

pub use client::{Client, ControlError};
pub use server::{BindError, MAX_ECHO_LEN, Server};
