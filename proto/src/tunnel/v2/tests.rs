use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::buffer::PacketBuf;
use crate::identity::IdentityKey;
use crate::offload::Offloads;
use crate::secret::NetworkSecret;
use crate::tunnel::v1::HELLO_LEN;
use crate::vip::Vip;

mod handshakes;
mod sessions;

/// What a published client would see of an opening.
const HELLO: [u8; HELLO_LEN] = {
    let mut hello = [7; HELLO_LEN];
    hello[0] = 0x15;
    hello
};

/// One node, and its tunnel with the other.
struct Side {
    endpoint: Endpoint,
    tunnel: Tunnel,
    ends: Ends,
    /// What came out of frames that were not keepalives.
    received: Vec<(Kind, Vec<u8>)>,
    /// Whether a key is taken.
    trusts: bool,
    num_confirmed: usize,
    num_installed: usize,
}

/// Two nodes and the time.
struct Pair {
    sides: [Side; 2],
    now: Instant,
    rng: StdRng,
}

const A: usize = 0;
const B: usize = 1;

impl Side {
    fn new((ours, theirs): (u32, u32), secrets: &[NetworkSecret], rng: &mut StdRng) -> Self {
        let identity = IdentityKey::generate(rng);
        let vip = |number| Vip::from(0x0A07_0000 + number);
        Self {
            endpoint: Endpoint::new(identity, secrets, Some(format!("node-{ours}")), rng),
            tunnel: Tunnel::default(),
            ends: Ends { ours: vip(ours), theirs: vip(theirs) },
            received: Vec::new(),
            trusts: true,
            num_confirmed: 0,
            num_installed: 0,
        }
    }

    fn give(
        &mut self,
        data: &[u8],
        now: Instant,
        rng: &mut StdRng,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let Self { endpoint, tunnel, ends, .. } = self;
        match Message::parse(data).ok_or("no message of version 2")? {
            Message::Opening(opening) => {
                tunnel.handle_opening(&opening, endpoint, *ends, &HELLO, now, rng)?;
            }
            Message::Answer(reply) => {
                if let Some(answer) = tunnel.handle_answer(&reply, endpoint, now)?
                    && self.trusts
                {
                    tunnel.prove(answer, endpoint, now, rng)?;
                }
            }
            Message::Proof(proof) => {
                if let Some(proved) = tunnel.handle_proof(&proof, endpoint, *ends, now, rng)?
                    && self.trusts
                {
                    tunnel.install(proved, endpoint, now);
                    self.num_installed += 1;
                }
            }
            Message::Frame { receiver } => {
                let mut data = data.to_vec();
                let opened = tunnel.handle_frame(receiver, &mut data, now)?;
                self.num_confirmed += usize::from(opened.confirms);
                if opened.kind != Kind::Keepalive {
                    self.received.push((opened.kind, opened.content.to_vec()));
                }
            }
        }
        Ok(())
    }
}

impl Pair {
    fn new() -> Self {
        Self::with_secrets(&[], &[])
    }

    fn with_secrets(of_a: &[NetworkSecret], of_b: &[NetworkSecret]) -> Self {
        let mut rng = StdRng::seed_from_u64(3);
        let sides = [Side::new((2, 3), of_a, &mut rng), Side::new((3, 2), of_b, &mut rng)];
        Self { sides, now: Instant::now(), rng }
    }

    /// A pair with a confirmed session that `A` opened.
    fn open() -> Self {
        let mut pair = Self::new();
        pair.start(A);
        pair.settle();
        assert!(pair.sides.iter().all(|side| side.tunnel.is_confirmed()));
        pair
    }

    /// A pair whose sides take these super-packets, and whose `A` has begun to open.
    fn begin_with(super_packets: [Offloads; 2]) -> Self {
        let mut pair = Self::new();
        pair.sides = pair.sides.map(|side| {
            let taken = super_packets[usize::from(side.ends.ours > side.ends.theirs)];
            Side { endpoint: side.endpoint.with_super_packets(taken), ..side }
        });
        pair.start(A);
        pair
    }

    fn start(&mut self, from: usize) {
        let Side { endpoint, tunnel, ends, .. } = &mut self.sides[from];
        tunnel.open(endpoint, *ends, &HELLO, self.now, &mut self.rng);
    }

    fn poll(&mut self, from: usize) -> Option<Vec<u8>> {
        self.sides[from].tunnel.poll_data()
    }

    fn give(&mut self, to: usize, data: &[u8]) -> Result<(), String> {
        let given = self.sides[to].give(data, self.now, &mut self.rng);
        given.map_err(|error| error.to_string())
    }

    /// Carries DATA to and fro until there is none.
    fn settle(&mut self) {
        for _ in 0..100 {
            let Some((from, data)) = [A, B].iter().find_map(|&i| Some((i, self.poll(i)?))) else {
                return;
            };
            self.give(1 - from, &data).ok();
        }
        panic!("the two never come to rest");
    }

    /// Lets time pass in steps, carrying what the two have to say.
    fn pass(&mut self, duration: Duration) {
        self.pass_quietly(duration, true);
    }

    fn pass_quietly(&mut self, duration: Duration, carried: bool) {
        let end = self.now + duration;
        while self.now < end {
            self.now = (self.now + Duration::from_millis(50)).min(end);
            for i in [A, B] {
                let due = self.sides[i].tunnel.poll_timeout().is_some_and(|at| at <= self.now);
                if due {
                    self.sides[i].tunnel.handle_timeout(self.now, &mut self.rng);
                }
                if self.sides[i].tunnel.needs_opening() {
                    self.start(i);
                }
            }
            if carried {
                self.settle();
            } else {
                while self.poll(A).or_else(|| self.poll(B)).is_some() {}
            }
        }
    }

    fn seal(&mut self, from: usize, content: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = PacketBuf::from(content);
        let tunnel = &mut self.sides[from].tunnel;
        let sealed = tunnel.seal(Kind::Message, None, &mut buffer, self.now);
        assert!(sealed || buffer.content() == content, "nothing is done");
        sealed.then(|| buffer.content().to_vec())
    }

    /// Whether a message passes.
    fn passes(&mut self, from: usize, content: &[u8]) -> bool {
        let Some(data) = self.seal(from, content) else { return false };
        self.give(1 - from, &data).ok();
        let received = self.sides[1 - from].received.pop();
        self.settle();
        received == Some((Kind::Message, content.to_vec()))
    }
}
