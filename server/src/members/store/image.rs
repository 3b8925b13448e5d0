//! The file of members in memory: what a backup holds.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use redb::StorageBackend;

use super::{Failure, Row, initialise, put};

/// The bytes of a file that holds `rows` and was closed.
pub(super) fn of(rows: &[Row]) -> Result<Vec<u8>, Failure> {
    let bytes = Bytes::default();
    let database = initialise(bytes.clone())?;
    let transaction = database.begin_write()?;
    for row in rows {
        put(&transaction, row)?;
    }
    transaction.commit()?;
    drop(database);
    let mut bytes = bytes.0.write().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *bytes))
}

#[derive(Debug, Clone, Default)]
struct Bytes(Arc<RwLock<Vec<u8>>>);

impl StorageBackend for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let start = index(offset)?;
        let end = start.saturating_add(out.len());
        out.copy_from_slice(bytes.get(start..end).ok_or_else(out_of_range)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).resize(index(len)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let start = index(offset)?;
        let end = start.saturating_add(data.len());
        bytes.get_mut(start..end).ok_or_else(out_of_range)?.copy_from_slice(data);
        Ok(())
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn out_of_range() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
