use std::time::Duration;

use super::*;
use crate::control::wire::Peer;

/// The status of all tests, and how it was half a second before.
fn looks() -> (Status, Status) {
    let now: Status = serde_json::from_str(include_str!("../../status/golden.json")).unwrap();
    let mut before = now.clone();
    before.dropped.insert("multicast".to_owned(), 2);
    before.dropped.remove("not_ipv4");
    let [bob, carol] = before.peers.first_chunk_mut().unwrap();
    (bob.rx_bytes, bob.tx_bytes) = (0, 23_456_789 - 6_250_000);
    bob.dropped.clear();
    // Another agent than this one counted these.
    carol.tx_bytes = u64::MAX;
    (before, now)
}

fn drawn(before: Option<&Status>, now: &Status, width: usize, height: usize) -> String {
    let before = before.map(|before| (before, Duration::from_millis(500)));
    let lines = draw(&Change { now, before }, Size { width, height });
    assert!(lines.len() <= height, "{} lines in {height}", lines.len());
    let lines = lines.into_iter().map(|line| line.cut(width).paint(false) + "\n");
    lines.collect()
}

#[test]
fn picture_has_what_happens_now_and_with_whom() {
    let (before, now) = looks();
    assert_eq!(drawn(Some(&before), &now, 100, 30), include_str!("100x30.txt"));
}

#[test]
fn narrow_picture_has_whom_and_how_much() {
    let (before, now) = looks();
    assert_eq!(drawn(Some(&before), &now, 60, 15), include_str!("60x15.txt"));
    assert_eq!(drawn(Some(&before), &now, 40, 9), include_str!("40x9.txt"));
    // Nothing is to be seen here, and nothing goes wrong.
    for (width, height) in [(0, 0), (1, 1), (5, 4), (20, 6), (300, 100)] {
        draw(&Change::first(&now), Size { width, height });
    }
}

#[test]
fn first_look_knows_no_rates() {
    let (_, now) = looks();
    let picture = drawn(None, &now, 100, 30);
    assert!(picture.contains("now    in -, out -, drops -\n"), "{picture}");
    assert_eq!(lines(&Change::first(&now)).len(), 1, "no peer is known to be busy");
}

#[test]
fn sum_is_unknown_after_another_agent_has_begun_to_count() {
    let (before, now) = looks();
    let sums = |before: &Status, now: &Status| -> String {
        let before = Some((before, Duration::from_millis(500)));
        let line = lines(&Change { now, before }).remove(0);
        ["in ", "out ", "drops "]
            .map(|label| line.split_once(label).unwrap().1.split(' ').next().unwrap())
            .join(" ")
    };
    assert_eq!(sums(&now, &now), "0 0 0");
    let mut restarted = now.clone();
    restarted.dropped.clear();
    restarted.peers.truncate(1);
    restarted.peers[0].rx_bytes = 0;
    assert_eq!(sums(&now, &restarted), "- 0 -");
    restarted.peers.clear();
    assert_eq!(sums(&now, &restarted), "- - -");
    assert_eq!(sums(&restarted, &restarted), "0 0 0", "there was nobody");
    let mut fewer = now.clone();
    fewer.peers.truncate(1);
    assert_eq!(sums(&now, &fewer), "0 0 0", "who went does not count");
    assert_eq!(sums(&fewer, &now), "0 0 0", "nor who came");
    assert_ne!(sums(&before, &now), sums(&now, &now));
}

#[test]
fn busiest_peers_stay_where_not_all_fit() {
    let (mut before, mut now) = looks();
    let template = now.peers.first().unwrap().clone();
    let peer = |number: u32, rx_bytes: u64| Peer {
        vip: (0x0A00_0100 + number).into(),
        name: Some(format!("node{number:02}")),
        rx_bytes,
        ..template.clone()
    };
    before.peers = (0..40).map(|number| peer(number, 0)).collect();
    let bytes = |number| if matches!(number, 7 | 20 | 39) { 1000 } else { u64::from(number % 7) };
    now.peers = (0..40).map(|number| peer(number, bytes(number))).collect();
    let picture = drawn(Some(&before), &now, 60, 13);
    let shown: Vec<_> =
        picture.lines().skip(7).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(shown, ["node06", "node07", "node13", "node20", "node39", "and"], "{picture}");
    assert!(picture.ends_with("\nand 35 more\n"), "{picture}");
}

#[test]
fn agent_without_a_link_says_why() {
    let (_, now) = looks();
    let now = Status {
        state: State::Connecting,
        up_for_ns: None,
        link: None,
        queue: None,
        last_error: Some("no route\x1b[2J".to_owned()),
        peers: Vec::new(),
        ..now
    };
    let picture = drawn(None, &now, 80, 24);
    let title = r"alice  7.10.0.2 in 7.10.0.0/24  connecting: no route\u{1b}[2J";
    assert_eq!(picture.lines().next(), Some(title));
    assert!(picture.ends_with("\nthis host has not spoken to any peer yet\n"), "{picture}");
}

#[test]
fn lines_name_whoever_was_busy() {
    let (before, now) = looks();
    let change = Change { now: &now, before: Some((&before, Duration::from_millis(500))) };
    let expected = [
        "link up hub hub.example.org:7744 rtt 12.3 ms in 198 kbit/s out - queued 6.1 kB drops 34/s",
        "peer bob 7.10.0.3 direct in 198 kbit/s out 100 Mbit/s rtt 31.4 ms queued 0 B drops 2.0/s",
    ];
    assert_eq!(lines(&change), expected);
}
