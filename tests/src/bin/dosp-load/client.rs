//! One connection to the hub, joined.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use dosp_proto::frame::{self, FrameDecoder, FrameType};
use dosp_proto::vip::Vip;

use crate::IO_TIMEOUT;

/// AIP and HSK together are far below this.
const MAX_GREETING_LEN: usize = 1024;

/// One connection, joined.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    vip: Vip,
}

impl Client {
    pub(crate) fn join(hub: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&hub, IO_TIMEOUT).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        Self::greeted(stream)
    }

    /// A client that reads its greeting, AIP and HSK, from `stream`.
    pub(crate) fn greeted(mut stream: TcpStream) -> Result<Self> {
        let mut decoder = FrameDecoder::new(MAX_GREETING_LEN);
        let body = next_body(&mut stream, &mut decoder, FrameType::AIP)?;
        let octets: [u8; 4] = body.as_slice().try_into().context("a vIP of 4 bytes")?;
        next_body(&mut stream, &mut decoder, FrameType::HSK)?;
        ensure!(decoder.buffered_len() == 0, "more than a greeting");
        Ok(Self { stream, vip: Vip::from(octets) })
    }

    pub(crate) fn frame_to(&self, peer: &Self, data_len: u32) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode_s2c(&mut out, peer.vip, self.vip, &vec![b'.'; data_len as usize]);
        out
    }
}

fn next_body(
    stream: &mut TcpStream,
    decoder: &mut FrameDecoder,
    expected: FrameType,
) -> Result<Vec<u8>> {
    loop {
        if let Some(frame) = decoder.next_frame()? {
            let got = frame.frame_type();
            ensure!(got == expected, "got {got} for {expected}: {:?}", frame.body());
            return Ok(frame.into_body().to_vec());
        }
        let mut bytes = [0; 256];
        let len = stream.read(&mut bytes).context("read the hub's greeting")?;
        ensure!(len > 0, "the hub closed the connection");
        decoder.extend(bytes.get(..len).unwrap_or_default());
    }
}

/// Clients of which each sends to the next, with the frame it sends.
pub(crate) fn join_ring(ring: crate::Ring) -> Result<(Vec<Client>, Vec<Vec<u8>>)> {
    let hubs = [ring.hub, ring.to_hub.unwrap_or(ring.hub)];
    ensure!(
        ring.to_hub.is_none() || ring.clients.is_multiple_of(2),
        "an even number of clients, half a hub"
    );
    let hub_of_each = hubs.iter().cycle().take(ring.clients.into());
    let clients: Vec<_> = hub_of_each.map(|hub| Client::join(*hub)).collect::<Result<_>>()?;
    let receivers = clients.iter().cycle().skip(1);
    let frames = clients.iter().zip(receivers);
    let frames = frames.map(|(sender, receiver)| sender.frame_to(receiver, ring.bytes)).collect();
    for client in &clients {
        client.stream.set_nonblocking(true)?;
    }
    Ok((clients, frames))
}
