//! What Prometheus is told, by both programs under traffic, and what people are told of that.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_agent::engine::DropReason;
use dosp_tests::federation::{LINK_TIMEOUT, cabled, network, peers_of};
use dosp_tests::iperf::iperf;
use dosp_tests::metrics::{Scrape, documented, documented_names};
use dosp_tests::{Agent, Hub, Net, needs_root, wait_until};
use serde_json::Value;

const HUB: &str = "127.0.0.1:9744";
const AGENT: &str = "127.0.0.1:9745";

/// Until nothing is under way any more and all that is measured now and then has been.
const SETTLED: Duration = Duration::from_secs(40);

/// An agent at each of two hubs that are linked; the first hub and its agent serve figures. Both agents
/// have spoken to each other, and one to nobody.
struct Scene {
    agents: [Agent; 2],
    hub: Hub,
    net: Arc<Net>,
    _other: Hub,
}

impl Scene {
    fn start() -> Result<Self> {
        let wires = [(0, 1)];
        let nets = cabled(2, &wires)?;
        let hub = |i: usize, more: &[&str]| -> Result<Hub> {
            let (own, state) = (network(i), Hub::state(&nets[i]).display().to_string());
            let peers = peers_of(i, &wires);
            let mut args = vec!["--network", &own, "--state", &state];
            args.extend(peers.iter().flat_map(|peer| ["--peer", peer]));
            Hub::start(&nets[i], &[&args, more].concat())
        };
        let (first, other) = (hub(0, &["--metrics", HUB])?, hub(1, &[])?);
        let agents = [Agent::up(&nets[0], 0, &["--metrics", AGENT])?, Agent::up(&nets[1], 0, &[])?];
        let scene = Self { agents, hub: first, net: Arc::clone(&nets[0]), _other: other };
        let [a, b] = &scene.agents;
        wait_until("an echo comes back", LINK_TIMEOUT, || a.reaches(&b.vip))?;
        iperf(a, b, "")?;
        ensure!(!a.reaches("7.10.0.77")?, "nobody is there");
        Ok(scene)
    }

    fn scrape_agent(&self) -> Result<Scrape> {
        Scrape::of(self.agents[0].ns(), AGENT)
    }

    fn scrape_hub(&self) -> Result<Scrape> {
        Scrape::of(&self.net.hub, HUB)
    }
}

#[test]
fn figures_are_those_of_the_documentation_and_of_status() -> Result<()> {
    needs_root!();
    let scene = Scene::start()?;
    for (scrape, prefix) in
        [(Scene::scrape_agent as fn(&Scene) -> _, "dosp_agent_"), (Scene::scrape_hub, "dosp_hub_")]
    {
        are_documented(&|| scrape(&scene), prefix).context(prefix)?;
        is_fit_for_prometheus(&scrape(&scene)?.text).context(prefix)?;
    }
    every_reason_is_there(&scene)?;
    agent_agrees_with_its_status(&scene)?;
    hub_agrees_with_its_status(&scene)
}

/// Names, types, words and labels: none is missing here or there. Under traffic all have figures.
fn are_documented(scrape: &dyn Fn() -> Result<Scrape>, prefix: &str) -> Result<()> {
    let documented = documented(&[prefix, "process_"])?;
    ensure!(documented.len() > 20, "the tables are not found");
    let without_figures = |scrape: &Scrape| -> Vec<String> {
        let families = scrape.families.iter().filter(|(_, family)| family.labels.is_none());
        families.map(|(name, _)| name.clone()).collect()
    };
    wait_until("all have figures", SETTLED, || Ok(without_figures(&scrape()?).is_empty()))
        .with_context(|| format!("{:?}", scrape().map(|scrape| without_figures(&scrape))))?;
    let exported = scrape()?.families;
    for name in exported.keys().chain(documented.keys()) {
        let (exported, documented) = (exported.get(name), documented.get(name));
        ensure!(exported == documented, "{name}: {exported:#?} is documented as {documented:#?}");
    }
    Ok(())
}

/// promtool reads it as Prometheus does, and knows what good names are.
fn is_fit_for_prometheus(text: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("metrics");
    std::fs::write(&path, text)?;
    let input = std::fs::File::open(&path)?;
    let output = Command::new("promtool").args(["check", "metrics"]).stdin(input).output();
    let output = output.context("run promtool, of Debian's package prometheus")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{}: {said}\n{text}", output.status);
    Ok(())
}

fn every_reason_is_there(scene: &Scene) -> Result<()> {
    let labels = |scrape: Scrape, name: &str| -> BTreeSet<String> {
        scrape.by_label(name).into_keys().collect()
    };
    let reasons: BTreeSet<String> =
        DropReason::ALL.iter().map(|reason| reason.name().to_owned()).collect();
    let exported = labels(scene.scrape_agent()?, "dosp_agent_dropped_total");
    ensure!(exported == reasons, "{exported:?}");
    let documented = documented_names("Drops")?;
    ensure!(documented == reasons, "{documented:?}");
    let exported = labels(scene.scrape_hub()?, "dosp_hub_dropped_total");
    ensure!(exported == ["queue_delay", "queue_full"].map(str::to_owned).into(), "{exported:?}");
    Ok(())
}

/// The same numbers come by both ways, at a moment when none changes.
fn agent_agrees_with_its_status(scene: &Scene) -> Result<()> {
    let agent = &scene.agents[0];
    let of_status = || -> Result<BTreeMap<String, f64>> {
        let status = agent.host().status()?;
        let peers = status["peers"].as_array().context("peers")?;
        let sum = |key: &str| peers.iter().filter_map(|peer| peer[key].as_f64()).sum::<f64>();
        let mut figures = drops(&status["dropped"], "dosp_agent_dropped_total");
        for (key, name) in [
            ("rx_frames", "dosp_agent_rx_frames_total"),
            ("rx_bytes", "dosp_agent_rx_bytes_total"),
            ("tx_frames", "dosp_agent_tx_frames_total"),
            ("tx_bytes", "dosp_agent_tx_bytes_total"),
        ] {
            figures.insert(name.to_owned(), sum(key));
        }
        for peer in peers {
            let name = format!(
                "dosp_agent_peer_rx_bytes_total {}",
                peer["vip"].as_str().unwrap_or_default()
            );
            figures.insert(name, number(&peer["rx_bytes"]));
        }
        figures.insert("dosp_agent_reconnects_total".to_owned(), number(&status["reconnects"]));
        figures.insert("dosp_agent_up".to_owned(), f64::from(u8::from(status["state"] == "up")));
        figures.insert(
            "dosp_agent_queue_limit_bytes".to_owned(),
            number(&status["queue"]["max_bytes"]),
        );
        Ok(figures)
    };
    agree(&of_status, &|| scene.scrape_agent())?;
    let scrape = scene.scrape_agent()?;
    ensure!(scrape.single("dosp_agent_tx_bytes_total")? > 1e6, "{}", scrape.text);
    ensure!(scrape.single("dosp_agent_handshakes_total")? >= 1.0, "{}", scrape.text);
    ensure!(scrape.by_label("dosp_agent_dropped_total")["unreachable"] >= 1.0, "{}", scrape.text);
    ensure!(scrape.by_label("dosp_agent_peers")["open"] >= 1.0, "{}", scrape.text);
    Ok(())
}

fn hub_agrees_with_its_status(scene: &Scene) -> Result<()> {
    let of_status = || -> Result<BTreeMap<String, f64>> {
        let said = scene.hub.ask("status", &["--json"])?.ok()?.stdout;
        let status: Value = serde_json::from_str(&said).context(said)?;
        let peers = scene.hub.peers()?;
        let mut figures = drops(&status["dropped"], "dosp_hub_dropped_total");
        for (value, name) in [
            (&status["rx_frames"], "dosp_hub_rx_frames_total"),
            (&status["tx_frames"], "dosp_hub_tx_frames_total"),
            (&status["rx_bytes"], "dosp_hub_rx_bytes_total"),
            (&status["tx_bytes"], "dosp_hub_tx_bytes_total"),
            (&status["sessions_cut"], "dosp_hub_sessions_cut_total"),
            (&status["members"], "dosp_hub_members"),
            (&status["strangers"], "dosp_hub_strangers"),
        ] {
            figures.insert(name.to_owned(), number(value));
        }
        let sessions = status["sessions"].as_array().context("sessions")?;
        figures.insert("dosp_hub_sessions".to_owned(), sessions.len() as f64);
        for peer in peers["peers"].as_array().context("peers")? {
            let network = peer["network"].as_str().unwrap_or_default();
            for (key, name) in [
                ("dropped_frames", "dosp_hub_link_dropped_total"),
                ("queued_bytes", "dosp_hub_link_queued_bytes"),
            ] {
                figures.insert(format!("{name} {network}"), number(&peer[key]));
            }
            figures.insert(format!("dosp_hub_link_up {network}"), 1.0);
        }
        Ok(figures)
    };
    agree(&of_status, &|| scene.scrape_hub())?;
    let scrape = scene.scrape_hub()?;
    ensure!(scrape.by_label("dosp_hub_links")["up"] == 1.0, "{}", scrape.text);
    for (name, least) in [
        ("dosp_hub_link_tx_frames_total", 100.0),
        ("dosp_hub_link_tx_bytes_total", 1e6),
        ("dosp_hub_link_rx_bytes_total", 1e3),
    ] {
        ensure!(scrape.by_label(name)[&network(1)] > least, "{name}: {}", scrape.text);
    }
    ensure!(scrape.single("dosp_hub_rx_bytes_total")? > 1e6, "{}", scrape.text);
    Ok(())
}

/// Waits until all that `of_status` says is in the figures too: under its name, and behind a space the
/// value of its label.
fn agree(
    of_status: &dyn Fn() -> Result<BTreeMap<String, f64>>,
    scrape: &dyn Fn() -> Result<Scrape>,
) -> Result<()> {
    let differences = || -> Result<Vec<String>> {
        let (expected, scrape) = (of_status()?, scrape()?);
        let differs = |(key, expected): (&String, &f64)| {
            let exported = match key.split_once(' ') {
                Some((name, label)) => scrape.by_label(name).get(label).copied(),
                None => scrape.single(key).ok(),
            };
            (exported != Some(*expected)).then(|| format!("{key}: {expected}, not {exported:?}"))
        };
        Ok(expected.iter().filter_map(differs).collect())
    };
    wait_until("status and figures agree", SETTLED, || Ok(differences()?.is_empty()))
        .with_context(|| format!("{:?}", differences()))
}

fn drops(dropped: &Value, name: &str) -> BTreeMap<String, f64> {
    let counts = dropped.as_object().into_iter().flatten();
    counts.map(|(reason, count)| (format!("{name} {reason}"), number(count))).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[test]
fn address_that_cannot_be_had_ends_the_start_and_one_for_all_is_warned_of() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hub = Hub::start(&net, &["--metrics", "0.0.0.0:9744"])?;
    ensure!(hub.log()?.contains("there is no password"), "{}", hub.log()?);
    Scrape::of(&net.hosts[0].ns, &format!("{}:9744", net.hosts[0].hub_address))?;
    let up = ["up", &net.hosts[0].hub_address, "--metrics", "192.0.2.1:9745"];
    let output = net.hosts[0].agent(&up)?.exits(1)?;
    output.says(&["serve metrics on 192.0.2.1:9745", "hint: no interface has it"])?;
    ensure!(!net.hosts[0].ns.has_link("dosp0")?, "nothing is left");
    Ok(())
}
