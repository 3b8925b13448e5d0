//! The handshakes `Noise_XXpsk3_25519_AESGCM_SHA256`, between agents, and
//! `Noise_XX_25519_AESGCM_SHA256`, with a hub: the library's state machine over this crate's own
//! generation of primitives.
//!
//! The library is asked in one way only, so that its edges cannot cut anybody: an initiator's state
//! is made anew for every answer that it tries, from the same ephemeral secret, because a state that
//! took a forged answer cannot take the true one; a responder's state is used up by the one message 3
//! that it tries; keys are split, and the remote key is read, only when a message was accepted.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::identity::{IdentityKey, KEY_LEN, PublicKey};
use crate::secret::Psk;

const PATTERN_WITH_PSK: &str = "Noise_XXpsk3_25519_AESGCM_SHA256";
const PATTERN: &str = "Noise_XX_25519_AESGCM_SHA256";
/// Where the pattern mixes the network's key in.
const PSK_POSITION: u8 = 3;
const TAG_LEN: usize = 16;
/// Message 1 without a psk: an ephemeral key, and nothing to seal an empty payload with.
pub(crate) const PLAIN_MESSAGE_1_LEN: usize = KEY_LEN;
/// Message 1 with a psk: an ephemeral key and the tag over an empty payload.
pub(crate) const MESSAGE_1_LEN: usize = KEY_LEN + TAG_LEN;
/// The longest payload that is read. Ours are a fraction of it.
const MAX_PAYLOAD_LEN: usize = 4096;
/// What messages 2 and 3 add to a payload: at most two keys and two tags.
const MAX_OVERHEAD_LEN: usize = 2 * (KEY_LEN + TAG_LEN);

/// Why a handshake message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// It does not verify: damaged, forged, for another address, or under another network secret.
    #[error("the handshake message does not verify")]
    Forged,
    /// A public key that makes a secret known to everybody.
    #[error("the peer's public key is of low order")]
    LowOrderKey,
    /// Too short, or longer than any handshake message is.
    #[error("the handshake message has a wrong length")]
    Length,
}

impl From<snow::Error> for NoiseError {
    fn from(error: snow::Error) -> Self {
        match error {
            snow::Error::Dh => Self::LowOrderKey,
            snow::Error::Input => Self::Length,
            _ => Self::Forged,
        }
    }
}

/// What both sides of a handshake must agree on beforehand.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// With one the pattern is XXpsk3, else XX.
    pub(crate) psk: Option<Psk>,
    pub(crate) prologue: Vec<u8>,
}

/// The keys of a finished handshake, for this side.
pub(crate) struct Keys {
    pub(crate) seal: Zeroizing<[u8; KEY_LEN]>,
    pub(crate) open: Zeroizing<[u8; KEY_LEN]>,
}

/// Draws the ephemeral secret, a handshake's only randomness.
fn draw_ephemeral(rng: &mut impl CryptoRng) -> Zeroizing<[u8; KEY_LEN]> {
    let mut ephemeral = Zeroizing::new([0; KEY_LEN]);
    rng.fill_bytes(&mut *ephemeral);
    ephemeral
}

fn builder<'b>(
    identity: &'b [u8; KEY_LEN],
    terms: &'b Terms,
    ephemeral: &Zeroizing<[u8; KEY_LEN]>,
) -> Result<Builder<'b>, snow::Error> {
    let pattern = if terms.psk.is_some() { PATTERN_WITH_PSK } else { PATTERN };
    let params: NoiseParams = pattern.parse()?;
    let builder =
        Builder::with_resolver(params, Box::new(Primitives { ephemeral: ephemeral.clone() }))
            .local_private_key(identity)?
            .prologue(&terms.prologue)?;
    match &terms.psk {
        Some(psk) => builder.psk(PSK_POSITION, &psk.key),
        None => Ok(builder),
    }
}

/// Our half of an opening.
#[derive(Debug)]
pub(crate) struct Initiator {
    terms: Terms,
    ephemeral: Zeroizing<[u8; KEY_LEN]>,
}

impl Initiator {
    pub(crate) fn new(terms: Terms, rng: &mut impl CryptoRng) -> Self {
        Self { terms, ephemeral: draw_ephemeral(rng) }
    }

    /// Message 1, the same bytes every time.
    pub(crate) fn message_1(&self, identity: &IdentityKey) -> Result<Vec<u8>, NoiseError> {
        Ok(self.start(identity)?.1)
    }

    /// Reads message 2.
    pub(crate) fn read_message_2(
        &self,
        identity: &IdentityKey,
        message: &[u8],
    ) -> Result<Answered, NoiseError> {
        let (mut state, _) = self.start(identity)?;
        let (remote, payload) = read(&mut state, message)?;
        Ok(Answered { state, remote, payload })
    }

    fn start(&self, identity: &IdentityKey) -> Result<(HandshakeState, Vec<u8>), NoiseError> {
        let identity = identity.to_bytes();
        let mut state = builder(&identity, &self.terms, &self.ephemeral)?.build_initiator()?;
        let message = write(&mut state, &[])?;
        Ok((state, message))
    }
}

/// An opening whose answer was read: the responder's key is known, and ours not yet sent.
pub(crate) struct Answered {
    state: HandshakeState,
    pub(crate) remote: PublicKey,
    pub(crate) payload: Vec<u8>,
}

impl Answered {
    /// Message 3, which shows our key, and the keys of the session.
    pub(crate) fn message_3(mut self, payload: &[u8]) -> Result<(Vec<u8>, Keys), NoiseError> {
        let message = write(&mut self.state, payload)?;
        let (seal, open) = split(self.state)?;
        Ok((message, Keys { seal, open }))
    }
}

/// Our half of an answer.
pub(crate) struct Responder {
    state: HandshakeState,
}

impl Responder {
    /// Reads message 1 and writes message 2.
    pub(crate) fn answer(
        identity: &IdentityKey,
        terms: &Terms,
        message_1: &[u8],
        payload: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), NoiseError> {
        let (identity, ephemeral) = (identity.to_bytes(), draw_ephemeral(rng));
        let mut state = builder(&identity, terms, &ephemeral)?.build_responder()?;
        state.read_message(message_1, &mut [0; TAG_LEN])?;
        let message_2 = write(&mut state, payload)?;
        Ok((Self { state }, message_2))
    }

    /// Reads message 3, the one that this state can try.
    pub(crate) fn read_message_3(
        mut self,
        message: &[u8],
    ) -> Result<(PublicKey, Vec<u8>, Keys), NoiseError> {
        let (remote, payload) = read(&mut self.state, message)?;
        let (open, seal) = split(self.state)?;
        Ok((remote, payload, Keys { seal, open }))
    }
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
    let mut message = vec![0; payload.len() + MAX_OVERHEAD_LEN];
    let len = state.write_message(payload, &mut message)?;
    message.truncate(len);
    Ok(message)
}

/// Reads a message that shows the peer's static key.
fn read(state: &mut HandshakeState, message: &[u8]) -> Result<(PublicKey, Vec<u8>), NoiseError> {
    if message.len() > MAX_PAYLOAD_LEN + MAX_OVERHEAD_LEN {
        return Err(NoiseError::Length);
    }
    let mut payload = vec![0; message.len()];
    let len = state.read_message(message, &mut payload)?;
    payload.truncate(len);
    let remote = state.get_remote_static().and_then(|key| key.try_into().ok());
    let remote: [u8; KEY_LEN] = remote.ok_or(NoiseError::Forged)?;
    Ok((remote.into(), payload))
}

/// The keys from the initiator and to it.
#[expect(clippy::type_complexity, reason = "two keys, each erased when dropped")]
fn split(
    mut state: HandshakeState,
) -> Result<(Zeroizing<[u8; KEY_LEN]>, Zeroizing<[u8; KEY_LEN]>), NoiseError> {
    if !state.is_handshake_finished() {
        return Err(NoiseError::Forged);
    }
    let (from_initiator, to_initiator) = state.dangerously_get_raw_split();
    Ok((Zeroizing::new(from_initiator), Zeroizing::new(to_initiator)))
}

/// The primitives of both patterns, and the ephemeral secret in place of a random number generator.
struct Primitives {
    ephemeral: Zeroizing<[u8; KEY_LEN]>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Drawn(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::default()) as _)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha256Hash::default()) as _)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::AESGCM).then(|| Box::new(AesGcm(None)) as _)
    }
}

/// Gives the ephemeral secret once, and nothing after it.
struct Drawn(Option<Zeroizing<[u8; KEY_LEN]>>);

impl Random for Drawn {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let ephemeral = self.0.take().filter(|ephemeral| ephemeral.len() == dest.len());
        dest.copy_from_slice(&*ephemeral.ok_or(snow::Error::Rng)?);
        Ok(())
    }
}

#[derive(Default)]
struct X25519 {
    secret: Zeroizing<[u8; KEY_LEN]>,
    public: [u8; KEY_LEN],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_LEN
    }

    fn priv_len(&self) -> usize {
        KEY_LEN
    }

    fn set(&mut self, privkey: &[u8]) {
        // The library gives as many bytes as `priv_len` says.
        if let Ok(secret) = privkey.try_into() {
            self.secret = Zeroizing::new(secret);
            self.public = x25519_dalek::PublicKey::from(&StaticSecret::from(secret)).to_bytes();
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = Zeroizing::new([0; KEY_LEN]);
        rng.try_fill_bytes(&mut *secret)?;
        self.set(&*secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &*self.secret
    }

    /// The library itself would take a key of low order.
    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let public = pubkey.first_chunk::<KEY_LEN>().ok_or(snow::Error::Dh)?;
        let shared = StaticSecret::from(*self.secret).diffie_hellman(&(*public).into());
        let out = out.first_chunk_mut().ok_or(snow::Error::Dh)?;
        *out = shared.to_bytes();
        if shared.was_contributory() { Ok(()) } else { Err(snow::Error::Dh) }
    }
}

#[derive(Default)]
struct Sha256Hash(Sha256);

impl Hash for Sha256Hash {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let digest = self.0.finalize_reset();
        if let Some(out) = out.first_chunk_mut() {
            *out = digest.into();
        }
    }
}

struct AesGcm(Option<Box<Aes256Gcm>>);

/// 4 zero bytes and the counter, big-endian: the Noise specification's AESGCM.
pub(crate) fn nonce(counter: u64) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0; 12];
    let (_, tail) = nonce.split_at_mut(4);
    tail.copy_from_slice(&counter.to_be_bytes());
    nonce.into()
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; KEY_LEN]) {
        self.0 = Some(Box::new(Aes256Gcm::new(key.into())));
    }

    /// The library checks the lengths beforehand; where it did not, nothing is written.
    fn encrypt(&self, counter: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let len = plaintext.len();
        let (Some(gcm), Some((text, rest))) = (&self.0, out.split_at_mut_checked(len)) else {
            return 0;
        };
        text.copy_from_slice(plaintext);
        let tag = gcm.encrypt_inout_detached(&nonce(counter), authtext, text.into());
        match (tag, rest.first_chunk_mut::<TAG_LEN>()) {
            (Ok(tag), Some(place)) => *place = tag.into(),
            _ => return 0,
        }
        len + TAG_LEN
    }

    fn decrypt(
        &self,
        counter: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (text, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(snow::Error::Decrypt)?;
        let gcm = self.0.as_ref().ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..text.len()).ok_or(snow::Error::Decrypt)?;
        out.copy_from_slice(text);
        let (nonce, tag) = (nonce(counter), Tag::from(*tag));
        let opened = gcm.decrypt_inout_detached(&nonce, authtext, out.into(), &tag);
        opened.map(|()| text.len()).map_err(|_| snow::Error::Decrypt)
    }
}

#[cfg(test)]
mod tests;
