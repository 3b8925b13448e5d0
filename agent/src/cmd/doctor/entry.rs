//! A join, as `up` would make it, and what is tried while it lasts.

use std::sync::Arc;
use std::time::Duration;

use dosp_proto::federation::RemoteNetwork;
use dosp_proto::frame::{FrameDecoder, FrameType};
use dosp_proto::identity::IdentityKey;
use dosp_proto::vip::Vip;
use dosp_transport::socket;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::finding::{Check, Finding};
use super::greeting::{Greeted, encode_echo, leave};
use super::mtu::Large;
use crate::clock;
use crate::cmd::network::Network;
use crate::config::Settings;
use crate::control::wire::{State, Status};
use crate::failure::{Exit, Failure};
use crate::link::{Credentials, Join, JoinConfig, JoinError, Joined};
use crate::node::{Access, LinkError};
use crate::state::NetworkState;

/// A hub that says nothing has [`crate::link::join::JOIN_TIMEOUT`]; this is for one that always says a little.
const ENTRY_TIMEOUT: Duration = Duration::from_secs(20);
/// More than one segment of any Internet path, and less than a hub finds too long.
const ECHO_LEN: usize = 4000;
/// A lost segment is sent again three or four times within that.
const ECHO_TIMEOUT: Duration = Duration::from_secs(4);

/// Who asks to be let in.
#[derive(Debug)]
pub(super) struct Applicant {
    credentials: Credentials,
    vip: Option<Vip>,
    /// Held as long as the key is in use.
    state: Option<NetworkState>,
}

impl Applicant {
    /// This host, where it has a place or has been given a join string; else a guest.
    pub(super) fn of(network: &Network, settings: &Settings) -> Result<Self, Failure> {
        let folder = network.folder.to_ascii_lowercase();
        let is_known = settings.state().join("networks").join(folder).is_dir();
        if network.join.is_none() && !is_known {
            return Ok(Self::guest(settings));
        }
        let state = NetworkState::open(&settings.state(), &network.folder)?;
        let key = state.identity(&mut rand::make_rng::<StdRng>())?;
        let Access { hub_key, join_key, insists_on_name, is_guest } =
            network.access(&state, settings)?;
        let identity = crate::cmd::identity(settings, key, network.join.as_ref())?;
        let credentials = Credentials {
            identity: identity.key,
            hub_key,
            join_key,
            name: identity.name,
            insists_on_name,
            is_guest,
        };
        Ok(Self { credentials, vip: settings.vip, state: Some(state) })
    }

    fn guest(settings: &Settings) -> Self {
        let identity = IdentityKey::generate(&mut rand::make_rng::<StdRng>());
        let (hub_key, join_key, name) = (None, None, None);
        let (insists_on_name, is_guest) = (false, true);
        let credentials =
            Credentials { identity, hub_key, join_key, name, insists_on_name, is_guest };
        Self { credentials, vip: settings.vip, state: None }
    }

    const fn is_guest(&self) -> bool {
        self.credentials.is_guest
    }

    /// Forgets the join key, which the hub has taken, as `up` does; tells whether there was one.
    fn spend_join_key(&self) -> bool {
        let has_key = self.credentials.join_key.is_some();
        let Some(state) = self.state.as_ref().filter(|_| has_key) else { return false };
        if let Err(error) = state.spend_join_key() {
            tracing::warn!(%error, "the join key is used up, and stored all the same");
        }
        true
    }
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryError {
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the hub has not decided within {} s", ENTRY_TIMEOUT.as_secs())]
    TimedOut,
}

impl From<EntryError> for Failure {
    fn from(error: EntryError) -> Self {
        match error {
            EntryError::Join(error) => error.into(),
            EntryError::Link(error) => error.into(),
            error @ EntryError::TimedOut => Self::new(Exit::NotReachable, error)
                .hint("try again; the hub's log may say what keeps it"),
        }
    }
}

/// A place that this host had for a moment.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) joined: Joined,
    /// Whether only this connection had it.
    pub(super) is_guest: bool,
    /// Whether a join key was used up for it.
    pub(super) has_spent: bool,
    /// This host's clock and the hub's at the same moment, in Unix seconds.
    pub(super) clocks: Option<(u64, u64)>,
    /// The networks of other hubs.
    pub(super) others: Vec<RemoteNetwork>,
    /// Whether long frames pass.
    pub(super) large: Large,
}

/// Joins, has a long frame go to the hub and back, and leaves.
pub(super) async fn enter(greeted: Greeted, applicant: Applicant) -> Result<Entry, EntryError> {
    let Greeted { mut stream, mut decoder, frames, .. } = greeted;
    let is_guest = applicant.is_guest();
    let joining = join(&mut stream, &mut decoder, frames, &applicant);
    let (joined, welcome) = match timeout(ENTRY_TIMEOUT, joining).await {
        Ok(entered) => entered?,
        Err(_) => return Err(EntryError::TimedOut),
    };
    let now = clock::now().unix_time;
    let has_spent = welcome.is_some() && applicant.spend_join_key();
    let large = echo(&mut stream, &mut decoder, joined.vip).await;
    leave(stream).await;
    let time = welcome.as_ref().map(|welcome| welcome.time).filter(|time| *time > 0);
    let clocks = time.map(|theirs| (now, theirs));
    let others = welcome.map(|welcome| welcome.networks).unwrap_or_default();
    Ok(Entry { joined, is_guest, has_spent, clocks, others, large })
}

async fn join(
    stream: &mut TcpStream,
    decoder: &mut FrameDecoder,
    frames: Vec<(FrameType, Vec<u8>)>,
    applicant: &Applicant,
) -> Result<(Joined, Option<dosp_proto::member::Welcome>), EntryError> {
    let config =
        JoinConfig { wanted: applicant.vip, explicit: applicant.vip.is_some(), first: true };
    let mut rng: StdRng = rand::make_rng();
    let mut join = Join::new(config, Arc::new(applicant.credentials.clone()), clock::instant());
    for (frame_type, body) in frames {
        join.handle_frame(frame_type, &body, clock::instant(), &mut rng)?;
    }
    loop {
        while let Some(frame) = decoder.next_frame().map_err(LinkError::from)? {
            let frame_type = frame.frame_type();
            join.handle_frame(frame_type, frame.body(), clock::instant(), &mut rng)?;
        }
        let mut out = Vec::new();
        join.poll_transmit(&mut out);
        stream.write_all(&out).await.map_err(LinkError::from)?;
        if let Some(joined) = join.poll_joined() {
            return Ok((joined, join.take_membership().map(|member| member.welcome)));
        }
        let until = join.poll_timeout().unwrap_or_else(clock::instant);
        let patience = until.saturating_duration_since(clock::instant());
        match timeout(patience, stream.read(decoder.space())).await {
            Ok(Ok(0)) => return Err(LinkError::Closed.into()),
            Ok(Ok(len)) => decoder.advance(len),
            Ok(Err(error)) => return Err(LinkError::from(error).into()),
            Err(_) => join.handle_timeout(clock::instant())?,
        }
    }
}

/// A frame to ourselves, longer than a segment: the way to the hub and back, at full width.
async fn echo(stream: &mut TcpStream, decoder: &mut FrameDecoder, vip: Vip) -> Large {
    let before = acked(stream);
    let frame = encode_echo(vip, ECHO_LEN);
    if stream.write_all(&frame).await.is_err() {
        return Large::Unknown;
    }
    match timeout(ECHO_TIMEOUT, returned(stream, decoder)).await {
        Ok(true) => Large::Passes,
        Ok(false) => Large::Unknown,
        // What was acknowledged has reached the hub's kernel.
        Err(_) => match (before, acked(stream)) {
            (Some(before), Some(now)) if now >= before + frame.len() as u64 => Large::NotBack,
            (Some(_), Some(_)) => Large::NotThere,
            _ => Large::Unknown,
        },
    }
}

fn acked(stream: &TcpStream) -> Option<u64> {
    socket::path_sample(stream).ok()?.acked_len
}

/// Whether our own frame comes back; `false` where the connection ends.
async fn returned(stream: &mut TcpStream, decoder: &mut FrameDecoder) -> bool {
    loop {
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) if frame.frame_type() == FrameType::S2C => {
                    if frame.body().len() > ECHO_LEN {
                        return true;
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        match stream.read(decoder.space()).await {
            Ok(0) | Err(_) => return false,
            Ok(len) => decoder.advance(len),
        }
    }
}

/// What came of an own join.
pub(super) fn judge(entered: Result<&Entry, Failure>) -> Finding {
    let check = Check::Join;
    match entered {
        Ok(entry) => {
            let Joined { vip, network, .. } = entry.joined;
            let who = if entry.is_guest { "a guest" } else { "this host" };
            let spent = if entry.has_spent {
                "; that used up the join string, and the place stays this host's"
            } else {
                ""
            };
            Finding::ok(check, format!("the hub lets {who} in, as {vip} in {network}{spent}"))
        }
        Err(failure) => Finding::failure(check, &failure),
    }
}

/// What the running agent says of its own.
pub(super) fn judge_agent(status: &Status) -> Finding {
    let check = Check::Join;
    match (status.state, status.vip, status.network) {
        (State::Up, Some(vip), Some(network)) => {
            Finding::ok(check, format!("the running agent is in, as {vip} in {network}"))
        }
        (state, ..) => {
            let why = status.last_error.as_deref().unwrap_or("it has just begun");
            let what = format!("the running agent is {}: {why}", state.name());
            let fix = "see the findings above; the agent goes on trying";
            Finding::fail(check, Exit::NotReachable, what, fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use dosp_proto::member::{Refusal, Refused};

    use super::super::finding::Verdict;
    use super::*;

    fn refused(reason: Refusal) -> Failure {
        let refused = Refused { reason, text: "no".to_owned(), time: 0 };
        EntryError::from(JoinError::NotAdmitted(refused)).into()
    }

    #[test]
    fn refusals_have_their_fix() {
        for (reason, fix) in [
            (Refusal::MembersOnly, "dosp-agent join STRING"),
            (Refusal::UsedKey, "a new join string"),
            (Refusal::Removed, "a new join string"),
        ] {
            let finding = judge(Err(refused(reason)));
            assert_eq!(finding.verdict, Verdict::Fail(Exit::Refused));
            assert!(finding.fix.as_ref().unwrap().contains(fix), "{finding:?}");
        }
    }

    #[test]
    fn running_agent_is_believed() {
        let golden = include_str!("../status/golden.json");
        let mut status: Status = serde_json::from_str(golden).unwrap();
        let up = judge_agent(&status);
        let what = "the running agent is in, as 7.10.0.2 in 7.10.0.0/24";
        assert_eq!(up, Finding::ok(Check::Join, what));
        status.state = State::Connecting;
        let finding = judge_agent(&status);
        assert_eq!(finding.verdict, Verdict::Fail(Exit::NotReachable));
        assert!(finding.what.contains("the hub closed the connection"), "{finding:?}");
    }
}
