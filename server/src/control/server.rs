//! The hub's end of the local socket.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Group, fchownat, geteuid};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tracing::debug;

use super::wire::{MAX_REQUEST_LEN, Reply, Request};
use crate::HubHandle;

/// Who is in this group may use the socket, beside root.
const GROUP: &str = "dosp";
/// So many commands may be connected at once.
const MAX_CONNECTIONS: usize = 64;

/// Why there is no local socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another hub answers on it.
    #[error("another hub answers on {}", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The system says no.
    #[error("cannot make the local socket {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The bound socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct ControlServer {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // Whoever starts next finds a dead file and takes its place.
        std::fs::remove_file(&self.path).ok();
    }
}

impl ControlServer {
    /// Makes the socket, 0660 and of the group `dosp` where that exists. The file of a hub that has
    /// died is replaced; a link is followed, so that a hub with a user of its own needs no right to write
    /// where the sockets of others are.
    ///
    /// # Errors
    /// [`SocketError`].
    pub async fn bind(path: &Path) -> Result<Self, SocketError> {
        let path = target_of(path);
        if UnixStream::connect(&path).await.is_ok() {
            return Err(SocketError::Taken { path });
        }
        match bind(&path) {
            Ok(listener) => Ok(Self { listener, path }),
            Err(source) => Err(SocketError::Io { path, source }),
        }
    }

    /// Answers for ever.
    pub async fn run(self, hub: HubHandle) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(serve(stream, hub.clone()));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// Where the link `path` leads, or `path` itself where it is none, or somebody else's: that could lead to what
/// is not theirs.
fn target_of(path: &Path) -> PathBuf {
    let is_trusted = |link: Metadata| link.uid() == 0 || link.uid() == geteuid().as_raw();
    match (std::fs::symlink_metadata(path).is_ok_and(is_trusted), std::fs::read_link(path)) {
        (true, Ok(target)) => path.parent().unwrap_or(Path::new("/")).join(target),
        _ => path.to_owned(),
    }
}

/// Removes the socket of a hub that has died, and nothing else.
fn remove_dead(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something that is no socket",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    remove_dead(path)?;
    // Nobody may connect before the group is set.
    let before = umask(Mode::from_bits_truncate(0o117));
    let listener = UnixListener::bind(path);
    umask(before);
    if let Ok(Some(group)) = Group::from_name(GROUP) {
        // Without the right to give the file away it stays the user's own.
        fchownat(AT_FDCWD, path, None, Some(group.gid), AtFlags::AT_SYMLINK_NOFOLLOW).ok();
    }
    listener
}

async fn serve(mut stream: UnixStream, hub: HubHandle) {
    let outcome = async {
        let (reader, mut writer) = stream.split();
        let mut line = Vec::new();
        BufReader::new(reader.take(MAX_REQUEST_LEN)).read_until(b'\n', &mut line).await?;
        let reply = match serde_json::from_slice(&line) {
            Ok(Request::Status) => Reply::Status(Box::new(hub.status())),
            Ok(Request::Admin { command }) => Reply::Said { text: hub.administer(&command) },
            Ok(Request::Members(request)) => hub.members(request).await,
            Ok(Request::Peers) => Reply::Peers(Box::new(hub.peers())),
            Ok(Request::Snapshot) => hub.snapshot().await,
            Err(error) => Reply::Failed { why: format!("the request cannot be read: {error}") },
        };
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        writer.write_all(&line).await
    };
    if let Err(error) = outcome.await {
        debug!(%error, "a command went away");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn link_is_followed_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("hub/hub.sock"));
        symlink("hub/hub.sock", &link).unwrap();
        for _ in 0..2 {
            let control = ControlServer::bind(&link).await.unwrap();
            UnixStream::connect(&link).await.unwrap();
            let second = ControlServer::bind(&link).await;
            assert!(matches!(second, Err(SocketError::Taken { .. })));
            drop(control);
            assert!(link.is_symlink() && !target.exists());
        }
    }

    #[tokio::test]
    async fn what_is_no_socket_of_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "precious").unwrap();
        symlink("file", &link).unwrap();
        let mut places = vec![&file, &link];
        let others = folder.path().join("others");
        symlink("sock", &others).unwrap();
        if geteuid().is_root() {
            let nobody = nix::unistd::Uid::from_raw(65_534);
            fchownat(AT_FDCWD, &others, Some(nobody), None, AtFlags::AT_SYMLINK_NOFOLLOW).unwrap();
            places.push(&others);
        }
        for place in places {
            let bound = ControlServer::bind(place).await;
            assert!(matches!(bound, Err(SocketError::Io { .. })), "{place:?}");
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"precious");
        assert!(link.is_symlink() && others.is_symlink());
    }
}
