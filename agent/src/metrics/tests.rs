use std::time::Duration;

use dosp_proto::vip::Vip;

use super::*;
use crate::engine::{Drops, TunnelState};
use crate::remote::Way;

fn peer(number: u32) -> PeerReport {
    let mut drops = Drops::default();
    drops.add_times(DropReason::Forged, 2);
    drops.add(DropReason::TooLate);
    PeerReport {
        rtt: None,
        vip: Vip::from(0x0A01_0000 + number),
        tunnel: TunnelState::Open,
        version: None,
        proven: None,
        session_age: Some(Duration::from_secs(1)),
        verified_ago: None,
        rx_frames: 1,
        rx_bytes: 100,
        tx_frames: 2,
        tx_bytes: 200,
        queued_len: 50,
        drops,
        refusal: None,
        way: Way::default(),
    }
}

fn exposed(num_peers: u32) -> String {
    let mut exposition = Exposition::default();
    expose_peers(&(1..=num_peers).map(peer).collect::<Vec<_>>(), &mut exposition);
    exposition.into_text()
}

#[test]
fn peers_have_figures_of_their_own_while_they_are_few() {
    let text = exposed(64);
    let figures = text.lines().filter(|line| line.contains("{peer=\"10.1.0."));
    assert_eq!(figures.count(), 4 * 64);
    for figure in ["rx_bytes_total", "tx_bytes_total", "dropped_total", "queued_bytes"] {
        assert!(
            text.contains(&format!("dosp_agent_peer_{figure}{{peer=\"10.1.0.64\"}} ")),
            "{text}"
        );
    }
    assert!(text.contains("dosp_agent_peer_dropped_total{peer=\"10.1.0.1\"} 3\n"), "{text}");
    let text = exposed(65);
    assert!(!text.contains("{peer="), "{text}");
    assert!(text.contains("# TYPE dosp_agent_peer_rx_bytes_total counter\n"), "{text}");
}

#[test]
fn figures_of_a_connection_are_there_when_it_is_and_what_is_not_measured_is_left_out() {
    let exposed = |path: Option<&governor::Report>| {
        let mut exposition = Exposition::default();
        expose_link(path, &mut exposition);
        let text = exposition.into_text();
        let figures = text.lines().filter(|line| !line.starts_with('#'));
        figures.map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(exposed(None).is_empty());
    let new = governor::Report::default();
    let expected =
        ["dosp_agent_link_retransmitted_segments_total 0", "dosp_agent_link_unsent_limit_bytes 0"];
    assert_eq!(exposed(Some(&new)), expected);
    let measured = governor::Report {
        congestion: "bbr".to_owned(),
        rtt: Duration::from_micros(1500),
        delivery_rate: Some(7),
        ..new
    };
    let figures = exposed(Some(&measured));
    for figure in [
        "dosp_agent_link_rtt_seconds 0.0015",
        "dosp_agent_link_delivery_bytes_per_second 7",
        "dosp_agent_link_congestion_info{congestion=\"bbr\"} 1",
    ] {
        assert!(figures.iter().any(|line| line == figure), "{figure} is not in {figures:?}");
    }
}
