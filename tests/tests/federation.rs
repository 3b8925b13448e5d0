//! Hubs that are linked: real binaries, each hub and each agent in a namespace of its own.

#[path = "federation/chain.rs"]
mod chain;
#[path = "federation/common.rs"]
mod common;
#[path = "federation/lifecycle.rs"]
mod lifecycle;
#[path = "federation/names.rs"]
mod names;
#[path = "federation/refused.rs"]
mod refused;
#[path = "federation/ring.rs"]
mod ring;
#[path = "federation/star.rs"]
mod star;
