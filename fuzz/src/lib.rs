//! What the fuzzers do with an input: one module and one function a target.
//!
//! They are plain functions so that `cargo test` replays the corpus with any compiler. Each panics
//! when a rule of `dosp-proto` is broken; most inputs are a list of steps, read by [`Input`].

pub mod forwarded;
pub mod frame_decoder;
pub mod frames_v2;
pub mod handshake;
pub mod handshake_v2;
pub mod hsk;
pub mod inflate;
mod input;
pub mod join_string;
pub mod member_handshake;
pub mod member_words;
pub mod mpak;
pub mod packet;
mod pair;
mod pair_v2;
pub mod sd;
pub mod splitter;
pub mod tunnel;
pub mod tunnel_v2;
pub mod vnet_header;

use input::Input;

/// The name of a fuzzer, and of its folder below `corpus/`, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("forwarded", forwarded::run),
    ("frame_decoder", frame_decoder::run),
    ("frames_v2", frames_v2::run),
    ("handshake", handshake::run),
    ("handshake_v2", handshake_v2::run),
    ("hsk", hsk::run),
    ("inflate", inflate::run),
    ("join_string", join_string::run),
    ("member_handshake", member_handshake::run),
    ("member_words", member_words::run),
    ("mpak", mpak::run),
    ("packet", packet::run),
    ("sd", sd::run),
    ("splitter", splitter::run),
    ("tunnel", tunnel::run),
    ("tunnel_v2", tunnel_v2::run),
    ("vnet_header", vnet_header::run),
];
