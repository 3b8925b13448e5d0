//! `dosp-agent secret`: the secret that the agents of a network share.

use std::io::Write;

use dosp_proto::secret::NetworkSecret;
use rand::rngs::StdRng;

use crate::failure::Failure;

/// Prints a new one: `dosp-agent secret new`.
pub(crate) fn new() -> Result<(), Failure> {
    let secret = NetworkSecret::generate(&mut rand::make_rng::<StdRng>());
    Ok(writeln!(std::io::stdout(), "{}", *secret.to_text())?)
}
