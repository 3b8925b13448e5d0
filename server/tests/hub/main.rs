//! A real hub on the loopback interface, and clients that speak bytes to it. It is in this process,
//! or a process of its own where its memory counts.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod admin;
mod client;
mod compression;
mod control;
mod crowds;
mod disk;
mod functions;
mod hostile;
mod joining;
mod links;
mod member;
mod members;
mod memory;
mod mpak;
mod pressure;
mod process;
mod published;
mod races;
mod routing;
mod sites;
mod stopping;
mod strangers;
mod uninvited;
