//! A clean stop.

use dosp_proto::frame::FrameType;
use tokio::net::TcpStream;

use crate::client::{TestHub, s2c};

#[tokio::test]
async fn stop_says_exit_to_everybody_and_returns() {
    let hub = TestHub::start();
    let mut clients = [hub.join().await, hub.join().await, hub.join().await];
    hub.ask_to_stop();
    for client in &mut clients {
        assert_eq!(client.recv().await, (FrameType::EXIT, b"hub is stopping".to_vec()));
        client.assert_closed().await;
    }
    let addr = hub.addr;
    hub.stopped().await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn frames_before_the_stop_are_delivered() {
    let hub = TestHub::start();
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    alice.send_to(bob.vip, b"last").await;
    alice.sync().await;
    hub.ask_to_stop();
    assert_eq!(bob.recv_s2c().await.2, b"last");
    assert_eq!(bob.recv().await.0, FrameType::EXIT);
    hub.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_does_not_read_cannot_delay_the_stop() {
    let hub = TestHub::start();
    let (mut sender, deaf) = (hub.join().await, hub.join().await);
    let frames = s2c(deaf.vip, sender.vip, &[0; 60_000]);
    let sending = tokio::spawn(async move {
        while tokio::io::AsyncWriteExt::write_all(&mut sender.socket, &frames).await.is_ok() {}
    });
    let mut other = hub.join().await;
    other.sync().await;
    hub.ask_to_stop();
    assert_eq!(other.recv().await.0, FrameType::EXIT);
    hub.stopped().await;
    sending.await.unwrap();
}
