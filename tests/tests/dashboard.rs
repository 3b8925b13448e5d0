//! The dashboard for Grafana: what it shows there is, and Prometheus and Grafana can read it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use dosp_tests::binaries::workspace;
use dosp_tests::metrics::documented;
use serde_json::Value;

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;
/// What every series has from whoever scrapes it.
const SCRAPED: [&str; 2] = ["instance", "job"];

fn dashboard() -> Result<Value> {
    let text = fs::read_to_string(workspace().join("packaging/grafana.json"))?;
    serde_json::from_str(&text).context("packaging/grafana.json")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Expressions with their legends.
fn targets(dashboard: &Value) -> Vec<(String, String)> {
    let targets = list(&dashboard["panels"]).flat_map(|panel| list(&panel["targets"]));
    let word = |value: &Value| text(value).to_owned();
    targets.map(|target| (word(&target["expr"]), word(&target["legendFormat"]))).collect()
}

/// The words of an expression that could be names of metrics.
fn names(expr: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = expr.split(|character| !is_part(character));
    let is_name = |word: &&str| word.starts_with("dosp_") || word.starts_with("process_");
    words.filter(is_name).map(str::to_owned).collect()
}

/// The names between `{{` and `}}`.
fn placeholders(legend: &str) -> impl Iterator<Item = &str> {
    legend.split("{{").skip(1).filter_map(|part| Some(part.split_once("}}")?.0))
}

#[test]
fn every_metric_and_every_label_of_the_dashboard_exists() -> Result<()> {
    let metrics = documented(&["dosp_", "process_"])?;
    let targets = targets(&dashboard()?);
    ensure!(targets.len() > 30, "{} expressions", targets.len());
    for (expr, legend) in &targets {
        let names = names(expr);
        ensure!(!names.is_empty(), "nothing is shown: {expr}");
        for name in names {
            let family = metrics.get(&name).with_context(|| format!("{name} does not exist"))?;
            let labels = family.labels.clone().unwrap_or_default();
            for label in placeholders(legend) {
                let is_there = labels.contains(label) || SCRAPED.contains(&label);
                ensure!(is_there, "{name} has no label {label}");
            }
            let grows = family.kind == "counter";
            let is_rate = expr.contains("rate(") || expr.contains("increase(");
            ensure!(grows == is_rate, "counters are shown as rates, gauges are not: {expr}");
        }
    }
    let shown: BTreeSet<String> = targets.iter().flat_map(|(expr, _)| names(expr)).collect();
    let hidden = ["dosp_agent_build_info", "dosp_hub_build_info", "process_start_time_seconds"];
    ensure!(!hidden.iter().any(|name| shown.contains(*name)), "they show nothing");
    Ok(())
}

/// As rules, after Grafana has put in what it puts in: promtool refuses a rule with a mistake in it.
#[test]
fn prometheus_understands_every_expression() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let rule = |(number, (expr, _)): (usize, &(String, String))| {
        let expr = expr.replace("$__rate_interval", "5m").replace("$instance", ".*");
        format!("      - record: rule{number}\n        expr: {}\n", Value::from(expr))
    };
    let check = |rules: &str| -> Result<bool> {
        let path = folder.path().join("rules.yml");
        fs::write(&path, format!("groups:\n  - name: dosp\n    rules:\n{rules}"))?;
        let output = Command::new("promtool").args(["check", "rules"]).arg(&path).output();
        let output = output.context("run promtool, of Debian's package prometheus")?;
        println!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.status.success())
    };
    let targets = targets(&dashboard()?);
    ensure!(check(&targets.iter().enumerate().map(rule).collect::<String>())?);
    ensure!(!check(&rule((0, &("rate(x[5m]".to_owned(), String::new()))))?, "it finds nothing");
    Ok(())
}

#[test]
fn dashboard_has_the_form_that_grafana_reads() -> Result<()> {
    let dashboard = dashboard()?;
    for key in ["uid", "title", "refresh"] {
        ensure!(!text(&dashboard[key]).is_empty(), "{key}");
    }
    ensure!(dashboard["schemaVersion"].as_u64() >= Some(36), "the schema of Grafana 9 or later");
    ensure!(dashboard["time"]["from"] == "now-3h" && dashboard["time"]["to"] == "now");
    let variables: Vec<&str> =
        list(&dashboard["templating"]["list"]).map(|variable| text(&variable["name"])).collect();
    ensure!(variables == ["datasource", "instance"], "{variables:?}");
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard["panels"]) {
        let id = panel["id"].as_u64().context("a number")?;
        ensure!(ids.insert(id), "two panels are {id}");
        let kind = text(&panel["type"]);
        ensure!(["row", "timeseries", "stat"].contains(&kind), "{kind}");
        let grid = |key: &str| panel["gridPos"][key].as_u64().context("a place in the grid");
        let (x, y, width, height) = (grid("x")?, grid("y")?, grid("w")?, grid("h")?);
        ensure!(width > 0 && height > 0 && x + width <= COLUMNS, "{panel}");
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            ensure!(taken.insert(cell), "panels lie over each other at {cell:?}: {panel}");
        }
        ensure!(!text(&panel["title"]).is_empty() && (kind == "row") == panel["targets"].is_null());
        let refs: Vec<&str> =
            list(&panel["targets"]).map(|target| text(&target["refId"])).collect();
        ensure!(refs.iter().collect::<BTreeSet<_>>().len() == refs.len(), "{refs:?}");
        for source in list(&panel["targets"]).chain((kind != "row").then_some(panel)) {
            ensure!(source["datasource"]["uid"] == "${datasource}", "{source}");
            ensure!(source["datasource"]["type"] == "prometheus", "{source}");
        }
    }
    ensure!(ids.len() > 20, "{} panels", ids.len());
    Ok(())
}
