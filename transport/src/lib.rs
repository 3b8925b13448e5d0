//! How frames get onto a TCP connection: fairly, and in time. Used by both programs, knows neither.
//!
//! | module | what it holds |
//! |---|---|
//! | [`fq_codel`] | what waits for a connection: whose turn it is, and what has waited too long |
//! | [`congestion`] | cubic or BBR: what is asked for, and what the path calls for |
//! | [`pace`] | how many bytes wait in the kernel, and how long they may wait before it |
//! | [`socket`] | the options of a connection, and what its kernel knows of the path |
//! | [`governor`] | the options while a connection runs: samples it, and sets what follows |
//!
//! What has been written to a socket can neither be dropped nor overtaken. So little waits in the
//! kernel, and the rest in a queue with rules.

#![warn(missing_docs)]

pub mod congestion;
pub mod fq_codel;
pub mod governor;
pub mod pace;
pub mod socket;
