//! Other hubs: the networks behind them, and which way leads there.

pub mod table;
