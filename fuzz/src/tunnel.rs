//! Two open tunnels and somebody between them: nothing forged opens, and the tunnel goes on.
//!
//! The first byte says how the tunnels came to be, see [`open_pair`]. Then the steps, by their code
//! modulo 12; a record is anything that was sent so far:
//!
//! | code | what follows | what happens |
//! |---|---|---|
//! | 0 | side, number u8, length u8 | so many messages are sealed, and not delivered |
//! | 1 | record, side | the record comes to a side, which may be its sender |
//! | 2 | record, side, offset u16, mask u8 | … with one byte changed |
//! | 3 | record, side, length u8 | … cut to this length |
//! | 4 | record, side, length u8, bytes | … with these bytes behind it |
//! | 5 | record, side, record, offset u16 | … and from the offset on like another one |
//! | 6 | side, length u8, bytes | the bytes come as DATA |
//! | 7 | side | the hello of a stranger comes |
//! | 8 | milliseconds u16 | time passes |
//! | 9 | flag u8 | handshakes are carried (bit 0) or lost |
//! | 10 | side | it opens by itself |
//! | 11 | side | it forgets its keys, as after a reconnect |

use std::time::Duration;

use crate::Input;
use crate::pair::{Outcome, Pair};

const MAX_STEPS: usize = 64;
/// So many frames may be lost in a row.
const MAX_LOST: usize = 63;

/// What the steps have done to a pair.
struct Wire {
    pair: Pair,
    /// Whether a handshake replaced somebody's keys: then the sides need time to agree again.
    disturbed: bool,
    /// For each sender: how many of its frames came to nothing since one opened.
    num_lost: [usize; 2],
}

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let pair = open_pair(input.byte());
    let mut wire = Wire { pair, disturbed: false, num_lost: [0; 2] };
    for _ in 0..MAX_STEPS {
        let Some(code) = input.step() else { break };
        match code % 12 {
            code @ 1..6 => wire.deliver_record(code, &mut input),
            code => wire.act(code, &mut input),
        }
    }
    for from in [0, 1] {
        if !wire.disturbed && wire.num_lost[from] <= MAX_LOST {
            assert!(wire.pair.message_passes(from), "from {from}: {:?}", wire.pair.sides);
        }
    }
    wire.pair.recover();
}

/// An open pair: one side opened (0), both did and their openings crossed (1), or one of them did
/// after it had forgotten an earlier tunnel (2).
fn open_pair(way: u8) -> Pair {
    let mut pair = Pair::new();
    pair.open(0);
    if way % 3 == 1 {
        pair.open(1);
        let (first, second) = (pair.poll(0).unwrap(), pair.poll(1).unwrap());
        pair.give(1, &first);
        pair.give(0, &second);
    }
    pair.settle();
    if way % 3 == 2 {
        pair.pass(Duration::from_secs(1));
        pair.sides[0].discard();
        pair.open(0);
        pair.settle();
    }
    assert!(pair.sides.iter().all(|side| side.is_open()));
    pair
}

impl Wire {
    fn act(&mut self, code: u8, input: &mut Input<'_>) {
        match code {
            0 => self.seal(input),
            6 => {
                let side = input.side();
                self.give(side, input.counted_bytes());
            }
            7 => {
                let hello = self.pair.strangers_hello();
                self.give(input.side(), &hello);
            }
            8 => self.pair.pass(Duration::from_millis(input.number().into())),
            9 => self.carry_handshakes(input.byte() & 1 == 1),
            10 => self.pair.open(input.side()),
            _ => {
                self.pair.sides[input.side()].discard();
                self.disturbed = true;
            }
        }
    }

    fn seal(&mut self, input: &mut Input<'_>) {
        let (from, number, len) = (input.side(), input.byte(), input.byte());
        for _ in 0..number % 80 {
            self.num_lost[from] += usize::from(self.pair.seal(from, len.into()));
        }
    }

    fn deliver_record(&mut self, code: u8, input: &mut Input<'_>) {
        let mut data = self.record(input);
        let to = input.side();
        match code {
            2 => {
                let at = usize::from(input.number()) % data.len();
                data[at] ^= input.byte();
            }
            3 => data.truncate(input.byte().into()),
            4 => data.extend_from_slice(input.counted_bytes()),
            5 => {
                let other = self.record(input);
                let at = usize::from(input.number()) % data.len().min(other.len());
                data.splice(at.., other[at..].iter().copied());
            }
            _ => {}
        }
        self.give(to, &data);
    }

    fn record(&self, input: &mut Input<'_>) -> Vec<u8> {
        let sent = &self.pair.sent;
        sent[usize::from(input.byte()) % sent.len()].data.clone()
    }

    fn carry_handshakes(&mut self, deliver: bool) {
        for from in [0, 1] {
            while let Some(data) = self.pair.poll(from) {
                if deliver {
                    self.give(1 - from, &data);
                }
            }
        }
    }

    fn give(&mut self, to: usize, data: &[u8]) {
        let was_opening = self.pair.sides[to].opening_since().is_some();
        let outcome = self.pair.give(to, data);
        self.disturbed |= was_opening && outcome == Outcome::Handshake;
        if outcome == Outcome::Opened {
            // Which frame it was decides how many are between it and the next.
            let from = 1 - to;
            let sent = self.pair.sent.iter().rev().filter(|sent| sent.from == from);
            self.num_lost[from] = sent.take_while(|sent| sent.data != data).count();
        }
    }
}
