//! A member that hears and says nothing for a while, as behind a broken network, while another one
//! takes over.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_parted_member_loses_nothing_and_the_order_of_wallets_is_kept() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(Retention::DEFAULT));
    let (here, there) = (over(&log), over(&log));
    group(&here, true, 100).await;
    // Bills 1 to 60, three wallets in turn.
    for number in 1..=60 {
        bill(&here, u8::try_from(number % 3 + 1).unwrap(), number).await;
    }
    let mut parted = join(&here, 64).await;
    let held = parted.take(64, SOON).await;
    assert_eq!(seqs(&held), [1, 2, 3], "one of each wallet");
    let mut other = join(&there, 64).await;
    let begun = tokio::time::Instant::now();
    // Its own process gives it what it does not take, until its stream is ended as too slow.
    tokio::time::sleep(2 * DEADLINE).await;
    drop(parted);
    let mut handled: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let (mut count, mut late) = (0, Some(held));
    while count < 60 {
        assert!(begun.elapsed() < 60 * DEADLINE, "only {count}: {handled:?}");
        for delivery in other.take(1, DEADLINE).await {
            let seq = seqs(std::slice::from_ref(&delivery))[0];
            assert_eq!(other.ack(&delivery).await, Done, "nobody else did {seq}");
            handled.entry(seq % 3).or_default().push(seq);
            count += 1;
        }
        if count >= 9
            && let Some(held) = late.take()
        {
            // It is back: late word changes nothing any more.
            let tokens: Vec<_> = held.iter().map(|of| of.delivery_token.clone()).collect();
            let mut back = join(&here, 1).await;
            assert_eq!(back.say(Action::Ack, &tokens).await, [AlreadyDone; 3]);
            let early = std::mem::take(&mut back.early);
            for delivery in early.into_iter().chain(back.take(1, SOON).await) {
                let token = [delivery.delivery_token];
                assert_eq!(back.say(Action::Nack(None), &token).await, [Done]);
            }
            back.leave().await;
        }
    }
    for (wallet, seqs) in handled {
        let expected: Vec<_> = (1..=60).filter(|seq| seq % 3 == wallet).collect();
        assert_eq!(seqs, expected, "nothing lost, and one after the other");
    }
    assert_eq!(state(&here).await.floor(), 60);
}
