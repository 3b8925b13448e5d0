//! Handshakes of version 2 between two nodes, whom two strangers and somebody between them bother.
//!
//! Nobody but the two gets a session, and they get one: within ten seconds after it has ended.
//!
//! The steps, by their code modulo 14. A side is `A`, `B`, or who says to them that he is the other
//! one; a record is anything that was sent so far, 0 the last of it:
//!
//! | code | what follows | what happens |
//! |---|---|---|
//! | 0 | side, length u8, bytes | the bytes come as DATA |
//! | 1 | record, side | the record comes to a side, which may be its sender |
//! | 2 | record, offset u16, mask u8, side | … with one byte changed |
//! | 3 | record, length u8, side | … cut to this length |
//! | 4 | record, length u8, bytes, side | … with these bytes behind it |
//! | 5 | record, record, offset u16, side | … and from the offset on like another one |
//! | 6 | message u8, side, length u8, bytes | DATA that begins like message 1, 2 or 3 comes |
//! | 7 | milliseconds u16 | time passes |
//! | 8 | side | it opens by itself; a stranger's opening comes to the one that he bothers |
//! | 9 | side, flag u8 | what it has to send is carried (bit 0) or lost |
//! | 10 | side | it forgets its tunnel, as after a reconnect |
//! | 11 | side | it restarts, with the same key |
//! | 12 | side | it gives up its opening |
//! | 13 | side, length u8 | it seals a message, which is not delivered |

use std::time::Duration;

use dosp_proto::tunnel::v1::HELLO_LEN;
use dosp_proto::tunnel::v2::Kind;

use crate::Input;
use crate::pair_v2::{Outcome, PairV2};

const MAX_STEPS: usize = 64;

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut pair = PairV2::new();
    for _ in 0..MAX_STEPS {
        let Some(code) = input.step() else { break };
        step(code % 14, &mut input, &mut pair);
    }
    pair.recover();
}

fn step(code: u8, input: &mut Input<'_>, pair: &mut PairV2) {
    match code {
        0 => {
            let side = side(input);
            let outcome = pair.give(side, input.counted_bytes());
            assert_ne!(outcome, Outcome::Opened, "nobody else has the keys");
        }
        1..6 => {
            let data = pair.record(code, input);
            pair.give(side(input), &data);
        }
        6 => {
            let (message, side) = (input.byte() % 3 + 1, side(input));
            let hello_len = if message == 3 { 1 } else { HELLO_LEN };
            let hello = &[0x15; HELLO_LEN][..hello_len];
            let data = [hello, b"DSP2", &[message], input.counted_bytes()].concat();
            pair.give(side, &data);
        }
        7 => pair.pass(Duration::from_millis(input.number().into()), false),
        8 => {
            let side = side(input);
            pair.open(side);
            if side >= 2 {
                pair.carry(side, true);
            }
        }
        9 => {
            let side = side(input);
            pair.carry(side, input.byte() & 1 == 1);
        }
        10 => pair.discard(side(input)),
        11 => pair.restart(side(input)),
        12 => pair.give_up_opening(side(input)),
        _ => {
            let side = side(input);
            pair.seal(side, Kind::Message, input.byte().into());
        }
    }
}

fn side(input: &mut Input<'_>) -> usize {
    usize::from(input.byte() % 4)
}
