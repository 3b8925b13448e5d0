//! One buffer for one packet, from where it is read to where it is sent.
//!
//! ```text
//! [ headroom 64 ][ content ][ tailroom ]
//!        ◀─ prepend          append ─▶
//! ```
//!
//! Headers go into the headroom and tags behind the content, so a packet is sealed and framed where
//! it was read to: no copy, and no allocation once the buffer is large enough.

/// Room in front of the content in bytes. The longest headers are those of a message of version 1:
/// frame 5, addresses 8, nonce 12, number 8.
const HEADROOM: usize = 64;
/// Room behind it: the tag and the MAC of version 1.
const TAILROOM: usize = 48;

/// Bytes with room on both sides.
#[derive(Debug, Clone)]
pub struct PacketBuf {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Default for PacketBuf {
    fn default() -> Self {
        Self { bytes: vec![0; HEADROOM], start: HEADROOM, end: HEADROOM }
    }
}

impl From<&[u8]> for PacketBuf {
    fn from(content: &[u8]) -> Self {
        let mut buffer = Self::default();
        buffer.space(content.len()).copy_from_slice(content);
        buffer
    }
}

impl PacketBuf {
    /// An empty one with [`Self::room`] for `len` bytes.
    #[must_use]
    pub fn with_room(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.space(len);
        buffer.clear();
        buffer
    }

    /// How long a content fits without an allocation, with a tag behind it, in bytes.
    #[must_use]
    pub fn room(&self) -> usize {
        self.bytes.len().saturating_sub(HEADROOM + TAILROOM)
    }

    /// The content.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The content, to be changed where it is.
    pub fn content_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Length of the content in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is no content.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts `header` in front of the content. Beyond the headroom it still works, and copies.
    pub fn prepend(&mut self, header: &[u8]) {
        if let Some(missing) = header.len().checked_sub(self.start + 1) {
            self.bytes.splice(..0, std::iter::repeat_n(0, missing + 1));
            self.start += missing + 1;
            self.end += missing + 1;
        }
        let start = self.start - header.len();
        if let Some(room) = self.bytes.get_mut(start..self.start) {
            room.copy_from_slice(header);
        }
        self.start = start;
    }

    /// Puts `trailer` behind the content.
    pub fn append(&mut self, trailer: &[u8]) {
        let end = self.end + trailer.len();
        self.grow_to(end);
        if let Some(room) = self.bytes.get_mut(self.end..end) {
            room.copy_from_slice(trailer);
        }
        self.end = end;
    }

    /// Makes the content `len` bytes to be written to, whatever they are now; then
    /// [`Self::truncate`] says how many were.
    pub fn space(&mut self, len: usize) -> &mut [u8] {
        self.start = HEADROOM;
        self.end = HEADROOM + len;
        self.grow_to(self.end + TAILROOM);
        self.content_mut()
    }

    /// Cuts the content to its first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }

    /// Takes `len` bytes from the front of the content.
    pub fn advance(&mut self, len: usize) {
        self.start = (self.start + len).min(self.end);
    }

    /// Empties it; memory is kept.
    pub fn clear(&mut self) {
        self.space(0);
    }

    /// Bytes are zeroed once, when the buffer grows, and not for every packet.
    fn grow_to(&mut self, end: usize) {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_trailers_surround_the_content_without_a_copy() {
        let mut buffer = PacketBuf::default();
        buffer.space(100)[..4].copy_from_slice(b"body");
        buffer.truncate(4);
        let (before, len) = (buffer.content().as_ptr(), buffer.bytes.len());
        buffer.append(b"tag");
        buffer.prepend(b"in ");
        buffer.prepend(b"out ");
        assert_eq!(buffer.content(), b"out in bodytag");
        assert_eq!(buffer.content()[7..].as_ptr(), before);
        assert_eq!(buffer.bytes.len(), len);
        buffer.advance(7);
        assert_eq!((buffer.content(), buffer.len()), (&b"bodytag"[..], 7));
        buffer.clear();
        assert!(buffer.is_empty());
        assert_eq!(buffer.bytes.len(), len);
    }

    #[test]
    fn more_than_the_headroom_still_fits() {
        let mut buffer = PacketBuf::from(&b"body"[..]);
        buffer.prepend(&[1; HEADROOM - 1]);
        buffer.prepend(b"long");
        assert_eq!(buffer.content(), [&b"long"[..], &[1; HEADROOM - 1], b"body"].concat());
        buffer.prepend(b"x");
        buffer.clear();
        buffer.append(b"again");
        assert_eq!(buffer.content(), b"again");
    }
}
