//! A network that lives through faults for as long as it is told to, and what it costs meanwhile.
//!
//! | module | what it holds |
//! |---|---|
//! | `site` | a closed network of four agents, and traffic between them |
//! | `fault` | what happens to it |
//! | `sample` | memory, descriptors, threads and tasks of a program at rest |
//! | `verdict` | **no I/O**: whether they grow |
//! | `counters` | whether what is sent arrives and is counted |
//!
//! One fault at a time, of a random kind for a random while; then everybody has to be back and reach
//! everybody, and is looked at. Chance comes from `--seed`, so that a run can be had again.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod counters;
mod fault;
mod sample;
mod site;
mod verdict;

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::fault::Fault;
use crate::sample::{Program, Sample};
use crate::site::{NUM_STEADY, Site};

/// A fault is there for so long, in milliseconds.
const HELD_MS: Range<u64> = 200..6_000;
/// In a run of a few minutes, so that there are enough of them.
const SHORTLY_HELD_MS: Range<u64> = 200..2_000;
/// A run of so many seconds is no short one.
const LONG_RUN: u64 = 300;
/// The hub starts anew only in the first part of a run: then it has to live for the rest.
const RESTARTS_END: f64 = 0.25;

/// Has a network live through faults, and fails where it does not recover, grows, or loses count
#[derive(Debug, Parser)]
#[command(name = "dosp-soak")]
struct Cli {
    /// For how long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What decides by chance: the same seed, the same faults, as far as they take the same time [default: any]
    #[arg(long)]
    seed: Option<u64>,
    /// Folder for samples.tsv and faults.tsv
    #[arg(long)]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            for complaint in complaints {
                eprintln!("dosp-soak: {complaint}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("dosp-soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is wrong.
fn run(cli: &Cli) -> Result<Vec<String>> {
    fs::create_dir_all(&cli.out).with_context(|| format!("make {:?}", cli.out))?;
    let seed = cli.seed.unwrap_or_else(|| rand::rng().random());
    println!("{} s, seed {seed}", cli.seconds);
    let mut site = Site::start()?;
    let samples = live(&mut site, cli, StdRng::seed_from_u64(seed))?;
    site.rest()?;
    let steady = (0..NUM_STEADY).map(Program::Agent).chain([Program::Hub]);
    let mut complaints = verdict::judge(&samples, steady);
    complaints.extend(counters::reconcile(&site)?);
    println!("{}", verdict::summary(&samples));
    Ok(complaints)
}

/// Until the time is up.
fn live(site: &mut Site, cli: &Cli, mut rng: StdRng) -> Result<Vec<Sample>> {
    let mut to_samples = File::create(cli.out.join("samples.tsv")).context("write the samples")?;
    let mut to_faults = File::create(cli.out.join("faults.tsv")).context("write the faults")?;
    let (started_at, length) = (Instant::now(), Duration::from_secs(cli.seconds));
    let mut samples = Vec::new();
    while started_at.elapsed() < length {
        let may_restart = started_at.elapsed() < length.mul_f64(RESTARTS_END);
        let fault = Fault::any(may_restart, &mut rng);
        let range = if cli.seconds < LONG_RUN { SHORTLY_HELD_MS } else { HELD_MS };
        let held = Duration::from_millis(rng.random_range(range));
        let (at, back) = suffer(site, fault, held).with_context(|| fault.name())?;
        let at_s = at.duration_since(started_at).as_secs_f64();
        let line =
            format!("{at_s:.1}\t{}\t{}\t{}", fault.name(), held.as_millis(), back.as_millis());
        println!("{}", line.replace('\t', "  "));
        writeln!(to_faults, "{line}").context("write the faults")?;
        for sample in site.sample(started_at.elapsed())? {
            writeln!(to_samples, "{sample}").context("write the samples")?;
            samples.push(sample);
        }
    }
    Ok(samples)
}

/// Lets a fault happen, and waits until all is as before: when it began, and how long that took.
fn suffer(site: &mut Site, fault: Fault, held: Duration) -> Result<(Instant, Duration)> {
    let at = Instant::now();
    fault.begin(site)?;
    std::thread::sleep(held);
    fault.end(site)?;
    let ended_at = Instant::now();
    site.wait_until_whole()?;
    Ok((at, ended_at.elapsed()))
}
