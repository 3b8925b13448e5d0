//! Administrators: who becomes one, what they can do, and that it ends with the session.

use std::io::Write;

use dosp_proto::frame::FrameType;
use dosp_proto::message::SessionInfo;
use tempfile::NamedTempFile;

use crate::client::{Client, TestHub, vip};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A hub with one token; the file must live until it has started.
pub(crate) fn admin_hub() -> TestHub {
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "some-other-long-token\n{TOKEN}").unwrap();
    TestHub::start_with(|config| config.admin_token_file = Some(file.path().to_owned()))
}

async fn ask(client: &mut Client, frame_type: FrameType, body: &str) -> String {
    client.send(frame_type, body.as_bytes()).await;
    let (answer_type, body) = client.recv().await;
    assert_eq!(answer_type, frame_type, "{}", body.escape_ascii());
    String::from_utf8(body).unwrap()
}

async fn command(client: &mut Client, line: &str) -> String {
    ask(client, FrameType::ADMIN, line).await
}

async fn join_as_admin(hub: &TestHub) -> Client {
    let mut admin = hub.join().await;
    assert_eq!(ask(&mut admin, FrameType::AUTH, &format!("{TOKEN}\n")).await, "OK");
    admin
}

async fn is_admin(client: &mut Client) -> bool {
    client.send(FrameType::GSI, b"").await;
    SessionInfo::decode(&client.recv().await.1).unwrap().admin
}

fn hash(digit: char) -> String {
    digit.to_string().repeat(64)
}

#[tokio::test]
async fn nobody_is_admin_unless_configured() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    assert_eq!(ask(&mut alice, FrameType::AUTH, "").await, "ERR:Invalid token");
    assert_eq!(command(&mut alice, "stats").await, "ERR:Not authenticated as admin");
    alice.send(FrameType::BCST, b"hi").await;
    assert_eq!(alice.recv().await, (FrameType::ERR, b"ERR:Admin only".to_vec()));
    assert!(!is_admin(&mut alice).await);
}

#[tokio::test]
async fn next_owner_of_an_admins_vip_is_no_admin() {
    let hub = admin_hub();
    let mut admin = join_as_admin(&hub).await;
    assert!(is_admin(&mut admin).await);
    let vip = admin.vip;
    admin.leave().await;
    let mut next = hub.join().await;
    assert_eq!(next.vip, vip);
    assert!(!is_admin(&mut next).await);
    assert_eq!(command(&mut next, "stats").await, "ERR:Not authenticated as admin");
}

#[tokio::test]
async fn rights_move_with_the_session_to_another_vip() {
    let hub = admin_hub();
    let mut admin = join_as_admin(&hub).await;
    admin.send(FrameType::RQIP, &[7, 10, 0, 99]).await;
    assert_eq!(admin.recv().await.1, b"D:");
    admin.recv().await;
    assert!(is_admin(&mut admin).await);
    assert!(!is_admin(&mut hub.join().await).await);
}

#[tokio::test]
async fn guesses_are_locked_out() {
    let hub = admin_hub();
    let mut guesser = hub.join().await;
    for number in 0..100 {
        let guess = format!("{number:032}");
        assert_eq!(ask(&mut guesser, FrameType::AUTH, &guess).await, "ERR:Invalid token");
    }
    let mut again = hub.join().await;
    assert_eq!(ask(&mut again, FrameType::AUTH, TOKEN).await, "ERR:Invalid token", "from there");
}

#[tokio::test]
async fn broadcast_reaches_all_others() {
    let hub = admin_hub();
    let mut admin = join_as_admin(&hub).await;
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    assert_eq!(ask(&mut admin, FrameType::BCST, "one").await, "Broadcast sent to 2 clients");
    assert_eq!(command(&mut admin, "broadcast two words").await, "Broadcast sent to 2 clients");
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.recv().await, (FrameType::MSG, b"one".to_vec()));
        assert_eq!(client.recv().await, (FrameType::MSG, b"two words".to_vec()));
        client.sync().await;
    }
    admin.sync().await;
}

#[tokio::test]
async fn kicked_client_hears_why_and_its_vip_is_free() {
    let hub = admin_hub();
    let mut admin = join_as_admin(&hub).await;
    let mut alice = hub.join().await;
    let alice_vip = alice.vip;
    assert_eq!(command(&mut admin, "kick 7.10.0.3").await, "Client 7.10.0.3 kicked");
    assert_eq!(alice.recv().await, (FrameType::EXIT, b"Disconnected by admin".to_vec()));
    alice.assert_closed().await;
    assert_eq!(hub.join().await.vip, alice_vip);
    assert_eq!(command(&mut admin, "kick 7.10.0.9").await, "ERR:Client 7.10.0.9 not found");
    assert_eq!(command(&mut admin, "kick bob").await, "ERR:Invalid VIP: bob");
    assert_eq!(command(&mut admin, "kick").await, "ERR:Usage: kick <vip>");
}

#[tokio::test]
async fn banned_hash_is_turned_away_until_it_is_unbanned() {
    let hub = admin_hub();
    let mut admin = join_as_admin(&hub).await;
    let mut alice = hub.join().await;
    assert_eq!(
        command(&mut admin, "ban 7.10.0.3").await,
        "ERR:Client 7.10.0.3 has no hash or not found"
    );
    alice.send(FrameType::CLIENT_INFO, hash('a').as_bytes()).await;
    alice.sync().await;
    let said = command(&mut admin, "ban 7.10.0.3").await;
    assert_eq!(said, "Client 7.10.0.3 banned (hash: aaaaaaaaaaaaaaaa...)");
    assert_eq!(alice.recv().await.1, b"Disconnected by admin");

    let mut alice = hub.join().await;
    alice.send(FrameType::CLIENT_INFO, hash('A').as_bytes()).await;
    assert_eq!(alice.recv().await, (FrameType::EXIT, b"Your client hash is blocked".to_vec()));
    alice.assert_closed().await;

    let unban = format!("unban {}", hash('a'));
    let said = command(&mut admin, &unban).await;
    assert_eq!(said, "Hash aaaaaaaaaaaaaaaa... removed from ban list");
    assert_eq!(command(&mut admin, &unban).await, "ERR:Hash not in ban list");
    let mut alice = hub.join().await;
    alice.send(FrameType::CLIENT_INFO, hash('a').as_bytes()).await;
    alice.sync().await;
}

#[tokio::test]
async fn whitelist_lets_only_its_own_in() {
    let hub = admin_hub();
    let mut admin = join_as_admin(&hub).await;
    for (line, answer) in [
        (format!("whitelist {}", hash('b')), "Hash bbbbbbbbbbbbbbbb... added to whitelist"),
        ("whitelist-on".to_owned(), "Whitelist-only mode enabled"),
        ("whitelist xyz".to_owned(), "ERR:Invalid hash: xyz"),
    ] {
        assert_eq!(command(&mut admin, &line).await, answer);
    }
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    alice.send(FrameType::CLIENT_INFO, hash('a').as_bytes()).await;
    assert_eq!(alice.recv().await.1, b"Your client hash is blocked");
    bob.send(FrameType::CLIENT_INFO, hash('b').as_bytes()).await;
    bob.sync().await;
    assert_eq!(command(&mut admin, "whitelist-off").await, "Whitelist-only mode disabled");
    let remove = format!("whitelist-remove {}", hash('b'));
    let said = command(&mut admin, &remove).await;
    assert_eq!(said, "Hash bbbbbbbbbbbbbbbb... removed from whitelist");
    assert_eq!(command(&mut admin, &remove).await, "ERR:Hash not in whitelist");
}

#[tokio::test]
async fn blocked_vip_is_given_to_nobody() {
    let hub = admin_hub();
    let mut admin = join_as_admin(&hub).await;
    let alice = hub.join().await;
    for vip in ["7.10.0.3", "7.10.0.4"] {
        assert_eq!(
            command(&mut admin, &format!("block {vip}")).await,
            format!("VIP {vip} blocked")
        );
    }
    alice.leave().await;
    let mut bob = hub.join().await;
    assert_eq!(bob.vip, vip("7.10.0.5"));
    for octet in [3, 4] {
        bob.send(FrameType::RQIP, &[7, 10, 0, octet]).await;
        assert_eq!(bob.recv().await.1, b"E:IP can't be used");
    }
    command(&mut admin, "unblock 7.10.0.3").await;
    assert_eq!(hub.join().await.vip, vip("7.10.0.3"));
}

#[tokio::test]
async fn lists_say_who_is_there() {
    let hub = admin_hub();
    let mut admin = join_as_admin(&hub).await;
    let mut alice = hub.join().await;
    alice.send(FrameType::CLIENT_INFO, hash('c').as_bytes()).await;
    alice.sync().await;
    let clients = command(&mut admin, "clients").await;
    let lines: Vec<_> = clients.lines().collect();
    assert_eq!(lines[0], "Clients (2):");
    assert!(lines[1].starts_with("  7.10.0.2 [ADMIN]  hash=N/A  uptime="), "{clients}");
    assert_eq!(lines[2], "  7.10.0.3  hash=cccccccccccccccc...  uptime=0s  rx=2  tx=3");
    let client = command(&mut admin, "client 7.10.0.3").await;
    assert!(client.contains(&format!("Hash: {}\n  Admin: False\n", hash('c'))), "{client}");
    let stats = command(&mut admin, "STATS").await;
    assert!(stats.contains("Clients connected:       2\n"), "{stats}");
    assert!(command(&mut admin, "help").await.starts_with("Commands:\n"));
    assert_eq!(command(&mut admin, "").await, "ERR:Empty command");
    let unknown = command(&mut admin, "\u{1b}[2J now").await;
    assert_eq!(unknown, "ERR:Unknown command: \\u{1b}[2j. Type 'help' for available commands.");
    assert_eq!(command(&mut admin, "exit").await, "Goodbye");
    admin.assert_closed().await;
}
