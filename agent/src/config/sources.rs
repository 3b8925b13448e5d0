//! Where the settings of this process come from, so that they can be read again.

use std::path::PathBuf;

use super::{ConfigError, DEFAULT_PATH, NetworkName, Settings};

/// The command line, and what it says of the file.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What the command line sets.
    pub arguments: Settings,
    /// The file that it names.
    pub file: Option<PathBuf>,
    /// The network that it is about.
    pub network: Option<NetworkName>,
}

impl Sources {
    /// Command line, then environment, then file, then the places of the network.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(&self) -> Result<Settings, ConfigError> {
        let (settings, wrong) = self.read_what_can_be();
        wrong.map_or(Ok(settings), Err)
    }

    /// What is set, as far as it can be read, and the first reason why not all can.
    #[must_use]
    pub fn read_what_can_be(&self) -> (Settings, Option<ConfigError>) {
        let mut wrong = None;
        let mut read = |settings: Result<Settings, ConfigError>| {
            settings.unwrap_or_else(|error| {
                wrong.get_or_insert(error);
                Settings::default()
            })
        };
        let environment = read(Settings::from_environment(|name| std::env::var(name).ok()));
        let file = self.existing_file().map(|file| read(Settings::from_file(&file)));
        let places = self.network.as_ref().map(NetworkName::places).unwrap_or_default();
        let settings = self.arguments.clone().or(environment).or(file.unwrap_or_default());
        (settings.or(places), wrong)
    }

    /// The configuration file that is read: one that is named has to be there, others may be missing.
    #[must_use]
    pub fn existing_file(&self) -> Option<PathBuf> {
        let default = || match &self.network {
            Some(network) => network.file(),
            None => PathBuf::from(DEFAULT_PATH),
        };
        self.file.clone().or_else(|| Some(default()).filter(|file| file.exists()))
    }
}
