//! `docs/interop.md` and the tests are the same list.

use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../docs/interop.md");
const TESTS: &[&str] = &[
    include_str!("administration.rs"),
    include_str!("at_our_hub.rs"),
    include_str!("at_published_hubs.rs"),
    include_str!("compression.rs"),
    include_str!("federation.rs"),
    include_str!("with_our_agent.rs"),
];

#[test]
fn every_row_has_its_test_and_every_test_its_row() {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: BTreeSet<&str> = rows.collect();
    let listed = |source: &&'static str| {
        let after = source.split("with_every_version!(").nth(1).unwrap_or_default();
        after
            .split(')')
            .next()
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
    };
    let mut tests: BTreeSet<&str> = TESTS.iter().flat_map(listed).collect();
    for source in TESTS {
        let single = source.split("#[tokio::test]\nasync fn ").skip(1);
        tests.extend(single.filter_map(|rest| rest.split('(').next()));
    }
    assert_eq!(rows, tests);
}
