//! `dosp-server status` and `dosp-server admin`, and who may administer a hub from outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Hub, Net, Overlay, dosp, needs_root, wait_until};
use serde_json::Value;

const TOKEN: &str = "0123456789abcdef";

#[test]
fn status_shows_the_hub_and_its_sessions() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;

    let output = overlay.hub.ask("status", &[])?.ok()?;
    ensure!(output.stdout.starts_with("hub      7.10.0.1 of 7.10.0.0/24\n"), "{output}");
    for words in ["clients  2\n", "  7.10.0.2 ", "  198.18.0.2:", "  7.10.0.3 ", "  198.18.1.2:"] {
        ensure!(output.stdout.contains(words), "no {words:?}: {output}");
    }
    let status: Value =
        serde_json::from_str(&overlay.hub.ask("status", &["--json"])?.ok()?.stdout)?;
    ensure!(status["schema"] == "dosp.hub-status/1", "{status}");
    ensure!(status["version"] == env!("CARGO_PKG_VERSION"), "{status}");
    ensure!(status["network"] == "7.10.0.0/24" && status["compression"] == false, "{status}");
    ensure!(status["listen"][0] == "0.0.0.0:7744" && status["sessions_cut"] == 0, "{status}");
    let sessions = status["sessions"].as_array().context("sessions")?;
    ensure!(sessions.len() == 2, "{status}");
    for (session, agent) in sessions.iter().zip(&overlay.agents) {
        let addr = session["addr"].as_str().context("addr")?;
        ensure!(session["vip"] == agent.vip && addr.starts_with(&agent.host().address), "{status}");
        ensure!(session["admin"] == false && session["hash"].is_null(), "{status}");
    }
    for object in [&status, &sessions[0], &sessions[1]] {
        for count in ["up_for_ns", "rx_frames", "tx_frames", "rx_bytes", "tx_bytes"] {
            ensure!(object[count].as_u64().is_some_and(|count| count > 0), "{count}: {object}");
        }
    }
    Ok(())
}

#[test]
fn admin_knows_all_commands_of_the_published_program() -> Result<()> {
    needs_root!();
    let net = Net::star(0)?;
    let hub = Hub::start(&net, &[])?;

    let help = hub.ask("admin", &["help"])?.ok()?.stdout;

    for command in [
        "help",
        "clients",
        "client",
        "kick",
        "ban",
        "unban",
        "whitelist",
        "whitelist-remove",
        "whitelist-on",
        "whitelist-off",
        "block",
        "unblock",
        "stats",
        "broadcast",
        "exit",
    ] {
        ensure!(help.contains(&format!("\n  {command} ")), "no {command}: {help}");
        let output = hub.ask("admin", &[command])?;
        ensure!(!output.stderr.contains("Unknown command"), "{output}");
    }
    let output = hub.ask("admin", &["nosuch"])?.exits(1)?;
    output.says(&["dosp-server: Unknown command: nosuch", "\nhint: 'dosp-server admin help'"])?;
    Ok(())
}

#[test]
fn admin_lists_clients_and_speaks_to_all_of_them() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let listen = overlay.agents[1].host().spawn_agent(&["listen", "-n", "1", "--json"])?;
    wait_until("listen listens", Duration::from_secs(10), || {
        Ok(listen.stderr()?.contains("listening"))
    })?;

    let clients = overlay.hub.ask("admin", &["clients"])?.ok()?;
    let said = overlay.hub.ask("admin", &["broadcast", "back", "at", "noon"])?.ok()?;

    ensure!(clients.stdout.starts_with("Clients (2):\n  7.10.0.2  hash=N/A"), "{clients}");
    ensure!(said.stdout == "Broadcast sent to 2 clients\n", "{said}");
    let heard = listen.output(Duration::from_secs(20))?.ok()?;
    let message: Value = serde_json::from_str(&heard.stdout).with_context(|| heard.to_string())?;
    ensure!(message["from"].is_null() && message["text"] == "back at noon", "{message}");
    Ok(())
}

#[test]
fn agent_that_is_kicked_comes_back_and_one_whose_vip_is_blocked_gets_another() -> Result<()> {
    needs_root!();
    let Overlay { agents, hub, net } = Overlay::start(1)?;
    let agent = &agents[0];

    let said = hub.ask("admin", &["kick", &agent.vip])?.ok()?;
    ensure!(said.stdout == "Client 7.10.0.2 kicked\n", "{said}");
    wait_until("the agent has lost its link once", Duration::from_secs(20), || {
        Ok(agent.host().status()?["reconnects"] == 1)
    })?;
    agent.wait_until_back(dosp::RETURN_TIMEOUT)?;

    hub.ask("admin", &["block", "7.10.0.3"])?.ok()?;
    let refused = net.hosts[0].agent(&["info", "--hub", "198.18.0.1", "--vip", "7.10.0.3"])?;
    refused.exits(4)?.says(&["7.10.0.3", "\nhint: "])?;
    let given = net.hosts[0].agent(&["info", "--hub", "198.18.0.1", "--json"])?.ok()?;
    ensure!(given.stdout.contains("\"7.10.0.4\""), "{given}");
    let output = hub.ask("admin", &["kick", "7.10.0.9"])?.exits(1)?;
    output.says(&["dosp-server: Client 7.10.0.9 not found"])?;
    Ok(())
}

#[test]
fn nobody_administers_from_outside_without_a_token_file() -> Result<()> {
    needs_root!();
    let net = Net::star(0)?;
    let hub = Hub::start(&net, &[])?;

    let answers = authenticate(&net, TOKEN)?;

    ensure!(answers.contains("ERR:Invalid token"), "{answers}");
    ensure!(answers.contains("ERR:Not authenticated as admin"), "{answers}");
    ensure!(hub.log()?.contains("no admin_token_file is configured"), "{}", hub.log()?);
    let stats = hub.ask("admin", &["stats"])?.ok()?;
    ensure!(stats.stdout.contains("Admin tokens configured: 0\n"), "{stats}");
    Ok(())
}

#[test]
fn token_of_the_file_makes_an_administrator_and_no_other_does() -> Result<()> {
    needs_root!();
    let net = Net::star(0)?;
    let hub = start_with_token(&net)?;

    let wrong = authenticate(&net, "0123456789abcdeX")?;
    ensure!(wrong.contains("ERR:Invalid token"), "{wrong}");
    let right = authenticate(&net, TOKEN)?;
    ensure!(right.contains("OK") && right.contains("Clients connected:       1"), "{right}");
    ensure!(!hub.log()?.contains(TOKEN), "a token is in the log: {}", hub.log()?);
    Ok(())
}

#[test]
fn guesses_are_locked_out_and_logged_once() -> Result<()> {
    needs_root!();
    let net = Net::star(0)?;
    let hub = start_with_token(&net)?;

    for number in 0..10 {
        let answers = authenticate(&net, &format!("{number:016}"))?;
        ensure!(answers.contains("ERR:Invalid token"), "{answers}");
    }

    let right = authenticate(&net, TOKEN)?;
    ensure!(right.contains("ERR:Invalid token"), "not locked out: {right}");
    let log = hub.log()?;
    let warnings: Vec<_> = log.lines().filter(|line| line.contains(" WARN ")).collect();
    let guesses = warnings.iter().filter(|line| line.contains("now locked out")).count();
    ensure!(guesses == 1, "{warnings:?}");
    Ok(())
}

#[test]
fn local_socket_is_not_for_everybody() -> Result<()> {
    needs_root!();
    let net = Net::star(0)?;
    let hub = Hub::start(&net, &[])?;
    // Everybody may come as far as the socket, and start the program.
    fs::set_permissions(net.dir(), fs::Permissions::from_mode(0o755))?;
    let program = net.dir().join("dosp-server");
    fs::copy(dosp::binary("dosp-server")?, &program)?;

    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let (program, socket) = (program.display(), net.dir().join("server.sock"));
    for command in ["status", "admin"] {
        let words = if command == "admin" { "stats" } else { "" };
        let line = format!("{nobody} {program} {command} --socket {} {words}", socket.display());
        net.hub.sh(&line)?.exits(77)?.says(&["dosp-server: ", "server.sock", "\nhint: "])?;
    }
    hub.ask("status", &[])?.ok()?;
    Ok(())
}

/// A hub with one administrator's token.
fn start_with_token(net: &Arc<Net>) -> Result<Hub> {
    let file = net.dir().join("tokens");
    fs::write(&file, TOKEN)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    Hub::start(net, &["--admin-token-file", &file.display().to_string()])
}

/// What the hub answers a client on its own machine that sends AUTH, then ADMIN `stats`, and EXIT.
fn authenticate(net: &Net, token: &str) -> Result<String> {
    let auth = format!("\\x17\\0\\0\\0\\x{:02x}{token}", token.len());
    let admin = "\\x18\\0\\0\\0\\x05stats\\x11\\0\\0\\0\\x02CC";
    let line = format!("exec 3<>/dev/tcp/127.0.0.1/7744; printf '{auth}{admin}' >&3; cat <&3");
    Ok(net.hub.sh(&line)?.ok()?.stdout)
}
