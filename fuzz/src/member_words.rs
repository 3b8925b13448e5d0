//! What an agent and its hub say under a seal: any bytes are read or refused, and what was read can be
//! written and is read as the same.

use dosp_proto::member::Control;

pub fn run(text: &[u8]) {
    let Ok(word) = Control::decode(text) else { return };
    let written = word.encode();
    assert_eq!(Control::decode(&written).as_ref(), Ok(&word));
    assert_eq!(written.first(), text.first());
}
