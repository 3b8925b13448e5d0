//! A member of a closed hub that joins and does nothing else: light enough to have a hundred of them.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use dosp_proto::frame::{self, DEFAULT_MAX_BODY_LEN, FrameDecoder, FrameType};
use dosp_proto::identity::IdentityKey;
use dosp_proto::member::{Control, Dialler, Join, Purpose, Welcome};
use nix::sched::{CloneFlags, setns};
use rand::rngs::StdRng;

use crate::netns::Namespace;

/// For one read or write.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has this thread, and what it starts, live in a namespace from here on.
///
/// # Errors
/// There is none, or it is not this user's.
pub fn enter(namespace: &Namespace) -> Result<()> {
    let path = namespace.path();
    let file = File::open(&path).with_context(|| format!("open {path:?}"))?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| anyhow!("enter {path:?}: {error}"))
}

/// Joins over a connected socket, and keeps the connection.
///
/// # Errors
/// The hub refuses, or the connection ends.
pub fn join(socket: TcpStream, key: &IdentityKey, join: Join) -> Result<(Member, Welcome)> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut member = Member { socket, decoder: FrameDecoder::new(DEFAULT_MAX_BODY_LEN) };
    let mut greeting = Vec::new();
    for wanted in [FrameType::AIP, FrameType::HSK] {
        frame::encode(&mut greeting, wanted, &member.frame_of(wanted)?);
    }
    let (dialler, first) =
        Dialler::start(Purpose::Join, key, &greeting, &mut rand::make_rng::<StdRng>())?;
    member.socket.write_all(&first)?;
    let introduced = dialler.read_answer(key, &member.frame_of(FrameType::XHS)?)?;
    let (third, mut channel) = introduced.finish()?;
    let mut out = third;
    channel.sealer.seal(&Control::Join(Box::new(join)), &mut out);
    member.socket.write_all(&out)?;
    loop {
        match channel.opener.open(&member.frame_of(FrameType::XCTL)?)? {
            Control::Welcome(welcome) => return Ok((member, *welcome)),
            Control::Refused(refused) => bail!("refused: {}", refused.text),
            _ => {}
        }
    }
}

/// The connection of a member.
#[derive(Debug)]
pub struct Member {
    socket: TcpStream,
    decoder: FrameDecoder,
}

impl Member {
    fn frame_of(&mut self, wanted: FrameType) -> Result<Vec<u8>> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                let (is, body) = (frame.frame_type(), frame.body());
                ensure!(is == wanted, "{is} in place of {wanted}: {}", body.escape_ascii());
                return Ok(body.to_vec());
            }
            let len = self.socket.read(self.decoder.space()).context("read from the hub")?;
            ensure!(len > 0, "the hub closed the connection");
            self.decoder.advance(len);
        }
    }
}
