//! The bytes that came on a connection and are not handled yet.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use dosp_proto::frame::FrameDecoder;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use crate::buffers::{BUFFER_LEN, BufferPool};

/// A decoder that borrows its buffer for as long as something comes.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) decoder: FrameDecoder,
    owns_buffer: bool,
}

/// What one look at the socket has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Nothing yet.
    Nothing,
    /// Bytes, and perhaps there are more.
    More,
    /// Bytes, and no more for now.
    Dry,
    /// The end.
    Closed,
}

impl Input {
    /// For bodies of up to `max_body_len` bytes.
    pub(crate) fn new(max_body_len: usize) -> Self {
        Self { decoder: FrameDecoder::new(max_body_len), owns_buffer: false }
    }

    /// Reads one buffer of what is there, without waiting.
    pub(crate) async fn fill(
        &mut self,
        socket: &mut OwnedReadHalf,
        buffers: &BufferPool,
    ) -> io::Result<Filled> {
        if !self.owns_buffer {
            self.decoder.attach_buffer(buffers.take());
            self.owns_buffer = true;
        }
        let space = self.decoder.space();
        let space_len = space.len().min(BUFFER_LEN);
        let space = space.get_mut(..space_len).unwrap_or_default();
        Ok(match read_now(socket, space).await? {
            None => Filled::Nothing,
            Some(0) => Filled::Closed,
            Some(len) => {
                self.decoder.advance(len);
                if len < space_len { Filled::Dry } else { Filled::More }
            }
        })
    }

    /// Gives the buffer back, until something comes again.
    pub(crate) fn rest(&mut self, buffers: &BufferPool) {
        if let Some(buffer) = self.decoder.detach_buffer() {
            buffers.put(buffer);
            self.owns_buffer = false;
        }
    }
}

/// Reads what is there; `None` where that is nothing.
///
/// Unlike `try_read`, this tells the runtime that a short read emptied the socket, which saves the
/// system call that would find out; unlike `read`, it does not hold a buffer while it waits.
async fn read_now(socket: &mut OwnedReadHalf, space: &mut [u8]) -> io::Result<Option<usize>> {
    let mut buffer = ReadBuf::new(space);
    poll_fn(|cx| match Pin::new(&mut *socket).poll_read(cx, &mut buffer) {
        Poll::Pending => Poll::Ready(Ok(None)),
        Poll::Ready(read) => Poll::Ready(read.map(|()| Some(buffer.filled().len()))),
    })
    .await
}
