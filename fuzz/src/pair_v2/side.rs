//! One node, its tunnel, and what of it must not change.

use std::time::Instant;

use dosp_proto::identity::{IdentityKey, PublicKey};
use dosp_proto::offload::Offloads;
use dosp_proto::tunnel::v2::{Endpoint, Ends, Tunnel};
use dosp_proto::vip::Vip;
use rand::rngs::StdRng;

/// A node and its tunnel.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) endpoint: Endpoint,
    pub(super) tunnel: Tunnel,
    pub(super) ends: Ends,
}

/// What of a tunnel must not change when DATA fails.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    is_open: bool,
    pub(super) is_confirmed: bool,
    is_opening: bool,
    opening_since: Option<Instant>,
    session_since: Option<Instant>,
    verified_at: Option<Instant>,
    timeout: Option<Instant>,
    pub(super) key: Option<PublicKey>,
    pub(super) name: Option<String>,
}

impl Side {
    /// `number` makes the key, and nothing else.
    pub(super) fn new(number: usize, rng: &mut StdRng) -> Self {
        let identity = IdentityKey::from_bytes(&[0x41 + u8::try_from(number).unwrap(); 32]);
        let [a, b] = [Vip::from([10, 7, 0, 2]), Vip::from([10, 7, 0, 3])];
        let (ours, theirs) = [(a, b), (b, a), (b, a), (a, b)][number];
        let name = ["a", "b", "not-b", "not-a"][number].to_owned();
        Self {
            endpoint: Endpoint::new(identity, &[], Some(name), rng)
                .with_super_packets(Offloads { tcp: true, udp: true }),
            tunnel: Tunnel::default(),
            ends: Ends { ours, theirs },
        }
    }

    pub(super) fn state(&self) -> State {
        let tunnel = &self.tunnel;
        State {
            is_open: tunnel.is_open(),
            is_confirmed: tunnel.is_confirmed(),
            is_opening: tunnel.is_opening(),
            opening_since: tunnel.opening_since(),
            session_since: tunnel.session_since(),
            verified_at: tunnel.verified_at(),
            timeout: tunnel.poll_timeout(),
            key: tunnel.key().copied(),
            name: tunnel.introduction().and_then(|introduction| introduction.name.clone()),
        }
    }

    /// How many openings wait for their proof.
    pub(super) fn num_half_open(&self) -> usize {
        let text = format!("{:?}", self.endpoint);
        let (_, number) = text.split_once("num_half_open: ").expect("it is shown");
        let digits = number.split(|letter: char| !letter.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).expect("a number")
    }
}
