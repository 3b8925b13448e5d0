//! Between two hubs of ours: the routes that they tell each other, and the frames that they forward.
//!
//! What published hubs tell each other instead is in [`crate::sd`].

mod forwarded;
mod hub_id;
mod routes;

pub use forwarded::{FWD_EXTRA_LEN, FWD_HEADER_LEN, Forwarded, Forwarding, INITIAL_TTL};
pub use hub_id::HubId;
pub use routes::{Claim, MAX_PATH_LEN, RemoteNetwork, Routes};
