//! Who is a member: the part of a hub that remembers.
//!
//! [`ledger`] decides and needs no disk, [`record`] is what it remembers, one row at a time;
//! [`store`] has the rows on disk, and [`keeper`] stores what many sessions want stored at once.
//! [`command`] is what people ask of it, [`snapshot`] all rows at one moment.

pub mod command;
pub mod keeper;
pub mod ledger;
pub mod record;
pub mod snapshot;
pub mod store;
