//! What people say about peers: whom to trust, and by which name they go.

use dosp_proto::identity::Fingerprint;
use dosp_proto::vip::Vip;

use super::Engine;
use crate::known_peers::{AcceptError, KnownPeer, NameError, TrustPolicy};
use crate::peer_name::PeerName;

/// A change of whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Accept the key that was refused at a vIP; where a fingerprint is given, that one only.
    Accept(Vip, Option<String>),
    /// Forget the key at a vIP.
    Forget(Vip),
}

/// Why trust was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The key cannot be accepted.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// There is none to forget.
    #[error("no key of {0} is known")]
    Unknown(Vip),
}

/// Why a name stands for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Neither a vIP nor a name.
    #[error("'{0}' is neither a vIP nor a name")]
    Invalid(String),
    /// Nobody is known by it.
    #[error("no peer is known by the name '{0}'")]
    Unknown(String),
    /// More than one peer claims it, and it is nobody's yet.
    #[error("more than one peer calls itself '{name}': {vips}")]
    Ambiguous {
        /// The name.
        name: String,
        /// Who does.
        vips: String,
    },
    /// The hub gives the name to another key than the one that is known by it here.
    #[error("the name '{name}' is the key {known} here, and the hub gives it to {listed}")]
    Relisted {
        /// The name.
        name: String,
        /// Whose it is here.
        known: Fingerprint,
        /// Where that key is.
        vip: Vip,
        /// Whose it is by the hub's word.
        listed: Fingerprint,
    },
    /// It cannot be given to who claims it.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Engine {
    /// Does what the operator says.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn change_trust(&mut self, change: Trust) -> Result<KnownPeer, TrustError> {
        match change {
            Trust::Accept(vip, fingerprint) => {
                let accepted = self.known.accept(vip, fingerprint.as_deref())?;
                self.end_tunnels(vip);
                Ok(accepted)
            }
            Trust::Forget(vip) => {
                let forgotten = self.known.forget(vip).ok_or(TrustError::Unknown(vip))?;
                self.end_tunnels(vip);
                Ok(forgotten)
            }
        }
    }

    /// Raises or lowers the shields, and trusts new keys by `trust` from now on.
    pub fn protect(&mut self, shields_up: bool, trust: TrustPolicy) {
        self.config.shields_up = shields_up;
        if self.known.set_policy(trust) {
            let vips: Vec<_> = self.peers.keys().copied().collect();
            for vip in vips {
                self.end_tunnels(vip);
            }
        }
    }

    /// Whether peers reach this host only when it has spoken to them.
    #[must_use]
    pub const fn has_shields_up(&self) -> bool {
        self.config.shields_up
    }

    /// What was agreed under another trust is no good any more.
    fn end_tunnels(&mut self, vip: Vip) {
        if let Some(peer) = self.peers.get_mut(&vip) {
            peer.v2.discard();
            peer.end_version_1();
            peer.refusal = None;
        }
    }

    /// Who goes by `name`. A name that is nobody's yet and that one peer claims is that peer's key's
    /// from now on.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn resolve(&mut self, name: &str) -> Result<Vip, ResolveError> {
        let Ok(wanted) = name.parse::<PeerName>() else {
            return Err(ResolveError::Invalid(name.escape_debug().to_string()));
        };
        let name = wanted.to_string();
        let listed = self.listed_as(&wanted);
        match (self.known.by_name(&name), listed) {
            (Some(known), Some(listed)) if known.key != listed.key => {
                let (vip, known) = (known.vip, known.key.fingerprint());
                let listed = listed.key.fingerprint();
                return Err(ResolveError::Relisted { name, known, vip, listed });
            }
            (_, Some(listed)) => return Ok(listed.vip),
            (Some(known), None) => return Ok(known.vip),
            (None, None) => {}
        }
        let claims = self.peers.iter().filter(|(vip, peer)| {
            let introduction = peer.v2.introduction().filter(|_| peer.v2.is_confirmed());
            let claim = introduction.and_then(|introduction| introduction.name.as_deref());
            claim == Some(wanted.name.as_str())
                && self.full_name(**vip, &wanted.name).as_ref() == Some(&wanted)
        });
        match claims.map(|(vip, _)| *vip).collect::<Vec<_>>()[..] {
            [] => Err(ResolveError::Unknown(name)),
            [vip] => {
                self.known.bind_name(&name, vip)?;
                Ok(vip)
            }
            ref several => {
                let vips: Vec<_> = several.iter().map(Vip::to_string).collect();
                Err(ResolveError::Ambiguous { name, vips: vips.join(", ") })
            }
        }
    }

    /// Whether what is known of peers changed, and is to be kept.
    pub fn take_known_changed(&mut self) -> bool {
        self.known.take_changed()
    }
}
