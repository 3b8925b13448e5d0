//! Handshakes of version 2: the engine decides whose key is trusted, and pins it once it is proved.

use std::time::{Duration, Instant};

use dosp_proto::Now;
use dosp_proto::identity::PublicKey;
use dosp_proto::tunnel::v1;
use dosp_proto::tunnel::v2::{AnswerError, Ends, HandshakeError, Message, Reply};
use dosp_proto::vip::Vip;
use rand::CryptoRng;

use super::member::judge;
use super::refusal::Refusal;
use super::{DropReason, Engine, Event, MessageFailure, Overlay};
use crate::known_peers::Distrust;

/// A key that comes back to a vIP so soon after it left is on two hosts.
const KEY_STAYS_FOR: Duration = Duration::from_secs(120);
/// What an opener is told whose network secret is not ours.
pub(super) const SECRET_DIFFERS: &str = "network secret differs";
/// What a peer is told whose key is not trusted here.
const KEY_REFUSED: &str = "your key is not trusted here";

impl Engine {
    pub(super) fn handle_handshake(
        &mut self,
        from: Vip,
        message: Message<'_>,
        overlay: Overlay,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(), DropReason> {
        let ends = Ends { ours: overlay.vip, theirs: from };
        let outcome = match message {
            Message::Opening(opening) => {
                let hello = v1::throwaway_hello(now.unix_time, rng);
                let Some(peer) = self.peers.get_mut(&from) else { return Ok(()) };
                let endpoint = &mut self.endpoint;
                peer.v2.handle_opening(&opening, endpoint, ends, &hello, now.instant, rng)
            }
            Message::Answer(reply) => self.handle_tunnel_answer(from, &reply, now, rng),
            Message::Proof(reply) => self.handle_tunnel_proof(from, &reply, ends, now, rng),
            // Frames are no handshake; the caller has taken them.
            Message::Frame { .. } => return Err(DropReason::NoSession),
        };
        match outcome {
            Ok(()) => Ok(()),
            // Not a drop: the peer answers ours.
            Err(HandshakeError::Crossed) => Ok(()),
            Err(HandshakeError::Answer(AnswerError::Secret)) => {
                self.refuse(from, SECRET_DIFFERS, now.instant);
                Err(DropReason::SecretDiffers)
            }
            Err(
                HandshakeError::Answer(_)
                | HandshakeError::Noise(_)
                | HandshakeError::NoHandshake
                | HandshakeError::TooMany,
            ) => Err(DropReason::Handshake),
        }
    }

    /// The peer has shown its key: ours is shown to a trusted one only. The opening goes on in any
    /// case, because the answer may have been made by somebody on the way.
    fn handle_tunnel_answer(
        &mut self,
        from: Vip,
        reply: &Reply<'_>,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(), HandshakeError> {
        let Some(peer) = self.peers.get_mut(&from) else { return Ok(()) };
        let Some(answer) = peer.v2.handle_answer(reply, &self.endpoint, now.instant)? else {
            return Ok(());
        };
        if let Err(distrust) = judge(self.member.as_ref(), &self.known, from, &answer.key) {
            peer.v2.doubt();
            self.distrust(from, answer.key, distrust, now.instant);
            return Ok(());
        }
        peer.v2.prove(answer, &self.endpoint, now.instant, rng)
    }

    fn handle_tunnel_proof(
        &mut self,
        from: Vip,
        reply: &Reply<'_>,
        ends: Ends,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(), HandshakeError> {
        let Some(peer) = self.peers.get_mut(&from) else { return Ok(()) };
        let proved = peer.v2.handle_proof(reply, &mut self.endpoint, ends, now.instant, rng)?;
        let Some(proved) = proved else { return Ok(()) };
        if let Err(distrust) = judge(self.member.as_ref(), &self.known, from, &proved.key) {
            peer.v2.doubt();
            self.refuse(from, KEY_REFUSED, now.instant);
            self.distrust(from, proved.key, distrust, now.instant);
            return Ok(());
        }
        let was_confirmed = peer.v2.is_confirmed();
        let key = proved.key;
        peer.v2.install(proved, &self.endpoint, now.instant);
        self.on_proved(from, key, was_confirmed, now.instant);
        Ok(())
    }

    /// Somebody shows a key at the peer's vIP that is not trusted there.
    fn distrust(&mut self, vip: Vip, key: PublicKey, distrust: Distrust, now: Instant) {
        self.note_refused(vip, key, &distrust);
        self.count_peer_drop(vip, DropReason::Untrusted);
        let refusal = Refusal::Untrusted(distrust);
        self.fail_echoes(vip, &MessageFailure::Refused(refusal.clone()));
        self.handle_refusal(vip, refusal, now);
    }

    /// Remembers a key that the operator may accept, unless it is the hub that speaks against it.
    fn note_refused(&mut self, vip: Vip, key: PublicKey, distrust: &Distrust) {
        if !matches!(distrust, Distrust::NotListed { .. }) {
            self.known.note_refused(vip, key);
        }
    }

    /// The first frame of a session that we opened verified. What was trusted when the peer showed its
    /// key may not be any more.
    pub(super) fn on_confirmed(
        &mut self,
        vip: Vip,
        key: PublicKey,
        was_confirmed: bool,
        now: Instant,
    ) -> Result<(), DropReason> {
        if let Err(distrust) = judge(self.member.as_ref(), &self.known, vip, &key) {
            self.note_refused(vip, key, &distrust);
            if let Some(peer) = self.peers.get_mut(&vip) {
                peer.v2.discard();
            }
            self.say_refusal(vip, Refusal::Untrusted(distrust));
            return Err(DropReason::Untrusted);
        }
        self.on_proved(vip, key, was_confirmed, now);
        Ok(())
    }

    /// The peer at `vip` has proved all of its key.
    fn on_proved(&mut self, vip: Vip, key: PublicKey, was_confirmed: bool, now: Instant) {
        self.num_handshakes += 1;
        let moved_from = self.known.pin(vip, key);
        if let Some(peer) = self.peers.get_mut(&vip) {
            peer.end_version_1();
            peer.refusal = None;
            if peer.addressed_at.is_some() {
                self.known.address(vip);
                self.adopt_listed_name(vip);
            }
        }
        if let Some(before) = moved_from {
            self.key_moved(key, before, vip, now);
        }
        if !was_confirmed {
            self.tell_open(vip);
        }
    }

    /// A key is at one vIP only: its sessions elsewhere end.
    fn key_moved(&mut self, key: PublicKey, from: Vip, to: Vip, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.v2.discard();
            peer.left = Some((key, now));
        }
        let came_back = self
            .peers
            .get_mut(&to)
            .and_then(|peer| peer.left.take())
            .is_some_and(|(left, at)| left == key && now.duration_since(at) < KEY_STAYS_FOR);
        let fingerprint = key.fingerprint();
        self.events.push_back(Event::KeyMoved { fingerprint, from, to, is_copied: came_back });
    }
}
