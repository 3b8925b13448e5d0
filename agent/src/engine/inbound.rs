//! From the hub to the local host: open, check the source, deliver.

use std::time::{Duration, Instant};

use dosp_proto::Now;
use dosp_proto::frame::{Frame, FrameType, S2c};
use dosp_proto::message::{ErrorReport, HskFlag};
use dosp_proto::offload::{Offload, VnetHeader};
use dosp_proto::tunnel::v1::{self, OVERHEAD_LEN, ReceiveError, Received};
use dosp_proto::tunnel::v2::{Kind, Message, Opened, Packets};
use dosp_proto::vip::Vip;
use rand::CryptoRng;

use super::gate::Gate;
use super::policy::C2c;
use super::refusal::{self, Refusal};
use super::{DropReason, Engine, Event, HubPing, MessageFailure, Overlay, Version, icmp, requests};

/// A peer that sends in lost sessions is opened to at most so often.
const REOPEN_INTERVAL: Duration = Duration::from_secs(5);
/// What a peer is told that opens in version 1 where that is not taken.
const VERSION_1_OFF: &str = "version 1 is off here";
/// A peer's or a hub's own words are cut to so many characters.
const MAX_WORDS: usize = 200;
/// What published hubs up to 0.1.3 answer to PING, as ERR: they do not know it.
const PONG_OF_0_1: &[u8] = &[0; 9];

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Inbound<'b> {
    /// Nothing for anybody outside.
    Nothing,
    /// An IP packet for the TUN, and what is left to be done to it.
    Packet(Offload, &'b mut [u8]),
    /// Several of them.
    Packets(Packets<'b>),
    /// A raw message.
    Message {
        /// Who sent it, by the hub's word.
        from: Vip,
        /// The version of the tunnel that it came through; `None` where the hub could read it.
        version: Option<Version>,
        /// Its content.
        data: &'b [u8],
    },
}

impl Engine {
    /// Takes a frame from the hub.
    pub fn handle_frame<'b>(
        &mut self,
        frame: Frame<'b>,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Inbound<'b> {
        match frame.frame_type() {
            other if self.must_be_sealed(other) => self.drops.add(DropReason::Unsealed),
            FrameType::XCTL => self.handle_word(frame.body(), now, rng),
            FrameType::S2C => {
                let Ok(s2c) = frame.into_s2c() else {
                    self.drops.add(DropReason::Misrouted);
                    return Inbound::Nothing;
                };
                return match self.handle_s2c(s2c, now, rng) {
                    Ok(Inbound::Packet(offload, packet)) => {
                        self.clamp_mss(offload, packet);
                        Inbound::Packet(offload, packet)
                    }
                    Ok(inbound) => inbound,
                    Err(reason) => {
                        self.drops.add(reason);
                        Inbound::Nothing
                    }
                };
            }
            other => self.handle_control_frame(other, frame.body(), now.instant),
        }
        Inbound::Nothing
    }

    /// Takes any frame but S2C and XCTL, as it came or out of a sealed word.
    pub(super) fn handle_control_frame(
        &mut self,
        frame_type: FrameType,
        body: &[u8],
        now: Instant,
    ) {
        match frame_type {
            FrameType::MSG => self.events.push_back(Event::Broadcast(body.to_vec())),
            FrameType::PING => self.handle_pong(now),
            FrameType::ERR => self.handle_error(body, now),
            other => {
                if !self.handle_answer(other, body) {
                    self.drops.add(DropReason::UnexpectedFrame);
                }
            }
        }
    }

    fn handle_s2c<'b>(
        &mut self,
        s2c: S2c<'b>,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<Inbound<'b>, DropReason> {
        let overlay = self.overlay.filter(|_| self.linked).ok_or(DropReason::Misrouted)?;
        let from = s2c.src();
        if s2c.dst() != overlay.vip || !self.is_peer(from) {
            return Err(DropReason::Misrouted);
        }
        let peer = self.peer_entry(from, now.instant).ok_or(DropReason::TooManyPeers)?;
        let data = s2c.into_data();
        peer.traffic.add_received(data.len());
        let outcome = self.handle_data(from, data, overlay, now, rng);
        if let Err(reason) = outcome
            && let Some(peer) = self.peers.get_mut(&from)
        {
            peer.drops.add(reason);
        }
        self.follow_tunnel(from, now, rng);
        self.schedule(from, now, rng);
        outcome
    }

    /// Takes DATA as what it is: of version 2 where its form says so, and else of version 1.
    fn handle_data<'b>(
        &mut self,
        from: Vip,
        data: &'b mut [u8],
        overlay: Overlay,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<Inbound<'b>, DropReason> {
        let has_session =
            |receiver| self.peers.get(&from).is_some_and(|peer| peer.v2.has_session(receiver));
        let is_reflected =
            |receiver| self.peers.get(&from).is_some_and(|peer| peer.v2.is_reflected(receiver));
        match Message::parse(data).filter(|_| self.config.c2c == C2c::V2) {
            // A frame of version 1 has this form once in 256 times, and this index never.
            Some(Message::Frame { receiver }) if has_session(receiver) => {
                self.handle_sealed(from, receiver, data, overlay, now.instant)
            }
            // The hub sends back what we sent: no session of ours is lost.
            Some(Message::Frame { receiver }) if is_reflected(receiver) => {
                Err(DropReason::Reflected)
            }
            // Ciphertext is no text: what a plain client sends may begin with the same byte.
            Some(Message::Frame { .. })
                if self.is_version_2(from)
                    || !(self.has_version_1(from) || std::str::from_utf8(data).is_ok()) =>
            {
                self.reopen_lost_session(from, now, rng);
                Err(DropReason::NoSession)
            }
            Some(Message::Frame { .. }) | None => {
                self.handle_version_1(from, data, overlay, now, rng)
            }
            Some(handshake) => {
                self.handle_handshake(from, handshake, overlay, now, rng)?;
                Ok(Inbound::Nothing)
            }
        }
    }

    fn has_version_1(&self, vip: Vip) -> bool {
        self.peers.get(&vip).is_some_and(|peer| peer.v1.is_open())
    }

    /// The peer sends in a session that we have lost, as after a restart, and cannot know that.
    fn reopen_lost_session(&mut self, from: Vip, now: Now, rng: &mut impl CryptoRng) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let rested = |at: Instant| now.instant.duration_since(at) >= REOPEN_INTERVAL;
        if !peer.lost_session_at.is_none_or(rested) {
            return;
        }
        peer.lost_session_at = Some(now.instant);
        self.open_tunnel(from, now, rng);
    }

    /// Opens a frame of version 2. The peer is who its key says, whatever the hub may do.
    fn handle_sealed<'b>(
        &mut self,
        from: Vip,
        receiver: u32,
        data: &'b mut [u8],
        overlay: Overlay,
        now: Instant,
    ) -> Result<Inbound<'b>, DropReason> {
        let Some(peer) = self.peers.get_mut(&from) else { return Err(DropReason::NoSession) };
        let was_confirmed = peer.v2.is_confirmed();
        let Opened { kind, content, confirms } = peer.v2.handle_frame(receiver, data, now)?;
        if let (true, Some(key)) = (confirms, peer.v2.key().copied()) {
            self.on_confirmed(from, key, was_confirmed, now)?;
        }
        let gate =
            Gate { config: self.config, overlay, from, is_routed: self.is_routed(from), now };
        let Some(peer) = self.peers.get(&from) else { return Err(DropReason::NoSession) };
        match kind {
            Kind::Keepalive => Ok(Inbound::Nothing),
            Kind::Message => {
                Ok(Inbound::Message { from, version: Some(Version::Two), data: content })
            }
            Kind::Packet => {
                gate.admit(peer, content)?;
                Ok(Inbound::Packet(Offload::Plain, content))
            }
            Kind::SuperPacket => {
                let (header, packet) =
                    content.split_first_chunk_mut().ok_or(DropReason::Offload)?;
                gate.admit(peer, packet)?;
                let header = VnetHeader::from_wire(*header);
                let offload = Offload::from_peer(header, packet)?;
                if offload != Offload::Plain && !offload.may_cross(self.endpoint.super_packets()) {
                    return Err(DropReason::Offload);
                }
                Ok(Inbound::Packet(offload, packet))
            }
            Kind::Packets => {
                let packets = Packets::parse(content).ok_or(DropReason::InnerPacket)?;
                packets.clone().try_for_each(|packet| gate.admit(peer, packet))?;
                Ok(Inbound::Packets(packets))
            }
            Kind::Control => {
                self.handle_control(from, content, now)?;
                Ok(Inbound::Nothing)
            }
        }
    }

    /// Takes what is not of version 2, as far as that is allowed from this peer.
    fn handle_version_1<'b>(
        &mut self,
        from: Vip,
        data: &'b mut [u8],
        overlay: Overlay,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<Inbound<'b>, DropReason> {
        if let Some(reason) = v1::refusal(data) {
            let refusal = Refusal::of_words(reason);
            self.handle_refusal(from, refusal, now.instant);
            return Ok(Inbound::Nothing);
        }
        if !self.allows_version_1(from) {
            return self.decline_version_1(from, data, now.instant);
        }
        let is_routed = self.is_routed(from);
        let gate = Gate { config: self.config, overlay, from, is_routed, now: now.instant };
        let Some(peer) = self.peers.get_mut(&from) else { return Err(DropReason::TooManyPeers) };
        if data == refusal::NOT_SUPPORTED && peer.is_opening() {
            self.handle_refusal(from, Refusal::LegacyOnly, now.instant);
            return Ok(Inbound::Nothing);
        }
        let (received, opened) = peer.handle_version_1(data, now, rng);
        let outcome = match received {
            Ok(Received::Message(message)) => gate.admit_version_1(peer, message),
            Ok(Received::Plain(data)) => {
                if gate.config.carries_ip && looks_sealed(data) {
                    peer.v1.count_unopened(now, rng);
                }
                Ok(Inbound::Message { from, version: None, data })
            }
            Ok(Received::Refused(_) | Received::Empty | Received::Handshake) => {
                Ok(Inbound::Nothing)
            }
            Err(error) => {
                if error == ReceiveError::Legacy {
                    self.handle_refusal(from, Refusal::LegacyOnly, now.instant);
                }
                Err(DropReason::from(error))
            }
        };
        if opened && self.peers.get(&from).is_some_and(|peer| peer.v1_usable_at.is_none()) {
            self.tell_open(from);
        }
        outcome
    }

    /// Neither answers nor believes version 1, and says so where a person can do something about it.
    fn decline_version_1<'b>(
        &mut self,
        from: Vip,
        data: &'b mut [u8],
        now: Instant,
    ) -> Result<Inbound<'b>, DropReason> {
        let is_version_2 = self.is_version_2(from);
        if v1::is_hello(data) {
            let is_opening = self.peers.get(&from).is_some_and(|peer| peer.is_opening());
            if is_opening {
                let why = if is_version_2 { Refusal::Downgrade } else { Refusal::Version1Only };
                self.handle_refusal(from, why, now);
            } else if !is_version_2 {
                self.refuse(from, VERSION_1_OFF, now);
            }
            return Err(DropReason::Version1);
        }
        if is_version_2 {
            return Err(DropReason::PlainInTunnel);
        }
        // A peer that knows only version 1 takes our opening for one, and seals.
        if looks_sealed(data) {
            return Err(DropReason::Version1);
        }
        Ok(Inbound::Message { from, version: None, data })
    }

    pub(super) fn handle_refusal(&mut self, from: Vip, refusal: Refusal, now: Instant) {
        self.say_refusal(from, refusal.clone());
        self.give_back(from, &MessageFailure::Refused(refusal), now);
    }

    /// Says once what a peer refuses, however often it comes.
    pub(super) fn say_refusal(&mut self, from: Vip, refusal: Refusal) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if peer.refusal.as_ref() != Some(&refusal) {
            peer.refusal = Some(refusal.clone());
            self.events.push_back(Event::Refused(from, refusal));
        }
    }

    /// The hub answers PINGs in their order, behind whatever it had to say before.
    fn handle_pong(&mut self, now: Instant) {
        let Some((sent_at, ping)) = self.hub_pings.pop_front() else { return };
        self.hub_rtt = Some(now.duration_since(sent_at));
        match ping {
            HubPing::Heartbeat => {}
            HubPing::Delivery(ticket, _) => self.events.push_back(Event::MessageSent(ticket)),
            HubPing::EchoLeg(ticket) => self.echo_leg(ticket, now.duration_since(sent_at)),
            HubPing::Echo(header, content) => {
                let Some(overlay) = self.overlay else { return };
                let (hub, vip) = (overlay.network.hub(), overlay.vip);
                self.to_tun.extend(icmp::echo_reply(hub, vip, header, &content));
            }
        }
    }

    fn handle_error(&mut self, body: &[u8], now: Instant) {
        if body == PONG_OF_0_1 && self.hub.flag != HskFlag::Space {
            return self.handle_pong(now);
        }
        match ErrorReport::decode(body) {
            ErrorReport::Undeliverable { dst, .. } => {
                self.handle_undeliverable(dst, &MessageFailure::Offline, now);
            }
            report => {
                if !self.handle_refused_request(report) {
                    self.events.push_back(Event::HubError(requests::describe(report)));
                }
            }
        }
    }
}

/// Whether plain DATA is probably a frame of a tunnel that we have forgotten, as after a restart:
/// random bytes are no text.
fn looks_sealed(data: &[u8]) -> bool {
    data.len() >= OVERHEAD_LEN && std::str::from_utf8(data).is_err()
}

/// Somebody else's text, safe to print and bounded.
pub(super) fn words(text: &str) -> String {
    text.chars().take(MAX_WORDS).flat_map(char::escape_debug).collect()
}
