//! Tunnels as the engine keeps them: which version a peer gets, when one is opened, and timers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dosp_proto::Now;
use dosp_proto::frame;
use dosp_proto::tunnel::v2::Ends;
use dosp_proto::vip::Vip;
use rand::CryptoRng;

use super::packets::Packet;
use super::peer::{Item, Peer, hello};
use super::policy::{C2c, Version1};
use super::{
    DropReason, Engine, Event, MAX_CONTROL_LEN, MessageFailure, NO_ANSWER_AFTER, Version,
    answer_unreachable, icmp,
};

/// What is staged later, while the answer is still missing, is given back so often.
const NO_ANSWER_AGAIN: Duration = Duration::from_secs(1);
/// A hub's or a peer's "no" counts only while no frame of the peer verified for so long: it comes
/// without any proof.
const VERIFIED_RECENTLY: Duration = Duration::from_secs(25);

impl Engine {
    /// Whether something says that the peer at `vip` speaks version 2: it never gets less then.
    pub(super) fn is_version_2(&self, vip: Vip) -> bool {
        let has_session = self.peers.get(&vip).is_some_and(|peer| peer.v2.is_confirmed());
        has_session || self.known.key_of(vip).is_some() || self.is_listed(vip)
    }

    /// Whether a tunnel of version 1 may be made with the peer at `vip`.
    pub(super) fn allows_version_1(&self, vip: Vip) -> bool {
        self.config.version1 != Version1::Off
            && !self.endpoint.has_secret()
            && !self.is_version_2(vip)
    }

    pub(super) fn open_tunnel(&mut self, vip: Vip, now: Now, rng: &mut impl CryptoRng) {
        let allows_v1 = self.allows_version_1(vip);
        let (Some(peer), Some(overlay)) = (self.peers.get_mut(&vip), self.overlay) else { return };
        if !self.linked {
            return;
        }
        match self.config.c2c {
            C2c::V2 if !peer.v2.is_opening() => {
                let hello = hello(peer, allows_v1, now, rng);
                let ends = Ends { ours: overlay.vip, theirs: vip };
                peer.v2.open(&mut self.endpoint, ends, &hello, now.instant, rng);
            }
            C2c::V1 if allows_v1 => peer.v1.open(now, rng),
            C2c::V2 | C2c::V1 => {}
        }
        // The tunnel may have opened anew by itself, when nothing waited.
        peer.no_answer_at.get_or_insert(now.instant + NO_ANSWER_AFTER);
        self.follow_tunnel(vip, now, rng);
    }

    /// Does what a peer's tunnels want after they were touched: a due opening is begun, their own
    /// DATA become frames, and timers are set.
    pub(super) fn follow_tunnel(&mut self, vip: Vip, now: Now, rng: &mut impl CryptoRng) {
        let (Some(peer), Some(overlay)) = (self.peers.get_mut(&vip), self.overlay) else { return };
        if self.linked && peer.v2.needs_opening() {
            let (hello, ends) =
                (hello(peer, false, now, rng), Ends { ours: overlay.vip, theirs: vip });
            peer.v2.open(&mut self.endpoint, ends, &hello, now.instant, rng);
        }
        while let Some(data) = peer.poll_data() {
            if self.linked && self.control.len() < MAX_CONTROL_LEN {
                peer.traffic.add_sent(data.len());
                frame::encode_s2c(&mut self.control, vip, overlay.vip, &data);
            }
        }
        if !peer.is_opening() {
            peer.no_answer_at = None;
        }
        arm(&mut self.timers, vip, peer);
    }

    /// Lets the timers of all peers pass that are due.
    pub(super) fn peers_timeout(&mut self, now: Now, rng: &mut impl CryptoRng) {
        while let Some((at, vip)) =
            self.timers.first().copied().filter(|(at, _)| *at <= now.instant)
        {
            self.timers.remove(&(at, vip));
            let Some(peer) = self.peers.get_mut(&vip) else { continue };
            // Of a peer that was forgotten and met again: not its timer.
            if peer.timer_at != Some(at) {
                continue;
            }
            peer.timer_at = None;
            self.peer_timeout(vip, now, rng);
        }
    }

    fn peer_timeout(&mut self, vip: Vip, now: Now, rng: &mut impl CryptoRng) {
        let Some(peer) = self.peers.get_mut(&vip) else { return };
        peer.handle_timeout(now.instant, rng);
        if peer.v1_usable_at.is_some_and(|at| at <= now.instant) {
            // Nobody answered in version 2: the peer knows only version 1.
            peer.v1_usable_at = None;
            peer.v2.give_up_opening();
            if peer.version() == Some(Version::One) {
                self.tell_open(vip);
            }
        }
        let Some(peer) = self.peers.get_mut(&vip) else { return };
        if peer.no_answer_at.is_some_and(|at| at <= now.instant) {
            peer.no_answer_at = Some(now.instant + NO_ANSWER_AGAIN);
            let refusal = peer.refusal.clone();
            let why = refusal.map_or(MessageFailure::NoAnswer, MessageFailure::Refused);
            self.give_back(vip, &why, now.instant);
        }
        self.follow_tunnel(vip, now, rng);
        self.schedule(vip, now, rng);
    }

    /// Answers whatever waits for `vip` with "unreachable".
    pub(super) fn give_back(&mut self, vip: Vip, why: &MessageFailure, now: Instant) {
        let Some(peer) = self.peers.get_mut(&vip) else { return };
        let recent = |at: Instant| now.duration_since(at) < VERIFIED_RECENTLY;
        if peer.version().is_some() || peer.verified_at().is_some_and(recent) {
            return;
        }
        while let Some(item) = self.peers.get_mut(&vip).and_then(|peer| peer.pop()) {
            self.fail_item(item, why);
        }
        while let Some(packet) = self.unstage(vip) {
            self.fail_packet(vip, packet, why, DropReason::Unreachable, now);
        }
    }

    /// Tells whoever it may concern that `item` is not sent.
    pub(super) fn fail_item(&mut self, item: Item, why: &MessageFailure) {
        if let Some(ticket) = item.ticket() {
            self.events.push_back(Event::MessageFailed(ticket, why.clone()));
        }
    }

    /// Tells the local host that a packet is not sent.
    pub(super) fn fail_packet(
        &mut self,
        vip: Vip,
        packet: Packet,
        why: &MessageFailure,
        reason: DropReason,
        now: Instant,
    ) {
        let buffer = packet.buffer;
        self.count_peer_drop(vip, reason);
        if let Some(overlay) = self.overlay {
            let unreachable = match (reason, why) {
                (DropReason::Version1, _) => icmp::Unreachable::Prohibited,
                (_, MessageFailure::NoWay { .. }) => icmp::Unreachable::Net,
                _ => icmp::Unreachable::Host,
            };
            let (to_tun, limit) = (&mut self.to_tun, &mut self.unreachables);
            answer_unreachable(to_tun, limit, buffer.content(), (overlay, unreachable), now);
        }
        self.recycle(buffer);
    }

    /// Counts a drop, in all and for the peer that it concerns.
    pub(super) fn count_peer_drop(&mut self, vip: Vip, reason: DropReason) {
        self.drops.add(reason);
        if let Some(peer) = self.peers.get_mut(&vip) {
            peer.drops.add(reason);
        }
    }

    /// Tells that a tunnel is open that was not.
    pub(super) fn tell_open(&mut self, vip: Vip) {
        self.events.extend(self.tunnel_report(vip).map(Event::TunnelOpen));
    }
}

/// Makes sure that the engine looks at the peer in time. A timer that moved to later fires too early
/// once, which costs less than to move it with every frame.
fn arm(timers: &mut BTreeSet<(Instant, Vip)>, vip: Vip, peer: &mut Peer) {
    let Some(due) = peer.poll_timeout() else { return };
    if peer.timer_at.is_some_and(|at| at <= due) {
        return;
    }
    if let Some(later) = peer.timer_at.replace(due) {
        timers.remove(&(later, vip));
    }
    timers.insert((due, vip));
}
