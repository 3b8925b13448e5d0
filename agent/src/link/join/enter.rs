//! Entering a network that has members: the handshake with the hub, and what it answers.

use std::time::Instant;

use dosp_proto::frame::FrameType;
use dosp_proto::identity::{IdentityKey, PublicKey};
use dosp_proto::join_string::JoinKey;
use dosp_proto::label::Label;
use dosp_proto::member::{self, Channel, Control, Dialler, Purpose, Refused, Welcome};
use dosp_proto::message::Hsk;
use rand::CryptoRng;

use super::{JOIN_TIMEOUT, Join, JoinError, Joined, State};

/// Who wants to join, and what it knows of the network.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// This node's key.
    pub identity: IdentityKey,
    /// The hub's key, of a join string or pinned. A hub with another one, or none, is refused.
    pub hub_key: Option<PublicKey>,
    /// The right to join. It is shown only to the hub whose key is known.
    pub join_key: Option<JoinKey>,
    /// What this node wants to be called.
    pub name: Option<Label>,
    /// Whether a person said so: then no other name will do at the first join.
    pub insists_on_name: bool,
    /// Whether the node is gone for good after this connection.
    pub is_guest: bool,
}

/// What a node has besides a vIP in a network that has members.
#[derive(Debug)]
pub struct Membership {
    /// To the hub and from it.
    pub channel: Channel,
    /// The hub's key.
    pub hub_key: PublicKey,
    /// What the hub says.
    pub welcome: Welcome,
}

/// How far entering is.
#[derive(Debug)]
pub(super) enum Entering {
    /// The hub has our first message.
    Introducing(Dialler),
    /// The hub knows who we are and what we want.
    Knocking { channel: Box<Channel>, hub_key: PublicKey },
}

impl Join {
    /// Begins the handshake with a hub that has members.
    pub(super) fn enter(
        &mut self,
        hub: Hsk,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<(), JoinError> {
        let (dialler, frame) =
            Dialler::start(Purpose::Join, &self.credentials.identity, &self.greeting, rng)?;
        self.transmit.extend(frame);
        self.entering = Some(Entering::Introducing(dialler));
        self.state = State::Entering { hub, until: now + JOIN_TIMEOUT };
        Ok(())
    }

    /// Whether a hub that has members is deciding about us.
    #[must_use]
    pub const fn is_entering(&self) -> bool {
        matches!(self.state, State::Entering { .. })
    }

    /// What the hub is to send next.
    pub(super) fn awaits(&self) -> FrameType {
        match self.entering {
            Some(Entering::Introducing(_)) => FrameType::XHS,
            Some(Entering::Knocking { .. }) | None => FrameType::XCTL,
        }
    }

    pub(super) fn handle_entering(
        &mut self,
        hub: Hsk,
        frame_type: FrameType,
        body: &[u8],
        now: Instant,
    ) -> Result<(), JoinError> {
        match (self.entering.take(), frame_type) {
            (Some(Entering::Introducing(dialler)), FrameType::XHS) => {
                self.handle_hub_key(dialler, body)?;
                self.state = State::Entering { hub, until: now + JOIN_TIMEOUT };
                Ok(())
            }
            (Some(Entering::Knocking { channel, hub_key }), FrameType::XCTL) => {
                self.handle_word(*channel, hub_key, hub, body)
            }
            (entering, _) => {
                self.entering = entering;
                Ok(())
            }
        }
    }

    /// Shows our key, and the join key, to the hub that is meant and to no other.
    fn handle_hub_key(&mut self, dialler: Dialler, body: &[u8]) -> Result<(), JoinError> {
        let introduced = dialler.read_answer(&self.credentials.identity, body)?;
        let hub_key = *introduced.hub_key();
        if let Some(known) = self.credentials.hub_key.filter(|known| *known != hub_key) {
            let (known, offered) = (known.fingerprint(), hub_key.fingerprint());
            return Err(JoinError::HubKey { known, offered });
        }
        let (frame, mut channel) = introduced.finish()?;
        self.transmit.extend(frame);
        channel.sealer.seal(&Control::Join(Box::new(self.wishes())), &mut self.transmit);
        self.entering = Some(Entering::Knocking { channel: Box::new(channel), hub_key });
        Ok(())
    }

    /// What a person said counts once; after that the hub's administrator has the last word.
    fn wishes(&self) -> member::Join {
        let credentials = &self.credentials;
        member::Join {
            join_key: credentials.join_key.clone().filter(|_| credentials.hub_key.is_some()),
            name: credentials.name.clone(),
            insists_on_name: credentials.insists_on_name && self.config.first,
            vip: self.config.wanted.filter(|_| self.must_have_wanted()),
            is_guest: credentials.is_guest,
        }
    }

    fn handle_word(
        &mut self,
        mut channel: Channel,
        hub_key: PublicKey,
        hub: Hsk,
        body: &[u8],
    ) -> Result<(), JoinError> {
        match channel.opener.open(body)? {
            Control::Welcome(welcome) => {
                let vip = super::usable(welcome.vip)?;
                if !welcome.network.is_assignable(vip) {
                    return Err(JoinError::UnusableVip { vip });
                }
                let moved = self.config.wanted.is_some_and(|wanted| wanted != vip);
                self.joined = Some(Joined { vip, network: welcome.network, hub, moved });
                self.membership = Some(Membership { channel, hub_key, welcome: *welcome });
                self.state = State::Done;
                return Ok(());
            }
            Control::Refused(refused) => return Err(not_admitted(refused)),
            Control::Ping => channel.sealer.seal(&Control::Pong, &mut self.transmit),
            _ => {}
        }
        self.entering = Some(Entering::Knocking { channel: Box::new(channel), hub_key });
        Ok(())
    }
}

fn not_admitted(refused: Refused) -> JoinError {
    let text = super::reason(refused.text.as_bytes());
    JoinError::NotAdmitted(Refused { text, ..refused })
}
