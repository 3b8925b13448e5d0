//! The configuration file: raw TOML into checked [`Settings`].

mod peers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dosp_proto::frame;
use dosp_transport::congestion::Congestion;
use serde::Deserialize;
use toml::de::DeTable;

use super::{
    ConfigError, Settings, ValueError, check_max_clients, check_max_frame_len, chosen_listen,
    parse_advertise, parse_format, parse_level, parse_listen, parse_network,
};
use crate::functions::{Allow, Program};
use peers::RawPeer;

/// The commented example; without the comment signs it says what the defaults say.
pub const EXAMPLE: &str = include_str!("../../server.example.toml");

/// All keys, for hints.
pub(super) const KEYS: [&str; 19] = [
    "listen",
    "network",
    "max_clients",
    "max_frame_len",
    "congestion",
    "compression",
    "builtin_functions",
    "functions",
    "admin_token_file",
    "admin_remote",
    "state",
    "closed",
    "name",
    "advertise",
    "peer",
    "socket",
    "metrics",
    "log",
    "log_format",
];

/// A frame is held in memory as a whole, once at its reader and twice at its receiver's queue.
pub(super) const MAX_MAX_FRAME_LEN: usize = 64 * 1024 * 1024;

/// A client waits for the answer.
const MAX_TIMEOUT_S: u32 = 300;

/// A key that needs more changes than this to become another, or than half of that one's letters, was not meant
/// as that one.
const MAX_TYPOS: usize = 3;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    listen: Option<Vec<String>>,
    network: Option<String>,
    max_clients: Option<usize>,
    max_frame_len: Option<usize>,
    congestion: Option<Congestion>,
    compression: Option<bool>,
    builtin_functions: Option<bool>,
    functions: Option<BTreeMap<String, RawProgram>>,
    admin_token_file: Option<PathBuf>,
    admin_remote: Option<bool>,
    state: Option<PathBuf>,
    closed: Option<bool>,
    name: Option<String>,
    advertise: Option<Vec<String>>,
    peer: Option<Vec<RawPeer>>,
    socket: Option<PathBuf>,
    metrics: Option<String>,
    log: Option<String>,
    log_format: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProgram {
    exec: Vec<String>,
    #[serde(default = "default_timeout_s")]
    timeout_s: u32,
    #[serde(default = "default_max_output_len")]
    max_output_len: usize,
    #[serde(default)]
    allow: Allow,
}

fn default_timeout_s() -> u32 {
    5
}

fn default_max_output_len() -> usize {
    64 * 1024
}

impl RawProgram {
    fn check(self) -> Result<Program, ValueError> {
        if self.exec.first().is_none_or(String::is_empty) {
            return Err(ValueError::NoProgram);
        }
        if !(1..=MAX_TIMEOUT_S).contains(&self.timeout_s) {
            return Err(ValueError::Timeout { timeout_s: self.timeout_s, max: MAX_TIMEOUT_S });
        }
        if self.max_output_len > frame::MIN_MAX_BODY_LEN {
            return Err(ValueError::OutputLen { max: frame::MIN_MAX_BODY_LEN });
        }
        let timeout = Duration::from_secs(self.timeout_s.into());
        let Self { exec, max_output_len, allow, .. } = self;
        Ok(Program { exec, timeout, max_output_len, allow })
    }
}

fn check_functions(
    raw: BTreeMap<String, RawProgram>,
) -> Result<BTreeMap<String, Program>, ValueError> {
    raw.into_iter().map(|(name, program)| Ok((name, program.check()?))).collect()
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, with line and key.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::from_toml(&text, path)
    }

    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// What is wrong with it, with line and key.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let source = Source { text, path };
        let table = DeTable::parse(text).map_err(|error| source.syntax(&error, None))?;
        let table = table.get_ref();
        source.check_keys(table, &KEYS)?;
        peers::check_keys(source, table)?;
        let raw: Raw = toml::from_str(text).map_err(|error| source.syntax(&error, Some(table)))?;

        let check = Check { source, table };
        Ok(Self {
            listen: check.value("listen", raw.listen, |texts| {
                let addrs = texts.iter().map(|text| parse_listen(text));
                let addrs: Vec<_> = addrs.collect::<Result<_, _>>()?;
                if addrs.is_empty() {
                    return Err(ValueError::NoListener);
                }
                Ok(chosen_listen(&addrs))
            })?,
            network: check.value("network", raw.network, |text| parse_network(&text))?,
            max_clients: check.value("max_clients", raw.max_clients, check_max_clients)?,
            max_frame_len: check.value("max_frame_len", raw.max_frame_len, check_max_frame_len)?,
            congestion: raw.congestion,
            compression: raw.compression,
            builtin_functions: raw.builtin_functions,
            functions: check.value("functions", raw.functions, check_functions)?,
            admin_token_file: raw.admin_token_file,
            admin_remote: raw.admin_remote,
            state: raw.state,
            closed: raw.closed,
            name: check.value("name", raw.name.filter(|name| !name.is_empty()), |name| {
                Ok(name.parse()?)
            })?,
            advertise: check.value("advertise", raw.advertise, |texts| {
                texts.iter().map(|text| parse_advertise(text)).collect()
            })?,
            peers: peers::read(source, table, raw.peer)?,
            socket: raw.socket,
            metrics: check.value(
                "metrics",
                raw.metrics.filter(|addr| !addr.is_empty()),
                |addr| parse_listen(&addr),
            )?,
            log: check.value("log", raw.log, |text| parse_level(&text))?,
            log_format: check.value("log_format", raw.log_format, |text| parse_format(&text))?,
        })
    }
}

#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        before.filter(|&&byte| byte == b'\n').count() + 1
    }

    fn syntax(&self, error: &toml::de::Error, table: Option<&DeTable<'_>>) -> ConfigError {
        let at = error.span().unwrap_or_default().start;
        ConfigError::Syntax {
            path: self.path.to_owned(),
            line: self.line(at),
            key: table.and_then(|table| peers::key_at(table, at).or_else(|| key_at(table, at))),
            message: error.message().to_owned(),
        }
    }

    fn check_keys(
        &self,
        table: &DeTable<'_>,
        known: &'static [&'static str],
    ) -> Result<(), ConfigError> {
        let unknown = table.keys().find(|key| !known.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown else { return Ok(()) };
        Err(ConfigError::UnknownKey {
            path: self.path.to_owned(),
            line: self.line(key.span().start),
            key: key.get_ref().to_string(),
            nearest: nearest_key(key.get_ref(), known),
            known,
        })
    }
}

/// The key whose value is at `at`.
fn key_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    let mut entries = table.iter();
    let entry = entries.find(|(_, value)| value.span().contains(&at));
    entry.map(|(key, _)| key.get_ref().to_string())
}

struct Check<'a> {
    source: Source<'a>,
    table: &'a DeTable<'a>,
}

impl Check<'_> {
    fn value<R, T>(
        &self,
        key: &'static str,
        raw: Option<R>,
        parse: impl FnOnce(R) -> Result<T, ValueError>,
    ) -> Result<Option<T>, ConfigError> {
        raw.map(|raw| self.required(key, raw, parse)).transpose()
    }

    fn required<R, T>(
        &self,
        key: &'static str,
        raw: R,
        parse: impl FnOnce(R) -> Result<T, ValueError>,
    ) -> Result<T, ConfigError> {
        let at = self.table.get(key).map(|value| value.span().start).unwrap_or_default();
        parse(raw).map_err(|source| self.wrong(at, key, source))
    }

    fn wrong(&self, at: usize, key: &'static str, source: ValueError) -> ConfigError {
        let (path, line) = (self.source.path.to_owned(), self.source.line(at));
        ConfigError::Value { path, line, key, source }
    }
}

fn nearest_key(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let (num_typos, nearest) = known.iter().map(|known| (distance(key, known), *known)).min()?;
    (num_typos <= MAX_TYPOS.min(nearest.len() / 2)).then_some(nearest)
}

/// Levenshtein: how many characters must be added, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let mut above: Vec<usize> = (0..=b.chars().count()).collect();
    for (row, left) in a.chars().enumerate() {
        let mut diagonal = row;
        let mut before = row + 1;
        for (cell, top) in above.iter_mut().skip(1).zip(b.chars()) {
            let replaced = diagonal + usize::from(left != top);
            diagonal = *cell;
            before = replaced.min(diagonal + 1).min(before + 1);
            *cell = before;
        }
        if let Some(first) = above.first_mut() {
            *first = row + 1;
        }
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changes() {
        for (a, b, expected) in
            [("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("log", "log", 0)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
        assert_eq!(nearest_key("lisen", &KEYS), Some("listen"));
        assert_eq!(nearest_key("max-clients", &KEYS), Some("max_clients"));
        assert_eq!(nearest_key("something", &KEYS), None);
        assert_eq!(nearest_key("server", &KEYS), None);
    }
}
