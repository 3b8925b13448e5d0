//! `dosp-agent doctor` in set-ups that are broken in one way each, and `dosp-agent bugreport`.

#[path = "doctor/bugreport.rs"]
mod bugreport;
#[path = "doctor/common.rs"]
mod common;
#[path = "doctor/host.rs"]
mod host;
#[path = "doctor/path.rs"]
mod path;
