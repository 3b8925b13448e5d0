//! A throw-away ssh server on a host of the overlay, with keys of its own, and its clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::dosp::Agent;
use crate::process::{Output, Process};
use crate::wait::{wait_for, wait_until};

/// An ssh server that runs as long as this value lives.
#[derive(Debug)]
pub struct Sshd {
    /// The address it listens on.
    pub address: String,
    key: PathBuf,
    _process: Process,
}

impl Sshd {
    /// Starts a server on the agent's vIP, port 22, and waits until it listens.
    pub fn start(agent: &Agent) -> Result<Self> {
        let address = agent.vip.clone();
        let dir = agent.ns().dir().join(format!("ssh-{address}"));
        fs::create_dir(&dir).context("make a directory for ssh keys")?;
        fs::create_dir_all("/run/sshd").context("make /run/sshd")?; // sshd insists on it
        make_key(&dir.join("host"))?;
        make_key(&dir.join("client"))?;
        let config = dir.join("config");
        fs::write(&config, config_text(&address, &dir)).context("write the server's config")?;
        let config = config.display().to_string();
        let args = ["-D", "-e", "-f", &config];
        let process = agent.ns().spawn("sshd", Path::new("/usr/sbin/sshd"), &args)?;
        wait_until("sshd listens", Duration::from_secs(10), || {
            Ok(process.stderr()?.contains("Server listening"))
        })
        .with_context(|| process.stderr().unwrap_or_default())?;
        Ok(Self { address, key: dir.join("client"), _process: process.shown_on_drop() })
    }

    /// Options for ssh and scp: this key, no files of the user, no questions.
    fn options(&self) -> String {
        format!(
            "-F none -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
             -o BatchMode=yes -o ConnectTimeout=20 -o LogLevel=ERROR",
            self.key.display()
        )
    }

    /// Runs a command over ssh, from `client`'s host, to its end.
    pub fn run(&self, client: &Agent, command: &str) -> Result<Output> {
        self.run_at(client, &self.address, command)
    }

    /// As above, where the client calls the server `name`.
    pub fn run_at(&self, client: &Agent, name: &str, command: &str) -> Result<Output> {
        client.ns().sh(&format!("exec ssh {} root@{name} '{command}'", self.options()))
    }

    /// Opens a session that counts upward from 0, ten times a second, and waits for its start.
    pub fn open_counter(&self, client: &Agent) -> Result<Counter> {
        let script = "i=0; while echo $i; do i=$((i+1)); sleep 0.1; done";
        let Self { address, .. } = self;
        let line = format!("exec ssh {} root@{address} '{script}'", self.options());
        let mut counter = Counter { process: client.ns().spawn_sh(&line)?.shown_on_drop() };
        counter.wait_until_goes_on(Duration::from_secs(20))?;
        Ok(counter)
    }

    /// Starts to copy `from` on the client's host to `to` on the server's, at most at `mbit_per_s`.
    pub fn start_scp(
        &self,
        client: &Agent,
        from: &Path,
        to: &Path,
        mbit_per_s: u32,
    ) -> Result<Process> {
        client.ns().spawn_sh(&format!(
            "exec scp -l {} {} {} root@{}:{}",
            mbit_per_s * 1000,
            self.options(),
            from.display(),
            self.address,
            to.display()
        ))
    }
}

/// An open ssh session on which numbers arrive.
#[derive(Debug)]
pub struct Counter {
    process: Process,
}

impl Counter {
    /// How many numbers have arrived, after checking that they are 0, 1, 2, … without a gap.
    pub fn num_received(&mut self) -> Result<usize> {
        let text = self.process.stdout()?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (expected, line) in whole.lines().enumerate() {
            ensure!(line == expected.to_string(), "got {line:?} in place of {expected}");
        }
        Ok(whole.lines().count())
    }

    /// Waits until ten more numbers have arrived on the same session.
    pub fn wait_until_goes_on(&mut self, within: Duration) -> Result<()> {
        let before = self.num_received()?;
        wait_for("the ssh session goes on", within, || {
            ensure!(self.process.is_running()?, "ssh ended: {}", self.process.stderr()?);
            Ok((self.num_received()? >= before + 10).then_some(()))
        })
    }
}

/// A file of `num_bytes` random bytes.
pub fn random_file(path: &Path, num_bytes: usize) -> Result<()> {
    let mut bytes = vec![0; num_bytes];
    rand::fill(bytes.as_mut_slice());
    fs::write(path, bytes).with_context(|| format!("write {path:?}"))
}

/// The SHA-256 of a file, in hex.
pub fn sha256(path: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(path).output().context("run sha256sum")?;
    ensure!(output.status.success(), "sha256sum {path:?} failed");
    let text = String::from_utf8(output.stdout).context("sha256sum's output")?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

fn make_key(path: &Path) -> Result<()> {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .context("run ssh-keygen")?;
    ensure!(status.success(), "ssh-keygen failed");
    Ok(())
}

fn config_text(address: &str, dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "ListenAddress {address}:22\n\
         HostKey {dir}/host\n\
         AuthorizedKeysFile {dir}/client.pub\n\
         PidFile none\n\
         UsePAM no\n\
         StrictModes no\n\
         PermitRootLogin prohibit-password\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         Subsystem sftp internal-sftp\n"
    )
}
