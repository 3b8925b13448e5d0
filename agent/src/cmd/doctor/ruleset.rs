//! What a packet from the interface meets in an nftables ruleset, without I/O.
//!
//! The ruleset is the JSON of `nft -j list ruleset` (libnftables-json(5)). Only what tells something of
//! any packet from the interface is followed: rules with other conditions are exceptions, in one
//! direction or the other.

use serde_json::Value;

/// The kernel follows no more jumps either (`NFT_JUMP_STACK_SIZE`).
const MAX_DEPTH: usize = 16;

/// What keeps packets of the interface from this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wall {
    /// Family, table and name of the chain.
    pub(super) chain: [String; 3],
    /// Whether it is the chain's policy, and no rule.
    pub(super) by_policy: bool,
    /// Whether other rules let some in.
    pub(super) has_exceptions: bool,
}

/// The chains of `ruleset` that let nothing in from `ifname`, but for exceptions.
pub(super) fn walls(ruleset: &Value, ifname: &str) -> Vec<Wall> {
    let items = ruleset["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let bases = items.iter().map(|item| &item["chain"]).filter(|chain| is_input_filter(chain));
    let walls = bases.filter_map(|chain| {
        let mut walk = Walk { items, ifname, has_exceptions: false };
        let place = ["family", "table", "name"].map(|key| chain[key].as_str().unwrap_or_default());
        let fate = walk.chain(place, 0);
        let by_policy = fate == Fate::Undecided && chain["policy"] == "drop";
        (fate == Fate::Dropped || by_policy).then(|| Wall {
            chain: place.map(str::to_owned),
            by_policy,
            has_exceptions: walk.has_exceptions,
        })
    });
    walls.collect()
}

fn is_input_filter(chain: &Value) -> bool {
    let is_ipv4 = matches!(chain["family"].as_str(), Some("ip" | "inet"));
    is_ipv4 && chain["hook"] == "input" && chain["type"] == "filter"
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Accepted,
    Dropped,
    Undecided,
}

/// Whether a rule is for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applies {
    Always,
    Never,
    Sometimes,
}

struct Walk<'a> {
    items: &'a [Value],
    ifname: &'a str,
    has_exceptions: bool,
}

impl Walk<'_> {
    fn chain(&mut self, place: [&str; 3], depth: usize) -> Fate {
        if depth >= MAX_DEPTH {
            return Fate::Undecided;
        }
        let is_here = |rule: &&Value| {
            [("family", 0), ("table", 1), ("chain", 2)]
                .iter()
                .all(|(key, i)| rule[key] == place[*i])
        };
        for rule in self.items.iter().map(|item| &item["rule"]).filter(is_here) {
            let expressions = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
            let applies = self.applies(expressions);
            // A map of verdicts is not looked into.
            self.has_exceptions |= expressions.iter().any(|expression| has(expression, "vmap"));
            if applies == Applies::Never {
                continue;
            }
            let returns = expressions.iter().any(|expression| has(expression, "return"));
            if returns && applies == Applies::Always {
                return Fate::Undecided;
            }
            let fate = expressions.iter().fold(Fate::Undecided, |fate, expression| {
                if fate == Fate::Undecided { self.verdict(expression, place, depth) } else { fate }
            });
            match (fate, applies) {
                (Fate::Accepted, Applies::Sometimes) => self.has_exceptions = true,
                (Fate::Accepted | Fate::Dropped, Applies::Always) => return fate,
                // Nothing comes back here from a goto.
                (Fate::Undecided, Applies::Always)
                    if expressions.iter().any(|expression| has(expression, "goto")) =>
                {
                    return fate;
                }
                _ => {}
            }
        }
        Fate::Undecided
    }

    fn verdict(&mut self, expression: &Value, place: [&str; 3], depth: usize) -> Fate {
        if has(expression, "accept") {
            return Fate::Accepted;
        }
        if has(expression, "drop") || has(expression, "reject") {
            return Fate::Dropped;
        }
        let target = ["jump", "goto"].iter().find_map(|key| expression[key]["target"].as_str());
        match target {
            Some(target) => self.chain([place[0], place[1], target], depth + 1),
            None => Fate::Undecided,
        }
    }

    fn applies(&self, expressions: &[Value]) -> Applies {
        let mut applies = Applies::Always;
        for expression in expressions {
            let is_condition = has(expression, "match")
                || ["limit", "xt", "vmap", "quota", "connlimit", "ct count"]
                    .iter()
                    .any(|key| has(expression, key));
            if !is_condition {
                continue;
            }
            match self.is_of_interface(&expression["match"]) {
                Some(true) => {}
                Some(false) => return Applies::Never,
                None => applies = Applies::Sometimes,
            }
        }
        applies
    }

    /// Whether a condition on the interface holds; `None` for all others.
    fn is_of_interface(&self, condition: &Value) -> Option<bool> {
        let key = condition["left"]["meta"]["key"].as_str()?;
        if !matches!(key, "iifname" | "iif") {
            return None;
        }
        let right = &condition["right"];
        let holds = match right["set"].as_array() {
            Some(set) => set.iter().any(|name| self.is_interface(name)),
            // A named set is not looked into.
            None if right.as_str().is_none_or(|name| name.starts_with('@')) => return None,
            None => self.is_interface(right),
        };
        match condition["op"].as_str() {
            Some("!=") => Some(!holds),
            _ => Some(holds),
        }
    }

    fn is_interface(&self, name: &Value) -> bool {
        let name = name.as_str().unwrap_or_default();
        match name.strip_suffix('*') {
            Some(prefix) => self.ifname.starts_with(prefix),
            None => name == self.ifname,
        }
    }
}

/// Verdicts are keys whose value is null.
fn has(expression: &Value, key: &str) -> bool {
    expression.as_object().is_some_and(|object| object.contains_key(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chain(name: &str, policy: Option<&str>) -> Value {
        let mut chain = json!({"family": "inet", "table": "filter", "name": name, "handle": 1});
        if let Some(policy) = policy {
            let base = json!({"type": "filter", "hook": "input", "prio": 0, "policy": policy});
            chain.as_object_mut().unwrap().extend(base.as_object().unwrap().clone());
        }
        json!({"chain": chain})
    }

    fn rule(chain: &str, expr: &[Value]) -> Value {
        json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "expr": expr}})
    }

    fn from(interface: &Value) -> Value {
        json!({"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": interface}})
    }

    fn established() -> Value {
        let left = json!({"ct": {"key": "state"}});
        json!({"match": {"op": "in", "left": left, "right": ["established", "related"]}})
    }

    fn word(word: &str) -> Value {
        json!({word: null})
    }

    fn found(items: &[Value]) -> Option<(bool, bool)> {
        let walls = walls(&json!({"nftables": items}), "dosp0");
        assert!(walls.len() <= 1);
        walls.first().map(|wall| (wall.by_policy, wall.has_exceptions))
    }

    #[test]
    fn no_rules_are_no_wall() {
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[chain("input", Some("accept"))]), None);
        assert_eq!(walls(&json!("nonsense"), "dosp0"), []);
    }

    #[test]
    fn policy_drops_what_no_rule_accepts() {
        let policy = chain("input", Some("drop"));
        assert_eq!(found(std::slice::from_ref(&policy)), Some((true, false)));
        let answers = rule("input", &[established(), word("accept")]);
        assert_eq!(found(&[policy.clone(), answers.clone()]), Some((true, true)));
        for interface in [json!("dosp0"), json!("dosp*"), json!({"set": ["lo", "dosp0"]})] {
            let lets_in =
                rule("input", &[from(&interface), json!({"counter": {}}), word("accept")]);
            assert_eq!(found(&[policy.clone(), answers.clone(), lets_in]), None, "{interface}");
        }
        let other = rule("input", &[from(&json!("eth0")), word("accept")]);
        assert_eq!(found(&[policy, other]), Some((true, false)));
    }

    #[test]
    fn rules_drop_in_their_order_and_through_jumps() {
        let base = chain("input", Some("accept"));
        let drops = rule("input", &[from(&json!("dosp0")), word("drop")]);
        assert_eq!(found(&[base.clone(), drops.clone()]), Some((false, false)));
        let accepts = rule("input", &[word("accept")]);
        assert_eq!(found(&[base.clone(), accepts, drops]), None);
        let jump = rule("input", &[json!({"jump": {"target": "vpn"}})]);
        let rejects = rule("vpn", &[json!({"reject": {"type": "tcp reset"}})]);
        let items = [base.clone(), chain("vpn", None), jump.clone(), rejects.clone()];
        assert_eq!(found(&items), Some((false, false)));
        let back = rule("vpn", &[from(&json!("dosp0")), word("return")]);
        assert_eq!(found(&[base.clone(), chain("vpn", None), jump, back, rejects]), None);
        let endless = rule("input", &[json!({"goto": {"target": "input"}})]);
        assert_eq!(found(&[base, endless]), None);
    }

    #[test]
    fn what_stands_behind_a_goto_is_not_reached() {
        let go = |how: &str| rule("input", &[json!({how: {"target": "vpn"}})]);
        let accepts = rule("input", &[word("accept")]);
        let items = |how| {
            [chain("input", Some("drop")), chain("vpn", None), go(how), accepts.clone()].to_vec()
        };
        assert_eq!(found(&items("goto")), Some((true, false)));
        assert_eq!(found(&items("jump")), None);
    }

    #[test]
    fn other_families_and_hooks_are_not_asked() {
        let text = chain("input", Some("drop")).to_string();
        for (what, other) in
            [("\"inet\"", "\"ip6\""), ("\"hook\":\"input\"", "\"hook\":\"output\"")]
        {
            assert!(text.contains(what));
            let item = serde_json::from_str(&text.replace(what, other)).unwrap();
            assert_eq!(found(&[item]), None);
        }
    }
}
