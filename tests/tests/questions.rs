//! What the hub is asked: `clients`, `call` and `info`, through a running agent and with `--hub`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Agent, Host, Hub, Net, Output, Overlay, needs_root};
use serde_json::{Value, json};

/// Through the running agent, or by joining the hub for this command alone, then as 7.10.0.4.
const WAYS: [&[&str]; 2] = [&[], &["--hub", "198.18.0.1"]];
const BUILT_IN: &str = "builtin_functions = true\n";

#[test]
fn clients_lists_everybody_and_oneself() -> Result<()> {
    needs_root!();
    let overlay = two_agents("")?;
    let host = overlay.agents[0].host();

    for (way, last) in [(WAYS[0], 3), (WAYS[1], 4)] {
        let vips: Vec<String> = (2..=last).map(|x| format!("7.10.0.{x}")).collect();
        let list = ask(host, &["clients"], way)?.ok()?;
        ensure!(list.stdout == vips.join("\n") + "\n", "{list}");
        let object = json_of(&ask(host, &["clients", "--json"], way)?.ok()?)?;
        ensure!(object == json!({ "schema": "dosp.clients/1", "clients": vips }), "{object}");
    }
    Ok(())
}

#[test]
fn call_prints_what_the_functions_of_the_hub_return() -> Result<()> {
    needs_root!();
    let overlay = two_agents(BUILT_IN)?;
    let host = overlay.agents[0].host();

    for (way, num_clients) in WAYS.into_iter().zip(["2", "3"]) {
        let call = |name| Ok::<_, anyhow::Error>(ask(host, &["call", name], way)?.ok()?.stdout);
        let time = call("time")?;
        ensure!(time.len() == "2026-01-01T00:00:00Z".len() && time.ends_with('Z'), "{time}");
        let uptime: u64 = call("uptime")?.parse().context("uptime is a number")?;
        ensure!(uptime < 600, "up for {uptime} s");
        ensure!(call("version")? == env!("CARGO_PKG_VERSION"));
        ensure!(call("clients")? == num_clients);
        let object = json_of(&ask(host, &["call", "version", "--json"], way)?.ok()?)?;
        ensure!(object["schema"] == "dosp.answer/1", "{object}");
        ensure!(object["text"] == env!("CARGO_PKG_VERSION"), "{object}");
        ensure!(object["data"].as_str().is_some_and(|data| !data.is_empty()), "{object}");
    }
    Ok(())
}

#[test]
fn call_of_a_function_that_is_not_there_fails_in_the_words_of_the_hub() -> Result<()> {
    needs_root!();
    let overlay = two_agents(BUILT_IN)?;
    let host = overlay.agents[0].host();

    for way in WAYS {
        let output = ask(host, &["call", "nosuch"], way)?.exits(4)?;
        let words = "dosp-agent: the hub says: function not found: no such function\n";
        ensure!(output.stderr.starts_with(words) && output.stdout.is_empty(), "{output}");
        ensure!(output.took < Duration::from_secs(5), "{output}");
    }
    Ok(())
}

#[test]
fn built_in_functions_are_not_there_unless_the_hub_is_told() -> Result<()> {
    needs_root!();
    let overlay = two_agents("")?;

    for way in WAYS {
        let output = ask(overlay.agents[0].host(), &["call", "time"], way)?.exits(4)?;
        output.says(&["no such function"])?;
    }
    Ok(())
}

#[test]
fn functions_of_the_configuration_run_within_their_limits() -> Result<()> {
    needs_root!();
    let overlay = two_agents(
        "[functions.greet]\nexec = ['echo', '$HOME;', 'hello']\n\
         [functions.bytes]\nexec = ['printf', '\\377']\n\
         [functions.fails]\nexec = ['false']\n\
         [functions.hangs]\nexec = ['sleep', '600']\ntimeout_s = 1\n\
         [functions.floods]\nexec = ['yes']\nmax_output_len = 1000\n\
         [functions.closed]\nexec = ['echo', 'secret']\nallow = 'admin'\n",
    )?;
    let host = overlay.agents[0].host();

    for way in WAYS {
        let greeting = ask(host, &["call", "greet"], way)?.ok()?;
        ensure!(greeting.stdout == "$HOME; hello\n", "there is no shell: {greeting}");
        let bytes = json_of(&ask(host, &["call", "bytes", "--json"], way)?.ok()?)?;
        ensure!(bytes["text"].is_null() && bytes["data"] == "/w==", "{bytes}");
        for (name, words) in [
            ("fails", "exit status: 1"),
            ("hangs", "longer than 1 s"),
            ("floods", "1000 bytes"),
            ("closed", "for administrators only"),
        ] {
            let output = ask(host, &["call", name], way)?.exits(4)?;
            output.says(&["dosp-agent: the hub says: the function failed: ", words])?;
        }
    }
    Ok(())
}

#[test]
fn info_is_what_the_hub_knows_of_the_session() -> Result<()> {
    needs_root!();
    let overlay = two_agents("")?;
    let host = overlay.agents[0].host();

    for (way, vip) in WAYS.into_iter().zip(["7.10.0.2", "7.10.0.4"]) {
        let output = ask(host, &["info"], way)?.ok()?;
        let first = format!("vIP       {vip} in 7.10.0.0/24\nup for    ");
        ensure!(output.stdout.starts_with(&first), "{output}");
        ensure!(output.stdout.ends_with(" frames\nadmin     no\n"), "{output}");
        let object = json_of(&ask(host, &["info", "--json"], way)?.ok()?)?;
        ensure!(object["schema"] == "dosp.info/1" && object["vip"] == vip, "{object}");
        ensure!(object["network"] == "7.10.0.0/24" && object["admin"] == false, "{object}");
        for count in ["uptime_s", "rx_frames", "tx_frames"] {
            ensure!(object[count].is_u64(), "{count}: {object}");
        }
    }
    Ok(())
}

#[test]
fn questions_to_a_hub_that_is_not_there_exit_with_3() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;

    for question in [&["clients"][..], &["call", "time"], &["info"]] {
        let output = ask(&net.hosts[0], question, &["--hub", "198.18.0.1:7"])?.exits(3)?;
        output.says(&["dosp-agent: ", "198.18.0.1:7", "\nhint: "])?;
    }
    Ok(())
}

#[test]
fn question_without_its_argument_is_a_usage_error() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;

    for question in
        [&["call"][..], &["call", ""], &["info", "what"], &["clients", "--vip", "7.10.0.9"]]
    {
        let output = net.hosts[0].agent(question)?.exits(2)?;
        ensure!(output.stdout.is_empty(), "{output}");
    }
    Ok(())
}

/// A hub with this configuration, and agents 7.10.0.2 and 7.10.0.3.
fn two_agents(config: &str) -> Result<Overlay> {
    let net = Net::star(2)?;
    let hub = Hub::start_configured(&net, config, &[])?;
    let agents = (0..2).map(|host| Agent::up(&net, host, &[])).collect::<Result<_>>()?;
    Ok(Overlay { agents, hub, net })
}

fn ask(host: &Host, question: &[&str], way: &[&str]) -> Result<Output> {
    host.agent(&[question, way].concat())
}

fn json_of(output: &Output) -> Result<Value> {
    ensure!(output.stdout.lines().count() == 1, "not one line: {output}");
    serde_json::from_str(&output.stdout).with_context(|| output.to_string())
}
