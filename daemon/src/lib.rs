//! What both programs need as daemons, and what has nothing to do with networks of vIPs.
//!
//! | module | what it holds |
//! |---|---|
//! | [`log`] | how lines of the log look, and how many of a kind there are |
//! | [`metrics`] | figures for Prometheus: their text, and the HTTP that carries it |
//! | [`private`] | reading and writing files that are for their owner alone |
//! | [`service`] | what a service manager is told |
//!
//! It knows nothing of agents and hubs: they bring their figures.

pub mod log;
pub mod metrics;
pub mod private;
pub mod service;
