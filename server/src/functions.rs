//! What clients can call with FN: a few built-in functions, and the programs of the configuration.
//!
//! A program runs beside its session's reader, without a shell, without the hub's environment, and
//! within limits of time, output and number: a client can hold up nobody but itself.

mod program;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use dosp_proto::frame::{self, FrameType};
use dosp_proto::message::{ErrorCode, ErrorReport};
use tokio::sync::Semaphore;

use program::ProgramError;

/// Programs of all sessions that run at the same time.
const MAX_RUNNING: usize = 16;
/// Calls of one session that are under way at the same time.
pub(crate) const MAX_CALLS: usize = 4;

/// Who may call a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Allow {
    /// Every client.
    #[default]
    Anyone,
    /// Sessions that have shown an administrator's token.
    Admin,
}

/// A program that clients can call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments: never empty.
    pub exec: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
    /// How many bytes it may write.
    pub max_output_len: usize,
    /// Who may call it.
    pub allow: Allow,
}

/// Functions that need no program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    Time,
    Uptime,
    Version,
    Clients,
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Function {
    BuiltIn(BuiltIn),
    Program(Arc<Program>),
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("no such function")]
    NotFound,
    #[error("for administrators only")]
    Forbidden,
    #[error("too many functions are running")]
    Busy,
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// All functions of a hub.
#[derive(Debug)]
pub(crate) struct Functions {
    offered: RwLock<Offered>,
    running: Semaphore,
    started_at: Instant,
}

/// What can be called now.
#[derive(Debug)]
struct Offered {
    has_built_in: bool,
    programs: BTreeMap<String, Arc<Program>>,
}

impl Offered {
    fn new(has_built_in: bool, programs: &BTreeMap<String, Program>) -> Self {
        let shared = |(name, program): (&String, &Program)| (name.clone(), program.clone().into());
        Self { has_built_in, programs: programs.iter().map(shared).collect() }
    }
}

impl Functions {
    pub(crate) fn new(has_built_in: bool, programs: &BTreeMap<String, Program>) -> Self {
        Self {
            offered: RwLock::new(Offered::new(has_built_in, programs)),
            running: Semaphore::new(MAX_RUNNING),
            started_at: Instant::now(),
        }
    }

    /// Offers these instead of all that were offered before; calls under way go on.
    pub(crate) fn replace(&self, has_built_in: bool, programs: &BTreeMap<String, Program>) {
        let mut offered = self.offered.write().unwrap_or_else(PoisonError::into_inner);
        *offered = Offered::new(has_built_in, programs);
    }

    /// What `name` stands for. A program hides the built-in function of its name.
    pub(crate) fn lookup(&self, name: &str, is_admin: bool) -> Result<Function, CallError> {
        let offered = self.offered.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = offered.programs.get(name) {
            if program.allow == Allow::Admin && !is_admin {
                return Err(CallError::Forbidden);
            }
            return Ok(Function::Program(Arc::clone(program)));
        }
        let built_in = match name {
            "time" => BuiltIn::Time,
            "uptime" => BuiltIn::Uptime,
            "version" => BuiltIn::Version,
            "clients" => BuiltIn::Clients,
            _ => return Err(CallError::NotFound),
        };
        if offered.has_built_in {
            Ok(Function::BuiltIn(built_in))
        } else {
            Err(CallError::NotFound)
        }
    }

    pub(crate) fn built_in(&self, function: BuiltIn, num_clients: usize) -> String {
        match function {
            BuiltIn::Time => humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            BuiltIn::Uptime => self.uptime().as_secs().to_string(),
            BuiltIn::Version => env!("CARGO_PKG_VERSION").to_owned(),
            BuiltIn::Clients => num_clients.to_string(),
        }
    }

    /// How long the hub has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.started_at.elapsed()
    }

    pub(crate) async fn run(&self, program: &Program) -> Result<Vec<u8>, CallError> {
        let Ok(_permit) = self.running.try_acquire() else { return Err(CallError::Busy) };
        Ok(program::run(program).await?)
    }
}

/// SA with the result, or ERR with the reason.
pub(crate) fn answer_frame(result: &Result<Vec<u8>, CallError>) -> Vec<u8> {
    let mut out = Vec::new();
    match result {
        Ok(result) => frame::encode(&mut out, FrameType::SA, result),
        Err(error) => {
            let code = match error {
                CallError::NotFound => ErrorCode::FUNCTION_NOT_FOUND,
                CallError::Forbidden | CallError::Busy | CallError::Program(_) => {
                    ErrorCode::FUNCTION_FAILED
                }
            };
            ErrorReport::Code(code, error.to_string().as_bytes()).encode_to(&mut out);
        }
    }
    out
}
