//! `dosp-server backup` and `restore`, with real hubs on the loopback interface.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use dosp_proto::identity::IdentityKey;
use dosp_proto::join_string::JoinString;
use dosp_proto::member::Join;
use dosp_proto::vip::Vip;
use dosp_tests::dosp::binary;
use dosp_tests::member::{self, Member};
use dosp_tests::{Output, Process, is_root, wait_for};
use rand::rngs::StdRng;
use tempfile::TempDir;

/// So many join while the hub is backed up.
const NUM_NODES: usize = 200;
const NUM_BACKUPS: usize = 3;

/// Where a hub lives: its configuration, its state, its socket.
struct Place {
    dir: PathBuf,
}

impl Place {
    fn new(dir: &Path, name: &str) -> Result<Self> {
        let dir = dir.join(name);
        fs::create_dir(&dir)?;
        Ok(Self { dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs `dosp-server COMMAND ARGS` there.
    fn ask(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary("dosp-server")?);
        command.args(args).args(["--config".as_ref(), self.path("server.toml").as_os_str()]);
        command.arg("--state").arg(self.path("state"));
        if args.first() != Some(&"init") {
            command.arg("--socket").arg(self.path("hub.sock"));
        }
        Process::spawn(&self.dir, "ask", command)?.output(Duration::from_secs(30))
    }

    fn init(&self) -> Result<()> {
        self.ask(&["init", "--network", "10.77.1.0/24", "--advertise", "hub.example"])?.ok()?;
        Ok(())
    }

    /// Starts a hub, and says where it listens.
    fn start(&self) -> Result<(Process, String)> {
        let mut command = Command::new(binary("dosp-server")?);
        command.args(["run", "--listen", "127.0.0.1:0", "--config"]).arg(self.path("server.toml"));
        command.arg("--state").arg(self.path("state")).arg("--socket").arg(self.path("hub.sock"));
        let mut hub = Process::spawn(&self.dir, "hub", command)?.shown_on_drop();
        let addr = wait_for("the hub listens", Duration::from_secs(20), || {
            ensure!(hub.is_running()?, "the hub ended: {}", hub.stderr()?);
            let log = hub.stderr()?;
            let addr =
                log.split("listening addr=").nth(1).and_then(|it| it.split_whitespace().next());
            Ok(addr.map(str::to_owned))
        })?;
        Ok((hub, addr))
    }

    /// Everything that is in its folder but what commands said, with modes.
    fn inventory(&self) -> Result<Vec<(PathBuf, u32, Vec<u8>)>> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let (path, meta) = entry.and_then(|it| Ok((it.path(), it.metadata()?)))?;
                let is_output = path.extension().is_some_and(|it| it == "out" || it == "err");
                if meta.is_dir() {
                    folders.push(path.clone());
                    found.push((path, meta.mode(), Vec::new()));
                } else if meta.is_file() && !is_output {
                    let content = fs::read(&path)?;
                    found.push((path, meta.mode(), content));
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

fn join(addr: &str, key: &IdentityKey, join: Join) -> Result<(Member, Vip)> {
    let (member, welcome) = member::join(TcpStream::connect(addr)?, key, join)?;
    Ok((member, welcome.vip))
}

type Joined = Arc<Mutex<Vec<(IdentityKey, Vip)>>>;

/// Has many join, one after the other; `joined` has those that were told their vIP.
fn join_many(addr: String, invite: &str, joined: Joined) -> Result<thread::JoinHandle<Result<()>>> {
    let join_key = invite.parse::<JoinString>()?.join_key;
    Ok(thread::spawn(move || {
        for _ in 0..NUM_NODES {
            let key = IdentityKey::generate(&mut rand::make_rng::<StdRng>());
            let wish = Join { join_key: join_key.clone(), ..Join::default() };
            let (_, vip) = join(&addr, &key, wish)?;
            joined.lock().map_err(|_| anyhow!("poisoned"))?.push((key, vip));
        }
        Ok(())
    }))
}

fn copies(joined: &Joined) -> Result<Vec<(IdentityKey, Vip)>> {
    let joined = joined.lock().map_err(|_| anyhow!("poisoned"))?;
    let copy = |(key, vip): &(IdentityKey, Vip)| (IdentityKey::from_bytes(&key.to_bytes()), *vip);
    Ok(joined.iter().map(copy).collect())
}

#[test]
fn whoever_was_a_member_before_the_backup_is_one_after_it_is_restored() -> Result<()> {
    let dir = TempDir::new()?;
    let home = Place::new(dir.path(), "home")?;
    home.init()?;
    let (hub, addr) = home.start()?;
    let invite = home.ask(&["invite", "--uses", "1000"])?.ok()?.stdout;
    let joined = Joined::default();
    let joining = join_many(addr, invite.trim(), Arc::clone(&joined))?;
    let mut backups = Vec::new();
    for number in 0..NUM_BACKUPS {
        let wanted = (number + 1) * NUM_NODES / (NUM_BACKUPS + 1);
        let before = wait_for("some have joined", Duration::from_secs(60), || {
            Ok(Some(copies(&joined)?).filter(|joined| joined.len() >= wanted))
        })?;
        let file = dir.path().join(format!("{number}.tar"));
        home.ask(&["backup", &file.display().to_string()])?.ok()?.says(&["members"])?;
        ensure!(fs::metadata(&file)?.permissions().mode() & 0o7777 == 0o600, "others can read it");
        backups.push((file, before));
    }
    joining.join().map_err(|_| anyhow!("it panicked"))??;
    drop(hub);

    let hub_key = fs::read(home.path("state/key"))?;
    for (number, (file, before)) in backups.iter().enumerate() {
        let place = Place::new(dir.path(), &format!("place{number}"))?;
        place.ask(&["restore", &file.display().to_string()])?.ok()?;
        let (_hub, addr) = place.start()?;
        ensure!(fs::read(place.path("state/key"))? == hub_key, "it is another hub");
        for (key, vip) in before {
            let (_member, now) = join(&addr, key, Join::default())?;
            ensure!(now == *vip, "{now} instead of {vip}");
        }
        let left = place.inventory()?;
        ensure!(left.iter().all(|(path, ..)| !path.ends_with("state.restoring")), "{left:?}");
    }
    Ok(())
}

#[test]
fn what_is_no_backup_of_this_version_changes_nothing() -> Result<()> {
    let dir = TempDir::new()?;
    let (home, other) = (Place::new(dir.path(), "home")?, Place::new(dir.path(), "other")?);
    home.init()?;
    other.init()?;
    let file = dir.path().join("backup.tar");
    let name = file.display().to_string();
    // No hub runs: the files themselves are what there is.
    home.ask(&["backup", &name])?.ok()?;
    let good = fs::read(&file)?;
    let at = good.windows(7).position(|it| it == b"backup/").context("the schema")?;
    let changed = |at: usize, to: u8| [&good[..at], &[to], &good[at + 1..]].concat();
    let cases = [
        (good[..good.len() / 2].to_vec(), "damaged or cut off"),
        (good[..good.len() - 1].to_vec(), "damaged or cut off"),
        ([&good[..], b"x"].concat(), "damaged or cut off"),
        (changed(good.len() / 2, good[good.len() / 2] ^ 1), "damaged or cut off"),
        (changed(at + 7, b'2'), "of the later format 2"),
        (b"key = 1\n".repeat(500), "no backup of dosp-server"),
        (Vec::new(), "no backup of dosp-server"),
    ];
    let before = other.inventory()?;
    for (content, words) in cases {
        fs::write(&file, content)?;
        let output = other.ask(&["restore", &name, "--force"])?.exits(1)?;
        output.says(&["backup.tar is not restored: it is ", words, "\nhint: "])?;
        ensure!(other.inventory()? == before, "something was changed: {words}");
    }
    Ok(())
}

#[test]
fn what_is_there_is_replaced_only_by_force_and_kept() -> Result<()> {
    let dir = TempDir::new()?;
    let (home, other) = (Place::new(dir.path(), "home")?, Place::new(dir.path(), "other")?);
    home.init()?;
    other.init()?;
    let file = dir.path().join("backup.tar").display().to_string();
    home.ask(&["backup", &file])?.ok()?;
    let before = other.inventory()?;
    let key = fs::read(other.path("state/key"))?;
    if is_root() {
        nix::unistd::chown(&other.path("state"), Some(12_345.into()), Some(23_456.into()))?;
    }

    other.ask(&["restore", &file])?.exits(1)?.says(&["state exists", "--force"])?;
    let (hub, _) = other.start()?;
    other.ask(&["restore", &file, "--force"])?.exits(1)?.says(&["a hub runs: it answers on"])?;
    fs::remove_file(other.path("hub.sock"))?;
    other.ask(&["restore", &file, "--force"])?.exits(1)?.says(&["a hub runs: it uses"])?;
    drop(hub);
    let now = other.inventory()?;
    ensure!(now.len() == before.len(), "{:?}", now.iter().map(|it| &it.0).collect::<Vec<_>>());

    let output = other.ask(&["restore", &file, "--force"])?.ok()?;
    ensure!(fs::read(other.path("state/key"))? == fs::read(home.path("state/key"))?, "{output}");
    let entries = fs::read_dir(&other.dir)?.map(|it| Ok(it?.path())).collect::<Result<Vec<_>>>()?;
    let kept = entries.iter().find(|it| it.display().to_string().contains("state.before-restore-"));
    let kept = kept.context("the old folder is gone")?;
    ensure!(fs::read(kept.join("key"))? == key, "the old key is gone");
    output.says(&[&kept.display().to_string()])?;
    if is_root() {
        for path in [other.path("state"), other.path("state/key"), other.path("state/members.redb")]
        {
            let meta = fs::metadata(&path)?;
            ensure!((meta.uid(), meta.gid()) == (12_345, 23_456), "{path:?} is another's");
        }
    }
    Ok(())
}

#[test]
fn backup_goes_through_a_pipe() -> Result<()> {
    let dir = TempDir::new()?;
    let (home, other) = (Place::new(dir.path(), "home")?, Place::new(dir.path(), "other")?);
    home.init()?;
    let program = binary("dosp-server")?;
    let place = |command: &mut Command, place: &Place| {
        command
            .arg("--config")
            .arg(place.path("server.toml"))
            .arg("--state")
            .arg(place.path("state"));
        command.arg("--socket").arg(place.path("hub.sock"));
    };
    let mut backup = Command::new(&program);
    place(backup.args(["backup", "-"]), &home);
    let mut backup = backup.stdout(Stdio::piped()).spawn()?;
    let mut restore = Command::new(&program);
    place(restore.args(["restore", "-"]), &other);
    let restored = restore.stdin(backup.stdout.take().context("a pipe")?).output()?;
    ensure!(backup.wait()?.success() && restored.status.success(), "{restored:?}");
    ensure!(fs::read(other.path("state/key"))? == fs::read(home.path("state/key"))?, "another key");
    // The configuration names the folder of the hub that was backed up.
    let words = String::from_utf8_lossy(&restored.stderr).into_owned();
    ensure!(words.contains("warning: the configuration names another folder"), "{words}");
    Ok(())
}

#[test]
fn restore_goes_where_it_is_told_and_nowhere_else() -> Result<()> {
    let dir = TempDir::new()?;
    let (home, other) = (Place::new(dir.path(), "home")?, Place::new(dir.path(), "other")?);
    home.init()?;
    let config = fs::read_to_string(home.path("server.toml"))?;
    fs::write(home.path("server.toml"), format!("{config}admin_token_file = \"/nonexistent\"\n"))?;
    if is_root() {
        nix::unistd::chown(&home.path("server.toml"), Some(1.into()), Some(1.into()))?;
    }
    let file = dir.path().join("backup.tar").display().to_string();
    home.ask(&["backup", &file])?.ok()?;
    let restore = |args: &[&str]| {
        let mut command = Command::new(binary("dosp-server")?);
        command.args(["restore", &file, "--force"]).args(args);
        Process::spawn(dir.path(), "restore", command)?.output(Duration::from_secs(30))
    };
    let path = |name: &str| other.path(name).display().to_string();
    let before = home.inventory()?;

    // The backup knows where it was, and does not choose.
    let hint = format!(
        "--state {} --config {}",
        home.path("state").display(),
        home.path("server.toml").display()
    );
    restore(&[])?.exits(2)?.says(&["not the usual places", &hint])?;
    restore(&["--state", &path("state")])?.exits(2)?.says(&["not the usual places"])?;
    let inside = ["--state", &path("state"), "--config", &path("state/server.toml")];
    restore(&inside)?.exits(2)?.says(&["inside the state folder", "--config"])?;
    fs::create_dir(other.path("folder"))?;
    let folder =
        ["--state", &path("state"), "--config", &path("folder"), "--socket", &path("none")];
    restore(&folder)?.exits(1)?.says(&["folder is no file"])?;
    ensure!(home.inventory()? == before, "something was changed");
    ensure!(!other.path("state").exists() && other.path("folder").is_dir(), "something was made");

    let restored = other.ask(&["restore", &file])?.ok()?;
    restored.says(&["warning: admin_token_file", "/nonexistent does not exist"])?;
    let there = fs::metadata(other.path("server.toml"))?;
    ensure!(!is_root() || (there.uid(), there.gid()) == (1, 1), "it is {}'s", there.uid());
    Ok(())
}
