//! FWD: an S2C frame on its way from hub to hub.
//!
//! ```text
//! 0     5     6       7        11    15    19
//! ├ hdr ┼ TTL ┼ flags ┼ origin ┼ DST ┼ SRC ┼ DATA ┤
//! ```

use super::HubId;
use crate::frame::{self, DecodeError, Frame, FrameType, HEADER_LEN};
use crate::vip::Vip;

/// TTL of a frame that enters the federation.
pub const INITIAL_TTL: u8 = 8;
/// What the body of a FWD frame has before DST.
pub const FWD_EXTRA_LEN: usize = 6;
/// Length of everything before DATA in a FWD frame.
pub const FWD_HEADER_LEN: usize = frame::S2C_HEADER_LEN + FWD_EXTRA_LEN;
/// The sender has joined its hub, and what it sends may be dropped as
/// [`crate::tunnel::v2::flow_label`] says.
const FROM_MEMBER: u8 = 0x01;

/// How a frame travels between hubs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forwarding {
    /// How many links it may still pass.
    pub ttl: u8,
    /// Whether a node sent it that has joined its hub.
    pub from_member: bool,
    /// The hub of its sender.
    pub origin: HubId,
}

/// A frame that came from another hub.
#[derive(Debug)]
pub struct Forwarded<'a> {
    /// How it travels.
    pub forwarding: Forwarding,
    /// The vIP that it is for.
    pub dst: Vip,
    /// The vIP that it comes from.
    pub src: Vip,
    /// What the sender wants DST to get.
    pub data: &'a [u8],
}

impl Forwarding {
    /// A frame of a client of the hub `origin`.
    #[must_use]
    pub const fn begin(origin: HubId, from_member: bool) -> Self {
        Self { ttl: INITIAL_TTL, from_member, origin }
    }

    /// As it travels on behind one more hub; `None` where it has travelled far enough. No hub makes it
    /// travel farther than a frame that begins here.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        let ttl = self.ttl.min(INITIAL_TTL).checked_sub(1).filter(|ttl| *ttl > 0)?;
        Some(Self { ttl, ..self })
    }

    /// What stands before DATA.
    #[must_use]
    pub fn header(self, dst: Vip, src: Vip, data_len: usize) -> [u8; FWD_HEADER_LEN] {
        let flags = if self.from_member { FROM_MEMBER } else { 0 };
        let body_len = data_len + FWD_HEADER_LEN - HEADER_LEN;
        let [t, a, b, c, d] = frame::header(FrameType::FWD, body_len);
        let [e, f, g, h] = self.origin.bytes();
        let ([i, j, k, l], [m, n, o, p]) = (dst.octets(), src.octets());
        [t, a, b, c, d, self.ttl, flags, e, f, g, h, i, j, k, l, m, n, o, p]
    }
}

impl<'a> Forwarded<'a> {
    /// Reads a FWD frame.
    ///
    /// # Errors
    /// [`DecodeError::NoAddresses`] where it ends before DATA begins.
    pub fn decode(frame: Frame<'a>) -> Result<Self, DecodeError> {
        let body = frame.into_body();
        let too_short = DecodeError::NoAddresses { body_len: body.len() };
        let (head, data) = body.split_at_checked(FWD_HEADER_LEN - HEADER_LEN).ok_or(too_short)?;
        let &[ttl, flags, a, b, c, d, ref addresses @ ..] = head else { return Err(too_short) };
        let (dst, src) = addresses.split_first_chunk::<4>().ok_or(too_short)?;
        let src = src.first_chunk::<4>().ok_or(too_short)?;
        let (origin, from_member) = (HubId::from([a, b, c, d]), flags & FROM_MEMBER != 0);
        let forwarding = Forwarding { ttl, from_member, origin };
        Ok(Self { forwarding, dst: Vip::from(*dst), src: Vip::from(*src), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn origin() -> HubId {
        HubId::from([1, 2, 3, 4])
    }

    #[test]
    fn golden_bytes() {
        let header =
            Forwarding::begin(origin(), true).header([7, 10, 0, 2].into(), [7, 11, 0, 3].into(), 5);
        assert_eq!(header, [0x22, 0, 0, 0, 19, 8, 1, 1, 2, 3, 4, 7, 10, 0, 2, 7, 11, 0, 3]);
    }

    #[test]
    fn ttl_runs_out_after_eight_links() {
        let travels = std::iter::successors(Some(Forwarding::begin(origin(), false)), |f| f.next());
        assert_eq!(travels.count(), usize::from(INITIAL_TTL));
        let spent = Forwarding { ttl: 0, ..Forwarding::begin(origin(), false) };
        assert_eq!(spent.next(), None);
        let endless = Forwarding { ttl: u8::MAX, ..spent };
        assert_eq!(endless.next().map(|next| next.ttl), Some(INITIAL_TTL - 1));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_and_no_shorter_one_does(
            ttl: u8, from_member: bool, id: [u8; 4], dst: u32, src: u32, data in prop::collection::vec(any::<u8>(), 0..40)
        ) {
            let forwarding = Forwarding { ttl, from_member, origin: id.into() };
            let header = forwarding.header(dst.into(), src.into(), data.len());
            let mut bytes = [&header[..], &data].concat();
            let (frame, rest) = frame::split_first(&mut bytes).unwrap();
            prop_assert!(rest.is_empty());
            let read = Forwarded::decode(frame).unwrap();
            prop_assert_eq!(read.forwarding, forwarding);
            prop_assert_eq!((read.dst, read.src, read.data), (dst.into(), src.into(), &*data));
            for len in 0..FWD_HEADER_LEN - HEADER_LEN {
                let mut short = Vec::new();
                frame::encode(&mut short, FrameType::FWD, &bytes[HEADER_LEN..HEADER_LEN + len]);
                let (frame, _) = frame::split_first(&mut short).unwrap();
                prop_assert_eq!(Forwarded::decode(frame).unwrap_err(), DecodeError::NoAddresses { body_len: len });
            }
        }
    }
}
