//! Compression, which 0.2.x knows and a hub has to be told to use.

use anyhow::{Result, ensure};
use dosp_server::Config;
use serde_json::json;

use crate::interop_at_our_hub::vip;
use crate::ours::{Agent, Hub, words};
use crate::published::{self, Client, Version};
use crate::with_every_version;

const PING: u8 = 0x02;
const S2C: u8 = 0x03;
const GCL: u8 = 0x04;

with_every_version!(compression_for_those_who_know_it);

fn hub() -> Result<Hub> {
    Hub::start_with(Config { compression: true, ..Config::default() })
}

async fn compression_for_those_who_know_it(version: Version) -> Result<()> {
    let hub = hub()?;
    let client = Client::join(version, hub.addr).await;
    match version {
        Version::V0_1_3 => {
            let raised = words(client)?;
            ensure!(raised.contains("SyntaxError"), "{raised}");
            Ok(())
        }
        Version::V0_1_4 => {
            let mut client = client?;
            client.packet(PING, b"not compressed, whatever the hub says").await?;
            // What the hub says first is compressed, and so nothing to this client either.
            let last = [client.receive().await, client.receive().await, client.receive().await];
            ensure!(last.iter().any(Result::is_err), "it goes on: {last:?}");
            Ok(())
        }
        Version::V0_2_1 => exchange_compressed(client?, &hub).await,
    }
}

async fn exchange_compressed(mut first: Client, hub: &Hub) -> Result<()> {
    let required = json!({ "require_compression": true });
    let mut second = Client::join_with(Version::V0_2_1, hub.addr, required).await?;
    first.packet(PING, b"body").await?;
    assert_eq!(first.receive().await?.frame_type, PING);
    for data in [Vec::new(), b"hello".to_vec(), vec![7; 300_000]] {
        first.send(vip(3), &data).await?;
        let received = second.receive().await?;
        assert_eq!((received.from, received.data), (Some(vip(2)), data));
    }
    let packets = json!([
        { "type": GCL, "data": "" },
        { "type": S2C, "data": "00ff", "to": "7.10.0.2" },
    ]);
    second.ask("send_many", json!({ "packets": packets })).await?;
    assert_eq!(second.receive().await?.data, [7, 10, 0, 2, 7, 10, 0, 3]);
    assert_eq!(first.receive().await?.data, [0, 0xFF]);
    Ok(())
}

#[tokio::test]
async fn agent_says_that_it_does_not_compress() -> Result<()> {
    let theirs = published::Hub::start_with(Version::V0_2_1, &["allow_compression=true"]).await?;
    let ours = hub()?;
    for hub in [ours.addr, theirs.addr] {
        let said = words(Agent::up(hub).await)?;
        ensure!(said.contains("the hub compresses its frames"), "{said}");
    }
    Ok(())
}
