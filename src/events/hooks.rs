//! Webhooks of wallets and their keys: the ones in use and, for a while, the ones before.
//!
//! QIWI tells the id of a wallet's active hook and, on request, its key. Both are asked for when a
//! message names a hook nobody knows, once in a while and never once per message. What is known is
//! kept beside the log, sealed, because QIWI repeats messages for longer than a process may live.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use prost::Message as _;
use secrecy::ExposeSecret as _;
use tokio::time::Instant;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::cell::{CellKey, CellKind, Put, Value};
use super::cipher::Cipher;
use super::store::{EventLog, LogError};
use crate::credentials::{Credential, Wallet};
use crate::notification::Key;
use crate::notification::wallet::Hook;

/// How often QIWI is asked about the hook of a credential at most.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// Hooks of one credential that are remembered.
const HOOKS_MAX: usize = 16;

/// What is known of the hooks of one credential.
#[derive(Clone, PartialEq, prost::Message)]
struct Written {
    #[prost(message, repeated, tag = "1")]
    hooks: Vec<WrittenHook>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WrittenHook {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    /// The key as QIWI gives it, in base64.
    #[prost(string, tag = "2")]
    key: String,
    /// When something replaced it: Unix milliseconds, 0 while nothing has.
    #[prost(int64, tag = "3")]
    replaced_ms: i64,
}

struct Known {
    written: Written,
    loaded: bool,
    refreshed: Option<Instant>,
}

/// The hooks of all credentials.
#[derive(Default)]
pub struct Hooks {
    known: Mutex<HashMap<Arc<str>, Known>>,
    /// Held while QIWI is asked for a credential.
    asking: tokio::sync::Mutex<()>,
}

impl Hooks {
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
                let id = Uuid::from_slice(&hook.id).ok()?;
                Some(Hook { id, wallet: wallet.clone(), keys })
            })
            .collect())
    }

    /// Whether QIWI may be asked about the credential's hook now; the pause begins with the answer.
    pub fn may_refresh(&self, name: &Arc<str>) -> bool {
        let mut known = self.known.lock();
        let known = known.entry(Arc::clone(name)).or_insert_with(Known::new);
        let may = known.refreshed.is_none_or(|at| at.elapsed() >= REFRESH_PAUSE);
        if may {
            known.refreshed = Some(Instant::now());
        }
        may
    }

    /// One question to QIWI at a time.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.asking.lock().await
    }

    /// Notes a hook and its key; with a new id or key the ones before are replaced. The key may be
    /// empty where nobody but the operator knows it.
    pub async fn learn(
        &self,
        log: &dyn EventLog,
        cipher: &Cipher,
        name: &Arc<str>,
        id: Uuid,
        key: &str,
    ) -> Result<(), LogError> {
        self.load(log, cipher, name).await?;
        let cell = cell(name);
        loop {
            let there = log.cell(&cell).await?;
            let version = there.as_ref().map_or(0, |cell| cell.version);
            let mut written = match &there {
                Some(cell_now) => open(cipher, &cell, &cell_now.value.bytes)?,
                None => Written::default(),
            };
            let same = |hook: &WrittenHook| {
                hook.replaced_ms == 0
                    && hook.id == id.as_bytes()
                    && (key.is_empty() || hook.key == key)
            };
            if written.hooks.iter().any(same) {
                self.put(name, written);
                return Ok(());
            }
            let now = now_ms();
            for hook in written.hooks.iter_mut().filter(|hook| hook.replaced_ms == 0) {
                hook.replaced_ms = now;
            }
            let hook =
                WrittenHook { id: id.as_bytes().to_vec(), key: key.to_owned(), replaced_ms: 0 };
            written.hooks.insert(0, hook);
            written.hooks.truncate(HOOKS_MAX);
            let text = Zeroizing::new(written.encode_to_vec());
            let value = Value::new(cipher.seal(&text, &cell.name)?);
            if let Put::Done(_) = log.put(cell.clone(), version, Some(value)).await? {
                self.put(name, written);
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
        if self.known.lock().get(name).is_some_and(|known| known.loaded) {
            return Ok(());
        }
        let cell = cell(name);
        let written = match log.cell(&cell).await? {
            Some(there) => open(cipher, &cell, &there.value.bytes)?,
            None => Written::default(),
        };
        self.put(name, written);
        Ok(())
    }

    fn put(&self, name: &Arc<str>, written: Written) {
        let mut known = self.known.lock();
        let known = known.entry(Arc::clone(name)).or_insert_with(Known::new);
        known.written = written;
        known.loaded = true;
    }
}

impl Known {
    fn new() -> Self {
        Self { written: Written::default(), loaded: false, refreshed: None }
    }
}

fn cell(name: &str) -> CellKey {
    CellKey::new(CellKind::Hook, name.as_bytes())
}

fn open(cipher: &Cipher, cell: &CellKey, sealed: &[u8]) -> Result<Written, LogError> {
    let text = Zeroizing::new(cipher.open(sealed, &cell.name)?);
    Written::decode(&**text).map_err(|_| LogError::Damaged("the hooks of a credential".to_owned()))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
