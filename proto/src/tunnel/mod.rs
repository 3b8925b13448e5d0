//! End-to-end tunnels: what the hub carries and cannot read.
//!
//! A tunnel belongs to one peer and rides in the DATA of S2C frames. Version 1, the public DoSP one,
//! hides content from a hub that follows the protocol, but does not know who is at the other end.
//! Version 2 does; its handshake rides behind that of version 1.

pub mod v1;
pub mod v2;
