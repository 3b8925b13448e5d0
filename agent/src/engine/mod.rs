//! The agent without I/O: packets and frames in, frames and packets out.
//!
//! ```text
//!  TUN ─▶ handle_packet ─▶ Peer queue ─▶ poll_transmit (Tunnel::seal) ─▶ hub
//!  TUN ◀─ Inbound::Packet ◀─ handle_frame (Tunnel::open, source check) ◀─ hub
//! ```
//!
//! Packets wait *unsealed*: what the link does not take is dropped before it gets a number, so a
//! drop never harms a tunnel. Answers of the agent itself (ICMP) come out of [`Engine::poll_tun`],
//! what others want to know out of [`Engine::poll_event`].

mod batch;
mod buffers;
mod drops;
mod echo;
mod failure;
mod gate;
mod handshakes;
mod icmp;
mod inbound;
mod member;
mod outbound;
mod packets;
mod peer;
mod policy;
mod reach;
mod refusal;
mod report;
mod requests;
mod sealing;
mod trust;
mod tunnels;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use dosp_proto::Now;
use dosp_proto::frame::{self, FrameType};
use dosp_proto::identity::Fingerprint;
use dosp_proto::limit::TokenBucket;
use dosp_proto::message::Hsk;
use dosp_proto::tunnel::v1;
use dosp_proto::tunnel::v2::Endpoint;
use dosp_proto::vip::{Network, Vip};
use etherparse::IcmpEchoHeader;
use rand::CryptoRng;

pub use self::batch::Batch;
pub use self::drops::{DropReason, Drops};
pub use self::echo::Echo;
pub use self::failure::MessageFailure;
pub use self::inbound::Inbound;
pub use self::member::PlaceChange;
pub use self::outbound::SendError;
pub use self::peer::{Traffic, Version};
pub use self::policy::{C2c, Version1};
pub use self::refusal::Refusal;
pub use self::report::{PeerReport, Proven, QueueReport, TunnelReport, TunnelState};
pub use self::requests::{ANSWER_TIMEOUT, CALL_TIMEOUT, HubAnswer, HubRequest, RequestError};
pub use self::trust::{ResolveError, Trust, TrustError};

use self::buffers::Buffers;
use self::echo::EchoUnderWay;
use self::member::Member;
use self::packets::PacketQueue;
use self::peer::Peer;
use self::requests::Asked;
use crate::known_peers::KnownPeers;

/// More peers than a hub's default network has, and a bound on what a lying hub can make us keep.
const MAX_PEERS: usize = 4096;
/// An opening without an answer for so long gives back what waits for it.
const NO_ANSWER_AFTER: Duration = Duration::from_secs(5);
/// ICMP errors to the local host, per second.
const UNREACHABLES_PER_SECOND: u32 = 10;
/// Echo requests to the hub that may be under way.
const MAX_HUB_PINGS: usize = 64;
/// So many bytes of the agent's own frames and of plain messages wait for the hub at most: beyond that
/// it reads nothing, and whatever makes us answer is not to fill our memory.
const MAX_CONTROL_LEN: usize = 4 * 1024 * 1024;

/// What the caller calls one raw message, or one request, of his.
pub type Ticket = u64;

/// Where this agent is in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlay {
    /// Our own vIP.
    pub vip: Vip,
    /// The hub's network.
    pub network: Network,
}

/// How the engine treats what it gets.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineConfig {
    /// Whether there is a TUN: without one, IP from peers is a raw message like any other.
    pub carries_ip: bool,
    /// Deliver IP only from peers to which this host has lately sent some.
    pub shields_up: bool,
    /// The tunnels that are opened and answered.
    pub c2c: C2c,
    /// What version 1 is used for.
    pub version1: Version1,
    /// The largest segment, in bytes of payload, that TCP announces across tunnels, whoever is behind
    /// this host or a peer; as it is where `None`.
    pub max_segment_len: Option<u16>,
}

/// What the rest of the agent may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The hub took a raw message and did not say that its destination is missing.
    MessageSent(Ticket),
    /// A raw message did not get through.
    MessageFailed(Ticket, MessageFailure),
    /// The tunnel with a peer is open.
    TunnelOpen(TunnelReport),
    /// Somebody who asked for it can know the tunnel with a peer.
    TunnelReady(Ticket, TunnelReport),
    /// A peer sent back what it was sent.
    Echoed(Ticket, Echo),
    /// A key proved itself at another vIP.
    KeyMoved {
        /// The key.
        fingerprint: Fingerprint,
        /// Where it was.
        from: Vip,
        /// Where it is.
        to: Vip,
        /// Whether it was there just before: then two hosts have it.
        is_copied: bool,
    },
    /// A peer refuses a tunnel. Nobody vouches for that.
    Refused(Vip, Refusal),
    /// This agent's place in the network is another one, or none.
    Place(PlaceChange),
    /// The hub ends and is back in a moment.
    HubRestarts,
    /// The hub gives a name to one key that is known here as another's.
    NameDisputed(String),
    /// A message of the hub to everybody.
    Broadcast(Vec<u8>),
    /// A hub's ERR that concerns no frame of ours, as text.
    HubError(String),
    /// The outcome of a request to the hub.
    HubAnswered(Ticket, Result<HubAnswer, RequestError>),
}

/// What a PING to the hub is for.
#[derive(Debug)]
enum HubPing {
    Heartbeat,
    /// An echo request of the local host to the hub's vIP.
    Echo(IcmpEchoHeader, Vec<u8>),
    /// Answered after whatever the hub had to say of this message.
    Delivery(Ticket, Vip),
    /// Goes with an echo to a peer, and measures the part of the way up to the hub.
    EchoLeg(Ticket),
}

/// One agent's peers, tunnels and queues.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    overlay: Option<Overlay>,
    /// The greeting of the hub, or of the last one.
    hub: Hsk,
    linked: bool,
    peers: BTreeMap<Vip, Peer>,
    /// Packets for peers with an open tunnel.
    packets: PacketQueue,
    /// Peers with an open tunnel and messages to send, each once; see [`Peer::in_round`].
    round: VecDeque<Vip>,
    /// When to look at which peer; see [`Peer::timer_at`].
    timers: BTreeSet<(Instant, Vip)>,
    /// What all tunnels of version 2 share.
    endpoint: Endpoint,
    known: KnownPeers,
    /// Where the hub has members.
    member: Option<Member>,
    directory_changed: bool,
    /// Whether the networks of other hubs were told anew.
    networks_changed: bool,
    /// Echoes under way.
    echoes: BTreeMap<Ticket, EchoUnderWay>,
    /// Encoded frames that go out before everything else.
    control: Vec<u8>,
    hub_pings: VecDeque<(Instant, HubPing)>,
    hub_rtt: Option<Duration>,
    /// Requests to the hub without an answer yet, the oldest first.
    asked: VecDeque<Asked>,
    to_tun: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
    drops: Drops,
    /// Of peers that gave way to others.
    past_traffic: Traffic,
    num_handshakes: u64,
    unreachables: TokenBucket,
    /// Of packets that were sent, for packets to come.
    buffers: Buffers,
}

impl Engine {
    /// An engine without a link, for the node that `endpoint` is, which knows `known`.
    #[must_use]
    pub fn new(config: EngineConfig, endpoint: Endpoint, known: KnownPeers) -> Self {
        Self {
            config,
            endpoint,
            known,
            member: None,
            directory_changed: false,
            networks_changed: false,
            timers: BTreeSet::new(),
            echoes: BTreeMap::new(),
            overlay: None,
            hub: Hsk::OURS,
            linked: false,
            peers: BTreeMap::new(),
            packets: PacketQueue::new(),
            round: VecDeque::new(),
            control: Vec::new(),
            hub_pings: VecDeque::new(),
            hub_rtt: None,
            asked: VecDeque::new(),
            to_tun: VecDeque::new(),
            events: VecDeque::new(),
            drops: Drops::default(),
            past_traffic: Traffic::default(),
            num_handshakes: 0,
            unreachables: TokenBucket::new(UNREACHABLES_PER_SECOND, UNREACHABLES_PER_SECOND),
            buffers: Buffers::default(),
        }
    }

    /// The hub that greeted with `hub` let us in as `overlay.vip`.
    pub fn link_up(&mut self, overlay: Overlay, hub: Hsk, now: Now, rng: &mut impl CryptoRng) {
        (self.hub, self.linked) = (hub, true);
        self.readdress(overlay, now, rng);
    }

    /// Takes a place in the network, which may be the one before: tells peers of a new vIP, and opens
    /// the tunnels that something waits for.
    fn readdress(&mut self, overlay: Overlay, now: Now, rng: &mut impl CryptoRng) {
        let readdressed = self.overlay.is_some_and(|before| before.vip != overlay.vip);
        if readdressed {
            self.drop_all_waiting();
        }
        self.overlay = Some(overlay);
        let mut waiting = Vec::new();
        for (vip, peer) in &mut self.peers {
            // A session belongs to its two vIPs; who had one is to learn the new one.
            let had_session = readdressed && peer.v2.is_open();
            if readdressed {
                peer.v2.discard();
            }
            if had_session || peer.v2.needs_opening() || !peer.is_idle() {
                waiting.push(*vip);
            }
        }
        for vip in waiting {
            self.open_tunnel(vip, now, rng);
            self.schedule(vip, now, rng);
        }
    }

    /// The connection to the hub is gone. Tunnels of version 1 go with it: after a reconnect a vIP
    /// may be somebody else's. Those of version 2 know who the peer is, and stay. Packets stay
    /// staged.
    pub fn link_down(&mut self) {
        (self.linked, self.hub_rtt) = (false, None);
        self.control.clear();
        self.lose_channel();
        self.round.clear();
        self.lose_requests();
        let mut failed: Vec<Ticket> = std::mem::take(&mut self.echoes).into_keys().collect();
        for (_, ping) in std::mem::take(&mut self.hub_pings) {
            if let HubPing::Delivery(ticket, _) = ping {
                failed.push(ticket);
            }
        }
        for peer in self.peers.values_mut() {
            peer.end_version_1();
            peer.v2.give_up_opening();
            (peer.in_round, peer.no_answer_at) = (false, None);
            while let Some(item) = peer.pop() {
                failed.extend(item.ticket());
            }
        }
        self.stage_queued();
        let lost = |ticket| Event::MessageFailed(ticket, MessageFailure::LinkLost);
        self.events.extend(failed.into_iter().map(lost));
    }

    /// Sends a PING, for the heartbeat.
    pub fn ping_hub(&mut self, now: Instant) {
        self.send_hub_ping(HubPing::Heartbeat, now);
    }

    /// The next packet of the agent itself for the local host.
    pub fn poll_tun(&mut self) -> Option<Vec<u8>> {
        self.to_tun.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Counts drops that happened outside.
    pub fn count_drops(&mut self, reason: DropReason, times: usize) {
        self.drops.add_times(reason, times);
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let peers = self.timers.first().map(|(at, _)| *at);
        peers.into_iter().chain(self.answer_timeout()).min()
    }

    /// Repeats openings, renews sessions, and gives up what waited for an answer too long.
    pub fn handle_timeout(&mut self, now: Now, rng: &mut impl CryptoRng) {
        if self.poll_timeout().is_none_or(|at| at > now.instant) {
            return;
        }
        self.give_up_requests(now.instant);
        self.peers_timeout(now, rng);
    }

    /// Tells the peer at `to`, which cannot verify it, why it gets no tunnel.
    fn refuse(&mut self, to: Vip, reason: &str, now: Instant) {
        let (Some(peer), Some(overlay)) = (self.peers.get_mut(&to), self.overlay) else { return };
        if self.linked && self.control.len() < MAX_CONTROL_LEN && peer.refusals.take(now) {
            let refusal = v1::encode_refusal(reason);
            peer.traffic.add_sent(refusal.len());
            frame::encode_s2c(&mut self.control, to, overlay.vip, &refusal);
        }
    }

    fn send_hub_ping(&mut self, ping: HubPing, now: Instant) {
        if self.linked {
            frame::encode(&mut self.control, FrameType::PING, &[]);
            self.hub_pings.push_back((now, ping));
        }
    }

    /// The peer at `vip`, made where there is none; the longest unseen idle one gives way, if there
    /// is one without a session of version 2: strangers do not push out who proved a key.
    fn peer_entry(&mut self, vip: Vip, now: Instant) -> Option<&mut Peer> {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&vip) {
            let idle = self.peers.iter().filter(|(_, peer)| peer.is_idle());
            let oldest = idle.min_by_key(|(_, peer)| (peer.v2.is_confirmed(), peer.seen_at));
            let oldest = oldest.map(|(vip, _)| *vip);
            let gone = self.peers.remove(&oldest?);
            self.past_traffic =
                self.past_traffic.plus(gone.map(|peer| peer.traffic).unwrap_or_default());
        }
        let peer = self.peers.entry(vip).or_insert_with(|| Peer::new(now));
        peer.seen_at = now;
        Some(peer)
    }

    /// Our vIP is another one: what waits came from the old one.
    fn drop_all_waiting(&mut self) {
        self.stage_queued();
        let vips: Vec<Vip> = self.peers.keys().copied().collect();
        for vip in vips {
            while let Some(item) = self.peers.get_mut(&vip).and_then(Peer::pop) {
                self.fail_item(item, &MessageFailure::LinkLost);
            }
            while let Some(packet) = self.unstage(vip) {
                self.drops.add(DropReason::Readdressed);
                self.recycle(packet.buffer);
            }
        }
    }
}

/// Queues an ICMP error about `bytes` for the local host, if one may be sent now.
fn answer_unreachable(
    to_tun: &mut VecDeque<Vec<u8>>,
    limit: &mut TokenBucket,
    bytes: &[u8],
    (overlay, why): (Overlay, icmp::Unreachable),
    now: Instant,
) {
    let Ok(packet) = dosp_proto::packet::Ipv4Packet::parse(bytes) else { return };
    let Some(answer) = icmp::unreachable(&packet, overlay.network.hub(), why) else { return };
    if limit.take(now) {
        to_tun.push_back(answer);
    }
}

#[cfg(test)]
mod tests;
