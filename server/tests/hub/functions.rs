//! FN: built-in functions and programs.

use std::time::Duration;

use dosp_proto::frame::FrameType;
use dosp_server::functions::{Allow, Program};

use crate::client::{Client, TestHub};

fn program(exec: &[&str]) -> Program {
    Program {
        exec: exec.iter().map(|word| (*word).to_owned()).collect(),
        timeout: Duration::from_secs(30),
        max_output_len: 1000,
        allow: Allow::Anyone,
    }
}

fn hub_with(programs: &[(&str, Program)]) -> TestHub {
    let functions = programs.iter().map(|(name, program)| ((*name).to_owned(), program.clone()));
    TestHub::start_with(|config| {
        config.builtin_functions = true;
        config.functions = functions.collect();
    })
}

async fn call(client: &mut Client, name: &[u8]) -> (FrameType, String) {
    client.send(FrameType::FN, name).await;
    let (frame_type, body) = client.recv().await;
    (frame_type, String::from_utf8(body).unwrap())
}

fn answer(text: &str) -> (FrameType, String) {
    (FrameType::SA, text.to_owned())
}

fn failure(text: &str) -> (FrameType, String) {
    (FrameType::ERR, text.to_owned())
}

#[tokio::test]
async fn built_in_functions_are_off_unless_configured() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    for name in [&b"time"[..], b"clients", b"", b"nothing"] {
        assert_eq!(call(&mut alice, name).await, failure("\x01no such function"));
    }
}

#[tokio::test]
async fn built_in_functions_answer() {
    let hub = hub_with(&[]);
    let (mut alice, _bob) = (hub.join().await, hub.join().await);
    assert_eq!(call(&mut alice, b"clients").await, answer("2"));
    assert_eq!(call(&mut alice, b"version").await, answer(env!("CARGO_PKG_VERSION")));
    assert_eq!(call(&mut alice, b"uptime").await, answer("0"));
    let (frame_type, time) = call(&mut alice, b"time").await;
    assert_eq!((frame_type, time.len()), (FrameType::SA, "2026-01-01T00:00:00Z".len()), "{time}");
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
}

#[tokio::test]
async fn name_that_is_no_text_is_no_function() {
    let hub = hub_with(&[]);
    let mut alice = hub.join().await;
    assert_eq!(call(&mut alice, b"\xff").await, failure("\x01the name is not UTF-8"));
    alice.sync().await;
}

#[tokio::test]
async fn program_answers_with_its_output() {
    let hub = hub_with(&[("greet", program(&["echo", "hello"])), ("bad", program(&["false"]))]);
    let mut alice = hub.join().await;
    assert_eq!(call(&mut alice, b"greet").await, answer("hello\n"));
    assert_eq!(call(&mut alice, b"bad").await, failure("\x02the program failed: exit status: 1"));
    assert_eq!(call(&mut alice, b"greet; id").await, failure("\x01no such function"));
}

#[tokio::test]
async fn program_for_administrators_is_refused_to_others() {
    let hub = hub_with(&[("x", Program { allow: Allow::Admin, ..program(&["true"]) })]);
    let mut alice = hub.join().await;
    assert_eq!(call(&mut alice, b"x").await, failure("\x02for administrators only"));
}

#[tokio::test]
async fn slow_program_holds_nobody_up() {
    let hub = hub_with(&[("slow", program(&["sleep", "1000"]))]);
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    for _ in 0..4 {
        alice.send(FrameType::FN, b"slow").await;
    }
    assert_eq!(call(&mut alice, b"slow").await, failure("\x02too many functions are running"));
    alice.sync().await;
    alice.send_to(bob.vip, b"hi").await;
    assert_eq!(bob.recv_s2c().await.2, b"hi");
    assert_eq!(call(&mut bob, b"version").await.0, FrameType::SA);
}
