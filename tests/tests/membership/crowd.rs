//! A hub that dies while many join.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use dosp_proto::identity::IdentityKey;
use dosp_proto::join_string::{JoinKey, JoinString};
use dosp_proto::member::Join;
use dosp_proto::vip::Vip;
use dosp_tests::member::{enter, join};
use dosp_tests::{Hub, Net, needs_root, wait_until};
use rand::rngs::StdRng;

const NUM_NODES: usize = 100;
/// So many work at a time, as on a few hosts.
const NUM_THREADS: usize = 10;
/// How many are welcomed before the hub is killed, in each round.
const KILLED_AFTER: [usize; 3] = [5, 30, 60];

/// The key of a node, and every vIP that it was ever told.
type Node = (IdentityKey, Vec<Vip>);

#[test]
fn hub_that_is_killed_while_a_hundred_join_never_gives_a_vip_twice() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let mut hub = Hub::closed(&net)?;
    let join_string: JoinString = hub.invite(&["--uses", "1000"])?.parse()?;
    let key = join_string.join_key.context("no join key")?;
    let mut rng = rand::make_rng::<StdRng>();
    let mut nodes: Vec<Node> =
        (0..NUM_NODES).map(|_| (IdentityKey::generate(&mut rng), Vec::new())).collect();

    for killed_after in KILLED_AFTER {
        let num_welcomed = Arc::new(AtomicUsize::new(0));
        let joining = join_all(&net, nodes, &key, &num_welcomed);
        wait_until("some have joined", Duration::from_secs(60), || {
            Ok(num_welcomed.load(Ordering::Relaxed) >= killed_after)
        })?;
        hub.kill()?;
        nodes = joining()?;
        hub.start_again()?;
        check(&nodes)?;
    }
    let num_told = nodes.iter().filter(|(_, told)| !told.is_empty()).count();
    ensure!(num_told >= KILLED_AFTER[2], "only {num_told} were ever welcomed");
    nodes = join_all(&net, nodes, &key, &Arc::default())()?;
    check(&nodes)?;
    ensure!(nodes.iter().all(|(_, told)| !told.is_empty()), "some could not join at last");
    ensure!(hub.nodes()?.len() == NUM_NODES, "the hub has other members");
    Ok(())
}

/// Has all join on several threads, and gives what waits for their end.
fn join_all(
    net: &Arc<Net>,
    mut nodes: Vec<Node>,
    key: &JoinKey,
    num_welcomed: &Arc<AtomicUsize>,
) -> impl FnOnce() -> Result<Vec<Node>> + use<> {
    let mut threads = Vec::new();
    while !nodes.is_empty() {
        let part = nodes.split_off(nodes.len().saturating_sub(NUM_NODES / NUM_THREADS));
        let (net, key, num_welcomed) = (Arc::clone(net), key.clone(), Arc::clone(num_welcomed));
        threads.push(thread::spawn(move || join_each(&net, part, &key, &num_welcomed)));
    }
    move || {
        let ended = threads.into_iter().map(|thread| thread.join());
        let parts = ended.map(|part| part.map_err(|_| anyhow!("a thread panicked"))?);
        Ok(parts.collect::<Result<Vec<_>>>()?.concat())
    }
}

/// One after the other. A hub that is gone ends the attempt of that node; one that refuses is wrong.
fn join_each(
    net: &Net,
    mut nodes: Vec<Node>,
    key: &JoinKey,
    num_welcomed: &AtomicUsize,
) -> Result<Vec<Node>> {
    enter(&net.hub)?;
    let hub = SocketAddr::from((Ipv4Addr::LOCALHOST, 7744));
    for (identity, told) in &mut nodes {
        let Ok(socket) = TcpStream::connect(hub) else { continue };
        let wish = Join { join_key: Some(key.clone()), ..Join::default() };
        match join(socket, identity, wish) {
            Ok((_member, welcome)) => {
                told.push(welcome.vip);
                num_welcomed.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.to_string().starts_with("refused") => return Err(error),
            Err(_) => {} // the hub is gone
        }
        sleep(Duration::from_millis(5)); // so that there is a middle in which to kill
    }
    Ok(nodes)
}

/// No vIP was told to two nodes, and no node was told two.
fn check(nodes: &[Node]) -> Result<()> {
    let mut owners = BTreeMap::new();
    for (i, (_, told)) in nodes.iter().enumerate() {
        ensure!(told.windows(2).all(|two| two[0] == two[1]), "node {i} was told {told:?}");
        for vip in told {
            let owner = *owners.entry(*vip).or_insert(i);
            ensure!(owner == i, "{vip} was told to the nodes {owner} and {i}");
        }
    }
    Ok(())
}
