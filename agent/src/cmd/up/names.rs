//! The names of peers in `/etc/hosts`, and what is said where they cannot be put there.

use dosp_proto::vip::Vip;
use tokio::sync::watch;

use crate::config::Settings;
use crate::hosts::HostsFile;
use crate::peer_name::PeerName;

/// Gives the members of the network names on this host, until the node has ended.
pub(super) async fn keep_names(
    mut names: watch::Receiver<Vec<(Vip, PeerName)>>,
    settings: Settings,
    hosts: HostsFile,
) {
    if !settings.hosts() {
        return;
    }
    let mut kept = Names::new(hosts, settings.tun());
    // Those that a killed agent left stay no longer than until here.
    kept.put(Vec::new()).await;
    while names.changed().await.is_ok() {
        let latest = names.borrow_and_update().clone();
        kept.put(latest).await;
    }
    kept.put(Vec::new()).await;
}

/// Puts names into the file. The list changes as often as others want, and the file stays as it is: so
/// each trouble is told of once.
#[derive(Debug)]
struct Names {
    hosts: HostsFile,
    tun: String,
    /// That it cannot be written was told, and it could not be written since.
    has_failed: bool,
    /// That there is no room was told.
    had_no_room: bool,
}

impl Names {
    /// Those of the agent with the interface `tun`.
    fn new(hosts: HostsFile, tun: &str) -> Self {
        Self { hosts, tun: tun.to_owned(), has_failed: false, had_no_room: false }
    }

    /// Makes these the names.
    async fn put(&mut self, names: Vec<(Vip, PeerName)>) {
        let (hosts, tun, is_empty) = (self.hosts.clone(), self.tun.clone(), names.is_empty());
        let put = tokio::task::spawn_blocking(move || hosts.write(&tun, &names)).await;
        match put {
            Ok(Ok(num_left_out)) => {
                // Where there are no names the file may not have been written.
                self.has_failed &= is_empty;
                self.tell_no_room(num_left_out);
            }
            Ok(Err(error)) => self.tell_failed(&error),
            Err(error) => self.tell_failed(&error),
        }
    }

    fn tell_no_room(&mut self, num_left_out: usize) {
        if num_left_out > 0 && !self.had_no_room {
            tracing::warn!(
                num_left_out,
                "/etc/hosts has no room for some names; dosp-agent's own commands know them"
            );
            self.had_no_room = true;
        }
    }

    fn tell_failed(&mut self, error: &dyn std::error::Error) {
        if !self.has_failed {
            let failed = error.to_string();
            tracing::warn!(
                failed,
                "/etc/hosts has no names of peers; dosp-agent's own commands know them"
            );
            self.has_failed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::test_log::TestLog;

    fn names(count: u32) -> Vec<(Vip, PeerName)> {
        let name = |i: u32| (Vip::from(0x0A01_0000 + i), format!("{i:0>63}.berlin"));
        (0..count).map(name).map(|(vip, name)| (vip, name.parse().unwrap())).collect()
    }

    #[tokio::test]
    async fn names_without_room_are_told_of_once() {
        let log = TestLog::start();
        let dir = TempDir::new().unwrap();
        let hosts = HostsFile::at(dir.path().join("hosts"));
        let (tell, told) = watch::channel(Vec::new());
        let keeping = keep_names(told, Settings::default(), hosts.clone());
        let telling = async {
            for count in [20_000, 3, 21_000] {
                tell.send_replace(names(count));
                let is_long = || fs::read(hosts.path()).is_ok_and(|text| text.len() > 1_000);
                while is_long() != (count > 3) {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
            drop(tell);
        };
        tokio::join!(keeping, telling);
        assert_eq!(log.text().matches("has no room for some names").count(), 1, "{}", log.text());
        assert_eq!(fs::read(hosts.path()).unwrap(), b"");
    }

    #[tokio::test]
    async fn file_that_cannot_be_written_is_told_of_once_until_it_can_be() {
        let log = TestLog::start();
        let dir = TempDir::new().unwrap();
        let hosts = HostsFile::at(dir.path().join("hosts"));
        let mut kept = Names::new(hosts.clone(), "dosp0");
        let num_told = || log.text().matches("has no names of peers").count();
        // Root can write what nobody may, but no folder.
        fs::create_dir(hosts.path()).unwrap();
        for count in [1, 2, 0, 3] {
            kept.put(names(count)).await;
            assert_eq!(num_told(), 1, "{}", log.text());
        }
        fs::remove_dir(hosts.path()).unwrap();
        kept.put(Vec::new()).await;
        fs::create_dir(hosts.path()).unwrap();
        kept.put(names(1)).await;
        assert_eq!(num_told(), 1, "nothing was written between: {}", log.text());
        fs::remove_dir(hosts.path()).unwrap();
        kept.put(names(2)).await;
        assert!(fs::read_to_string(hosts.path()).unwrap().contains("BEGIN dosp dosp0:"));
        fs::remove_file(hosts.path()).unwrap();
        fs::create_dir(hosts.path()).unwrap();
        for count in [3, 4] {
            kept.put(names(count)).await;
            assert_eq!(num_told(), 2, "{}", log.text());
        }
    }
}
