//! What tests of engines in files need: folders, copies of files, disks that fail or forget, and a
//! process to kill.
//!
//! redb lets a backend stand between it and the file; this one fails on command, and keeps what was
//! not synced apart, so that a power cut can take some of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::{Opener, Settings};

/// A folder of its own, gone afterwards.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("qiwi-state-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn settings(&self) -> Settings {
        Settings { lock_wait: Duration::from_secs(10), ..Settings::new(self.path()) }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The bytes of a closed store's files.
pub struct Closed {
    pub folder: Folder,
    stem: &'static str,
    pub database: Vec<u8>,
    pub mark: Vec<u8>,
}

impl Closed {
    /// Reads them when the one who has them open has let go.
    pub fn of(folder: Folder, stem: &'static str) -> Self {
        File::open(folder.file(&format!("{stem}.lock"))).unwrap().lock().unwrap();
        let database = fs::read(folder.file(&format!("{stem}.redb"))).unwrap();
        let mark = fs::read(folder.file(&format!("{stem}.mark"))).unwrap();
        Self { folder, stem, database, mark }
    }

    /// Puts these in their place, when whoever had the files has let go of them: a store ends on a
    /// thread of its own.
    pub fn put(&self, database: &[u8], mark: &[u8]) {
        let lock = self.folder.file(&format!("{}.lock", self.stem));
        let lock = fs::File::options().create(true).append(true).open(lock).unwrap();
        lock.lock().unwrap();
        fs::write(self.folder.file(&format!("{}.redb", self.stem)), database).unwrap();
        fs::write(self.folder.file(&format!("{}.mark", self.stem)), mark).unwrap();
    }
}

/// Starts an ignored test as a process of its own, kills it soon, and returns what it wrote.
pub async fn killed(helper: &str, environment: &[(&str, String)]) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", helper, "--ignored", "--nocapture"])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || output.lines().map_while(Result::ok).collect());
    let life = rand::rng().random_range(20..400);
    tokio::time::sleep(Duration::from_millis(life)).await;
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// What a disk is told to do.
#[derive(Debug, Default)]
pub struct Orders {
    /// Writes fail with this.
    pub write: Mutex<Option<io::ErrorKind>>,
    /// And these with this.
    pub sync: Mutex<Option<io::ErrorKind>>,
    pub read: Mutex<Option<io::ErrorKind>>,
    pub panic: AtomicBool,
    pub stall: AtomicBool,
    pub syncs: AtomicU64,
    /// Writes and syncs that were asked of a handle one of whose syncs had failed.
    pub after_failure: AtomicU64,
    /// Copies of the file as a power cut after each sync could leave it, when asked for.
    pub journal: Mutex<Option<Journal>>,
    /// What power cuts at each sync leave, when asked for; needs the journal.
    pub cuts: Mutex<Option<Vec<Cut>>>,
    /// What a test calls answered by now; a cut notes it.
    pub answered: AtomicU64,
}

/// The files of a store as a power cut leaves them.
#[derive(Debug, Clone)]
pub struct Cut {
    pub answered: u64,
    pub database: Vec<u8>,
    pub mark: Vec<u8>,
}

impl Cut {
    /// The files in a folder of their own.
    pub fn folder(&self, stem: &str) -> Folder {
        let folder = Folder::new();
        fs::write(folder.file(&format!("{stem}.redb")), &self.database).unwrap();
        fs::write(folder.file(&format!("{stem}.mark")), &self.mark).unwrap();
        folder
    }
}

/// The file as of the last sync, and what was done since.
#[derive(Debug, Default)]
pub struct Journal {
    synced: Vec<u8>,
    since: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Length(u64),
    Write(u64, Vec<u8>),
}

impl Step {
    fn play(&self, file: &mut Vec<u8>) {
        match self {
            Self::Length(length) => file.resize(usize::try_from(*length).unwrap(), 0),
            Self::Write(at, data) => {
                let at = usize::try_from(*at).unwrap();
                if file.len() < at + data.len() {
                    file.resize(at + data.len(), 0);
                }
                file[at..at + data.len()].copy_from_slice(data);
            }
        }
    }
}

impl Journal {
    /// What was synced and nothing else, and that with everything written since.
    fn ends(&self) -> [Vec<u8>; 2] {
        let mut all = self.synced.clone();
        self.since.iter().for_each(|step| step.play(&mut all));
        [self.synced.clone(), all]
    }

    /// What a power cut leaves: what was synced, and any of what was not, in any order.
    pub fn cut(&self) -> Vec<u8> {
        let mut file = self.synced.clone();
        for step in &self.since {
            match rand::rng().random_range(0..3) {
                0 => {}
                1 => step.play(&mut file),
                _ => {
                    // Torn at a sector.
                    if let Step::Write(at, data) = step {
                        let half = data.len() / 2 / 512 * 512;
                        Step::Write(*at, data[..half].to_vec()).play(&mut file);
                    }
                }
            }
        }
        file
    }
}

#[derive(Debug)]
struct Disk {
    file: FileBackend,
    mark: PathBuf,
    orders: Arc<Orders>,
    has_failed: AtomicBool,
}

impl Disk {
    fn check(&self, order: &Mutex<Option<io::ErrorKind>>) -> io::Result<()> {
        assert!(!self.orders.panic.load(Ordering::Relaxed), "told to panic");
        while self.orders.stall.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        order.lock().map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn asked(&self) {
        if self.has_failed.load(Ordering::Relaxed) {
            self.orders.after_failure.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The power goes now, in every way: without what is not synced, with all or some of it, and
    /// while the mark is written that comes after it.
    fn cut(&self) {
        let journal = self.orders.journal.lock();
        let mut cuts = self.orders.cuts.lock();
        // A database under its first name has no mark yet, and is made anew.
        let (Some(journal), Some(cuts), Ok(mark)) =
            (journal.as_ref(), cuts.as_mut(), fs::read(&self.mark))
        else {
            return;
        };
        let answered = self.orders.answered.load(Ordering::Relaxed);
        let [synced, all] = journal.ends();
        let mut torn = mark.clone();
        let half = torn.len() / 2;
        let older = if torn[..44].iter().all(|byte| *byte == 0) || seq(&torn) < seq(&torn[half..]) {
            0
        } else {
            half
        };
        torn[older..older + 22].fill(0xA5);
        for (database, mark) in
            [(synced, &mark), (journal.cut(), &mark), (all.clone(), &mark), (all, &torn)]
        {
            cuts.push(Cut { answered, database, mark: mark.clone() });
        }
    }

    fn note(&self, step: impl FnOnce() -> Step) {
        if let Some(journal) = self.orders.journal.lock().as_mut() {
            journal.since.push(step());
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check(&self.orders.read)?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.asked();
        self.check(&self.orders.write)?;
        self.note(|| Step::Length(len));
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.asked();
        self.check(&self.orders.sync)
            .inspect_err(|_| self.has_failed.store(true, Ordering::Relaxed))?;
        self.cut();
        self.orders.syncs.fetch_add(1, Ordering::Relaxed);
        if let Some(journal) = self.orders.journal.lock().as_mut() {
            for step in std::mem::take(&mut journal.since) {
                step.play(&mut journal.synced);
            }
        }
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.asked();
        self.check(&self.orders.write)?;
        self.note(|| Step::Write(offset, data.to_vec()));
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

/// The number in a slot of a mark.
fn seq(slot: &[u8]) -> u64 {
    u64::from_le_bytes(slot[24..32].try_into().unwrap())
}

/// A way to files with such a disk below them.
pub fn opener(orders: &Arc<Orders>) -> Opener {
    let orders = orders.clone();
    Arc::new(move |builder, path, _| {
        let file = File::options().read(true).write(true).open(path)?;
        if orders.journal.lock().is_some() {
            let synced = std::fs::read(path)?;
            *orders.journal.lock() = Some(Journal { synced, since: Vec::new() });
        }
        #[allow(clippy::useless_conversion)]
        let file = FileBackend::new(file)?;
        let mark = path.with_extension("mark");
        let has_failed = AtomicBool::default();
        builder.create_with_backend(Disk { file, mark, orders: orders.clone(), has_failed })
    })
}
