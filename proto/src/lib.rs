//! The DoSP wire and its end-to-end tunnels, without I/O.
//!
//! Bytes and times come in, bytes and events go out: nothing here opens a socket, reads a clock
//! or draws from a global random number generator, so every rule can be tested in virtual time.
//!
//! | module | what it holds |
//! |---|---|
//! | [`buffer`] | a packet with room for its headers |
//! | [`frame`] | the unit on TCP: header, decoder, encoders |
//! | [`vip`] | virtual addresses and the networks they come from |
//! | [`message`] | the bodies of control frames |
//! | [`mpak`] | several frames in the body of one |
//! | [`zlib`] | compressed bodies, inflated within a limit |
//! | [`packet`] | the one place where an IP header is parsed |
//! | [`offload`] | super-packets: what a TUN leaves to its owner, checked, split and put together |
//! | [`sd`] | what hubs tell each other of their networks |
//! | [`federation`] | the same between hubs of ours, and the frames that they forward |
//! | [`tunnel`] | end-to-end encrypted tunnels between two agents |
//! | [`identity`] | a node's key, and its fingerprint for people |
//! | [`label`] | what a node may be called |
//! | [`secret`] | the secret that the agents of a network share |
//! | [`member`] | between an agent and its hub: who may join, the directory, what is sealed |
//! | [`join_string`] | what a node needs in order to join a network, in one line |
//! | [`backoff`] | how long to wait before a connection is tried again |
//! | [`limit`] | a token bucket over a given clock |
//!
//! The specification is `docs/protocol.md`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod aead;
pub mod backoff;
pub mod buffer;
mod checksum;
pub mod federation;
pub mod frame;
pub mod identity;
pub mod join_string;
pub mod label;
pub mod limit;
pub mod member;
pub mod message;
pub mod mpak;
mod noise;
pub mod offload;
pub mod packet;
mod replay;
pub mod sd;
pub mod secret;
pub mod tunnel;
pub mod vip;
pub mod zlib;

use std::time::Instant;

/// The present, handed in by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time, for every timer.
    pub instant: Instant,
    /// Seconds since 1970-01-01 UTC by the wall clock; only ever compared with a peer's.
    pub unix_time: u64,
}
