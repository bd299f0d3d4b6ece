//! Confirmations, contradictions and messages that are not believed: once each.

use qiwi_gateway::config::Engine;
use qiwi_gateway::events::inbox::{self, Doubtful, Taken};

use super::world::{Item, incoming};
use super::*;
use crate::support::process;

fn confirming(fake: &Fake) -> Setup {
    setup(fake).set(|config| {
        polled(config, Poll::Off);
        config.events.confirm = Confirm::After;
        config.events.confirm_absent = Duration::from_secs(1);
    })
}

#[tokio::test]
async fn each_is_told_once_also_over_a_restart() {
    let folder = process::folder("confirm");
    let (fake, world) = World::start().await;
    let embedded = || {
        confirming(&fake).set(|config| {
            config.state.engine = Engine::Embedded;
            config.state.path.clone_from(&folder);
        })
    };
    let card = Item { kind: "QIWI_CARD", ..incoming(3) };
    world.lock().items = vec![incoming(1), incoming(2), card.clone(), incoming(5)];
    let gateway = embedded().start().await;
    told(&gateway, incoming(1).told()).await;
    told(&gateway, Item { roubles: 500, ..incoming(2) }.told()).await;
    told(&gateway, Item { kind: "OUT", ..card }.told()).await;
    told(&gateway, incoming(4).told()).await;
    told(&gateway, Item { status: "WAITING", ..incoming(1) }.told()).await;
    soon("four answers", || async { (confirmations(&gateway).await.len() >= 4).then_some(()) })
        .await;
    soon("both alarms", || async {
        let alarms = gateway.metric("qiwi_event_alarms_total", &["contradicted"]).await;
        (alarms == 2).then_some(())
    })
    .await;
    gateway.stop().await;

    let gateway = embedded().start().await;
    told(&gateway, incoming(5).told()).await;
    soon("the fifth", || async { (confirmations(&gateway).await.len() >= 5).then_some(()) }).await;
    let mut answers = confirmations(&gateway).await;
    answers.sort_by(|(_, left), (_, right)| left.transaction_id.cmp(&right.transaction_id));
    let shown: Vec<_> = answers
        .iter()
        .map(|(kind, of)| (*kind, of.transaction_id.as_str(), of.causes().collect::<Vec<_>>()))
        .collect();
    let (same, differs) = (pb::EventKind::Confirmation, pb::EventKind::Contradiction);
    assert_eq!(
        shown,
        [
            (same, "1", vec![]),
            (differs, "2", vec![pb::ContradictionCause::Amount]),
            (same, "3", vec![]),
            (differs, "4", vec![pb::ContradictionCause::NotFound]),
            (same, "5", vec![]),
        ]
    );
    let first = &answers[0].1;
    assert_eq!(first.subject_status(), types::TransactionStatus::Success);
    assert_eq!((first.status_raw.as_str(), first.client_transaction_id()), ("SUCCESS", "91"));
    let subject = all(&gateway).await.remove(0);
    assert_eq!(first.subject_event_id, subject.event_id);
    assert_eq!(answers[3].1.status_raw, "");
    let asked = fake.seen().iter().filter(|of| of.path().ends_with("/transactions/1")).count();
    assert_eq!(asked, 1, "and it is not asked again");
}

#[tokio::test]
async fn a_status_that_was_made_up_is_contradicted_and_the_true_one_told() {
    let (fake, world) = World::start().await;
    world.lock().items = vec![Item { status: "ERROR", ..incoming(1) }];
    let gateway = confirming(&fake).start().await;
    told(&gateway, incoming(1).told()).await;
    soon("an answer", || async { (!confirmations(&gateway).await.is_empty()).then_some(()) }).await;
    let (kind, answer) = confirmations(&gateway).await.remove(0);
    assert_eq!(kind, pb::EventKind::Contradiction);
    assert_eq!(answer.causes().collect::<Vec<_>>(), [pb::ContradictionCause::Status]);
    assert_eq!(answer.status_raw, "ERROR");
    let told = transactions(&gateway).await;
    assert_eq!(told[1], ("1".into(), "ERROR".into(), pb::EventSource::Reconciled));
}

#[tokio::test]
async fn a_history_that_is_late_or_away_is_waited_for() {
    let (fake, world) = World::start().await;
    let patient = |config: &mut qiwi_gateway::config::Config| {
        config.events.confirm_absent = Duration::from_secs(600);
    };
    let gateway = confirming(&fake).set(patient).start().await;
    world.lock().refuse = Some(500);
    told(&gateway, incoming(1).told()).await;
    let asked = || fake.seen().iter().filter(|of| of.path().ends_with("/1")).count();
    soon("a failure", || async { (asked() > 0).then_some(()) }).await;
    world.lock().refuse = None;
    let failed = asked();
    soon("a question in vain", || async { (asked() > failed).then_some(()) }).await;
    assert_eq!(confirmations(&gateway).await, []);
    world.lock().items = vec![incoming(1)];
    soon("an answer", || async { (!confirmations(&gateway).await.is_empty()).then_some(()) }).await;
    assert_eq!(confirmations(&gateway).await[0].0, pb::EventKind::Confirmation);
}

#[tokio::test]
async fn a_doubtful_message_becomes_what_qiwi_says() {
    let (fake, world) = World::start().await;
    world.lock().items = vec![incoming(1)];
    let gateway = confirming(&fake).start().await;
    let hub = gateway.hub();
    let doubtful = |transaction: &str, received_ms| Doubtful {
        credential: "main".into(),
        wallet: wallet(),
        transaction: transaction.into(),
        r#type: "IN".into(),
        received_ms,
    };
    let put = async |doubtful| inbox::put(&*hub.log, &hub.cipher, &doubtful).await.unwrap();
    assert_eq!(put(doubtful("1", now_ms())).await, Taken::Waits);
    assert_eq!(put(doubtful("2", now_ms())).await, Taken::Waits);
    assert_eq!(put(doubtful("3", now_ms() - inbox::WAIT_MS - 1)).await, Taken::Waits);
    soon("one left", || async {
        let left = inbox::take(&*hub.log, &hub.cipher, 9).await.unwrap();
        (left.len() == 1).then_some(())
    })
    .await;
    let told = all(&gateway).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].verification(), pb::EventVerification::ApiConfirmed);
    assert_eq!(transactions(&gateway).await[0].2, pb::EventSource::Reconciled);
    assert_eq!(gateway.metric("qiwi_event_alarms_total", &["doubtful_dropped"]).await, 1);
}
