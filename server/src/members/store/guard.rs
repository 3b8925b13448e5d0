//! A file that something else has damaged may make the library panic. Nobody else is to notice.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use tracing::debug;

use super::error::Failure;

thread_local! {
    /// Whether a panic of this thread is an error of the file, which is told as one.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`, and takes a panic in it for damage.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    keep_panics_quiet();
    let before = IS_GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(before);
    done.unwrap_or_else(|_| Err(Failure::damaged("it makes no sense")))
}

/// Panics of guarded threads go to the log instead of standard error; all others go where they went.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if IS_GUARDED.get() {
                debug!(%panic, "the file of members makes no sense");
            } else {
                before(panic);
            }
        }));
    });
}
