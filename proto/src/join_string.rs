//! What a node needs in order to join a network, in one line that fits a QR code.
//!
//! ```text
//! dosp1:[base64url, no padding, of [content] [first 4 bytes of SHA-256 over label ‖ content]]
//! content: [flags u8] [hub key 32] [join key 32]? [vIP 4]? [expiry, Unix seconds, u64]?
//!          ([len u8][name])? [count u8] count times ([len u8][address])
//! flags:   1 join key · 2 vIP · 4 expiry · 8 name; others are of a later revision and refused
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64_URL};
use rand::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::identity::{KEY_LEN, PublicKey};
use crate::label::Label;
use crate::vip::Vip;

/// What the text form begins with.
const PREFIX: &str = "dosp1:";
const CHECKSUM_LABEL: &[u8] = b"dosp-join-string-v1";
const CHECKSUM_LEN: usize = 4;
const HASH_LABEL: &[u8] = b"dosp-join-key-v1";
const HAS_JOIN_KEY: u8 = 1;
const HAS_VIP: u8 = 2;
const HAS_EXPIRY: u8 = 4;
const HAS_NAME: u8 = 8;
/// A hub with more addresses than that has names for them.
const MAX_ADDRS: usize = 8;
/// Bytes of an invite's id, which people type.
const ID_LEN: usize = 4;

/// The right to join a network: 256 random bits. Erased from memory when dropped, never shown by
/// `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinKey([u8; KEY_LEN]);

impl JoinKey {
    /// A new one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Self([0; KEY_LEN]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// What a hub keeps of it. The key is random, so a plain hash protects it.
    #[must_use]
    pub fn hash(&self) -> JoinKeyHash {
        JoinKeyHash(Sha256::new().chain_update(HASH_LABEL).chain_update(self.0).finalize().into())
    }
}

impl Drop for JoinKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for JoinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinKey")
    }
}

impl Serialize for JoinKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(BASE64.encode(self.0)))
    }
}

impl<'de> Deserialize<'de> for JoinKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = BASE64.decode(&*text).map_err(serde::de::Error::custom)?;
        let key = bytes.try_into().map_err(|_| serde::de::Error::custom("not 32 bytes"));
        key.map(Self)
    }
}

/// The hash under which a hub keeps a [`JoinKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinKeyHash([u8; 32]);

impl JoinKeyHash {
    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its beginning, by which people name an invite: 8 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        self.0.iter().take(ID_LEN).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl From<[u8; 32]> for JoinKeyHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Text that is no join string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinStringError {
    /// Not of the form at all.
    #[error("not a join string: those begin with '{PREFIX}' and are made by 'dosp-server invite'")]
    Form,
    /// Of the form, with a wrong character or without its end.
    #[error("the join string is damaged: its checksum is wrong")]
    Checksum,
    /// Good, and of a later version.
    #[error("the join string says something that this version does not know")]
    Later,
}

/// Everything that a node has to know of a network before it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinString {
    /// The hub's key.
    pub hub_key: PublicKey,
    /// Where the hub is: `host:port` or `[v6]:port`, to be tried in this order; at most 8.
    pub addrs: Vec<String>,
    /// The right to join; without one, the hub must know the node already, or be open.
    pub join_key: Option<JoinKey>,
    /// What the node is to be called.
    pub name: Option<Label>,
    /// The vIP that it is to have.
    pub vip: Option<Vip>,
    /// When the join key expires, in Unix seconds of the hub's clock. Only ever shown: the hub decides.
    pub expires_at: Option<u64>,
}

impl JoinString {
    /// The text form, to be kept secret where there is a join key in it. Addresses beyond 8, and those
    /// of more than 255 bytes, are left out.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut content = Zeroizing::new(self.content());
        let checksum = checksum(&content);
        content.extend(checksum);
        let encoded = Zeroizing::new(BASE64_URL.encode(&*content));
        Zeroizing::new([PREFIX, &encoded].concat())
    }

    fn content(&self) -> Vec<u8> {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let mut out = Vec::with_capacity(512);
        out.push(
            flag(self.join_key.is_some(), HAS_JOIN_KEY)
                | flag(self.vip.is_some(), HAS_VIP)
                | flag(self.expires_at.is_some(), HAS_EXPIRY)
                | flag(self.name.is_some(), HAS_NAME),
        );
        out.extend(self.hub_key.as_bytes());
        out.extend(self.join_key.iter().flat_map(|key| key.0));
        out.extend(self.vip.iter().flat_map(|vip| vip.octets()));
        out.extend(self.expires_at.iter().flat_map(|at| at.to_be_bytes()));
        if let Some(name) = &self.name {
            push_short(&mut out, name.as_str());
        }
        let fits = |addr: &&String| u8::try_from(addr.len()).is_ok();
        let addrs: Vec<_> = self.addrs.iter().filter(fits).take(MAX_ADDRS).collect();
        out.extend(u8::try_from(addrs.len()));
        addrs.into_iter().for_each(|addr| push_short(&mut out, addr));
        out
    }
}

/// Appends a text of at most 255 bytes behind its length.
fn push_short(out: &mut Vec<u8>, text: &str) {
    out.extend(u8::try_from(text.len()));
    out.extend(text.as_bytes());
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM_LEN] {
    let digest = Sha256::new().chain_update(CHECKSUM_LABEL).chain_update(content).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

impl FromStr for JoinString {
    type Err = JoinStringError;

    fn from_str(text: &str) -> Result<Self, JoinStringError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(JoinStringError::Form)?;
        let bytes =
            Zeroizing::new(BASE64_URL.decode(encoded).map_err(|_| JoinStringError::Checksum)?);
        let (content, sum) =
            bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(JoinStringError::Checksum)?;
        if checksum(content) != *sum {
            return Err(JoinStringError::Checksum);
        }
        let mut rest = Content(content);
        rest.join_string().filter(|_| rest.0.is_empty()).ok_or(JoinStringError::Later)
    }
}

/// What is left of the content.
struct Content<'a>(&'a [u8]);

impl Content<'_> {
    fn join_string(&mut self) -> Option<JoinString> {
        let [flags] = self.take::<1>()?;
        if flags & !(HAS_JOIN_KEY | HAS_VIP | HAS_EXPIRY | HAS_NAME) != 0 {
            return None;
        }
        let hub_key = PublicKey::from(self.take::<KEY_LEN>()?);
        let join_key = self.take_if(flags & HAS_JOIN_KEY != 0)?.map(JoinKey);
        let vip = self.take_if(flags & HAS_VIP != 0)?.map(Vip::from);
        let expires_at = self.take_if(flags & HAS_EXPIRY != 0)?.map(u64::from_be_bytes);
        let name = match flags & HAS_NAME {
            0 => None,
            _ => Some(self.short()?.parse().ok()?),
        };
        let [count] = self.take::<1>()?;
        if usize::from(count) > MAX_ADDRS {
            return None;
        }
        let addrs = (0..count).map(|_| self.short().map(str::to_owned)).collect::<Option<_>>()?;
        Some(JoinString { hub_key, addrs, join_key, name, vip, expires_at })
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn take_if<const N: usize>(&mut self, is_there: bool) -> Option<Option<[u8; N]>> {
        if is_there { self.take().map(Some) } else { Some(None) }
    }

    fn short(&mut self) -> Option<&str> {
        let [len] = self.take::<1>()?;
        let (text, rest) = self.0.split_at_checked(len.into())?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn full() -> JoinString {
        JoinString {
            hub_key: PublicKey::from([7; KEY_LEN]),
            addrs: vec!["hub.example:7744".to_owned(), "[2001:db8::1]:7744".to_owned()],
            join_key: Some(JoinKey::generate(&mut StdRng::seed_from_u64(1))),
            name: Some("bob".parse().unwrap()),
            vip: Some("10.1.2.3".parse().unwrap()),
            expires_at: Some(1_800_000_000),
        }
    }

    #[test]
    fn text_form_is_read_back_whatever_it_leaves_out() {
        for left_out in 0..16 {
            let mut join = full();
            let leaves_out = |bit: u8| left_out & bit != 0;
            join.join_key = join.join_key.take().filter(|_| !leaves_out(1));
            join.vip = join.vip.filter(|_| !leaves_out(2));
            join.expires_at = join.expires_at.filter(|_| !leaves_out(4));
            join.name = join.name.take().filter(|_| !leaves_out(8));
            let text = join.to_text();
            assert_eq!(text.parse(), Ok(join.clone()), "{left_out}");
            assert_eq!(format!(" {}\n", *text).parse(), Ok(join));
        }
    }

    /// A QR code of version 15 with error correction L holds 520 bytes.
    #[test]
    fn text_form_fits_a_qr_code_and_is_golden() {
        let text = full().to_text();
        assert!(text.len() < 250, "{}", text.len());
        let plain =
            JoinString { join_key: None, name: None, vip: None, expires_at: None, ..full() };
        assert_eq!(
            *plain.to_text(),
            "dosp1:AAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHAhBodWIuZXhhbXBsZTo3NzQ0ElsyMDAxOmRiODo6\
             MV06Nzc0NOcUXSA"
        );
    }

    #[test]
    fn secret_is_not_shown_and_its_hash_has_an_id() {
        let join = full();
        let key = join.join_key.clone().unwrap();
        let shown = format!("{join:?}");
        assert!(shown.contains("JoinKey") && !shown.contains(&format!("{:?}", key.0)), "{shown}");
        assert_eq!(key.hash().id().len(), 8);
        assert_ne!(key.hash(), JoinKey([0; KEY_LEN]).hash());
    }

    #[test]
    fn other_text_is_told_apart() {
        let text = full().to_text();
        for (wrong, error) in [
            ("", JoinStringError::Form),
            ("dosps1:AAAA", JoinStringError::Form),
            ("dosp1:", JoinStringError::Checksum),
            ("dosp1:AAAA", JoinStringError::Checksum),
            (&text[..text.len() - 1], JoinStringError::Checksum),
        ] {
            assert_eq!(wrong.parse::<JoinString>(), Err(error), "{wrong}");
        }
        // A later flag, with a checksum that is right.
        let mut content = full().content();
        content[0] |= 0x80;
        content.extend(checksum(&content));
        let later = format!("{PREFIX}{}", BASE64_URL.encode(&content));
        assert_eq!(later.parse::<JoinString>(), Err(JoinStringError::Later));
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_found(at in 6usize..200, with in proptest::char::range('0', 'z')) {
            let text = full().to_text();
            let at = 6 + (at - 6) % (text.len() - 6);
            let mut wrong: Vec<char> = text.chars().collect();
            wrong[at] = with;
            let wrong: String = wrong.into_iter().collect();
            prop_assert_eq!(wrong.parse::<JoinString>().is_ok(), wrong == *text);
        }

        #[test]
        fn any_text_is_survived(text in "dosp1:[A-Za-z0-9_-]{0,200}") {
            drop(text.parse::<JoinString>());
        }
    }
}
