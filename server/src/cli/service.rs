//! How the hub is, for a service manager.

use std::time::Duration;

use dosp_daemon::service::{self, Word, say};
use dosp_server::HubHandle;
use tokio::time::interval;

/// How many clients there are is looked at so often.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// Tells how the hub is, which listens by now, for ever.
pub(super) async fn follow(hub: HubHandle) {
    if !service::is_supervised() {
        return;
    }
    say(Word::Ready).await;
    // A hub in which a session could do nothing is not alive.
    tokio::join!(tell_clients(&hub), service::keep_alive(|| hub.gets_on()));
}

async fn tell_clients(hub: &HubHandle) {
    let mut told = None;
    let mut ticks = interval(STATUS_INTERVAL);
    loop {
        ticks.tick().await;
        let num_clients = hub.num_clients();
        if told.replace(num_clients) != Some(num_clients) {
            let words = if num_clients == 1 { "client" } else { "clients" };
            say(Word::Status(format!("{num_clients} {words}"))).await;
        }
    }
}
