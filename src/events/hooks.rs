//! Webhooks of wallets and their keys: the ones in use and, for a while, the ones before.
//!
//! QIWI tells the id of a wallet's active hook and, on request, its key. Both are asked for when a
//! message names a hook nobody knows, once in a while and never once per message, and both are
//! picked up from answers to callers. What is known is kept beside the log, sealed, because QIWI
//! repeats messages for longer than a process may live. Who asks is [`super::learn`] and
//! [`super::managed`].

mod shown;
mod written;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use tokio::time::Instant;
use uuid::Uuid;

use super::cell::{CellKey, CellKind, Put, Value};
use super::cipher::Cipher;
use super::hub::now_ms;
use super::store::{EventLog, LogError};
use crate::coordination::Team;
use crate::credentials::{Credential, Wallet};
use crate::notification::Key;
use crate::notification::wallet::Hook;
use crate::operation::HookNews;

pub use shown::{Shown, State};
use written::Written;

/// How often QIWI is asked about the hook of a credential at most.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Known {
    written: Written,
    /// The version of the cell `written` came from; `None` before it was read.
    version: Option<u64>,
    /// When QIWI was last asked because of a message.
    refreshed: Option<Instant>,
    /// When anything was learnt last.
    learnt: Option<Instant>,
    /// Held while QIWI is asked.
    asking: Arc<tokio::sync::Mutex<()>>,
    shown: Option<Shown>,
    heard: Option<SystemTime>,
}

/// The hooks of all credentials.
#[derive(Default)]
pub struct Hooks {
    known: Mutex<HashMap<Arc<str>, Known>>,
    /// Who is told of changes.
    team: OnceLock<Arc<Team>>,
}

impl Hooks {
    /// Tells changes to the other replicas from now on.
    pub fn tell(&self, team: Arc<Team>) {
        let _ = self.team.set(team);
    }

    /// What is kept of these credentials may have been changed by another replica: it is read again
    /// before it is used.
    pub fn stale(&self, which: impl Fn(&str) -> bool) {
        let mut known = self.known.lock();
        for (_, known) in known.iter_mut().filter(|(name, _)| which(name)) {
            known.version = None;
        }
    }

    /// The hooks that may sign messages for a credential's wallet now.
    pub async fn of(
        &self,
        log: &dyn EventLog,
        cipher: &Cipher,
        credential: &Credential,
        wallet: &Wallet,
        grace: Duration,
    ) -> Result<Vec<Hook>, LogError> {
        let Some(name) = credential.name.clone() else { return Ok(Vec::new()) };
        self.load(log, cipher, &name).await?;
        let now = now_ms();
        let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        let known = self.known.lock();
        let Some(known) = known.get(&name) else { return Ok(Vec::new()) };
        let current =
            known.written.hooks.iter().filter(|hook| {
                hook.replaced_ms == 0 || now.saturating_sub(hook.replaced_ms) <= grace
            });
        let given =
            credential.hook().key.as_ref().and_then(|key| Key::new(key.expose_secret()).ok());
        Ok(current
            .filter_map(|hook| {
                let mut keys: Vec<_> = Key::from_base64(&hook.key).ok().into_iter().collect();
                // The operator's word goes for every hook of the wallet.
                keys.extend(given.clone());
                Some(Hook { id: hook.id()?, wallet: wallet.clone(), keys })
            })
            .collect())
    }

    /// Whether QIWI may be asked about the credential's hook now; the pause begins with the answer.
    pub fn may_refresh(&self, name: &Arc<str>) -> bool {
        self.with(name, |known| {
            let may = known.refreshed.is_none_or(|at| at.elapsed() >= REFRESH_PAUSE);
            if may {
                known.refreshed = Some(Instant::now());
            }
            may
        })
    }

    /// Whether something was learnt while QIWI may not be asked again: a message that came in
    /// between may be known now.
    pub fn learnt_lately(&self, name: &Arc<str>) -> bool {
        self.learnt(name).is_some_and(|at| at.elapsed() < REFRESH_PAUSE)
    }

    /// When anything was learnt last.
    pub(super) fn learnt(&self, name: &Arc<str>) -> Option<Instant> {
        self.known.lock().get(name)?.learnt
    }

    /// One question to QIWI about a credential's hook at a time.
    pub async fn turn(&self, name: &Arc<str>) -> tokio::sync::OwnedMutexGuard<()> {
        let asking = self.with(name, |known| Arc::clone(&known.asking));
        asking.lock_owned().await
    }

    /// Notes the active hook and its key; with a new id or key the ones before are replaced. The
    /// key may be empty where nobody but the operator knows it.
    pub async fn learn(
        &self,
        log: &dyn EventLog,
        cipher: &Cipher,
        name: &Arc<str>,
        id: Uuid,
        key: &str,
    ) -> Result<(), LogError> {
        self.change(log, cipher, name, |written| written.note(id, key, true, now_ms())).await
    }

    /// Notes what an answer of QIWI told.
    pub async fn note(
        &self,
        log: &dyn EventLog,
        cipher: &Cipher,
        name: &Arc<str>,
        news: &HookNews,
    ) -> Result<(), LogError> {
        let key = news.key.as_ref().map_or("", |key| key.expose_secret());
        let change = |written: &mut Written| written.note(news.id, key, news.active, now_ms());
        self.change(log, cipher, name, change).await
    }

    /// Notes that the gateway itself registered a hook with this address.
    pub async fn registered(
        &self,
        log: &dyn EventLog,
        cipher: &Cipher,
        name: &Arc<str>,
        id: Uuid,
        address: &str,
    ) -> Result<(), LogError> {
        self.change(log, cipher, name, |written| written.registered(id, address, now_ms())).await
    }

    /// The address the gateway registered a hook with, where it did.
    pub async fn address(
        &self,
        log: &dyn EventLog,
        cipher: &Cipher,
        name: &Arc<str>,
        id: Uuid,
    ) -> Result<Option<String>, LogError> {
        self.load(log, cipher, name).await?;
        let known = self.known.lock();
        let hooks = known.get(name).map_or(&[][..], |known| &known.written.hooks);
        let hook = hooks.iter().find(|hook| hook.id() == Some(id));
        Ok(hook.map(|hook| hook.address.clone()).filter(|address| !address.is_empty()))
    }

    /// The active hook, as the log tells.
    pub async fn kept(
        &self,
        log: &dyn EventLog,
        cipher: &Cipher,
        name: &Arc<str>,
    ) -> Result<Option<Uuid>, LogError> {
        self.load(log, cipher, name).await?;
        Ok(self.current(name))
    }

    /// Whether a hook is known as the active one, with a key.
    pub fn has_key(&self, name: &Arc<str>, id: Uuid) -> bool {
        let known = self.known.lock();
        let current = known.get(name).and_then(|known| known.written.current());
        current.is_some_and(|hook| hook.id() == Some(id) && !hook.key.is_empty())
    }

    /// The active hook, as far as this process has read or learnt it.
    pub fn current(&self, name: &str) -> Option<Uuid> {
        self.known.lock().get(name)?.written.current()?.id()
    }

    /// Notes how a hook is. What was shown before.
    pub fn show(&self, name: &Arc<str>, state: State) -> Option<Shown> {
        self.with(name, |known| {
            let next = Shown::next(known.shown, state, SystemTime::now());
            known.shown.replace(next)
        })
    }

    /// How a hook is that the gateway looks after; `None` before the first look.
    pub fn shown(&self, name: &str) -> Option<Shown> {
        self.known.lock().get(name)?.shown
    }

    /// Notes that a message for a credential was believed.
    pub fn heard(&self, name: &Arc<str>) {
        self.with(name, |known| known.heard = Some(SystemTime::now()));
    }

    /// When a message for a credential was last believed.
    pub fn last_heard(&self, name: &str) -> Option<SystemTime> {
        self.known.lock().get(name)?.heard
    }

    async fn change(
        &self,
        log: &dyn EventLog,
        cipher: &Cipher,
        name: &Arc<str>,
        change: impl Fn(&mut Written) -> bool,
    ) -> Result<(), LogError> {
        self.load(log, cipher, name).await?;
        // Most answers say what is known.
        if self.with(name, |known| !change(&mut known.written.clone())) {
            return Ok(());
        }
        let cell = cell(name);
        loop {
            let there = log.cell(&cell).await?;
            let version = there.as_ref().map_or(0, |cell| cell.version);
            let mut written = match &there {
                Some(there) => Written::open(cipher, &cell, &there.value.bytes)?,
                None => Written::default(),
            };
            if !change(&mut written) {
                // Somebody else wrote it down; to this process it is news all the same.
                self.put(name, version, written, true);
                return Ok(());
            }
            let value = Value::new(written.sealed(cipher, &cell)?);
            if let Put::Done(version) = log.put(cell.clone(), version, Some(value)).await? {
                if let Some(team) = self.team.get() {
                    team.hook(name);
                }
                self.put(name, version, written, true);
                return Ok(());
            }
        }
    }

    async fn load(
        &self,
        log: &dyn EventLog,
        cipher: &Cipher,
        name: &Arc<str>,
    ) -> Result<(), LogError> {
        if self.known.lock().get(name).is_some_and(|known| known.version.is_some()) {
            return Ok(());
        }
        let cell = cell(name);
        let (version, written) = match log.cell(&cell).await? {
            Some(there) => (there.version, Written::open(cipher, &cell, &there.value.bytes)?),
            None => (0, Written::default()),
        };
        self.put(name, version, written, false);
        Ok(())
    }

    /// Keeps what a cell holds, unless something newer is known.
    fn put(&self, name: &Arc<str>, version: u64, written: Written, news: bool) {
        self.with(name, |known| {
            if known.version.is_none_or(|before| before <= version) {
                known.written = written;
                known.version = Some(version);
            }
            if news {
                known.learnt = Some(Instant::now());
            }
        });
    }

    fn with<T>(&self, name: &Arc<str>, f: impl FnOnce(&mut Known) -> T) -> T {
        f(self.known.lock().entry(Arc::clone(name)).or_default())
    }
}

fn cell(name: &str) -> CellKey {
    CellKey::new(CellKind::Hook, name.as_bytes())
}
