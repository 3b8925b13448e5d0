//! What single frames can make the hub hold.

use std::cell::Cell;
use std::io::Write;
use std::time::{Duration, Instant};

use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameType};
use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::compression;
use crate::process::HubProcess;

/// The longest body, in KiB.
const MAX_BODY: i64 = 1024;
const NUM_ROUNDS: u32 = 20;

#[tokio::test]
async fn length_bomb_is_closed_at_once_and_costs_64_kib_at_most() {
    let hub = HubProcess::start(&[]);
    let fastest = Cell::new(Duration::MAX);
    let attack = async || {
        let mut alice = hub.join().await;
        let sent_at = Instant::now();
        alice.send_bytes(&[0x03, 0xFF, 0xFF, 0xFF, 0xFF]).await;
        assert_eq!(alice.recv().await.0, FrameType::ERR);
        assert_eq!(alice.recv().await.0, FrameType::EXIT);
        alice.assert_closed().await;
        fastest.set(fastest.get().min(sent_at.elapsed()));
    };
    let (meanwhile, afterwards) = costs(&hub, attack).await;
    assert!(meanwhile <= 64 && afterwards <= 64, "{meanwhile} KiB, then {afterwards} KiB");
    // A busy machine delays many of them, but not all.
    assert!(fastest.get() <= Duration::from_millis(10), "{fastest:?}");
}

#[tokio::test]
async fn zlib_bomb_costs_its_frame_what_may_come_out_and_256_kib_at_most() {
    let hub = HubProcess::start(&["--compression"]);
    let mut bystander = compression::join(hub.connect(0).await).await;
    let bomb = gibibyte_in_a_mebibyte();
    let attack = async || {
        let mut alice = compression::join(hub.connect(0).await).await;
        alice.send(FrameType::MSG, &bomb).await;
        compression::assert_ended(&mut alice, "inflates to more than 1048576 bytes").await;
    };
    let (meanwhile, afterwards) = costs(&hub, attack).await;
    // A buffer for a frame grows to twice of what has come.
    assert!(meanwhile <= 3 * MAX_BODY + 256, "{meanwhile} KiB");
    assert!(afterwards <= 256, "{afterwards} KiB");
    compression::send(&mut bystander, FrameType::PING, b"").await;
    assert_eq!(compression::recv(&mut bystander).await.0, FrameType::PING);
}

/// How much more the hub holds while it is attacked again and again, and how much afterwards, in KiB.
async fn costs(hub: &HubProcess, attack: impl AsyncFn()) -> (i64, i64) {
    // More at once than ever later: what is used for the first time is not measured.
    for _ in 0..NUM_ROUNDS {
        tokio::join!(attack(), attack(), attack(), attack());
    }
    let before = hub.memory();
    hub.forget_peak();
    let peak_before = hub.peak_memory();
    for _ in 0..NUM_ROUNDS {
        attack().await;
    }
    (hub.peak_memory() - peak_before, memory_at_rest(hub).await - before)
}

/// What the hub holds once it holds no less any more: on a busy machine it may not have come to clear up
/// after the last one yet.
async fn memory_at_rest(hub: &HubProcess) -> i64 {
    const NUM_EQUAL: u32 = 5;
    let (mut least, mut num_equal) = (hub.memory(), 0);
    while num_equal < NUM_EQUAL {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = hub.memory();
        num_equal = if now < least { 0 } else { num_equal + 1 };
        least = least.min(now);
    }
    least
}

fn gibibyte_in_a_mebibyte() -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
    for _ in 0..1024 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() <= DEFAULT_MAX_BODY_LEN);
    bomb
}
