//! A hub whose disk is full.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;

use dosp_proto::join_string::JoinKey;
use dosp_proto::member::Refusal;
use dosp_proto::vip::Vip;
use dosp_server::control::client;
use dosp_server::members::command::{MembersReply, MembersRequest};

use crate::member::{Introduced, Member, identity, with_key};
use crate::process::HubProcess;

async fn join(hub: &HubProcess, key: &JoinKey) -> Result<Member, Refusal> {
    let introduced = Introduced::over(hub.connect(0).await, &identity()).await;
    introduced.join(with_key(key)).await.map_err(|refused| refused.reason)
}

fn leases(hub: &HubProcess) -> BTreeSet<Vip> {
    match client::members(&hub.socket(), MembersRequest::Nodes).unwrap() {
        MembersReply::Nodes(list) => list.nodes.into_iter().map(|node| node.vip).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_lets_nobody_in_until_there_is_room() {
    const MAX_JOINS: u32 = 2000;
    let Some(hub) = HubProcess::start_on_small_disk("10.7.0.0/16", 4096) else {
        return println!("SKIPPED: no mount namespace for this user");
    };
    let key = hub.invite(MAX_JOINS);
    let mut told = BTreeSet::from([join(&hub, &key).await.unwrap().vip()]);
    let filler = hub.on_its_disk("filler");
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    // The file of members may have some room of its own.
    let refused = loop {
        match join(&hub, &key).await {
            Ok(member) => assert!(told.insert(member.vip()), "{} twice", member.vip()),
            Err(refused) => break refused,
        }
        assert!(told.len() < MAX_JOINS as usize, "the disk is not full");
    };
    assert_eq!(refused, Refusal::Store);
    assert_eq!(leases(&hub), told, "nothing is given out");
    let next = Vip::from(u32::from(*told.last().unwrap()) + 1);

    fs::remove_file(&filler).unwrap();
    drop(file);
    assert_eq!(join(&hub, &key).await.unwrap().vip(), next, "nothing was used up");
    told.insert(next);
    assert_eq!(leases(&hub), told);
}
