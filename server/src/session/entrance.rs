//! How a session becomes a member's: the handshake, and the words that are sealed after it.

use dosp_proto::frame::FrameType;
use dosp_proto::identity::{IdentityKey, PublicKey};
use dosp_proto::member::{Answerer, Channel, Control, Join, NoiseError, Opener, Purpose, Sealer};
use rand::rngs::StdRng;
use tracing::info;

use super::End;
use super::reader::Reader;
use crate::link::{Arrival, Proof};
use crate::state::JoinOutcome;

/// How far a session is on its way in.
#[derive(Debug)]
pub(super) enum Entrance {
    /// The hub has no members, and nobody answers.
    Walled,
    /// Nothing has been said yet.
    Outside,
    /// The hub has shown its key.
    Answered(Box<Answerer>),
    /// The agent has shown its key.
    Inside(Opener),
}

/// What an XHS frame led to.
enum Shaken {
    /// The hub's answer, a frame.
    Answer(Vec<u8>),
    /// The agent has shown its key; what is said to it is sealed with this.
    Known(PublicKey, Box<Sealer>),
    /// Another hub has shown its key.
    Hub(PublicKey, Box<Channel>),
}

impl Entrance {
    /// Takes the body of an XHS frame. `greeting` is what the hub has said before.
    fn shake(
        &mut self,
        identity: &IdentityKey,
        greeting: &[u8],
        body: &[u8],
    ) -> Result<Shaken, NoiseError> {
        match std::mem::replace(self, Self::Walled) {
            Self::Outside => {
                let mut rng: StdRng = rand::make_rng();
                let (answerer, frame) = Answerer::answer(identity, greeting, body, &mut rng)?;
                *self = Self::Answered(Box::new(answerer));
                Ok(Shaken::Answer(frame))
            }
            Self::Answered(answerer) => {
                let purpose = answerer.purpose();
                let (key, channel) = answerer.finish(body)?;
                if purpose == Purpose::Peer {
                    return Ok(Shaken::Hub(key, Box::new(channel)));
                }
                *self = Self::Inside(channel.opener);
                Ok(Shaken::Known(key, Box::new(channel.sealer)))
            }
            // Once a connection.
            Self::Walled | Self::Inside(_) => Err(NoiseError::Forged),
        }
    }
}

impl Reader {
    pub(super) fn handle_handshake(&mut self, body: &[u8]) -> Result<(), End> {
        let Some(membership) = &self.shared.membership else { return Ok(()) };
        // Counted once a handshake, when it begins.
        if matches!(self.entrance, Entrance::Outside) && !self.shared.may_shake(self.addr.ip()) {
            return Err(End::Busy);
        }
        match self.entrance.shake(&membership.identity, self.seat.greeting(), body)? {
            Shaken::Answer(frame) => self.seat.outbox.reply(&frame, 1, || {}),
            Shaken::Known(key, sealer) => self.shared.introduce(self.seat.id, key, *sealer),
            Shaken::Hub(key, channel) => return Err(self.take_for_peer(key, *channel)),
        }
        Ok(())
    }

    fn take_for_peer(&self, key: PublicKey, channel: Channel) -> End {
        match self.shared.federation.peer_with_key(&key) {
            Some(peer) => End::Linked(Box::new(Arrival { peer, proof: Proof::Key(key, channel) })),
            None => End::NotAPeer(key.fingerprint()),
        }
    }

    /// A published hub begins with SD, and a client never does. It is one where its address is a peer's
    /// that has no key.
    pub(super) fn handle_first_advertisement(&self, body: &[u8]) -> Option<End> {
        let peer = self.shared.federation.published_at(self.addr)?;
        let proof = Proof::Address(Some(body.to_vec()));
        Some(End::Linked(Box::new(Arrival { peer, proof })))
    }

    pub(super) async fn handle_sealed(&mut self, body: &[u8]) -> Result<(), End> {
        let Entrance::Inside(opener) = &mut self.entrance else { return Ok(()) };
        let word = opener.open(body)?;
        match word {
            Control::Join(join) if !self.is_member => self.join(*join).await,
            Control::Pong => {
                self.shared.pong(self.seat.id);
                Ok(())
            }
            Control::Leave if self.is_member => {
                self.shared.leave_network(self.seat.id).await;
                Err(End::Left)
            }
            word if self.is_member => match control_frame(word) {
                Some((frame_type, body)) => self.handle_control(frame_type, &body).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn join(&mut self, join: Join) -> Result<(), End> {
        match self.shared.join(self.seat.id, join, self.span.clone()).await {
            JoinOutcome::Welcomed(vip) => {
                (self.is_member, self.stranger_until) = (true, None);
                self.span.record("vip", tracing::field::display(vip));
                info!(parent: &self.span, "session up");
                Ok(())
            }
            JoinOutcome::Refused => Err(End::NotAdmitted),
        }
    }
}

/// Whether a member may send a frame of this type as it is; everything else must be sealed.
pub(super) fn is_open(frame_type: FrameType) -> bool {
    matches!(frame_type, FrameType::S2C | FrameType::PING | FrameType::EXIT)
}

/// The control frame in a sealed word, if one of this type may be there.
fn control_frame(word: Control) -> Option<(FrameType, Vec<u8>)> {
    let Control::Frame(frame_type, body) = word else { return None };
    let is_control = !matches!(
        frame_type,
        FrameType::S2C | FrameType::MPAK | FrameType::XHS | FrameType::XCTL | FrameType::EXIT
    );
    is_control.then_some((frame_type, body))
}
