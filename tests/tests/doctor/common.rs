//! What a doctor says, and what it should.

use anyhow::{Context, Result, ensure};
use dosp_tests::Host;
use serde_json::Value;

/// What one run has found.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    exit: Option<i32>,
    report: Value,
}

/// `dosp-agent doctor --json ARGS` on `host`, behind a line of shell that ends in `&&`, or none.
pub(crate) fn doctor(host: &Host, shell: &str, args: &str) -> Result<Diagnosis> {
    let program = host.agent_command()?.join(" ");
    let output = host.ns.sh(&format!("{shell} {program} doctor --json {args}"))?;
    let report: Value = serde_json::from_str(&output.stdout).with_context(|| output.to_string())?;
    ensure!(report["schema"] == "dosp.doctor/1", "{report}");
    ensure!(report["exit"].as_i64() == output.code.map(i64::from), "{output}");
    Ok(Diagnosis { exit: output.code, report })
}

impl Diagnosis {
    fn findings(&self) -> impl Iterator<Item = (&str, &str, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.report["checks"].as_array().into_iter().flatten().map(move |finding| {
            let words = format!("{}; fix: {}", text(&finding["what"]), text(&finding["fix"]));
            let [check, result] = ["check", "result"].map(|key| finding[key].as_str());
            (check.unwrap_or_default(), result.unwrap_or_default(), words)
        })
    }

    /// All is well; only these checks are skipped.
    pub(crate) fn is_healthy(&self, skipped: &[&str]) -> Result<()> {
        ensure!(self.exit == Some(0), "{:#}", self.report);
        let mut count = 0;
        for (check, result, words) in self.findings() {
            let expected = if skipped.contains(&check) { "skipped" } else { "ok" };
            // Not every kernel has BBR.
            let is_expected = result == expected || (check, result) == ("congestion", "warn");
            ensure!(is_expected, "{check} is {result}: {words}");
            count += 1;
        }
        ensure!(count == 14, "{count} checks");
        Ok(())
    }

    /// Among others, this check found this.
    pub(crate) fn has(&self, check: &str, result: &str, words: &[&str]) -> Result<()> {
        let mut all = self.findings();
        let (_, found, said) = all.find(|(name, ..)| *name == check).context("no such check")?;
        ensure!(found == result, "{check} is {found}: {said}");
        for word in words {
            ensure!(said.contains(word), "{word:?} is not in {said:?}");
        }
        Ok(())
    }

    /// This check, and no other before it that failed, found this; the exit code is `exit`.
    pub(crate) fn names(&self, check: &str, result: &str, exit: i32, words: &[&str]) -> Result<()> {
        ensure!(self.exit == Some(exit), "exit {:?}, not {exit}: {:#}", self.exit, self.report);
        let mut first = self.findings().filter(|(_, found, _)| matches!(*found, "fail" | "warn"));
        let (is, found, said) = first.next().with_context(|| format!("{:#}", self.report))?;
        ensure!((is, found) == (check, result), "{is} is {found}, not {check}: {:#}", self.report);
        for word in words {
            ensure!(said.contains(word), "{word:?} is not in {said:?}");
        }
        Ok(())
    }
}
