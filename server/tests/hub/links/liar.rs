//! Another hub, whose key is a peer's, and which says and sends whatever a test wants.

use std::time::Duration;

use dosp_proto::federation::{Claim, FWD_HEADER_LEN, Forwarding, HubId, Routes};
use dosp_proto::frame::{FrameType, HEADER_LEN};
use dosp_proto::identity::IdentityKey;
use dosp_proto::member::{Channel, Control, Dialler, Purpose};
use dosp_proto::vip::{Network, Vip};
use dosp_server::config::PeerConfig;
use dosp_server::control::wire::{LinkState, PeerStatus};
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::client::{Client, PATIENCE, TestHub};
use crate::member::{identity, read_greeting};

/// What the hub under test takes at most.
pub(crate) const MAX_FRAME_LEN: u32 = 1 << 20;

/// A hub, and the keys of its peers.
pub(crate) struct Linked {
    pub(crate) hub: TestHub,
    keys: Vec<IdentityKey>,
    networks: Vec<Network>,
    _state: TempDir,
}

impl Linked {
    /// A hub of 7.10.0.0/24 with peers that dial it, each with what else it may speak for.
    pub(crate) fn start(peers: &[(&str, &[&str])]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let keys: Vec<_> = peers.iter().map(|_| identity()).collect();
        let networks: Vec<Network> = peers.iter().map(|(own, _)| own.parse().unwrap()).collect();
        let configs = peers.iter().zip(&keys).map(|((own, others), key)| PeerConfig {
            addr: None,
            network: own.parse().unwrap(),
            key: Some(*key.public()),
            networks: others.iter().map(|network| network.parse().unwrap()).collect(),
            unauthenticated: false,
        });
        let hub = TestHub::start_with(|config| {
            config.state = Some(state.path().to_owned());
            config.peers = configs.collect();
        });
        Self { hub, keys, networks, _state: state }
    }

    /// A plain client of the hub.
    pub(crate) async fn join(&self) -> Client {
        let mut client = Client::speechless(TcpStream::connect(self.hub.addr).await.unwrap());
        read_greeting(&mut client).await;
        client
    }

    /// Peer number `i`, which has told of its own network.
    pub(crate) async fn link(&self, i: usize) -> Liar {
        let mut liar =
            Liar::dial(TcpStream::connect(self.hub.addr).await.unwrap(), &self.keys[i]).await;
        let own = liar.claim(self.networks[i], &[]);
        liar.say_routes(vec![own]).await;
        liar.sync().await;
        liar
    }

    /// What the hub tells of peer number `i`.
    pub(crate) fn status(&self, i: usize) -> PeerStatus {
        self.hub.handle.peers().peers.remove(i)
    }

    pub(crate) fn is_up(&self, i: usize) -> bool {
        self.status(i).state == LinkState::Up
    }

    /// Where the hub leads, by its own word: networks and next hops.
    pub(crate) fn routes(&self) -> Vec<(String, String)> {
        let routes = self.hub.handle.peers().routes;
        routes.into_iter().map(|route| (route.network.to_string(), route.via)).collect()
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.hub.handle.peers());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The other end of a link.
pub(crate) struct Liar {
    pub(crate) client: Client,
    pub(crate) channel: Channel,
    pub(crate) id: HubId,
    /// What the hub under test is called.
    pub(crate) hub_id: HubId,
}

impl Liar {
    pub(crate) async fn dial(socket: TcpStream, key: &IdentityKey) -> Self {
        let mut client = Client::speechless(socket);
        let greeting = read_greeting(&mut client).await;
        let mut rng: StdRng = rand::make_rng();
        let (dialler, first) = Dialler::start(Purpose::Peer, key, &greeting, &mut rng).unwrap();
        client.send_bytes(&first).await;
        let (frame_type, second) = client.recv().await;
        assert_eq!(frame_type, FrameType::XHS, "{}", second.escape_ascii());
        let introduced = dialler.read_answer(key, &second).unwrap();
        let hub_id = HubId::of(introduced.hub_key());
        let (third, channel) = introduced.finish().unwrap();
        client.send_bytes(&third).await;
        Self { client, channel, id: HubId::of(key.public()), hub_id }
    }

    /// A claim whose path begins here.
    pub(crate) fn claim(&self, network: Network, on: &[HubId]) -> Claim {
        let path = [self.id].iter().chain(on).copied().collect();
        Claim { network, hub: None, path }
    }

    pub(crate) async fn say(&mut self, word: &Control) {
        let mut frame = Vec::new();
        self.channel.sealer.seal(word, &mut frame);
        self.client.send_bytes(&frame).await;
    }

    pub(crate) async fn say_routes(&mut self, routes: Vec<Claim>) {
        self.say(&Control::Routes(Routes { max_frame_len: MAX_FRAME_LEN, routes })).await;
    }

    /// Sends FWD as an honest hub does for a client that is no member.
    pub(crate) async fn forward(&mut self, dst: Vip, src: Vip, data: &[u8]) {
        self.forward_as(Forwarding::begin(self.id, false), dst, src, data).await;
    }

    pub(crate) async fn forward_as(
        &mut self,
        forwarding: Forwarding,
        dst: Vip,
        src: Vip,
        data: &[u8],
    ) {
        let frame = [&forwarding.header(dst, src, data.len()), data].concat();
        self.client.send_bytes(&frame).await;
    }

    /// Waits until the hub has handled all that was sent before; returns the frames that came meanwhile.
    pub(crate) async fn sync(&mut self) -> Vec<Heard> {
        self.say(&Control::Ping).await;
        let mut heard = Vec::new();
        loop {
            match self.hear().await.unwrap() {
                Heard::Word(Control::Pong) => return heard,
                Heard::Word(Control::Ping) => {}
                other => heard.push(other),
            }
        }
    }

    /// What the hub says next; `None` where it ends the link.
    pub(crate) async fn hear(&mut self) -> Option<Heard> {
        match self.client.next().await? {
            (FrameType::XCTL, body) => Some(Heard::Word(self.channel.opener.open(&body).unwrap())),
            (FrameType::FWD, body) => {
                let (header, data) = body.split_at(FWD_HEADER_LEN - HEADER_LEN);
                Some(Heard::Fwd { ttl: header[0], data: data.to_vec() })
            }
            (FrameType::EXIT, _) => None,
            (other, body) => panic!("{other} {}", body.escape_ascii()),
        }
    }

    /// Waits until the hub has ended the link.
    pub(crate) async fn assert_ended(&mut self) {
        while self.hear().await.is_some() {}
    }
}

/// What comes over a link.
#[derive(Debug)]
pub(crate) enum Heard {
    Word(Control),
    Fwd { ttl: u8, data: Vec<u8> },
}

impl Heard {
    /// DATA of FWD.
    pub(crate) fn data(&self) -> Option<&[u8]> {
        match self {
            Self::Fwd { data, .. } => Some(data),
            Self::Word(_) => None,
        }
    }

    /// The vIP that something did not get to.
    pub(crate) fn gone(&self) -> Option<Vip> {
        match self {
            Self::Word(Control::Gone(gone)) => Some(gone.vip),
            _ => None,
        }
    }
}
