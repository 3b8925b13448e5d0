//! The types of frames.

use std::fmt;

/// The TYPE byte of a frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameType(pub u8);

impl FrameType {
    /// Text or bytes for the hub, or a broadcast from it.
    pub const MSG: Self = Self(0x01);
    /// Liveness; answered with an empty PING.
    pub const PING: Self = Self(0x02);
    /// Client to client: carries DST, SRC and DATA.
    pub const S2C: Self = Self(0x03);
    /// Get client list.
    pub const GCL: Self = Self(0x04);
    /// Call a function of the hub.
    pub const FN: Self = Self(0x05);
    /// Server discovery, between hubs.
    pub const SD: Self = Self(0x06);
    /// Request a vIP.
    pub const RQIP: Self = Self(0x07);
    /// Get session information.
    pub const GSI: Self = Self(0x08);
    /// Server answer, to FN.
    pub const SA: Self = Self(0x10);
    /// The end of a connection, from either side.
    pub const EXIT: Self = Self(0x11);
    /// An error report.
    pub const ERR: Self = Self(0x12);
    /// Assign vIP.
    pub const AIP: Self = Self(0x13);
    /// The hub's greeting.
    pub const HSK: Self = Self(0x14);
    /// Tunnel handshake; only ever the first byte of S2C DATA.
    pub const HC2C: Self = Self(0x15);
    /// A broadcast that an administrator asks for, and its confirmation.
    pub const BCST: Self = Self(0x16);
    /// An administrator's token, and what the hub thinks of it.
    pub const AUTH: Self = Self(0x17);
    /// An administrator's command, and its outcome.
    pub const ADMIN: Self = Self(0x18);
    /// A hash by which a client makes itself known; never answered.
    pub const CLIENT_INFO: Self = Self(0x19);
    /// Several frames in one.
    pub const MPAK: Self = Self(0x1A);
    /// A handshake between an agent and a hub, of dosp-net; see [`crate::member`].
    pub const XHS: Self = Self(0x20);
    /// A sealed word between the two.
    pub const XCTL: Self = Self(0x21);
    /// An S2C frame on its way from hub to hub; see [`crate::federation`].
    pub const FWD: Self = Self(0x22);

    /// Whether only 0.2.x knows it: a hub sends such a type only to a client that has sent one.
    #[must_use]
    pub const fn is_of_0_2(self) -> bool {
        matches!(self.0, 0x16..=0x1A)
    }
}

impl fmt::Debug for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::MSG => "MSG",
            Self::PING => "PING",
            Self::S2C => "S2C",
            Self::GCL => "GCL",
            Self::FN => "FN",
            Self::SD => "SD",
            Self::RQIP => "RQIP",
            Self::GSI => "GSI",
            Self::SA => "SA",
            Self::EXIT => "EXIT",
            Self::ERR => "ERR",
            Self::AIP => "AIP",
            Self::HSK => "HSK",
            Self::HC2C => "HC2C",
            Self::BCST => "BCST",
            Self::AUTH => "AUTH",
            Self::ADMIN => "ADMIN",
            Self::CLIENT_INFO => "CLIENT_INFO",
            Self::MPAK => "MPAK",
            Self::XHS => "XHS",
            Self::XCTL => "XCTL",
            Self::FWD => "FWD",
            Self(other) => return write!(f, "0x{other:02X}"),
        };
        f.write_str(name)
    }
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
