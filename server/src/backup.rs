//! A backup: what a hub keeps, and its configuration, in one file.
//!
//! The file is a plain `tar`, so that hands can open it where no `dosp-server` is:
//!
//! ```text
//! manifest.json      what it is, of which hub, when
//! server.toml        the configuration, where there was a file
//! state/             the state folder, name for name
//! SHA256             the sum of all bytes before this entry
//! ```
//!
//! Nothing here touches the state of a hub.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tar::{Archive, Builder, EntryType, Header};
use zeroize::Zeroizing;

use crate::federation::known_hubs;
use crate::hub_key;
use crate::members::store;

/// What the beginning of the manifest's schema is, whatever the version.
const SCHEMA: &str = "dosp.hub-backup/";
/// The only version that there has been.
const VERSION: u64 = 1;
/// The longest backup that is read, in bytes: a hundred times what the largest network takes.
pub const MAX_LEN: u64 = 1 << 30;

const MANIFEST: &str = "manifest.json";
const CONFIG: &str = "server.toml";
const STATE: &str = "state/";
const SUM: &str = "SHA256";
/// What can be in a state folder and is the hub's.
pub const STATE_FILES: [&str; 3] = [hub_key::FILE, store::FILE, known_hubs::FILE];

/// The last entry and the end: a header, a block with the sum, and two empty blocks.
const SEAL_LEN: usize = 4 * 512;

/// What a backup says of itself: `dosp.hub-backup/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `dosp.hub-backup/1`.
    pub schema: String,
    /// The version of the `dosp-server` that made it.
    pub version: String,
    /// When, as RFC 3339.
    pub made_at: String,
    /// Where the configuration was; none where there was no file.
    pub config: Option<PathBuf>,
    /// The mode of that file.
    pub config_mode: u32,
    /// Whose that file was, by name.
    pub config_owner: Option<Owner>,
    /// Where the state folder was.
    pub state: PathBuf,
    /// Whose that was, by name.
    pub owner: Option<Owner>,
    /// The fingerprint of the hub's key.
    pub fingerprint: String,
    /// How many members there were.
    pub members: usize,
}

impl Manifest {
    /// The name of this form.
    #[must_use]
    pub fn schema() -> String {
        format!("{SCHEMA}{VERSION}")
    }
}

/// A user and its group, by name: numbers mean others on another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The user.
    pub user: String,
    /// The group.
    pub group: String,
}

/// What is in a backup. There are secrets in it, so it does not show them.
pub struct Backup {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The configuration file.
    pub config: Option<Vec<u8>>,
    /// The files of the state folder, by name.
    pub state: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// Why a file is not restored.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It never was a backup.
    #[error("it is no backup of dosp-server")]
    NoBackup,
    /// A later version wrote it.
    #[error("it is of the later format {version}")]
    Later {
        /// The version of its format.
        version: u64,
    },
    /// It is not what was written.
    #[error("it is damaged or cut off: {why}")]
    Damaged {
        /// What was found.
        why: String,
    },
}

fn damaged(why: impl ToString) -> UnpackError {
    UnpackError::Damaged { why: why.to_string() }
}

impl Backup {
    /// The file's content.
    ///
    /// # Errors
    /// None but of a manifest that cannot be written as JSON.
    pub fn pack(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        // A buffer that grew would leave a part of a secret behind.
        let len = self.state.values().map(|content| content.len() + 1024).sum::<usize>();
        let config_len = self.config.as_ref().map_or(0, |config| config.len() + 1024);
        let mut builder = Builder::new(Vec::with_capacity(len + config_len + 16 * 1024));
        let manifest = serde_json::to_vec_pretty(&self.manifest)?;
        append(&mut builder, MANIFEST, EntryType::Regular, &manifest)?;
        if let Some(config) = &self.config {
            append(&mut builder, CONFIG, EntryType::Regular, config)?;
        }
        append(&mut builder, STATE, EntryType::Directory, &[])?;
        for (name, content) in &self.state {
            append(&mut builder, &format!("{STATE}{name}"), EntryType::Regular, content)?;
        }
        // Only `into_inner` of a finished archive writes its end, which comes with the seal.
        let mut bytes = Zeroizing::new(std::mem::take(builder.get_mut()));
        let seal = seal(&bytes)?;
        bytes.extend_from_slice(&seal);
        Ok(bytes)
    }

    /// What is in a file with this content.
    ///
    /// # Errors
    /// [`UnpackError`], where a single bit is not as it was written.
    pub fn unpack(bytes: &[u8]) -> Result<Self, UnpackError> {
        let mut archive = Archive::new(bytes);
        // Raw: none of what later kinds of tar have, long names and files with holes.
        let mut entries = archive.entries().map_err(damaged)?.raw(true);
        let first = entries.next().transpose().map_err(|_| UnpackError::NoBackup)?;
        let first = first.ok_or(UnpackError::NoBackup)?;
        let is_file = first.header().entry_type() == EntryType::Regular;
        if !is_file || first.path().ok().as_deref() != Some(Path::new(MANIFEST)) {
            return Err(UnpackError::NoBackup);
        }
        let manifest = content(first)?;
        check_version(&manifest)?;
        let Some((sealed, end)) = bytes.split_last_chunk::<SEAL_LEN>() else {
            return Err(damaged("it ends too early"));
        };
        if seal(sealed).map_err(damaged)? != end {
            return Err(damaged("its checksum is another one"));
        }
        let manifest = serde_json::from_slice(&manifest).map_err(damaged)?;
        let mut backup = Self { manifest, config: None, state: BTreeMap::new() };
        for entry in entries {
            let entry = entry.map_err(damaged)?;
            let path = entry.path().map_err(damaged)?.to_string_lossy().into_owned();
            let wanted = if path == STATE { EntryType::Directory } else { EntryType::Regular };
            if entry.header().entry_type() != wanted {
                return Err(damaged(format!("'{}' is no file", path.escape_default())));
            }
            backup.take(&path, entry)?;
        }
        Ok(backup)
    }

    fn take(&mut self, path: &str, entry: impl Read) -> Result<(), UnpackError> {
        let name = path.strip_prefix(STATE).filter(|name| STATE_FILES.contains(name));
        match (path, name) {
            (CONFIG, _) => self.config = Some(content(entry)?.to_vec()),
            (SUM | STATE, _) => {}
            (_, Some(name)) => {
                self.state.insert(name.to_owned(), content(entry)?);
            }
            (other, None) => {
                return Err(damaged(format!("it holds '{}'", other.escape_default())));
            }
        }
        Ok(())
    }
}

fn content(entry: impl Read) -> Result<Zeroizing<Vec<u8>>, UnpackError> {
    let mut content = Zeroizing::new(Vec::new());
    match entry.take(MAX_LEN + 1).read_to_end(&mut content).map_err(damaged)? {
        len if len as u64 > MAX_LEN => Err(damaged("a file in it is too long")),
        _ => Ok(content),
    }
}

/// Before anything else is looked at: what comes later may be sealed otherwise.
fn check_version(manifest: &[u8]) -> Result<(), UnpackError> {
    #[derive(Deserialize)]
    struct Schema {
        schema: String,
    }
    let Schema { schema } = serde_json::from_slice(manifest).map_err(damaged)?;
    match schema.strip_prefix(SCHEMA).map(str::parse) {
        Some(Ok(VERSION)) => Ok(()),
        Some(Ok(version)) if version > VERSION => Err(UnpackError::Later { version }),
        _ => Err(UnpackError::NoBackup),
    }
}

fn append(
    builder: &mut Builder<Vec<u8>>,
    path: &str,
    entry_type: EntryType,
    content: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type);
    header.set_mode(if entry_type == EntryType::Directory { 0o700 } else { 0o600 });
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, path, content)
}

/// What comes behind `bytes`: the entry with their sum, and the end of the archive.
fn seal(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut builder = Builder::new(Vec::new());
    append(&mut builder, SUM, EntryType::Regular, format!("{sum}\n").as_bytes())?;
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> Backup {
        let file = |name: &str, content: &[u8]| (name.to_owned(), Zeroizing::new(content.to_vec()));
        Backup {
            manifest: Manifest {
                schema: Manifest::schema(),
                version: "0.1.0".to_owned(),
                made_at: "2026-11-29T12:00:00Z".to_owned(),
                config: Some("/etc/dosp/server.toml".into()),
                config_mode: 0o644,
                config_owner: Some(Owner { user: "root".to_owned(), group: "dosp".to_owned() }),
                state: "/var/lib/dosp/server".into(),
                owner: Some(Owner { user: "dosp".to_owned(), group: "dosp".to_owned() }),
                fingerprint: "OLGW5-BBCYQ-D7W3I-JQ2IP".to_owned(),
                members: 3,
            },
            config: Some(b"closed = true\n".to_vec()),
            state: [file("key", b"secret\n"), file("members.redb", &[7; 5000])].into(),
        }
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let packed = backup().pack().unwrap();
        let again = Backup::unpack(&packed).unwrap();
        assert_eq!(again.manifest, backup().manifest);
        assert_eq!(again.config, backup().config);
        assert_eq!(again.state, backup().state);
    }

    #[test]
    fn no_bit_may_be_another_and_no_byte_missing_or_more() {
        let packed = backup().pack().unwrap();
        for at in 0..packed.len() {
            let mut flipped = packed.to_vec();
            flipped[at] ^= 1 << (at % 8);
            assert!(Backup::unpack(&flipped).is_err(), "byte {at}");
        }
        for len in (0..packed.len()).step_by(97).chain([packed.len() - 1, packed.len() - 512]) {
            assert!(Backup::unpack(&packed[..len]).is_err(), "cut to {len}");
        }
        assert!(Backup::unpack(&[&packed, &[0][..]].concat()).is_err(), "one byte more");
        assert!(matches!(Backup::unpack(&[]), Err(UnpackError::NoBackup)));
        assert!(matches!(Backup::unpack(&[b'x'; 4096]), Err(UnpackError::NoBackup)));
    }

    #[test]
    fn later_format_is_told_from_damage() {
        let mut later = backup();
        later.manifest.schema = "dosp.hub-backup/2".to_owned();
        let later = Backup::unpack(&later.pack().unwrap()).unwrap_err();
        assert!(matches!(later, UnpackError::Later { version: 2 }), "{later}");
    }

    #[test]
    fn only_plain_files_are_taken() {
        let manifest = serde_json::to_vec(&backup().manifest).unwrap();
        for other in [EntryType::Symlink, EntryType::Link, EntryType::GNUSparse, EntryType::Fifo] {
            let mut builder = Builder::new(Vec::new());
            append(&mut builder, MANIFEST, EntryType::Regular, &manifest).unwrap();
            append(&mut builder, "state/key", other, b"").unwrap();
            let mut bytes = std::mem::take(builder.get_mut());
            bytes.extend(seal(&bytes).unwrap());
            let refused = Backup::unpack(&bytes).unwrap_err();
            assert!(refused.to_string().contains("'state/key' is no file"), "{other:?}: {refused}");
        }
    }

    #[test]
    fn file_that_no_hub_has_is_refused() {
        for path in ["state/../key", "state/other", "/etc/passwd"] {
            let refused = backup().take(path, &b"x"[..]).unwrap_err();
            assert!(matches!(refused, UnpackError::Damaged { .. }), "{path}: {refused}");
        }
    }
}
