//! Where packets enter and leave the host.
//!
//! | module | what it holds |
//! |---|---|
//! | [`linux`] | a TUN device of the kernel |
//! | [`channel`] | a device that exists in memory only, for tests |
//! | [`TunWriter`] | how packets get to a host that does not take every super-packet |
//!
//! A device carries whole IP packets, each with a [`VnetHeader`] that says what its sender left for
//! others to do: checksums, and cutting super-packets. Addresses and routes are set by
//! [`netcfg`](crate::netcfg).

use std::future::Future;
use std::io;

use dosp_proto::offload::{Offloads, VnetHeader};

pub mod channel;
pub mod linux;
mod writer;

pub use channel::{ChannelTun, ChannelTunPeer};
pub use linux::{LinuxTun, TunError};
pub use writer::TunWriter;

/// The longest IPv4 packet, super-packets included, in bytes.
pub const MAX_PACKET_LEN: usize = 65_535;

/// A device that gives the host's packets and takes packets for the host.
///
/// One task waits and reads in batches until the device is dry, another one writes; both share the
/// device. Nothing here is lost when a future is dropped.
pub trait TunDevice: Send + Sync + 'static {
    /// Waits until [`Self::try_recv`] is worth a try.
    ///
    /// # Errors
    /// The device is gone.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// The longest packet that goes over a wire behind this host, in bytes; super-packets are longer.
    fn mtu(&self) -> u16;

    /// Which super-packets the host gives and takes.
    fn offloads(&self) -> Offloads;

    /// Takes one packet from the host; returns its header and its length in bytes. What does not fit
    /// into `buffer` is lost: give it [`MAX_PACKET_LEN`].
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is none; anything else is the end of the device.
    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(VnetHeader, usize)>;

    /// Gives one packet to the host, or nothing of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the host takes no more just now; anything else says what
    /// the host does not like about this packet, or that the device is down or gone.
    fn try_send(&self, header: VnetHeader, packet: &[u8]) -> io::Result<()>;
}
