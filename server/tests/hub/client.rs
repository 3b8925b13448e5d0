//! The hub under test, and a client that hides nothing of the wire.

use std::net::SocketAddr;
use std::time::Duration;

use dosp_proto::frame::{self, FrameDecoder, FrameType};
use dosp_proto::message::{Aip, ErrorReport};
use dosp_proto::vip::Vip;
use dosp_server::{Config, HubHandle, Server, config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Nothing here takes this long unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct TestHub {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: HubHandle,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl TestHub {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let listen = config::chosen_listen(&["127.0.0.1:0".parse().unwrap()]);
        let mut config = Config { listen, ..Config::default() };
        change(&mut config);
        let server = Server::bind(&config).unwrap();
        let addr = server.local_addrs()[0];
        let (handle, shutdown) = (server.handle(), CancellationToken::new());
        let running = tokio::spawn(server.run(shutdown.clone()));
        Self { addr, handle, shutdown, running }
    }

    pub(crate) async fn join(&self) -> Client {
        Client::join(TcpStream::connect(self.addr).await.unwrap()).await
    }

    pub(crate) fn ask_to_stop(&self) {
        self.shutdown.cancel();
    }

    pub(crate) async fn stopped(self) {
        timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    pub(crate) vip: Vip,
    decoder: FrameDecoder,
}

impl Client {
    pub(crate) async fn join(socket: TcpStream) -> Self {
        let mut client = Self::speechless(socket);
        let (frame_type, body) = client.recv().await;
        assert_eq!(frame_type, FrameType::AIP);
        client.vip = Aip::decode(&body).unwrap().0;
        assert_eq!(client.recv().await, (FrameType::HSK, b" [2, 0]".to_vec()));
        client
    }

    /// A connection on which nothing has been read yet.
    pub(crate) fn speechless(socket: TcpStream) -> Self {
        Self { socket, vip: Vip::NONE, decoder: FrameDecoder::new(1 << 24) }
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.socket.write_all(bytes)).await.unwrap().unwrap();
    }

    pub(crate) async fn send(&mut self, frame_type: FrameType, body: &[u8]) {
        let mut out = Vec::new();
        frame::encode(&mut out, frame_type, body);
        self.send_bytes(&out).await;
    }

    pub(crate) async fn send_to(&mut self, dst: Vip, data: &[u8]) {
        self.send_bytes(&s2c(dst, Vip::NONE, data)).await;
    }

    /// The next frame; `None` where the hub closed the connection.
    pub(crate) async fn next(&mut self) -> Option<(FrameType, Vec<u8>)> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some((frame.frame_type(), frame.body().to_vec()));
            }
            let read = timeout(PATIENCE, self.socket.read(self.decoder.space())).await.unwrap();
            match read {
                Ok(0) => return None,
                Ok(len) => self.decoder.advance(len),
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) async fn recv(&mut self) -> (FrameType, Vec<u8>) {
        self.next().await.unwrap()
    }

    /// DST, SRC and DATA of the next frame, which must be S2C.
    pub(crate) async fn recv_s2c(&mut self) -> (Vip, Vip, Vec<u8>) {
        let (frame_type, body) = self.recv().await;
        assert_eq!(frame_type, FrameType::S2C, "{}", body.escape_ascii());
        let (dst, rest) = body.split_first_chunk::<4>().unwrap();
        let (src, data) = rest.split_first_chunk::<4>().unwrap();
        (Vip::from(*dst), Vip::from(*src), data.to_vec())
    }

    /// DST and reason of the next frame, which must be ERR 0x03.
    pub(crate) async fn recv_undeliverable(&mut self) -> (Vip, String) {
        let (frame_type, body) = self.recv().await;
        assert_eq!(frame_type, FrameType::ERR);
        match ErrorReport::decode(&body) {
            ErrorReport::Undeliverable { dst, reason } => (dst, reason.to_owned()),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the answer to a PING: the hub has handled all that was sent before it.
    pub(crate) async fn sync(&mut self) {
        self.send(FrameType::PING, b"x").await;
        assert_eq!(self.recv().await, (FrameType::PING, Vec::new()));
    }

    /// Asserts that the hub closes, and says nothing more.
    pub(crate) async fn assert_closed(&mut self) {
        assert_eq!(self.next().await, None);
    }

    /// Leaves, and waits until the hub has seen it.
    pub(crate) async fn leave(mut self) {
        self.send(FrameType::EXIT, b"CC").await;
        self.assert_closed().await;
    }
}

/// One whole S2C frame.
pub(crate) fn s2c(dst: Vip, src: Vip, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_s2c(&mut out, dst, src, data);
    out
}

pub(crate) fn vip(text: &str) -> Vip {
    text.parse().unwrap()
}
