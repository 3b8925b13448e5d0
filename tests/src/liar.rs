//! A hub that lies: it stands where agents expect the hub, passes everything on to an honest one on
//! another port, and does to tunnels what it is told to. It remembers every byte that it saw.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow};
use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder, FrameType, encode, encode_s2c};
use dosp_proto::tunnel::v1::HELLO_LEN;
use dosp_proto::vip::Vip;
use nix::sched::{CloneFlags, setns};

use crate::netns::Namespace;

/// Where agents come.
const LISTEN: &str = "0.0.0.0:7744";
/// Where the honest hub is, in the same namespace.
const HONEST: &str = "127.0.0.1:7745";
const HANDSHAKE_MARK: u8 = 0x15;
const VERSION_MARK: &[u8] = b"DSP2";
const FRAME_MARK: u8 = 0xD2;
/// Of a version 1 hello: everything behind the mark and the time is the public key.
const HELLO_KEY: std::ops::Range<usize> = HELLO_LEN - 32..HELLO_LEN;

/// What the hub lies about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lie {
    /// Nothing.
    None,
    /// Cuts version 2 off openings and answers.
    Strip,
    /// Puts another key into every hello, and flips a bit in every handshake of version 2.
    SwapKeys,
    /// Gives to each of the two what is for the other, in its name.
    SwapVips(Vip, Vip),
    /// Delivers every frame of a tunnel three times.
    Replay,
    /// Sends every frame of a tunnel back too, as if its receiver had sent it.
    Reflect,
    /// Delivers every frame of a tunnel also as one of this vIP.
    ForgeSrc(Vip),
    /// Follows every frame of a tunnel with plain DATA.
    Inject(Vec<u8>),
}

/// The liar; with an honest hub's `--listen` of [`Liar::HUB_ARGS`].
#[derive(Debug)]
pub struct Liar {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lie: Mutex<Lie>,
    num_lies: Mutex<u64>,
    seen: Mutex<Vec<u8>>,
}

impl Liar {
    /// What the honest hub behind it is started with.
    pub const HUB_ARGS: &[&str] = &["--listen", HONEST];

    /// Begins to take clients in the hub's namespace. It ends with the test's process.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let (lie, num_lies) = (Mutex::new(Lie::None), Mutex::new(0));
        let shared = Arc::new(Shared { lie, num_lies, seen: Mutex::new(Vec::new()) });
        let (for_thread, path) = (Arc::clone(&shared), namespace.path());
        let (ready, is_ready) = std::sync::mpsc::channel();
        // The test waits for what it is told here.
        thread::spawn(move || match listen(path) {
            Ok(listener) => {
                ready.send(Ok(())).ok();
                take_clients(&listener, &for_thread);
            }
            Err(error) => {
                ready.send(Err(error)).ok();
            }
        });
        is_ready.recv().context("the liar's thread")??;
        Ok(Self { shared })
    }

    /// Lies like this from now on.
    pub fn tell(&self, lie: Lie) {
        *lock(&self.shared.num_lies) = 0;
        *lock(&self.shared.lie) = lie;
    }

    /// How many frames the present lie has touched.
    #[must_use]
    pub fn num_lies(&self) -> u64 {
        *lock(&self.shared.num_lies)
    }

    /// Whether these bytes were ever in what it passed on.
    #[must_use]
    pub fn has_seen(&self, bytes: &[u8]) -> bool {
        lock(&self.shared.seen).windows(bytes.len()).any(|window| window == bytes)
    }
}

impl Shared {
    fn lie(&self) -> Lie {
        lock(&self.lie).clone()
    }

    fn count(&self) {
        *lock(&self.num_lies) += 1;
    }
}

/// A mutex that a test poisoned holds what it held.
fn lock<T: fmt::Debug>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This thread, and those that it starts, are in the namespace from here on.
fn listen(namespace: PathBuf) -> Result<TcpListener> {
    let file = File::open(&namespace).with_context(|| format!("open {namespace:?}"))?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| anyhow!("enter it: {error}"))?;
    TcpListener::bind(LISTEN).context("listen where the hub is expected")
}

fn take_clients(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let (Ok(client), Ok(hub)) = (client, TcpStream::connect(HONEST)) else { continue };
        if let Err(error) = relay(client, hub, shared) {
            eprintln!("the liar: {error:#}");
        }
    }
}

fn relay(client: TcpStream, hub: TcpStream, shared: &Arc<Shared>) -> Result<()> {
    client.set_nodelay(true)?;
    hub.set_nodelay(true)?;
    // Both threads write to the client: the one that reads from it reflects.
    let to_client = Arc::new(Mutex::new(client.try_clone()?));
    let (from_client, from_hub, to_hub) = (client, hub.try_clone()?, Mutex::new(hub));
    let (up, down) = (Arc::clone(shared), Arc::clone(shared));
    let reflected_to = Arc::clone(&to_client);
    thread::spawn(move || {
        pass(from_client, &up, |frame_type, body| {
            let (passed, reflected) = on_the_way_up(&up, frame_type, body);
            write(&reflected_to, &reflected) && write(&to_hub, &passed)
        });
        lock(&to_hub).shutdown(Shutdown::Both).ok();
    });
    thread::spawn(move || {
        pass(from_hub, &down, |frame_type, body| {
            write(&to_client, &on_the_way_down(&down, frame_type, body))
        });
        lock(&to_client).shutdown(Shutdown::Both).ok();
    });
    Ok(())
}

fn write(to: &Mutex<TcpStream>, bytes: &[u8]) -> bool {
    lock(to).write_all(bytes).is_ok()
}

/// Hands each frame over until one side is gone.
fn pass(mut from: TcpStream, shared: &Shared, mut take: impl FnMut(FrameType, &[u8]) -> bool) {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
    loop {
        let len = match from.read(decoder.space()) {
            Ok(0) | Err(_) => return,
            Ok(len) => len,
        };
        lock(&shared.seen).extend_from_slice(&decoder.space()[..len]);
        decoder.advance(len);
        while let Ok(Some(frame)) = decoder.next_frame() {
            let frame_type = frame.frame_type();
            if !take(frame_type, frame.into_body()) {
                return;
            }
        }
    }
}

/// What the hub gets, and what the client gets back.
fn on_the_way_up(shared: &Shared, frame_type: FrameType, body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut passed, mut reflected) = (Vec::new(), Vec::new());
    match (shared.lie(), addressed(frame_type, body)) {
        (Lie::SwapVips(one, other), Some((dst, src, data))) => {
            shared.count();
            encode_s2c(&mut passed, swapped(dst, one, other), src, data);
        }
        (Lie::Reflect, Some((dst, src, data))) if data.first() == Some(&FRAME_MARK) => {
            shared.count();
            encode(&mut passed, frame_type, body);
            encode_s2c(&mut reflected, src, dst, data);
        }
        _ => encode(&mut passed, frame_type, body),
    }
    (passed, reflected)
}

/// What the client gets.
fn on_the_way_down(shared: &Shared, frame_type: FrameType, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let Some((dst, src, data)) = addressed(frame_type, body) else {
        encode(&mut out, frame_type, body);
        return out;
    };
    let is_frame = data.first() == Some(&FRAME_MARK);
    match shared.lie() {
        Lie::Strip if has_mark_behind_hello(data) => {
            shared.count();
            encode_s2c(&mut out, dst, src, &data[..HELLO_LEN]);
        }
        Lie::SwapKeys if data.first() == Some(&HANDSHAKE_MARK) => {
            shared.count();
            encode_s2c(&mut out, dst, src, &with_other_keys(data));
        }
        Lie::SwapVips(one, other) => {
            shared.count();
            encode_s2c(&mut out, dst, swapped(src, one, other), data);
        }
        Lie::Replay if is_frame => {
            shared.count();
            (0..3).for_each(|_| encode_s2c(&mut out, dst, src, data));
        }
        Lie::ForgeSrc(forged) if is_frame => {
            shared.count();
            encode_s2c(&mut out, dst, forged, data);
            encode_s2c(&mut out, dst, src, data);
        }
        Lie::Inject(plain) if is_frame => {
            shared.count();
            encode_s2c(&mut out, dst, src, data);
            encode_s2c(&mut out, dst, src, &plain);
        }
        _ => encode(&mut out, frame_type, body),
    }
    out
}

/// DST, SRC and DATA of a frame between clients.
fn addressed(frame_type: FrameType, body: &[u8]) -> Option<(Vip, Vip, &[u8])> {
    let (dst, rest) = body.split_first_chunk::<4>().filter(|_| frame_type == FrameType::S2C)?;
    let (src, data) = rest.split_first_chunk::<4>()?;
    Some((Vip::from(*dst), Vip::from(*src), data))
}

fn swapped(vip: Vip, one: Vip, other: Vip) -> Vip {
    match vip {
        vip if vip == one => other,
        vip if vip == other => one,
        vip => vip,
    }
}

fn has_mark_behind_hello(data: &[u8]) -> bool {
    data.get(HELLO_LEN..).is_some_and(|rest| rest.starts_with(VERSION_MARK))
}

fn with_other_keys(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    if !data[1..].starts_with(VERSION_MARK)
        && let Some(key) = data.get_mut(HELLO_KEY)
    {
        // A real point, so that an agent that believes it computes a secret with it.
        key.fill(0);
        key[0] = 9;
    }
    let mark = data.windows(VERSION_MARK.len()).position(|window| window == VERSION_MARK);
    // The last byte is of the Noise message in all three.
    if let (Some(_), Some(last)) = (mark, data.last_mut()) {
        *last ^= 1;
    }
    data
}
