//! Inflating: never more than the limit, whatever the stream says.

use dosp_proto::zlib::Inflater;

const LIMIT: usize = 4096;
/// The output grows by so much at a time, so a bomb is noticed at most so late.
const STEP: usize = 4096;

pub fn run(body: &[u8]) {
    let mut inflater = Inflater::new(LIMIT);
    // Twice, because an inflater is used for a whole connection.
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let mut out = Vec::new();
        let inflated = inflater.inflate(body, &mut out).is_ok();
        assert!(out.len() <= if inflated { LIMIT } else { LIMIT + STEP }, "{} bytes", out.len());
        outcomes.push((inflated, inflated.then_some(out)));
    }
    assert_eq!(outcomes.first(), outcomes.last());
}
