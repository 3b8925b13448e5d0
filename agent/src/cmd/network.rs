//! Which network a command is about: the one that was joined, or the one of a hub that is named.

use dosp_proto::join_string::JoinString;

use super::NO_HUB_HINT;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::link::{HubAddr, hub_addrs};
use crate::node::Access;
use crate::state::{Membership, NetworkState, StateError};

/// A network, as far as this host knows it.
#[derive(Debug)]
pub(crate) struct Network {
    /// Where its hub is, to be tried in this order.
    pub(crate) hubs: Vec<HubAddr>,
    /// The name of its folder.
    pub(crate) folder: String,
    /// What the join string said, where it was joined.
    pub(crate) join: Option<JoinString>,
}

impl Network {
    /// The network of the hub that is set, or else the joined one.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Failure> {
        let hub = settings.hub_addr()?;
        match (&hub, Membership::of_hub(&settings.state(), hub.as_ref())?) {
            (_, Some(joined)) => Self::joined(joined, hub),
            (Some(_), None) => Ok(Self::named(hub.into_iter().collect())),
            (None, None) => Err(Failure::text(Exit::Usage, "no hub is set").hint(NO_HUB_HINT)),
        }
    }

    /// The network of `hub`, for a command that may not be allowed to look at what was joined.
    pub(crate) fn at(hub: HubAddr, settings: &Settings) -> Result<Self, Failure> {
        match Membership::of_hub(&settings.state(), Some(&hub)) {
            Err(error) if error.is_permission() => Ok(Self::named(vec![hub])),
            joined => match joined? {
                Some(joined) => Self::joined(joined, Some(hub)),
                None => Ok(Self::named(vec![hub])),
            },
        }
    }

    fn joined(
        Membership { folder, join }: Membership,
        hub: Option<HubAddr>,
    ) -> Result<Self, Failure> {
        let mut hubs = hub_addrs(&join.addrs)?;
        // Whoever names one of the hub's addresses wants that one first.
        if let Some(hub) = hub {
            hubs.retain(|other| *other != hub);
            hubs.insert(0, hub);
        }
        Ok(Self { hubs, folder, join: Some(join) })
    }

    fn named(hubs: Vec<HubAddr>) -> Self {
        let folder = hubs.first().map(HubAddr::to_string).unwrap_or_default();
        Self { hubs, folder, join: None }
    }

    /// The hub, for people.
    pub(crate) fn hub(&self) -> String {
        self.hubs.first().map(HubAddr::to_string).unwrap_or_default()
    }

    /// Whether it was joined with a key that no hub has taken yet.
    pub(crate) fn has_join_key(&self) -> bool {
        self.join.as_ref().is_some_and(|join| join.join_key.is_some())
    }

    /// What this host knows of the hub and may do there.
    pub(crate) fn access(
        &self,
        state: &NetworkState,
        settings: &Settings,
    ) -> Result<Access, StateError> {
        let (hub_key, join_key) = match &self.join {
            Some(join) => (Some(join.hub_key), join.join_key.clone()),
            None => (state.hub_key()?, None),
        };
        let insists_on_name = settings.name.is_some();
        Ok(Access { hub_key, join_key, insists_on_name, is_guest: false })
    }
}
