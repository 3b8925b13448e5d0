//! A real hub on the loopback interface, in this process, and clients that speak bytes to it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod admin;
mod client;
mod compression;
mod control;
mod functions;
mod hostile;
mod joining;
mod mpak;
mod pressure;
mod routing;
mod stopping;
