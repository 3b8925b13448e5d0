//! Tunnels of version 2 between real agents: who the peer is, and what is done where it is another.

#[path = "version2/common.rs"]
mod common;
#[path = "version2/keys.rs"]
mod keys;
#[path = "version2/lies.rs"]
mod lies;
#[path = "version2/ping.rs"]
mod ping;
#[path = "version2/secrets.rs"]
mod secrets;
#[path = "version2/traffic.rs"]
mod traffic;
