//! A TUN that somebody made for this user, by what the kernel says of it under `/sys/class/net`.

use std::fs;
use std::path::Path;

use nix::libc::{IFF_PERSIST, IFF_TUN, c_int};
use nix::unistd::geteuid;

/// Whether the interface `name` is a persistent TUN whose owner we are.
pub(super) fn is_for_us(name: &str) -> bool {
    let owner = read(name, "owner").and_then(|text| text.parse::<u32>().ok());
    let flags = read(name, "tun_flags");
    let flags = flags.and_then(|text| c_int::from_str_radix(text.strip_prefix("0x")?, 16).ok());
    let wanted = IFF_TUN | IFF_PERSIST;
    owner == Some(geteuid().as_raw()) && flags.is_some_and(|flags| flags & wanted == wanted)
}

/// Its MTU in bytes.
pub(super) fn mtu(name: &str) -> Option<u16> {
    read(name, "mtu")?.parse().ok()
}

fn read(name: &str, attribute: &str) -> Option<String> {
    let path = Path::new("/sys/class/net").join(name).join(attribute);
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}
