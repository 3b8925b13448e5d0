//! The published Python package: its real client and its real server, each version in a virtual
//! environment of its own, driven over pipes by the programs in `tests/python/`.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use dosp_proto::vip::Vip;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

/// Longer than the client's own limit for one answer, and enough for some thousand messages.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(150);

/// A release of the published package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1.3: the first one that works as installed.
    V0_1_3,
    /// 0.1.4: HSK has a flag byte from here on.
    V0_1_4,
    /// 0.2.1: the latest.
    V0_2_1,
}

impl Version {
    /// Its number.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V0_1_3 => "0.1.3",
            Self::V0_1_4 => "0.1.4",
            Self::V0_2_1 => "0.2.1",
        }
    }

    /// A program of this version's environment, which is made by whoever needs it first.
    ///
    /// # Errors
    /// Whatever keeps pip from installing it.
    pub fn program(self, name: &str) -> Result<PathBuf> {
        let requirements = python_dir().join(format!("requirements/{}.txt", self.name()));
        let wanted = fs::read_to_string(&requirements).context("read the requirements")?;
        let venvs = venvs_dir()?;
        fs::create_dir_all(&venvs).context("make the folder of the environments")?;
        let lock = File::create(venvs.join(format!("{}.lock", self.name())))?;
        // Other tests wait here while one makes it; the system lets go of the lock with its file.
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
        let venv = venvs.join(self.name());
        let made_of = venv.join("made-of");
        if fs::read_to_string(&made_of).ok().as_ref() != Some(&wanted) {
            make_venv(&venv, &requirements)?;
            fs::write(&made_of, wanted)?;
        }
        Ok(venv.join("bin").join(name))
    }

    fn template(self, [a, b, c]: [u8; 3]) -> String {
        let x = if self == Self::V0_1_3 { "{x}" } else { "x" };
        format!("{a}.{b}.{c}.{x}")
    }

    fn start(self, script: &str, args: &[String]) -> Result<Driver> {
        let mut command = tokio::process::Command::new(self.program("python")?);
        command.arg(python_dir().join(script)).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("start Python")?;
        let stdin = child.stdin.take().context("its standard input")?;
        let stdout = BufReader::new(child.stdout.take().context("its standard output")?).lines();
        Ok(Driver { _child: child, stdin, stdout })
    }
}

fn make_venv(venv: &Path, requirements: &Path) -> Result<()> {
    if venv.exists() {
        fs::remove_dir_all(venv).context("remove an unfinished environment")?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run(Command::new(venv.join("bin/python")).args(pip).arg(requirements))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

fn python_dir() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/python"))
}

/// In the target folder, where the test's own program is.
fn venvs_dir() -> Result<PathBuf> {
    let test = std::env::current_exe().context("find the test's own path")?;
    Ok(test.ancestors().nth(3).context("target/PROFILE/deps/TEST")?.join("venvs"))
}

/// A Python program that answers a line with a line.
#[derive(Debug)]
struct Driver {
    /// Killed on drop.
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    async fn say(&mut self, line: &Value) -> Result<()> {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await.context("talk to Python")
    }

    async fn hear(&mut self) -> Result<Value> {
        let line = timeout(ANSWER_TIMEOUT, self.stdout.next_line()).await;
        let line = line.context("Python does not answer")?.context("listen to Python")?;
        Ok(serde_json::from_str(&line.context("Python has ended")?)?)
    }
}

/// A published server on a loopback port.
#[derive(Debug)]
pub struct Hub {
    /// Where it listens.
    pub addr: SocketAddr,
    version: Version,
    driver: Driver,
}

impl Hub {
    /// Starts it with a network `7.10.0.x`, and waits until it listens.
    ///
    /// # Errors
    /// Python's.
    pub async fn start(version: Version) -> Result<Self> {
        Self::start_with(version, &[]).await
    }

    /// Starts it with further options of its configuration, `KEY=JSON`.
    ///
    /// # Errors
    /// Python's.
    pub async fn start_with(version: Version, options: &[&str]) -> Result<Self> {
        Self::start_at(version, (Ipv4Addr::LOCALHOST, [7, 10, 0]), options).await
    }

    /// Starts it with a network and an address of its own, from which it also dials.
    ///
    /// # Errors
    /// Python's.
    pub async fn start_at(
        version: Version,
        (host, network): (Ipv4Addr, [u8; 3]),
        options: &[&str],
    ) -> Result<Self> {
        let (template, host) = (version.template(network), host.to_string());
        let args = [&[template.as_str(), host.as_str()], options].concat();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let mut driver = version.start("hub.py", &args)?;
        let said = driver.hear().await?;
        let port = said["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let port = port.with_context(|| format!("no port in {said}"))?;
        Ok(Self { addr: SocketAddr::new(host.parse()?, port), version, driver })
    }

    /// Its own `add_peer_server()`: another hub, and the network that it is to have.
    ///
    /// # Errors
    /// Python's.
    pub async fn add_peer(&mut self, hub: SocketAddr, network: [u8; 3]) -> Result<()> {
        let peer = json!([hub.ip().to_string(), hub.port(), self.version.template(network)]);
        self.driver.say(&peer).await?;
        self.driver.hear().await.map(drop)
    }

    /// The templates of networks that it knows a way to.
    ///
    /// # Errors
    /// Python's.
    pub async fn routes(&mut self) -> Result<Vec<String>> {
        self.driver.say(&json!("routes")).await?;
        Ok(serde_json::from_value(self.driver.hear().await?)?)
    }

    /// Its own `stop()`: EXIT to every client.
    ///
    /// # Errors
    /// Python's.
    pub async fn stop(&mut self) -> Result<()> {
        self.driver.say(&Value::Null).await
    }
}

/// A packet as a published client received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// TYPE.
    pub frame_type: u8,
    /// SRC, of S2C only.
    pub from: Option<Vip>,
    /// The body; of S2C the message, opened where there is a tunnel.
    pub data: Vec<u8>,
}

/// A published client.
#[derive(Debug)]
pub struct Client {
    driver: Driver,
    vip: Option<Vip>,
}

impl Client {
    /// Joins a hub, as `Client(host, port)` does.
    ///
    /// # Errors
    /// What the client raised.
    pub async fn join(version: Version, hub: SocketAddr) -> Result<Self> {
        Self::join_with(version, hub, json!({})).await
    }

    /// Joins a hub with further arguments of the constructor.
    ///
    /// # Errors
    /// What the client raised.
    pub async fn join_with(version: Version, hub: SocketAddr, options: Value) -> Result<Self> {
        let driver = version.start("client.py", &[])?;
        let mut client = Self { driver, vip: None };
        let mut arguments = options;
        arguments["host"] = json!(hub.ip().to_string());
        arguments["port"] = json!(hub.port());
        let joined = client.ask("join", arguments).await?;
        client.vip = joined["vip"].as_str().map(str::parse).transpose()?;
        Ok(client)
    }

    /// The vIP that it believes to have; published clients lose theirs where they asked for one.
    #[must_use]
    pub fn believed_vip(&self) -> Option<Vip> {
        self.vip
    }

    /// Its vIP.
    ///
    /// # Errors
    /// It has lost it.
    pub fn vip(&self) -> Result<Vip> {
        self.vip.context("the client does not know its vIP")
    }

    /// Calls a function of `client.py`.
    ///
    /// # Errors
    /// What the client raised.
    pub async fn ask(&mut self, function: &str, arguments: Value) -> Result<Value> {
        let mut request = arguments;
        request["do"] = json!(function);
        self.driver.say(&request).await?;
        let answer = self.driver.hear().await?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(anyhow!("{function}: {error}")),
            None => Ok(answer["ok"].clone()),
        }
    }

    /// Sends any packet to the hub.
    ///
    /// # Errors
    /// What the client raised.
    pub async fn packet(&mut self, frame_type: u8, data: &[u8]) -> Result<()> {
        self.ask("packet", json!({ "type": frame_type, "data": hex(data) })).await.map(drop)
    }

    /// Sends DATA to another client, sealed where there is a tunnel.
    ///
    /// # Errors
    /// What the client raised.
    pub async fn send(&mut self, to: Vip, data: &[u8]) -> Result<()> {
        self.ask("send", json!({ "to": to.to_string(), "data": hex(data) })).await.map(drop)
    }

    /// The next packet that is no handshake.
    ///
    /// # Errors
    /// What the client raised.
    pub async fn receive(&mut self) -> Result<Packet> {
        let packet = self.ask("receive", json!({})).await?;
        let frame_type = packet["type"].as_u64().and_then(|number| u8::try_from(number).ok());
        let from = packet["from"].as_str().map(str::parse).transpose()?;
        let data = unhex(packet["data"].as_str().context("no data")?)?;
        Ok(Packet { frame_type: frame_type.context("no type")?, from, data })
    }

    /// Opens a tunnel, as `do_c2c_handshake` does.
    ///
    /// # Errors
    /// What the client raised.
    pub async fn handshake(&mut self, peer: Vip) -> Result<()> {
        self.ask("handshake", json!({ "peer": peer.to_string() })).await.map(drop)
    }

    /// Leaves, as `close` does.
    ///
    /// # Errors
    /// What the client raised.
    pub async fn close(&mut self) -> Result<()> {
        self.ask("close", json!({})).await.map(drop)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    match digits.map(byte).collect() {
        Some(bytes) => Ok(bytes),
        None => bail!("'{text}' is not hex"),
    }
}
