//! The socket that scrapers connect to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::request::{self, MAX_HEAD_LEN, Verdict};

/// Scrapers at a time: one is usual. Others wait in the kernel.
const MAX_CONNECTIONS: usize = 4;
/// How long one may take, with the answer: Prometheus itself gives up after 10 s.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request may take: whoever says nothing is to keep nobody waiting.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// What is read of a request behind its head, in bytes, so that its sender gets to read the answer.
const MAX_IGNORED_LEN: u64 = 64 * 1024;
/// Until the next try where the system gives no connection, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Nobody can ask for figures.
#[derive(Debug, thiserror::Error)]
#[error("serve metrics on {addr}")]
pub struct ListenError {
    addr: SocketAddr,
    source: io::Error,
}

impl ListenError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program has it: choose another port with --metrics"
            }
            io::ErrorKind::AddrNotAvailable => {
                "no interface has it: choose another address with --metrics, such as 127.0.0.1"
            }
            io::ErrorKind::PermissionDenied => "choose a port from 1024 on with --metrics",
            _ => "choose another address and port with --metrics",
        }
    }
}

/// Listens, and answers nobody yet.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    /// Whether only this host reaches it.
    is_local: bool,
    timeout: Duration,
}

impl Endpoint {
    /// Listens on `addr`, and says so in the log; with a warning where others than this host's users
    /// reach it.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(addr: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        tracing::info!(addr = %local, "metrics");
        let is_local = addr.ip().to_canonical().is_loopback();
        if !is_local {
            tracing::warn!(
                addr = %local,
                "everybody who reaches this address can read the metrics: there is no password"
            );
        }
        Ok(Self { listener, is_local, timeout: TIMEOUT })
    }

    /// Answers for ever, with the text that `figures` gives; `None` says that there is none any more.
    pub async fn run<F>(self, figures: impl Fn() -> F + Clone + Send + 'static)
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                    match accepted {
                        Ok((stream, _)) => {
                            let figures = figures.clone();
                            let serve = serve(stream, self.is_local, figures);
                            connections.spawn(timeout(self.timeout, serve));
                        }
                        Err(error) => {
                            tracing::debug!(%error, "no connection for metrics");
                            sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
                Some(ended) = connections.join_next() => match ended {
                    Ok(Ok(Ok(()))) => {}
                    Ok(Ok(Err(error))) => tracing::debug!(%error, "a scraper went away"),
                    Ok(Err(error)) => tracing::debug!(%error, "a scraper was too slow"),
                    Err(error) => tracing::error!(%error, "metrics failed"),
                }
            }
        }
    }
}

/// One request, one answer.
async fn serve<F>(mut stream: TcpStream, is_local: bool, figures: impl Fn() -> F) -> io::Result<()>
where
    F: Future<Output = Option<String>>,
{
    let asked = timeout(REQUEST_TIMEOUT, read_request(&mut stream, is_local));
    let Some(verdict) = asked.await?? else { return Ok(()) };
    let body = match verdict {
        // Whoever is asked has ended, and the process ends.
        Verdict::Figures => match figures().await {
            Some(text) => text,
            None => return Ok(()),
        },
        other => request::words(other).to_owned(),
    };
    let mut answer = request::head(verdict, body.len());
    answer.push_str(&body);
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // Closed with something unread, the connection would be reset, perhaps before the answer is read.
    let mut rest = stream.take(MAX_IGNORED_LEN);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

/// `None` where the other side has ended before it asked for anything.
async fn read_request(stream: &mut TcpStream, is_local: bool) -> io::Result<Option<Verdict>> {
    let mut head = Vec::with_capacity(MAX_HEAD_LEN);
    loop {
        let room = (MAX_HEAD_LEN - head.len()) as u64;
        if (&mut *stream).take(room).read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
        if let Some(verdict) = request::judge(&head, is_local) {
            return Ok(Some(verdict));
        }
    }
}

#[cfg(test)]
mod tests;
