//! Networks with members: joining, what members keep, who is refused, and names.

#[path = "membership/changes.rs"]
mod changes;
#[path = "membership/clocks.rs"]
mod clocks;
#[path = "membership/common.rs"]
mod common;
#[path = "membership/crowd.rs"]
mod crowd;
#[path = "membership/damage.rs"]
mod damage;
#[path = "membership/first.rs"]
mod first;
#[path = "membership/leaving.rs"]
mod leaving;
#[path = "membership/names.rs"]
mod names;
#[path = "membership/refused.rs"]
mod refused;
#[path = "membership/returning.rs"]
mod returning;
#[path = "membership/strangers.rs"]
mod strangers;
