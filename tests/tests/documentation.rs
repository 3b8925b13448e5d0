//! `docs/operations.md` knows every key of the configuration.

use std::fs;

use anyhow::{Context, Result, ensure};
use dosp_tests::dosp::workspace;

#[test]
fn every_key_of_both_configurations_has_its_row() -> Result<()> {
    let read = |path: &str| {
        fs::read_to_string(workspace().join(path)).with_context(|| format!("read {path}"))
    };
    let manual = read("docs/operations.md")?;
    let section = manual.split("\n## ").find(|text| text.starts_with("Configuration\n"));
    let (of_hub, of_agent) = section
        .and_then(|section| section.split_once("\n`dosp-agent`; options"))
        .context("a table each in the section Configuration")?;
    for (example, table) in
        [("server/server.example.toml", of_hub), ("agent/agent.example.toml", of_agent)]
    {
        let text = read(example)?;
        let keys: Vec<_> = text.lines().filter_map(key).collect();
        ensure!(keys.len() > 10, "{example} has {} keys", keys.len());
        for key in keys {
            ensure!(table.contains(&format!("\n| `{key}` |")), "no row for {key} of {example}");
        }
    }
    Ok(())
}

/// The key of a line that sets one, commented out or not.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix('#').unwrap_or(line).split_once(" = ")?;
    key.bytes()
        .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'0'..=b'9'))
        .then_some(key)
}
