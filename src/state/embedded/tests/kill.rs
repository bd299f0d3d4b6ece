//! Killed without warning, again and again, while it works.

use std::io::Write;

use super::*;
use crate::state::disk::testing::killed;

const FOLDER: &str = "QIWI_LEDGER_TEST_FOLDER";
const FIRST: &str = "QIWI_LEDGER_TEST_FIRST";

/// The process that is killed: writes entries and says which ones were answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a helper of the test below, which starts it"]
async fn helper() {
    let folder = std::env::var(FOLDER).expect("started by the test below");
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let store: Store = Arc::new(EmbeddedLedger::open(&Settings::new(folder)).unwrap());
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let id = first + n * 8 + writer;
                let kept = add(&store, record(id)).await;
                // One line is one write, so that lines stay whole.
                std::io::stdout().write_all(format!("\n1 {id}\n").as_bytes()).unwrap();
                let next = Record { state: State::Sending, ..kept };
                assert_eq!(store.replace(1, next).await, Ok(Replace::Done(2)));
                std::io::stdout().write_all(format!("\n2 {id}\n").as_bytes()).unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn nothing_answered_is_lost_by_kill_9() {
    let folder = Folder::new();
    let mut answered = std::collections::BTreeMap::<u64, u64>::new();
    for round in 0..20 {
        let first = (round * 1_000_000 + 1).to_string();
        let environment = [(FOLDER, folder.path().display().to_string()), (FIRST, first)];
        let lines = killed("state::embedded::tests::kill::helper", &environment).await;
        let pairs = lines.iter().filter_map(|line| {
            let (version, id) = line.split_once(' ')?;
            Some((id.parse().ok()?, version.parse().ok()?))
        });
        for (id, version) in pairs.collect::<Vec<(u64, u64)>>() {
            answered.entry(id).and_modify(|of| *of = version.max(*of)).or_insert(version);
        }
        let store = folder.open();
        for (id, version) in &answered {
            let kept = store.get(&key(*id)).await.unwrap();
            let kept = kept.unwrap_or_else(|| panic!("{id} was answered and is lost"));
            assert!(kept.version >= *version, "{id} went back to {}", kept.version);
        }
    }
    assert!(answered.len() > 50, "only {} answers", answered.len());
}
