//! The handshake between an agent and its hub, and the words after it, with somebody between them who
//! sees, changes and makes up messages, and who has seen an earlier handshake of the two.
//!
//! Each of the three messages comes as the next step says. Both get a channel only where all of them
//! came as they were sent; then the two ends are of one channel, and know each other's key. The steps
//! after that are words, which open only in their order and unchanged.
//!
//! | code modulo 6 | what follows | what comes |
//! |---|---|---|
//! | 0 | | what was sent |
//! | 1 | offset u16, mask u8 | … with one byte changed |
//! | 2 | length u8 | … cut to this length |
//! | 3 | length u8, bytes | … with these bytes behind it |
//! | 4 | length u8, bytes | these bytes |
//! | 5 | number u8 | something that was sent before, 0 the last of it |

use dosp_proto::frame::HEADER_LEN;
use dosp_proto::identity::IdentityKey;
use dosp_proto::member::{Answerer, Channel, Control, Dialler, Purpose};
use dosp_proto::message::{Hsk, encode_greeting};
use dosp_proto::vip::Vip;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::Input;

const MAX_WORDS: usize = 32;

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut between = Between::new();
    if between.handshake(&mut Input::new(&[])).is_none() {
        panic!("an undisturbed handshake fails");
    }
    let Some((mut agent, mut hub)) = between.handshake(&mut input) else { return };
    for _ in 0..MAX_WORDS {
        let Some(side) = input.step() else { break };
        let (from, to) = match side & 1 {
            0 => (&mut agent, &mut hub),
            _ => (&mut hub, &mut agent),
        };
        between.word(from, to, &mut input);
    }
}

/// The two, and what they have sent.
struct Between {
    agent: IdentityKey,
    hub: IdentityKey,
    greeting: Vec<u8>,
    sent: Vec<Vec<u8>>,
    rng: StdRng,
}

impl Between {
    fn new() -> Self {
        let hsk = Hsk { token: Hsk::DOSP_NET, ..Hsk::OURS };
        Self {
            agent: IdentityKey::from_bytes(&[0x41; 32]),
            hub: IdentityKey::from_bytes(&[0x42; 32]),
            greeting: encode_greeting(Vip::NONE, hsk),
            sent: Vec::new(),
            rng: StdRng::seed_from_u64(1),
        }
    }

    /// The channels of both, where both get one.
    fn handshake(&mut self, input: &mut Input<'_>) -> Option<(Channel, Channel)> {
        let started = Dialler::start(Purpose::Join, &self.agent, &self.greeting, &mut self.rng);
        let (dialler, frame) = started.expect("a key of use");
        let (message_1, first) = self.pass(&frame, input);
        let answered = Answerer::answer(&self.hub, &self.greeting, &message_1, &mut self.rng);
        let (answerer, frame) = answered.ok()?;
        let (message_2, second) = self.pass(&frame, input);
        let introduced = dialler.read_answer(&self.agent, &message_2).ok()?;
        assert!(first && second, "a changed message is taken for the hub's");
        assert_eq!(introduced.hub_key(), self.hub.public());
        let (frame, mut agent) = introduced.finish().expect("it was answered");
        let (message_3, third) = self.pass(&frame, input);
        let (key, mut hub) = answerer.finish(&message_3).ok()?;
        assert!(third, "a changed message is taken for the agent's");
        assert_eq!(key, *self.agent.public());
        for (from, to) in [(0, 1), (1, 0)] {
            let ends = [&mut agent, &mut hub];
            let frame = sealed(ends[from]);
            assert_eq!(ends[to].opener.open(&frame), Ok(Control::Ping), "the two ends disagree");
        }
        Some((agent, hub))
    }

    fn word(&mut self, from: &mut Channel, to: &mut Channel, input: &mut Input<'_>) {
        let mut frame = vec![0; HEADER_LEN];
        frame.extend(sealed(from));
        loop {
            let (came, is_genuine) = self.pass(&frame, input);
            assert_eq!(to.opener.open(&came).is_ok(), is_genuine, "forged, replayed or reflected");
            if is_genuine {
                return;
            }
            // What does not open changes nothing: the word itself still does.
            self.sent.pop();
        }
    }

    /// What comes of a frame that one of them sent, and whether that is what was sent.
    fn pass(&mut self, frame: &[u8], input: &mut Input<'_>) -> (Vec<u8>, bool) {
        let body = frame[HEADER_LEN..].to_vec();
        self.sent.push(body.clone());
        let mut came = body.clone();
        match input.byte() % 6 {
            1 => {
                let (at, mask) = (usize::from(input.number()) % came.len(), input.byte());
                came[at] ^= mask;
            }
            2 => came.truncate(input.byte().into()),
            3 => came.extend_from_slice(input.counted_bytes()),
            4 => came = input.counted_bytes().to_vec(),
            5 => {
                let number = usize::from(input.byte()) % self.sent.len();
                came.clone_from(&self.sent[self.sent.len() - 1 - number]);
            }
            _ => {}
        }
        let is_genuine = came == body;
        (came, is_genuine)
    }
}

/// The body of a sealed PING.
fn sealed(channel: &mut Channel) -> Vec<u8> {
    let mut frame = Vec::new();
    channel.sealer.seal(&Control::Ping, &mut frame);
    frame.split_off(HEADER_LEN)
}
