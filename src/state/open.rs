//! Opening what an installation is configured with: the ledger, the event log, and their key.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::sync_folder;
use super::nats;
use super::nats::coordinate::{self, NatsCoordination};
use super::{
    EmbeddedLedger, EmbeddedLog, MemoryLedger, MemoryLog, Refusing, RefusingLog, Settings,
};
use crate::config::{Engine, State};
use crate::coordination::{Alone, Coordination};
use crate::events::hub::now_ms;
use crate::events::{EventLog, LogError, Retention};
use crate::ledger::seal::KEY_LEN;
use crate::ledger::{Insert, LedgerKey, LedgerStore, StoreError};

/// The key an embedded ledger makes for itself.
const KEY_FILE: &str = "ledger.key";

/// Everything the gateway remembers, each ready or refusing with the reason why not.
pub struct Opened {
    /// Where payments are kept.
    pub store: Arc<dyn LedgerStore>,
    /// How wallets are named, there and in the log.
    pub key: LedgerKey,
    /// Where events are kept.
    pub log: Arc<dyn EventLog>,
    /// What is shared with other replicas.
    pub coordination: Arc<dyn Coordination>,
}

/// Opens what is configured. What goes wrong does not keep the gateway from starting: payments or
/// notifications are refused with the reason, reads go on.
///
/// # Errors
/// When the system has no randomness.
pub async fn open(state: &State, retention: Retention) -> Result<Opened, ring::error::Unspecified> {
    let random = LedgerKey::random()?;
    if state.engine == Engine::Nats {
        return Ok(open_nats(state, retention, random).await);
    }
    let ledger = open_ledger(state, random).await;
    if let Err(error) = &ledger {
        tracing::error!(error = %error, "payments are refused until this is mended");
    }
    // Without the ledger its key may still be there, and the log be readable.
    let key = match &ledger {
        Ok((_, key)) => Ok(*key),
        Err(error) => key(state, random, false).await.map_err(|_| error.clone()),
    };
    let log = match &key {
        Ok(_) => open_log(state, retention).await,
        Err(error) => Err(LogError::Unavailable(error.to_string())),
    };
    let log = log.unwrap_or_else(|error| {
        tracing::error!(error = %error, "notifications are refused until this is mended");
        Arc::new(RefusingLog::new(error))
    });
    let store = match ledger {
        Ok((store, _)) => store,
        Err(error) => Arc::new(Refusing::new(error)),
    };
    let key = LedgerKey::new(&key.unwrap_or(random));
    Ok(Opened { store, key, log, coordination: Arc::new(Alone) })
}

async fn open_log(state: &State, retention: Retention) -> Result<Arc<dyn EventLog>, LogError> {
    match state.engine {
        Engine::Memory => Ok(Arc::new(MemoryLog::new(retention))),
        Engine::Embedded => {
            let settings = Settings::new(&state.path);
            let opened =
                tokio::task::spawn_blocking(move || EmbeddedLog::open(&settings, retention)).await;
            let ended = |_| LogError::Unavailable("opening the log ended early".to_owned());
            Ok(Arc::new(opened.map_err(ended)??))
        }
        Engine::Nats => Err(LogError::Unavailable("it is opened with the ledger".to_owned())),
    }
}

/// Opens what replicas share. It looks after itself: brokers that are not there yet are waited for,
/// and whether the key is the ledger's is found out with them.
async fn open_nats(state: &State, retention: Retention, random: [u8; KEY_LEN]) -> Opened {
    let secret = key(state, random, false).await;
    let opened = match &secret {
        Ok(secret) => {
            let check = LedgerKey::new(secret).check(now_ms());
            let opened = nats::open(state, retention, check).await;
            opened.map_err(|error| StoreError::Unavailable(error.to_string()))
        }
        Err(error) => Err(error.clone()),
    };
    let key = LedgerKey::new(&secret.unwrap_or(random));
    match opened {
        Ok(opened) => {
            let settings = coordinate::Settings::new(&state.nats_prefix, state.nats_replicas);
            let coordination = NatsCoordination::new(opened.client, settings);
            Opened { store: Arc::new(opened.ledger), key, log: Arc::new(opened.log), coordination }
        }
        Err(error) => {
            tracing::error!(error = %error, "payments and notifications are refused");
            let log = RefusingLog::new(LogError::Unavailable(error.to_string()));
            let store = Arc::new(Refusing::new(error));
            Opened { store, key, log: Arc::new(log), coordination: Arc::new(Alone) }
        }
    }
}

type Ledger = (Arc<dyn LedgerStore>, [u8; KEY_LEN]);

async fn open_ledger(state: &State, random: [u8; KEY_LEN]) -> Result<Ledger, StoreError> {
    let store: Arc<dyn LedgerStore> = match state.engine {
        Engine::Memory => Arc::new(MemoryLedger::new()),
        Engine::Embedded => {
            let settings = Settings::new(&state.path);
            let opened = tokio::task::spawn_blocking(move || EmbeddedLedger::open(&settings)).await;
            let ended = |_| StoreError::Unavailable("opening the ledger ended early".to_owned());
            Arc::new(opened.map_err(ended)??)
        }
        Engine::Nats => {
            return Err(StoreError::Unavailable("it is opened with the log".to_owned()));
        }
    };
    let check = LedgerKey::new(&random).check(0).key;
    let is_new = store.get(&check).await?.is_none();
    let secret = key(state, random, is_new).await?;
    let key = LedgerKey::new(&secret);
    let entry = key.check(now_ms());
    match store.insert(entry.clone()).await? {
        Insert::Exists(there) if there.body_mac != entry.body_mac => Err(StoreError::Damaged(
            "it was written with another key than the one it is opened with now; bring the old key \
             back, because without it no payment is found again"
                .to_owned(),
        )),
        Insert::Inserted(_) | Insert::Exists(_) => Ok((store, secret)),
    }
}

/// The key of the installation; in memory one for the life of the process.
async fn key(
    state: &State,
    random: [u8; KEY_LEN],
    may_create: bool,
) -> Result<[u8; KEY_LEN], StoreError> {
    let (path, may_create) = match (&state.key_file, state.engine) {
        (Some(path), _) => (path.clone(), false),
        (None, Engine::Embedded) => (state.path.join(KEY_FILE), may_create),
        (None, _) => return Ok(random),
    };
    let read = tokio::task::spawn_blocking(move || secret(&path, may_create, &random)).await;
    read.map_err(|_| StoreError::Unavailable("reading the key ended early".to_owned()))?
}

/// Reads a key; makes one where that is allowed and none is there.
fn secret(
    path: &Path,
    may_create: bool,
    random: &[u8; KEY_LEN],
) -> Result<[u8; KEY_LEN], StoreError> {
    let problem = |problem: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!("the key of the ledger, {}: {problem}", path.display()))
    };
    match fs::read_to_string(path) {
        Ok(text) => crate::credentials::key_of(text.trim()).ok_or_else(|| {
            StoreError::Damaged(format!(
                "the key of the ledger, {}, is not 32 bytes in hex or base64",
                path.display()
            ))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound && may_create => {
            create(path, random).map_err(|error| problem(&error))?;
            Ok(*random)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let what = "is not there, but the ledger is; without its key no payment is found again";
            Err(StoreError::Damaged(format!("the key of the ledger, {}, {what}", path.display())))
        }
        Err(error) => Err(problem(&error)),
    }
}

/// Writes a key so that it is there as a whole or not at all, for this user only.
fn create(path: &Path, secret: &[u8; KEY_LEN]) -> std::io::Result<()> {
    let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft: PathBuf = path.with_extension("key.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::credentials::Wallet;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("qiwi-ledger-{}", uuid::Uuid::new_v4())))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // What is left behind is found by whoever cleans the place of temporary files.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn embedded(path: &Path) -> State {
        State { engine: Engine::Embedded, path: path.to_owned(), ..State::default() }
    }

    async fn health(state: &State) -> String {
        match open(state, Retention::DEFAULT).await.unwrap().store.health() {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn an_embedded_ledger_keeps_its_key() {
        let folder = Folder::new();
        let state = embedded(&folder.0);
        let wallet = Wallet::parse("79991112233").unwrap();
        let first = open(&state, Retention::DEFAULT).await.unwrap();
        first.store.health().unwrap();
        let owner = first.key.owner(&wallet);
        drop(first);
        let second = open(&state, Retention::DEFAULT).await.unwrap();
        second.store.health().unwrap();
        assert_eq!(second.key.owner(&wallet), owner);
    }

    #[tokio::test]
    async fn a_lost_or_changed_key_refuses_and_makes_no_new_one() {
        let folder = Folder::new();
        let state = embedded(&folder.0);
        assert_eq!(health(&state).await, "");
        let key = folder.0.join(KEY_FILE);
        let content = fs::read_to_string(&key).unwrap();
        fs::remove_file(&key).unwrap();
        assert!(health(&state).await.contains("is not there"));
        assert!(!key.exists());
        fs::write(&key, "00".repeat(32)).unwrap();
        assert!(health(&state).await.contains("another key"));
        fs::write(&key, "garbage").unwrap();
        assert!(health(&state).await.contains("32 bytes"));
        fs::write(&key, content).unwrap();
        assert_eq!(health(&state).await, "");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_key_is_for_its_user_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        assert_eq!(health(&embedded(&folder.0)).await, "");
        let mode = fs::metadata(folder.0.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
