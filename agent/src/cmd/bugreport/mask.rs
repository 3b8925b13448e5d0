//! Takes secrets out of a text, in whatever form they got there.
//!
//! Nothing writes secrets into what a report is made of. This is the second lock: all secrets of this
//! host are looked up and masked where they occur, as text, hexadecimal, or base64, also as a part of
//! something longer that was encoded as a whole; and so is whatever begins like a secret of ours.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD as BASE64, URL_SAFE_NO_PAD as BASE64_URL};
use dosp_proto::join_string::JoinString;
use zeroize::Zeroizing;

use crate::config::Settings;

/// What stands in place of a secret.
pub(super) const MASK: &str = "[masked]";
/// What secrets of ours begin with: join strings, network secrets.
const PREFIXES: [&str; 2] = ["dosp1:", "dosps1:"];
/// Shorter texts are no secrets, and masking them would hide everything else.
const MIN_LEN: usize = 16;
/// Keys and secrets are so long.
const KEY_LEN: usize = 32;
/// Files are read as far as this; no secret is near so long.
const MAX_FILE_LEN: usize = 16 * 1024;

/// What must not be seen.
#[derive(Default)]
pub(super) struct Mask {
    /// Each in all its forms.
    needles: Vec<Zeroizing<String>>,
}

impl Mask {
    /// All secrets that this host has.
    pub(super) fn of(settings: &Settings) -> Self {
        let mut mask = Self::default();
        for secret in settings.secret.iter().flat_map(|secrets| secrets.as_slice()) {
            mask.add_line(&secret.to_text());
        }
        if let Some(path) = &settings.secret_file {
            mask.add_file(path);
        }
        let networks = std::fs::read_dir(settings.state().join("networks"));
        for folder in networks.into_iter().flatten().flatten() {
            for name in ["key", "key.new", "join", "join.new"] {
                mask.add_file(&folder.path().join(name));
            }
        }
        mask.needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        mask
    }

    fn add_file(&mut self, path: &Path) {
        // What cannot be read is not there for this user, and not in the report either.
        let Ok(content) = std::fs::read(path).map(Zeroizing::new) else { return };
        if content.len() <= MAX_FILE_LEN {
            String::from_utf8_lossy(&content).lines().for_each(|line| self.add_line(line.trim()));
        }
    }

    /// A line of a file with secrets: a key in base64, a network secret, a join string.
    fn add_line(&mut self, line: &str) {
        self.add_text(line);
        let join_key = line.parse::<JoinString>().ok().and_then(|join| join.join_key);
        let join_key = join_key.and_then(|key| serde_json::to_value(key).ok());
        if let Some(text) = join_key.as_ref().and_then(|key| key.as_str()) {
            return self.add_line(text);
        }
        let body = PREFIXES.iter().find_map(|prefix| line.strip_prefix(prefix)).unwrap_or(line);
        let body = body.trim_end_matches('=');
        let decoded = BASE64.decode(body).or_else(|_| BASE64_URL.decode(body));
        if let Ok(bytes) = decoded.map(Zeroizing::new) {
            // Behind a network secret comes its checksum.
            self.add_bytes(bytes.get(..KEY_LEN).unwrap_or(&bytes));
        }
    }

    fn add_text(&mut self, text: &str) {
        if text.len() >= MIN_LEN {
            self.needles.push(Zeroizing::new(text.to_owned()));
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.add_text(&hex.to_uppercase());
        self.add_text(&hex);
        // Three bytes are four letters, so a part of something longer can begin at any of three places;
        // its first and last letter may be shared with what is beside it.
        for offset in 0..3 {
            let padded = Zeroizing::new([&[0; 2][..offset], bytes].concat());
            let (first, last) = ((8 * offset).div_ceil(6), 8 * (offset + bytes.len()) / 6);
            for encoded in [BASE64.encode(&*padded), BASE64_URL.encode(&*padded)] {
                self.add_text(encoded.get(first..last).unwrap_or_default());
            }
        }
    }

    /// `text` without them.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut text =
            PREFIXES.iter().fold(text.to_owned(), |text, prefix| by_prefix(&text, prefix));
        for needle in &self.needles {
            text = text.replace(needle.as_str(), MASK);
        }
        text
    }
}

/// `text` without what follows `prefix`, where that has the letters of a secret.
fn by_prefix(text: &str, prefix: &str) -> String {
    let is_letter = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    let mut parts = text.split(prefix);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(is_letter);
        out.push_str(prefix);
        out.push_str(if part.len() - rest.len() >= MIN_LEN {
            MASK
        } else {
            &part[..part.len() - rest.len()]
        });
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use dosp_proto::identity::{IdentityKey, PublicKey};
    use dosp_proto::join_string::JoinKey;
    use dosp_proto::secret::NetworkSecret;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// All forms in which `bytes` may be found in a text.
    fn forms(bytes: &[u8], before: &[u8], behind: &[u8]) -> Vec<String> {
        let whole = [before, bytes, behind].concat();
        let hex: String = whole.iter().map(|byte| format!("{byte:02x}")).collect();
        vec![hex.to_uppercase(), hex, BASE64.encode(&whole), BASE64_URL.encode(&whole)]
    }

    /// The bytes of a key, out of a text that ends with it.
    fn bytes(text: &str) -> Vec<u8> {
        let body = text.split(':').next_back().unwrap().trim_end_matches('=');
        let decoded = BASE64.decode(body).or_else(|_| BASE64_URL.decode(body)).unwrap();
        decoded[..KEY_LEN].to_vec()
    }

    fn join_string(hub_key: PublicKey, join_key: JoinKey) -> JoinString {
        let (addrs, join_key) = (vec!["hub.example".to_owned()], Some(join_key));
        JoinString { hub_key, addrs, join_key, name: None, vip: None, expires_at: None }
    }

    proptest! {
        #[test]
        fn key_is_found_in_every_form(
            key: [u8; KEY_LEN],
            before in proptest::collection::vec(any::<u8>(), 0..5),
            behind in proptest::collection::vec(any::<u8>(), 0..5),
        ) {
            let mut mask = Mask::default();
            mask.add_bytes(&key);
            for form in forms(&key, &before, &behind) {
                let masked = mask.apply(&form);
                prop_assert!(masked.contains(MASK), "{form}");
                prop_assert!(masked.len() <= MASK.len() + 2 * (before.len() + behind.len()) + 4);
            }
        }
    }

    #[test]
    fn secrets_of_this_host_are_masked() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut rng = StdRng::seed_from_u64(8);
        let (secret, filed) =
            (NetworkSecret::generate(&mut rng), NetworkSecret::generate(&mut rng));
        let (key, join_key) = (IdentityKey::generate(&mut rng), JoinKey::generate(&mut rng));
        let folder = dir.path().join("networks/hub");
        std::fs::create_dir_all(&folder).unwrap();
        let private = key.to_bytes();
        std::fs::write(folder.join("key"), BASE64.encode(*private) + "=\n").unwrap();
        let join_key_text = serde_json::to_value(&join_key).unwrap();
        let join_key_text = join_key_text.as_str().unwrap();
        let join = join_string(*key.public(), join_key);
        std::fs::write(folder.join("join"), &*join.to_text()).unwrap();
        let secret_file = dir.path().join("secret");
        std::fs::write(&secret_file, format!("# mine\n{}\n", *filed.to_text())).unwrap();
        let settings = Settings {
            state: Some(dir.path().to_owned()),
            secret: Some(secret.to_text().parse().unwrap()),
            secret_file: Some(secret_file),
            ..Settings::default()
        };

        let mask = Mask::of(&settings);

        for secret in [
            bytes(&secret.to_text()),
            bytes(&filed.to_text()),
            private.to_vec(),
            bytes(join_key_text),
        ] {
            for form in forms(&secret, &[], &[]) {
                let masked = mask.apply(&format!("a {form} b"));
                assert!(masked.len() <= MASK.len() + 6, "{form}: {masked}");
            }
        }
        for text in [&join.to_text(), &secret.to_text(), &filed.to_text()] {
            assert!(!mask.apply(&format!("x {} y", **text)).contains(&text[12..20]));
        }
    }

    #[test]
    fn whatever_looks_like_a_secret_of_ours_is_masked() {
        let text = "join 'dosp1:AAAAAAAAAAAAAAAAAAAA', or dosps1:bbbb_bbbb-bbbb_bbbb; those begin with 'dosp1:'";
        let masked = Mask::default().apply(text);
        let expected = "join 'dosp1:[masked]', or dosps1:[masked]; those begin with 'dosp1:'";
        assert_eq!(masked, expected);
    }
}
