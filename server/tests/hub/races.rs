//! What happens at the same instant.

use std::time::Duration;

use dosp_proto::member::Refusal;
use dosp_server::members::command::{MembersReply, MembersRequest};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::{PATIENCE, TestHub};
use crate::member::{Introduced, identity, invite, manage, with_key};

fn closed_hub(state: &tempfile::TempDir) -> TestHub {
    let state = state.path().to_owned();
    TestHub::start_with(|config| (config.state, config.closed) = (Some(state), true))
}

async fn connect(hub: &TestHub) -> TcpStream {
    TcpStream::connect(hub.addr).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_joins_with_one_key_make_one_member_and_one_session() {
    let state = tempfile::tempdir().unwrap();
    let hub = closed_hub(&state);
    let (key, node) = (invite(&hub.handle, 5).await, identity());
    for _ in 0..5 {
        let first = Introduced::over(connect(&hub).await, &node).await;
        let second = Introduced::over(connect(&hub).await, &node).await;
        let both = tokio::join!(first.join(with_key(&key)), second.join(with_key(&key)));
        let both = [both.0, both.1];
        assert!(both.iter().any(Result::is_ok), "one of them is in");
        for refused in both.iter().filter_map(|joined| joined.as_ref().err()) {
            assert_eq!(refused.reason, Refusal::KeyInUse);
        }
        assert_eq!(hub.handle.status().sessions.len(), 1);
        assert_eq!(hub.handle.status().members, 1);
        drop(both);
        let gone = async {
            while !hub.handle.status().sessions.is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, gone).await.unwrap();
    }
    let MembersReply::Invites(list) = manage(&hub.handle, MembersRequest::Invites).await else {
        panic!()
    };
    assert_eq!(list.invites[0].num_used, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_moved_while_it_joins_has_the_vip_that_the_ledger_says() {
    let state = tempfile::tempdir().unwrap();
    let hub = closed_hub(&state);
    let (key, node) = (invite(&hub.handle, 1).await, identity());
    let member = Introduced::over(connect(&hub).await, &node).await.join(with_key(&key)).await;
    drop(member.unwrap());
    let name = node.public().fingerprint().to_string();
    for x in 10..40 {
        let vip = format!("7.10.0.{x}").parse().unwrap();
        let joining = Introduced::over(connect(&hub).await, &node).await;
        let request = MembersRequest::SetVip { node: name.clone(), vip };
        let (joined, moved) =
            tokio::join!(joining.join(with_key(&key)), manage(&hub.handle, request));
        assert!(matches!(moved, MembersReply::Done { .. }), "{moved:?}");
        let joined = joined.unwrap_or_else(|refused| panic!("{refused:?}"));
        let vips: Vec<_> = hub.handle.status().sessions.iter().map(|here| here.vip).collect();
        assert_eq!(vips, [vip]);
        drop(joined);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_or_kicked_twice_is_told_once() {
    let state = tempfile::tempdir().unwrap();
    let hub = closed_hub(&state);
    let (key, node) = (invite(&hub.handle, 1).await, identity());
    let joined = Introduced::over(connect(&hub).await, &node).await.join(with_key(&key)).await;
    let mut member = joined.unwrap();
    let name = node.public().fingerprint().to_string();
    let kick = || manage(&hub.handle, MembersRequest::Kick { node: name.clone() });
    let remove = || manage(&hub.handle, MembersRequest::Remove { node: name.clone() });
    let (kicked, again, removed, unknown) = tokio::join!(kick(), kick(), remove(), remove());
    for done in [kicked, again, removed] {
        assert!(matches!(done, MembersReply::Done { .. }), "{done:?}");
    }
    assert!(matches!(unknown, MembersReply::Unknown { .. }), "{unknown:?}");
    let mut num_refusals = 0;
    while let Some(word) = member.link.hear().await {
        num_refusals += u32::from(matches!(word, dosp_proto::member::Control::Refused(_)));
    }
    assert_eq!(num_refusals, 1);
    member.link.client.assert_closed().await;
}
