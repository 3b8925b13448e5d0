//! The engine as a member of a network: what the hub says in sealed words, and what follows from it.

use dosp_proto::Now;
use dosp_proto::federation::RemoteNetwork;
use dosp_proto::frame::{self, FrameType};
use dosp_proto::identity::PublicKey;
use dosp_proto::label::Label;
use dosp_proto::member::{Channel, Control, Nodes, OpenError, Refused, Welcome};
use dosp_proto::vip::{Network, Vip};
use rand::CryptoRng;

use super::inbound::words;
use super::{DropReason, Engine, Event, Overlay};
use crate::directory::Directory;
use crate::known_peers::{Distrust, KnownPeers};
use crate::link::Membership;
use crate::link::join::usable;
use crate::remote::RemoteNetworks;

/// This agent's place in a network that has members.
#[derive(Debug)]
pub(super) struct Member {
    hub_key: PublicKey,
    /// What the hub calls us.
    name: Option<Label>,
    /// Whether nobody but members is in the network.
    is_closed: bool,
    /// As long as there is a link.
    channel: Option<Channel>,
    pub(super) directory: Directory,
    /// Of other hubs.
    pub(super) networks: RemoteNetworks,
}

/// A change of this agent's place that others have to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceChange {
    /// It is elsewhere in the network now.
    Moved(Overlay),
    /// The hub has put it out.
    Dismissed(Refused),
    /// What came as the hub's word is not.
    Tampered(OpenError),
    /// The hub has given up this agent's place, as asked.
    Left,
}

impl Engine {
    /// The hub has taken this node as a member; [`Engine::link_up`] follows.
    pub fn become_member(&mut self, membership: Membership) {
        let Membership { channel, hub_key, welcome } = membership;
        let before = self.member.take().map(|member| (member.directory, member.networks));
        let (directory, networks) = before.unwrap_or_default();
        self.member = Some(Member {
            hub_key,
            name: welcome.name,
            is_closed: welcome.is_closed,
            channel: Some(channel),
            directory,
            networks,
        });
        self.take_networks(welcome.network, welcome.networks);
    }

    pub(super) fn lose_channel(&mut self) {
        if let Some(member) = &mut self.member {
            member.channel = None;
        }
    }

    /// The hub's key, where it has one.
    #[must_use]
    pub fn hub_key(&self) -> Option<&PublicKey> {
        self.member.as_ref().map(|member| &member.hub_key)
    }

    /// What the hub calls this node.
    #[must_use]
    pub fn member_name(&self) -> Option<&Label> {
        self.member.as_ref()?.name.as_ref()
    }

    /// Who is in the network, where the hub says so.
    #[must_use]
    pub fn directory(&self) -> Option<&Directory> {
        self.member.as_ref().map(|member| &member.directory)
    }

    /// Whether nobody but members is in the network.
    #[must_use]
    pub fn is_in_closed_network(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.is_closed)
    }

    /// Whether the peer at `vip` is a member, as everybody in a closed network is.
    pub(super) fn is_listed(&self, vip: Vip) -> bool {
        self.is_in_closed_network() || self.directory().is_some_and(|nodes| nodes.at(vip).is_some())
    }

    /// Puts a control frame on its way to the hub, sealed where there is a channel.
    pub(super) fn tell_hub(&mut self, frame_type: FrameType, body: &[u8]) {
        match self.member.as_mut().and_then(|member| member.channel.as_mut()) {
            Some(channel) => {
                let word = Control::Frame(frame_type, body.to_vec());
                channel.sealer.seal(&word, &mut self.control);
            }
            None => frame::encode(&mut self.control, frame_type, body),
        }
    }

    fn say(&mut self, word: &Control) {
        let channel = self.member.as_mut().and_then(|member| member.channel.as_mut());
        if let Some(channel) = channel.filter(|_| self.linked) {
            channel.sealer.seal(word, &mut self.control);
        }
    }

    /// Gives up this agent's place in the network; the hub answers with [`PlaceChange::Left`].
    pub fn leave_network(&mut self) {
        self.say(&Control::Leave);
    }

    /// Whether a frame of this type counts only when it is sealed: control travels only so once the
    /// hub has shown its key. ERR is a hint that binds nobody.
    pub(super) fn must_be_sealed(&self, frame_type: FrameType) -> bool {
        let has_channel = self.member.as_ref().is_some_and(|member| member.channel.is_some());
        let is_open = [FrameType::S2C, FrameType::PING, FrameType::XCTL, FrameType::ERR];
        has_channel && !is_open.contains(&frame_type)
    }

    /// Takes a sealed word of the hub.
    pub(super) fn handle_word(&mut self, body: &[u8], now: Now, rng: &mut impl CryptoRng) {
        let channel = self.member.as_mut().and_then(|member| member.channel.as_mut());
        let Some(channel) = channel else { return self.drops.add(DropReason::UnexpectedFrame) };
        let word = match channel.opener.open(body) {
            Ok(word) => word,
            Err(error) => {
                // What follows would not open either.
                self.lose_channel();
                return self.events.push_back(Event::Place(PlaceChange::Tampered(error)));
            }
        };
        match word {
            Control::Welcome(welcome) => self.handle_welcome(*welcome, now, rng),
            Control::Refused(refused) => {
                let refused = Refused { text: words(&refused.text), ..refused };
                self.events.push_back(Event::Place(PlaceChange::Dismissed(refused)));
            }
            Control::Nodes(page) => self.handle_nodes(page),
            Control::Gone(gone) => self.handle_gone(&gone, now.instant),
            Control::Networks(networks) => {
                if let Some(overlay) = self.overlay {
                    self.take_networks(overlay.network, networks);
                }
            }
            Control::Ping => self.say(&Control::Pong),
            Control::Leave => self.events.push_back(Event::Place(PlaceChange::Left)),
            Control::Restarting => self.events.push_back(Event::HubRestarts),
            Control::Frame(frame_type, body) => {
                self.handle_control_frame(frame_type, &body, now.instant);
            }
            Control::Join(_)
            | Control::Pong
            | Control::Routes(_)
            | Control::List(_)
            | Control::Unknown(_) => {
                self.drops.add(DropReason::UnexpectedFrame);
            }
        }
    }

    /// The hub has given this agent another vIP or name while it was there.
    fn handle_welcome(&mut self, welcome: Welcome, now: Now, rng: &mut impl CryptoRng) {
        let is_usable = usable(welcome.vip).is_ok() && welcome.network.is_assignable(welcome.vip);
        let Some(member) = self.member.as_mut().filter(|_| is_usable) else {
            return self.drops.add(DropReason::UnexpectedFrame);
        };
        (member.name, member.is_closed) = (welcome.name, welcome.is_closed);
        let overlay = Overlay { vip: welcome.vip, network: welcome.network };
        self.take_networks(welcome.network, welcome.networks);
        if self.overlay == Some(overlay) {
            return;
        }
        self.readdress(overlay, now, rng);
        self.events.push_back(Event::Place(PlaceChange::Moved(overlay)));
    }

    fn handle_nodes(&mut self, page: Nodes) {
        let is_done = page.is_done;
        let changed: Vec<_> = page.nodes.iter().map(|node| node.key).collect();
        let (Some(member), Some(overlay)) = (&mut self.member, self.overlay) else { return };
        let num_dropped = member.directory.take(page, overlay.network, &member.networks);
        self.drops.add_times(DropReason::Misplaced, num_dropped);
        for key in changed {
            self.follow_directory(&key);
        }
        self.directory_changed |= is_done;
    }

    /// Takes the list of the networks of other hubs, for a node of the network `own`.
    fn take_networks(&mut self, own: Network, networks: Vec<RemoteNetwork>) {
        let Some(member) = &mut self.member else { return };
        let num_ignored = member.networks.take(own, networks);
        member.directory.retain(&member.networks);
        self.drops.add_times(DropReason::BadNetwork, num_ignored);
        // With a hub its members may have got another name.
        (self.networks_changed, self.directory_changed) = (true, true);
    }

    /// Whether the networks of other hubs were told anew since [`Engine::set_routed`].
    #[must_use]
    pub const fn networks_changed(&self) -> bool {
        self.networks_changed
    }

    /// This host sends packets for those networks of other hubs into the TUN, and for no others.
    pub fn set_routed(&mut self, is_routed: impl Fn(Network) -> bool) {
        self.networks_changed = false;
        if let Some(member) = &mut self.member {
            member.networks.set_routed(is_routed);
        }
    }

    /// A key that this host has spoken to is called here what the hub calls it, unless that name is
    /// known as another key's.
    fn follow_directory(&mut self, key: &PublicKey) {
        let Some(known) = self.known.by_key(key).filter(|known| known.addressed) else { return };
        let vip = known.vip;
        let Some(name) = self.listed_name(vip, key) else { return };
        if let Err(error) = self.known.bind_name(&name.to_string(), vip) {
            self.events.push_back(Event::NameDisputed(error.to_string()));
        }
    }

    /// The peer at `vip` has proved its key and was addressed: from now on it has the name that the
    /// hub's list gives it.
    pub(super) fn adopt_listed_name(&mut self, vip: Vip) {
        if let Some(key) = self.known.key_of(vip).map(|known| known.key) {
            self.follow_directory(&key);
        }
    }

    /// Whether the directory has changed since this was last asked.
    pub const fn take_directory_changed(&mut self) -> bool {
        std::mem::replace(&mut self.directory_changed, false)
    }
}

/// Whether a session with the owner of `key` at `vip` may be used: no other key than the one that the
/// hub's list names, where it names one, and that one only if it is trusted.
pub(super) fn judge(
    member: Option<&Member>,
    known: &KnownPeers,
    vip: Vip,
    key: &PublicKey,
) -> Result<(), Distrust> {
    let listed = member.and_then(|member| member.directory.at(vip));
    if let Some(node) = listed.filter(|node| node.key != *key) {
        let (listed, offered) = (node.key.fingerprint(), key.fingerprint());
        return Err(Distrust::NotListed { vip, listed, offered });
    }
    known.judge(vip, key)
}
