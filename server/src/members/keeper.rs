//! A thread that stores what many sessions want stored: all that waits, in one transaction.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dosp_proto::identity::PublicKey;
use tokio::sync::oneshot;
use tracing::warn;

use super::record::Row;
use super::store::{Store, StoreError};

/// Rows in one transaction; what is above waits for the next one.
const MAX_ROWS: usize = 8_192;
/// Rows that wait without anybody waiting for them; more are forgotten.
const MAX_LATER: usize = 65_536;
/// A disk that is full stays so for a while: one line is enough.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Order {
    Commit(Vec<Row>, oneshot::Sender<Result<(), StoreError>>),
    /// There is something in `later`.
    Later,
    Rows(oneshot::Sender<Result<Vec<Row>, StoreError>>),
}

/// Stores rows. Dropped, it stores what is queued and ends.
#[derive(Debug)]
pub struct Keeper {
    orders: Option<Sender<Order>>,
    later: Arc<Mutex<BTreeMap<PublicKey, Row>>>,
    num_transactions: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub fn spawn(store: Store) -> io::Result<Self> {
        let (orders, received) = channel();
        let (later, num_transactions) = (Arc::default(), Arc::default());
        let worker = Worker {
            store,
            later: Arc::clone(&later),
            num_transactions: Arc::clone(&num_transactions),
            orders: received,
            logged_at: None,
        };
        let builder = std::thread::Builder::new().name("members".to_owned());
        let thread = builder.spawn(move || worker.run())?;
        Ok(Self { orders: Some(orders), later, num_transactions, thread: Some(thread) })
    }

    /// Stores `rows`, in the order of the calls. They are on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; then none of them counts.
    pub async fn commit(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.queue(rows).await.map_err(|_| StoreError::Ended)?
    }

    /// Queues `rows` at once, as under a lock; the end is waited for without it.
    pub fn queue(&self, rows: Vec<Row>) -> oneshot::Receiver<Result<(), StoreError>> {
        let (done, waits) = oneshot::channel();
        // Where the thread has ended, `done` goes with the order, and whoever waits is told.
        self.send(Order::Commit(rows, done));
        waits
    }

    /// Stores leases of which nothing but the last-seen time has changed, some time: of each the
    /// last, and where too many wait, not all.
    pub fn commit_later(&self, rows: Vec<Row>) {
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        // Where there is something already, the thread has been told.
        let was_empty = later.is_empty();
        for row in rows {
            if let Row::Member(key, Some(_)) = &row
                && (later.len() < MAX_LATER || later.contains_key(key))
            {
                later.insert(*key, row);
            }
        }
        let is_first = was_empty && !later.is_empty();
        drop(later);
        if is_first {
            self.send(Order::Later);
        }
    }

    /// All rows that are on the disk once everything that was queued before is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rows(&self) -> Result<Vec<Row>, StoreError> {
        let (done, waits) = oneshot::channel();
        self.send(Order::Rows(done));
        waits.await.map_err(|_| StoreError::Ended)?
    }

    /// How many transactions there have been.
    #[must_use]
    pub fn num_transactions(&self) -> u64 {
        self.num_transactions.load(Ordering::Relaxed)
    }

    fn send(&self, order: Order) {
        if let Some(orders) = &self.orders {
            orders.send(order).ok();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

struct Worker {
    store: Store,
    later: Arc<Mutex<BTreeMap<PublicKey, Row>>>,
    num_transactions: Arc<AtomicU64>,
    orders: Receiver<Order>,
    logged_at: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        while let Ok(first) = self.orders.recv() {
            let mut rows = Vec::new();
            let mut waiting = Vec::new();
            let mut readers = Vec::new();
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Commit(more, done) => {
                        // What waits is older than this, so it is out of date.
                        self.forget(&more);
                        rows.extend(more);
                        waiting.push(done);
                    }
                    Order::Later => {}
                    Order::Rows(done) => readers.push(done),
                }
                next = if rows.len() < MAX_ROWS { self.orders.try_recv().ok() } else { None };
            }
            self.store_all(rows, waiting);
            for done in readers {
                done.send(self.store.rows()).ok();
            }
        }
    }

    fn forget(&self, rows: &[Row]) {
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            if let Row::Member(key, _) = row {
                later.remove(key);
            }
        }
    }

    fn store_all(
        &mut self,
        mut rows: Vec<Row>,
        waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    ) {
        let later = std::mem::take(&mut *self.later.lock().unwrap_or_else(PoisonError::into_inner));
        rows.extend(later.into_values());
        if rows.is_empty() && waiting.is_empty() {
            return;
        }
        let stored = if rows.is_empty() {
            Ok(())
        } else {
            self.num_transactions.fetch_add(1, Ordering::Relaxed);
            self.store.commit(&rows)
        };
        if let Err(error) = &stored {
            let now = Instant::now();
            if self.logged_at.is_none_or(|at| now.duration_since(at) >= LOG_INTERVAL) {
                self.logged_at = Some(now);
                let error: &(dyn std::error::Error + 'static) = error;
                warn!(error, "members cannot be stored");
            }
        }
        for done in waiting {
            // Whoever does not wait any more does not want to know.
            done.send(stored.clone()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::record::Member;
    use dosp_proto::vip::Vip;

    fn member(number: u32, last_seen_at: u64) -> Row {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let key = PublicKey::from(bytes);
        let vip = Vip::from(0x0A00_0000 + number);
        let member = Member {
            key,
            vip,
            name: None,
            joined_at: 1,
            last_seen_at,
            invite: None,
            is_guest: false,
        };
        Row::Member(key, Some(member))
    }

    #[test]
    fn rows_are_those_that_were_queued_before() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let keeper = Keeper::spawn(store).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let stored = keeper.queue(vec![member(2, 1), member(3, 1)]);
            assert_eq!(keeper.rows().await.unwrap(), [member(2, 1), member(3, 1)]);
            stored.await.unwrap().unwrap();
            keeper.commit_later(vec![member(2, 9)]);
            assert_eq!(keeper.rows().await.unwrap(), [member(2, 9), member(3, 1)]);
        });
    }

    #[test]
    fn many_at_once_are_stored_together() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let keeper = Keeper::spawn(store).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let started = Instant::now();
        runtime.block_on(async {
            let all: Vec<_> =
                (2..1_002).map(|number| keeper.queue(vec![member(number, 1)])).collect();
            for one in all {
                one.await.unwrap().unwrap();
            }
        });
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        let num_transactions = keeper.num_transactions();
        assert!((1..=100).contains(&num_transactions), "{num_transactions}");
        drop(keeper);
        assert_eq!(Store::open(folder.path()).unwrap().1.len(), 1_000);
    }

    #[test]
    fn what_can_wait_is_stored_in_the_end_and_revives_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let keeper = Keeper::spawn(store).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(keeper.commit(vec![member(2, 1), member(3, 1)])).unwrap();
        for seen in 2..100 {
            keeper.commit_later(vec![member(2, seen), member(3, seen)]);
        }
        let Row::Member(key, _) = member(3, 0) else { unreachable!() };
        runtime.block_on(keeper.commit(vec![Row::Member(key, None)])).unwrap();
        drop(keeper);
        assert_eq!(Store::open(folder.path()).unwrap().1, [member(2, 99)]);
    }
}
