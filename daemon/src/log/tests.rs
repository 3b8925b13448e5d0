use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::{Level, debug, error, info, info_span, trace, warn};
use tracing_subscriber::layer::SubscriberExt;

use super::*;

const HUMAN: Style =
    Style { format: LogFormat::Human, for_journal: false, has_colour: false, is_limited: false };
const JSON: Style = Style { format: LogFormat::Json, ..HUMAN };
const JOURNAL: Style = Style { for_journal: true, ..HUMAN };

/// Somebody out there wants to write a line of his own, and to clear the screen.
const NASTY: &str = "a\nERROR all is lost\r\t\u{1b}[2J\u{9b}2J\u{7f}";

struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `say` logs in this style.
fn logged(style: Style, say: impl FnOnce()) -> String {
    let text = Arc::<Mutex<Vec<u8>>>::default();
    let written = Arc::clone(&text);
    let layer = style.layer(move || Writer(Arc::clone(&written)));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
    String::from_utf8(text.lock().unwrap().clone()).unwrap()
}

/// The objects of lines of JSON.
fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

#[test]
fn line_for_people_has_time_level_span_and_fields() {
    let text = logged(HUMAN, || {
        let span = info_span!("session", id = 3, vip = tracing::field::Empty);
        let _entered = span.enter();
        span.record("vip", "7.10.0.2");
        warn!(addr = "192.0.2.1", "session down");
    });
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(time.len() == 27 && time.ends_with('Z'), "{text}");
    let expected = " WARN session{id=3 vip=\"7.10.0.2\"}: session down addr=\"192.0.2.1\"\n";
    assert_eq!(rest, expected);
}

#[test]
fn journal_gets_the_priority_and_no_time() {
    let text = logged(JOURNAL, || {
        error!("one");
        warn!("two");
        info!("three");
        debug!("four");
        trace!("five");
    });
    let expected = "<3>ERROR one\n<4> WARN two\n<6> INFO three\n<7>DEBUG four\n<7>TRACE five\n";
    assert_eq!(text, expected);
    let text = logged(Style { format: LogFormat::Json, ..JOURNAL }, || info!("three"));
    let line = text.strip_prefix("<6>").unwrap();
    assert_eq!(objects(line)[0]["message"], "three");
}

#[test]
fn json_is_one_flat_object_a_line() {
    let text = logged(JSON, || {
        let span = info_span!("session", id = 3, vip = tracing::field::Empty, addr = "x");
        let _entered = span.enter();
        span.record("vip", "7.10.0.2");
        info!(addr = %"192.0.2.1", rx_frames = 5, is_admin = true, "session down");
        warn!("no fields");
    });
    let objects = objects(&text);
    let [first, second] = &objects[..] else { panic!("{text}") };
    let mut flat = first.clone();
    let time = flat.as_object_mut().unwrap().remove("timestamp").unwrap();
    let expected = serde_json::json!({
        "level": "INFO", "message": "session down", "addr": "192.0.2.1", "rx_frames": 5,
        "is_admin": true,
        "span": {"name": "session", "id": 3, "vip": "7.10.0.2", "addr": "x"},
    });
    assert_eq!(flat, expected);
    let form = "0000-00-00T00:00:00.000000Z";
    let time = time.as_str().unwrap().replace(|digit: char| digit.is_ascii_digit(), "0");
    assert_eq!(time, form, "RFC 3339, UTC");
    assert_eq!((&second["level"], &second["message"]), (&"WARN".into(), &"no fields".into()));
}

#[test]
fn whatever_is_logged_is_one_line_without_control_characters() {
    let colourful = Style { has_colour: true, ..HUMAN };
    for style in [HUMAN, JSON, JOURNAL, colourful] {
        let text = logged(style, || {
            let _entered = info_span!("session", name = %NASTY, other = NASTY).entered();
            info!(display = %NASTY, debug = ?NASTY, text = NASTY, "{NASTY}");
        });
        let line = text.strip_suffix('\n').unwrap();
        let line = if style.has_colour { without_colours(line) } else { line.to_owned() };
        assert!(!line.contains(char::is_control), "{style:?}: {line:?}");
        if style.format == LogFormat::Json {
            let object = &objects(&text)[0];
            for field in ["display", "text", "message"] {
                assert_eq!(object[field], NASTY, "nothing is lost");
            }
        }
    }
}

/// An error with what it says, and its cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Because(&'static str, #[source] Option<Box<Self>>);

#[test]
fn causes_of_errors_are_told_in_both_formats() {
    let alone = Because("the disk is full", None);
    let middle = Because(NASTY, Some(Box::new(Because("\"the disk\" is full", None))));
    let chain = Because("members are not stored", Some(Box::new(middle)));
    let say = || {
        let (reason, error): (&(dyn Error + 'static), &(dyn Error + 'static)) = (&chain, &alone);
        let _entered = info_span!("session", id = 3).entered();
        warn!(reason, error, "session down");
    };
    let text = logged(HUMAN, say);
    assert!(text.contains("reason=members are not stored reason.sources=[a\\n"), "{text}");
    assert!(text.ends_with("\"the disk\" is full] error=the disk is full\n"), "{text}");
    let text = logged(JSON, say);
    let object = &objects(&text)[0];
    assert_eq!(object["reason"], "members are not stored");
    assert_eq!(object["reason.sources"], serde_json::json!([NASTY, "\"the disk\" is full"]));
    assert_eq!(object["error"], "the disk is full");
    assert_eq!(object.get("error.sources"), None, "it has no cause");
    assert_eq!(object["span"]["id"], 3);
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains(char::is_control), "{line:?}");
}

/// `line` without the sequences by which the library sets colours; any other one stays.
fn without_colours(line: &str) -> String {
    let mut rest = line.to_owned();
    for code in ["0", "1", "2", "3", "32"] {
        rest = rest.replace(&format!("\u{1b}[{code}m"), "");
    }
    rest
}

#[test]
fn daemon_writes_so_many_lines_of_a_kind_and_tells_of_the_rest() {
    let say = |count: usize, level: Level| {
        (0..count).for_each(|_| match level {
            Level::INFO => info!("somebody came"),
            _ => debug!("a decision"),
        });
        (0..count).for_each(|_| info!(audit = "left", "somebody left"));
    };
    let count = |text: &str, words: &str| text.lines().filter(|line| line.contains(words)).count();
    let text = logged(HUMAN.limited(), || say(500, Level::INFO));
    let came = count(&text, "somebody came");
    // The clock goes on meanwhile.
    assert!((100..200).contains(&came), "{came}");
    assert_eq!(count(&text, "somebody left"), 500, "the audit is whole");
    let text = logged(HUMAN.limited(), || say(500, Level::DEBUG));
    assert_eq!(count(&text, "a decision"), 500, "somebody asked for it");
    let text = logged(HUMAN, || say(500, Level::INFO));
    assert_eq!(count(&text, "somebody came"), 500, "a command says what it has to say");
}

#[test]
fn number_of_unlogged_lines_is_a_field_in_both_formats() {
    for (style, end) in [(HUMAN, " num_unlogged=7"), (JSON, ",\"num_unlogged\":7}")] {
        let mut line = logged(style, || {
            let _entered = info_span!("session", id = 3).entered();
            info!("up");
        });
        line.pop();
        Lines::new(style).tell_unlogged(&mut line, 7).unwrap();
        assert!(line.ends_with(end), "{line}");
        assert!(style.format == LogFormat::Human || objects(&line)[0]["num_unlogged"] == 7);
    }
}
