//! What a node does when its host has moved or slept; [`Roaming`](crate::link::Roaming) says when.

use nix::errno::Errno;
use tokio::net::TcpStream;

use super::dialling::{Link, Rescue, dialling};
use super::{LinkError, LinkState, Node, NodeError, chain};
use crate::clock;
use crate::host::{Change, Host};
use crate::link::{DialError, RoamingAction, Verdict};
use crate::tun::TunDevice;

impl<T: TunDevice, H: Host> Node<T, H> {
    /// Something has happened to the host. Before the first link a person waits, and sees what fails.
    pub(super) fn changed(&mut self, change: Change) -> Result<(), NodeError<H::Error>> {
        tracing::debug!(?change, "this host has changed");
        let now = clock::instant();
        match change {
            Change::TunRemoved => return Err(NodeError::Tun(Errno::ENODEV.into())),
            Change::Network if self.was_up => self.roaming.on_change(now),
            Change::Resumed if self.was_up => self.roaming.on_resume(now),
            Change::Network | Change::Resumed => {}
        }
        Ok(())
    }

    /// Does what is due because of such changes.
    pub(super) async fn roam(&mut self) -> Result<(), NodeError<H::Error>> {
        match self.roaming.handle_timeout(clock::instant()) {
            RoamingAction::None => Ok(()),
            RoamingAction::Look => self.look().await,
            RoamingAction::Judge => {
                self.judge();
                Ok(())
            }
        }
    }

    async fn look(&mut self) -> Result<(), NodeError<H::Error>> {
        let connection = match &self.link {
            Link::Connected(connection) => connection,
            Link::Waiting { .. } => {
                self.dial_now();
                return Ok(());
            }
            Link::Dialling(_) => {
                self.dial_beside_anew();
                return Ok(());
            }
        };
        let is_ours = match connection.local_ip() {
            Ok(ip) => self.host.has_address(ip).await,
            // The connection is about to be found broken.
            Err(_) => true,
        };
        if !is_ours {
            return self.address_gone();
        }
        // A join has a timeout for each of its steps.
        if let Link::Connected(connection) = &self.link
            && connection.join.is_none()
        {
            self.roaming.probe(clock::instant(), connection.acked_len());
            self.engine.ping_hub(clock::instant());
        }
        if self.roaming.is_doubtful() {
            self.dial_beside_anew();
        }
        Ok(())
    }

    fn judge(&mut self) {
        let Link::Connected(connection) = &self.link else { return self.roaming.end_probe() };
        match self.roaming.judge(clock::instant(), connection.acked_len()) {
            Verdict::Good => self.rescue = Rescue::default(),
            Verdict::Doubtful if self.rescue.is_under_way() => {}
            Verdict::Doubtful => self.dial_beside_anew(),
        }
    }

    /// The second connection stands, or does not: then there is another try at the next
    /// [`Self::judge`].
    pub(super) fn rescued(&mut self, dialled: Result<TcpStream, DialError>) {
        let stream = match dialled {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(error = chain(&error), "nor does it answer beside the link");
                return;
            }
        };
        if let Link::Connected(connection) = &self.link {
            if self.roaming.judge(clock::instant(), connection.acked_len()) == Verdict::Good {
                return;
            }
            // Over the path that has just been found: the hub is rid of the session at once.
            connection.reset();
            self.link_replaced(&LinkError::Unanswered);
        }
        self.connected(stream);
    }

    fn address_gone(&mut self) -> Result<(), NodeError<H::Error>> {
        let Link::Connected(connection) = &self.link else { return Ok(()) };
        connection.reset();
        if !self.reconnect {
            return Err(NodeError::Link(LinkError::AddressGone));
        }
        self.link_replaced(&LinkError::AddressGone);
        self.dial_now();
        Ok(())
    }

    fn link_replaced(&mut self, error: &LinkError) {
        self.link_ended();
        let error = chain(error);
        tracing::info!(error, "the link is made anew");
        self.last_error = Some(error);
    }

    /// Whatever has failed so far, it was elsewhere.
    fn dial_now(&mut self) {
        self.backoff.reset();
        self.link = Link::Dialling(dialling(&self.hubs));
        self.state.send_replace(LinkState::Connecting);
    }

    /// The host has just changed: a second dial that began long before may go by the old way. The link's
    /// own one is left alone, so that hosts whose interfaces come and go all the time get anywhere.
    fn dial_beside_anew(&mut self) {
        if self.reconnect && self.rescue.is_stale(clock::instant()) {
            tracing::debug!("dialling a second time, by the present way");
            self.rescue = Rescue::begin(&self.hubs, clock::instant());
        }
    }
}
