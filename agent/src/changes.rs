//! What happens to this host that may cost the link its path: over rtnetlink, addresses, routes and
//! interfaces; by the clocks, that it was suspended.
//!
//! What is to be done about it is for [`link::roaming`](crate::link::roaming) to say.

use std::future::ready;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::{Handle, MulticastGroup};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::clock::Clocks;

/// What the kernel tells of. Routes and addresses of one change come in any order.
const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];
/// The clocks are compared that often, and at once when the host wakes from a longer sleep: the timer
/// counts sleep. A shorter one no connection minds.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);
/// So far may the two clocks be apart that are read one after the other on a busy system.
const MIN_SLEEP: Duration = Duration::from_secs(1);

/// One kind of event. Those that come while nobody asks are told as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// An address, a route or an interface came, went or changed.
    Network,
    /// The host was suspended and runs again.
    Resumed,
    /// Our own interface was removed. Its descriptor says so only to who reads, and nobody is told to.
    TunRemoved,
}

/// Watches as long as it lives.
#[derive(Debug)]
pub(crate) struct Changes {
    handle: Handle,
    network: Arc<Notify>,
    resumed: Arc<Notify>,
    removed: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Changes {
    /// Begins to watch all but the interface that is number `own_index`, which is ours.
    ///
    /// # Errors
    /// The system gives no netlink socket, or no timer.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub(crate) fn watch(own_index: u32) -> io::Result<Self> {
        let (connection, handle, mut messages) = rtnetlink::new_multicast_connection(&GROUPS)?;
        let [network, resumed, removed] = [(); 3].map(|()| Arc::new(Notify::new()));
        let timer = sleep_timer()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let (tell, tell_removed) = (Arc::clone(&network), Arc::clone(&removed));
        tasks.spawn(async move {
            while let Some((message, _)) = messages.next().await {
                if is_relevant(&message.payload, own_index) {
                    tell.notify_one();
                }
                if is_removal(&message.payload, own_index) {
                    tell_removed.notify_one();
                }
            }
        });
        tasks.spawn(watch_sleep(timer, Arc::clone(&resumed)));
        Ok(Self { handle, network, resumed, removed, _tasks: tasks })
    }

    /// Waits for the next one. Nothing is lost when it is dropped.
    pub(crate) async fn next(&self) -> Change {
        tokio::select! {
            () = self.removed.notified() => Change::TunRemoved,
            () = self.resumed.notified() => Change::Resumed,
            () = self.network.notified() => Change::Network,
        }
    }

    /// Whether this host has the address, be its interface up or down. Where the kernel does not say,
    /// it has.
    pub(crate) async fn has_address(&self, addr: IpAddr) -> bool {
        // To its end, whatever it says: netlink complains of answers that nobody takes.
        let look = |is_there, message| ready(Ok(is_there || is_address(&message, addr)));
        match self.handle.address().get().execute().try_fold(false, look).await {
            Ok(is_there) => is_there,
            Err(error) => {
                tracing::debug!(%error, "the addresses of this host cannot be listed");
                true
            }
        }
    }
}

/// Counts the time that the host is suspended, so that it has run out when the host wakes.
fn sleep_timer() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
    let interval = Expiration::Interval(TimeSpec::from_duration(CLOCK_INTERVAL));
    timer.set(interval, TimerSetTimeFlags::empty())?;
    watch_timer(timer.into())
}

#[expect(
    deprecated,
    reason = "the successor is unsafe; what it asks for holds: the descriptor is ours, and stays the \
              same and open until it is dropped"
)]
fn watch_timer(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

async fn watch_sleep(timer: AsyncFd<OwnedFd>, resumed: Arc<Notify>) {
    let mut before = Clocks::read();
    let mut num_expired = [0; 8];
    loop {
        let expired = timer
            .async_io(Interest::READABLE, |timer| Ok(nix::unistd::read(timer, &mut num_expired)?));
        if let Err(error) = expired.await {
            tracing::warn!(%error, "the timer failed: that this host sleeps is not noticed");
            return;
        }
        let now = Clocks::read();
        let slept = now.slept_since(before);
        before = now;
        if slept >= MIN_SLEEP {
            tracing::info!(slept_s = slept.as_secs(), "this host was suspended");
            resumed.notify_one();
        }
    }
}

/// Whether the way to the hub may be another one now.
fn is_relevant(payload: &NetlinkPayload<RouteNetlinkMessage>, own_index: u32) -> bool {
    match payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link),
        ) => link.header.index != own_index,
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewAddress(addr) | RouteNetlinkMessage::DelAddress(addr),
        ) => addr.header.index != own_index,
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) => !leads_into(route, own_index),
        // There were more than the socket holds.
        NetlinkPayload::Overrun(_) => true,
        _ => false,
    }
}

fn is_removal(payload: &NetlinkPayload<RouteNetlinkMessage>, own_index: u32) -> bool {
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) = payload else {
        return false;
    };
    link.header.index == own_index
}

fn leads_into(route: &RouteMessage, index: u32) -> bool {
    route.attributes.contains(&RouteAttribute::Oif(index))
}

/// On a wire between two hosts IFA_ADDRESS is the other end, and IFA_LOCAL ours.
fn is_address(message: &AddressMessage, addr: IpAddr) -> bool {
    let local = message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Local(addr) = attribute { Some(*addr) } else { None }
    });
    let given = message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Address(addr) = attribute { Some(*addr) } else { None }
    });
    local.or(given) == Some(addr)
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::LinkMessage;
    use tokio::time::timeout;

    use super::*;

    const OWN: u32 = 7;

    fn link(index: u32) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link
    }

    fn address(index: u32, attributes: Vec<AddressAttribute>) -> AddressMessage {
        let mut address = AddressMessage::default();
        address.header.index = index;
        address.attributes = attributes;
        address
    }

    fn route(index: u32) -> RouteMessage {
        let mut route = RouteMessage::default();
        route.attributes = vec![RouteAttribute::Oif(index)];
        route
    }

    #[test]
    fn own_interface_is_of_no_interest() {
        for (index, expected) in [(OWN, false), (OWN + 1, true)] {
            for message in [
                RouteNetlinkMessage::NewLink(link(index)),
                RouteNetlinkMessage::DelLink(link(index)),
                RouteNetlinkMessage::NewAddress(address(index, Vec::new())),
                RouteNetlinkMessage::DelAddress(address(index, Vec::new())),
                RouteNetlinkMessage::NewRoute(route(index)),
                RouteNetlinkMessage::DelRoute(route(index)),
            ] {
                let payload = NetlinkPayload::InnerMessage(message);
                assert_eq!(is_relevant(&payload, OWN), expected, "{payload:?}");
            }
        }
        assert!(is_relevant(&NetlinkPayload::Overrun(Vec::new()), OWN));
        for (index, expected) in [(OWN, true), (OWN + 1, false)] {
            let removal = NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link(index)));
            assert_eq!(is_removal(&removal, OWN), expected);
        }
        let other = RouteNetlinkMessage::SetLink(link(OWN + 1));
        assert!(!is_relevant(&NetlinkPayload::InnerMessage(other), OWN));
    }

    #[test]
    fn address_of_the_other_end_is_not_ours() {
        let [ours, theirs] = ["192.0.2.1", "192.0.2.2"].map(|addr| addr.parse().unwrap());
        let wire = vec![AddressAttribute::Address(theirs), AddressAttribute::Local(ours)];
        assert!(is_address(&address(1, wire.clone()), ours));
        assert!(!is_address(&address(1, wire), theirs));
        assert!(is_address(&address(1, vec![AddressAttribute::Address(ours)]), ours));
        assert!(!is_address(&address(1, Vec::new()), ours));
    }

    #[tokio::test]
    async fn host_tells_which_addresses_it_has() {
        let changes = Changes::watch(OWN).unwrap();
        assert!(changes.has_address("127.0.0.1".parse().unwrap()).await);
        assert!(!changes.has_address("192.0.2.77".parse().unwrap()).await);
    }

    #[tokio::test]
    async fn host_that_does_not_sleep_is_not_said_to() {
        let changes = Changes::watch(OWN).unwrap();
        let resumed = timeout(CLOCK_INTERVAL.mul_f64(1.5), changes.resumed.notified()).await;
        assert!(resumed.is_err());
    }
}
