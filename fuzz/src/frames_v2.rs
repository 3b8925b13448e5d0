//! DATA of version 2 and what is in its frames: any bytes are read or refused, and what was read is
//! what stands there.

use dosp_proto::tunnel::v2::{Control, MAX_PACKETS, Message, OVERHEAD_LEN, Packets};

pub fn run(bytes: &[u8]) {
    if let Some(Message::Frame { receiver }) = Message::parse(bytes) {
        assert!(bytes.len() >= OVERHEAD_LEN);
        assert_eq!(bytes[3..7], receiver.to_be_bytes());
    }
    if let Some(control) = Control::decode(bytes) {
        assert_eq!(control.encode().content(), bytes);
    }
    let packets: Option<Vec<_>> = Packets::parse(bytes).map(Iterator::collect);
    assert_eq!(packets, packets_model(bytes));
}

/// The obvious way.
fn packets_model(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut packets, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let len = usize::from(*bytes.get(at)?) << 8 | usize::from(*bytes.get(at + 1)?);
        packets.push(bytes.get(at + 2..at + 2 + len).filter(|packet| !packet.is_empty())?);
        at += 2 + len;
    }
    (1..=MAX_PACKETS).contains(&packets.len()).then_some(packets)
}
