//! What happens to a program that shows a picture: time passes, keys, signals.

use std::io::{self, IsTerminal, Read};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It is time to ask.
    Tick,
    /// The terminal has another size.
    Resize,
    /// The user stops the program for a while.
    Suspend,
    /// The user has seen enough, or SIGTERM, SIGQUIT or SIGHUP.
    Quit,
    /// SIGINT.
    Interrupt,
}

#[derive(Debug)]
pub(crate) struct Events {
    ticks: Interval,
    resize: Signal,
    suspend: Signal,
    terminate: Signal,
    abandon: Signal,
    hang_up: Signal,
    interrupt: Signal,
    /// The key for it was pressed.
    quit: Arc<Notify>,
}

impl Events {
    /// `has_screen` says whether there is a picture that keys and a new size mean something to.
    pub(crate) fn new(every: Duration, has_screen: bool) -> io::Result<Self> {
        // Whoever watches has a first answer already.
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let quit = Arc::new(Notify::new());
        if has_screen && io::stdin().is_terminal() {
            watch_keys(Arc::clone(&quit))?;
        }
        Ok(Self {
            ticks,
            resize: signal(SignalKind::window_change())?,
            suspend: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            terminate: signal(SignalKind::terminate())?,
            abandon: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit,
        })
    }

    /// The next one. Nothing is lost where this is not waited for to its end.
    pub(crate) async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.ticks.tick() => Event::Tick,
            _ = self.resize.recv() => Event::Resize,
            _ = self.suspend.recv() => Event::Suspend,
            _ = self.terminate.recv() => Event::Quit,
            _ = self.abandon.recv() => Event::Quit,
            _ = self.hang_up.recv() => Event::Quit,
            _ = self.interrupt.recv() => Event::Interrupt,
            () = self.quit.notified() => Event::Quit,
        }
    }
}

/// Tells `quit` when that key is pressed. The keyboard is shared with whoever started this program, so it
/// has to stay a blocking one, and has a thread that waits for it until the program ends.
fn watch_keys(quit: Arc<Notify>) -> io::Result<()> {
    let wait = move || {
        for key in io::stdin().lock().bytes() {
            match key {
                Ok(b'q' | b'Q') => quit.notify_one(),
                Ok(_) => {}
                // Nobody will press anything any more.
                Err(_) => return,
            }
        }
    };
    std::thread::Builder::new().name("keys".to_owned()).spawn(wait)?;
    Ok(())
}
