//! From a session's queue to its socket.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::coop;
use tokio::time::timeout;

use crate::hub::FrameCounters;
use crate::queue::Outbox;

/// How often the kernel is asked within the write timeout: so a client that stops reading is cut
/// after a quarter more than the timeout at most.
const PROBES: u32 = 4;

/// Why nothing can be written any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The other side reads nothing.
    #[error("the client took nothing for {} s", write_timeout.as_secs_f32())]
    Stalled { write_timeout: Duration },
    /// The connection is gone.
    #[error("writing failed")]
    Io(#[from] io::Error),
}

/// Writes what is queued until the queue ends. Everything that is there goes into one write.
pub(super) async fn write_loop(
    socket: OwnedWriteHalf,
    outbox: Arc<Outbox>,
    counters: Arc<FrameCounters>,
    write_timeout: Duration,
) -> Result<(), WriteError> {
    let mut spent = Vec::new();
    while let Some(batch) = outbox.next_batch(spent).await {
        // Before the write, so that a client that has a frame finds it counted.
        counters.tx.fetch_add(batch.num_frames, Ordering::Relaxed);
        write_whole(&socket, &batch.bytes, write_timeout).await?;
        spent = batch.bytes;
        coop::consume_budget().await;
    }
    Ok(())
}

async fn write_whole(
    socket: &OwnedWriteHalf,
    mut bytes: &[u8],
    write_timeout: Duration,
) -> Result<(), WriteError> {
    while !bytes.is_empty() {
        let written_len = match socket.try_write(bytes) {
            Ok(written_len) => written_len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_writable(socket, bytes, write_timeout).await?
            }
            Err(error) => return Err(error.into()),
        };
        bytes = bytes.get(written_len..).unwrap_or_default();
    }
    Ok(())
}

/// Waits until the kernel takes more. Returns how much it took in the meantime.
///
/// A socket is called writable only when a good part of its buffer is free. A slow reader may need
/// longer for that, and is none that takes nothing: so the kernel itself is asked now and then.
async fn wait_writable(
    socket: &OwnedWriteHalf,
    bytes: &[u8],
    write_timeout: Duration,
) -> Result<usize, WriteError> {
    for _ in 0..PROBES {
        if let Ok(writable) = timeout(write_timeout / PROBES, socket.writable()).await {
            writable?;
            return Ok(0);
        }
        match SockRef::from(socket.as_ref()).send(bytes) {
            Ok(written_len) => return Ok(written_len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(WriteError::Stalled { write_timeout })
}
