//! Looks after the options of one connection while it runs. A shell without a clock, a timer or a
//! task: its owner calls it.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::congestion::{Algorithm, Chooser, Congestion, PathSample};
use crate::pace::{Bounds, Pace};
use crate::socket;

/// Time between two samples at least: they cost a system call, and paths do not change faster.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// Why a congestion control is not used; the connection keeps the one that it has.
#[derive(Debug, thiserror::Error)]
#[error("use the congestion control {}", wanted.name())]
pub struct RefusedError {
    /// What was wanted.
    pub wanted: Algorithm,
    /// What the system said.
    source: io::Error,
}

impl RefusedError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let name = self.wanted.name();
        match self.source.raw_os_error() {
            Some(libc::EPERM) => format!(
                "add {name} to 'sysctl net.ipv4.tcp_allowed_congestion_control', or grant \
                 CAP_NET_ADMIN"
            ),
            Some(libc::ENOENT) => format!("the kernel does not have it: try 'modprobe tcp_{name}'"),
            _ => "the connection broke at once; or the kernel is very old".to_owned(),
        }
    }
}

/// What a call has changed.
#[derive(Debug, Default)]
pub struct Change {
    /// The bounds of what waits, where they are new. The kernel's is set; the target is for the
    /// queue before it.
    pub bounds: Option<Bounds>,
    /// The congestion control that the connection has now, where it is new.
    pub congestion: Option<Algorithm>,
    /// What could not be used, said once.
    pub refused: Option<RefusedError>,
}

/// How a connection fares, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The congestion control, by its name in the kernel; empty before the first sample.
    pub congestion: String,
    /// Bytes that may wait unsent in the kernel.
    pub unsent_limit: u32,
    /// The smoothed round trip.
    pub rtt: Duration,
    /// The shortest round trip of the last minutes.
    pub min_rtt: Duration,
    /// What arrives, in bytes per second, where it is known.
    pub delivery_rate: Option<u64>,
    /// Segments sent once more so far.
    pub retransmitted: u32,
    /// Bytes that the other end's kernel has taken; nothing before the first sample.
    pub acked_len: Option<u64>,
    /// What was asked for.
    pub wanted: Congestion,
    /// What of it could not be used last, and why.
    pub refused: Option<String>,
}

/// What is asked for, and what is left to decide.
#[derive(Debug)]
enum Wish {
    /// To be set with the first sample, and that is all.
    Once(Algorithm),
    /// Cubic, where it can be had, and then by the path.
    Begin,
    Follow(Chooser),
    /// Nothing to be done.
    Settled,
}

/// Owns the choices of one connection.
#[derive(Debug)]
pub struct Governor {
    wanted: Congestion,
    wish: Wish,
    pace: Pace,
    sample: PathSample,
    congestion: String,
    refused: Option<String>,
    due_at: Option<Instant>,
}

impl Governor {
    /// For a connection that [`socket::prepare`] has seen and this has not.
    #[must_use]
    pub fn new(congestion: Congestion) -> Self {
        let wish = match congestion {
            Congestion::Auto => Wish::Begin,
            Congestion::Kernel => Wish::Settled,
            Congestion::Cubic => Wish::Once(Algorithm::Cubic),
            Congestion::Bbr => Wish::Once(Algorithm::Bbr),
        };
        Self {
            wanted: congestion,
            wish,
            pace: Pace::default(),
            sample: PathSample::default(),
            congestion: String::new(),
            refused: None,
            due_at: None,
        }
    }

    /// Whether [`Self::tick`] has something to do.
    #[must_use]
    pub fn due(&self, now: Instant) -> bool {
        self.due_at.is_none_or(|at| at <= now)
    }

    /// Samples the connection, where it is due, and sets what follows of that. Says what changed.
    /// A connection that is broken changes nothing: who reads or writes it will see.
    pub fn tick(&mut self, socket: &impl AsFd, now: Instant) -> Option<Change> {
        if !self.due(now) {
            return None;
        }
        let is_first = self.due_at.replace(now + SAMPLE_INTERVAL).is_none();
        let mut change = Change::default();
        if is_first {
            self.congestion = socket::congestion(socket).unwrap_or_default();
            self.begin(socket, &mut change);
        }
        if let Ok(sample) = socket::path_sample(socket) {
            self.sample = sample;
            self.choose(socket, now, &mut change);
            let algorithm = Algorithm::of_name(&self.congestion);
            let bounds = self.pace.feed(&sample, algorithm, now);
            change.bounds = bounds.filter(|bounds| {
                // Where pacing is not to be had the other bounds still hold.
                socket::set_max_pacing_rate(socket, bounds.max_pacing_rate).ok();
                socket::set_unsent_limit(socket, bounds.unsent_limit).is_ok()
            });
        }
        if let Some(refused) = &change.refused {
            self.refused = Some(format!("{}: {}", refused.wanted.name(), refused.source));
        }
        let changed =
            change.bounds.is_some() || change.congestion.is_some() || change.refused.is_some();
        changed.then_some(change)
    }

    /// How the connection fared when it was last sampled.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            congestion: self.congestion.clone(),
            unsent_limit: self.pace.bounds().unsent_limit,
            rtt: self.sample.rtt,
            min_rtt: self.sample.min_rtt,
            delivery_rate: self.sample.delivery_rate,
            retransmitted: self.sample.retransmitted_segments,
            acked_len: self.sample.acked_len,
            wanted: self.wanted,
            refused: self.refused.clone(),
        }
    }

    fn begin(&mut self, socket: &impl AsFd, change: &mut Change) {
        match self.wish {
            Wish::Once(algorithm) => {
                self.set(socket, algorithm, change);
                self.wish = Wish::Settled;
            }
            Wish::Begin => {
                self.set(socket, Algorithm::Cubic, change);
                // That cubic is not there is no news: nobody asked for it.
                change.refused = None;
                let is_bbr = self.congestion == Algorithm::Bbr.name();
                self.wish = if is_bbr { Wish::Settled } else { Wish::Follow(Chooser::new()) };
            }
            Wish::Follow(_) | Wish::Settled => {}
        }
    }

    fn choose(&mut self, socket: &impl AsFd, now: Instant, change: &mut Change) {
        let Wish::Follow(chooser) = &mut self.wish else { return };
        let Some(algorithm) = chooser.feed(&self.sample, now) else { return };
        self.set(socket, algorithm, change);
        if change.refused.is_some() {
            self.wish = Wish::Settled;
        }
    }

    fn set(&mut self, socket: &impl AsFd, algorithm: Algorithm, change: &mut Change) {
        if self.congestion == algorithm.name() {
            return;
        }
        match socket::set_congestion(socket, algorithm) {
            Ok(()) => {
                self.congestion = algorithm.name().to_owned();
                change.congestion = Some(algorithm);
            }
            Err(source) => change.refused = Some(RefusedError { wanted: algorithm, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::MAX_UNSENT_LIMIT;
    use crate::socket::tests::{carry, connection};

    /// What the kernel would give a connection that asked for `algorithm`.
    fn outcome(algorithm: Algorithm) -> String {
        let (near, _far) = connection();
        drop(socket::set_congestion(&near, algorithm));
        socket::congestion(&near).unwrap()
    }

    #[test]
    fn kernels_choice_is_not_touched() {
        let (near, _far) = connection();
        let before = socket::congestion(&near).unwrap();
        let mut governor = Governor::new(Congestion::Kernel);
        assert!(governor.tick(&near, Instant::now()).is_none());
        assert_eq!(governor.report().congestion, before);
        assert_eq!(socket::congestion(&near).unwrap(), before);
    }

    #[test]
    fn wish_is_set_once_or_refused_once() {
        for (wish, algorithm) in
            [(Congestion::Cubic, Algorithm::Cubic), (Congestion::Bbr, Algorithm::Bbr)]
        {
            let (near, _far) = connection();
            let before = socket::congestion(&near).unwrap();
            let (mut governor, now) = (Governor::new(wish), Instant::now());
            let change = governor.tick(&near, now).unwrap_or_default();
            let after = governor.report().congestion;
            assert_eq!(after, socket::congestion(&near).unwrap());
            assert_eq!(after, outcome(algorithm));
            assert_eq!(change.congestion, (after != before).then_some(algorithm));
            assert_eq!(change.refused.is_some(), after != algorithm.name());
            let report = governor.report();
            assert_eq!((report.wanted, report.refused.is_some()), (wish, change.refused.is_some()));
            assert!(governor.tick(&near, now + SAMPLE_INTERVAL).is_none(), "all has been said");
        }
    }

    #[test]
    fn auto_begins_with_cubic_where_that_can_be_had() {
        let (near, _far) = connection();
        let mut governor = Governor::new(Congestion::Auto);
        let change = governor.tick(&near, Instant::now()).unwrap_or_default();
        assert!(change.refused.is_none() && governor.report().refused.is_none());
        assert_eq!(socket::congestion(&near).unwrap(), outcome(Algorithm::Cubic));
    }

    #[test]
    fn samples_are_an_interval_apart() {
        let (mut near, mut far) = connection();
        let (mut governor, now) = (Governor::new(Congestion::Kernel), Instant::now());
        assert!(governor.due(now));
        governor.tick(&near, now);
        assert!(!governor.due(now) && governor.due(now + SAMPLE_INTERVAL));
        assert_eq!(governor.report().delivery_rate, None);
        carry(&mut near, &mut far, 1 << 20);
        assert!(governor.tick(&near, now + SAMPLE_INTERVAL / 2).is_none());
        assert_eq!(governor.report().delivery_rate, None, "not due");
        governor.tick(&near, now + SAMPLE_INTERVAL);
        let report = governor.report();
        assert!(report.delivery_rate.is_some() && report.rtt > Duration::ZERO, "{report:?}");
        assert!(report.unsent_limit <= MAX_UNSENT_LIMIT);
        assert!(report.acked_len.is_some_and(|len| len >= 1 << 20), "{report:?}");
    }

    #[test]
    fn refusal_says_what_to_do() {
        for (errno, word) in [(libc::EPERM, "sysctl"), (libc::ENOENT, "modprobe tcp_bbr")] {
            let source = io::Error::from_raw_os_error(errno);
            let refused = RefusedError { wanted: Algorithm::Bbr, source };
            assert_eq!(refused.to_string(), "use the congestion control bbr");
            assert!(refused.hint().contains(word), "{}", refused.hint());
        }
    }
}
