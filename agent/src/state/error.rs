//! Why state cannot be used, and what to do about it.

use std::io;
use std::path::PathBuf;

use dosp_daemon::private::PrivateFileError;
use dosp_proto::identity::KeyError;
use dosp_proto::join_string::JoinStringError;

use crate::known_peers::KnownPeersError;

/// State that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A network whose name is no folder's.
    #[error("'{}' cannot be the name of a folder", network.escape_default())]
    Network {
        /// The network.
        network: String,
    },
    /// There is no folder, and none can be made.
    #[error("make the state folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent is in the same network with the same state.
    #[error("another agent uses the state folder {}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key cannot be read, or not by us alone.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// The key's file holds something else.
    #[error("{} is damaged: it holds no key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// What is known of the peers is not understood.
    #[error("{} is damaged", path.display())]
    KnownPeers {
        /// The file.
        path: PathBuf,
        /// Where, and how.
        source: KnownPeersError,
    },
    /// The join string that was taken is not understood.
    #[error("{} is damaged", path.display())]
    Join {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: JoinStringError,
    },
    /// What should name the joined network does not.
    #[error("{} is damaged: it names no network", path.display())]
    Joined {
        /// The file.
        path: PathBuf,
    },
    /// What should be the hub's key is none.
    #[error("{} is damaged: it holds no key", path.display())]
    HubKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
}

impl StateError {
    /// Whether another user could do it.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Folder { source, .. }
            | Self::Read { source, .. }
            | Self::Write { source, .. }
            | Self::Private(PrivateFileError::Read { source, .. }) => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            Self::Network { .. }
            | Self::InUse { .. }
            | Self::Private(PrivateFileError::Exposed { .. })
            | Self::Key { .. }
            | Self::KnownPeers { .. }
            | Self::Join { .. }
            | Self::Joined { .. }
            | Self::HubKey { .. } => false,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            _ if self.is_permission() => {
                "run as root, or choose a folder of your own with --state".to_owned()
            }
            Self::Private(error @ PrivateFileError::Exposed { .. }) => error.hint(),
            Self::Network { .. } => "write the hub as HOST, HOST:PORT or [IPV6]:PORT".to_owned(),
            Self::InUse { .. } => {
                "'dosp-agent down' ends it; --state, --socket and --tun make room for a second one"
                    .to_owned()
            }
            Self::Folder { .. } | Self::Read { .. } | Self::Write { .. } | Self::Private(_) => {
                "choose another folder with --state".to_owned()
            }
            Self::Key { .. } => "restore it from a backup, or remove it: this host then gets a \
                                 new key, which its peers must accept"
                .to_owned(),
            Self::KnownPeers { .. } => {
                "correct or remove that line: a peer without one is a stranger again".to_owned()
            }
            Self::Join { .. } | Self::Joined { .. } => {
                "remove it, and join again: dosp-agent join STRING".to_owned()
            }
            Self::HubKey { .. } => "restore it from a backup, or remove it: the key that the hub \
                                    shows next is then trusted"
                .to_owned(),
        }
    }
}
