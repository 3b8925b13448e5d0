//! The agent's one connection to its hub, in parts that know nothing of each other.
//!
//! | module | what it holds |
//! |---|---|
//! | [`addr`] | where a hub is, as people write it |
//! | [`mod@dial`] | from a hub's name to a TCP connection; the only part that does I/O |
//! | [`join`] | from a TCP connection to a vIP: the greeting, entering, asking for a vIP, coming back |
//! | [`heartbeat`] | when to send PING, and when the hub is gone |
//!
//! All but [`mod@dial`] are pure: times, frames and random numbers come in as arguments. The loop that
//! holds socket, clock and engine together is not here.

pub mod addr;
pub mod dial;
pub mod heartbeat;
pub mod join;

pub use addr::{HubAddr, HubAddrError, NoHubAddr, hub_addrs};
pub use dial::{DialError, dial, dial_any};
pub use heartbeat::{Heartbeat, HeartbeatAction};
pub use join::{Credentials, Join, JoinConfig, JoinError, Joined, Membership};
