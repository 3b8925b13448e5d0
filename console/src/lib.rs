//! What the commands of both programs share where people read: units, tables, a picture that follows.
//!
//! | module | what it holds |
//! |---|---|
//! | [`units`] | numbers in words, without I/O |
//! | [`mod@line`] | lines with styles, cut to a width, without I/O |
//! | [`table`] | columns, of which the least important go first, without I/O |
//! | [`change`] | rates, from the difference of two looks, without I/O |
//! | [`watch`] | the loop that asks and draws; `terminal` and `events` are its two ends |
//!
//! It knows nothing of hubs and agents: what they show is theirs, as a [`watch::View`].

pub mod change;
mod events;
pub mod line;
pub mod table;
mod terminal;
pub mod units;
pub mod watch;

pub use terminal::has_colour;
