//! What members and their hubs say to each other.

use dosp_proto::federation::{Claim, RemoteNetwork, Routes};
use dosp_proto::frame::FrameType;
use dosp_proto::join_string::{JoinKey, JoinString};
use dosp_proto::member::{Control, Gone, GoneReason, Join, Node, Nodes, Refusal, Refused, Welcome};
use dosp_proto::vip::Network;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{vips, write};

pub(super) fn member_handshake() {
    // A step for each message, then of each word the side and its steps.
    write("member_handshake", "undisturbed", &[0, 0, 0, 0, 0, 1, 0, 0, 0]);
    for (name, steps) in [
        ("key_changed", &[1, 0, 3, 0x80][..]),
        ("answer_changed", &[0, 1, 0, 40, 1]),
        ("proof_changed", &[0, 0, 1, 0, 7, 1]),
        ("made_up", &[4, 32, 1, 2, 3, 4]),
        ("replayed_key", &[5, 3]),
        ("replayed_answer", &[0, 5, 3]),
        ("replayed_proof", &[0, 0, 5, 3]),
        ("out_of_order", &[0, 5, 1]),
        ("words", &[0, 0, 0, 0, 5, 1, 1, 0, 2, 1, 2, 9, 0, 1, 5, 1, 4, 2, 7, 7, 0]),
    ] {
        write("member_handshake", name, steps);
    }
}

pub(super) fn member_words() {
    let (a, b) = vips();
    let name = "bob".parse().ok();
    let join_key = Some(join_key());
    let join = Join { join_key, name: name.clone(), vip: Some(a), ..Join::default() };
    let network = Network::DEFAULT;
    let remote = |num_hops| RemoteNetwork { network, hub: name.clone(), num_hops };
    let networks = vec![remote(Some(2)), remote(None)];
    let claim = Claim { network, hub: name.clone(), path: vec![[1; 4].into(), [2; 4].into()] };
    let routes = Routes { max_frame_len: 1 << 20, routes: vec![claim] };
    let welcome = Welcome {
        vip: a,
        network,
        name: name.clone(),
        is_closed: true,
        time: 7,
        networks: networks.clone(),
    };
    let refused = Refused { reason: Refusal::NameTaken, text: "no".to_owned(), time: 7 };
    let node = Node { key: [3; 32].into(), vip: b, name: name.clone(), is_online: true };
    let removed = vec![[4; 32].into()];
    let nodes = vec![node];
    let nodes = Nodes { network: Some(network), is_snapshot: true, nodes, removed, is_done: true };
    let gone = Gone::new(b, GoneReason::Offline);
    for (name, word) in [
        ("join", Control::Join(Box::new(join))),
        ("welcome", Control::Welcome(Box::new(welcome))),
        ("refused", Control::Refused(refused)),
        ("nodes", Control::Nodes(nodes)),
        ("gone", Control::Gone(gone.clone())),
        ("gone_elsewhere", Control::Gone(Gone { to: Some(a), ttl: 8, ..gone })),
        ("routes", Control::Routes(routes)),
        ("networks", Control::Networks(networks)),
        ("list", Control::List(network)),
        ("ping", Control::Ping),
        ("frame", Control::Frame(FrameType::FN, b"time".to_vec())),
    ] {
        write("member_words", name, &word.encode());
    }
    write("member_words", "other_reason", b"\x03{\"reason\":\"too_tall\",\"height\":3}");
    write(
        "member_words",
        "other_network",
        b"\x02{\"vip\":\"1.2.3.4\",\"network\":\"10.0.0.0/16\"}",
    );
}

pub(super) fn join_string() {
    let full = JoinString {
        hub_key: [7; 32].into(),
        addrs: vec!["hub.example:7744".to_owned(), "[2001:db8::1]:7744".to_owned()],
        join_key: Some(join_key()),
        name: "bob".parse().ok(),
        vip: Some(vips().0),
        expires_at: Some(1_800_000_000),
    };
    // Even: the text; odd: the content.
    write("join_string", "text", &[b"\0", full.to_text().as_bytes()].concat());
    let content = |flags: u8, rest: &[u8]| [&[1, flags][..], &[7; 32], rest].concat();
    write("join_string", "content", &content(0, b"\x01\x05h:774"));
    let all = [&[8; 32][..], &[10, 1, 2, 3], &[0; 8], b"\x03Bob\0"].concat();
    write("join_string", "content_of_all", &content(15, &all));
    write("join_string", "later", &content(0x80, b"\0"));
    write("join_string", "too_many_addresses", &content(0, b"\x09\0\0\0\0\0\0\0\0\0"));
}

fn join_key() -> JoinKey {
    JoinKey::generate(&mut StdRng::seed_from_u64(1))
}
