//! FWD: any body is a frame on its way between hubs or too short; it can be written again, and travels
//! on with nothing but its TTL changed, until that is used up. No TTL is higher than the first.

use dosp_proto::federation::{FWD_HEADER_LEN, Forwarded, Forwarding, INITIAL_TTL};
use dosp_proto::frame::{DecodeError, FrameType, HEADER_LEN, encode, split_first};

/// Where the flags stand; all but the lowest bit are ignored.
const FLAGS_AT: usize = HEADER_LEN + 1;

pub fn run(body: &[u8]) {
    let mut frame = Vec::new();
    encode(&mut frame, FrameType::FWD, body);
    let mut expected = frame.clone();
    let (read, _) = split_first(&mut frame).expect("a whole frame");
    let forwarded = match Forwarded::decode(read) {
        Ok(forwarded) => forwarded,
        Err(error) => {
            assert_eq!(error, DecodeError::NoAddresses { body_len: body.len() });
            return assert!(body.len() < FWD_HEADER_LEN - HEADER_LEN);
        }
    };
    let Forwarded { forwarding, dst, src, data } = forwarded;
    expected[FLAGS_AT] &= 1;
    let header = forwarding.header(dst, src, data.len());
    assert_eq!([&header[..], data].concat(), expected);
    assert_travels(forwarding);
}

fn assert_travels(mut forwarding: Forwarding) {
    let begun = forwarding;
    for ttl in (1..begun.ttl.min(INITIAL_TTL)).rev() {
        forwarding = forwarding.next().expect("it may pass more links");
        assert_eq!(forwarding, Forwarding { ttl, ..begun });
    }
    assert_eq!(forwarding.next(), None);
}
