//! `dosp-server completions` and `dosp-server man`: what the command line says of itself, for shells and
//! for man.

use std::fs::{OpenOptions, create_dir_all};
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use clap::builder::Resettable;
use clap::{CommandFactory, ValueEnum};
use clap_complete::{generate, shells};

use super::Cli;

/// What the first page says beside the options, also what stands below them in the help.
const SECTIONS: &str = include_str!("../../manual.roff");
const NAME: &str = "dosp-server";

/// Whose completions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions of `shell`.
pub(super) fn completions(shell: Shell) -> anyhow::Result<()> {
    let (mut command, mut script) = (Cli::command(), Vec::new());
    match shell {
        Shell::Bash => generate(shells::Bash, &mut command, NAME, &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, NAME, &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, NAME, &mut script),
    }
    // A closed pipe is the reader's own wish.
    io::stdout().write_all(&script).unwrap_or_default();
    Ok(())
}

/// Writes a page for the program and one for each command into `folder`, which is made.
pub(super) fn pages(folder: &Path) -> anyhow::Result<()> {
    let command = Cli::command().after_help(Resettable::Reset);
    create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .and_then(|()| OpenOptions::new().append(true).open(folder.join(format!("{NAME}.1"))))
        .and_then(|mut page| page.write_all(SECTIONS.as_bytes()))
        .with_context(|| format!("write manual pages into {}", folder.display()))
}
