//! Whether this host's firewall lets in what comes over the interface.

use serde_json::Value;

use super::finding::{Check, Finding};
use super::program::{self, RunError};
use super::ruleset::{Wall, walls};

/// What is known of the firewall.
#[derive(Debug)]
pub(super) struct Firewall {
    pub(super) tun: String,
    /// The chains that let nothing in; why nobody has looked.
    pub(super) walls: Result<Vec<Wall>, String>,
    /// Whether rules of the older iptables are there, which nft does not show.
    pub(super) has_legacy_rules: bool,
    /// Whether the kernel drops what would not be answered over the same interface.
    pub(super) is_rp_strict: bool,
}

pub(super) async fn look(tun: &str) -> Firewall {
    let listed = program::run("nft", &["-j", "list", "ruleset"]).await;
    let walls = match listed {
        Ok(text) => serde_json::from_str::<Value>(&text)
            .map(|ruleset| walls(&ruleset, tun))
            .map_err(|error| format!("the ruleset cannot be read: {error}")),
        Err(RunError::Missing) => Err("there is no program nft here".to_owned()),
        Err(RunError::Failed(said)) if said.contains("not permitted") => {
            Err("listing the ruleset needs root".to_owned())
        }
        Err(error) => Err(format!("nft: {error}")),
    };
    let tables = std::fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    let has_legacy_rules = tables.lines().any(|table| table == "filter");
    let modes = ["all", tun].map(rp_filter);
    // The stricter one counts (ip-sysctl.rst), and 1 is stricter than 2.
    let is_rp_strict = modes.contains(&Some(1)) && !modes.contains(&Some(2));
    Firewall { tun: tun.to_owned(), walls, has_legacy_rules, is_rp_strict }
}

fn rp_filter(interface: &str) -> Option<u8> {
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter");
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// `is_covered` says that another route leads to some of the network's addresses, at least as exactly.
pub(super) fn judge(firewall: &Firewall, is_covered: bool) -> Finding {
    let check = Check::Firewall;
    let Firewall { tun, walls, has_legacy_rules, is_rp_strict } = firewall;
    let found = walls.as_deref().unwrap_or_default();
    let mut whats: Vec<_> = found.iter().map(|wall| in_words(wall, tun)).collect();
    let mut fixes = Vec::new();
    if !found.is_empty() {
        let rules: Vec<_> = found.iter().map(|wall| opening(wall, tun)).collect();
        fixes.push(format!(
            "if members are to reach this host: {}, and the same where the rules are kept",
            rules.join("; ")
        ));
    }
    if *is_rp_strict && is_covered {
        whats.push(format!(
            "rp_filter is strict, and another route leads to some addresses: what they send over \
             {tun} is dropped"
        ));
        fixes.push(format!(
            "sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{tun}.rp_filter=2"
        ));
    }
    let legacy = if *has_legacy_rules { "; rules of iptables-legacy: not looked at" } else { "" };
    let unseen = match walls {
        Err(why) if whats.is_empty() => {
            return Finding::skipped(check, format!("not looked at: {why}{legacy}"));
        }
        Err(why) => format!("; rules of nft: not looked at: {why}"),
        Ok(_) => String::new(),
    };
    if whats.is_empty() {
        return Finding::ok(check, format!("no rule of nft keeps {tun} out{legacy}"));
    }
    Finding::warn(check, format!("{}{unseen}{legacy}", whats.join("; ")), fixes.join("; "))
}

fn in_words(wall: &Wall, tun: &str) -> String {
    let [family, table, chain] = &wall.chain;
    let by = if wall.by_policy { "the policy of" } else { "a rule in" };
    let but = if wall.has_exceptions { ", but for exceptions" } else { "" };
    format!("{by} the chain {family} {table} {chain} drops what comes over {tun}{but}")
}

/// The command that lets everything in.
fn opening(wall: &Wall, tun: &str) -> String {
    let [family, table, chain] = &wall.chain;
    format!("nft insert rule {family} {table} {chain} iifname {tun} accept")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn firewall() -> Firewall {
        let tun = "dosp0".to_owned();
        Firewall { tun, walls: Ok(Vec::new()), has_legacy_rules: false, is_rp_strict: true }
    }

    #[test]
    fn walls_are_told_with_the_rule_that_opens_them() {
        assert_eq!(judge(&firewall(), false).verdict, Verdict::Ok);
        let chain = ["inet", "filter", "input"].map(str::to_owned);
        let wall = Wall { chain, by_policy: true, has_exceptions: true };
        let finding = judge(&Firewall { walls: Ok(vec![wall]), ..firewall() }, false);
        assert_eq!(finding.verdict, Verdict::Warn);
        let what = "the policy of the chain inet filter input drops what comes over dosp0, but for \
                    exceptions";
        assert_eq!(finding.what, what);
        let fix = finding.fix.unwrap();
        assert!(fix.contains("nft insert rule inet filter input iifname dosp0 accept"), "{fix}");
    }

    #[test]
    fn each_wall_has_its_rule_and_none_hides_behind_another_warning() {
        let walls = ["input", "late"].map(|name| Wall {
            chain: ["inet", "filter", name].map(str::to_owned),
            by_policy: false,
            has_exceptions: false,
        });
        let fix = judge(&Firewall { walls: Ok(walls.to_vec()), ..firewall() }, true).fix.unwrap();
        for words in [
            "nft insert rule inet filter input iifname dosp0 accept",
            "nft insert rule inet filter late iifname dosp0 accept",
            "rp_filter=2",
        ] {
            assert!(fix.contains(words), "{words:?} is not in {fix:?}");
        }
    }

    #[test]
    fn what_is_not_looked_at_is_said() {
        let blind = Firewall { walls: Err("no nft".to_owned()), ..firewall() };
        assert_eq!(judge(&blind, false).verdict, Verdict::Skipped);
        assert!(judge(&blind, true).what.ends_with("rules of nft: not looked at: no nft"));
        let legacy = judge(&Firewall { has_legacy_rules: true, ..firewall() }, false);
        assert!(legacy.what.contains("iptables-legacy: not looked at"), "{legacy:?}");
    }

    #[test]
    fn strict_reverse_paths_matter_where_routes_overlap() {
        let finding = judge(&firewall(), true);
        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(finding.fix.unwrap().contains("rp_filter=2"));
        let loose = Firewall { is_rp_strict: false, ..firewall() };
        assert_eq!(judge(&loose, true).verdict, Verdict::Ok);
    }
}
