//! How far the connection to the hub is, and what is waited for until it is further.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::connection::Connection;
use crate::link::{self, DialError, HubAddr};

pub(super) type Dialling = Pin<Box<dyn Future<Output = Result<TcpStream, DialError>> + Send>>;

pub(super) enum Link {
    Waiting { until: Instant },
    Dialling(Dialling),
    Connected(Box<Connection>),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Waiting { .. } => "Waiting",
            Self::Dialling(_) => "Dialling",
            Self::Connected(_) => "Connected",
        })
    }
}

/// By then two SYNs are lost: a dial that is older may go by a way that the host has left.
const RESCUE_PATIENCE: Duration = Duration::from_secs(2);

/// A connection that is made beside one that seems to be dead, or beside another dial.
#[derive(Default)]
pub(super) struct Rescue(Option<(Instant, Dialling)>);

impl std::fmt::Debug for Rescue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let began_at = self.0.as_ref().map(|(began_at, _)| began_at);
        f.debug_tuple("Rescue").field(&began_at).finish()
    }
}

impl Rescue {
    pub(super) fn begin(hubs: &[HubAddr], now: Instant) -> Self {
        Self(Some((now, dialling(hubs))))
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it has had its chance, or was never begun.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        let is_young = |(began_at, _): &(Instant, Dialling)| now < *began_at + RESCUE_PATIENCE;
        !self.0.as_ref().is_some_and(is_young)
    }

    /// Waits until it stands or has failed; for ever, where there is none.
    pub(super) async fn ended(&mut self) -> Result<TcpStream, DialError> {
        let ended = match &mut self.0 {
            Some((_, dialling)) => dialling.await,
            None => std::future::pending().await,
        };
        self.0 = None;
        ended
    }
}

pub(super) fn dialling(hubs: &[HubAddr]) -> Dialling {
    let hubs = hubs.to_vec();
    Box::pin(async move { link::dial_any(&hubs).await })
}

/// Waits for whatever the link waits for; a finished dial is returned.
pub(super) async fn link_ready(
    link: &mut Link,
    wants_write: bool,
) -> Option<Result<TcpStream, DialError>> {
    match link {
        Link::Waiting { .. } => std::future::pending().await,
        Link::Dialling(dialling) => Some(dialling.await),
        Link::Connected(connection) => {
            // An error shows again, and is handled, in the next read.
            connection.ready(wants_write).await.ok();
            None
        }
    }
}
