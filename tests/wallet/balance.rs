//! Balances: the documents' own examples through the whole gateway.

use std::time::Duration;

use qiwi_gateway::pb::r#type::v1::Money;
use qiwi_gateway::pb::wallet::v1 as pb;

use crate::support::*;

const OFFERS: &str = "qiwi.wallet.v1.BalanceService/ListBalanceOffers";

fn rub(units: i64, nanos: i32) -> Option<Money> {
    Some(Money { currency_code: "RUB".to_owned(), units, nanos })
}

async fn list(gateway: &Gateway) -> Result<pb::ListBalancesResponse, Told> {
    let channel = gateway.channel().await;
    let reply = Ask::with(MAIN).unary(&channel, BALANCES, fresh_balances()).await;
    reply.map(tonic::Response::into_inner).map_err(|status| told(&status))
}

#[tokio::test]
async fn the_documented_list_arrives_whole() {
    let json = include_str!("../fixtures/wallet/balance/list.json");
    let fake = Fake::always(Answer::json(json)).await;
    let gateway = Setup::new(&fake).start().await;
    let reply = list(&gateway).await.unwrap();
    let kind = |id: &str, title: &str| {
        Some(pb::BalanceType { id: Some(id.to_owned()), title: Some(title.to_owned()) })
    };
    assert_eq!(
        reply.balances,
        [
            pb::Balance {
                alias: "mc_beeline_rub".to_owned(),
                fs_alias: "qb_mc_beeline".to_owned(),
                bank_alias: "QIWI".to_owned(),
                title: "MC".to_owned(),
                r#type: kind("MC", "Счет мобильного кошелька"),
                has_balance: false,
                currency_code: "RUB".to_owned(),
                amount: None,
                default_account: None,
            },
            pb::Balance {
                alias: "qw_wallet_rub".to_owned(),
                fs_alias: "qb_wallet".to_owned(),
                bank_alias: "QIWI".to_owned(),
                title: "WALLET".to_owned(),
                r#type: kind("WALLET", "QIWI Wallet"),
                has_balance: true,
                currency_code: "RUB".to_owned(),
                amount: rub(8, 740_000_000),
                default_account: None,
            },
        ]
    );
    assert!(reply.fetch_time.is_some());
    let seen = fake.seen();
    let [asked] = &seen[..] else { panic!("one request: {seen:?}") };
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.target, format!("/funding-sources/v2/persons/{WALLET}/accounts"));
    assert!(asked.body.is_empty());
}

#[tokio::test]
async fn amounts_are_exact_whatever_their_spelling() {
    let rows = [
        ("0", rub(0, 0)),
        ("8.70", rub(8, 700_000_000)),
        ("0.01", rub(0, 10_000_000)),
        ("-0.01", rub(0, -10_000_000)),
        ("-150.5", rub(-150, -500_000_000)),
        ("99.0000", rub(99, 0)),
        ("9007199254740993.07", rub(9_007_199_254_740_993, 70_000_000)),
        ("1e2", rub(100, 0)),
        (r#""4678.50""#, rub(4678, 500_000_000)),
    ];
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).start().await;
    for (amount, expected) in rows {
        fake.now_always(Answer::json(format!(
            r#"{{"accounts":[{{"alias":"a","hasBalance":true,"balance":{{"amount":{amount},"currency":643}}}}]}}"#
        )));
        let reply = list(&gateway).await.unwrap_or_else(|told| panic!("{amount}: {told:?}"));
        assert_eq!(reply.balances[0].amount, expected, "{amount}");
    }
}

#[tokio::test]
async fn a_missing_balance_is_asked_for_again_with_patience_and_alias() {
    let json = |amount: &str| {
        format!(
            r#"{{"accounts":[
                {{"alias":"qw_wallet_rub","hasBalance":true,"currency":643,"balance":{amount}}},
                {{"alias":"qw_wallet_usd","hasBalance":true,"currency":840,"balance":{{"amount":2,"currency":840}}}},
                {{"alias":"card","hasBalance":false,"currency":643,"balance":null}}]}}"#
        )
    };
    // The text says null, the Russian text an empty object.
    for absent in ["null", "{}"] {
        let first = Answer::json(json(absent));
        let second = Answer::json(
            r#"{"accounts":[{"alias":"qw_wallet_rub","hasBalance":true,"balance":{"amount":8.74,"currency":643}}]}"#,
        );
        let fake = Fake::by(
            move |seen| {
                if seen.target.contains('?') { second.clone() } else { first.clone() }
            },
        )
        .await;
        let gateway = Setup::new(&fake).start().await;
        let reply = list(&gateway).await.unwrap();
        let amounts: Vec<_> = reply.balances.iter().map(|of| of.amount.clone()).collect();
        let usd = Some(Money { currency_code: "USD".to_owned(), units: 2, nanos: 0 });
        assert_eq!(amounts, [rub(8, 740_000_000), usd, None]);
        let seen = fake.seen();
        let targets: Vec<_> = seen.iter().map(|seen| seen.target.as_str()).collect();
        let path = format!("/funding-sources/v2/persons/{WALLET}/accounts");
        let again = format!("{path}?timeout=1000&alias=qw_wallet_rub");
        assert_eq!(targets, [path.as_str(), again.as_str()], "a card has no balance to ask for");
    }
}

#[tokio::test]
async fn a_balance_that_stays_away_is_absent_and_not_zero() {
    let json = r#"{"accounts":[{"alias":"qw_wallet_rub","hasBalance":true,"currency":643,"balance":null}]}"#;
    for again in [Answer::json(json), Answer::new(500, ""), Answer::json("nonsense")] {
        let first = Answer::json(json);
        let fake = Fake::by(
            move |seen| {
                if seen.target.contains('?') { again.clone() } else { first.clone() }
            },
        )
        .await;
        let gateway = Setup::new(&fake).start().await;
        let reply = list(&gateway).await.expect("the rest of the list is worth having");
        assert_eq!((reply.balances.len(), &reply.balances[0].amount), (1, &None));
        assert_eq!(reply.balances[0].currency_code, "RUB");
    }
}

#[tokio::test]
async fn members_and_currencies_nobody_documented_survive() {
    let json = r#"{"accounts":[{"alias":"a","hasBalance":true,"currency":"031","defaultAccount":true,
        "newMember":{"x":[1]},"balance":{"amount":1,"currency":999,"more":2}}],"more":true}"#;
    let fake = Fake::always(Answer::json(json)).await;
    let gateway = Setup::new(&fake).start().await;
    let reply = list(&gateway).await.unwrap();
    let balance = &reply.balances[0];
    assert_eq!(balance.amount.as_ref().unwrap().currency_code, "999");
    assert_eq!(balance.default_account, Some(true));
    let unknown = gateway.metric("qiwi_unknown_field_total", &["operation=\"W-BAL-1\""]).await;
    assert_eq!(unknown, 3);
}

#[tokio::test]
async fn offers_skip_the_empty_objects_of_the_documents() {
    let json = include_str!("../fixtures/wallet/balance/offers.json");
    let fake = Fake::always(Answer::json(json).after(Duration::from_millis(1))).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let request = pb::ListBalanceOffersRequest::default();
    let reply: pb::ListBalanceOffersResponse =
        Ask::with(MAIN).unary(&channel, OFFERS, request).await.unwrap().into_inner();
    let offer =
        pb::BalanceOffer { alias: "qw_wallet_eur".to_owned(), currency_code: "EUR".to_owned() };
    assert_eq!(reply.balance_offers, [offer]);
    let target = &fake.seen()[0].target;
    assert_eq!(*target, format!("/funding-sources/v2/persons/{WALLET}/accounts/offer"));
}
