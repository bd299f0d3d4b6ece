//! Coordination in memory, for tests: what several gateways of one process share, with links that
//! can be cut.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::{Away, Coordination, Heard, Name, Register, Swap};

/// Words a member may be behind before it loses some.
const WORDS_MAX: usize = 4096;

/// What the members share.
#[derive(Debug)]
pub struct Table {
    registers: Mutex<(u64, HashMap<Name, Register>)>,
    words: broadcast::Sender<Heard>,
}

/// One gateway's link to a table.
#[derive(Debug)]
pub struct Member {
    table: Arc<Table>,
    cut: Arc<AtomicBool>,
    deaf: Arc<AtomicBool>,
    /// Whether answers are lost on their way back.
    mute: AtomicBool,
    /// How long everything takes, in milliseconds.
    slow_ms: AtomicU64,
}

impl Table {
    /// An empty table.
    #[must_use]
    #[allow(clippy::new_ret_no_self, reason = "a table is only ever shared")]
    pub fn new() -> Arc<Self> {
        let (words, _) = broadcast::channel(WORDS_MAX);
        Arc::new(Self { registers: Mutex::default(), words })
    }

    fn swap(&self, name: Name, expected: u64, value: Bytes) -> Swap {
        let mut registers = self.registers.lock();
        let (last, registers) = &mut *registers;
        if registers.get(&name).map_or(0, |of| of.version) != expected {
            return Swap::Changed;
        }
        *last += 1;
        registers.insert(name, Register { version: *last, value });
        Swap::Done(*last)
    }

    /// Loses everything it holds, as brokers do that somebody set up anew.
    pub fn lose(&self) {
        self.registers.lock().1.clear();
    }

    /// A link to it.
    #[must_use]
    pub fn member(self: &Arc<Self>) -> Arc<Member> {
        let table = Arc::clone(self);
        Arc::new(Member {
            table,
            cut: Arc::default(),
            deaf: Arc::default(),
            mute: AtomicBool::new(false),
            slow_ms: AtomicU64::new(0),
        })
    }
}

impl Member {
    /// Cuts the link, or mends it. What is asked meanwhile is never answered; what is told is lost.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    /// Loses what is heard, though what is asked is answered.
    pub fn deafen(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Does what it is asked and loses the answers.
    pub fn mute(&self, mute: bool) {
        self.mute.store(mute, Ordering::SeqCst);
    }

    /// Makes everything take so long, half of it on the way there.
    pub fn slow(&self, by: Duration) {
        self.slow_ms.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    async fn half_way(&self) {
        let slow_ms = self.slow_ms.load(Ordering::SeqCst);
        if slow_ms > 0 {
            tokio::time::sleep(Duration::from_millis(slow_ms.div_ceil(2))).await;
        }
    }

    async fn reach(&self) {
        if self.is_cut() {
            std::future::pending::<()>().await;
        }
        self.half_way().await;
    }

    async fn answer(&self) {
        self.half_way().await;
        if self.mute.load(Ordering::SeqCst) || self.is_cut() {
            std::future::pending::<()>().await;
        }
    }

    fn say(&self, heard: Heard) {
        // Nobody may be listening yet.
        let _ = self.table.words.send(heard);
    }
}

impl Coordination for Member {
    fn is_shared(&self) -> bool {
        true
    }

    fn get(&self, name: Name) -> BoxFuture<'_, Result<Option<Register>, Away>> {
        async move {
            self.reach().await;
            let register = self.table.registers.lock().1.get(&name).cloned();
            self.answer().await;
            Ok(register)
        }
        .boxed()
    }

    fn swap(&self, name: Name, expected: u64, value: Bytes) -> BoxFuture<'_, Result<Swap, Away>> {
        async move {
            self.reach().await;
            self.say(Heard::Tried(name, value.clone()));
            let swap = self.table.swap(name, expected, value);
            self.answer().await;
            Ok(swap)
        }
        .boxed()
    }

    fn tell(&self, word: Bytes) {
        if !self.is_cut() {
            self.say(Heard::Word(word));
        }
    }

    fn beat(&self, word: Bytes) -> BoxFuture<'_, Result<(), Away>> {
        async move {
            self.reach().await;
            self.say(Heard::Word(word));
            self.answer().await;
            Ok(())
        }
        .boxed()
    }

    fn hear(&self) -> BoxStream<'static, Heard> {
        let (cut, deaf) = (Arc::clone(&self.cut), Arc::clone(&self.deaf));
        stream::unfold(self.table.words.subscribe(), move |mut words| {
            let (cut, deaf) = (Arc::clone(&cut), Arc::clone(&deaf));
            async move {
                loop {
                    match words.recv().await {
                        Ok(_) if cut.load(Ordering::SeqCst) || deaf.load(Ordering::SeqCst) => {}
                        Ok(heard) => return Some((heard, words)),
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => return None,
                    }
                }
            }
        })
        .boxed()
    }
}
