//! From the hub to the local host: open, check the source, deliver.

use std::time::{Duration, Instant};

use dosp_proto::Now;
use dosp_proto::frame::{Frame, FrameType, S2c};
use dosp_proto::message::{ErrorReport, HskFlag};
use dosp_proto::packet::Ipv4Packet;
use dosp_proto::tunnel::v1::{OVERHEAD_LEN, ReceiveError, Received};
use dosp_proto::vip::Vip;
use rand::CryptoRng;

use super::peer::Peer;
use super::refusal::{self, Refusal};
use super::{DropReason, Engine, Event, HubPing, MessageFailure, Overlay, icmp, requests};

/// Raised shields let a peer in for so long after this host last sent it something.
const SHIELDS_DOWN: Duration = Duration::from_secs(5 * 60);
/// A peer's or a hub's own words are cut to so many characters.
const MAX_WORDS: usize = 200;
/// What published hubs up to 0.1.3 answer to PING, as ERR: they do not know it.
const PONG_OF_0_1: &[u8] = &[0; 9];

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Inbound<'b> {
    /// Nothing for anybody outside.
    Nothing,
    /// An IP packet for the TUN.
    Packet(&'b [u8]),
    /// A raw message.
    Message {
        /// Who sent it, by the hub's word.
        from: Vip,
        /// Whether it came sealed: then the hub could not read it.
        sealed: bool,
        /// Its content.
        data: &'b [u8],
    },
    /// A broadcast of the hub.
    Broadcast(&'b [u8]),
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
            FrameType::S2C => {
                let Ok(s2c) = frame.into_s2c() else {
                    self.drops.add(DropReason::Misrouted);
                    return Inbound::Nothing;
                };
                return match self.handle_s2c(s2c, now, rng) {
                    Ok(inbound) => inbound,
                    Err(reason) => {
                        self.drops.add(reason);
                        Inbound::Nothing
                    }
                };
            }
            FrameType::MSG => return Inbound::Broadcast(frame.into_body()),
            FrameType::PING => self.handle_pong(now.instant),
            FrameType::ERR => self.handle_error(frame.body(), now.instant),
            other => {
                if !self.handle_answer(other, frame.body()) {
                    self.drops.add(DropReason::UnexpectedFrame);
                }
            }
        }
        Inbound::Nothing
    }

    fn handle_s2c<'b>(
        &mut self,
        s2c: S2c<'b>,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<Inbound<'b>, DropReason> {
        let overlay = self.overlay.filter(|_| self.linked).ok_or(DropReason::Misrouted)?;
        let from = s2c.src();
        let from_peer = overlay.network.is_assignable(from) && from != overlay.vip;
        if s2c.dst() != overlay.vip || !from_peer {
            return Err(DropReason::Misrouted);
        }
        let config = self.config;
        let peer = self.peer_entry(from, now.instant).ok_or(DropReason::TooManyPeers)?;
        let was_open = peer.tunnel.is_open();
        let data = s2c.into_data();
        peer.traffic.rx_frames += 1;
        peer.traffic.rx_bytes += data.len() as u64;

        if data == refusal::NOT_SUPPORTED && peer.tunnel.opening_since().is_some() {
            self.handle_refusal(from, Refusal::LegacyOnly, now.instant);
            return Ok(Inbound::Nothing);
        }
        let received = peer.tunnel.handle_data(data, now, rng);
        let opened = peer.tunnel.is_open() && !was_open;
        if opened {
            peer.refusal = None;
        }
        let outcome = match received {
            Ok(Received::Message(message)) => {
                deliver(peer, message, from, overlay, config, now.instant)
            }
            Ok(Received::Plain(data)) => {
                if config.carries_ip && looks_sealed(data) {
                    peer.tunnel.count_unopened(now, rng);
                }
                Ok(Inbound::Message { from, sealed: false, data })
            }
            Ok(Received::Refused(reason)) => {
                self.handle_refusal(from, Refusal::of_words(reason), now.instant);
                Ok(Inbound::Nothing)
            }
            Ok(Received::Empty | Received::Handshake) => Ok(Inbound::Nothing),
            Err(error) => {
                if error == ReceiveError::Legacy {
                    self.handle_refusal(from, Refusal::LegacyOnly, now.instant);
                }
                Err(DropReason::from(error))
            }
        };
        if opened {
            self.events.push_back(Event::TunnelOpen(from));
        }
        self.follow_tunnel(from);
        self.schedule(from, now, rng);
        outcome
    }

    fn handle_refusal(&mut self, from: Vip, refusal: Refusal, now: Instant) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        // Said once, however often it comes.
        if peer.refusal.as_ref() != Some(&refusal) {
            peer.refusal = Some(refusal.clone());
            self.events.push_back(Event::Refused(from, refusal.clone()));
        }
        self.give_back(from, &MessageFailure::Refused(refusal), now);
    }

    /// The hub answers PINGs in their order, behind whatever it had to say before.
    fn handle_pong(&mut self, now: Instant) {
        let Some((sent_at, ping)) = self.hub_pings.pop_front() else { return };
        self.hub_rtt = Some(now.duration_since(sent_at));
        match ping {
            HubPing::Heartbeat => {}
            HubPing::Delivery(ticket, _) => self.events.push_back(Event::MessageSent(ticket)),
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
                let is_lost =
                    |ping: &HubPing| matches!(ping, HubPing::Delivery(_, to) if *to == dst);
                for (_, ping) in &mut self.hub_pings {
                    if let (true, HubPing::Delivery(ticket, _)) = (is_lost(ping), &*ping) {
                        let failed = Event::MessageFailed(*ticket, MessageFailure::Offline);
                        self.events.push_back(failed);
                        // Its PING is still under way.
                        *ping = HubPing::Heartbeat;
                    }
                }
                self.give_back(dst, &MessageFailure::Offline, now);
            }
            report => {
                if !self.handle_refused_request(report) {
                    self.events.push_back(Event::HubError(requests::describe(report)));
                }
            }
        }
    }
}

/// An opened message is an IP packet if it is one from this peer to us, and else a raw message.
fn deliver<'b>(
    peer: &Peer,
    message: &'b [u8],
    from: Vip,
    overlay: Overlay,
    config: super::EngineConfig,
    now: Instant,
) -> Result<Inbound<'b>, DropReason> {
    let is_ours = |packet: &Ipv4Packet<'_>| packet.src() == from && packet.dst() == overlay.vip;
    if !config.carries_ip || !Ipv4Packet::parse(message).as_ref().is_ok_and(is_ours) {
        return Ok(Inbound::Message { from, sealed: true, data: message });
    }
    let addressed = |at: Instant| now.duration_since(at) < SHIELDS_DOWN;
    if config.shields_up && !peer.addressed_at.is_some_and(addressed) {
        return Err(DropReason::ShieldsUp);
    }
    Ok(Inbound::Packet(message))
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
