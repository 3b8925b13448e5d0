//! One hub in the middle and four around it.

use anyhow::Result;
use dosp_tests::{Federation, needs_root};

use crate::common::wait_until_reached;

#[test]
fn agents_of_all_leaves_reach_each_other() -> Result<()> {
    needs_root!();
    let star = Federation::start(5, &[(0, 1), (0, 2), (0, 3), (0, 4)])?;

    for from in 1..5 {
        for to in (1..5).filter(|to| *to != from) {
            wait_until_reached(&star, from, to)?;
        }
    }
    Ok(())
}
