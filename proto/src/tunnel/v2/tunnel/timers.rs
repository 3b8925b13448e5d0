//! What a tunnel does because time passes.

use rand::RngExt;

use super::*;

/// After so long without a session an opening is given up; the next packet makes a new one.
const GIVE_UP: Duration = Duration::from_secs(90);
/// Who has had no answer for so long sends no more in that session: what is said to nobody would only
/// be lost. The session still receives.
const SILENT_AFTER: Duration = Duration::from_secs(25);
/// An opening is repeated at least this often.
const MAX_RETRY: Duration = Duration::from_secs(5);

impl Tunnel {
    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let opener = self.opener.as_ref().map(|opener| opener.retry_at);
        let proving = self.proving.as_ref();
        let proving = proving.map(|proving| proving.repeat_at.unwrap_or(proving.give_up_at));
        let current = self.current.as_ref().map(|session| session.created_at + MAX_AGE);
        let older = self.older.iter().map(|older| older.until);
        let timers = [opener, proving, current, self.keepalive_at, self.unanswered_at];
        timers.into_iter().flatten().chain(older).min()
    }

    /// Repeats what has no answer, gives signs of life, and erases what is too old. Afterwards
    /// [`Self::needs_opening`] may say that a new opening is due.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        self.older.retain(|older| older.until > now);
        self.current.take_if(|session| session.has_ended(now));
        self.proving_timeout(now);
        self.opener_timeout(now, rng);
        self.unanswered_timeout(now);
        if self.keepalive_at.is_some_and(|at| at <= now) {
            self.keepalive_at = None;
            self.send_keepalive(&[], now);
        }
    }

    fn opener_timeout(&mut self, now: Instant, rng: &mut impl CryptoRng) {
        let Some(opener) = self.opener.as_mut().filter(|opener| opener.retry_at <= now) else {
            return;
        };
        if now.duration_since(opener.since) >= GIVE_UP {
            self.opener = None;
            return;
        }
        opener.retry_after = (opener.retry_after * 2).min(MAX_RETRY);
        opener.retry_at = now + jittered(opener.retry_after, rng);
        self.outgoing.push_back(opener.data.clone());
    }

    fn unanswered_timeout(&mut self, now: Instant) {
        let Some(since) = self.unanswered_since else { return };
        if self.unanswered_at.is_none_or(|at| at > now) {
            return;
        }
        self.rekey_due = true;
        self.is_silent = now >= since + SILENT_AFTER;
        self.unanswered_at = Some(since + SILENT_AFTER).filter(|_| !self.is_silent);
    }

    /// Something of the peer verified.
    pub(super) fn answered(&mut self) {
        (self.unanswered_since, self.unanswered_at, self.is_silent) = (None, None, false);
    }

    fn proving_timeout(&mut self, now: Instant) {
        let Some(proving) = &mut self.proving else { return };
        if proving.give_up_at <= now {
            self.reopen_since =
                Some(proving.since).filter(|since| now.duration_since(*since) < GIVE_UP);
            self.proving = None;
        } else if proving.repeat_at.is_some_and(|at| at <= now) {
            proving.num_repeats += 1;
            proving.repeat_at = PROOF_REPEATS.get(proving.num_repeats).map(|after| now + *after);
            self.outgoing.push_back(proving.data.clone());
        }
    }
}

/// `duration`, longer by up to a quarter.
pub(super) fn jittered(duration: Duration, rng: &mut impl CryptoRng) -> Duration {
    duration + duration.mul_f64(rng.random_range(0.0..0.25))
}
