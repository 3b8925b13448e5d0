//! A node and a hub that the test plays, over loopback.

use std::sync::{Arc, Mutex};

use dosp_proto::federation::RemoteNetwork;
use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder, FrameType};
use dosp_proto::identity::IdentityKey;
use dosp_proto::member::{Answerer, Channel, Control, Welcome};
use dosp_proto::message::{Hsk, encode_greeting};
use dosp_proto::vip::Network;
use rand::SeedableRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::engine::EngineConfig;
use crate::host::Change;
use crate::test_log::TestLog;
use crate::tun::ChannelTun;

/// What a host was asked to route, each time.
type Asked = Arc<Mutex<Vec<Vec<String>>>>;

/// A host with something in the way of one network.
struct Crowded {
    asked: Asked,
    taken: Network,
}

#[derive(Debug, thiserror::Error)]
#[error("something is in the way")]
struct InTheWay;

impl Host for Crowded {
    type Error = InTheWay;

    async fn apply(&mut self, _: Option<Overlay>, _: Overlay, _: IpAddr) -> Result<(), InTheWay> {
        Ok(())
    }

    async fn route(&mut self, networks: &[Network], _: IpAddr) -> Vec<(Network, InTheWay)> {
        let asked = networks.iter().map(ToString::to_string).collect();
        self.asked.lock().unwrap().push(asked);
        let taken = networks.iter().filter(|network| **network == self.taken);
        taken.map(|network| (*network, InTheWay)).collect()
    }
}

/// A host that moves when it is told to: then no address is its own any more.
struct Moving(mpsc::Receiver<Change>);

impl Host for Moving {
    type Error = InTheWay;

    async fn apply(&mut self, _: Option<Overlay>, _: Overlay, _: IpAddr) -> Result<(), InTheWay> {
        Ok(())
    }

    async fn route(&mut self, _: &[Network], _: IpAddr) -> Vec<(Network, InTheWay)> {
        Vec::new()
    }

    async fn changed(&mut self) -> Change {
        match self.0.recv().await {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }

    async fn has_address(&mut self, _: IpAddr) -> bool {
        false
    }
}

/// The hub's side of one connection.
struct Session {
    stream: TcpStream,
    channel: Channel,
}

impl Session {
    /// Takes whoever comes next in.
    async fn accept(listener: &TcpListener, networks: Vec<RemoteNetwork>) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let key = IdentityKey::generate(&mut rng);
        let (mut stream, _) = listener.accept().await.unwrap();
        let greeting = encode_greeting(Vip::NONE, Hsk { token: Hsk::DOSP_NET, ..Hsk::OURS });
        stream.write_all(&greeting).await.unwrap();
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
        let message_1 = next_frame(&mut stream, &mut decoder, FrameType::XHS).await;
        let (answerer, message_2) =
            Answerer::answer(&key, &greeting, &message_1, &mut rng).unwrap();
        stream.write_all(&message_2).await.unwrap();
        let message_3 = next_frame(&mut stream, &mut decoder, FrameType::XHS).await;
        let (_, channel) = answerer.finish(&message_3).unwrap();
        let mut session = Self { stream, channel };
        let welcome = Welcome {
            vip: [7, 10, 0, 2].into(),
            network: Network::DEFAULT,
            name: None,
            is_closed: true,
            time: 0,
            networks,
        };
        session.say(&Control::Welcome(Box::new(welcome))).await;
        session
    }

    async fn say(&mut self, word: &Control) {
        let mut frame = Vec::new();
        self.channel.sealer.seal(word, &mut frame);
        self.stream.write_all(&frame).await.unwrap();
    }
}

async fn next_frame(
    stream: &mut TcpStream,
    decoder: &mut FrameDecoder,
    expected: FrameType,
) -> Vec<u8> {
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            assert_eq!(frame.frame_type(), expected);
            return frame.body().to_vec();
        }
        let mut buffer = [0; 1024];
        let len = stream.read(&mut buffer).await.unwrap();
        assert!(len > 0, "the agent went away");
        decoder.extend(&buffer[..len]);
    }
}

fn told(network: &str) -> RemoteNetwork {
    RemoteNetwork { network: network.parse().unwrap(), hub: None, num_hops: Some(1) }
}

/// Waits until the host was asked `count` times for these networks, in all.
async fn routed(asked: &Asked, networks: &[&str], count: usize) {
    let is_there = || asked.lock().unwrap().iter().filter(|those| *those == networks).count();
    let wait = async {
        while is_there() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "{networks:?} not among {:?}", asked.lock().unwrap());
}

#[tokio::test]
async fn routes_follow_what_the_hub_tells_and_come_back_with_the_link() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hub = listener.local_addr().unwrap().to_string().parse().unwrap();
    let (asked, taken) = (Asked::default(), "7.12.0.0/24".parse().unwrap());
    let config = NodeConfig { reconnect: true, ..NodeConfig::new(hub, EngineConfig::default()) };
    let host = Crowded { asked: Arc::clone(&asked), taken };
    let (node, handle) = Node::<ChannelTun, _>::new(config, None, host);
    let stop = CancellationToken::new();
    let running = tokio::spawn(node.run(stop.clone()));

    let mut session = Session::accept(&listener, vec![told("7.11.0.0/24")]).await;
    routed(&asked, &["7.11.0.0/24"], 1).await;
    let both = vec![told("7.11.0.0/24"), told("7.12.0.0/24")];
    session.say(&Control::Networks(both.clone())).await;
    routed(&asked, &["7.11.0.0/24", "7.12.0.0/24"], 1).await;
    let report = handle.report().await.unwrap();
    let is_routed: Vec<_> = report.networks.iter().map(|remote| remote.is_routed).collect();
    assert_eq!(is_routed, [true, false]);
    let why: Vec<_> = report.unrouted.values().collect();
    assert_eq!(why, ["something is in the way"], "and the node goes on");
    assert!(report.path.is_some_and(|path| !path.congestion.is_empty()), "the link is looked at");

    drop(session);
    let mut session = Session::accept(&listener, both).await;
    routed(&asked, &["7.11.0.0/24", "7.12.0.0/24"], 2).await;
    session.say(&Control::Networks(Vec::new())).await;
    // What was routed stays so; what was not is forgotten.
    routed(&asked, &["7.11.0.0/24"], 2).await;
    assert!(handle.report().await.unwrap().unrouted.is_empty());
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn log_tells_of_each_route_when_it_comes_and_goes() {
    let log = TestLog::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hub = listener.local_addr().unwrap().to_string().parse().unwrap();
    let (asked, taken) = (Asked::default(), "7.12.0.0/24".parse().unwrap());
    let host = Crowded { asked: Arc::clone(&asked), taken };
    let (tun, _peer) = crate::tun::channel::channel();
    let (node, handle) = Node::new(NodeConfig::new(hub, EngineConfig::default()), Some(tun), host);
    let stop = CancellationToken::new();
    let running = tokio::spawn(node.run(stop.clone()));

    let berlin = RemoteNetwork { hub: "berlin".parse().ok(), ..told("7.11.0.0/24") };
    let mut session = Session::accept(&listener, vec![berlin.clone()]).await;
    routed(&asked, &["7.11.0.0/24"], 1).await;
    session.say(&Control::Networks(vec![berlin, told("7.12.0.0/24")])).await;
    routed(&asked, &["7.11.0.0/24", "7.12.0.0/24"], 1).await;
    session.say(&Control::Networks(vec![told("7.11.0.0/16"), told("8.0.0.0/8")])).await;
    routed(&asked, &["7.11.0.0/16"], 1).await;
    let report = handle.report().await.unwrap();
    assert_eq!(report.drops.count(crate::engine::DropReason::BadNetwork), 1);
    stop.cancel();
    running.await.unwrap().unwrap();

    let text = log.text();
    let lines: Vec<_> = text.lines().filter_map(|line| line.split_once("another hub's ")).collect();
    let lines: Vec<_> = lines.into_iter().map(|(_, words)| words).collect();
    assert_eq!(
        lines,
        [
            "network is routed network=7.11.0.0/24 hub=\"berlin\"",
            "network is not routed network=7.12.0.0/24 error=\"something is in the way\"",
            "network is routed no more network=7.11.0.0/24 hub=\"berlin\"",
            "network is routed network=7.11.0.0/16",
        ]
    );
}

#[tokio::test]
async fn connection_from_an_address_that_is_gone_is_replaced_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hub = listener.local_addr().unwrap().to_string().parse().unwrap();
    let config = NodeConfig { reconnect: true, ..NodeConfig::new(hub, EngineConfig::default()) };
    let (moves, moved) = mpsc::channel(1);
    let (node, handle) = Node::<ChannelTun, _>::new(config, None, Moving(moved));
    let stop = CancellationToken::new();
    let running = tokio::spawn(node.run(stop.clone()));
    let mut first = Session::accept(&listener, Vec::new()).await;
    handle.up().await.unwrap();

    for change in [Change::Network, Change::Resumed] {
        moves.send(change).await.unwrap();
        let again = timeout(Duration::from_secs(5), Session::accept(&listener, Vec::new())).await;
        let error = first.stream.read(&mut [0; 1024]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the hub waits for nothing");
        first = again.unwrap();
        handle.up().await.unwrap();
    }
    let report = handle.report().await.unwrap();
    assert_eq!(report.num_link_losses, 2);
    assert!(report.last_error.unwrap().contains("not this host's any more"));
    stop.cancel();
    running.await.unwrap().unwrap();
}
