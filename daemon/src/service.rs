//! What a service manager is told, as `sd_notify(3)` says. Without `NOTIFY_SOCKET` it is told nothing.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// One thing to tell.
#[derive(Debug)]
pub enum Word {
    /// The program serves.
    Ready,
    /// What it is doing, for people.
    Status(String),
    /// It has just shown that it gets on.
    Alive,
    /// The configuration is being read again, until the next [`Word::Ready`].
    Reloading,
    /// It ends.
    Stopping,
}

/// Whether there is a service manager that wants to be told.
#[must_use]
pub fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// How often [`Word::Alive`] is due: half of what the watchdog allows, as `sd_watchdog_enabled(3)` advises.
/// `None` without a watchdog.
#[must_use]
pub fn alive_interval() -> Option<Duration> {
    let allowed = sd_notify::watchdog_enabled().filter(|allowed| !allowed.is_zero())?;
    Some((allowed / 2).max(Duration::from_millis(1)))
}

/// Says that the program gets on, for as long as there is a watchdog that wants to hear it.
pub async fn keep_alive<A: Future<Output = bool>>(gets_on: impl FnMut() -> A) {
    if let Some(interval) = alive_interval() {
        feed(interval, gets_on, || say(Word::Alive)).await;
    }
}

/// Feeds a watchdog for ever, each time after what it watches has answered that it gets on: as long as that
/// does not answer the watchdog gets nothing.
pub async fn feed<A, F>(
    interval: Duration,
    mut gets_on: impl FnMut() -> A,
    mut feed: impl FnMut() -> F,
) where
    A: Future<Output = bool>,
    F: Future<Output = ()>,
{
    loop {
        if gets_on().await {
            feed().await;
        }
        tokio::time::sleep(interval).await;
    }
}

/// Tells it. Nothing else waits for a service manager that reads nothing.
pub async fn say(word: Word) {
    if !is_supervised() {
        return;
    }
    match tokio::task::spawn_blocking(move || send(&word)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "the service manager was not told"),
        Err(error) => debug!(%error, "the service manager was not told"),
    }
}

fn send(word: &Word) -> io::Result<()> {
    match word {
        Word::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Word::Status(words) => sd_notify::notify(&[NotifyState::Status(words)]),
        Word::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        Word::Reloading => {
            sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
        }
        Word::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn watchdog_gets_something_only_after_an_answer() {
        let (answer, mut answers) = mpsc::channel(8);
        let answers = tokio::sync::Mutex::new(&mut answers);
        let (feed_one, mut fed) = mpsc::unbounded_channel();
        let gets_on = || async { answers.lock().await.recv().await.unwrap_or(false) };
        let count = || async { feed_one.send(()).unwrap() };
        let told = async {
            for (said, more) in [(&[][..], 0), (&[true, true], 2), (&[false], 0), (&[true], 1)] {
                for word in said {
                    answer.send(*word).await.unwrap();
                }
                for _ in 0..more {
                    fed.recv().await.unwrap();
                }
                // Now it is stuck.
                for _ in 0..100 {
                    yield_now().await;
                }
                assert!(fed.is_empty());
            }
        };
        tokio::select! {
            () = feed(Duration::ZERO, gets_on, count) => {}
            () = told => {}
        }
    }
}
