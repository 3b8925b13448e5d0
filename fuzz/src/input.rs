//! Takes an input apart.

/// The bytes of an input that nobody took yet. What is missing at its end reads as nothing or 0.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The code of the next step; `None` at the end.
    pub(crate) fn step(&mut self) -> Option<u8> {
        (!self.rest.is_empty()).then(|| self.byte())
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub(crate) fn number(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    /// One of the two sides of a tunnel.
    pub(crate) fn side(&mut self) -> usize {
        usize::from(self.byte() & 1)
    }

    /// Exactly `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.bytes(N);
        array[..bytes.len()].copy_from_slice(bytes);
        array
    }

    /// At most `len` bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        bytes
    }

    /// As many bytes as the next byte says.
    pub(crate) fn counted_bytes(&mut self) -> &'a [u8] {
        let len = self.byte();
        self.bytes(len.into())
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }
}
