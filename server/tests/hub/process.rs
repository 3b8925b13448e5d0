//! The hub as a process of its own, so that its memory can be measured from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dosp_proto::join_string::{JoinKey, JoinString};
use dosp_server::control::{self, wire::Status};
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
    folder: TempDir,
    num_logged: Arc<AtomicU64>,
}

impl HubProcess {
    /// Starts it with further arguments, and waits until it listens. This process may then have as
    /// many connections as the hub.
    pub(crate) fn start(args: &[&str]) -> Self {
        let program = Command::new(env!("CARGO_BIN_EXE_dosp-server"));
        Self::start_in(tempfile::tempdir().unwrap(), program, args)
    }

    /// The same for members only.
    pub(crate) fn start_closed(network: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Command::new(env!("CARGO_BIN_EXE_dosp-server"));
        Self::closed_in(folder, program, network)
    }

    /// One for members only whose state folder is on a disk of its own, of so many KiB; `None` where
    /// this user may not mount any.
    pub(crate) fn start_on_small_disk(network: &str, size: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        fs::create_dir(&state).unwrap();
        let program = env!("CARGO_BIN_EXE_dosp-server");
        let mount = format!("mount -t tmpfs -o mode=700,size={size}k none {}", state.display());
        let unshared = |then: &str| {
            let mut command = Command::new("unshare");
            let script = format!("{mount}; {then}");
            command.args(["-m", "--propagation", "private", "sh", "-ec", &script, program]);
            command
        };
        let tried = unshared("true").stderr(Stdio::null()).status();
        tried.ok().filter(ExitStatus::success)?;
        Some(Self::closed_in(folder, unshared(r#"exec "$0" "$@""#), network))
    }

    /// A file on that disk.
    pub(crate) fn on_its_disk(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
        let state = self.folder.path().join("state");
        root.join(state.strip_prefix("/").unwrap()).join(name)
    }

    fn closed_in(folder: TempDir, program: Command, network: &str) -> Self {
        let (state, config) = (folder.path().join("state"), folder.path().join("hub.toml"));
        fs::write(&config, "closed = true\n").unwrap();
        let (state, config) = (state.to_str().unwrap(), config.to_str().unwrap());
        let args = ["--network", network, "--state", state, "--config", config];
        let args = args.map(str::to_owned);
        Self::start_in(folder, program, &args.each_ref().map(String::as_str))
    }

    fn start_in(folder: TempDir, mut command: Command, args: &[&str]) -> Self {
        dosp_server::nofile::raise().unwrap();
        command.args(["--listen", "127.0.0.1:0", "--socket"]);
        command.arg(folder.path().join("hub.sock")).args(args).envs(ALLOCATOR);
        if !args.contains(&"--config") {
            command.args(["--config", "/dev/null"]);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = log.find_map(|line| Some(line.unwrap().split_once("addr=")?.1.to_owned()));
        let addr = listening.unwrap().trim().parse().unwrap();
        // Nobody reads the rest, but it must go somewhere.
        let num_logged = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&num_logged);
        std::thread::spawn(move || {
            log.for_each(|_| {
                counter.fetch_add(1, Ordering::Relaxed);
            });
        });
        Self { child, addr, folder, num_logged }
    }

    /// A join key for so many nodes, asked for as a person would.
    pub(crate) fn invite(&self, uses: u32) -> JoinKey {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dosp-server"));
        command.args(["invite", "--uses", &uses.to_string(), "--socket"]).arg(self.socket());
        let output = command.args(["--config", "/dev/null"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse::<JoinString>().unwrap().join_key.unwrap()
    }

    pub(crate) fn hub_status(&self) -> Status {
        control::client::status(&self.socket()).unwrap()
    }

    /// How many lines its log has had since it listened.
    pub(crate) fn num_logged(&self) -> u64 {
        self.num_logged.load(Ordering::Relaxed)
    }

    /// Its local socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("hub.sock")
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
