//! The DoSP hub.
