//! Many calls at once.

use std::collections::BTreeSet;
use std::time::Duration;

use qiwi_gateway::config::{Config, Percent};
use serde_json::json;

use super::judge::{PATIENCE, Said};
use super::shop::*;
use crate::support::Gateway;

fn roomy(config: &mut Config) {
    config.admission.in_flight_max = 8192;
    config.admission.caller_share_percent = Percent(100);
    config.grpc.streams_max = 1024;
}

async fn many() -> (qiwi_gateway::sandbox::Sandbox, Gateway) {
    let sandbox = sandbox(|_| {}).await;
    let gateway = setup(&sandbox).set(roomy).start().await;
    (sandbox, gateway)
}

#[tokio::test]
async fn a_thousand_calls_with_one_order_are_one_request() {
    let (sandbox, gateway) = many().await;
    let order = Order::sale("77", 100);
    sandbox.add_fault(order.rule(json!({"latency_ms": 500}))).unwrap();
    let mut calls = Vec::new();
    for _ in 0..10 {
        let channel = gateway.channel().await;
        for _ in 0..100 {
            let (channel, order) = (channel.clone(), order.clone());
            calls.push(tokio::spawn(async move { send(&channel, &order).await }));
        }
    }
    let (mut first, mut transactions) = (0, BTreeSet::new());
    for call in calls {
        let said = Said::read(&call.await.unwrap()).unwrap();
        assert_eq!((&*said.state, said.attempts), ("SUCCEEDED", 1), "{said:?}");
        first += usize::from(!said.replayed);
        transactions.insert(said.transaction);
    }
    assert_eq!((order.posts(&sandbox), order.facts(&sandbox).good), (1, 1));
    assert_eq!((first, transactions.len()), (1, 1), "one call paid, the others heard of it");
}

#[tokio::test]
async fn many_orders_at_once_are_as_many_purchases() {
    let (sandbox, gateway) = many().await;
    let channel = gateway.channel().await;
    let calls = (0..200).map(|number| {
        let channel = channel.clone();
        tokio::spawn(async move { done(&channel, &Order::sale(number.to_string(), 100)).await })
    });
    let mut transactions = BTreeSet::new();
    for call in calls.collect::<Vec<_>>() {
        transactions.insert(call.await.unwrap());
    }
    assert_eq!((transactions.len(), sandbox.transactions().len()), (200, 200));
}

#[tokio::test]
async fn an_order_in_flight_belongs_to_what_it_was_first_used_for() {
    let (sandbox, gateway) = many().await;
    let channel = gateway.channel().await;
    for (number, op) in [Op::Sale, Op::Authorize, Op::Payout, Op::Refund].into_iter().enumerate() {
        let order = ready(&channel, op, 30 + number as u64).await;
        sandbox.add_fault(order.rule(json!({"latency_ms": 700}))).unwrap();
        let first = {
            let (channel, order) = (channel.clone(), order.clone());
            tokio::spawn(async move { send(&channel, &order).await })
        };
        let begun = tokio::time::Instant::now();
        while order.posts(&sandbox) == 0 {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let other = Order { amount: order.amount.map(|of| of + 1000), ..order.clone() };
        let said = Said::read(&send(&channel, &other).await).unwrap();
        assert_eq!((&*said.reason, &*said.sent), ("PAYMENT_ID_REUSED", "no"), "{op:?}");
        assert!(!first.is_finished(), "{op:?}: the refusal did not wait");
        let first = Said::read(&first.await.unwrap()).unwrap();
        assert_eq!(first.state, "SUCCEEDED", "{op:?}");
        assert_eq!(
            (order.posts(&sandbox), other.facts(&sandbox).good),
            (1, usize::from(op != Op::Refund))
        );
    }
}
