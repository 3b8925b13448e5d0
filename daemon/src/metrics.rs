//! Figures for Prometheus: `GET /metrics` over HTTP.
//!
//! A program describes each figure once, as a [`Family`], and writes them all into an [`Exposition`]
//! whenever somebody asks; nothing is counted here. [`Endpoint`] is the socket, [`Process`] what the
//! system knows of the program itself.
//!
//! The text is Prometheus' own format, version 0.0.4, which every scraper reads; it is written here as it
//! is three kinds of lines. Requests are parsed by `httparse`; each connection gets one answer, so there
//! is no more of HTTP to be known.

mod endpoint;
mod exposition;
mod process;
mod request;

pub use endpoint::{Endpoint, ListenError};
pub use exposition::{Exposition, Family, Kind};
pub use process::Process;
