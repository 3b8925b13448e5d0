//! `dosp-agent`: parse, run, exit.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = dosp_agent::cli::Cli::parse();
    match dosp_agent::run(&cli) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
