//! `Tunnel::handle_data` with arbitrary DATA at arbitrary times, on a tunnel that was never open.
//!
//! The DATA is somebody's who has no keys: nothing of it opens. Answers are bounded. Afterwards a
//! real peer still gets a tunnel.
//!
//! The steps, by their code modulo 9:
//!
//! | code | what follows | what happens |
//! |---|---|---|
//! | 0 | length u8, bytes | the bytes come as DATA |
//! | 1 | clock's error i16, session id 8, key 32 | a hello made of these comes |
//! | 2 | milliseconds u16 | time passes |
//! | 3 | | it opens by itself |
//! | 4 | | the hello of a stranger comes |
//! | 5 | which u8, mask u8 | something that it sent comes back, its second byte changed by the mask |
//! | 6 | which u8 | something that came comes again |
//! | 7 | | it forgets its keys |
//! | 8 | length u8 | it seals a message |

use std::time::Duration;

use dosp_proto::tunnel::v1::{HELLO_LEN, OVERHEAD_LEN};

use crate::Input;
use crate::pair::{MARK, Outcome, Pair, UNIX_TIME};

const MAX_STEPS: usize = 64;
/// The side that all this happens to.
const VICTIM: usize = 0;

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut pair = Pair::new();
    let mut came = Vec::new();
    for _ in 0..MAX_STEPS {
        let Some(code) = input.step() else { break };
        let data = match code % 9 {
            0 => Some(input.counted_bytes().to_vec()),
            1 => Some(made_hello(&mut input)),
            4 => Some(pair.strangers_hello()),
            5 => sent_by_itself(&mut input, &pair),
            6 => nth(&came, input.byte()),
            code => {
                act(code, &mut input, &mut pair);
                None
            }
        };
        let num_data = usize::from(data.is_some());
        if let Some(data) = data {
            let outcome = pair.give(VICTIM, &data);
            assert_ne!(outcome, Outcome::Opened, "nobody else has the keys");
            came.push(data);
        }
        check_answers(num_data, &mut pair);
    }
    pair.recover();
}

fn act(code: u8, input: &mut Input<'_>, pair: &mut Pair) {
    match code {
        2 => pair.pass(Duration::from_millis(input.number().into())),
        3 => pair.open(VICTIM),
        7 => pair.sides[VICTIM].discard(),
        _ => drop(pair.seal(VICTIM, input.byte().into())),
    }
}

fn made_hello(input: &mut Input<'_>) -> Vec<u8> {
    let error = i64::from(i16::from_be_bytes(input.array()));
    let unix_time = UNIX_TIME.saturating_add_signed(error);
    let session_id: [u8; 8] = input.array();
    let key: [u8; 32] = input.array();
    [&[MARK][..], &session_id, &unix_time.to_be_bytes(), &key].concat()
}

fn sent_by_itself(input: &mut Input<'_>, pair: &Pair) -> Option<Vec<u8>> {
    let sent: Vec<_> = pair.sent.iter().map(|sent| sent.data.clone()).collect();
    let mut data = nth(&sent, input.byte())?;
    let mask = input.byte();
    if let Some(byte) = data.get_mut(1) {
        *byte ^= mask;
    }
    Some(data)
}

fn nth(list: &[Vec<u8>], which: u8) -> Option<Vec<u8>> {
    list.get(usize::from(which) % list.len().max(1)).cloned()
}

/// One DATA is answered by a hello and an empty frame at the most, and so is an opening's repetition.
fn check_answers(num_data: usize, pair: &mut Pair) {
    let mut len = 0;
    while let Some(data) = pair.poll(VICTIM) {
        len += data.len();
    }
    // An opening that DATA started, or a repeated one, and what DATA itself asked for.
    assert!(len <= HELLO_LEN + num_data * (HELLO_LEN + OVERHEAD_LEN), "{len} bytes");
}
