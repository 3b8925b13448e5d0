//! Server discovery: any body is read or refused, and what was read can be written.

use dosp_proto::frame::HEADER_LEN;
use dosp_proto::sd::Advertisement;

pub fn run(body: &[u8]) {
    let Ok(advertisement) = Advertisement::decode(body) else { return };
    let mut out = Vec::new();
    advertisement.encode_to(&mut out).unwrap();
    assert_eq!(Advertisement::decode(&out[HEADER_LEN..]).unwrap().0, advertisement.0);
}
