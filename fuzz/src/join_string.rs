//! Join strings: any text is read or refused, and what was read is written and read as the same.
//!
//! The first byte tells what the others are: text (even), or content to which the target puts what
//! stands around it (odd), which no fuzzer would guess.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dosp_proto::join_string::JoinString;
use sha2::{Digest, Sha256};

use crate::Input;

const LABEL: &[u8] = b"dosp-join-string-v1";
const CHECKSUM_LEN: usize = 4;
const MAX_ADDRS: usize = 8;

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let is_content = input.byte() & 1 == 1;
    let text = match is_content {
        true => text_of(input.rest()),
        false => String::from_utf8_lossy(input.rest()).into_owned(),
    };
    let Ok(join) = text.parse::<JoinString>() else { return };
    assert!(join.addrs.len() <= MAX_ADDRS);
    let written = join.to_text();
    assert_eq!(written.parse(), Ok(join));
    assert!(written.len() <= text.trim().len(), "it says no more than was read");
}

fn text_of(content: &[u8]) -> String {
    let digest = Sha256::new().chain_update(LABEL).chain_update(content).finalize();
    let encoded = URL_SAFE_NO_PAD.encode([content, &digest[..CHECKSUM_LEN]].concat());
    format!("dosp1:{encoded}")
}
