//! End-to-end tunnels: what the hub carries and cannot read.
//!
//! A tunnel belongs to one peer and rides in the DATA of S2C frames. Only version 1, the public
//! DoSP one, exists so far; it hides content from a hub that follows the protocol, but does not
//! know who is at the other end.

pub mod v1;
