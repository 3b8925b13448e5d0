//! Two open tunnels of version 2 and somebody between them: nothing forged opens, nothing opens twice,
//! no counter is used twice, and the tunnel goes on.
//!
//! The first byte says which of the two opened it. Then the steps, by their code modulo 15; a record
//! is anything that was sent so far, 0 the last of it:
//!
//! | code | what follows | what happens |
//! |---|---|---|
//! | 0 | side, number u8, length u8 | so many messages are sealed, and not delivered |
//! | 1 | record, side | the record comes to a side, which may be its sender |
//! | 2 | record, offset u16, mask u8, side | … with one byte changed |
//! | 3 | record, length u8, side | … cut to this length |
//! | 4 | record, length u8, bytes, side | … with these bytes behind it |
//! | 5 | record, record, offset u16, side | … and from the offset on like another one |
//! | 6 | side, length u8, bytes | the bytes come as DATA |
//! | 7 | side, kind u8, length u8, bytes | a frame of any kind is sealed, and not delivered |
//! | 8 | number u8, side | so many records come, the newest first |
//! | 9 | side, flag u8 | handshakes and signs of life are carried (bit 0) or lost |
//! | 10 | seconds u8, flag u8 | time passes, and what the two have to say is carried (bit 0) or waits |
//! | 11 | milliseconds u16 | time passes, and they wait |
//! | 12 | side | it opens by itself |
//! | 13 | side | it forgets its tunnel, as after a reconnect |
//! | 14 | side | it restarts, with the same key |

use std::time::Duration;

use dosp_proto::tunnel::v2::Kind;

use crate::Input;
use crate::pair_v2::{A, B, PairV2};

const MAX_STEPS: usize = 64;

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut pair = PairV2::open_by(input.side());
    // As long as nobody but the one between them did anything.
    let mut undisturbed = true;
    for _ in 0..MAX_STEPS {
        let Some(code) = input.step() else { break };
        let code = code % 15;
        undisturbed &= code < 10;
        match code {
            0..10 => traffic(code, &mut input, &mut pair),
            10 => {
                let seconds = Duration::from_secs(input.byte().into());
                pair.pass(seconds, input.byte() & 1 == 1);
            }
            11 => pair.pass(Duration::from_millis(input.number().into()), false),
            12 => pair.open(input.side()),
            13 => pair.discard(input.side()),
            _ => pair.restart(input.side()),
        }
    }
    if undisturbed {
        let passed = [A, B].map(|from| pair.message_passes(from));
        assert_eq!(passed, [true; 2], "{pair:?}");
    }
    pair.recover();
}

fn traffic(code: u8, input: &mut Input<'_>, pair: &mut PairV2) {
    match code {
        0 => {
            let (from, number, len) = (input.side(), input.byte(), input.byte());
            for _ in 0..number % 80 {
                pair.seal(from, Kind::Packet, len.into());
            }
        }
        1..6 => {
            let data = pair.record(code, input);
            pair.give(input.side(), &data);
        }
        6 => {
            let side = input.side();
            pair.give(side, input.counted_bytes());
        }
        7 => {
            let (side, kind) = (input.side(), usize::from(input.byte()));
            let kind = Kind::ALL[kind % Kind::ALL.len()];
            pair.seal_content(side, kind, input.counted_bytes().to_vec());
        }
        8 => {
            let (number, to) = (usize::from(input.byte()), input.side());
            let newest: Vec<_> = pair.sent.iter().rev().take(number).cloned().collect();
            for sent in newest.iter().filter(|sent| sent.from != to) {
                pair.give(to, &sent.data);
            }
        }
        _ => {
            let side = input.side();
            pair.carry(side, input.byte() & 1 == 1);
        }
    }
}
