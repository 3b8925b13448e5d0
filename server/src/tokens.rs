//! The secrets by which administrators prove that they are.

use std::fmt;
use std::path::{Path, PathBuf};

use dosp_daemon::private::{self, PrivateFileError};
use subtle::{Choice, ConstantTimeEq};

/// Fewer characters could be guessed in time.
const MIN_TOKEN_LEN: usize = 16;

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read, or others can read or write it.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
    /// It holds something else.
    #[error("{} is no text", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
    /// A token that could be guessed.
    #[error("{}:{line}: a token has at least {MIN_TOKEN_LEN} characters", path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// No token at all.
    #[error("{} holds no token", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl TokenFileError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Private(error @ PrivateFileError::Exposed { .. }) => error.hint(),
            Self::Private(PrivateFileError::Read { .. }) => {
                "give another file with --admin-token-file".to_owned()
            }
            Self::NoText { .. } | Self::TooShort { .. } | Self::Empty { .. } => {
                "one token a line; 'openssl rand -hex 32' makes one".to_owned()
            }
        }
    }
}

/// The tokens that make an administrator. Without one, nobody is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AdminTokens(Vec<String>);

impl fmt::Debug for AdminTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdminTokens({})", self.0.len())
    }
}

impl AdminTokens {
    /// Reads one token a line; empty lines are skipped.
    ///
    /// # Errors
    /// Where the file cannot be read, is open to others, or holds what is no token.
    pub fn from_file(path: &Path) -> Result<Self, TokenFileError> {
        let owned = || path.to_owned();
        let content = private::read(path)?;
        let text =
            std::str::from_utf8(&content).map_err(|_| TokenFileError::NoText { path: owned() })?;
        let lines = text.lines().map(str::trim).enumerate();
        let tokens: Vec<_> = lines.filter(|(_, token)| !token.is_empty()).collect();
        if let Some((index, _)) = tokens.iter().find(|(_, token)| token.len() < MIN_TOKEN_LEN) {
            return Err(TokenFileError::TooShort { path: owned(), line: index + 1 });
        }
        if tokens.is_empty() {
            return Err(TokenFileError::Empty { path: owned() });
        }
        Ok(Self(tokens.into_iter().map(|(_, token)| token.to_owned()).collect()))
    }

    /// Whether `token` is one of them, in a time that tells nothing but its length.
    #[must_use]
    pub fn contains(&self, token: &[u8]) -> bool {
        let is_same = |known: &String| known.as_bytes().ct_eq(token);
        self.0.iter().map(is_same).fold(Choice::from(0), |found, same| found | same).into()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody can be an administrator.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn token_file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn one_token_a_line_is_read() {
        let file = token_file("0123456789abcdef\n\n  another-long-token  \n", 0o600);
        let tokens = AdminTokens::from_file(file.path()).unwrap();
        assert_eq!(tokens.len(), 2);
        assert!(tokens.contains(b"0123456789abcdef") && tokens.contains(b"another-long-token"));
        for other in [&b""[..], b"0123456789abcde", b"0123456789abcdeg", b"0123456789abcdefg"] {
            assert!(!tokens.contains(other));
        }
        assert_eq!(format!("{tokens:?}"), "AdminTokens(2)");
        assert!(!AdminTokens::default().contains(b""));
    }

    #[test]
    fn files_that_protect_nothing_are_refused() {
        for (text, mode, words) in [
            ("0123456789abcdef", 0o640, "is open to others: its mode is 0640"),
            ("0123456789abcdef", 0o604, "is open to others"),
            ("0123456789abcdef\nshort", 0o600, ":2: a token has at least 16 characters"),
            ("\n", 0o400, "holds no token"),
        ] {
            let file = token_file(text, mode);
            let error = AdminTokens::from_file(file.path()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(!error.hint().is_empty());
        }
        assert!(AdminTokens::from_file(Path::new("/nonexistent")).is_err());
    }
}
