//! The block of one agent in the text of a hosts file, without I/O.
//!
//! ```text
//! # BEGIN dosp dosp0: made by dosp-agent, which replaces and removes it
//! 10.1.2.3 bob.dosp bob
//! 10.2.2.3 carol.berlin.dosp
//! # END dosp dosp0
//! ```
//!
//! The text is bytes, for it is other people's. A line is ours only if it stands behind our BEGIN and
//! has the form of an entry: a block that lost its end in a crash takes nothing else with it.

use std::collections::{BTreeMap, BTreeSet};

use dosp_proto::label::{Label, is_name};
use dosp_proto::vip::Vip;

use crate::peer_name::PeerName;

const BEGIN: &str = "# BEGIN dosp ";
const END: &str = "# END dosp ";
const DOMAIN: &str = ".dosp";
/// Programs rely on it, also where the file does not say it.
const LOCALHOST: &[u8] = b"localhost";

/// `text` with the names `entries` in one block at its end, in place of the block that the agent with
/// the tag `tag` had. A name is not given without its domain where the rest of the text has it
/// already, where it is `own`, this host's, or where it is one of another hub's network. Names for which
/// there is no room in `max_len` bytes are left out; their number is returned too. Without entries there
/// is no block.
#[must_use]
pub fn with_block(
    text: &[u8],
    tag: &str,
    entries: &[(Vip, PeerName)],
    own: Option<&Label>,
    max_len: usize,
) -> (Vec<u8>, usize) {
    let mut out = without_block(text, tag);
    let mut taken = names(&out);
    taken.insert(LOCALHOST.to_vec());
    taken.extend(own.map(|own| own.as_str().into()));
    let newline = if out.last().is_some_and(|last| *last != b'\n') { "\n" } else { "" };
    let begin =
        format!("{newline}{BEGIN}{tag}: made by dosp-agent, which replaces and removes it\n");
    let end = format!("{END}{tag}\n");
    let lines = lines(entries, &taken);
    let lines = with_room(lines, out.len() + begin.len() + end.len(), max_len);
    if !lines.is_empty() {
        out.extend(begin.into_bytes());
        out.extend(lines.iter().flat_map(|line| line.text.bytes()));
        out.extend(end.into_bytes());
    }
    (out, entries.len() - lines.len())
}

/// One entry.
struct Line {
    /// When it gets its room: those of the own network first, then the first of each other network, then
    /// the second of each.
    turn: usize,
    /// Where it stands.
    place: usize,
    text: String,
}

fn lines(entries: &[(Vip, PeerName)], taken: &BTreeSet<Vec<u8>>) -> Vec<Line> {
    let mut turns = BTreeMap::<_, usize>::new();
    let lines = entries.iter().enumerate().map(|(place, (vip, name))| {
        let turn = name.hub.as_ref().map_or(0, |hub| {
            let turn = turns.entry(hub).or_default();
            *turn += 1;
            *turn
        });
        // `carol.berlin` alone may be a name of the Internet's: the hub that is called `berlin` today could
        // be called `com` tomorrow.
        let is_taken = name.hub.is_some() || taken.contains(name.name.as_str().as_bytes());
        let short = if is_taken { String::new() } else { format!(" {name}") };
        Line { turn, place, text: format!("{vip} {name}{DOMAIN}{short}\n") }
    });
    lines.collect()
}

/// Those that there is room for, in a text of `max_len` bytes of which `len` are taken. Names of other
/// networks leave half of it free: for lines of people and other agents, which must not find it full.
fn with_room(mut lines: Vec<Line>, mut len: usize, max_len: usize) -> Vec<Line> {
    lines.sort_unstable_by_key(|line| (line.turn, line.place));
    lines.retain(|line| {
        let max_len = if line.turn == 0 { max_len } else { max_len / 2 };
        let has_room = len + line.text.len() <= max_len;
        len += if has_room { line.text.len() } else { 0 };
        has_room
    });
    lines.sort_unstable_by_key(|line| line.place);
    lines
}

/// `text` without the block of the agent with the tag `tag`; every other line is as it was.
#[must_use]
pub fn without_block(text: &[u8], tag: &str) -> Vec<u8> {
    let (begin, end) = (format!("{BEGIN}{tag}:"), format!("{END}{tag}"));
    let mut out = Vec::with_capacity(text.len());
    let mut inside = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let words = line.trim_ascii_end();
        let is_begin = words.starts_with(begin.as_bytes());
        let is_end = inside && words == end.as_bytes();
        let is_ours = is_begin || is_end || (inside && is_entry(words));
        if is_begin {
            inside = true;
        } else if is_end || words.starts_with(BEGIN.as_bytes()) {
            inside = false;
        }
        if !is_ours {
            out.extend(line);
        }
    }
    out
}

/// Whether `line` has the form of those between BEGIN and END.
fn is_entry(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ').map(|word| str::from_utf8(word).ok());
    let (Some(Some(vip)), Some(Some(name))) = (words.next(), words.next()) else { return false };
    let short_fits = words.next().is_none_or(|short| short.is_some_and(is_name));
    let name_fits = name.strip_suffix(DOMAIN).is_some_and(|name| name.parse::<PeerName>().is_ok());
    vip.parse::<Vip>().is_ok() && name_fits && short_fits && words.next().is_none()
}

/// All names that `text` has, in lower case.
fn names(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| line.split(|byte| *byte == b'#').next());
    let words = |line: &[u8]| -> Vec<_> {
        let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.skip(1).map(<[u8]>::to_ascii_lowercase).collect()
    };
    lines.flat_map(words).collect()
}
