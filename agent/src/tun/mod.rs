//! Where packets enter and leave the host.
//!
//! | module | what it holds |
//! |---|---|
//! | [`linux`] | a TUN device of the kernel |
//! | [`channel`] | a device that exists in memory only, for tests |
//!
//! A device carries whole IP packets and nothing else: its addresses and routes are set by
//! [`netcfg`](crate::netcfg).

use std::future::Future;
use std::io;

pub mod channel;
pub mod linux;

pub use channel::{ChannelTun, ChannelTunPeer};
pub use linux::{LinuxTun, TunError};

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

    /// The longest packet that the host gives, in bytes.
    fn mtu(&self) -> u16;

    /// Takes one packet from the host; returns its length in bytes. What does not fit into
    /// `buffer` is lost: give it at least the MTU.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is none; anything else is the end of the device.
    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Gives one packet to the host, or nothing of it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the host takes no more just now; anything else says what
    /// the host does not like about this packet, or that the device is down or gone.
    fn try_send(&self, packet: &[u8]) -> io::Result<()>;
}
