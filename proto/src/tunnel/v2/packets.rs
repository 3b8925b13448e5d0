//! Several IP packets in one frame, of kind 5: `[len u16][packet]…`.

/// So many packets are in a frame at most.
pub const MAX_PACKETS: usize = 256;

/// The packets of a frame, each as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    /// `None` unless `content` is 1 to 256 packets, none of them empty, and nothing else.
    #[must_use]
    pub fn parse(content: &'a [u8]) -> Option<Self> {
        let (mut rest, mut num_packets) = (content, 0);
        while !rest.is_empty() {
            let (packet, behind) = split(rest)?;
            (rest, num_packets) = (behind, num_packets + 1);
            if packet.is_empty() || num_packets > MAX_PACKETS {
                return None;
            }
        }
        (num_packets > 0).then_some(Self { rest: content })
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (packet, rest) = split(self.rest)?;
        self.rest = rest;
        Some(packet)
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(packets: &[&[u8]]) -> Vec<u8> {
        let with_len = |packet: &&[u8]| {
            [&u16::try_from(packet.len()).unwrap().to_be_bytes(), *packet].concat()
        };
        packets.iter().flat_map(with_len).collect()
    }

    #[test]
    fn packets_come_out_as_they_went_in() {
        let packets: [&[u8]; 3] = [b"one", b"2", &[3; 65_535]];
        let content = content(&packets);
        assert!(Packets::parse(&content).unwrap().eq(packets));
    }

    #[test]
    fn lengths_must_fill_the_content_exactly() {
        let whole = content(&[b"one", b"two"]);
        for cut in (0..whole.len()).filter(|cut| *cut != 5) {
            assert_eq!(Packets::parse(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(Packets::parse(&content(&[b"one", b""])), None);
        assert!(Packets::parse(&content(&[b"x".as_slice(); MAX_PACKETS])).is_some());
        assert_eq!(Packets::parse(&content(&[b"x".as_slice(); MAX_PACKETS + 1])), None);
    }
}
