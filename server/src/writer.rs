//! From a connection's queue to its socket.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dosp_proto::frame;
use dosp_proto::zlib::{CompressError, Deflater};
use dosp_transport::socket::send_chunk;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::coop;
use tokio::time::timeout;
use tracing::debug;

use crate::hub::FrameCounters;
use crate::queue::{Batch, Outbox};
use crate::state::Shared;

/// The kernel is asked after so long what it can take: often enough for `Patience`, which judges by
/// what the other end has taken.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// AIP and HSK.
const GREETING_FRAMES: u32 = 2;
/// Compressed bytes that are gathered for one write.
const MAX_PACKED_LEN: usize = 64 * 1024;

/// Why nothing can be written any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The other side reads nothing.
    #[error("the client took nothing for {} s", write_timeout.as_secs_f32())]
    Stalled { write_timeout: Duration },
    /// The connection is gone.
    #[error("writing failed")]
    Io(#[from] io::Error),
    /// The compressor gave up.
    #[error("compressing failed")]
    Deflate(#[from] CompressError),
}

/// The writing side of one connection.
#[derive(Debug)]
pub(crate) struct Writer {
    socket: OwnedWriteHalf,
    outbox: Arc<Outbox>,
    counters: Arc<FrameCounters>,
    /// See [`Bounds::chunk_len`](dosp_transport::pace::Bounds::chunk_len).
    chunk_len: Option<usize>,
    write_timeout: Duration,
}

impl Writer {
    pub(crate) fn new(
        socket: OwnedWriteHalf,
        outbox: Arc<Outbox>,
        counters: Arc<FrameCounters>,
        shared: &Shared,
    ) -> Self {
        let write_timeout = shared.write_timeout;
        Self { socket, outbox, counters, chunk_len: None, write_timeout }
    }

    /// Writes what is queued until the queue ends. Everything that is there goes into one write.
    pub(crate) async fn run(mut self) -> Result<(), WriteError> {
        let mut spent = Vec::new();
        while let Some(batch) = self.next_batch(spent).await {
            self.write(&batch.bytes).await?;
            spent = batch.bytes;
            coop::consume_budget().await;
        }
        Ok(())
    }

    /// As above, and compresses every body but those of the greeting.
    pub(crate) async fn run_compressed(mut self) -> Result<(), WriteError> {
        let mut spent = Vec::new();
        let mut packed = Vec::new();
        let mut num_plain = GREETING_FRAMES;
        while let Some(mut batch) = self.next_batch(spent).await {
            let mut deflater = Deflater::default();
            let mut rest = batch.bytes.as_mut_slice();
            while let Some((frame, behind)) = frame::split_first(rest) {
                rest = behind;
                if num_plain > 0 {
                    num_plain -= 1;
                    frame::encode(&mut packed, frame.frame_type(), frame.body());
                } else {
                    deflater.encode(&mut packed, frame.frame_type(), frame.body())?;
                }
                if packed.len() >= MAX_PACKED_LEN {
                    self.write(&packed).await?;
                    packed.clear();
                    coop::consume_budget().await;
                }
            }
            self.write(&packed).await?;
            packed = Vec::new();
            spent = batch.bytes;
            coop::consume_budget().await;
        }
        Ok(())
    }

    async fn next_batch(&mut self, spent: Vec<u8>) -> Option<Batch> {
        self.govern();
        let batch = self.outbox.next_batch(spent).await?;
        // Before the write, so that a client that has a frame finds it counted.
        self.counters.tx.fetch_add(batch.num_frames, Ordering::Relaxed);
        self.counters.tx_bytes.fetch_add(batch.bytes.len() as u64, Ordering::Relaxed);
        Some(batch)
    }

    /// Follows the path.
    fn govern(&mut self) {
        let Some(change) = self.outbox.govern(self.socket.as_ref()) else { return };
        if let Some(bounds) = change.bounds {
            self.chunk_len = bounds.chunk_len();
        }
        if let Some(refused) = change.refused {
            debug!(%refused, hint = refused.hint(), "the connection keeps its congestion control");
        }
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let written_len = match self.try_write(bytes) {
                Ok(written_len) => written_len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_writable(bytes).await?
                }
                Err(error) => return Err(error.into()),
            };
            bytes = bytes.get(written_len..).unwrap_or_default();
        }
        Ok(())
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(chunk_len) = self.chunk_len else { return self.socket.try_write(bytes) };
        let chunk = bytes.get(..chunk_len).unwrap_or(bytes);
        let stream: &TcpStream = self.socket.as_ref();
        stream.try_io(Interest::WRITABLE, || send_chunk(stream, &[IoSlice::new(chunk)]))
    }

    /// Waits until the kernel takes more. Returns how much it took in the meantime.
    ///
    /// A socket is called writable only when a good part of its buffer is free. A slow reader may need
    /// longer for that, and is none that takes nothing: so the kernel itself is asked now and then.
    async fn wait_writable(&mut self, bytes: &[u8]) -> Result<usize, WriteError> {
        let write_timeout = self.write_timeout;
        let until = Instant::now() + write_timeout;
        while Instant::now() < until {
            let writable = timeout(PROBE_INTERVAL, self.socket.writable()).await;
            self.govern();
            if let Ok(writable) = writable {
                writable?;
                return Ok(0);
            }
            match SockRef::from(self.socket.as_ref()).send(bytes) {
                Ok(written_len) => return Ok(written_len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(WriteError::Stalled { write_timeout })
    }
}
