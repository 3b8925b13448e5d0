//! Super-packets: what a TUN with `IFF_VNET_HDR` leaves to its owner.
//!
//! In front of each packet stands a header of virtio-net ([`VnetHeader`]), which says that the
//! transport checksum is not there yet, or that the packet is to become several ([`Offload`]). Such
//! a packet goes as it is to a peer that takes it, and [`Offload::complete_checksum`] and
//! [`Segments`] do what the header asks for where the peer does not. [`UdpGro`] makes one
//! super-packet of several packets. [`Offload::clamp_mss`] is for TCP of hosts that know no tunnel.
//!
//! A header is never passed on: it is checked against its packet, and made anew. IPv4 only.
//!
//! ```text
//! TUN ─ Offload::from_tun ─┬─ may_cross: header().to_wire() ─▶ peer ─ Offload::from_peer ─ TUN
//!                          ├─ complete_checksum ─▶ peer
//!                          └─ Segments ─▶ peer
//! ```

mod check;
mod gro;
mod header;
mod mss;
mod segments;
mod transport;

pub use self::check::{MIN_GSO_SIZE, Offload, OffloadError, SuperPacket};
pub use self::gro::{Pushed, UdpGro};
pub use self::header::{Offloads, VNET_HEADER_LEN, VnetHeader};
pub use self::segments::Segments;
pub use self::transport::Transport;

#[cfg(test)]
mod tests;
