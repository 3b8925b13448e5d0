//! A member's connection.

use std::net::SocketAddrV4;

use anyhow::{Context, Result, bail, ensure};
use dosp_proto::frame::{self, FrameDecoder, FrameType};
use dosp_proto::identity::IdentityKey;
use dosp_proto::join_string::JoinString;
use dosp_proto::member::{Channel, Control, Dialler, Join, Purpose};
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::IO_TIMEOUT;

/// A page of the directory, sealed, and all else that a hub says.
const MAX_BODY_LEN: usize = 64 * 1024;
const READ_LEN: usize = 4 * 1024;

/// One connection, joined.
#[derive(Debug)]
pub(super) struct Link {
    stream: Frames,
    channel: Channel,
}

impl Link {
    pub(super) async fn join(
        hub: SocketAddrV4,
        identity: &IdentityKey,
        join: &JoinString,
        rng: &mut StdRng,
    ) -> Result<Self> {
        timeout(IO_TIMEOUT, Self::enter(hub, identity, join, rng)).await.context("join in time")?
    }

    async fn enter(
        hub: SocketAddrV4,
        identity: &IdentityKey,
        join: &JoinString,
        rng: &mut StdRng,
    ) -> Result<Self> {
        let mut stream = Frames::connect(hub).await?;
        let mut greeting = Vec::new();
        for frame_type in [FrameType::AIP, FrameType::HSK] {
            frame::encode(&mut greeting, frame_type, &stream.expect(frame_type).await?);
        }
        let (dialler, message_1) = Dialler::start(Purpose::Join, identity, &greeting, rng)?;
        stream.send(&message_1).await?;
        let message_2 = stream.expect(FrameType::XHS).await?;
        let introduced = dialler.read_answer(identity, &message_2)?;
        ensure!(*introduced.hub_key() == join.hub_key, "another hub");
        let (mut knock, mut channel) = introduced.finish()?;
        let wishes = Join { join_key: join.join_key.clone(), ..Join::default() };
        channel.sealer.seal(&Control::Join(Box::new(wishes)), &mut knock);
        stream.send(&knock).await?;
        let mut link = Self { stream, channel };
        loop {
            match link.hear().await? {
                Control::Welcome(_) => return Ok(link),
                Control::Refused(refused) => bail!("refused: {}", refused.text),
                _ => {}
            }
        }
    }

    /// Reads until the connection ends.
    pub(super) async fn stay(&mut self) {
        while self.hear().await.is_ok() {}
    }

    /// The next word, after an answer to it where it wants one.
    async fn hear(&mut self) -> Result<Control> {
        let body = self.stream.expect(FrameType::XCTL).await?;
        let word = self.channel.opener.open(&body)?;
        if word == Control::Ping {
            let mut pong = Vec::new();
            self.channel.sealer.seal(&Control::Pong, &mut pong);
            self.stream.send(&pong).await?;
        }
        Ok(word)
    }
}

/// The frames of a connection.
#[derive(Debug)]
struct Frames {
    stream: TcpStream,
    decoder: FrameDecoder,
}

impl Frames {
    async fn connect(hub: SocketAddrV4) -> Result<Self> {
        let stream = TcpStream::connect(hub).await.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, decoder: FrameDecoder::new(MAX_BODY_LEN) })
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await.context("write")
    }

    /// The body of the next frame, which is of this type; PING is answered by doing nothing.
    async fn expect(&mut self, expected: FrameType) -> Result<Vec<u8>> {
        loop {
            while let Some(frame) = self.decoder.next_frame()? {
                let got = frame.frame_type();
                if got == FrameType::PING {
                    continue;
                }
                ensure!(got == expected, "got {got}: {}", frame.body().escape_ascii());
                return Ok(frame.into_body().to_vec());
            }
            let mut bytes = [0; READ_LEN];
            let len = self.stream.read(&mut bytes).await.context("read")?;
            ensure!(len > 0, "the hub closed the connection");
            self.decoder.extend(bytes.get(..len).unwrap_or_default());
        }
    }
}
