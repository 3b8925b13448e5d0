//! The bodies of control frames: one type each, with its encoding and its decoding.

mod client_info;

pub use client_info::ClientHash;
use serde::{Deserialize, Serialize};

use crate::frame::{self, FrameType};
use crate::vip::{Network, Vip};

/// A body that is not what its frame type calls for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{frame_type} body of {body_len} bytes is malformed")]
pub struct MalformedBody {
    /// TYPE of the frame.
    pub frame_type: FrameType,
    /// Length of the body that could not be read.
    pub body_len: usize,
}

impl MalformedBody {
    fn new(frame_type: FrameType, body: &[u8]) -> Self {
        Self { frame_type, body_len: body.len() }
    }
}

/// AIP: the vIP that the hub gives to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aip(pub Vip);

impl Aip {
    /// Appends the whole frame.
    pub fn encode_to(self, out: &mut Vec<u8>) {
        frame::encode(out, FrameType::AIP, &self.0.octets());
    }

    /// Reads 4 bytes, or dotted text as some clients expect it.
    ///
    /// # Errors
    /// Any other body.
    pub fn decode(body: &[u8]) -> Result<Self, MalformedBody> {
        if let Ok(octets) = <[u8; 4]>::try_from(body) {
            return Ok(Self(Vip::from(octets)));
        }
        let text = std::str::from_utf8(body).ok();
        let vip = text.and_then(|text| text.trim().parse().ok());
        vip.map(Self).ok_or_else(|| MalformedBody::new(FrameType::AIP, body))
    }
}

/// HSK: the hub's greeting, as far as it can be read.
///
/// The body is a flag byte (absent before 0.1.4) and the text of a Python list,
/// `[version, server token]`. It is parsed, never evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsk {
    /// What the hub says about compression, and so which family it is of.
    pub flag: HskFlag,
    /// Protocol version: 1 for 0.1.x, 2 for 0.2.x; `None` where it could not be read.
    pub version: Option<u32>,
    /// What types from 0x20 up mean on this hub; 0 means nothing.
    pub token: u32,
}

/// The first byte of HSK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HskFlag {
    /// 0x20, a space: "off" to new clients, white space to old ones. Our hubs send it.
    Space,
    /// 0x01: every later body is compressed.
    Compression,
    /// Any other byte, or none before the list: no compression.
    Off,
}

impl Hsk {
    /// What our hub sends: protocol version 2, no extension.
    pub const OURS: Self = Self { flag: HskFlag::Space, version: Some(2), token: 0 };

    /// TOKEN of dosp-net, revision 1: the hub takes members, see [`crate::member`].
    pub const DOSP_NET: u32 = 0x444E_0001;

    /// Appends the whole frame.
    pub fn encode_to(self, out: &mut Vec<u8>) {
        let flag = match self.flag {
            HskFlag::Space => " ",
            HskFlag::Compression => "\u{1}",
            HskFlag::Off => "\0",
        };
        let body = format!("{flag}[{}, {}]", self.version.unwrap_or_default(), self.token);
        frame::encode(out, FrameType::HSK, body.as_bytes());
    }

    /// Reads the greeting of any published version. What cannot be read is "version unknown, no
    /// extension": this never fails.
    #[must_use]
    pub fn decode(body: &[u8]) -> Self {
        let (flag, list) = match body.split_first() {
            Some((0x20, list)) => (HskFlag::Space, list),
            Some((0x01, list)) => (HskFlag::Compression, list),
            Some((b'[', _)) | None => (HskFlag::Off, body),
            Some((_, list)) => (HskFlag::Off, list),
        };
        let mut numbers = integers_of_list(list);
        Self { flag, version: numbers.next(), token: numbers.next().unwrap_or_default() }
    }
}

/// The leading integers of a Python list literal.
fn integers_of_list(list: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let inner = std::str::from_utf8(list)
        .ok()
        .and_then(|text| text.trim().strip_prefix('[')?.strip_suffix(']'))
        .unwrap_or_default();
    inner.split(',').map_while(|item| item.trim().parse().ok())
}

/// AIP and HSK in one piece: what the hub says first.
pub fn encode_greeting(vip: Vip, hsk: Hsk) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    Aip(vip).encode_to(&mut out);
    hsk.encode_to(&mut out);
    out
}

/// RQIP from a client: the vIP that it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VipRequest(pub Vip);

impl VipRequest {
    /// Appends the whole frame.
    pub fn encode_to(self, out: &mut Vec<u8>) {
        frame::encode(out, FrameType::RQIP, &self.0.octets());
    }

    /// Reads exactly 4 bytes.
    ///
    /// # Errors
    /// Any other length.
    pub fn decode(body: &[u8]) -> Result<Self, MalformedBody> {
        let octets = <[u8; 4]>::try_from(body);
        octets
            .map(|octets| Self(Vip::from(octets)))
            .map_err(|_| MalformedBody::new(FrameType::RQIP, body))
    }
}

/// RQIP from the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VipAnswer<'a> {
    /// `D:`; AIP with the new vIP follows.
    Granted,
    /// `E:` and why not.
    Refused(&'a str),
}

impl<'a> VipAnswer<'a> {
    /// Somebody else has the vIP.
    pub const IN_USE: Self = Self::Refused("IP already in use");
    /// Nobody can have the vIP.
    pub const UNUSABLE: Self = Self::Refused("IP can't be used");

    /// Appends the whole frame.
    pub fn encode_to(self, out: &mut Vec<u8>) {
        match self {
            Self::Granted => frame::encode(out, FrameType::RQIP, b"D:"),
            Self::Refused(reason) => {
                frame::encode(out, FrameType::RQIP, format!("E:{reason}").as_bytes());
            }
        }
    }

    /// Reads either form.
    ///
    /// # Errors
    /// A body that begins with neither, or is not UTF-8.
    pub fn decode(body: &'a [u8]) -> Result<Self, MalformedBody> {
        match std::str::from_utf8(body).unwrap_or_default() {
            "D:" => Ok(Self::Granted),
            text => text
                .strip_prefix("E:")
                .map(Self::Refused)
                .ok_or_else(|| MalformedBody::new(FrameType::RQIP, body)),
        }
    }
}

/// GCL from the hub: the vIPs of all clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientList(pub Vec<Vip>);

impl ClientList {
    /// Appends the whole frame.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        let body: Vec<u8> = self.0.iter().flat_map(|vip| vip.octets()).collect();
        frame::encode(out, FrameType::GCL, &body);
    }

    /// Reads 4 bytes a client.
    ///
    /// # Errors
    /// A length that is no multiple of 4.
    pub fn decode(body: &[u8]) -> Result<Self, MalformedBody> {
        let (vips, rest) = body.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(MalformedBody::new(FrameType::GCL, body));
        }
        Ok(Self(vips.iter().map(|octets| Vip::from(*octets)).collect()))
    }
}

/// GSI from the hub: what it knows of this session. JSON; unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The session's vIP.
    pub vip: Vip,
    /// The hub's network.
    pub network: Network,
    /// Age of the session in whole seconds.
    pub uptime_s: u64,
    /// Frames that the hub got from this session.
    pub rx_frames: u64,
    /// Frames that the hub sent to this session.
    pub tx_frames: u64,
    /// Whether this session may administer the hub.
    pub admin: bool,
}

impl SessionInfo {
    /// Appends the whole frame.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        let body = serde_json::to_vec(self).unwrap_or_default();
        frame::encode(out, FrameType::GSI, &body);
    }

    /// Reads the JSON object.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(body: &[u8]) -> Result<Self, MalformedBody> {
        serde_json::from_slice(body).map_err(|_| MalformedBody::new(FrameType::GSI, body))
    }
}

/// The first byte of ERR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode(pub u8);

impl ErrorCode {
    /// FN named a function that the hub does not have.
    pub const FUNCTION_NOT_FOUND: Self = Self(0x01);
    /// A function did not do what it is for; the detail is text.
    pub const FUNCTION_FAILED: Self = Self(0x02);
    /// S2C could not be delivered; the detail is DST, then text.
    pub const S2C_FAILED: Self = Self(0x03);
    /// RQIP could not be read.
    pub const RQIP_FAILED: Self = Self(0x04);
    /// A type that this hub does not know; the detail is the type byte.
    pub const UNKNOWN_TYPE: Self = Self(0x09);
}

/// ERR from the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorReport<'a> {
    /// No way to `dst`.
    Undeliverable {
        /// DST of the frame that was dropped.
        dst: Vip,
        /// Why, in words.
        reason: &'a str,
    },
    /// A code of the table in `docs/protocol.md` § 5, with its detail.
    Code(ErrorCode, &'a [u8]),
    /// Bare text, as published hubs sometimes send it.
    Text(&'a str),
}

impl<'a> ErrorReport<'a> {
    /// Appends the whole frame.
    pub fn encode_to(self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        match self {
            Self::Undeliverable { dst, reason } => {
                body.push(ErrorCode::S2C_FAILED.0);
                body.extend_from_slice(&dst.octets());
                body.extend_from_slice(reason.as_bytes());
            }
            Self::Code(code, detail) => {
                body.push(code.0);
                body.extend_from_slice(detail);
            }
            Self::Text(text) => body.extend_from_slice(text.as_bytes()),
        }
        frame::encode(out, FrameType::ERR, &body);
    }

    /// Reads any body. A first byte of a space or more is text, below it is a code.
    #[must_use]
    pub fn decode(body: &'a [u8]) -> Self {
        match body.split_first() {
            Some((&code, detail)) if code < b' ' => {
                let addressed = detail.split_first_chunk::<4>();
                match (ErrorCode(code), addressed) {
                    (ErrorCode::S2C_FAILED, Some((dst, reason))) => Self::Undeliverable {
                        dst: Vip::from(*dst),
                        reason: std::str::from_utf8(reason).unwrap_or_default(),
                    },
                    (code, _) => Self::Code(code, detail),
                }
            }
            _ => Self::Text(std::str::from_utf8(body).unwrap_or_default()),
        }
    }
}

/// EXIT from a client: why it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// `CC`: the connection is closed on purpose.
    Closed,
    /// `EX`: the process ends.
    ProcessExit,
}

impl ExitCode {
    /// Appends the whole frame.
    pub fn encode_to(self, out: &mut Vec<u8>) {
        let code: &[u8] = match self {
            Self::Closed => b"CC",
            Self::ProcessExit => b"EX",
        };
        frame::encode(out, FrameType::EXIT, code);
    }
}

/// EXIT of a hub that has no vIP left, word for word as published hubs say it.
pub const EXIT_SERVER_FULL: &str = "Server full";

#[cfg(test)]
mod tests;
