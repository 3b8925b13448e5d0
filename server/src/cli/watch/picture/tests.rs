use std::time::Duration;

use dosp_server::control::wire::{Peers, SessionStatus, Status};

use super::*;

/// The snapshot of all tests, and how it was half a second before.
fn looks() -> (Snapshot, Snapshot) {
    let status: Status = serde_json::from_str(include_str!("status.json")).unwrap();
    let peers: Peers = serde_json::from_str(include_str!("peers.json")).unwrap();
    let now = Snapshot { status, peers };
    let mut before = now.clone();
    before.status.rx_frames -= 500;
    before.status.rx_bytes -= 1_500_000;
    before.status.tx_bytes -= 250;
    before.status.dropped.insert("queue_delay".to_owned(), 1);
    let [bob, carol] = before.status.sessions.first_chunk_mut().unwrap();
    (bob.rx_bytes, bob.tx_bytes) = (0, 0);
    // She was here before, from another address.
    carol.addr.set_port(1);
    let lab = before.peers.peers.first_mut().unwrap();
    (lab.rx_bytes, lab.dropped_frames) = (0, 1);
    (before, now)
}

fn drawn(before: &Snapshot, now: &Snapshot, width: usize, height: usize) -> String {
    let before = Some((before, Duration::from_millis(500)));
    let lines = draw(&Change { now, before }, Size { width, height });
    assert!(lines.len() <= height, "{} lines in {height}", lines.len());
    lines.into_iter().map(|line| line.cut(width).paint(false) + "\n").collect()
}

#[test]
fn picture_has_clients_and_links() {
    let (before, now) = looks();
    assert_eq!(drawn(&before, &now, 100, 30), include_str!("100x30.txt"));
    assert_eq!(drawn(&before, &now, 60, 15), include_str!("60x15.txt"));
    // Nothing is to be seen here, and nothing goes wrong.
    for (width, height) in [(0, 0), (1, 1), (5, 4), (20, 6), (300, 100)] {
        draw(&Change::first(&now), Size { width, height });
    }
}

#[test]
fn busiest_clients_stay_where_not_all_fit() {
    let (mut before, mut now) = looks();
    let template = now.status.sessions.first().unwrap().clone();
    let client = |number: u32, rx_bytes: u64| SessionStatus {
        vip: (0x0A01_0200 + number).into(),
        name: Some(format!("node{number:02}").parse().unwrap()),
        rx_bytes,
        tx_bytes: 0,
        ..template.clone()
    };
    before.status.sessions = (2..42).map(|number| client(number, 0)).collect();
    let bytes = |number| if matches!(number, 7 | 20 | 39) { 1000 } else { 0 };
    now.status.sessions = (2..42).map(|number| client(number, bytes(number))).collect();
    let picture = drawn(&before, &now, 60, 13);
    let shown: Vec<_> = picture.lines().skip(5).map(|it| it.split(' ').next().unwrap()).collect();
    assert_eq!(shown, ["node07", "node20", "node39", "and", "", "LINK", "lab", "-"], "{picture}");
    assert!(picture.contains("\nand 37 more\n"), "{picture}");
}

#[test]
fn hub_without_clients_says_so() {
    let (mut before, mut now) = looks();
    before.status.sessions.clear();
    now.status.sessions.clear();
    now.peers.peers.clear();
    let picture = drawn(&before, &now, 80, 24);
    assert!(picture.ends_with("\n\nnobody is connected\n"), "{picture}");
}

#[test]
fn hub_that_began_anew_has_no_rates_yet() {
    let (_, before) = looks();
    let mut now = before.clone();
    (now.status.rx_frames, now.status.rx_bytes, now.status.tx_bytes) = (3, 400, 500);
    now.status.dropped.insert("queue_full".to_owned(), 0);
    let picture = drawn(&before, &now, 100, 30);
    assert!(picture.contains("\nnow      in -, out -, drops -, - frames\n"), "{picture}");
    let change = Change { now: &now, before: Some((&before, Duration::from_millis(500))) };
    assert_eq!(lines(&change)[0], "hub clients 2 in - out - frames - drops -");
}

#[test]
fn lines_name_whoever_was_busy() {
    let (before, now) = looks();
    let change = Change { now: &now, before: Some((&before, Duration::from_millis(500))) };
    let expected = [
        "hub clients 2 in 24.0 Mbit/s out 4.00 kbit/s frames 1.00k/s drops 12/s",
        "client bob 10.1.2.2 192.0.2.7:5000 in 16.0 Mbit/s out 3.20 kbit/s queued 3.0 kB rtt 25.0 ms",
        "link lab 10.8.0.0/16 up in 1.44 Mbit/s out 0 queued 1.5 kB rtt 12.3 ms drops 4.0/s",
        "link - 10.9.0.0/24 waiting in 0 out 0 queued 0 B rtt - drops 0",
    ];
    assert_eq!(lines(&change), expected);
}
