//! What a command that did not do its work says, and with which code it exits.

use std::fmt::{self, Display};
use std::io;
use std::process::ExitCode;

use crate::config::NetworkName;

/// Exit codes, as `docs/operations.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It failed.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// No running agent, or the hub cannot be reached.
    NotReachable = 3,
    /// The hub refuses.
    Refused = 4,
    /// Nobody is known by that name.
    UnknownPeer = 5,
    /// The peer is offline or gives no answer.
    PeerOffline = 6,
    /// No answer in time.
    TimedOut = 8,
    /// Needs privilege.
    NoPrivilege = 77,
    /// Interrupted.
    Interrupted = 130,
}

/// The end of a command: what, why, what to do, and the exit code.
#[derive(Debug)]
pub struct Failure {
    error: anyhow::Error,
    hint: Option<String>,
    exit: Exit,
    /// Nobody is there to read, so nothing is said.
    silent: bool,
}

impl Failure {
    /// A failure that exits with `exit`.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hint: None, exit, silent: false }
    }

    /// A failure in words only.
    pub fn text(exit: Exit, text: impl Display + Send + Sync + fmt::Debug + 'static) -> Self {
        Self::new(exit, anyhow::Error::msg(text))
    }

    /// Says what it happened to.
    #[must_use]
    pub fn context(mut self, context: impl Display + Send + Sync + 'static) -> Self {
        self.error = self.error.context(context);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says it with the commands of this network of several, where it is one.
    #[must_use]
    pub fn of_network(self, network: Option<&NetworkName>) -> Self {
        let in_commands = |hint: String| match network {
            Some(network) => network.in_commands(&hint),
            None => hint,
        };
        Self { hint: self.hint.map(in_commands), ..self }
    }

    /// The end of a command that a signal ended.
    #[must_use]
    pub fn interrupted() -> Self {
        Self { silent: true, ..Self::text(Exit::Interrupted, "interrupted") }
    }

    /// What it exits with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// What, and why, in one line.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{:#}", self.error)
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Writes it to standard error, and gives the code to exit with.
    pub fn report(&self) -> ExitCode {
        if !self.silent {
            let hint = self.hint.as_ref().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
            let text = format!("dosp-agent: {self}\n{hint}");
            // Where standard error is gone too, the code is all that is left to say.
            io::Write::write_all(&mut io::stderr(), text.as_bytes()).ok();
        }
        ExitCode::from(self.exit as u8)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// Standard output that nobody reads any more is no failure: `dosp-agent listen | head -1`.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        Self { silent, ..Self::new(Exit::Failed, error) }
    }
}
