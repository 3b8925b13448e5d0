//! Asks again and again, and shows what has come: as a picture in a terminal, as lines, or as JSON.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, ErrorKind, Write};
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use crate::change::Change;
use crate::events::{Event, Events};
use crate::line::{Line, Style, printable};
pub use crate::terminal::Size;
use crate::terminal::{self, Terminal};
use crate::units;

/// An answer on the same machine takes milliseconds. Whoever lets us wait so long is told of.
const SLOW: Duration = Duration::from_secs(3);
/// Shorter ones measure little but their own asking.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How something is watched.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The name of the program, before words on standard error.
    pub program: &'static str,
    /// Between two questions.
    pub interval: Duration,
    /// JSON, whatever standard output is.
    pub json: bool,
}

/// What is shown of what is watched. Lines of text hold nothing that a terminal would obey.
pub trait View {
    /// One answer.
    type Snapshot;

    /// A picture of at most `size`, be it by the busiest rows alone.
    fn screen(&self, change: &Change<'_, Self::Snapshot>, size: Size) -> Vec<Line>;

    /// The same as lines that are read one by one, without time.
    fn lines(&self, change: &Change<'_, Self::Snapshot>) -> Vec<String>;

    /// One JSON object without a line feed.
    ///
    /// # Errors
    /// None that depends on what there is.
    fn json(&self, snapshot: &Self::Snapshot) -> io::Result<String>;
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble<E> {
    /// Whoever is asked is not there now, and may come back.
    Away(E),
    /// Asking again is of no use.
    Final(E),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The user has seen enough, or nobody reads any more.
    Quit,
    /// SIGINT.
    Interrupted,
}

/// Why it ended otherwise.
#[derive(Debug)]
pub enum Error<E> {
    /// The answer.
    Asked(E),
    /// The terminal, or standard output.
    Io(io::Error),
}

impl<E> From<io::Error> for Error<E> {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// `1s`, `500ms`, `2min`.
///
/// # Errors
/// In words.
pub fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
        Ok(interval)
    } else {
        Err("from 100ms to 24h".to_owned())
    }
}

/// Asks every so often and shows what comes, until somebody ends it. `first` is the first answer: a
/// program that is not there at all is no reason to take the terminal. Later on it may come and go.
///
/// # Errors
/// [`Error`].
pub async fn watch<V, E, F>(
    options: Options,
    view: &V,
    first: V::Snapshot,
    ask: impl Fn() -> F,
) -> Result<End, Error<E>>
where
    V: View,
    E: Display,
    F: Future<Output = Result<V::Snapshot, Trouble<E>>>,
{
    let output = Output::open(options)?;
    let mut events = Events::new(options.interval, matches!(output, Output::Screen(_)))?;
    let mut watch = Watch { options, view, output, last: None, before: None, away: None };
    let mut shown = watch.answered(first);
    let mut asking: Asking<F> = None;
    loop {
        match shown {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(End::Quit),
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            answer = answer_of(&mut asking) => {
                asking = None;
                shown = match answer {
                    Ok(snapshot) => watch.answered(snapshot),
                    Err(Trouble::Away(error)) => watch.is_away(&error.to_string()),
                    Err(Trouble::Final(error)) => return Err(Error::Asked(error)),
                };
            }
            event = events.next() => match event {
                Event::Tick => {
                    let (_, since) = asking.get_or_insert_with(|| (Box::pin(ask()), Instant::now()));
                    let waits = since.elapsed();
                    shown = if waits > SLOW { watch.is_away("there is no answer") } else { Ok(()) };
                }
                Event::Resize => shown = watch.redraw(),
                Event::Suspend => shown = watch.suspend(),
                Event::Quit => return Ok(End::Quit),
                Event::Interrupt => return Ok(End::Interrupted),
            },
        }
    }
}

/// A question under way, and since when.
type Asking<F> = Option<(Pin<Box<F>>, Instant)>;

async fn answer_of<F: Future>(asking: &mut Asking<F>) -> F::Output {
    match asking {
        Some((asking, _)) => asking.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Where it goes.
#[derive(Debug)]
enum Output {
    Screen(Terminal),
    Lines,
    Json,
}

impl Output {
    fn open(options: Options) -> io::Result<Self> {
        Ok(match options.json {
            true => Self::Json,
            false if terminal::is_there() => Self::Screen(Terminal::take()?),
            false => Self::Lines,
        })
    }
}

struct Watch<'a, V: View> {
    options: Options,
    view: &'a V,
    output: Output,
    last: Option<(V::Snapshot, Instant)>,
    /// The one before, and how long before.
    before: Option<(V::Snapshot, Duration)>,
    /// Why the last question has no answer, and since when.
    away: Option<(String, Instant)>,
}

impl<V: View> Watch<'_, V> {
    fn answered(&mut self, snapshot: V::Snapshot) -> io::Result<()> {
        let now = Instant::now();
        let was_away = self.away.take().is_some();
        // Who was away may have begun anew: of what was between nothing is known.
        let last = self.last.take().filter(|_| !was_away);
        self.before = last.map(|(last, at)| (last, now.duration_since(at)));
        self.last = Some((snapshot, now));
        if was_away {
            self.tell("it is back");
        }
        self.show()
    }

    fn is_away(&mut self, why: &str) -> io::Result<()> {
        match &mut self.away {
            Some((known, _)) => *known = why.to_owned(),
            None => {
                self.away = Some((why.to_owned(), Instant::now()));
                self.tell(&format!("{why}; waiting for it"));
            }
        }
        self.before = None;
        self.redraw()
    }

    /// Shows what has come.
    fn show(&self) -> io::Result<()> {
        let Some(change) = self.change() else { return Ok(()) };
        match &self.output {
            Output::Screen(_) => self.redraw(),
            Output::Lines => {
                let time = humantime::format_rfc3339_seconds(SystemTime::now());
                let lines = self.view.lines(&change).into_iter();
                write(&lines.map(|line| format!("{time} {line}\n")).collect::<String>())
            }
            Output::Json => write(&(self.view.json(change.now)? + "\n")),
        }
    }

    /// Draws the same again, where there is a screen.
    fn redraw(&self) -> io::Result<()> {
        let (Output::Screen(terminal), Some(change)) = (&self.output, self.change()) else {
            return Ok(());
        };
        let mut size = terminal.size();
        let Some((why, since)) = &self.away else {
            return terminal.draw(self.view.screen(&change, size));
        };
        let waits = units::age(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let notice = [
            Line::new(Style::Bad, printable(why)),
            Line::new(Style::Warn, format!("waiting for it, for {waits}; before that it said:")),
            Line::default(),
        ];
        size.height = size.height.saturating_sub(notice.len());
        let picture = self.view.screen(&change, size);
        let picture = picture.into_iter().map(|line| line.all(Style::Dim));
        terminal.draw(notice.into_iter().chain(picture).collect())
    }

    fn change(&self) -> Option<Change<'_, V::Snapshot>> {
        let (now, _) = self.last.as_ref()?;
        let before = self.before.as_ref().map(|(before, elapsed)| (before, *elapsed));
        Some(Change { now, before })
    }

    /// Stops as Ctrl-Z would have stopped it, with the terminal as it was.
    fn suspend(&mut self) -> io::Result<()> {
        if let Output::Screen(terminal) = &mut self.output {
            terminal.leave()?;
        }
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
        if let Output::Screen(terminal) = &mut self.output {
            terminal.enter()?;
        }
        self.redraw()
    }

    /// Words beside the data; on a screen they stand in the picture.
    fn tell(&self, words: &str) {
        if !matches!(self.output, Output::Screen(_)) {
            let line = format!("{}: {words}\n", self.options.program);
            // Without a stderr there is nobody to tell.
            io::stderr().write_all(line.as_bytes()).unwrap_or_default();
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_a_time_with_its_unit() {
        assert_eq!(parse_interval("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_interval("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["0s", "1ms", "25h", "1", "soon", ""] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
    }
}
