//! How a session comes to be: three messages, with a look at the peer's key before the third one.

use super::timers::jittered;
use super::*;
use crate::noise::NoiseError;
use crate::tunnel::v2::endpoint::AnswerError;

/// Where both open at once, the side with the lower vIP insists so long.
const INSIST_FOR: Duration = Duration::from_secs(5);
/// A session that nothing confirms is given up after so long.
const UNCONFIRMED_FOR: Duration = Duration::from_secs(5);

/// Why a handshake message was not taken. The tunnel is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// An opening that is not answered.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// It is not what it should be.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// It answers nothing that is under way.
    #[error("no handshake with this index is under way")]
    NoHandshake,
    /// Both sides opened at once, and ours stands.
    #[error("our own opening comes first")]
    Crossed,
    /// More of them than anybody needs.
    #[error("too many handshakes")]
    TooMany,
}

impl Tunnel {
    /// Starts a handshake, unless one is under way. `hello` is what a peer that knows only version 1
    /// sees.
    pub fn open(
        &mut self,
        endpoint: &mut Endpoint,
        ends: Ends,
        hello: &[u8; HELLO_LEN],
        now: Instant,
        rng: &mut impl CryptoRng,
    ) {
        if self.opener.is_some() || self.proving.is_some() {
            return;
        }
        let (initiator, psk_id) = endpoint.initiate(ends, rng);
        // Fails only where the library cannot work at all.
        let Ok(message) = initiator.message_1(endpoint.identity()) else { return };
        let Ok(noise) = message.as_slice().try_into() else { return };
        let index = endpoint.draw_index();
        let data = Opening { sender: index, psk_id, noise }.encode(hello);
        self.outgoing.push_back(data.clone());
        let since = self.reopen_since.take().unwrap_or(now);
        let retry_at = now + jittered(FIRST_RETRY, rng);
        self.rekey_due = false;
        self.opener = Some(Opener {
            initiator,
            index,
            data,
            since,
            opened_at: now,
            retry_at,
            retry_after: FIRST_RETRY,
        });
    }

    /// Answers the peer's opening.
    ///
    /// # Errors
    /// Why it is not answered.
    pub fn handle_opening(
        &mut self,
        opening: &Opening<'_>,
        endpoint: &mut Endpoint,
        ends: Ends,
        hello: &[u8; HELLO_LEN],
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<(), HandshakeError> {
        let insists = |opener: &Opener| {
            ends.ours < ends.theirs && now.duration_since(opener.opened_at) < INSIST_FOR
        };
        if self.opener.as_ref().is_some_and(insists) {
            return Err(HandshakeError::Crossed);
        }
        if !self.openings.take(now) {
            return Err(HandshakeError::TooMany);
        }
        let is_known = self.current.is_some();
        let answer = endpoint.answer(opening, ends, is_known, hello, now, rng)?;
        self.outgoing.push_back(answer);
        Ok(())
    }

    /// Takes the answer to our opening, and says whose it is. The opening goes on until
    /// [`Self::prove`], because anybody on the way can make an answer under a key of his own.
    ///
    /// `None` for the answer that was proved already: message 3 was lost, and is sent again.
    ///
    /// # Errors
    /// Why it is none.
    pub fn handle_answer(
        &mut self,
        reply: &Reply<'_>,
        endpoint: &Endpoint,
        now: Instant,
    ) -> Result<Option<Answer>, HandshakeError> {
        if let Some(proving) = &self.proving
            && proving.session.local_index == reply.receiver
        {
            if self.replies.take(now) {
                self.outgoing.push_back(proving.data.clone());
            }
            return Ok(None);
        }
        let opener = self.opener.as_ref().filter(|opener| opener.index == reply.receiver);
        let opener = opener.ok_or(HandshakeError::NoHandshake)?;
        if !self.replies.take(now) {
            return Err(HandshakeError::TooMany);
        }
        let answered = opener.initiator.read_message_2(endpoint.identity(), reply.noise)?;
        let introduction = Introduction::decode(&answered.payload);
        let (key, remote_index) = (answered.remote, reply.sender);
        Ok(Some(Answer { key, introduction, answered, remote_index }))
    }

    /// Shows our key to the peer that gave this answer, and opens the session.
    ///
    /// # Errors
    /// Where the opening is not under way any more.
    pub fn prove(
        &mut self,
        answer: Answer,
        endpoint: &Endpoint,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<(), HandshakeError> {
        let opener = self.opener.take().ok_or(HandshakeError::NoHandshake)?;
        let ours = endpoint.introduction();
        let (noise, keys) = answer.answered.message_3(&ours.encode())?;
        let proof = Reply { sender: opener.index, receiver: answer.remote_index, noise: &noise };
        let data = proof.encode_proof();
        self.outgoing.push_back(data.clone());
        let indices = (opener.index, answer.remote_index);
        let [first_repeat, ..] = PROOF_REPEATS;
        self.proving = Some(Proving {
            session: Session::new(Role::Initiator, indices, &keys, ours, now, rng),
            key: answer.key,
            introduction: answer.introduction,
            data,
            since: opener.since,
            num_repeats: 0,
            repeat_at: Some(now + first_repeat),
            give_up_at: now + UNCONFIRMED_FOR,
        });
        Ok(())
    }

    /// Takes the proof to an opening that was answered, and says who proved what.
    ///
    /// `None` for a proof that was taken already: it is met with a sign of life.
    ///
    /// # Errors
    /// Why it is none.
    pub fn handle_proof(
        &mut self,
        proof: &Reply<'_>,
        endpoint: &mut Endpoint,
        ends: Ends,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Proved>, HandshakeError> {
        if self.current.as_ref().is_some_and(|current| current.local_index == proof.receiver) {
            if self.replies.take(now) {
                self.greet(endpoint, now);
            }
            return Ok(None);
        }
        let proved = endpoint.finish(proof, ends, now, rng);
        Ok(Some(proved.ok_or(HandshakeError::NoHandshake)??))
    }

    /// Sends in the session of a peer that proved who it is.
    pub fn install(&mut self, proved: Proved, endpoint: &Endpoint, now: Instant) {
        self.verified_at = Some(now);
        self.replace(proved.session, proved.key, proved.introduction, now);
        self.greet(endpoint, now);
    }

    /// A sign of life that confirms the session, with our name, which message 2 does not have.
    fn greet(&mut self, endpoint: &Endpoint, now: Instant) {
        self.send_keepalive(&endpoint.introduction().encode(), now);
    }
}
