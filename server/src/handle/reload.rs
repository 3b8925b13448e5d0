//! What a running hub takes up of a configuration that has changed.

use std::sync::Arc;

use dosp_proto::vip::Vip;
use tracing::info;

use super::HubHandle;
use crate::config::Config;
use crate::hub::AdminAccess;
use crate::tokens::{AdminTokens, TokenFileError};

impl HubHandle {
    /// Takes up who administers, how many clients there may be, and what they can call. Sessions that are
    /// there stay; administrators have to show a token again where tokens or places have changed.
    ///
    /// # Errors
    /// Tokens that cannot be read; then nothing has changed.
    pub fn reload(&self, config: &Config) -> Result<(), TokenFileError> {
        let tokens = config.admin_token_file.as_deref().map(AdminTokens::from_file).transpose()?;
        let access =
            AdminAccess { tokens: tokens.unwrap_or_default(), allows_remote: config.admin_remote };
        if self.shared.limit(config.max_clients, access) {
            info!("administrators have changed: each has to show a token again");
        }
        self.shared.functions.replace(config.builtin_functions, &config.functions);
        Ok(())
    }

    /// How many clients there are.
    #[must_use]
    pub fn num_clients(&self) -> usize {
        self.shared.num_sessions()
    }

    /// Returns once a task like those of sessions has had its turn, and the locks that they take; `false`
    /// where that failed. A hub that is stuck never gets there.
    pub async fn gets_on(&self) -> bool {
        let shared = Arc::clone(&self.shared);
        let session = tokio::spawn(async move {
            // The vIP is nobody's: this is for the lock alone.
            drop(shared.lookup(Vip::NONE));
            shared.num_sessions()
        });
        session.await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use tokio::task::yield_now;

    use super::*;
    use crate::Server;
    use crate::config::chosen_listen;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn hub_whose_lock_nobody_gives_back_does_not_get_on() {
        let listen = chosen_listen(&["127.0.0.1:0".parse().unwrap()]);
        let hub = Server::bind(&Config { listen, ..Config::default() }).unwrap().handle();
        assert!(hub.gets_on().await);
        let (release, released) = mpsc::channel::<()>();
        let (locked, is_locked) = mpsc::channel();
        let stuck = Arc::clone(&hub.shared);
        let holder = thread::spawn(move || {
            stuck.while_locked(|| {
                locked.send(()).unwrap();
                released.recv().unwrap_err();
            });
        });
        is_locked.recv().unwrap();
        let mut gets_on = std::pin::pin!(hub.gets_on());
        for _ in 0..10_000 {
            tokio::select! {
                biased;
                _ = &mut gets_on => panic!("nothing can be done there"),
                () = yield_now() => {}
            }
        }
        drop(release);
        assert!(gets_on.await);
        holder.join().unwrap();
    }
}
