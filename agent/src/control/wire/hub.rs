//! What a hub answers, as JSON.

use dosp_proto::message::SessionInfo;
use dosp_proto::vip::Vip;
use serde::{Deserialize, Serialize};

use super::{Bytes, FailureKind, Reply};
use crate::engine::{HubAnswer, RequestError};

/// `dosp.clients/1`: who is at the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// Always `dosp.clients/1`.
    pub schema: String,
    /// The vIPs of all clients, this one included, ascending.
    pub clients: Vec<Vip>,
}

/// `dosp.answer/1`: what a function of the hub returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Always `dosp.answer/1`.
    pub schema: String,
    /// What it returned, where that is UTF-8.
    pub text: Option<String>,
    /// What it returned.
    pub data: Bytes,
}

/// `dosp.info/1`: what the hub knows of this agent's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Always `dosp.info/1`.
    pub schema: String,
    /// In the hub's words.
    #[serde(flatten)]
    pub session: SessionInfo,
}

impl From<HubAnswer> for Reply {
    fn from(answer: HubAnswer) -> Self {
        match answer {
            HubAnswer::Clients(clients) => {
                Self::Clients(Clients { schema: "dosp.clients/1".to_owned(), clients })
            }
            HubAnswer::Returned(data) => Self::Answer(Answer {
                schema: "dosp.answer/1".to_owned(),
                text: String::from_utf8(data.clone()).ok(),
                data: Bytes(data),
            }),
            HubAnswer::Info(session) => {
                Self::Info(Info { schema: "dosp.info/1".to_owned(), session })
            }
        }
    }
}

impl From<RequestError> for Reply {
    fn from(error: RequestError) -> Self {
        let refused = matches!(error, RequestError::Refused(_));
        let hint = refused.then(|| "its operator decides what it answers, and to whom".to_owned());
        let kind = match &error {
            RequestError::NotConnected | RequestError::LinkLost => FailureKind::NotConnected,
            RequestError::TimedOut { .. } => FailureKind::TimedOut,
            RequestError::Busy | RequestError::NoInfo | RequestError::Malformed(_) => {
                FailureKind::Failed
            }
            RequestError::Refused(_) => FailureKind::Refused,
        };
        Self::Failed { kind, why: error.to_string(), hint }
    }
}
