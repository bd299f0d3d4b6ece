//! Many that come back at once with old cursors.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::*;
use crate::config::Size;
use crate::events::testing::Slow;

const CLIENTS: u64 = 120;
const EVENTS: u64 = 500;
const READERS: usize = 8;

/// They read the log a few at a time, whoever appends does not wait for them, and all get
/// everything. `cargo bench --bench events` does the same with ten thousand.
#[tokio::test(start_paused = true)]
async fn many_that_come_back_at_once_read_a_few_at_a_time_and_get_everything() {
    let (reading, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, max) = (Arc::clone(&reading), Arc::clone(&most));
    // The first pause of a read begins it, the second one ends it.
    let is_first = Arc::new(parking_lot::Mutex::new(std::collections::HashMap::new()));
    let log = Slow {
        pause: Box::new(move || {
            let (now, max, is_first) = (now.clone(), max.clone(), is_first.clone());
            async move {
                let task = tokio::task::try_id();
                let begins = {
                    let mut all = is_first.lock();
                    let begins = all.entry(task).or_insert(true);
                    std::mem::replace(begins, !*begins)
                };
                if begins {
                    max.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                } else {
                    now.fetch_sub(1, Ordering::SeqCst);
                }
            }
            .boxed()
        }),
        ..Slow::new(Arc::new(MemoryLog::new(Retention::DEFAULT)))
    };
    let settings = settings(|of| {
        of.ring = Size::kib(64);
        of.readers_max = READERS;
    });
    let (hub, _feed) = running_over(Arc::new(log), settings);
    for number in 0..EVENTS {
        append(&hub, u32::try_from(number).unwrap()).await;
    }
    let begin = start(&hub).await;
    let clients = (0..CLIENTS).map(|_| {
        let hub = Arc::clone(&hub);
        tokio::spawn(async move {
            let order = order(begin, everything(), Duration::from_secs(15));
            let mut outlet = stream(&hub, order, std::future::pending());
            let mut client = Client { hub: &hub, reached: 0, got: Vec::new() };
            while client.got.len() as u64 <= EVENTS {
                client.take(&next(&mut outlet).await.unwrap());
            }
            client.got
        })
    });
    let clients: Vec<_> = clients.collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let begun = Instant::now();
    append(&hub, u32::try_from(EVENTS).unwrap()).await;
    assert!(begun.elapsed() < Duration::from_millis(5), "nobody waits in front of an append");
    for got in join_all(clients).await {
        assert_eq!(got.unwrap(), (1..=EVENTS + 1).collect::<Vec<_>>());
    }
    let most = most.load(Ordering::SeqCst);
    // And the feed.
    assert!((2..=READERS + 1).contains(&most), "{most} at once");
}
