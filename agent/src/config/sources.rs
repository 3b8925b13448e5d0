//! Where the settings of this process come from, so that they can be read again.

use std::path::PathBuf;

use super::{ConfigError, NetworkName, Settings};

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
        let environment = Settings::from_environment(|name| std::env::var(name).ok())?;
        let places = self.network.as_ref().map(NetworkName::places).unwrap_or_default();
        Ok(self.arguments.clone().or(environment).or(self.read_file()?).or(places))
    }

    fn read_file(&self) -> Result<Settings, ConfigError> {
        match (&self.file, &self.network) {
            (None, Some(network)) => {
                let file = network.file();
                if file.exists() {
                    Settings::from_file(Some(&file))
                } else {
                    Ok(Settings::default())
                }
            }
            (named, _) => Settings::from_file(named.as_deref()),
        }
    }
}
