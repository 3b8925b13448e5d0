mod model;

use dosp_proto::member::{MAX_PAGE_LEN, Node};

use super::news::{PAGE_LEN, paged};
use super::*;

#[test]
fn pages_are_bounded_and_the_last_one_says_so() {
    let node = |x: u32| Node {
        key: [7; 32].into(),
        vip: Vip::from(x),
        name: "x".repeat(63).parse().ok(),
        is_online: false,
    };
    for num in [0, 1, PAGE_LEN, PAGE_LEN + 1, 1000] {
        let nodes: Vec<_> = (0..num).map(|x| node(u32::MAX - u32::try_from(x).unwrap())).collect();
        let removed = vec![[3; 32].into(); num];
        let pages = paged(true, nodes.clone(), removed.clone());
        assert!(
            pages.iter().all(|page| Control::Nodes(page.clone()).encode().len() < MAX_PAGE_LEN)
        );
        let is_done: Vec<_> = pages.iter().map(|page| page.is_done).collect();
        let is_snapshot: Vec<_> = pages.iter().map(|page| page.is_snapshot).collect();
        assert!(is_done.iter().rev().skip(1).all(|is_done| !is_done) && is_done.ends_with(&[true]));
        assert!(is_snapshot.iter().skip(1).all(|again| !again) && is_snapshot[0]);
        assert_eq!(pages.iter().flat_map(|page| page.nodes.clone()).collect::<Vec<_>>(), nodes);
        assert_eq!(pages.iter().map(|page| page.removed.len()).sum::<usize>(), removed.len());
    }
}
