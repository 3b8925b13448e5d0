//! Which packets of a peer reach the local host.

use std::time::{Duration, Instant};

use dosp_proto::offload::Offload;
use dosp_proto::packet::Ipv4Packet;
use dosp_proto::vip::Vip;

use super::inbound::Inbound;
use super::peer::Peer;
use super::policy::Version1;
use super::{DropReason, EngineConfig, Overlay, Version};

/// Raised shields let a peer in for so long after this host last sent it something.
const SHIELDS_DOWN: Duration = Duration::from_secs(5 * 60);

/// What lets IP in.
pub(super) struct Gate {
    pub(super) config: EngineConfig,
    pub(super) overlay: Overlay,
    pub(super) from: Vip,
    /// Whether this host sends packets there.
    pub(super) is_routed: bool,
    pub(super) now: Instant,
}

impl Gate {
    /// Lets a packet in that is one from this peer to us, and wanted.
    pub(super) fn admit(&self, peer: &Peer, bytes: &[u8]) -> Result<(), DropReason> {
        if !self.config.carries_ip || !self.is_ours(bytes) {
            return Err(DropReason::InnerPacket);
        }
        // It would come from an address that is somebody else's here.
        if !self.is_routed {
            return Err(DropReason::Unrouted);
        }
        let addressed = |at: Instant| self.now.duration_since(at) < SHIELDS_DOWN;
        if self.config.shields_up && !peer.addressed_at.is_some_and(addressed) {
            return Err(DropReason::ShieldsUp);
        }
        Ok(())
    }

    /// In version 1 a message is a packet if it is one from this peer to us, and else a raw message.
    pub(super) fn admit_version_1<'b>(
        &self,
        peer: &Peer,
        message: &'b mut [u8],
    ) -> Result<Inbound<'b>, DropReason> {
        if !self.config.carries_ip || !self.is_ours(message) {
            let (from, version) = (self.from, Some(Version::One));
            return Ok(Inbound::Message { from, version, data: message });
        }
        if self.config.version1 != Version1::All {
            return Err(DropReason::Version1);
        }
        self.admit(peer, message)?;
        Ok(Inbound::Packet(Offload::Plain, message))
    }

    fn is_ours(&self, bytes: &[u8]) -> bool {
        Ipv4Packet::parse(bytes)
            .is_ok_and(|packet| packet.src() == self.from && packet.dst() == self.overlay.vip)
    }
}
