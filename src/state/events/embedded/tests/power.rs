//! The power goes at every sync there is, also while what the last cut left is being mended.
//!
//! `EVENT_CUTS` is how many cuts of each kind are opened: 40, unless it says otherwise.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom as _;

use super::disk::assert_kept;
use super::*;
use crate::state::disk::testing::{Cut, Journal, Orders, opener};

const STEM: &str = "events";

fn count() -> usize {
    std::env::var("EVENT_CUTS").map_or(40, |text| text.parse().unwrap())
}

fn recording(answered: u64) -> Arc<Orders> {
    let orders = Orders::default();
    *orders.journal.lock() = Some(Journal::default());
    *orders.cuts.lock() = Some(Vec::new());
    orders.answered.store(answered, Ordering::Relaxed);
    Arc::new(orders)
}

/// Opens a log, appends some events to it, and returns what power cuts at each sync on the way
/// leave.
async fn cuts(folder: &Folder, answered: u64, appends: u64) -> Vec<Cut> {
    let orders = recording(answered);
    let log = EmbeddedLog::open_with(&folder.settings(), Retention::DEFAULT, opener(&orders));
    let log: Log = Arc::new(log.unwrap());
    for number in answered + 1..=answered + appends {
        // The cut before may have kept it, though nobody was answered.
        log.append(delivered(number)).await.unwrap();
        orders.answered.store(number, Ordering::Relaxed);
    }
    drop(log);
    orders.cuts.lock().take().unwrap()
}

/// What every cut must leave. Returns how long it took to open.
async fn is_whole(folder: &Folder, answered: u64) -> Duration {
    let begun = Instant::now();
    let log = open(folder);
    let taken = begun.elapsed();
    assert_kept(&log, answered).await;
    let kept = all(&log).await.len() as u64;
    assert!(kept <= answered + 1, "{kept}: only the one that was under way");
    // It goes on, and what QIWI repeats is there once.
    log.append(delivered(answered + 1)).await.unwrap();
    assert_eq!(all(&log).await.len() as u64, answered + 1);
    taken
}

fn some(of: &[Cut]) -> Vec<&Cut> {
    of.sample(&mut rand::rng(), count()).collect()
}

#[tokio::test]
async fn a_power_cut_takes_nothing_that_was_answered() {
    let folder = Folder::new();
    drop(open(&folder));
    let all = cuts(&folder, 0, 30).await;
    assert!(all.len() >= 4 * 30, "{} cuts", all.len());
    let mut taken = Duration::ZERO;
    let some = some(&all);
    for cut in &some {
        taken += is_whole(&cut.folder(STEM), cut.answered).await;
    }
    let each = taken / u32::try_from(some.len()).unwrap();
    assert!(each < Duration::from_secs(1), "it takes {each:?} to open");
}

/// Three times in a row: at a sync of an append, at a sync of what mends that, and again.
#[tokio::test]
async fn a_power_cut_while_the_last_one_is_mended_takes_nothing() {
    let folder = Folder::new();
    drop(open(&folder));
    let first = cuts(&folder, 0, 12).await;
    let (mut mended, mut opened) = (0, 0);
    for cut in some(&first).into_iter().take(count().div_ceil(4)) {
        let second = cuts(&cut.folder(STEM), cut.answered, 1).await;
        mended += second.iter().filter(|of| of.answered == cut.answered).count();
        for cut in some(&second).into_iter().take(4) {
            let third = cuts(&cut.folder(STEM), cut.answered, 1).await;
            for cut in some(&third).into_iter().take(3) {
                is_whole(&cut.folder(STEM), cut.answered).await;
                opened += 1;
            }
        }
    }
    assert!(mended > 0 && opened > 0, "{mended} cuts while mending, {opened} opened");
}
