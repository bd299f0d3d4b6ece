//! What holds for some operations alone: QIWI knows reversals, refunds and captures by no id of the
//! merchant's.

use std::time::Duration;

use qiwi_gateway::config::Config;
use qiwi_gateway::pb::pay::v1::OperationState;
use qiwi_gateway::sandbox::{Sandbox, demo};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::transport::Channel;

use super::judge::{self, PATIENCE, Said};
use super::shop::*;

const UNKNOWN: &str = "PAYMENT_OUTCOME_UNKNOWN";
const ABSENT: &str = "PAYMENT_NOT_EXECUTED";
const BUSY: &str = "OPERATION_IN_PROGRESS";

fn fault(sandbox: &Sandbox, order: &Order, fault: serde_json::Value) {
    sandbox.add_fault(order.rule(fault)).unwrap();
}

/// Sends without judging: where two orders have the same amount, the judge cannot tell them apart.
async fn said(channel: &Channel, order: &Order) -> Said {
    Said::read(&send(channel, order).await).unwrap()
}

async fn settled(channel: &Channel, order: &Order) -> Said {
    let begun = Instant::now();
    loop {
        let said = said(channel, order).await;
        if said.is_settled() {
            return said;
        }
        assert!(begun.elapsed() < PATIENCE, "{said:?}");
        sleep(Duration::from_millis(40)).await;
    }
}

async fn shown(channel: &Channel, order: &Order) -> OperationState {
    get(channel, order).await.unwrap().state()
}

/// The numbers of the transactions of a kind.
fn made(sandbox: &Sandbox, kind: u8) -> Vec<String> {
    let all = sandbox.transactions().into_iter().filter(|of| of.txn_type == kind);
    all.map(|of| of.txn_id.to_string()).collect()
}

/// What was taken can be asked about: QIWI joins what is signed with the same character.
#[tokio::test]
async fn whatever_an_order_is_called_it_is_found_again() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    for (amount, id) in ["a|b", "Заказ №7/1", "a b", "\"{}\\"].into_iter().enumerate() {
        let order = Order::sale(id, 11 + i64::try_from(amount).unwrap());
        fault(&sandbox, &order, json!({"cut": "before_headers"}));
        let said = settled(&channel, &order).await;
        assert_eq!((&*said.state, order.posts(&sandbox)), ("SUCCEEDED", 1), "{id}: {said:?}");
        assert_eq!(status(&channel, id).await.len(), 1, "{id}");
    }
}

#[tokio::test]
async fn a_capture_that_broke_off_is_repeated_by_its_caller_only_and_not_too_soon() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let order = ready(&channel, Op::Capture, 1).await;
    fault(&sandbox, &order, json!({"cut": "before_processing"}));
    let begun = Instant::now();
    let first = judge::once(&sandbox, &channel, &order, "first").await;
    assert_eq!(first.reason, UNKNOWN);
    // Callers who repeat too soon wait like everybody else.
    while begun.elapsed() < Duration::from_millis(1200) {
        let said = judge::once(&sandbox, &channel, &order, "too soon").await;
        assert!([UNKNOWN, ABSENT].contains(&&*said.reason), "{said:?}");
        assert_eq!(order.posts(&sandbox), 1);
        sleep(Duration::from_millis(100)).await;
    }
    // Nobody repeats it by himself.
    sleep_until(begun + Duration::from_millis(2500)).await;
    assert_eq!(shown(&channel, &order).await, OperationState::NotExecuted);
    assert_eq!((order.facts(&sandbox).good, order.posts(&sandbox)), (0, 1));
    let said = judge::once(&sandbox, &channel, &order, "later").await;
    assert_eq!((&*said.state, said.attempts, said.replayed), ("SUCCEEDED", 2, false), "{said:?}");
    assert_eq!((order.facts(&sandbox).good, order.posts(&sandbox)), (1, 2));
}

/// Two looks are enough after a technical code, but not for a second request.
#[tokio::test]
async fn a_capture_that_qiwi_answered_with_a_technical_code_waits_as_long() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let order = ready(&channel, Op::Capture, 1).await;
    fault(&sandbox, &order, json!({"error_code": 8001}));
    let begun = Instant::now();
    loop {
        let said = judge::once(&sandbox, &channel, &order.again(), "technical").await;
        if said.reason.is_empty() {
            assert_eq!(said.attempts, 2);
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert_eq!((order.facts(&sandbox).good, order.posts(&sandbox)), (1, 2));
}

#[tokio::test]
async fn a_capture_whose_status_shows_late_is_captured_once_and_never_told_refused() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let order = ready(&channel, Op::Capture, 1).await;
    // Longer than until it may be repeated: QIWI refuses the second one, and both are the truth.
    fault(&sandbox, &order, json!({"cut": "before_headers", "late_history_ms": 2500}));
    let begun = Instant::now();
    loop {
        let said = said(&channel, &order).await;
        assert_ne!(said.state, "REJECTED", "{said:?}");
        if said.reason.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{said:?}");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((order.facts(&sandbox).good, order.posts(&sandbox)), (1, 2));
}

#[tokio::test]
async fn a_capture_is_not_repeated_when_nobody_can_say_that_the_money_is_held() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let order = ready(&channel, Op::Capture, 1).await;
    fault(&sandbox, &order, json!({"cut": "before_processing"}));
    let begun = Instant::now();
    while judge::once(&sandbox, &channel, &order, "first").await.state != "NOT_EXECUTED" {
        assert!(begun.elapsed() < Duration::from_millis(1500), "the machine is too slow for this");
        sleep(Duration::from_millis(20)).await;
    }
    let list = json!({"body": {"error_code": 0, "transactions": []}});
    sandbox.add_fault(json!({"match": {"opcode": 30}, "fault": list})).unwrap();
    sleep_until(begun + Duration::from_millis(2200)).await;
    for _ in 0..3 {
        let said = judge::once(&sandbox, &channel, &order, "unseen").await;
        assert!([UNKNOWN, ABSENT].contains(&&*said.reason), "{said:?}");
    }
    assert_eq!(order.posts(&sandbox), 1);
    sandbox.clear_faults();
    let said = settled(&channel, &order).await;
    assert_eq!((&*said.state, order.posts(&sandbox)), ("SUCCEEDED", 2), "{said:?}");
}

#[tokio::test]
async fn a_purchase_is_changed_by_one_operation_at_a_time() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let paid = done(&channel, &Order::sale("order", 100_000)).await;
    let (one, two) =
        (Order::refund(request_id(1), &paid, 300), Order::refund(request_id(2), &paid, 300));
    fault(&sandbox, &one, json!({"latency_ms": 600}));
    let first = {
        let (channel, one) = (channel.clone(), one.clone());
        tokio::spawn(async move { send(&channel, &one).await })
    };
    let begun = Instant::now();
    while one.posts(&sandbox) == 0 {
        assert!(begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(5)).await;
    }
    // The first is on its way.
    for other in [&two, &Order::reverse(request_id(3), &paid, 300)] {
        let said = said(&channel, other).await;
        assert_eq!((&*said.reason, &*said.sent), (BUSY, "no"), "{said:?}");
    }
    let first = Said::read(&first.await.unwrap()).unwrap();
    let second = said(&channel, &two).await;
    assert_eq!((&*first.state, &*second.state), ("SUCCEEDED", "SUCCEEDED"));
    assert_eq!(vec![first.transaction, second.transaction], made(&sandbox, 3));
}

#[tokio::test]
async fn two_refunds_at_once_are_never_taken_for_each_other() {
    let (sandbox, gateway) = both().await;
    for round in 0..8 {
        let channel = gateway.channel().await;
        let paid = done(&channel, &Order::sale(format!("order {round}"), 100_000)).await;
        let orders =
            [1, 2].map(|number| Order::refund(request_id(round * 10 + number), &paid, 300));
        // Both lose the answer, and the amounts are the same.
        let cut = json!({"cut": "before_headers", "late_history_ms": 150});
        sandbox.add_fault(json!({"match": {"opcode": 7}, "times": 2, "fault": cut})).unwrap();
        let (one, two) = tokio::join!(settled(&channel, &orders[0]), settled(&channel, &orders[1]));
        assert_eq!((&*one.state, &*two.state), ("SUCCEEDED", "SUCCEEDED"), "{round}");
        let mut told = vec![one.transaction, two.transaction];
        told.sort();
        let made = made(&sandbox, 3);
        assert_eq!(told, made[made.len() - 2..], "{round}");
    }
    assert_eq!(made(&sandbox, 3).len(), 16);
}

#[tokio::test]
async fn a_refund_that_shows_late_is_not_taken_for_the_next_one() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let paid = done(&channel, &Order::sale("order", 100_000)).await;
    let (one, two) =
        (Order::refund(request_id(1), &paid, 300), Order::refund(request_id(2), &paid, 300));
    // Answered, so that the next one may begin, and not in the list that is read before that.
    fault(&sandbox, &one, json!({"late_history_ms": 400}));
    let first = said(&channel, &one).await;
    assert_eq!(first.state, "SUCCEEDED");
    fault(&sandbox, &two, json!({"cut": "before_processing"}));
    let second = settled(&channel, &two).await;
    assert_eq!((&*second.reason, made(&sandbox, 3)), (ABSENT, vec![first.transaction]));
}

#[tokio::test]
async fn a_refund_that_was_not_executed_does_not_take_the_next_one_for_its_own() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let paid = done(&channel, &Order::sale("order", 100_000)).await;
    let (one, two) =
        (Order::refund(request_id(1), &paid, 300), Order::refund(request_id(2), &paid, 300));
    fault(&sandbox, &one, json!({"cut": "before_processing"}));
    assert_eq!(settled(&channel, &one).await.reason, ABSENT);
    // Somebody begins anew instead of repeating; the first is still watched.
    assert_eq!(said(&channel, &two).await.state, "SUCCEEDED");
    let until = Instant::now() + Duration::from_millis(1200);
    while Instant::now() < until {
        assert_eq!(shown(&channel, &one).await, OperationState::NotExecuted);
        sleep(Duration::from_millis(50)).await;
    }
    // And with permission it is one more.
    let again = said(&channel, &one.again()).await;
    assert_eq!((&*again.state, again.attempts), ("SUCCEEDED", 2), "{again:?}");
    assert_eq!(made(&sandbox, 3).len(), 2);
}

#[tokio::test]
async fn a_child_that_may_be_that_of_two_is_nobodys() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let paid = done(&channel, &Order::sale("order", 100_000)).await;
    let (one, two) =
        (Order::refund(request_id(1), &paid, 300), Order::refund(request_id(2), &paid, 300));
    fault(&sandbox, &one, json!({"cut": "before_processing"}));
    assert_eq!(settled(&channel, &one).await.reason, ABSENT);
    // The second is carried out unheard, while the first may still show late.
    fault(&sandbox, &two, json!({"cut": "before_headers"}));
    let until = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < until {
        assert_eq!(said(&channel, &two).await.reason, UNKNOWN);
        assert_eq!(shown(&channel, &one).await, OperationState::NotExecuted);
    }
    assert!(gateway.metric("qiwi_payment_alarms_total", &["differs"]).await > 0);
    assert_eq!(made(&sandbox, 3).len(), 1);
}

#[tokio::test]
async fn two_children_alike_are_a_case_for_a_person() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let paid = done(&channel, &Order::sale("order", 100_000)).await;
    let order = Order::refund(request_id(1), &paid, 300);
    fault(&sandbox, &order, json!({"answer_latency_ms": 300, "cut": "before_headers"}));
    let beside = json!({"opcode": 7, "txn_id": paid.parse::<u64>().unwrap(), "amount": "3.00"});
    let other = async {
        while order.posts(&sandbox) == 0 {
            sleep(Duration::from_millis(2)).await;
        }
        super::shop::beside(&sandbox, beside).await
    };
    let (first, other) = tokio::join!(said(&channel, &order), other);
    assert_eq!((&*first.reason, &other["error_code"]), (UNKNOWN, &json!(0)));
    let until = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < until {
        assert_eq!(said(&channel, &order).await.reason, UNKNOWN);
        assert_eq!(said(&channel, &order.again()).await.reason, UNKNOWN);
    }
    assert_eq!(shown(&channel, &order).await, OperationState::Uncertain);
    assert!(gateway.metric("qiwi_payment_alarms_total", &["differs"]).await > 0);
    // Until then nobody else changes the purchase.
    assert_eq!(said(&channel, &Order::refund(request_id(2), &paid, 1)).await.reason, BUSY);
    assert_eq!(made(&sandbox, 3).len(), 2);
}

/// The list about a purchase without an order id may leave its children out.
#[tokio::test]
async fn a_purchase_without_an_order_id_leaves_doubt_where_nothing_is_found() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let paid = bought_beside(&sandbox, 1, None).await;
    let found = Order::refund(request_id(1), &paid, 300);
    fault(&sandbox, &found, json!({"cut": "before_headers"}));
    assert_eq!(settled(&channel, &found).await.state, "SUCCEEDED");
    let order = Order::refund(request_id(2), &paid, 400);
    fault(&sandbox, &order, json!({"cut": "before_processing"}));
    let until = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < until {
        let said = judge::once(&sandbox, &channel, &order, "no order id").await;
        assert_eq!((&*said.reason, &*said.state), (UNKNOWN, "UNCERTAIN"), "{said:?}");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(order.posts(&sandbox), 1);
}

#[tokio::test]
async fn a_sale_is_not_taken_for_an_authorisation_of_the_same_order() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    done(&channel, &Order::sale("order", 300)).await;
    let order = Order::authorize("order", 300);
    fault(&sandbox, &order, json!({"cut": "before_processing"}));
    let lost = judge::repeat(&sandbox, &channel, &order, "lost").await;
    assert_eq!(lost.last().unwrap().reason, ABSENT);
    let refused = judge::repeat(&sandbox, &channel, &order.again(), "again").await;
    assert!(refused.iter().all(|said| !said.reason.is_empty()), "{refused:?}");
    assert_eq!(sandbox.transactions().len(), 1);
}

#[tokio::test]
async fn payouts_of_one_purchase_are_told_apart_by_their_orders() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let paid = done(&channel, &Order::sale("order", 100_000)).await;
    let payout = |id: &str| Order::payout_of(id, &paid, 300);
    done(&channel, &payout("one")).await;
    let lost = payout("two");
    fault(&sandbox, &lost, json!({"cut": "before_processing"}));
    let all = judge::repeat(&sandbox, &channel, &lost, "lost").await;
    assert_eq!(all.last().unwrap().reason, ABSENT, "{all:?}");
    let unheard = payout("three");
    fault(&sandbox, &unheard, json!({"cut": "before_headers"}));
    let all = judge::repeat(&sandbox, &channel, &unheard, "unheard").await;
    assert_eq!(all.last().unwrap().state, "SUCCEEDED", "{all:?}");
}

/// A decline may belong to the first attempt as well as to the second.
#[tokio::test]
async fn an_attempt_that_was_declined_late_is_not_the_second_one() {
    for unheard in [false, true] {
        let what = format!("the second is unheard: {unheard}");
        let (sandbox, gateway) = both().await;
        let channel = gateway.channel().await;
        let order = Order::sale("order", 300);
        let late = json!({"cut": "before_headers", "decline_code": 8160, "late_history_ms": 2000});
        fault(&sandbox, &order, late);
        assert_eq!(settled(&channel, &order).await.reason, ABSENT, "{what}");
        if unheard {
            fault(&sandbox, &order, json!({"cut": "before_headers"}));
        }
        let again = settled(&channel, &order.again()).await;
        judge::is_true(&again, order.facts(&sandbox), &what);
        assert_eq!((&*again.state, again.attempts), ("SUCCEEDED", 2), "{what}: {again:?}");
        sleep(Duration::from_millis(2200)).await;
        assert_eq!(shown(&channel, &order).await, OperationState::Succeeded, "{what}");
        let facts = order.facts(&sandbox);
        assert_eq!((facts.good, facts.declined, order.posts(&sandbox)), (1, 1, 2), "{what}");
    }
}

#[tokio::test]
async fn a_payout_or_refund_that_qiwi_calls_busy_is_looked_for_twice_before_it_is_free() {
    let sandbox = sandbox(|_| {}).await;
    let long = |config: &mut Config| {
        config.payments.settle_window_answered = Duration::from_millis(900);
    };
    let gateway = setup(&sandbox).set(long).start().await;
    let channel = gateway.channel().await;
    for (number, op) in [Op::Payout, Op::Refund, Op::Reverse].into_iter().enumerate() {
        let order = ready(&channel, op, 20 + number as u64).await;
        // QIWI would make a second one.
        let late = json!({"error_code": 8057, "process": true, "late_history_ms": 500});
        fault(&sandbox, &order, late);
        let all = judge::repeat(&sandbox, &channel, &order, "busy").await;
        assert_eq!(all.last().unwrap().state, "SUCCEEDED", "{op:?}: {all:?}");
        assert_eq!((order.facts(&sandbox).good, order.posts(&sandbox)), (1, 1), "{op:?}");
    }
}

#[tokio::test]
async fn sites_have_orders_of_their_own() {
    let sandbox = sandbox(|_| {}).await;
    let merchant = qiwi_gateway::credentials::Kind::Merchant;
    let gateway = setup(&sandbox)
        .credential("other", merchant, None, demo::MERCHANT_SECRET)
        .set(|config| {
            let other = config.credentials.get_mut("other").unwrap();
            other.merchant_site = Some(demo::DEFERRED_SITE.to_string());
        })
        .start()
        .await;
    let channel = gateway.channel().await;
    let order = Order::sale("same", 300);
    let other = crate::support::Ask::with(&[("x-qiwi-credential", "other")]);
    done(&channel, &order).await;
    let second = Said::read(&ask(&channel, &order, &other).await).unwrap();
    assert!(second.reason.is_empty() && !second.replayed, "{second:?}");
    let sites: Vec<_> = sandbox.transactions().into_iter().map(|of| of.site).collect();
    assert_eq!(sites, [demo::ONLINE_SITE, demo::DEFERRED_SITE]);
}
