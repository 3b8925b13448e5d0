//! The published admin program, and a published client as administrator, at our hub.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_server::Config;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::time::timeout;

use crate::interop_at_our_hub::vip;
use crate::interop_at_our_hub::wait_until_gone;
use crate::ours::Hub;
use crate::published::{Client, Packet, Version};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const V: Version = Version::V0_2_1;
const MSG: u8 = 0x01;
const EXIT: u8 = 0x11;

/// A hub with one administrator's token.
fn hub() -> Result<Hub> {
    let mut file = NamedTempFile::new()?;
    writeln!(file, "{TOKEN}")?;
    let admin_token_file = Some(file.path().to_owned());
    Hub::start_with(Config { admin_token_file, ..Config::default() })
}

/// `dosp-admin --exec COMMAND`: its exit code and its standard output.
async fn dosp_admin(hub: &Hub, token: &str, command: &str) -> Result<(Option<i32>, String)> {
    let mut program = tokio::process::Command::new(V.program("dosp-admin")?);
    let port = hub.addr.port().to_string();
    program.args(["--host", "127.0.0.1", "--port", &port, "--token", token, "--exec", command]);
    // It reads configuration files where it is started.
    program.current_dir(Path::new("/")).kill_on_drop(true);
    let output = timeout(Duration::from_secs(30), program.output()).await;
    let output = output.context("dosp-admin does not end")??;
    Ok((output.status.code(), String::from_utf8(output.stdout)?))
}

async fn administrator(hub: &Hub) -> Result<Client> {
    let mut client = Client::join(V, hub.addr).await?;
    let authenticated = client.ask("authenticate", json!({ "token": TOKEN })).await?;
    ensure!(authenticated == Value::Bool(true), "the token is good");
    Ok(client)
}

async fn command(admin: &mut Client, line: &str) -> Result<String> {
    let answer = admin.ask("admin", json!({ "command": line })).await?;
    Ok(answer.as_str().context("no answer")?.to_owned())
}

#[tokio::test]
async fn admin_program_runs_its_commands() -> Result<()> {
    let hub = hub()?;
    let _client = Client::join(V, hub.addr).await?;
    for (line, answer) in [
        ("help", "whitelist-on"),
        ("clients", "7.10.0.2"),
        ("client 7.10.0.2", "7.10.0.2"),
        ("stats", "Clients connected"),
        ("block 7.10.0.50", "7.10.0.50"),
        ("unblock 7.10.0.50", "7.10.0.50"),
        ("broadcast hello", "Broadcast sent to 1 clients"),
        ("whitelist-off", ""),
        ("nosuch", "ERR:Unknown command"),
        ("kick 7.10.0.2", "kicked"),
    ] {
        let (code, said) = dosp_admin(&hub, TOKEN, line).await?;
        ensure!(code == Some(0) && said.contains(answer), "{line}: {code:?}, {said}");
    }
    Ok(())
}

#[tokio::test]
async fn admin_program_with_a_wrong_token_is_refused() -> Result<()> {
    let hub = hub()?;
    let (code, said) = dosp_admin(&hub, "not-the-token-at-all", "clients").await?;
    ensure!(code == Some(1) && said.contains("authentication failed"), "{code:?}, {said}");
    Ok(())
}

#[tokio::test]
async fn admin_commands_without_a_token_are_refused() -> Result<()> {
    let hub = hub()?;
    let mut client = Client::join(V, hub.addr).await?;
    assert_eq!(command(&mut client, "stats").await?, "ERR:Not authenticated as admin");
    let said = client.ask("broadcast", json!({ "text": "hello" })).await?;
    assert_eq!(said, json!("ERR:Admin only"));
    Ok(())
}

/// Also those of versions that know none of the types of 0.2.x.
#[tokio::test]
async fn broadcast_is_a_msg_to_clients_of_every_version() -> Result<()> {
    let hub = hub()?;
    let mut admin = administrator(&hub).await?;
    let mut others = Vec::new();
    for version in [Version::V0_1_3, Version::V0_1_4, Version::V0_2_1] {
        others.push(Client::join(version, hub.addr).await?);
    }
    let said = admin.ask("broadcast", json!({ "text": "hello" })).await?;
    assert_eq!(said, json!("Broadcast sent to 3 clients"));
    for other in &mut others {
        let hello = Packet { frame_type: MSG, from: None, data: b"hello".to_vec() };
        assert_eq!(other.receive().await?, hello);
    }
    Ok(())
}

#[tokio::test]
async fn kicked_client_gets_exit_and_rights_end_with_the_session() -> Result<()> {
    let hub = hub()?;
    let mut client = Client::join(V, hub.addr).await?;
    let mut admin = administrator(&hub).await?;
    command(&mut admin, "kick 7.10.0.2").await?;
    let last = client.receive().await?;
    assert_eq!((last.frame_type, last.data), (EXIT, b"Disconnected by admin".to_vec()));
    admin.close().await?;
    wait_until_gone(V, &hub, vip(3)).await?;
    let mut first = Client::join(V, hub.addr).await?;
    let mut second = Client::join(V, hub.addr).await?;
    for next in [&mut first, &mut second] {
        assert_eq!(command(next, "stats").await?, "ERR:Not authenticated as admin");
    }
    Ok(())
}

/// All clients of one machine have the same hash, the administrator's too.
#[tokio::test]
async fn banned_hash_of_client_info_is_turned_away() -> Result<()> {
    let hub = hub()?;
    let mut admin = administrator(&hub).await?;
    let _client = Client::join(V, hub.addr).await?;
    let said = command(&mut admin, "ban 7.10.0.3").await?;
    ensure!(!said.starts_with("ERR:"), "{said}");
    let mut turned_away = Client::join(V, hub.addr).await?;
    let last = turned_away.receive().await?;
    assert_eq!((last.frame_type, last.data), (EXIT, b"Your client hash is blocked".to_vec()));
    Ok(())
}
