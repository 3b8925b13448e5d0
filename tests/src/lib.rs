//! The harness of the end-to-end tests: hosts in network namespaces, real binaries, a real TUN.
//!
//! | module | what it holds |
//! |---|---|
//! | [`netns`] | namespaces and the star of hosts around a hub |
//! | [`process`] | programs in them: output, exit code, time limit, signals |
//! | [`binaries`] | the binaries under test |
//! | [`clocks`] | a clock that jumps |
//! | [`dosp`] | the hub and the agents |
//! | [`federation`] | hubs with wires between them |
//! | [`mod@iperf`] | one run of iperf3 between two agents |
//! | [`courier`] | numbered messages from one host to another |
//! | [`liar`] | a hub that lies about tunnels |
//! | [`member`] | a member of a closed hub that only joins |
//! | [`metrics`] | figures for Prometheus, and what the documentation says of them |
//! | [`preload`] | libraries that are laid over the system's, for one program |
//! | [`published`] | the published Python package, a virtual environment a version |
//! | [`supervisor`] | a service manager that is told how a program is |
//! | [`ssh`] | a throw-away ssh server, its client, scp |
//! | [`tmux`] | a terminal to look at and to type into |
//! | [`wait`] | waiting for a condition, with a deadline |
//!
//! Everything is undone on drop, also when a test fails: processes are ended by their id, namespaces
//! are removed. Names carry the id of the test's process, so that runs do not meet. What a test
//! process that was killed left behind is removed by the next one.

#![allow(clippy::print_stderr)]

pub mod binaries;
pub mod clocks;
pub mod courier;
pub mod dosp;
pub mod federation;
pub mod iperf;
pub mod liar;
pub mod member;
pub mod metrics;
pub mod netns;
pub mod preload;
pub mod process;
pub mod published;
pub mod ssh;
pub mod supervisor;
pub mod tmux;
pub mod wait;

pub use clocks::JumpingClock;
pub use courier::Courier;
pub use dosp::{Agent, Hub, Overlay};
pub use federation::Federation;
pub use liar::{Liar, Lie};
pub use netns::{Host, Net};
pub use process::{Output, Process};
pub use supervisor::Supervisor;
pub use tmux::Tmux;
pub use wait::{measured, wait_for, wait_until};

/// Whether this process may make namespaces.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Ends the test, successfully but loudly, where it cannot run.
#[macro_export]
macro_rules! needs_root {
    () => {
        if !$crate::is_root() {
            eprintln!("SKIPPED: {} needs root for its network namespaces", module_path!());
            return Ok(());
        }
    };
}
