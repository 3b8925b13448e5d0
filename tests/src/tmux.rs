//! A terminal that a test looks at and types into: tmux, with a server of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::wait::wait_until;

/// What is typed is answered, and what is drawn is seen, within this.
const PATIENCE: Duration = Duration::from_secs(20);

/// A shell in a terminal. Its prompt is `$ `.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
    dir: PathBuf,
}

impl Tmux {
    /// Starts a shell in `dir`, in a terminal of this size.
    ///
    /// # Errors
    /// tmux is missing, or does not start.
    pub fn start(dir: &Path, name: &str, (width, height): (u16, u16)) -> Result<Self> {
        let this = Self { socket: dir.join(format!("{name}.tmux")), dir: dir.to_owned() };
        let [width, height] = [width, height].map(|it| it.to_string());
        this.tmux(&[
            "-f",
            "/dev/null",
            "start-server",
            ";",
            "set",
            "-g",
            "status",
            "off",
            ";",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
            "env PS1='$ ' ENV= sh",
        ])?;
        this.wait_for("the shell is there", |screen| screen.starts_with("$"))?;
        Ok(this)
    }

    fn tmux(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("tmux");
        let command = command.arg("-S").arg(&self.socket).args(args).current_dir(&self.dir);
        let output = command.output().context("run tmux")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What is on the screen now, without colours.
    ///
    /// # Errors
    /// The shell has ended.
    pub fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with escape codes.
    ///
    /// # Errors
    /// The shell has ended.
    pub fn screen_with_colours(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Whether the screen is the one that a program has for itself, and whether a cursor is shown.
    ///
    /// # Errors
    /// The shell has ended.
    pub fn modes(&self) -> Result<(bool, bool)> {
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"])?;
        Ok((flags.starts_with('1'), flags.trim_end().ends_with('1')))
    }

    /// Types a line of shell, which `script` is: it may be long.
    ///
    /// # Errors
    /// The script cannot be written, or the shell has ended.
    pub fn run(&self, script: &str) -> Result<()> {
        fs::write(self.dir.join("typed.sh"), script).context("write what is typed")?;
        self.tmux(&["send-keys", "clear; sh ./typed.sh; echo \"code $?\"", "Enter"])?;
        Ok(())
    }

    /// Presses a key, by the name that tmux has for it.
    ///
    /// # Errors
    /// The shell has ended.
    pub fn press(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key])?;
        Ok(())
    }

    /// Makes the terminal another size.
    ///
    /// # Errors
    /// The shell has ended.
    pub fn resize(&self, (width, height): (u16, u16)) -> Result<()> {
        let [width, height] = [width, height].map(|it| it.to_string());
        self.tmux(&["resize-window", "-x", &width, "-y", &height])?;
        Ok(())
    }

    /// Waits until the screen is as wanted, and gives it back.
    ///
    /// # Errors
    /// It never is; then what was seen last.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut seen = String::new();
        let waited = wait_until(what, PATIENCE, || {
            seen = self.screen()?;
            Ok(wanted(&seen))
        });
        waited.with_context(|| format!("the last screen:\n{seen}"))?;
        Ok(seen)
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to end.
        drop(self.tmux(&["kill-server"]));
    }
}
