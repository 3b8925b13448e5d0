//! A tiny hub and a join, in virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use dosp_proto::frame::{self, FrameDecoder, FrameType};
use dosp_proto::identity::IdentityKey;
use dosp_proto::message::{Aip, Hsk, SessionInfo, VipAnswer, VipRequest, encode_greeting};
use dosp_proto::vip::{Network, Vip};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::link::join::{Credentials, Join, JoinConfig, JoinError, Joined};

pub(super) const WANTED: [u8; 4] = [7, 10, 0, 9];

/// A node that knows nothing of any network.
pub(super) fn stranger() -> Credentials {
    Credentials {
        identity: IdentityKey::generate(&mut StdRng::seed_from_u64(7)),
        hub_key: None,
        join_key: None,
        name: None,
        insists_on_name: false,
        is_guest: false,
    }
}

pub(super) fn vip(octets: [u8; 4]) -> Vip {
    Vip::from(octets)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gsi {
    Known,
    Unknown,
    Garbage,
    OtherNetwork,
    Silent,
}

pub(super) struct FakeHub {
    pub(super) network: Network,
    pub(super) hsk: String,
    pub(super) gsi: Gsi,
    pub(super) knows_rqip: bool,
    pub(super) dotted_aip: bool,
    pub(super) taken: BTreeSet<Vip>,
    pub(super) free_at: Option<Instant>,
    pub(super) client: Vip,
    pub(super) asked: Vec<Vip>,
}

impl Default for FakeHub {
    fn default() -> Self {
        Self {
            network: Network::DEFAULT,
            hsk: " [2, 0]".to_owned(),
            gsi: Gsi::Known,
            knows_rqip: true,
            dotted_aip: false,
            taken: BTreeSet::new(),
            free_at: None,
            client: Vip::NONE,
            asked: Vec::new(),
        }
    }
}

impl FakeHub {
    pub(super) fn greeting(&mut self) -> Vec<u8> {
        self.client = self.network.assignable().next().unwrap();
        let mut out = encode_greeting(self.client, Hsk::OURS);
        out.truncate(9);
        frame::encode(&mut out, FrameType::HSK, self.hsk.as_bytes());
        out
    }

    pub(super) fn answer(&mut self, frame_type: FrameType, body: &[u8], now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        match frame_type {
            FrameType::GSI => self.answer_gsi(&mut out),
            FrameType::RQIP => {
                let wanted = VipRequest::decode(body).unwrap().0;
                self.asked.push(wanted);
                self.answer_rqip(wanted, now, &mut out);
            }
            other => panic!("the hub got {other}"),
        }
        out
    }

    fn answer_gsi(&self, out: &mut Vec<u8>) {
        let network = match self.gsi {
            Gsi::Known => self.network,
            Gsi::OtherNetwork => "192.168.7.0/24".parse().unwrap(),
            Gsi::Unknown => return frame::encode(out, FrameType::ERR, &[9, 8]),
            Gsi::Garbage => return frame::encode(out, FrameType::GSI, b"hello"),
            Gsi::Silent => return,
        };
        let vip = self.client;
        SessionInfo { vip, network, uptime_s: 1, rx_frames: 1, tx_frames: 2, admin: false }
            .encode_to(out);
    }

    fn answer_rqip(&mut self, wanted: Vip, now: Instant, out: &mut Vec<u8>) {
        if !self.knows_rqip {
            return frame::encode(out, FrameType::ERR, &[9, 7]);
        }
        if self.free_at.is_some_and(|free_at| now >= free_at) {
            self.taken.clear();
        }
        if !self.network.is_assignable(wanted) {
            return VipAnswer::UNUSABLE.encode_to(out);
        }
        if self.taken.contains(&wanted) {
            return VipAnswer::IN_USE.encode_to(out);
        }
        self.client = wanted;
        VipAnswer::Granted.encode_to(out);
        match self.dotted_aip {
            false => Aip(wanted).encode_to(out),
            true => frame::encode(out, FrameType::AIP, wanted.to_string().as_bytes()),
        }
    }
}

/// A join and its hub in virtual time, without delay between them.
pub(super) struct Net {
    pub(super) hub: FakeHub,
    pub(super) join: Join,
    pub(super) rng: StdRng,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) num_sent: usize,
    pub(super) asked_at: Vec<Instant>,
}

impl Net {
    pub(super) fn new(hub: FakeHub, config: JoinConfig) -> Self {
        let start = Instant::now();
        Self {
            hub,
            join: Join::new(config, Arc::new(stranger()), start),
            rng: StdRng::seed_from_u64(7),
            start,
            now: start,
            num_sent: 0,
            asked_at: Vec::new(),
        }
    }

    pub(super) fn give(&mut self, frame_type: FrameType, body: &[u8]) -> Result<(), JoinError> {
        self.join.handle_frame(frame_type, body, self.now, &mut self.rng)
    }

    pub(super) fn run(&mut self) -> Result<Joined, JoinError> {
        let mut to_agent = FrameDecoder::new(4096);
        let mut to_hub = FrameDecoder::new(4096);
        to_agent.extend(&self.hub.greeting());
        loop {
            while let Some(frame) = to_agent.next_frame().unwrap() {
                self.give(frame.frame_type(), frame.body())?;
            }
            if let Some(joined) = self.join.poll_joined() {
                return Ok(joined);
            }
            let mut sent = Vec::new();
            if self.join.poll_transmit(&mut sent) {
                self.num_sent += 1;
                to_hub.extend(&sent);
            } else {
                self.now = self.join.poll_timeout().unwrap();
                self.join.handle_timeout(self.now)?;
            }
            while let Some(frame) = to_hub.next_frame().unwrap() {
                if frame.frame_type() == FrameType::RQIP
                    && VipRequest::decode(frame.body()).unwrap().0 == vip(WANTED)
                {
                    self.asked_at.push(self.now);
                }
                let answer = self.hub.answer(frame.frame_type(), frame.body(), self.now);
                to_agent.extend(&answer);
            }
        }
    }
}
