//! SD: any body is an advertisement or an error, and an advertisement can be written again.

use dosp_proto::frame::HEADER_LEN;
use dosp_proto::sd::Advertisement;

pub fn run(body: &[u8]) {
    let Ok(advertisement) = Advertisement::decode(body) else { return };
    assert_eq!(advertisement.0.len(), usize::from(body[1]));
    let mut out = Vec::new();
    advertisement.encode_to(&mut out).expect("its texts fitted once");
    // Bytes behind the last entry are ignored.
    assert!(body.starts_with(&out[HEADER_LEN..]));
}
