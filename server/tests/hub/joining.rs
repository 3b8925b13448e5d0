//! Who gets in, and with which vIP.

use dosp_proto::frame::FrameType;
use dosp_server::config;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::client::{Client, TestHub, vip};

#[tokio::test]
async fn greeting_comes_first_and_is_exact() {
    let hub = TestHub::start();
    let mut socket = TcpStream::connect(hub.addr).await.unwrap();
    let mut greeting = [0; 21];
    socket.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting[..9], [0x13, 0, 0, 0, 4, 7, 10, 0, 2]);
    assert_eq!(&greeting[9..], b"\x14\0\0\0\x07 [2, 0]");
}

#[tokio::test]
async fn lowest_free_vip_is_given_again() {
    let hub = TestHub::start();
    let first = hub.join().await;
    let second = hub.join().await;
    let third = hub.join().await;
    assert_eq!([first.vip, second.vip, third.vip], ["7.10.0.2", "7.10.0.3", "7.10.0.4"].map(vip));
    second.leave().await;
    assert_eq!(hub.join().await.vip, vip("7.10.0.3"));
}

#[tokio::test]
async fn full_hub_says_so_even_to_who_speaks_first() {
    let hub = TestHub::start_with(|config| config.network = "10.0.0.0/30".parse().unwrap());
    let only = hub.join().await;
    let mut refused = Client::speechless(TcpStream::connect(hub.addr).await.unwrap());
    refused.send(FrameType::PING, &[0; 10_000]).await;
    assert_eq!(refused.recv().await, (FrameType::EXIT, b"Server full".to_vec()));
    refused.assert_closed().await;
    only.leave().await;
    assert_eq!(hub.join().await.vip, vip("10.0.0.2"));
}

#[tokio::test]
async fn max_clients_is_a_limit_of_its_own() {
    let hub = TestHub::start_with(|config| config.max_clients = 1);
    let _only = hub.join().await;
    let mut refused = Client::speechless(TcpStream::connect(hub.addr).await.unwrap());
    assert_eq!(refused.recv().await, (FrameType::EXIT, b"Server full".to_vec()));
    refused.assert_closed().await;
}

#[tokio::test]
async fn ipv6_listener_accepts() {
    let hub = match std::net::TcpListener::bind("[::1]:0") {
        Ok(_) => TestHub::start_with(|config| {
            config.listen = config::chosen_listen(&["[::1]:0".parse().unwrap()]);
        }),
        Err(error) => return println!("SKIPPED: no IPv6 on this machine: {error}"),
    };
    assert!(hub.addr.is_ipv6());
    hub.join().await.sync().await;
}

#[tokio::test]
async fn refused_vip_requests_leave_the_session_as_it_was() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let mut bob = hub.join().await;
    let unusable = b"E:IP can't be used".to_vec();
    for body in [&b""[..], b"7.10.0.9", &[7, 10, 0, 1], &[7, 10, 0, 255], &[8, 8, 8, 8], &[0; 4]] {
        alice.send(FrameType::RQIP, body).await;
        assert_eq!(alice.recv().await, (FrameType::RQIP, unusable.clone()), "{body:?}");
    }
    alice.send(FrameType::RQIP, &bob.vip.octets()).await;
    assert_eq!(alice.recv().await, (FrameType::RQIP, b"E:IP already in use".to_vec()));
    bob.send_to(alice.vip, b"still there?").await;
    assert_eq!(alice.recv_s2c().await, (alice.vip, bob.vip, b"still there?".to_vec()));
}

#[tokio::test]
async fn granted_vip_carries_traffic_and_the_old_one_is_free() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let mut bob = hub.join().await;
    bob.send_to(alice.vip, b"so that bob has her old route at hand").await;
    alice.recv().await;

    let (old, new) = (alice.vip, vip("7.10.0.77"));
    alice.send(FrameType::RQIP, &new.octets()).await;
    assert_eq!(alice.recv().await, (FrameType::RQIP, b"D:".to_vec()));
    assert_eq!(alice.recv().await, (FrameType::AIP, new.octets().to_vec()));

    bob.send_to(new, b"hi").await;
    assert_eq!(alice.recv_s2c().await, (new, bob.vip, b"hi".to_vec()));
    alice.send_to(bob.vip, b"ho").await;
    assert_eq!(bob.recv_s2c().await, (bob.vip, new, b"ho".to_vec()));
    bob.send_to(old, b"gone").await;
    assert_eq!(bob.recv_undeliverable().await.0, old);

    let mut carol = hub.join().await;
    assert_eq!(carol.vip, old);
    bob.send_to(old, b"you are new").await;
    assert_eq!(carol.recv_s2c().await, (old, bob.vip, b"you are new".to_vec()));
}

#[tokio::test]
async fn own_vip_is_granted() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    alice.send(FrameType::RQIP, &alice.vip.octets()).await;
    assert_eq!(alice.recv().await, (FrameType::RQIP, b"D:".to_vec()));
    assert_eq!(alice.recv().await, (FrameType::AIP, alice.vip.octets().to_vec()));
    alice.send_to(alice.vip, b"me").await;
    assert_eq!(alice.recv_s2c().await.2, b"me");
}
