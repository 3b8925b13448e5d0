//! The published Python package against ours, both ways: one test per row of `docs/interop.md`.
//!
//! No test needs root. The environments of the published versions are made by the first test that
//! needs them.

#[path = "interop/administration.rs"]
mod interop_administration;
#[path = "interop/at_our_hub.rs"]
mod interop_at_our_hub;
#[path = "interop/at_published_hubs.rs"]
mod interop_at_published_hubs;
#[path = "interop/compression.rs"]
mod interop_compression;
#[path = "interop/documented.rs"]
mod interop_documented;
#[path = "interop/federation.rs"]
mod interop_federation;
#[path = "interop/with_our_agent.rs"]
mod interop_with_our_agent;
#[path = "interop/ours.rs"]
mod ours;
#[path = "interop/peers.rs"]
mod peers;
use dosp_tests::published;

/// Makes one test of each function for each published version.
macro_rules! with_every_version {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            use crate::published::Version;

            #[tokio::test]
            async fn v0_1_3() -> anyhow::Result<()> {
                super::$name(Version::V0_1_3).await
            }

            #[tokio::test]
            async fn v0_1_4() -> anyhow::Result<()> {
                super::$name(Version::V0_1_4).await
            }

            #[tokio::test]
            async fn v0_2_1() -> anyhow::Result<()> {
                super::$name(Version::V0_2_1).await
            }
        }
    )* };
}
use with_every_version;
