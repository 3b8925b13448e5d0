//! A hub for tests: forwards, answers PING, and does to S2C frames whatever [`Faults`] say.

use std::collections::BTreeMap;
use std::time::Duration;

use dosp_proto::frame::{Frame, FrameDecoder, FrameType, S2C_HEADER_LEN};
use dosp_proto::message::{ErrorReport, Hsk};
use dosp_proto::tunnel::v1::HELLO_LEN;
use dosp_proto::vip::Vip;
use rand::Rng;
use rand::rngs::StdRng;

use super::{MARKER, plain_frame, s2c};

/// How often, in a thousand S2C frames, the hub does what no hub should.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) lose: u32,
    pub(super) double: u32,
    /// Holds back this frame and everything behind it, by up to two seconds.
    pub(super) delay: u32,
    /// Holds back this frame alone.
    pub(super) reorder: u32,
    pub(super) flip: u32,
    /// Also gives the frame to its own sender, as if its destination had sent it.
    pub(super) reflect: u32,
    /// Also repeats any older frame.
    pub(super) replay: u32,
    /// Also delivers a copy in somebody else's name.
    pub(super) forge: u32,
    /// Cuts version 2 off a handshake.
    pub(super) strip: u32,
    /// Puts another key into a handshake.
    pub(super) swap_keys: u32,
    /// Also tells the sender that the destination is offline or refuses.
    pub(super) lie: u32,
}

/// A frame on its way from the hub to a client.
#[derive(Debug)]
pub(super) struct Forwarded {
    pub(super) to: usize,
    pub(super) frame: Vec<u8>,
    pub(super) held_back: Duration,
    /// Whether what is behind it may overtake it.
    pub(super) alone: bool,
}

#[derive(Debug)]
pub(super) struct Hub {
    /// What it greets with.
    pub(super) hsk: Hsk,
    pub(super) clients: BTreeMap<Vip, usize>,
    pub(super) faults: Faults,
    /// Every S2C frame that came, stamped.
    pub(super) recorded: Vec<Vec<u8>>,
    /// Bodies of MSG frames for the hub itself.
    pub(super) messages: Vec<Vec<u8>>,
    /// Requests for the hub itself, which it does not answer.
    pub(super) asked: Vec<(FrameType, Vec<u8>)>,
    /// Frames with [`MARKER`] in them.
    pub(super) leaks: usize,
    out: Vec<Forwarded>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            hsk: Hsk::OURS,
            clients: BTreeMap::new(),
            faults: Faults::default(),
            recorded: Vec::new(),
            messages: Vec::new(),
            asked: Vec::new(),
            leaks: 0,
            out: Vec::new(),
        }
    }
}

impl Hub {
    /// Takes bytes of client `from` and returns what goes to whom.
    pub(super) fn handle_bytes(
        &mut self,
        (from, from_vip): (usize, Vip),
        decoder: &mut FrameDecoder,
        bytes: &[u8],
        rng: &mut StdRng,
    ) -> Vec<Forwarded> {
        decoder.extend(bytes);
        while let Some(frame) = decoder.next_frame().unwrap() {
            self.handle_frame((from, from_vip), frame, rng);
        }
        std::mem::take(&mut self.out)
    }

    fn handle_frame(&mut self, from: (usize, Vip), frame: Frame<'_>, rng: &mut StdRng) {
        match frame.frame_type() {
            FrameType::PING => self.send(from.0, plain_frame(FrameType::PING, &[])),
            FrameType::MSG => self.messages.push(frame.body().to_vec()),
            FrameType::S2C => {
                let mut s2c = frame.into_s2c().unwrap();
                assert_eq!(s2c.src(), from.1, "an agent names itself");
                s2c.stamp_src(from.1);
                let (dst, bytes) = (s2c.dst(), s2c.bytes().to_vec());
                self.leaks += usize::from(bytes.windows(MARKER.len()).any(|part| part == MARKER));
                self.recorded.push(bytes.clone());
                self.forward(from, dst, bytes, rng);
            }
            asked @ (FrameType::GCL | FrameType::FN | FrameType::GSI) => {
                self.asked.push((asked, frame.body().to_vec()));
            }
            other => panic!("an agent has no use for {other}"),
        }
    }

    fn forward(&mut self, from: (usize, Vip), dst: Vip, frame: Vec<u8>, rng: &mut StdRng) {
        self.deceive(from, dst, &frame, rng);
        let Some(&to) = self.clients.get(&dst) else {
            self.send(from.0, undeliverable(dst));
            return;
        };
        let faults = self.faults;
        if chance(faults.lose, rng) {
            return;
        }
        let mut frame = frame;
        let hello = S2C_HEADER_LEN..S2C_HEADER_LEN + HELLO_LEN;
        if frame.get(hello.start) == Some(&0x15) && frame.len() > hello.end {
            if chance(faults.swap_keys, rng) {
                // Where both the hello of version 1 and the Noise messages begin with a key.
                rng.fill_bytes(&mut frame[hello.end - 32..hello.end]);
                let noise = frame.len().min(hello.end + 13)..frame.len().min(hello.end + 45);
                rng.fill_bytes(&mut frame[noise]);
            }
            if chance(faults.strip, rng) {
                frame = s2c(dst, from.1, &frame[hello]);
            }
        }
        if chance(faults.flip, rng) && frame.len() > S2C_HEADER_LEN {
            let at = S2C_HEADER_LEN + below(frame.len() - S2C_HEADER_LEN, rng);
            frame[at] ^= 1 << below(8, rng);
        }
        let alone = chance(faults.reorder, rng);
        let held_back = if alone || chance(faults.delay, rng) {
            Duration::from_millis(below(2000, rng) as u64)
        } else {
            Duration::ZERO
        };
        if chance(faults.double, rng) {
            self.send(to, frame.clone());
        }
        self.out.push(Forwarded { to, frame, held_back, alone });
    }

    /// Frames that nobody sent, or not to this one.
    fn deceive(&mut self, from: (usize, Vip), dst: Vip, frame: &[u8], rng: &mut StdRng) {
        let (faults, data) = (self.faults, &frame[S2C_HEADER_LEN..]);
        if chance(faults.reflect, rng) {
            self.send(from.0, s2c(from.1, dst, data));
        }
        if chance(faults.forge, rng)
            && let Some(&to) = self.clients.get(&dst)
        {
            let others: Vec<Vip> = self.clients.keys().copied().filter(|vip| *vip != dst).collect();
            let src = others[below(others.len(), rng)];
            self.send(to, s2c(dst, src, data));
        }
        if chance(faults.replay, rng) {
            let old = self.recorded[below(self.recorded.len(), rng)].clone();
            let dst = Vip::from([old[5], old[6], old[7], old[8]]);
            if let Some(&to) = self.clients.get(&dst) {
                self.send(to, old);
            }
        }
        if chance(faults.lie, rng) {
            let lie = if chance(500, rng) {
                undeliverable(dst)
            } else {
                s2c(from.1, dst, b"\x15\xFFno tunnel for you")
            };
            self.send(from.0, lie);
        }
    }

    fn send(&mut self, to: usize, frame: Vec<u8>) {
        self.out.push(Forwarded { to, frame, held_back: Duration::ZERO, alone: false });
    }
}

pub(super) fn undeliverable(dst: Vip) -> Vec<u8> {
    let mut out = Vec::new();
    ErrorReport::Undeliverable { dst, reason: "offline" }.encode_to(&mut out);
    out
}

/// Whether something happens that happens so often in a thousand.
pub(super) fn chance(per_mille: u32, rng: &mut StdRng) -> bool {
    rng.next_u32() % 1000 < per_mille
}

pub(super) fn below(limit: usize, rng: &mut StdRng) -> usize {
    rng.next_u32() as usize % limit
}
