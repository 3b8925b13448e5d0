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
