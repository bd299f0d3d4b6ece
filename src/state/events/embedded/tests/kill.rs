//! Killed without warning, again and again, while it works.

use std::collections::BTreeMap;
use std::io::Write;

use super::*;
use crate::state::disk::testing::killed;

const FOLDER: &str = "QIWI_EVENTS_TEST_FOLDER";
const FIRST: &str = "QIWI_EVENTS_TEST_FIRST";

/// The process that is killed: appends events and says which ones were answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a helper of the test below, which starts it"]
async fn helper() {
    let folder = std::env::var(FOLDER).expect("started by the test below");
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let log = EmbeddedLog::open(&Settings::new(folder), Retention::DEFAULT).unwrap();
    let log: Log = Arc::new(log);
    let writers = (0..8).map(|writer| {
        let log = log.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let number = first + n * 8 + writer;
                let seq = add(&log, delivered(number)).await;
                // One line is one write, so that lines stay whole.
                std::io::stdout().write_all(format!("\n{number} {seq}\n").as_bytes()).unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn nothing_answered_is_lost_or_doubled_by_kill_9() {
    let folder = Folder::new();
    let mut answered = BTreeMap::<u64, u64>::new();
    let mut known = Vec::<Stored>::new();
    for round in 0..20 {
        let first = (round * 1_000_000 + 1).to_string();
        let environment = [(FOLDER, folder.path().display().to_string()), (FIRST, first)];
        let helper = "state::events::embedded::tests::kill::helper";
        for line in killed(helper, &environment).await {
            let Some((number, seq)) = line.split_once(' ') else { continue };
            if let (Ok(number), Ok(seq)) = (number.parse(), seq.parse()) {
                answered.insert(number, seq);
            }
        }
        let log = open(&folder);
        let kept = all(&log).await;
        // What was once seen stays what it was: no sequence is used again.
        assert_eq!(kept[..known.len()], known[..]);
        for (number, seq) in &answered {
            let at = usize::try_from(seq - 1).unwrap();
            let stored =
                kept.get(at).unwrap_or_else(|| panic!("{number} was answered and is lost"));
            assert_eq!(stored.event, delivered(*number).event);
            if known.len() <= at {
                let again = log.append(delivered(*number)).await;
                assert!(matches!(again, Ok(Outcome::Duplicate { seq: of, .. }) if of == *seq));
            }
        }
        let ids: std::collections::HashSet<_> = kept.iter().map(|stored| stored.event.id).collect();
        assert_eq!(ids.len(), kept.len(), "no event is there twice");
        known = kept;
    }
    assert!(answered.len() > 50, "only {} answers", answered.len());
}
