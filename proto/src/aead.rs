//! AES-256-GCM for what comes in bulk: the frames of version 2.
//!
//! The bytes are those of any other library, and handshakes, sealed words and version 1 stay with the
//! crate `aes-gcm`. What is here is the library AWS-LC, for three reasons:
//!
//! - Its assembler uses the widest instructions that the processor has, so a super-packet costs a
//!   fifth of what it costs in `aes-gcm` and half of what it costs in `ring`, a small packet half of
//!   the former and as much as in the latter (`benches/tunnel.rs`; AMD EPYC with VAES).
//! - It erases keys: whatever it frees, it overwrites first.
//! - Its build needs a C compiler and nothing else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::noise::nonce;

/// Length of a key in bytes.
pub(crate) const KEY_LEN: usize = 32;
/// Length of a tag in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// A key. "Less safe" is the library's word for one that leaves it to the caller that no nonce comes
/// twice; here each is of a counter.
#[derive(Debug)]
pub(crate) struct Aead(LessSafeKey);

impl Aead {
    #[expect(clippy::expect_used, reason = "only a key of another length is refused")]
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("invariant: AES-256 has 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `text` where it is, and makes the tag of it and of `aad`. A counter is good for one
    /// text. `None`, and nothing is done, where `text` is longer than GCM can count, which is 64 GiB.
    pub(crate) fn seal_in_place(
        &self,
        counter: u64,
        aad: &[u8],
        text: &mut [u8],
    ) -> Option<[u8; TAG_LEN]> {
        // The library's call that returns the tag takes 15 ns more, a tenth of a small packet.
        let (nonce, mut tag) = (nonce_of(counter), [0; TAG_LEN]);
        self.0.seal_in_place_scatter(nonce, Aad::from(aad), text, &[], &mut tag).ok()?;
        Some(tag)
    }

    /// Decrypts `text` where it is. `false` where it is not what was sealed with this counter and
    /// `aad`: then the library has overwritten all of it with zeros, so nobody reads what was forged.
    #[must_use]
    pub(crate) fn open_in_place(
        &self,
        counter: u64,
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> bool {
        let nonce = nonce_of(counter);
        self.0.open_in_place_separate_tag(nonce, Aad::from(aad), tag, text).is_ok()
    }
}

fn nonce_of(counter: u64) -> Nonce {
    Nonce::assume_unique_for_key(nonce(counter).into())
}

#[cfg(test)]
mod tests {
    use aes_gcm::aead::AeadInOut;
    use aes_gcm::{Aes256Gcm, KeyInit};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sealed_bytes_are_those_of_another_library(
            key: [u8; KEY_LEN],
            counter: u64,
            aad in vec(any::<u8>(), 0..40),
            text in vec(any::<u8>(), 0..3000),
        ) {
            let (aead, other) = (Aead::new(&key), Aes256Gcm::new(&key.into()));
            let (mut sealed, mut expected) = (text.clone(), text.clone());
            let tag = aead.seal_in_place(counter, &aad, &mut sealed).unwrap();
            let expected_tag = other
                .encrypt_inout_detached(&nonce(counter), &aad, (&mut expected[..]).into())
                .unwrap();
            prop_assert_eq!(&sealed, &expected);
            prop_assert_eq!(&tag[..], &expected_tag[..]);
            prop_assert!(aead.open_in_place(counter, &aad, &mut sealed, &tag));
            prop_assert_eq!(sealed, text);
        }

        #[test]
        fn what_is_forged_in_one_bit_is_refused_and_overwritten(
            text in vec(any::<u8>(), 1..3000),
            place: prop::sample::Index,
        ) {
            let aead = Aead::new(&[7; KEY_LEN]);
            let (mut aad, mut sealed) = ([9; 15], text);
            let mut tag = aead.seal_in_place(1, &aad, &mut sealed).unwrap();
            let mut bytes: Vec<_> = aad.iter_mut().chain(&mut sealed).chain(&mut tag).collect();
            let bit = place.index(bytes.len() * 8);
            *bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!aead.open_in_place(1, &aad, &mut sealed, &tag));
            prop_assert!(sealed.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn super_packet_is_sealed_as_by_another_library() {
        let (aead, other) = (Aead::new(&[7; KEY_LEN]), Aes256Gcm::new(&[7; KEY_LEN].into()));
        let (mut sealed, mut expected) = (vec![0x5A; 65_600], vec![0x5A; 65_600]);
        let tag = aead.seal_in_place(1 << 31, &[3; 15], &mut sealed).unwrap();
        let expected_tag = other
            .encrypt_inout_detached(&nonce(1 << 31), &[3; 15], (&mut expected[..]).into())
            .unwrap();
        assert!(sealed == expected && tag[..] == expected_tag[..]);
    }

    #[test]
    fn text_of_another_counter_or_key_is_refused() {
        let aead = Aead::new(&[7; KEY_LEN]);
        let mut sealed = *b"text";
        let tag = aead.seal_in_place(1, &[], &mut sealed).unwrap();
        assert!(!aead.open_in_place(2, &[], &mut sealed.clone(), &tag));
        assert!(!Aead::new(&[8; KEY_LEN]).open_in_place(1, &[], &mut sealed.clone(), &tag));
        assert!(aead.open_in_place(1, &[], &mut sealed, &tag));
        assert_eq!(&sealed, b"text");
    }
}
