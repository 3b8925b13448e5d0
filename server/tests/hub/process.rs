//! The hub as a process of its own, so that its memory can be measured from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use socket2::SockRef;
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};

use crate::client::Client;

/// What is freed goes back to the system at once, from one heap for all threads: so what the system
/// says is what the hub holds, and not what its allocator keeps for later.
const ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "65536"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
];
/// Where the clients come from: more of them than one address has ports.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const NUM_SOURCES: u32 = 1000;

/// A running `dosp-server`; killed when dropped.
pub(crate) struct HubProcess {
    child: Child,
    pub(crate) addr: SocketAddr,
    _folder: TempDir,
}

impl HubProcess {
    /// Starts it with further arguments, and waits until it listens. This process may then have as
    /// many connections as the hub.
    pub(crate) fn start(args: &[&str]) -> Self {
        dosp_server::nofile::raise().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dosp-server"));
        command.args(["--listen", "127.0.0.1:0", "--config", "/dev/null", "--socket"]);
        command.arg(folder.path().join("hub.sock")).args(args).envs(ALLOCATOR);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = log.find_map(|line| Some(line.unwrap().split_once("addr=")?.1.to_owned()));
        let addr = listening.unwrap().trim().parse().unwrap();
        // Nobody reads the rest, but it must go somewhere.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, addr, _folder: folder }
    }

    pub(crate) async fn join(&self) -> Client {
        Client::join(self.connect(0).await).await
    }

    /// A connection from a source address of its number. It ends with a reset.
    pub(crate) async fn connect(&self, number: u32) -> TcpStream {
        let source = u32::from(FIRST_SOURCE) + number % NUM_SOURCES;
        let socket = TcpSocket::new_v4().unwrap();
        SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        socket.bind((Ipv4Addr::from(source), 0).into()).unwrap();
        socket.connect(self.addr).await.unwrap()
    }

    /// The memory that it holds now, in KiB, without the pages of its program file.
    pub(crate) fn memory(&self) -> i64 {
        self.status("RssAnon:")
    }

    /// The most memory that it has held since the last [`Self::forget_peak`], in KiB.
    pub(crate) fn peak_memory(&self) -> i64 {
        self.status("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    fn status(&self, name: &str) -> i64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        // Fails where it has ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}
