//! Who is no member at a closed hub: what he learns, and what he takes away from members.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use dosp_proto::vip::Vip;
use dosp_tests::member::enter;
use dosp_tests::published::{Client, Version};
use dosp_tests::{Agent, Hub, Net, needs_root};

use crate::common::join_as;

const MSG: u8 = 0x01;
const EXIT: u8 = 0x11;
/// More than the network of the test has vIPs.
const NUM_STRANGERS: usize = 500;

#[test]
fn published_client_is_shown_out_and_learns_no_vip() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hub = Hub::closed(&net)?;
    Version::V0_2_1.program("python")?; // what it needs is not in the namespace
    let visitor = Arc::clone(&net);

    let visit = thread::spawn(move || {
        enter(&visitor.hub)?;
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(visit())
    });

    visit.join().map_err(|_| anyhow!("the visit panicked"))??;
    ensure!(hub.nodes()?.is_empty(), "the visitor is a member");
    Ok(())
}

#[test]
fn crowd_of_strangers_takes_no_vip_and_keeps_no_member_out() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let hub = Hub::closed_with(&net, "10.77.1.0/29")?;
    let visitor = Arc::clone(&net);
    let visit = thread::spawn(move || -> Result<Vec<TcpStream>> {
        enter(&visitor.hub)?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 7744));
        Ok((0..NUM_STRANGERS).map(|_| TcpStream::connect(addr)).collect::<Result<_, _>>()?)
    });
    let strangers = visit.join().map_err(|_| anyhow!("the visit panicked"))??;

    for (i, name) in ["alice", "bob"].into_iter().enumerate() {
        join_as(&hub, &net.hosts[i], name)?;
    }
    let alice = Agent::up_joined(&net, 0, &[])?;
    let mut bob = Agent::up_joined(&net, 1, &[])?;

    ensure!((&*alice.vip, &*bob.vip) == ("10.77.1.2", "10.77.1.3"), "vIPs went to strangers");
    alice.ping(&bob.vip)?;
    let said = bob.process().stderr()?;
    ensure!(said.contains("every member of the network can reach this host's ports"), "{said}");
    drop(strangers);
    Ok(())
}

async fn visit() -> Result<()> {
    let hub = SocketAddr::from((Ipv4Addr::LOCALHOST, 7744));
    let mut client = Client::join(Version::V0_2_1, hub).await?;
    ensure!(client.believed_vip().is_none_or(|vip| vip == Vip::NONE), "{client:?}");
    client.packet(MSG, b"hello").await?;
    let last = client.receive().await?;
    ensure!(last.frame_type == EXIT && last.data == b"members only", "{last:?}");
    Ok(())
}
