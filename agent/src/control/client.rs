//! The commands' end of the local socket.

use std::io;
use std::path::{Path, PathBuf};

use dosp_proto::vip::Vip;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::wire::{
    Answer, Clients, EchoResult, FailureKind, Info, Message, Reply, Request, Status, Target,
    Trusted, Tunnel,
};

/// Why an agent did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody answers on the socket.
    #[error("no agent is running: nothing answers on {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is not for this user.
    #[error("open the local socket {}", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("talk to the running agent")]
    Io(#[from] io::Error),
    /// A line that is no answer, as from another version.
    #[error("the running agent's answer cannot be read")]
    Malformed(#[from] serde_json::Error),
    /// An answer to something else.
    #[error("the running agent's answer does not fit the request")]
    Unexpected,
    /// The agent ended first.
    #[error("the running agent ended")]
    Ended,
    /// The agent says why not.
    #[error("{why}")]
    Failed {
        /// Which kind of failure.
        kind: FailureKind,
        /// Why, in words.
        why: String,
        /// What to do, where there is more to say than the kind says.
        hint: Option<String>,
    },
}

/// Anything that an agent can be asked over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One connection to an agent: good for one request.
pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to the agent whose socket is at `path`.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`] and [`ControlError::Forbidden`].
    pub async fn connect(path: &Path) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(path).await.map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::PermissionDenied => ControlError::Forbidden { path, source },
                _ => ControlError::NotRunning { path },
            }
        })?;
        Ok(Self::over(stream))
    }

    /// Talks to the agent at the other end of `stream`.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// What the agent is doing.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn status(mut self) -> Result<Status, ControlError> {
        match self.ask(&Request::Status).await? {
            Reply::Status(status) => Ok(*status),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Waits until the network is up; returns this host's vIP.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn up(mut self) -> Result<Vip, ControlError> {
        match self.ask(&Request::Wait).await? {
            Reply::Up { vip } => Ok(vip),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Sends a raw message; returns when the hub has it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn send(mut self, to: Target, data: Vec<u8>) -> Result<(), ControlError> {
        let data = super::wire::Bytes(data);
        match self.ask(&Request::Send { to, data }).await? {
            Reply::Sent => Ok(()),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// The vIP of the peer that goes by `name`.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn resolve(mut self, name: String) -> Result<Vip, ControlError> {
        match self.ask(&Request::Resolve { name }).await? {
            Reply::Resolved { vip } => Ok(vip),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// The tunnel with a peer, opened where there was none.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn tunnel(mut self, vip: Vip) -> Result<Tunnel, ControlError> {
        match self.ask(&Request::Tunnel { vip }).await? {
            Reply::Tunnel(tunnel) => Ok(tunnel),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Sends a peer `len` bytes, and waits until they come back; that may be never.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn echo(mut self, vip: Vip, len: usize) -> Result<EchoResult, ControlError> {
        match self.ask(&Request::Echo { vip, len }).await? {
            Reply::Echoed(echo) => Ok(echo),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Whose keys the agent knows.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn trusted(mut self) -> Result<Vec<Trusted>, ControlError> {
        match self.ask(&Request::Trust).await? {
            Reply::Trust { trusted } => Ok(trusted),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Accepts the key that was refused at `vip`, and gives it back.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn accept(
        mut self,
        vip: Vip,
        fingerprint: Option<String>,
    ) -> Result<Trusted, ControlError> {
        match self.ask(&Request::Accept { vip, fingerprint }).await? {
            Reply::Trusted(trusted) => Ok(trusted),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Forgets the key at `vip`, and gives it back.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn forget(mut self, vip: Vip) -> Result<Trusted, ControlError> {
        match self.ask(&Request::Forget { vip }).await? {
            Reply::Trusted(trusted) => Ok(trusted),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Who is at the hub.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn clients(mut self) -> Result<Clients, ControlError> {
        match self.ask(&Request::Clients).await? {
            Reply::Clients(clients) => Ok(clients),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// What the hub's function `name` returns.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn call(mut self, name: String) -> Result<Answer, ControlError> {
        match self.ask(&Request::Call { name }).await? {
            Reply::Answer(answer) => Ok(answer),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// What the hub knows of this agent.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn info(mut self) -> Result<Info, ControlError> {
        match self.ask(&Request::Info).await? {
            Reply::Info(info) => Ok(info),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// From now on the agent keeps messages for [`Messages::next`].
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn listen(mut self) -> Result<Messages, ControlError> {
        match self.ask(&Request::Listen).await? {
            Reply::Listening => Ok(Messages { client: self }),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Ends the agent; returns when its process has ended.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn down(mut self) -> Result<(), ControlError> {
        match self.ask(&Request::Down).await? {
            Reply::Ending => self.wait_for_end().await,
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Gives up the host's place in the network, and returns when the agent has ended.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn leave(mut self) -> Result<(), ControlError> {
        match self.ask(&Request::Leave).await? {
            Reply::Left => self.wait_for_end().await,
            _ => Err(ControlError::Unexpected),
        }
    }

    async fn wait_for_end(mut self) -> Result<(), ControlError> {
        match self.read().await {
            Err(ControlError::Ended | ControlError::Io(_)) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(ControlError::Unexpected),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, ControlError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.write_all(&line).await?;
        self.stream.flush().await?;
        self.read().await
    }

    async fn read(&mut self) -> Result<Reply, ControlError> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(ControlError::Ended);
        }
        match serde_json::from_slice(&line)? {
            Reply::Failed { kind, why, hint } => Err(ControlError::Failed { kind, why, hint }),
            reply => Ok(reply),
        }
    }
}

/// Raw messages, as they come.
#[derive(Debug)]
pub struct Messages {
    client: Client,
}

impl Messages {
    /// The next one.
    ///
    /// # Errors
    /// [`ControlError::Ended`] where the agent ended, or cut us off for not reading.
    pub async fn next(&mut self) -> Result<Message, ControlError> {
        match self.client.read().await? {
            Reply::Message(message) => Ok(message),
            _ => Err(ControlError::Unexpected),
        }
    }
}
