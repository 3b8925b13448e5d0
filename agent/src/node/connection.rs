//! One TCP connection to the hub: bytes to frames, frames to bytes, and whether it lives.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::time::Instant;

use dosp_proto::buffer::PacketBuf;
use dosp_proto::frame::{self, DEFAULT_MAX_BODY_LEN, FrameDecoder, FrameType};
use dosp_proto::member::OpenError;
use dosp_proto::message::ExitCode;
use dosp_transport::fq_codel::Law;
use dosp_transport::governor::{self, Governor};
use dosp_transport::pace::Bounds;
use dosp_transport::socket;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::engine::Batch;
use crate::link::{Heartbeat, HeartbeatAction, Join, JoinError};

/// Buffers in one write; a full batch has fewer, unless its packets are small.
const MAX_SLICES: usize = 256;

/// Why a connection that stood is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The hub closed it.
    #[error("the hub closed the connection")]
    Closed,
    /// The hub closed it and said why.
    #[error("the hub ended the session: {0}")]
    Exit(String),
    /// The hub has put this node out of the network.
    #[error("the hub ended the membership: {0}")]
    Dismissed(String),
    /// What came as the hub's word is not.
    #[error("what came as the hub's word is not")]
    Tampered(#[from] OpenError),
    /// The hub says nothing any more.
    #[error("the hub has been silent for too long")]
    Silent,
    /// The host has moved, and the hub answers by another way.
    #[error("the hub did not answer by the old way")]
    Unanswered,
    /// The host has moved.
    #[error("the address of the connection is not this host's any more")]
    AddressGone,
    /// The system says no.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// What came is not DoSP.
    #[error("the hub sent what is no DoSP frame")]
    Decode(#[from] frame::DecodeError),
}

impl LinkError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Closed | Self::Exit(_) => "the hub's log says why; ask whoever runs it",
            Self::Dismissed(_) => "ask whoever runs the hub",
            Self::Tampered(_) => "somebody between here and the hub changes what it says",
            Self::Silent | Self::Unanswered | Self::AddressGone | Self::Io(_) => {
                "is the network between here and the hub up?"
            }
            Self::Decode(_) => "is it really a DoSP hub that listens there?",
        }
    }
}

/// A connection, before and after the hub has let us in.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    pub(super) decoder: FrameDecoder,
    heartbeat: Heartbeat,
    /// The join that is going on; `None` once it is through.
    pub(super) join: Option<Join>,
    /// PINGs that were sent while joining: their answers mean nothing to the engine.
    pub(super) stray_pongs: u32,
    /// Encoded frames that are not in the socket yet.
    batch: Batch,
    governor: Governor,
    bounds: Bounds,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, join: Join, governor: Governor, now: Instant) -> Self {
        Self {
            stream,
            decoder: FrameDecoder::new(DEFAULT_MAX_BODY_LEN),
            heartbeat: Heartbeat::new(now),
            join: Some(join),
            stray_pongs: 0,
            batch: Batch::default(),
            governor,
            bounds: Bounds::UNKNOWN,
        }
    }

    /// Waits until there is something to read, or room to write where something waits.
    pub(super) async fn ready(&self, wants_write: bool) -> io::Result<()> {
        let interest = if wants_write || self.has_unwritten() {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        self.stream.ready(interest).await.map(|_| ())
    }

    /// Follows the path; returns how long packets may wait for it, where that is new.
    pub(super) fn govern(&mut self, now: Instant) -> Option<Law> {
        let change = self.governor.tick(&self.stream, now)?;
        if let Some(congestion) = change.congestion {
            tracing::debug!(
                congestion = congestion.name(),
                "the link has a new congestion control"
            );
        }
        if let Some(refused) = change.refused {
            tracing::warn!(%refused, hint = refused.hint(), "the link keeps its congestion control");
        }
        self.bounds = change.bounds?;
        Some(self.bounds.law)
    }

    /// How the connection fared when it last had something to do.
    pub(super) fn path(&self) -> governor::Report {
        self.governor.report()
    }

    /// Reads once; `false` where there is nothing.
    pub(super) fn read(&mut self, now: Instant) -> Result<bool, LinkError> {
        match self.stream.try_read(self.decoder.space()) {
            Ok(0) => Err(LinkError::Closed),
            Ok(len) => {
                self.decoder.advance(len);
                self.heartbeat.on_receive(now);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes batches until the socket takes no more or `fill` has nothing more to append.
    /// `fill` is given the batch and the length that it should not exceed by much.
    pub(super) fn write(&mut self, mut fill: impl FnMut(&mut Batch, usize)) -> io::Result<()> {
        loop {
            if !self.has_unwritten() {
                if let Some(join) = &mut self.join {
                    let mut frames = Vec::new();
                    join.poll_transmit(&mut frames);
                    self.batch.push(PacketBuf::from(&*frames));
                } else {
                    // As much as may wait unsent: neither can be dropped or overtaken.
                    fill(&mut self.batch, self.bounds.unsent_limit as usize);
                }
                if self.batch.is_empty() {
                    return Ok(());
                }
            }
            match self.try_write() {
                Ok(len) => self.batch.advance(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn try_write(&self) -> io::Result<usize> {
        let chunk_len = self.bounds.chunk_len();
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let filled = self.batch.slices(&mut slices, chunk_len.unwrap_or(usize::MAX));
        let slices = slices.get(..filled).unwrap_or_default();
        if chunk_len.is_none() {
            return self.stream.try_write_vectored(slices);
        }
        self.stream.try_io(Interest::WRITABLE, || socket::send_chunk(&self.stream, slices))
    }

    /// Appends a frame behind what is being written, for the few that no queue holds.
    fn append(&mut self, frame_type: FrameType, body: &[u8]) {
        let mut frame = Vec::new();
        frame::encode(&mut frame, frame_type, body);
        self.batch.push(PacketBuf::from(&*frame));
    }

    /// The hub's address.
    pub(super) fn hub_ip(&self) -> io::Result<IpAddr> {
        self.stream.peer_addr().map(|addr| addr.ip())
    }

    /// This host's address.
    pub(super) fn local_ip(&self) -> io::Result<IpAddr> {
        self.stream.local_addr().map(|addr| addr.ip().to_canonical())
    }

    /// Bytes that the hub's host has acknowledged; `None` where the kernel does not tell.
    pub(super) fn acked_len(&self) -> Option<u64> {
        socket::path_sample(&self.stream).ok().and_then(|sample| sample.acked_len)
    }

    /// To be dropped: what is still to be sent is lost, and the hub sees a reset.
    pub(super) fn reset(&self) {
        if let Err(error) = socket::reset_on_close(&self.stream) {
            tracing::debug!(%error, "the hub finds out by itself that the connection is gone");
        }
    }

    fn has_unwritten(&self) -> bool {
        !self.batch.is_empty()
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Instant {
        let heartbeat = self.heartbeat.poll_timeout();
        let join = self.join.as_ref().and_then(Join::poll_timeout);
        join.map_or(heartbeat, |at| at.min(heartbeat))
    }

    /// Lets time pass; `true` where the engine has to PING the hub.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<bool, LinkError> {
        match self.heartbeat.handle_timeout(now) {
            HeartbeatAction::None => Ok(false),
            HeartbeatAction::Dead => Err(LinkError::Silent),
            // A hub for members only takes nothing else before it has let us in.
            HeartbeatAction::SendPing if self.join.as_ref().is_some_and(Join::is_entering) => {
                Ok(false)
            }
            HeartbeatAction::SendPing if self.join.is_some() => {
                self.append(FrameType::PING, &[]);
                self.stray_pongs += 1;
                Ok(false)
            }
            HeartbeatAction::SendPing => Ok(true),
        }
    }

    /// Lets the join's timers pass.
    pub(super) fn handle_join_timeout(&mut self, now: Instant) -> Result<(), JoinError> {
        match &mut self.join {
            Some(join) => join.handle_timeout(now),
            None => Ok(()),
        }
    }

    /// Says goodbye, as far as the socket takes it at once.
    pub(super) fn leave(&mut self) {
        let mut goodbye = Vec::new();
        ExitCode::Closed.encode_to(&mut goodbye);
        self.batch.push(PacketBuf::from(&*goodbye));
        // Nobody waits for a goodbye: what does not fit is lost, and the hub sees the end anyway.
        if let Err(error) = self.try_write() {
            tracing::debug!(%error, "no goodbye");
        }
    }
}
