//! How frames get onto a TCP connection: fairly, and in time. Used by both programs, knows neither.
//!
//! | module | what it holds |
//! |---|---|
//! | [`fq_codel`] | what waits for a connection: whose turn it is, and what has waited too long |
//!
//! What has been written to a socket can neither be dropped nor overtaken. So little waits in the
//! kernel, and the rest in a queue with rules.

#![warn(missing_docs)]

pub mod fq_codel;
