//! Links with other hubs: two of ours, and a hub that lies.

mod bounds;
mod liar;
mod lies;
mod slow;
