//! Prometheus' text, as a scraper understands it, and the tables of the documentation that say the same.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use crate::binaries::workspace;
use crate::netns::Namespace;

/// The labels of a figure, with their values.
pub type Labels = BTreeMap<String, String>;

/// What is said of all figures of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// `counter` or `gauge`.
    pub kind: String,
    /// The words.
    pub help: String,
    /// The names of the labels; `None` where no figure shows them.
    pub labels: Option<BTreeSet<String>>,
}

/// Figures by name.
#[derive(Debug, Default)]
pub struct Scrape {
    /// The text.
    pub text: String,
    /// All names.
    pub families: BTreeMap<String, Family>,
    figures: Vec<(String, Labels, f64)>,
}

impl Scrape {
    /// Asks whoever serves figures at `addr` in this namespace.
    pub fn of(ns: &Namespace, addr: &str) -> Result<Self> {
        let output =
            ns.sh(&format!("curl -sS --fail --max-time 20 http://{addr}/metrics"))?.ok()?;
        Self::parse(output.stdout)
    }

    /// Reads the text.
    pub fn parse(text: String) -> Result<Self> {
        let mut scrape = Self::default();
        for line in text.lines() {
            scrape.read_line(line).with_context(|| line.to_owned())?;
        }
        Ok(Self { text, ..scrape })
    }

    fn read_line(&mut self, line: &str) -> Result<()> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').context("words")?;
            let family = Family { kind: String::new(), help: help.to_owned(), labels: None };
            ensure!(self.families.insert(name.to_owned(), family).is_none(), "twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').context("a type")?;
            kind.clone_into(&mut self.families.get_mut(name).context("HELP before TYPE")?.kind);
        } else {
            let (name, number) = line.rsplit_once(' ').context("a figure")?;
            let (name, labels) = match name.strip_suffix('}').and_then(|name| name.split_once('{'))
            {
                Some((name, labels)) => (name, labels_of(labels)?),
                None => (name, Labels::new()),
            };
            let family = self.families.get_mut(name).context("HELP before the figure")?;
            let names: BTreeSet<String> = labels.keys().cloned().collect();
            ensure!(*family.labels.get_or_insert_with(|| names.clone()) == names, "other labels");
            let is_known =
                self.figures.iter().any(|(other, has, _)| other == name && *has == labels);
            ensure!(!is_known, "twice");
            self.figures.push((name.to_owned(), labels, number.parse().context("a number")?));
        }
        Ok(())
    }

    /// The figures of this name, with their labels.
    pub fn figures(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        let of_name = move |(other, _, _): &&(String, Labels, f64)| other == name;
        self.figures.iter().filter(of_name).map(|(_, labels, number)| (labels, *number))
    }

    /// The figures of this name, by the value of their one label.
    #[must_use]
    pub fn by_label(&self, name: &str) -> BTreeMap<String, f64> {
        let value = |labels: &Labels| labels.values().next().cloned().unwrap_or_default();
        self.figures(name).map(|(labels, number)| (value(labels), number)).collect()
    }

    /// The one figure of this name.
    pub fn single(&self, name: &str) -> Result<f64> {
        let figures: Vec<_> = self.figures(name).collect();
        let [(_, number)] = figures[..] else { bail!("{name}: {} figures", figures.len()) };
        Ok(number)
    }
}

/// The parts of `a="1",b="2"`. No value in these tests has quotes or commas in it.
fn labels_of(text: &str) -> Result<Labels> {
    let label = |part: &str| {
        let (name, value) = part.split_once("=\"").context("a label")?;
        let value = value.strip_suffix('"').context("a quote")?;
        ensure!(!value.contains(['"', '\\']), "a value that this cannot read");
        Ok((name.to_owned(), value.to_owned()))
    };
    text.split(',').map(label).collect()
}

/// What `docs/operations.md` says of the names that begin so.
pub fn documented(prefixes: &[&str]) -> Result<BTreeMap<String, Family>> {
    let text = section("Metrics")?;
    let mut families = BTreeMap::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("| `")) {
        let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, help] = cells[..] else { bail!("four cells: {row}") };
        let name = name.trim_end_matches('`');
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            let labels = labels.split(", ").filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
            let (kind, help) = (kind.to_owned(), help.to_owned());
            families.insert(name.to_owned(), Family { kind, help, labels: Some(labels) });
        }
    }
    Ok(families)
}

/// The first cells of the tables in a section of `docs/operations.md`.
pub fn documented_names(heading: &str) -> Result<BTreeSet<String>> {
    let text = section(heading)?;
    let first = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    Ok(text.lines().filter_map(first).collect())
}

fn section(heading: &str) -> Result<String> {
    let path = workspace().join("docs/operations.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path:?}"))?;
    let (_, behind) = text.split_once(&format!("\n## {heading}\n")).context("the section")?;
    Ok(behind.split("\n## ").next().unwrap_or_default().to_owned())
}
