//! What can be wrong with the file of members, in words.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use redb::{DatabaseError, Error, StorageError};

/// Why members cannot be stored, or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has it open.
    #[error("a running hub uses {}", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold what a hub wrote.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, and how.
        why: String,
    },
    /// A later version wrote it.
    #[error("{} is of the later format {version}", path.display())]
    Later {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        version: u64,
    },
    /// It is not this user's.
    #[error("cannot open {}", path.display())]
    Forbidden {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Nothing can be written where it is.
    #[error("cannot write {}", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// There is no room.
    #[error("cannot write {}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The system says no for another reason.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: Arc<io::Error>,
    },
    /// The thread that stores has ended.
    #[error("members are not stored any more")]
    Ended,
}

impl StoreError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "ask that hub over its socket, or stop it first",
            Self::Damaged { .. } => "restore it from a backup; it was not overwritten",
            Self::Later { .. } => "run the version of dosp-server that wrote it",
            Self::Forbidden { .. } => "be the hub's user, or choose another folder with --state",
            Self::ReadOnly { .. } => "make the file system writable, or choose another folder",
            Self::Full { .. } => "make room on the disk: nobody new can join until then",
            Self::Io { .. } | Self::Ended => "look for errors of the disk in the kernel's log",
        }
    }
}

/// The same without the file's name.
#[derive(Debug)]
pub(super) enum Failure {
    InUse,
    Damaged(String),
    Later { version: u64 },
    Io(io::Error),
}

impl Failure {
    pub(super) fn damaged(why: &str) -> Self {
        Self::Damaged(why.to_owned())
    }

    pub(super) fn at(self, path: PathBuf) -> StoreError {
        let source = match self {
            Self::InUse => return StoreError::InUse { path },
            Self::Damaged(why) => return StoreError::Damaged { path, why },
            Self::Later { version } => return StoreError::Later { path, version },
            Self::Io(source) => Arc::new(source),
        };
        match source.kind() {
            io::ErrorKind::PermissionDenied => StoreError::Forbidden { path, source },
            io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path, source },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { path, source }
            }
            // What is no database, or ends too early.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                StoreError::Damaged { path, why: source.to_string() }
            }
            _ => StoreError::Io { path, source },
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

macro_rules! from_redb {
    ($($kind:ty),*) => {
        $(impl From<$kind> for Failure {
            fn from(error: $kind) -> Self {
                Self::of(error.into())
            }
        })*
    };
}
from_redb!(
    DatabaseError,
    StorageError,
    redb::TransactionError,
    redb::TableError,
    redb::CommitError,
    redb::BackendError
);

impl Failure {
    fn of(error: Error) -> Self {
        match error {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => Self::InUse,
            Error::Io(error) => Self::Io(error),
            other => Self::Damaged(other.to_string()),
        }
    }
}
