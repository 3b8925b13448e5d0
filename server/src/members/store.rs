//! The rows on disk: one file, in which a transaction is whole or not there.
//!
//! Keys are 32 bytes, values JSON. A file that is damaged is never written to, and never replaced.

mod error;
mod guard;
mod image;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dosp_daemon::private;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::{Invite, Member, Removed, Row};
use error::Failure;
pub use error::StoreError;
use guard::guarded;

/// Its name in the state folder.
pub const FILE: &str = "members.redb";
/// What the rows look like; a hub of an earlier version does not understand a later one.
const VERSION: u64 = 1;
/// All members of a large network fit.
const CACHE_LEN: usize = 8 * 1024 * 1024;

type Rows = TableDefinition<'static, &'static [u8; 32], &'static [u8]>;
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
const MEMBERS: Rows = TableDefinition::new("members");
const INVITES: Rows = TableDefinition::new("invites");
const REMOVED: Rows = TableDefinition::new("removed");

/// The file, which nobody else can open meanwhile.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// Closed after a failure: what the file holds then is found out by opening it.
    database: Option<Database>,
    /// What was there before a transaction that failed at its very end, and may be there after all.
    doubtful: Vec<Row>,
}

impl Store {
    /// Opens, or makes, the file in `folder`, and reads all rows.
    ///
    /// # Errors
    /// [`StoreError`]; the file is as it was.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Row>), StoreError> {
        let path = folder.join(FILE);
        let opened = guarded(|| {
            if !fs::exists(&path)? {
                create(folder, &path)?;
            }
            open(&path)
        });
        match opened {
            Ok((database, rows)) => {
                Ok((Self { path, database: Some(database), doubtful: Vec::new() }, rows))
            }
            Err(failure) => Err(failure.at(path)),
        }
    }

    /// Stores all `rows`, or none of them. They are on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; then none of them counts, and later ones may do better.
    pub fn commit(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let done = guarded(|| self.try_commit(rows));
        done.map_err(|failure| {
            self.database = None;
            failure.at(self.path.clone())
        })
    }

    /// All rows, as they are on the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rows(&mut self) -> Result<Vec<Row>, StoreError> {
        if self.database.is_none() {
            // What a failure left in doubt is settled first.
            self.commit(&[])?;
        }
        let read = guarded(|| match &self.database {
            Some(database) => read(database),
            None => open(&self.path).map(|(_, rows)| rows),
        });
        read.map_err(|failure| failure.at(self.path.clone()))
    }

    fn try_commit(&mut self, rows: &[Row]) -> Result<(), Failure> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?.0,
        };
        let database = self.database.insert(database);
        let transaction = database.begin_write()?;
        for row in &self.doubtful {
            put(&transaction, row)?;
        }
        let before =
            rows.iter().map(|row| put(&transaction, row)).collect::<Result<Vec<_>, _>>()?;
        if let Err(error) = transaction.commit() {
            // The rows may be on the disk. Whoever asked is told that they are not.
            self.doubtful.extend(before.into_iter().rev());
            return Err(error.into());
        }
        self.doubtful.clear();
        Ok(())
    }
}

/// The content of a file with `rows` and nothing else in it.
///
/// # Errors
/// [`StoreError`], where there is not enough memory.
pub fn image(rows: &[Row]) -> Result<Vec<u8>, StoreError> {
    guarded(|| image::of(rows)).map_err(|failure| failure.at(FILE.into()))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_LEN).set_check_integrity_on_open(true);
    builder
}

/// Makes an empty file. Where that ends half-way, there is none.
fn create(folder: &Path, path: &Path) -> Result<(), Failure> {
    let new = folder.join(format!("{FILE}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new)?;
    private::hand_over(&file, folder)?;
    drop(initialise(FileBackend::new(file)?)?);
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn initialise(backend: impl StorageBackend) -> Result<Database, Failure> {
    let database = builder().create_with_backend(backend)?;
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("version", VERSION)?;
    for table in [MEMBERS, INVITES, REMOVED] {
        transaction.open_table(table)?;
    }
    transaction.commit()?;
    Ok(database)
}

fn open(path: &Path) -> Result<(Database, Vec<Row>), Failure> {
    let database = builder().open(path)?;
    let rows = read(&database)?;
    Ok((database, rows))
}

fn read(database: &Database) -> Result<Vec<Row>, Failure> {
    let transaction = database.begin_read()?;
    let version = transaction.open_table(META)?.get("version")?.map(|version| version.value());
    match version {
        Some(VERSION) => {}
        Some(version) if version > VERSION => return Err(Failure::Later { version }),
        _ => return Err(Failure::damaged("it has no version")),
    }
    let mut rows = Vec::new();
    for entry in transaction.open_table(MEMBERS)?.iter()? {
        let (key, value) = entry?;
        let member: Member = value_of(value.value())?;
        check_key(key.value(), member.key.as_bytes())?;
        rows.push(Row::Member(member.key, Some(member)));
    }
    for entry in transaction.open_table(INVITES)?.iter()? {
        let (key, value) = entry?;
        let invite: Invite = value_of(value.value())?;
        check_key(key.value(), invite.hash.as_bytes())?;
        rows.push(Row::Invite(invite.hash, Some(invite)));
    }
    for entry in transaction.open_table(REMOVED)?.iter()? {
        let (key, value) = entry?;
        let removed: Removed = value_of(value.value())?;
        check_key(key.value(), removed.key.as_bytes())?;
        rows.push(Row::Removed(removed.key, Some(removed)));
    }
    Ok(rows)
}

fn check_key(key: &[u8; 32], inner: &[u8; 32]) -> Result<(), Failure> {
    if key == inner { Ok(()) } else { Err(Failure::damaged("a row is under another's key")) }
}

fn value_of<T: DeserializeOwned>(value: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(value).map_err(|error| Failure::damaged(&error.to_string()))
}

/// Puts one row in, and returns the one that it replaces.
fn put(transaction: &WriteTransaction, row: &Row) -> Result<Row, Failure> {
    Ok(match row {
        Row::Member(key, member) => {
            Row::Member(*key, put_value(transaction, MEMBERS, key.as_bytes(), member.as_ref())?)
        }
        Row::Invite(hash, invite) => {
            Row::Invite(*hash, put_value(transaction, INVITES, hash.as_bytes(), invite.as_ref())?)
        }
        Row::Removed(key, removed) => {
            Row::Removed(*key, put_value(transaction, REMOVED, key.as_bytes(), removed.as_ref())?)
        }
    })
}

fn put_value<T: Serialize + DeserializeOwned>(
    transaction: &WriteTransaction,
    table: Rows,
    key: &[u8; 32],
    value: Option<&T>,
) -> Result<Option<T>, Failure> {
    let mut table = transaction.open_table(table)?;
    let before = match value {
        Some(value) => {
            let value = serde_json::to_vec(value).map_err(io::Error::from)?;
            table.insert(key, value.as_slice())?
        }
        None => table.remove(key)?,
    };
    before.map(|before| value_of(before.value())).transpose()
}

#[cfg(test)]
mod tests;
