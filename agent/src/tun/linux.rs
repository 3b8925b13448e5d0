//! A TUN device of the kernel, over the `tun` crate.
//!
//! The device belongs to the process: it goes with it, and its addresses and routes go with it.
//! Unless that is not wanted, it is told that we take TCP and UDP packets of up to 64 KiB that nobody has
//! cut into segments, and packets without checksums: one read and one write then do what dozens would.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;

use dosp_proto::offload::{Offloads, VNET_HEADER_LEN, VnetHeader};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::uio::{readv, writev};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::TunDevice;

mod made;
mod sys;

/// The longest interface name that the kernel takes, in bytes.
pub const MAX_NAME_LEN: usize = 15;

/// Why there is no TUN device.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    /// The kernel has no TUN driver, or the container hides it.
    #[error("open /dev/net/tun")]
    NoDriver {
        /// What the system said.
        source: io::Error,
    },
    /// The TUN driver is there, and not for this user.
    #[error("open /dev/net/tun")]
    DriverClosed {
        /// What the system said.
        source: io::Error,
    },
    /// Not allowed.
    #[error("create the interface '{name}'")]
    NoPrivilege {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// An interface of that name exists, a TUN or another one.
    #[error("the interface '{name}' exists already")]
    NameTaken {
        /// Its name.
        name: String,
    },
    /// No name for an interface.
    #[error("'{name}' is no name for an interface")]
    InvalidName {
        /// What was given.
        name: String,
    },
    /// Anything else.
    #[error("create the interface '{name}'")]
    Create {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

impl TunError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoDriver { .. } => {
                "load the driver with 'modprobe tun', or give the container /dev/net/tun"
            }
            Self::DriverClosed { .. } => {
                "run as root, or let everybody open it, as is usual: chmod 0666 /dev/net/tun"
            }
            Self::NoPrivilege { .. } => {
                "run as root or with the capability CAP_NET_ADMIN; or have root make an interface for this \
                 user: ip tuntap add dev NAME mode tun user $USER, and name it with --tun"
            }
            Self::NameTaken { .. } => {
                "is another agent running? 'ip link' shows all interfaces; choose a name with --tun"
            }
            Self::InvalidName { .. } => {
                "a name has 1 to 15 bytes, without white space, '/', ':' and '%'"
            }
            Self::Create { .. } => "the kernel's log, 'dmesg', may say more",
        }
    }
}

/// A TUN device that nothing else uses; it is removed when dropped, unless somebody made it for this user.
pub struct LinuxTun {
    device: AsyncFd<OwnedFd>,
    name: String,
    mtu: u16,
    offloads: Offloads,
}

impl LinuxTun {
    /// Creates the interface `name`, down and without addresses, for packets of up to `mtu` bytes, or takes
    /// the one of that name that was made for this user (`ip tuntap add … user`), as it is. The
    /// host gives no other super-packets than those that are `wanted`, and fewer where its kernel knows
    /// fewer.
    ///
    /// # Errors
    /// [`TunError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn create(name: &str, mtu: u16, wanted: Offloads) -> Result<Self, TunError> {
        let owned = || name.to_owned();
        if !is_valid_name(name) {
            return Err(TunError::InvalidName { name: owned() });
        }
        // Without this look the kernel would attach us to any persistent TUN of that name, with the
        // addresses and routes that its owner set.
        if if_nametoindex(name).is_ok() && !made::is_for_us(name) {
            return Err(TunError::NameTaken { name: owned() });
        }
        let mut config = tun::Configuration::default();
        config.tun_name(name).mtu(mtu).platform_config(|platform| {
            // Its ioctls know no routes; `netcfg` sets everything in one way.
            platform.ensure_root_privileges(false).vnet_hdr(true);
        });
        let create = |source| TunError::Create { name: owned(), source };
        let device = tun::create(&config).map_err(|error| of_create(name, error.into()))?;
        device.set_nonblock().map_err(create)?;
        let device = sys::into_fd(device);
        let offloads = sys::set_offloads(&device, wanted).map_err(create)?;
        let device = watch(device).map_err(create)?;
        Ok(Self { device, name: owned(), mtu, offloads })
    }

    /// The MTU, in bytes, of a TUN that somebody made for this user and that stays when we go; `None` where
    /// there is no such interface.
    #[must_use]
    pub fn mtu_made_for_us(name: &str) -> Option<u16> {
        if is_valid_name(name) && made::is_for_us(name) { made::mtu(name) } else { None }
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Readable only: a TUN can always be written to, or says so when it cannot.
#[expect(
    deprecated,
    reason = "the successor is unsafe; what it asks for holds: the descriptor is ours, and stays the \
              same and open until it is dropped"
)]
fn watch(device: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(device, Interest::READABLE)
}

/// As the kernel sees it; '%' is for names that the kernel chooses, which we do not use.
fn is_valid_name(name: &str) -> bool {
    let is_valid_byte = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
    (1..=MAX_NAME_LEN).contains(&name.len())
        && name.bytes().all(is_valid_byte)
        && name != "."
        && name != ".."
}

fn of_create(name: &str, source: io::Error) -> TunError {
    let name = name.to_owned();
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => TunError::NoDriver { source },
        // The one is of opening the driver, the other of asking it for the interface.
        Some(Errno::EACCES) => TunError::DriverClosed { source },
        Some(Errno::EPERM) => TunError::NoPrivilege { name, source },
        // Somebody was faster: EBUSY for a TUN, EINVAL for another kind of interface.
        Some(Errno::EBUSY | Errno::EINVAL) => TunError::NameTaken { name },
        _ => TunError::Create { name, source },
    }
}

impl TunDevice for LinuxTun {
    async fn readable(&self) -> io::Result<()> {
        self.device.readable().await.map(drop)
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<(VnetHeader, usize)> {
        let mut header = [0; VNET_HEADER_LEN];
        let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(buffer)];
        let read = |device: &OwnedFd| Ok(readv(device, &mut parts)?);
        let len = self.device.try_io(Interest::READABLE, read)?;
        Ok((VnetHeader::from_native(header), len.saturating_sub(VNET_HEADER_LEN)))
    }

    fn try_send(&self, header: VnetHeader, packet: &[u8]) -> io::Result<()> {
        let header = header.to_native();
        writev(self.device.get_ref(), &[IoSlice::new(&header), IoSlice::new(packet)])?;
        Ok(())
    }
}

impl fmt::Debug for LinuxTun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinuxTun").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_does_not_take_are_refused_before_it_is_asked() {
        for name in ["", "sixteen-bytes-xx", "a/b", "a b", "a\tb", "a:b", "tun%d", "..", "tün"] {
            let error = LinuxTun::create(name, 1420, Offloads::ALL).unwrap_err();
            assert!(matches!(error, TunError::InvalidName { .. }), "{name}: {error}");
            assert!(error.hint().contains("1 to 15 bytes"));
        }
        assert!(is_valid_name("fifteen-bytes-x"));
    }

    #[test]
    fn name_of_another_interface_is_taken() {
        let error = LinuxTun::create("lo", 1420, Offloads::ALL).unwrap_err();
        assert_eq!(error.to_string(), "the interface 'lo' exists already");
    }

    #[test]
    fn errors_of_the_kernel_are_told_apart() {
        for (errno, hint) in [
            (Errno::ENOENT, "modprobe tun"),
            (Errno::ENODEV, "modprobe tun"),
            (Errno::EPERM, "CAP_NET_ADMIN"),
            (Errno::EACCES, "/dev/net/tun"),
            (Errno::EBUSY, "--tun"),
            (Errno::EINVAL, "--tun"),
            (Errno::ENOMEM, "dmesg"),
        ] {
            let error = of_create("dosp0", errno.into());
            assert!(error.hint().contains(hint), "{errno}: {error}");
        }
    }
}
