//! Where a backup is restored to, and whether it can be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dosp_server::backup::{Backup, Manifest};
use dosp_server::members::record::date;

use crate::cli::backup::absolute;
use crate::cli::backup::error::{BackupError, failed};
use crate::cli::init::DEFAULT_STATE;
use crate::cli::members::unix_now;
use crate::cli::run_args::{DEFAULT_FILE, Place};

/// Where things go.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) state: PathBuf,
    pub(super) config: PathBuf,
    /// What was there is kept with this behind its name.
    pub(super) suffix: String,
}

impl Goal {
    /// By the word of whoever restores, else the usual places. A backup comes from elsewhere: it does not
    /// choose which other files root writes.
    ///
    /// # Errors
    /// [`BackupError::Elsewhere`], or [`BackupError::Inside`].
    pub(super) fn of(manifest: &Manifest, place: &Place) -> Result<Self, BackupError> {
        let is_usual = |from: &Path, usual: &str| from.as_os_str() == usual;
        let is_state_known = place.state.is_some() || is_usual(&manifest.state, DEFAULT_STATE);
        let from = manifest.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        let is_config_known = place.config.is_some() || is_usual(from, DEFAULT_FILE);
        if !is_state_known || !is_config_known {
            let (state, config) = (manifest.state.clone(), from.to_owned());
            return Err(BackupError::Elsewhere { state, config });
        }
        let state = place.state.as_deref().unwrap_or(Path::new(DEFAULT_STATE));
        let config = place.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        // A link to either stays one.
        let (state, config) = (resolved(state), resolved(config));
        if config.starts_with(&state) {
            return Err(BackupError::Inside { state, config });
        }
        let suffix = format!(".before-restore-{}", date(unix_now()).replace(':', ""));
        Ok(Self { state, config, suffix })
    }

    /// Nothing is replaced unless somebody says so; an empty folder is nothing.
    ///
    /// # Errors
    /// What is there, or what the system says.
    pub(super) fn check_free(&self, backup: &Backup, is_forced: bool) -> Result<(), BackupError> {
        let is_state_there = self.has_state()?;
        let is_config_there = self.has_other_config(backup)?;
        if is_state_there && !is_forced {
            return Err(BackupError::Exists { path: self.state.clone() });
        }
        if is_config_there && !is_forced {
            return Err(BackupError::Exists { path: self.config.clone() });
        }
        Ok(())
    }

    /// Whether anything is in the state folder.
    pub(super) fn has_state(&self) -> Result<bool, BackupError> {
        match fs::read_dir(&self.state) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&self.state)(error)),
        }
    }

    /// Whether there is a configuration, and not the one of the backup.
    fn has_other_config(&self, backup: &Backup) -> Result<bool, BackupError> {
        let Some(new) = &backup.config else { return Ok(false) };
        Ok(self.config()?.is_some_and(|there| there != *new))
    }

    /// The configuration that is there.
    ///
    /// # Errors
    /// What the system says; also where something else than a file is there.
    pub(super) fn config(&self) -> Result<Option<Vec<u8>>, BackupError> {
        match fs::metadata(&self.config) {
            Ok(there) if there.is_file() => {
                fs::read(&self.config).map(Some).map_err(failed(&self.config))
            }
            Ok(_) => Err(BackupError::NoFile { path: self.config.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&self.config)(error)),
        }
    }
}

/// `path` without links, also where its end is not there yet.
fn resolved(path: &Path) -> PathBuf {
    let path = absolute(path);
    for there in path.ancestors() {
        if let Ok(real) = fs::canonicalize(there)
            && let Ok(missing) = path.strip_prefix(there)
        {
            let is_whole = missing.as_os_str().is_empty();
            return if is_whole { real } else { real.join(missing) };
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn manifest(state: &str, config: Option<&str>) -> Manifest {
        Manifest {
            schema: Manifest::schema(),
            version: "0.1.0".to_owned(),
            made_at: "2026-11-29T12:00:00Z".to_owned(),
            config: config.map(Into::into),
            config_mode: 0o644,
            config_owner: None,
            state: state.into(),
            owner: None,
            fingerprint: "OLGW5-BBCYQ-D7W3I-JQ2IP".to_owned(),
            members: 3,
        }
    }

    #[test]
    fn backup_chooses_no_place_but_the_usual_ones() {
        let place = |state: Option<&str>, config: Option<&str>| Place {
            state: state.map(Into::into),
            config: config.map(Into::into),
            socket: None,
        };
        let usual = manifest(DEFAULT_STATE, Some(DEFAULT_FILE));
        assert!(Goal::of(&usual, &place(None, None)).is_ok());
        assert!(Goal::of(&manifest(DEFAULT_STATE, None), &place(None, None)).is_ok());
        let hostile = manifest("/root/.ssh", Some("/etc/cron.d/x"));
        for (state, config) in [(None, None), (Some("/s"), None), (None, Some("/c"))] {
            let error = Goal::of(&hostile, &place(state, config)).unwrap_err();
            assert!(matches!(error, BackupError::Elsewhere { .. }), "{error}");
        }
        let dots = manifest("/var/lib/dosp/server/../../../../root", Some(DEFAULT_FILE));
        assert!(Goal::of(&dots, &place(None, None)).is_err());
        let goal = Goal::of(&hostile, &place(Some("/s"), Some("/c"))).unwrap();
        assert_eq!((goal.state, goal.config), ("/s".into(), "/c".into()));
    }

    #[test]
    fn configuration_in_the_state_folder_is_found_behind_links() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("state")).unwrap();
        fs::write(path("state/real.toml"), "").unwrap();
        symlink("state/real.toml", path("link.toml")).unwrap();
        symlink("state", path("link")).unwrap();
        for config in ["state/server.toml", "link/server.toml", "link.toml", "state"] {
            let place =
                Place { state: Some(path("state")), config: Some(path(config)), socket: None };
            let error = Goal::of(&manifest("/s", None), &place).unwrap_err();
            assert!(matches!(error, BackupError::Inside { .. }), "{config}: {error}");
        }
        let place =
            Place { state: Some(path("state")), config: Some(path("state.toml")), socket: None };
        assert!(Goal::of(&manifest("/s", None), &place).is_ok());
    }
}
