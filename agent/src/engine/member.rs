//! The engine as a member of a network: what the hub says in sealed words, and what follows from it.

use std::time::Instant;

use dosp_proto::Now;
use dosp_proto::frame::{self, FrameType};
use dosp_proto::identity::PublicKey;
use dosp_proto::label::Label;
use dosp_proto::member::{Channel, Control, Nodes, OpenError, Refused, Welcome};
use dosp_proto::vip::Vip;
use rand::CryptoRng;

use super::inbound::words;
use super::{DropReason, Engine, Event, HubPing, MessageFailure, Overlay};
use crate::directory::Directory;
use crate::known_peers::{Distrust, KnownPeers};
use crate::link::Membership;
use crate::link::join::usable;

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
    directory: Directory,
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
        let directory = self.member.take().map(|member| member.directory).unwrap_or_default();
        self.member = Some(Member {
            hub_key,
            name: welcome.name,
            is_closed: welcome.is_closed,
            channel: Some(channel),
            directory,
        });
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

    /// What programs on this host may call the others: what the hub says, but for names that are known
    /// here as another key's.
    pub fn names(&self) -> impl Iterator<Item = (Vip, Label)> + '_ {
        let nodes = self.directory().into_iter().flat_map(Directory::iter);
        nodes.filter_map(|node| {
            let name = node.name.clone()?;
            let owner = self.known.by_name(name.as_str());
            owner.is_none_or(|owner| owner.key == node.key).then_some((node.vip, name))
        })
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
            Control::Gone(gone) => self.handle_undeliverable(gone.vip, now.instant),
            Control::Ping => self.say(&Control::Pong),
            Control::Leave => self.events.push_back(Event::Place(PlaceChange::Left)),
            Control::Restarting => self.events.push_back(Event::HubRestarts),
            Control::Frame(frame_type, body) => {
                self.handle_control_frame(frame_type, &body, now.instant);
            }
            Control::Join(_)
            | Control::Pong
            | Control::Routes(_)
            | Control::Networks(_)
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
        if self.overlay == Some(overlay) {
            return;
        }
        self.readdress(overlay, now, rng);
        self.events.push_back(Event::Place(PlaceChange::Moved(overlay)));
    }

    fn handle_nodes(&mut self, page: Nodes) {
        let is_done = page.is_done;
        let changed: Vec<_> = page.nodes.iter().map(|node| node.key).collect();
        let Some(member) = &mut self.member else { return };
        member.directory.take(page);
        for key in changed {
            self.follow_directory(&key);
        }
        self.directory_changed |= is_done;
    }

    /// A key that this host has spoken to is called here what the hub calls it, unless that name is
    /// known as another key's.
    fn follow_directory(&mut self, key: &PublicKey) {
        let Some(known) = self.known.by_key(key).filter(|known| known.addressed) else { return };
        let vip = known.vip;
        let node = self.directory().and_then(|directory| directory.by_key(key));
        let Some(name) = node.and_then(|node| node.name.clone()) else { return };
        if let Err(error) = self.known.bind_name(name.as_str(), vip) {
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

    /// A frame for `dst` went nowhere. Nobody vouches for that but the hub.
    pub(super) fn handle_undeliverable(&mut self, dst: Vip, now: Instant) {
        let is_lost = |ping: &HubPing| matches!(ping, HubPing::Delivery(_, to) if *to == dst);
        for (_, ping) in &mut self.hub_pings {
            if let (true, HubPing::Delivery(ticket, _)) = (is_lost(ping), &*ping) {
                let failed = Event::MessageFailed(*ticket, MessageFailure::Offline);
                self.events.push_back(failed);
                // Its PING is still under way.
                *ping = HubPing::Heartbeat;
            }
        }
        self.fail_echoes(dst, &MessageFailure::Offline);
        self.give_back(dst, &MessageFailure::Offline, now);
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
