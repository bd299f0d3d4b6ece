//! The one thread that changes the database.
//!
//! It takes every change that waits, up to [`AT_ONCE`], makes them in one transaction, commits,
//! writes the mark, and answers, in this order. While the disk is busy the next changes gather by
//! themselves, so that a lone change waits for nobody and many share one commit.
//!
//! A crash before the commit leaves nothing. Between commit and mark it leaves a database that is
//! one commit ahead of its mark, which is accepted and made good when it is opened: nobody was
//! answered. After the mark the changes are there, answered or not. So at every moment the
//! database is at or one ahead of the mark, and what is answered is below both.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::fault::{Failure, Fault};
use super::files::{Files, Open};
use super::schema::{Schema, set_head};
use super::shared::Shared;

/// Most changes in one transaction.
const AT_ONCE: usize = 256;

/// Pause before a full disk is tried again; it doubles, for opening may mean reading everything.
const RETRY: Duration = Duration::from_millis(500);

/// Longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(8);

/// Where an answer goes.
pub type To<T> = oneshot::Sender<Result<T, Failure>>;

/// A change that waits for its turn.
pub trait Change<S: Schema>: Send {
    /// Makes it within a transaction.
    fn make(&mut self, tables: &mut S::Tables<'_>) -> Result<(), Fault>;

    /// Says what became of it.
    fn answer(self: Box<Self>, done: Result<(), Failure>);
}

/// A change of some kind, what it returned, and who asked for it.
struct Asked<T, W> {
    work: Option<W>,
    made: Option<T>,
    to: To<T>,
}

impl<S: Schema, T: Send, W> Change<S> for Asked<T, W>
where
    W: FnOnce(&mut S::Tables<'_>) -> Result<T, Fault> + Send,
{
    fn make(&mut self, tables: &mut S::Tables<'_>) -> Result<(), Fault> {
        if let Some(work) = self.work.take() {
            self.made = Some(work(tables)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, done: Result<(), Failure>) {
        let answer = match (done, self.made) {
            (Ok(()), Some(made)) => Ok(made),
            (Ok(()), None) => Err(Failure::Unavailable("it was not done".to_owned())),
            (Err(error), _) => Err(error),
        };
        // Whoever no longer waits needs no answer.
        drop(self.to.send(answer));
    }
}

/// A change, and where its answer goes.
pub fn ask<S: Schema, T: Send + 'static>(
    work: impl FnOnce(&mut S::Tables<'_>) -> Result<T, Fault> + Send + 'static,
    to: To<T>,
) -> Box<dyn Change<S>> {
    Box::new(Asked { work: Some(work), made: None, to })
}

/// A change of nothing, which shows that changes work.
pub fn probe<S: Schema>() -> Box<dyn Change<S>> {
    let work = |tables: &mut S::Tables<'_>| {
        S::touch(tables);
        Ok(())
    };
    ask::<S, ()>(work, oneshot::channel().0)
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    at: Instant,
    pause: Duration,
}

/// The thread's own.
pub struct Writer<S: Schema> {
    files: Files<S>,
    shared: Arc<Shared>,
    changes: Receiver<Box<dyn Change<S>>>,
    open: Option<Open>,
    /// When to open it again, where the reason for being closed may go away.
    retry: Option<Retry>,
}

impl<S: Schema> Writer<S> {
    /// A writer with an open database, or one that waits for room.
    pub fn start(
        files: Files<S>,
        shared: Arc<Shared>,
        changes: Receiver<Box<dyn Change<S>>>,
    ) -> Result<Self, Fault> {
        let opened = files.open();
        let mut writer = Self { files, shared, changes, open: None, retry: None };
        match opened {
            Ok(open) => writer.begin(open),
            Err(fault @ Fault::Full(_)) => drop(writer.fail(fault)),
            Err(fault) => return Err(fault),
        }
        Ok(writer)
    }

    fn begin(&mut self, open: Open) {
        self.retry = None;
        self.shared.set_database(Some(open.database.clone()));
        self.open = Some(open);
    }

    /// Works until nobody can ask for changes any more.
    pub fn run(mut self) {
        loop {
            let first = match self.retry {
                None => self.changes.recv().map(Some),
                Some(Retry { at, .. }) => {
                    let pause = at.saturating_duration_since(Instant::now());
                    match self.changes.recv_timeout(pause) {
                        Ok(change) => Ok(Some(change)),
                        Err(RecvTimeoutError::Timeout) => Ok(None),
                        Err(RecvTimeoutError::Disconnected) => Err(RecvError),
                    }
                }
            };
            match first {
                Ok(Some(first)) => self.take(first),
                Ok(None) => self.reopen(),
                Err(RecvError) => break,
            }
        }
        self.close();
    }

    /// Makes a change and those that wait behind it.
    fn take(&mut self, first: Box<dyn Change<S>>) {
        let mut changes: Vec<_> =
            std::iter::once(first).chain(self.changes.try_iter()).take(AT_ONCE).collect();
        if self.open.is_some() && self.shared.status().is_err() {
            // A reader found damage.
            self.close();
        }
        let done = match self.open.as_mut() {
            None => Err(self.shared.reason()),
            Some(open) => {
                let _busy = self.shared.busy();
                change(&self.files, open, &mut changes).map_err(|fault| self.fail(fault))
            }
        };
        for change in changes {
            change.answer(done.clone());
        }
        if done.is_err() {
            self.close();
        }
    }

    /// Takes note of a fault and of whether it may pass.
    fn fail(&mut self, fault: Fault) -> Failure {
        let may_pass = matches!(fault, Fault::Full(_) | Fault::Held(_));
        let pause = self.retry.map_or(RETRY, |last| (last.pause * 2).min(RETRY_MAX));
        self.retry = may_pass.then(|| Retry { at: Instant::now() + pause, pause });
        self.shared.report(fault.clone());
        self.shared.tell(fault)
    }

    fn close(&mut self) {
        self.shared.set_database(None);
        if let Some(open) = self.open.take() {
            let closed = catch_unwind(AssertUnwindSafe(|| drop(open)));
            if let Err(payload) = closed {
                self.shared.report(Fault::panic(&*payload));
            }
        }
    }

    /// Opens the database again and makes a change to show that it works.
    fn reopen(&mut self) {
        let busy = self.shared.busy();
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut open = self.files.open()?;
            change(&self.files, &mut open, &mut [probe()])?;
            Ok(open)
        }))
        .unwrap_or_else(|payload| Err(Fault::panic(&*payload)));
        drop(busy);
        match opened {
            Ok(open) => {
                self.begin(open);
                self.shared.recovered();
            }
            Err(fault) => drop(self.fail(fault)),
        }
    }
}

/// Makes changes durable, all of them or, as far as anybody is told, none.
fn change<S: Schema>(
    files: &Files<S>,
    open: &mut Open,
    changes: &mut [Box<dyn Change<S>>],
) -> Result<(), Fault> {
    catch_unwind(AssertUnwindSafe(|| {
        let mut transaction = open.database.begin_write()?;
        transaction.set_quick_repair(true);
        let mut tables = files.schema.tables(&transaction)?;
        for change in changes {
            change.make(&mut tables)?;
        }
        let Some(news) = S::finish(tables)? else {
            transaction.abort()?;
            return Ok(());
        };
        let head = open.head.next();
        set_head(&transaction, &head)?;
        transaction.commit()?;
        open.mark.write(head.point)?;
        open.head = head;
        files.schema.publish(&open.head, news);
        Ok(())
    }))
    .unwrap_or_else(|payload| Err(Fault::panic(&*payload)))
}
