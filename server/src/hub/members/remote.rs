//! What members are told of other hubs.

use dosp_proto::federation::RemoteNetwork;

use crate::hub::Hub;

/// The networks of other hubs.
#[derive(Debug, Default)]
pub(super) struct Remote {
    pub(super) networks: Vec<RemoteNetwork>,
    /// How often they have changed.
    pub(super) revision: u64,
}

impl Hub {
    /// Other hubs' networks are these now; returns whether they were others before.
    pub fn set_networks(&mut self, networks: Vec<RemoteNetwork>) -> bool {
        let Some(members) = &mut self.members else { return false };
        let has_changed = members.remote.networks != networks;
        if has_changed {
            members.remote.networks = networks;
            members.remote.revision += 1;
        }
        has_changed
    }

    pub(super) fn networks(&self) -> &[RemoteNetwork] {
        self.members.as_ref().map_or(&[], |members| &members.remote.networks)
    }
}
