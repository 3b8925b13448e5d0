//! The two calls for which no library has a safe form.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use dosp_proto::offload::Offloads;
use nix::errno::Errno;
use nix::libc::{TUN_F_CSUM, TUN_F_TSO_ECN, TUN_F_TSO4, TUN_F_USO4, TUN_F_USO6, c_uint, c_ulong};

/// What IPv4 over TCP can be left to us: checksums, and cutting into segments.
const TCP: c_uint = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN;
/// The same of UDP, since Linux 6.2; the kernel takes both families or none.
const TCP_AND_UDP: c_uint = TCP | TUN_F_USO4 | TUN_F_USO6;

mod request {
    nix::ioctl_write_int!(
        /// `TUNSETOFFLOAD` of `linux/if_tun.h`.
        set_offload,
        b'T',
        208
    );
}

/// The device's descriptor, which is ours alone from now on.
pub(super) fn into_fd(device: tun::Device) -> OwnedFd {
    let fd = device.into_raw_fd();
    #[expect(unsafe_code, reason = "the device has given its open descriptor away")]
    // SAFETY: `into_raw_fd` leaves the descriptor open and owned by nobody.
    unsafe {
        OwnedFd::from_raw_fd(fd)
    }
}

/// Says which super-packets may come: those that are wanted, as far as the kernel knows them. They belong to the device and not
/// to the descriptor, so they are always said, even if they are none.
pub(super) fn set_offloads(device: &OwnedFd, wanted: Offloads) -> io::Result<Offloads> {
    let wishes = [
        (TCP_AND_UDP, Offloads::ALL),
        (TCP, Offloads { tcp: true, udp: false }),
        (0, Offloads::NONE),
    ];
    let mut failed = Errno::EINVAL;
    for (mask, offloads) in wishes.into_iter().filter(|(_, some)| some.is_within(wanted)) {
        match set_offload(device, mask) {
            Ok(()) => return Ok(offloads),
            Err(errno) => failed = errno,
        }
    }
    Err(failed.into())
}

fn set_offload(device: &OwnedFd, mask: c_uint) -> nix::Result<()> {
    #[expect(unsafe_code, reason = "an ioctl that takes a number and touches no memory of ours")]
    // SAFETY: the descriptor is open, and TUNSETOFFLOAD reads nothing but its argument.
    unsafe { request::set_offload(device.as_raw_fd(), c_ulong::from(mask)) }.map(drop)
}
