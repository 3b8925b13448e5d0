//! `dosp-agent completions` and `dosp-agent man`: what the command line says of itself, for shells and for
//! man.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use clap::{CommandFactory, ValueEnum};
use clap_complete::{generate, shells};

use crate::cli::Cli;
use crate::failure::{Exit, Failure};

/// What the first page says beside the options.
const SECTIONS: &str = include_str!("../../manual.roff");
const NAME: &str = "dosp-agent";

/// Whose completions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions of `shell`.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let (mut command, mut script) = (Cli::command(), Vec::new());
    match shell {
        Shell::Bash => generate(shells::Bash, &mut command, NAME, &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, NAME, &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, NAME, &mut script),
    }
    Ok(std::io::stdout().write_all(&script)?)
}

/// Writes a page for the program and one for each command into `folder`, which is made.
pub(crate) fn pages(folder: &Path) -> Result<(), Failure> {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .and_then(|()| OpenOptions::new().append(true).open(folder.join(format!("{NAME}.1"))))
        .and_then(|mut page| page.write_all(SECTIONS.as_bytes()));
    written.map_err(|error| {
        Failure::new(Exit::Failed, error)
            .context(format!("write manual pages into {}", folder.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_exit_code_a_line() {
        let folder = tempfile::tempdir().unwrap();
        pages(folder.path()).unwrap();
        for command in Cli::command().get_subcommands() {
            let page = folder.path().join(format!("{NAME}-{}.1", command.get_name()));
            assert_eq!(page.exists(), !command.is_hide_set(), "{}", page.display());
        }
        let page = std::fs::read_to_string(folder.path().join("dosp-agent.1")).unwrap();
        let codes = [
            Exit::Failed,
            Exit::Usage,
            Exit::NotReachable,
            Exit::Refused,
            Exit::UnknownPeer,
            Exit::PeerOffline,
            Exit::TimedOut,
            Exit::NoPrivilege,
            Exit::Interrupted,
        ];
        for code in codes {
            assert!(page.contains(&format!("\n.TP\n{}\n", code as u8)), "{code:?}");
        }
    }
}
