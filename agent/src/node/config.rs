//! What a node is told before it begins.

use dosp_proto::identity::{IdentityKey, PublicKey};
use dosp_proto::join_string::JoinKey;
use dosp_proto::label::Label;
use dosp_proto::secret::NetworkSecret;
use dosp_proto::tunnel::v2::Endpoint;
use dosp_proto::vip::Vip;
use dosp_transport::congestion::Congestion;
use rand::rngs::StdRng;

use crate::engine::EngineConfig;
use crate::known_peers::{KnownPeers, TrustPolicy};
use crate::link::{Credentials, HubAddr};

/// What a node is to do.
#[derive(Debug)]
pub struct NodeConfig {
    /// Where the hub is, to be tried in this order.
    pub hubs: Vec<HubAddr>,
    /// What is known of the hub beforehand.
    pub access: Access,
    /// The vIP that a person named.
    pub vip: Option<Vip>,
    /// Whether a lost link is made again. The first one is tried once in any case.
    pub reconnect: bool,
    /// The congestion control of the connection to the hub.
    pub congestion: Congestion,
    /// For the engine.
    pub engine: EngineConfig,
    /// Who this node is.
    pub identity: NodeIdentity,
    /// Whose keys it knows.
    pub known: KnownPeers,
}

impl NodeConfig {
    /// A node with a new key that knows nobody, tries once, and takes the vIP that it gets.
    #[must_use]
    pub fn new(hub: HubAddr, engine: EngineConfig) -> Self {
        let key = IdentityKey::generate(&mut rand::make_rng::<StdRng>());
        let known = KnownPeers::new(*key.public(), TrustPolicy::FirstUse);
        let identity = NodeIdentity { key, secrets: Vec::new(), name: None };
        let (hubs, access) = (vec![hub], Access::default());
        let congestion = Congestion::default();
        Self { hubs, access, vip: None, reconnect: false, congestion, engine, identity, known }
    }
}

/// What a node knows of its hub, and what it asks of one that has members.
#[derive(Debug, Default)]
pub struct Access {
    /// The hub's key, of a join string or pinned.
    pub hub_key: Option<PublicKey>,
    /// The right to join.
    pub join_key: Option<JoinKey>,
    /// Whether a person named this node: then no other name will do at the first join.
    pub insists_on_name: bool,
    /// Whether the node comes once and never again.
    pub is_guest: bool,
}

impl Access {
    /// What a node of this identity shows its hub.
    pub(super) fn credentials(self, identity: &NodeIdentity) -> Credentials {
        Credentials {
            identity: identity.key.clone(),
            hub_key: self.hub_key,
            join_key: self.join_key,
            name: identity.name.clone(),
            insists_on_name: self.insists_on_name,
            is_guest: self.is_guest,
        }
    }
}

/// Who a node is, to others.
#[derive(Debug)]
pub struct NodeIdentity {
    /// Its key.
    pub key: IdentityKey,
    /// What its network shares; the first opens.
    pub secrets: Vec<NetworkSecret>,
    /// What it calls itself.
    pub name: Option<Label>,
}

impl NodeIdentity {
    /// What all its tunnels share.
    pub(super) fn endpoint(self, rng: &mut StdRng) -> Endpoint {
        Endpoint::new(self.key, &self.secrets, self.name.map(String::from), rng)
    }
}
