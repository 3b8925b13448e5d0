//! The commands' end of the local socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use dosp_proto::identity::PublicKey;

use super::wire::{Peers, Reply, Request, Status};
use crate::members::command::{MembersReply, MembersRequest};
use crate::members::snapshot::Snapshot;

/// Why a hub did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody answers on the socket.
    #[error("no hub is running: nothing answers on {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is not for this user.
    #[error("cannot open the local socket {}", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("cannot talk to the running hub")]
    Io(#[from] io::Error),
    /// A line that is no answer, as from another version.
    #[error("the running hub's answer cannot be read")]
    Malformed(#[from] serde_json::Error),
    /// An answer to something else.
    #[error("the running hub's answer does not fit the request")]
    Unexpected,
    /// The hub says why not, or an administrator's command was not done.
    #[error("{why}")]
    Refused {
        /// Why, in words.
        why: String,
    },
}

/// What the hub at `socket` is doing.
///
/// # Errors
/// [`ControlError`].
pub fn status(socket: &Path) -> Result<Status, ControlError> {
    match ask(socket, &Request::Status)? {
        Reply::Status(status) => Ok(*status),
        _ => Err(ControlError::Unexpected),
    }
}

/// Lets the hub at `socket` do what an administrator may ask; returns its answer.
///
/// # Errors
/// [`ControlError`].
pub fn administer(socket: &Path, command: String) -> Result<String, ControlError> {
    match ask(socket, &Request::Admin { command })? {
        Reply::Said { text } => match text.strip_prefix("ERR:") {
            Some(why) => Err(ControlError::Refused { why: why.to_owned() }),
            None => Ok(text),
        },
        _ => Err(ControlError::Unexpected),
    }
}

/// Asks the hub at `socket` about its members.
///
/// # Errors
/// [`ControlError`].
pub fn members(socket: &Path, request: MembersRequest) -> Result<MembersReply, ControlError> {
    match ask(socket, &Request::Members(request))? {
        Reply::Members(reply) => Ok(reply),
        _ => Err(ControlError::Unexpected),
    }
}

/// Which hubs the one at `socket` is linked with, and where they lead.
///
/// # Errors
/// [`ControlError`].
pub fn peers(socket: &Path) -> Result<Peers, ControlError> {
    match ask(socket, &Request::Peers)? {
        Reply::Peers(peers) => Ok(*peers),
        _ => Err(ControlError::Unexpected),
    }
}

/// All that the hub at `socket` has stored of its members, and that hub's key.
///
/// # Errors
/// [`ControlError`].
pub fn snapshot(socket: &Path) -> Result<(PublicKey, Snapshot), ControlError> {
    match ask(socket, &Request::Snapshot)? {
        Reply::Snapshot { hub, stored } => Ok((hub, *stored)),
        _ => Err(ControlError::Unexpected),
    }
}

fn ask(socket: &Path, request: &Request) -> Result<Reply, ControlError> {
    let mut stream = UnixStream::connect(socket).map_err(|source| {
        let path = socket.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => ControlError::Forbidden { path, source },
            _ => ControlError::NotRunning { path },
        }
    })?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut line = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut line)?;
    match serde_json::from_slice(&line)? {
        Reply::Failed { why } => Err(ControlError::Refused { why }),
        reply => Ok(reply),
    }
}
