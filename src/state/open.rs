//! Opening the ledger an installation is configured with, and its key.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::embedded::sync_folder;
use super::{EmbeddedLedger, MemoryLedger, Refusing, Settings};
use crate::config::{Engine, State};
use crate::ledger::seal::KEY_LEN;
use crate::ledger::{Insert, LedgerKey, LedgerStore, StoreError};

/// The key an embedded ledger makes for itself.
const KEY_FILE: &str = "ledger.key";

/// A ledger that is ready, or refuses with the reason why not.
pub struct Opened {
    /// Where entries are kept.
    pub store: Arc<dyn LedgerStore>,
    /// How they name wallets.
    pub key: LedgerKey,
}

/// Opens the configured ledger. What goes wrong does not keep the gateway from starting: payments
/// are refused with the reason, reads go on.
///
/// # Errors
/// When the system has no randomness.
pub async fn open(state: &State) -> Result<Opened, ring::error::Unspecified> {
    let random = LedgerKey::random()?;
    match try_open(state, random).await {
        Ok(opened) => Ok(opened),
        Err(error) => {
            tracing::error!(error = %error, "payments are refused until this is mended");
            Ok(Opened { store: Arc::new(Refusing::new(error)), key: LedgerKey::new(&random) })
        }
    }
}

async fn try_open(state: &State, random: [u8; KEY_LEN]) -> Result<Opened, StoreError> {
    let store: Arc<dyn LedgerStore> = match state.engine {
        Engine::Memory => Arc::new(MemoryLedger::new()),
        Engine::Embedded => {
            let settings = Settings::new(&state.path);
            let opened = tokio::task::spawn_blocking(move || EmbeddedLedger::open(&settings)).await;
            let ended = |_| StoreError::Unavailable("opening the ledger ended early".to_owned());
            Arc::new(opened.map_err(ended)??)
        }
        Engine::Nats => {
            let what = "state.engine nats is not part of this version";
            return Err(StoreError::Unavailable(what.to_owned()));
        }
    };
    let check = LedgerKey::new(&random).check(0).key;
    let is_new = store.get(&check).await?.is_none();
    let place = match (&state.key_file, state.engine) {
        (Some(path), _) => Some((path.clone(), false)),
        (None, Engine::Embedded) => Some((state.path.join(KEY_FILE), is_new)),
        (None, _) => None,
    };
    let secret = match place {
        None => random,
        Some((path, may_create)) => {
            let read =
                tokio::task::spawn_blocking(move || secret(&path, may_create, &random)).await;
            let ended = |_| StoreError::Unavailable("reading the key ended early".to_owned());
            read.map_err(ended)??
        }
    };
    let key = LedgerKey::new(&secret);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let entry = key.check(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
    match store.insert(entry.clone()).await? {
        Insert::Exists(there) if there.body_mac != entry.body_mac => Err(StoreError::Damaged(
            "it was written with another key than the one it is opened with now; bring the old key \
             back, because without it no payment is found again"
                .to_owned(),
        )),
        Insert::Inserted(_) | Insert::Exists(_) => Ok(Opened { store, key }),
    }
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
        match open(state).await.unwrap().store.health() {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn an_embedded_ledger_keeps_its_key() {
        let folder = Folder::new();
        let state = embedded(&folder.0);
        let wallet = Wallet::parse("79991112233").unwrap();
        let first = open(&state).await.unwrap();
        first.store.health().unwrap();
        let owner = first.key.owner(&wallet);
        drop(first);
        let second = open(&state).await.unwrap();
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
