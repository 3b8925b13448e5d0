//! The agent's end of the local socket.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::stat::{Mode, umask};
use nix::unistd::{Group, chown};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::wire::{MAX_LINE_LEN, Message, Reply, Request, Status, Surroundings, Target, Trusted};
use crate::engine::{HubRequest, Trust};
use crate::known_peers::KnownPeer;
use crate::node::{Destination, NodeHandle};

/// Who is in this group may use the socket, beside root.
const GROUP: &str = "dosp";
/// So many commands may be connected at once.
const MAX_CONNECTIONS: usize = 64;
/// The longest payload of an echo in bytes, as of ping: what fits into an IP packet.
pub const MAX_ECHO_LEN: usize = 65_507;

/// Why there is no local socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another agent answers on it.
    #[error("an agent is running already: it answers on {}", path.display())]
    Running {
        /// The socket.
        path: PathBuf,
    },
    /// The system says no.
    #[error("make the local socket {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The bound socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever starts next finds a dead file and takes its place.
        std::fs::remove_file(&self.path).ok();
    }
}

impl Server {
    /// Makes the socket, 0660 and of the group `dosp` where that exists. The file of an agent that
    /// has died is replaced.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        if UnixStream::connect(path).await.is_ok() {
            return Err(BindError::Running { path: path.to_owned() });
        }
        let listener =
            bind(path).map_err(|source| BindError::Io { path: path.to_owned(), source })?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers for ever; a `Down` request cancels `stop`. Drop it last: the end of its connections
    /// tells commands that the agent has ended.
    pub async fn run(
        self,
        handle: NodeHandle,
        surroundings: Surroundings,
        stop: CancellationToken,
    ) {
        let surroundings = Arc::new(surroundings);
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                    let Ok((stream, _)) = accepted else { continue };
                    let (handle, surroundings) = (handle.clone(), surroundings.clone());
                    connections.spawn(serve(stream, handle, surroundings, stop.clone()));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Nobody may connect before the group is set.
    let before = umask(Mode::from_bits_truncate(0o117));
    let listener = UnixListener::bind(path);
    umask(before);
    if let Ok(Some(group)) = Group::from_name(GROUP) {
        // Without the right to give the file away it stays the user's own.
        chown(path, None, Some(group.gid)).ok();
    }
    listener
}

/// Answers one connection.
pub async fn serve<S: AsyncRead + AsyncWrite>(
    stream: S,
    handle: NodeHandle,
    surroundings: Arc<Surroundings>,
    stop: CancellationToken,
) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut line = Vec::new();
    let mut reader = BufReader::new(reader.take(MAX_LINE_LEN));
    let outcome = async {
        reader.read_until(b'\n', &mut line).await?;
        match serde_json::from_slice(&line) {
            Ok(request) => {
                let ends = (&mut reader, &mut writer);
                answer(request, ends, &handle, &surroundings, &stop).await
            }
            Err(error) => {
                let why = format!("the request cannot be read: {error}");
                let kind = super::wire::FailureKind::Usage;
                write(&mut writer, &Reply::Failed { kind, why, hint: None }).await
            }
        }
    };
    if let Err(error) = outcome.await {
        tracing::debug!(%error, "a command went away");
    }
}

async fn answer(
    request: Request,
    (reader, writer): (&mut (impl AsyncRead + Unpin), &mut (impl AsyncWrite + Unpin)),
    handle: &NodeHandle,
    surroundings: &Surroundings,
    stop: &CancellationToken,
) -> io::Result<()> {
    match request {
        Request::Wait => wait(reader, writer, handle).await,
        Request::Status => {
            let Some(report) = handle.report().await else { return Ok(()) };
            let status = Status::new(report, surroundings);
            write(writer, &Reply::Status(Box::new(status))).await
        }
        Request::Send { to, data } => send(to, data.0, writer, handle).await,
        Request::Resolve { name } => {
            let Some(resolved) = handle.resolve(name).await else { return Ok(()) };
            write(writer, &resolved.map_or_else(Reply::from, |vip| Reply::Resolved { vip })).await
        }
        Request::Tunnel { vip } => {
            let tunnel = handle.tunnel(vip).await;
            write(writer, &tunnel.map_or_else(Reply::from, |tunnel| Reply::Tunnel(tunnel.into())))
                .await
        }
        Request::Echo { vip, len } => {
            let echo = handle.echo(vip, vec![0; len.min(MAX_ECHO_LEN)]).await;
            write(writer, &echo.map_or_else(Reply::from, |echo| Reply::Echoed(echo.into()))).await
        }
        Request::Trust => {
            let trusted = handle.known_peers().borrow().iter().map(Trusted::from).collect();
            write(writer, &Reply::Trust { trusted }).await
        }
        Request::Accept { vip, fingerprint } => {
            change_trust(Trust::Accept(vip, fingerprint), writer, handle).await
        }
        Request::Forget { vip } => change_trust(Trust::Forget(vip), writer, handle).await,
        Request::Clients => ask(HubRequest::Clients, writer, handle).await,
        Request::Call { name } => ask(HubRequest::Call(name), writer, handle).await,
        Request::Info => ask(HubRequest::Info, writer, handle).await,
        Request::Listen => listen(writer, handle).await,
        Request::Leave => leave(writer, handle).await,
        Request::Down => {
            write(writer, &Reply::Ending).await?;
            stop.cancel();
            // Held open: its end tells the command that the process has ended.
            std::future::pending().await
        }
    }
}

/// Answers once the network is up, or not at all: who waited may have gone, and so may the node.
async fn wait(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    handle: &NodeHandle,
) -> io::Result<()> {
    tokio::select! {
        up = handle.up() => match up {
            Some(overlay) => write(writer, &Reply::Up { vip: overlay.vip }).await,
            None => Ok(()),
        },
        gone = reader.read_u8() => gone.map(drop),
    }
}

async fn send(
    to: Target,
    data: Vec<u8>,
    writer: &mut (impl AsyncWrite + Unpin),
    handle: &NodeHandle,
) -> io::Result<()> {
    let to = match to {
        Target::Hub => Destination::Hub,
        Target::Peer { vip, plain: true } => Destination::Plain(vip),
        Target::Peer { vip, plain: false } => Destination::Peer(vip),
    };
    let reply = match handle.send(to, data).await {
        Ok(()) => Reply::Sent,
        Err(failure) => failure.into(),
    };
    write(writer, &reply).await
}

/// Passes messages on until the node ends, or nobody reads them.
async fn listen(writer: &mut (impl AsyncWrite + Unpin), handle: &NodeHandle) -> io::Result<()> {
    let Some(mut messages) = handle.listen().await else { return Ok(()) };
    write(writer, &Reply::Listening).await?;
    while let Some(message) = messages.recv().await {
        write(writer, &Reply::Message(Message::from(message))).await?;
    }
    Ok(())
}

/// Where the hub agrees the connection stays open: its end tells the command that the process has ended.
async fn leave(writer: &mut (impl AsyncWrite + Unpin), handle: &NodeHandle) -> io::Result<()> {
    match handle.leave().await {
        Some(Ok(())) => write(writer, &Reply::Left).await?,
        Some(Err(error)) => return write(writer, &error.into()).await,
        // It ends, and says so by closing the connection.
        None => {}
    }
    std::future::pending().await
}

async fn change_trust(
    change: Trust,
    writer: &mut (impl AsyncWrite + Unpin),
    handle: &NodeHandle,
) -> io::Result<()> {
    let Some(outcome) = handle.trust(change).await else { return Ok(()) };
    let trusted = |known: KnownPeer| Reply::Trusted(Trusted::from(&known));
    write(writer, &outcome.map_or_else(Reply::from, trusted)).await
}

async fn ask(
    request: HubRequest,
    writer: &mut (impl AsyncWrite + Unpin),
    handle: &NodeHandle,
) -> io::Result<()> {
    match handle.ask(request).await {
        Some(Ok(answer)) => write(writer, &answer.into()).await,
        Some(Err(error)) => write(writer, &error.into()).await,
        None => Ok(()),
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.flush().await
}
