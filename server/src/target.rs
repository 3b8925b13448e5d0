//! Where a frame goes next: to a client of this hub, or towards another hub.

use std::sync::Arc;
use std::time::Instant;

use dosp_proto::federation::{FWD_HEADER_LEN, Forwarded, HubId};
use dosp_proto::frame::{S2C_HEADER_LEN, s2c_header};
use dosp_proto::tunnel::v2;
use dosp_proto::vip::Vip;
use dosp_transport::fq_codel::FlowKey;

use crate::link::{Framing, Link};
use crate::queue::{Class, Outbox, PushError};

/// What a route leads to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A plain client of this hub.
    Client(Arc<Outbox>),
    /// A client of this hub that has joined it.
    Member(Arc<Outbox>),
    /// Another hub's network.
    Hub(Arc<Way>),
}

/// The way to another hub's network.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) link: Arc<Link>,
    /// The hubs on it, from the next one to the network's own.
    pub(crate) path: Vec<HubId>,
}

/// Why a frame is in no queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotPushed {
    /// There is no room now.
    Full,
    /// What the route led to is gone.
    Closed,
    /// The next hub takes no frame as long as this.
    TooLong,
}

impl From<PushError> for NotPushed {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Full => Self::Full,
            PushError::Closed => Self::Closed,
        }
    }
}

/// What may become of DATA from `src`. Only a member may say that it can miss a frame.
#[inline]
pub(crate) fn class_of(src: Vip, data: &[u8], is_members: bool) -> Class {
    match v2::flow_label(data).filter(|_| is_members) {
        Some(flow) => Class::Flow(FlowKey { host: src.into(), flow: flow.get().into() }),
        None => Class::Kept,
    }
}

/// What stands before DATA on the connection that a frame goes out on.
enum Header {
    S2c([u8; S2C_HEADER_LEN]),
    Fwd([u8; FWD_HEADER_LEN]),
}

impl Header {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::S2c(bytes) => bytes,
            Self::Fwd(bytes) => bytes,
        }
    }
}

impl Target {
    /// Queues a frame if there is room.
    pub(crate) fn try_push(&self, frame: &Forwarded<'_>, now: Instant) -> Result<(), NotPushed> {
        let header = self.header(frame)?;
        let class = class_of(frame.src, frame.data, frame.forwarding.from_member);
        Ok(self.outbox().try_push([header.bytes(), frame.data], class, now)?)
    }

    /// Queues a frame even where there is no room, as long as `max_len` bytes are not queued.
    pub(crate) fn push_within(
        &self,
        frame: &Forwarded<'_>,
        max_len: usize,
    ) -> Result<(), NotPushed> {
        let header = self.header(frame)?;
        Ok(self.outbox().push_within([header.bytes(), frame.data], max_len)?)
    }

    /// Queues a frame as soon as there is room.
    pub(crate) async fn push(&self, frame: &Forwarded<'_>) -> Result<(), NotPushed> {
        let header = self.header(frame)?;
        let pushed = self.outbox().push([header.bytes(), frame.data]).await;
        pushed.map_err(|_| NotPushed::Closed)
    }

    /// The queue that it goes into.
    pub(crate) fn outbox(&self) -> &Outbox {
        match self {
            Self::Client(outbox) | Self::Member(outbox) => outbox,
            Self::Hub(way) => &way.link.outbox,
        }
    }

    fn header(&self, frame: &Forwarded<'_>) -> Result<Header, NotPushed> {
        let (dst, src, len) = (frame.dst, frame.src, frame.data.len());
        match self {
            Self::Client(_) | Self::Member(_) => Ok(Header::S2c(s2c_header(dst, src, len))),
            Self::Hub(way) if len > way.link.max_data_len() => Err(NotPushed::TooLong),
            Self::Hub(way) => Ok(match way.link.framing {
                Framing::Plain => Header::S2c(s2c_header(dst, src, len)),
                Framing::Forwarded => Header::Fwd(frame.forwarding.header(dst, src, len)),
            }),
        }
    }
}
