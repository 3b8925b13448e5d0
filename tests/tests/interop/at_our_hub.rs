//! Published clients at our hub.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dosp_proto::vip::Vip;
use dosp_server::Config;
use serde_json::json;

use crate::ours::{Hub, words};
use crate::published::{Client, Packet, Version};
use crate::with_every_version;

const MSG: u8 = 0x01;
const PING: u8 = 0x02;
const S2C: u8 = 0x03;
const GCL: u8 = 0x04;
const FN: u8 = 0x05;
const SA: u8 = 0x10;
const EXIT: u8 = 0x11;
const ERR: u8 = 0x12;

with_every_version!(
    joins,
    msg_is_taken_in_silence,
    ping_is_answered_empty,
    gcl_lists_all_clients,
    s2c_reaches_others_and_oneself,
    s2c_of_a_liar_carries_his_own_vip,
    s2c_to_nobody_is_an_error_and_no_end,
    rqip_gives_the_vip_that_was_asked_for,
    rqip_from_128_up_breaks_the_client,
    rqip_for_a_vip_in_use_is_refused,
    tunnel_between_published_clients,
    functions_answer_or_say_why_not,
    mpak_is_taken_apart,
    exit_of_the_client_frees_its_vip,
    exit_of_the_hub_is_received,
);

pub(crate) fn vip(host: u8) -> Vip {
    Vip::from([7, 10, 0, host])
}

fn from_hub(frame_type: u8, data: &[u8]) -> Packet {
    Packet { frame_type, from: None, data: data.to_vec() }
}

fn from_peer(from: Vip, data: &[u8]) -> Packet {
    Packet { frame_type: S2C, from: Some(from), data: data.to_vec() }
}

/// Whether the session goes on, and nothing is under way that nobody asked for.
async fn assert_goes_on(client: &mut Client) -> Result<()> {
    client.packet(PING, b"still there?").await?;
    ensure!(client.receive().await? == from_hub(PING, b""), "the next packet is no pong");
    Ok(())
}

async fn joins(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut first = Client::join(version, hub.addr).await?;
    let second = Client::join(version, hub.addr).await?;
    assert_eq!((first.vip()?, second.vip()?), (vip(2), vip(3)));
    assert_goes_on(&mut first).await
}

async fn msg_is_taken_in_silence(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut client = Client::join(version, hub.addr).await?;
    client.packet(MSG, b"hello").await?;
    client.packet(MSG, &[0xFF; 3000]).await?;
    assert_goes_on(&mut client).await
}

async fn ping_is_answered_empty(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut client = Client::join(version, hub.addr).await?;
    for body in [b"".as_slice(), b"body"] {
        client.packet(PING, body).await?;
        assert_eq!(client.receive().await?, from_hub(PING, b""));
    }
    Ok(())
}

async fn gcl_lists_all_clients(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut client = Client::join(version, hub.addr).await?;
    let _other = Client::join(version, hub.addr).await?;
    client.packet(GCL, b"").await?;
    assert_eq!(client.receive().await?, from_hub(GCL, &[7, 10, 0, 2, 7, 10, 0, 3]));
    Ok(())
}

async fn s2c_reaches_others_and_oneself(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut first = Client::join(version, hub.addr).await?;
    let mut second = Client::join(version, hub.addr).await?;
    for data in [b"hello".to_vec(), Vec::new(), vec![7; 100_000]] {
        first.send(vip(3), &data).await?;
        assert_eq!(second.receive().await?, from_peer(vip(2), &data));
        second.send(vip(2), &data).await?;
        assert_eq!(first.receive().await?, from_peer(vip(3), &data));
        first.send(vip(2), &data).await?;
        assert_eq!(first.receive().await?, from_peer(vip(2), &data));
    }
    Ok(())
}

async fn s2c_of_a_liar_carries_his_own_vip(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut liar = Client::join(version, hub.addr).await?;
    let mut client = Client::join(version, hub.addr).await?;
    let lie = json!({ "to": "7.10.0.3", "source": "7.10.0.9", "data": "00" });
    liar.ask("send_as", lie).await?;
    assert_eq!(client.receive().await?, from_peer(vip(2), &[0]));
    Ok(())
}

async fn s2c_to_nobody_is_an_error_and_no_end(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut client = Client::join(version, hub.addr).await?;
    client.send(vip(77), b"anybody?").await?;
    let error = client.receive().await?;
    assert_eq!((error.frame_type, error.data.get(..5)), (ERR, Some(&[3, 7, 10, 0, 77][..])));
    assert_goes_on(&mut client).await
}

/// The client reads the four bytes of AIP as text and so forgets its vIP; from then on it sends SRC 0,
/// and the hub knows better.
async fn rqip_gives_the_vip_that_was_asked_for(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut other = Client::join(version, hub.addr).await?;
    let mut client = Client::join_with(version, hub.addr, json!({ "vip": "7.10.0.99" })).await?;
    assert_eq!(client.believed_vip(), None);
    client.send(vip(2), b"from 99").await?;
    assert_eq!(other.receive().await?, from_peer(vip(99), b"from 99"));
    other.send(vip(99), b"to 99").await?;
    assert_eq!(client.receive().await?, from_peer(vip(2), b"to 99"));
    client.packet(GCL, b"").await?;
    assert_eq!(client.receive().await?, from_hub(GCL, &[7, 10, 0, 2, 7, 10, 0, 99]));
    let again = Client::join(version, hub.addr).await?;
    assert_eq!(again.vip()?, vip(3), "what the client had first is free again");
    assert_goes_on(&mut client).await
}

async fn rqip_from_128_up_breaks_the_client(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let raised = Client::join_with(version, hub.addr, json!({ "vip": "7.10.0.200" })).await;
    let error = words(raised)?;
    assert!(error.contains("UnicodeDecodeError"), "{error}");
    Ok(())
}

async fn rqip_for_a_vip_in_use_is_refused(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let _other = Client::join(version, hub.addr).await?;
    for vip_in_the_way in ["7.10.0.2", "7.10.0.1", "9.9.9.9"] {
        let wish = json!({ "vip": vip_in_the_way });
        let mut client = Client::join_with(version, hub.addr, wish).await?;
        assert_eq!(client.vip()?, vip(3), "it goes on with what it was given");
        assert_goes_on(&mut client).await?;
        let wish = json!({ "vip": vip_in_the_way, "fixed_vip": true });
        let left = Client::join_with(version, hub.addr, wish).await;
        assert!(left.is_err_and(|error| error.to_string().contains("SystemExit")));
        client.close().await?;
        wait_until_gone(version, &hub, vip(3)).await?;
    }
    Ok(())
}

async fn tunnel_between_published_clients(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut first = Client::join(version, hub.addr).await?;
    let mut second = Client::join(version, hub.addr).await?;
    // One frame in 256 would end it: that is the clients' own.
    for client in [&mut first, &mut second] {
        client.ask("avoid_0x15", json!({})).await?;
    }
    let peer = json!({ "peer": "7.10.0.2" });
    let (opened, answered) =
        tokio::join!(first.handshake(vip(3)), second.ask("answer_handshake", peer));
    opened?;
    answered?;
    for number in 0..100u8 {
        first.send(vip(3), &[number]).await?;
        assert_eq!(second.receive().await?, from_peer(vip(2), &[number]));
        second.send(vip(2), &[number]).await?;
        assert_eq!(first.receive().await?, from_peer(vip(3), &[number]));
    }
    Ok(())
}

async fn functions_answer_or_say_why_not(version: Version) -> Result<()> {
    let hub = Hub::start_with(Config { builtin_functions: true, ..Config::default() })?;
    let mut client = Client::join(version, hub.addr).await?;
    client.packet(FN, b"clients").await?;
    assert_eq!(client.receive().await?, from_hub(SA, b"1"));
    client.packet(FN, b"nosuch").await?;
    let error = client.receive().await?;
    assert_eq!((error.frame_type, error.data.first()), (ERR, Some(&1)));
    assert_goes_on(&mut client).await
}

/// Types of 0.2.x are for those who know them, and no others.
async fn mpak_is_taken_apart(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut other = Client::join(version, hub.addr).await?;
    let mut client = Client::join(version, hub.addr).await?;
    let packets = json!([
        { "type": PING, "data": "" },
        { "type": S2C, "data": "00ff", "to": "7.10.0.2" },
        { "type": GCL, "data": "" },
    ]);
    let sent = client.ask("send_many", json!({ "packets": packets })).await;
    if version != Version::V0_2_1 {
        ensure!(sent.is_err(), "this version knows no MPAK");
        return assert_goes_on(&mut client).await;
    }
    sent?;
    assert_eq!(client.receive().await?, from_hub(PING, b""));
    assert_eq!(client.receive().await?, from_hub(GCL, &[7, 10, 0, 2, 7, 10, 0, 3]));
    assert_eq!(other.receive().await?, from_peer(vip(3), &[0, 0xFF]));
    Ok(())
}

async fn exit_of_the_client_frees_its_vip(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut client = Client::join(version, hub.addr).await?;
    client.close().await?;
    wait_until_gone(version, &hub, vip(2)).await
}

async fn exit_of_the_hub_is_received(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let mut client = Client::join(version, hub.addr).await?;
    let (stopped, received) = tokio::join!(hub.stop(), client.receive());
    stopped?;
    assert_eq!(received?.frame_type, EXIT);
    Ok(())
}

/// Joins until the hub lists nobody at `gone` any more but the one who asks.
pub(crate) async fn wait_until_gone(version: Version, hub: &Hub, gone: Vip) -> Result<()> {
    let mut observer = Client::join(version, hub.addr).await?;
    let asked_at = Instant::now();
    while observer.vip()? != gone {
        observer.packet(GCL, b"").await?;
        let list = observer.receive().await?.data;
        if !list.chunks(4).any(|listed| listed == gone.octets()) {
            break;
        }
        ensure!(asked_at.elapsed() < Duration::from_secs(10), "{gone} is still taken");
    }
    observer.close().await
}
