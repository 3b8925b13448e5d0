//! One agent in virtual time: its engine, and what came out of it.

use std::time::{Duration, Instant};

use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder};
use dosp_proto::identity::IdentityKey;
use dosp_proto::offload::{Offload, Offloads};
use dosp_proto::secret::NetworkSecret;
use dosp_proto::tunnel::v2::Endpoint;
use dosp_proto::vip::{Network, Vip};
use rand::rngs::StdRng;

use crate::engine::{Engine, EngineConfig, Event, Version};
use crate::known_peers::{KnownPeers, TrustPolicy};

const UNIX_TIME: u64 = 1_700_000_000;
/// One way between an agent and the hub.
const DELAY: Duration = Duration::from_millis(10);

/// An agent: its engine, its connection, and what came out of it.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) vip: Vip,
    pub(crate) config: EngineConfig,
    pub(crate) identity: IdentityKey,
    pub(crate) secrets: Vec<NetworkSecret>,
    pub(crate) name: Option<String>,
    /// What its TUN gives and takes.
    pub(crate) super_packets: Offloads,
    /// What was left to be done to the packets that came.
    pub(crate) offloads: Vec<Offload>,
    /// What its wall clock shows at the start.
    pub(crate) unix_time: u64,
    /// To the hub, and from it.
    pub(crate) delays: [Duration; 2],
    /// Packets of peers that went to the TUN.
    pub(crate) packets: Vec<Vec<u8>>,
    /// Packets of the agent itself that did.
    pub(crate) answers: Vec<Vec<u8>>,
    pub(crate) messages: Vec<(Vip, Option<Version>, Vec<u8>)>,
    pub(crate) broadcasts: Vec<Vec<u8>>,
    pub(crate) events: Vec<Event>,
    /// The network of another hub that its host does not route.
    pub(crate) unrouted: Option<Network>,
    pub(super) linked: bool,
    /// Counts connections: what is under way on an old one never arrives.
    pub(super) connection: u32,
    pub(super) decoder: FrameDecoder,
    pub(super) hub_decoder: FrameDecoder,
    /// When the last byte that nothing overtakes comes, to the hub and from it.
    pub(super) last_arrivals: [Instant; 2],
}

impl Node {
    pub(super) fn new(vip: Vip, config: EngineConfig, start: Instant, rng: &mut StdRng) -> Self {
        let identity = IdentityKey::generate(rng);
        let known = KnownPeers::new(*identity.public(), TrustPolicy::FirstUse);
        Self {
            engine: Engine::new(config, Endpoint::new(identity.clone(), &[], None, rng), known),
            vip,
            config,
            identity,
            secrets: Vec::new(),
            name: None,
            super_packets: Offloads::NONE,
            offloads: Vec::new(),
            unix_time: UNIX_TIME,
            delays: [DELAY; 2],
            packets: Vec::new(),
            answers: Vec::new(),
            messages: Vec::new(),
            broadcasts: Vec::new(),
            events: Vec::new(),
            unrouted: None,
            linked: false,
            connection: 0,
            decoder: FrameDecoder::new(DEFAULT_MAX_BODY_LEN),
            hub_decoder: FrameDecoder::new(DEFAULT_MAX_BODY_LEN),
            last_arrivals: [start; 2],
        }
    }

    /// Messages that came through a tunnel.
    pub(crate) fn sealed_messages(&self) -> impl Iterator<Item = &[u8]> {
        let sealed = self.messages.iter().filter(|(_, version, _)| version.is_some());
        sealed.map(|(_, _, message)| &**message)
    }

    /// Starts anew, knowing `known`.
    pub(crate) fn start(&mut self, known: KnownPeers, rng: &mut StdRng) {
        let (identity, name) = (self.identity.clone(), self.name.clone());
        let endpoint = Endpoint::new(identity, &self.secrets, name, rng);
        let endpoint = endpoint.with_super_packets(self.super_packets);
        self.engine = Engine::new(self.config, endpoint, known);
    }
}
