//! What the fuzzers do with an input: one module and one function a target.
//!
//! They are plain functions so that `cargo test` replays the corpus with any compiler. Each panics
//! when a rule of `dosp-proto` is broken; most inputs are a list of steps, read by [`Input`].

pub mod frame_decoder;
pub mod handshake;
pub mod hsk;
pub mod inflate;
mod input;
pub mod mpak;
pub mod packet;
mod pair;
pub mod sd;
pub mod tunnel;

use input::Input;

/// Every target by the name of its fuzzer and of its folder below `corpus/`.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("frame_decoder", frame_decoder::run),
    ("handshake", handshake::run),
    ("hsk", hsk::run),
    ("inflate", inflate::run),
    ("mpak", mpak::run),
    ("packet", packet::run),
    ("sd", sd::run),
    ("tunnel", tunnel::run),
];
