//! The agent's one connection to its hub, in parts that know nothing of each other.
//!
//! | module | what it holds |
//! |---|---|
//! | [`addr`] | where a hub is, as people write it |
//! | [`race`] | which of a hub's addresses is tried when |
//! | [`mod@dial`] | from a hub's names to a TCP connection; the only part that does I/O |
//! | [`join`] | from a TCP connection to a vIP: the greeting, entering, asking for a vIP, coming back |
//! | [`heartbeat`] | when to send PING, and when the hub is gone |
//! | [`roaming`] | what becomes of the link when the host moves or has slept |
//!
//! All but [`mod@dial`] are pure: times, frames and random numbers come in as arguments. The loop that
//! holds socket, clock and engine together is not here.

pub mod addr;
pub mod dial;
pub mod heartbeat;
pub mod join;
pub mod race;
pub mod roaming;

pub use addr::{HubAddr, HubAddrError, NoHubAddr, hub_addrs};
pub use dial::{DialError, dial, dial_any};
pub use heartbeat::{Heartbeat, HeartbeatAction};
pub use join::{Credentials, Join, JoinConfig, JoinError, Joined, Membership};
pub use roaming::{Roaming, RoamingAction, Verdict};
