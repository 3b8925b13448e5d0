//! Who answers at the hub's port: a DoSP hub greets first, most others wait or say what they are.

use std::net::SocketAddr;
use std::time::Duration;

use dosp_proto::frame::{self, DEFAULT_MAX_BODY_LEN, FrameDecoder, FrameType};
use dosp_proto::message::{Hsk, HskFlag};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::finding::{Check, Finding};
use crate::failure::Exit;

/// A hub greets as soon as it is connected: that is one round trip, and a busy hub.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long others may take to say what they are.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// A greeting is not near so long.
const MAX_GREETING_LEN: usize = 4096;
/// As much of a stranger's words as tells what it is.
const PROBE_LEN: usize = 64;

/// A connection with a hub that has greeted.
#[derive(Debug)]
pub(super) struct Greeted {
    pub(super) stream: TcpStream,
    pub(super) decoder: FrameDecoder,
    /// What it said, frame by frame.
    pub(super) frames: Vec<(FrameType, Vec<u8>)>,
    pub(super) hub: Hsk,
}

/// Why there was no greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stranger {
    /// It said nothing, not even when it was spoken to.
    Silent,
    /// It closed the connection.
    Closed,
    /// It said this first, and is no hub.
    Said(Vec<u8>),
    /// It is a hub that takes nobody now; its reason.
    Refused(Vec<u8>),
}

/// Waits for the greeting; asks whoever does not greet what it is.
pub(super) async fn greet(stream: TcpStream) -> Result<Greeted, Stranger> {
    let addr = stream.peer_addr().ok();
    match timeout(GREETING_TIMEOUT, read_greeting(stream)).await {
        Ok(Err(Stranger::Closed | Stranger::Silent)) | Err(_) => match addr {
            Some(addr) => Err(probe(addr).await),
            None => Err(Stranger::Closed),
        },
        Ok(greeted) => greeted,
    }
}

async fn read_greeting(mut stream: TcpStream) -> Result<Greeted, Stranger> {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
    let (mut first, mut frames, mut len) = (Vec::new(), Vec::new(), 0);
    let mut buffer = [0; PROBE_LEN];
    loop {
        let read = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) if first.is_empty() => return Err(Stranger::Closed),
            Ok(0) | Err(_) => return Err(Stranger::Said(first)),
            Ok(read) => buffer.get(..read).unwrap_or_default(),
        };
        if first.is_empty() {
            first.extend(read);
        }
        decoder.extend(read);
        len += read.len();
        if !begins_as_hub(&first) || len > MAX_GREETING_LEN {
            return Err(Stranger::Said(first));
        }
        loop {
            let frame = match decoder.next_frame() {
                Ok(Some(frame)) => (frame.frame_type(), frame.into_body().to_vec()),
                Ok(None) => break,
                Err(_) => return Err(Stranger::Said(first)),
            };
            if frame.0 == FrameType::EXIT {
                return Err(Stranger::Refused(frame.1));
            }
            let is_greeting = frame.0 == FrameType::HSK;
            let hub = Hsk::decode(&frame.1);
            frames.push(frame);
            if is_greeting {
                return Ok(Greeted { stream, decoder, frames, hub });
            }
        }
    }
}

/// A hub begins with AIP, whose length is four, or with EXIT and a short reason.
fn begins_as_hub(first: &[u8]) -> bool {
    let is_aip = [FrameType::AIP.0, 0, 0, 0, 4].starts_with(&first[..first.len().min(5)]);
    is_aip || [FrameType::EXIT.0, 0, 0, 0].starts_with(&first[..first.len().min(4)])
}

/// Speaks to it as a browser would. To a hub this is a frame that is too long, and no harm.
async fn probe(addr: SocketAddr) -> Stranger {
    let asked = async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut said = vec![0; PROBE_LEN];
        let len = stream.read(&mut said).await?;
        said.truncate(len);
        Ok::<_, std::io::Error>(said)
    };
    match timeout(PROBE_TIMEOUT, asked).await {
        Ok(Ok(said)) if said.is_empty() => Stranger::Closed,
        Ok(Ok(said)) => Stranger::Said(said),
        Ok(Err(_)) => Stranger::Closed,
        Err(_) => Stranger::Silent,
    }
}

/// Says goodbye to a hub that is not joined.
pub(super) async fn leave(mut stream: TcpStream) {
    let mut goodbye = Vec::new();
    dosp_proto::message::ExitCode::Closed.encode_to(&mut goodbye);
    // The hub sees the end of the connection anyway.
    stream.write_all(&goodbye).await.ok();
}

/// Which hub it is, or what else.
pub(super) fn judge(greeted: Result<Hsk, &Stranger>) -> Finding {
    let check = Check::Protocol;
    let port = "is the port right? a hub listens on 7744 unless told";
    let said = match greeted {
        Ok(hub) => return judge_hub(hub),
        Err(Stranger::Silent) => {
            let what = "whoever listens there says nothing, and a hub greets at once";
            let fix = "is it really a DoSP hub that listens there? a proxy or a load balancer in \
                       between may take connections for a hub that is down";
            return Finding::fail(check, Exit::NotReachable, what, fix);
        }
        Err(Stranger::Closed) => {
            let what = "whoever listens there closes the connection without a greeting";
            let fix = "the hub's log may say why; or it is no hub, or a proxy for one that is down";
            return Finding::fail(check, Exit::NotReachable, what, fix);
        }
        Err(Stranger::Refused(reason)) => {
            let what = format!("a DoSP hub, which takes nobody: \"{}\"", reason.escape_ascii());
            let fix = "ask whoever runs the hub; where it is full, a larger network has more room";
            return Finding::fail(check, Exit::Refused, what, fix);
        }
        Err(Stranger::Said(said)) => said,
    };
    let (who, fix) = if said.starts_with(b"HTTP/") {
        ("a web server (HTTP) listens there, no DoSP hub", port)
    } else if said.starts_with(&[0x15, 0x03]) {
        // An alert, which is how TLS answers what it does not understand (RFC 8446, § 6).
        ("a TLS server listens there, no DoSP hub", port)
    } else if said.starts_with(b"SSH-") {
        ("an SSH server listens there, no DoSP hub", port)
    } else {
        ("something listens there that is no DoSP hub", port)
    };
    let what = format!("{who}; it says \"{}\"", said.escape_ascii());
    Finding::fail(check, Exit::NotReachable, what, fix)
}

fn judge_hub(hub: Hsk) -> Finding {
    let check = Check::Protocol;
    let members = hub.token == Hsk::DOSP_NET && hub.flag == HskFlag::Space;
    let version = match hub.version {
        Some(version) => format!("protocol version {version}"),
        None => "protocol version unknown".to_owned(),
    };
    match hub.flag {
        HskFlag::Compression => Finding::fail(
            check,
            Exit::Failed,
            format!("a DoSP hub, {version}, that compresses its frames"),
            "switch compression off at the hub",
        ),
        HskFlag::Space if members => {
            Finding::ok(check, format!("a DoSP hub that has members, {version}"))
        }
        HskFlag::Space => Finding::ok(check, format!("a DoSP hub without members, {version}")),
        HskFlag::Off => Finding::ok(check, format!("a published DoSP hub, {version}")),
    }
}

/// Frames of the kind that a hub repeats to whoever sends them to itself.
pub(super) fn encode_echo(vip: dosp_proto::vip::Vip, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + frame::S2C_HEADER_LEN);
    frame::encode_s2c(&mut out, vip, vip, &vec![0; len]);
    out
}

#[cfg(test)]
mod tests {
    use dosp_proto::message::EXIT_SERVER_FULL;
    use tokio::net::TcpListener;

    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn strangers_are_named() {
        for (said, words) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "a web server (HTTP)"),
            (&[0x15, 3, 1, 0, 2, 2, 70], "a TLS server"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "an SSH server"),
            (b"220 mail.example ESMTP\r\n", "something listens there that is no DoSP hub"),
        ] {
            let finding = judge(Err(&Stranger::Said(said.to_vec())));
            assert_eq!(finding.verdict, Verdict::Fail(Exit::NotReachable));
            assert!(finding.what.contains(words), "{finding:?}");
            assert!(!finding.what.contains(['\r', '\n', '\u{15}']), "{finding:?}");
        }
        for silent in [Stranger::Silent, Stranger::Closed] {
            assert_eq!(judge(Err(&silent)).verdict, Verdict::Fail(Exit::NotReachable));
        }
    }

    #[test]
    fn hubs_are_told_apart() {
        let hub = |flag, token| judge(Ok(Hsk { flag, version: Some(2), token }));
        assert!(hub(HskFlag::Space, Hsk::DOSP_NET).what.contains("has members"));
        assert!(hub(HskFlag::Space, 0).what.contains("without members"));
        assert!(hub(HskFlag::Off, 0).what.contains("published"));
        assert_eq!(hub(HskFlag::Compression, 0).verdict, Verdict::Fail(Exit::Failed));
    }

    /// What comes of `said`, by a server that says it to each connection and then reads on.
    async fn greeted_with(said: Vec<u8>) -> Result<Greeted, Stranger> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(&said).await.unwrap();
                tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await });
            }
        });
        greet(TcpStream::connect(addr).await.unwrap()).await
    }

    #[tokio::test]
    async fn hub_that_takes_nobody_is_a_hub_and_says_why() {
        let mut full = Vec::new();
        frame::encode(&mut full, FrameType::EXIT, EXIT_SERVER_FULL.as_bytes());
        let stranger = greeted_with(full).await.unwrap_err();
        assert_eq!(stranger, Stranger::Refused(EXIT_SERVER_FULL.as_bytes().to_vec()));
        let finding = judge(Err(&stranger));
        assert_eq!(finding.verdict, Verdict::Fail(Exit::Refused));
        assert_eq!(finding.what, "a DoSP hub, which takes nobody: \"Server full\"");
    }

    #[tokio::test]
    async fn greeting_is_read_frame_by_frame_and_nothing_else_is_one() {
        let vip = "7.10.0.2".parse().unwrap();
        let greeting = dosp_proto::message::encode_greeting(vip, Hsk::OURS);
        let greeted = greeted_with(greeting).await.unwrap();
        assert_eq!(greeted.hub, Hsk::OURS);
        let types: Vec<_> = greeted.frames.iter().map(|(frame_type, _)| *frame_type).collect();
        assert_eq!(types, [FrameType::AIP, FrameType::HSK]);
        for said in [&b"SSH-2.0-x\r\n"[..], b"\x13\0\0\0\x05abcde"] {
            let stranger = greeted_with(said.to_vec()).await.unwrap_err();
            assert_eq!(stranger, Stranger::Said(said.to_vec()));
        }
    }
}
