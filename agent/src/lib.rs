//! The DoSP agent.
