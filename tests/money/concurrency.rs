//! Many calls at once, and whose payment it is.

use std::collections::BTreeSet;

use qiwi_gateway::config::Percent;
use serde_json::json;

use super::judge::{self, Said};
use super::*;
use crate::support::told;

const MINE: (&str, &str) = ("x-qiwi-credential", "demo");
const OTHER_TOKEN: (&str, &str) = ("x-qiwi-credential", "payments");
const OTHERS: (&str, &str) = ("x-qiwi-credential", "professional");
const LENT: (&str, &str) = ("authorization", "Bearer sandbox-wallet-token");
/// May pay and nothing else, not even say whose it is.
const LENT_BLIND: (&str, &str) = ("authorization", "Bearer sandbox-payments-token");

fn roomy(config: &mut Config) {
    config.admission.in_flight_max = 8192;
    config.admission.caller_share_percent = Percent(100);
    config.grpc.streams_max = 1024;
}

/// A gateway that knows the wallet by two tokens, and another wallet.
async fn many() -> (Sandbox, Gateway) {
    let sandbox = sandbox(|_| {}).await;
    let other = demo::PROFESSIONAL_WALLET;
    let gateway = setup(&sandbox)
        .credential("payments", Kind::Wallet, Some(demo::WALLET), demo::PAYMENTS_TOKEN)
        .credential("professional", Kind::Wallet, Some(other), demo::PROFESSIONAL_WALLET_TOKEN)
        .credential("p2p", Kind::P2p, None, demo::P2P_SECRET_KEY)
        .set(roomy)
        .start()
        .await;
    (sandbox, gateway)
}

async fn pay_as(
    channel: &Channel,
    who: (&str, &str),
    request: pb::CreatePaymentRequest,
) -> Result<Response<pb::CreatePaymentResponse>, Status> {
    Ask::with(&[who]).unary(channel, CREATE, request).await
}

fn delay(sandbox: &Sandbox, ms: u64) {
    let only = json!({"path_prefix": "/sinap/api"});
    let fault = json!({"latency_ms": ms});
    sandbox.add_fault(json!({"match": only, "times": 1, "fault": fault})).unwrap();
}

#[tokio::test]
async fn a_thousand_calls_with_one_id_are_one_payment() {
    let (sandbox, gateway) = many().await;
    delay(&sandbox, 500);
    let mut calls = Vec::new();
    for _ in 0..10 {
        let channel = gateway.channel().await;
        for _ in 0..100 {
            let channel = channel.clone();
            calls.push(tokio::spawn(async move { pay(&channel, transfer("77", 10)).await }));
        }
    }
    let (mut first, mut transactions) = (0, BTreeSet::new());
    for call in calls {
        let reply = call.await.unwrap().unwrap();
        first += usize::from(reply.metadata().get("x-idempotent-replayed").is_none());
        let payment = reply.into_inner().payment.unwrap();
        assert_eq!((payment.payment_id.as_str(), payment.attempt_count), ("77", 1));
        transactions.insert((payment.transaction_id.clone(), judge::name(payment.state())));
    }
    assert_eq!((judge::posts(&sandbox), commits(&sandbox, "77")), (1, 1));
    assert_eq!(first, 1, "one call made the payment, the others heard of it");
    let ids: BTreeSet<_> = transactions.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 1, "{transactions:?}");
}

#[tokio::test]
async fn many_ids_at_once_are_as_many_payments() {
    let (sandbox, gateway) = many().await;
    let channel = gateway.channel().await;
    let calls = (1..=200).map(|id: u32| {
        let channel = channel.clone();
        tokio::spawn(async move { pay(&channel, transfer(id.to_string(), 1)).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    let paid: BTreeSet<_> = sandbox.payments().into_iter().map(|of| of.client_id).collect();
    assert_eq!((paid.len(), sandbox.payments().len()), (200, 200));
}

#[tokio::test]
async fn an_id_belongs_to_what_it_was_first_used_for() {
    let (sandbox, gateway) = many().await;
    let channel = gateway.channel().await;
    delay(&sandbox, 1500);
    let first = {
        let channel = channel.clone();
        tokio::spawn(async move { pay(&channel, transfer("5", 10)).await })
    };
    super::crash::holds("the first is sent", || judge::posts(&sandbox) == 1).await;
    let others = |id: &str| {
        let mut commented = transfer(id, 10);
        commented.payment.as_mut().unwrap().comment = "x".to_owned();
        let mut elsewhere = transfer(id, 10);
        let to = pb::WalletDestination { wallet: demo::SECOND_WALLET.to_owned() };
        elsewhere.payment.as_mut().unwrap().destination =
            Some(pb::payment_spec::Destination::Wallet(to));
        [transfer(id, 11), commented, elsewhere]
    };
    for in_flight in [true, false] {
        for request in others("5") {
            let status = pay(&channel, request).await.unwrap_err();
            let told = told(&status);
            assert_eq!(told.reason, "PAYMENT_ID_REUSED");
            assert_eq!(
                (told.info("upstreamSent"), told.info("paymentId")),
                (Some("no"), Some("5"))
            );
            // Nothing about what the other one is.
            for secret in [demo::PROFESSIONAL_WALLET, demo::WALLET, "10.00", "units"] {
                assert!(!told.everything.contains(secret), "{secret}");
            }
        }
        if in_flight {
            assert!(!first.is_finished(), "the refusals did not wait for the payment");
            super::crash::holds("the first is answered", || first.is_finished()).await;
        }
    }
    first.await.unwrap().unwrap();
    // Another order of the same things is the same.
    let said = Said::read(&pay(&channel, transfer("5", 10)).await).unwrap();
    assert!(said.replayed && said.reason.is_empty());
    assert_eq!((judge::posts(&sandbox), sandbox.payments().len()), (1, 1));
}

#[tokio::test]
async fn an_id_that_was_never_sent_may_be_used_for_something_else() {
    let (sandbox, gateway) = many().await;
    let channel = gateway.channel().await;
    let only = json!({"path_prefix": "/sinap/api"});
    let fault = json!({"status": 403});
    sandbox.add_fault(json!({"match": only, "times": 1, "fault": fault})).unwrap();
    let phone = |number: &str| {
        let mut request = transfer("6", 10);
        let to = pb::PhoneDestination { phone_number: number.to_owned(), ..Default::default() };
        request.payment.as_mut().unwrap().destination =
            Some(pb::payment_spec::Destination::Phone(to));
        request
    };
    let providers = async |number: &str| {
        let rpc = "qiwi.wallet.v1.ProviderService/ResolveMobileProvider";
        let request = pb::ResolveMobileProviderRequest {
            phone_number: format!("7{number}"),
            ..Default::default()
        };
        let ask = Ask::with(&[MINE]);
        let reply = ask.unary::<_, pb::ResolveMobileProviderResponse>(&channel, rpc, request).await;
        reply
            .unwrap()
            .into_inner()
            .mobile_providers
            .into_iter()
            .map(|of| of.provider_id)
            .collect::<Vec<_>>()
    };
    let (one, two) = ("9161112233", "9031112233");
    let (of_one, of_two) = (providers(one).await, providers(two).await);
    assert!(of_one.len() == 1 && of_two.len() == 1 && of_one != of_two, "{of_one:?} {of_two:?}");
    let said = Said::read(&pay(&channel, phone(one)).await).unwrap();
    assert_eq!((said.reason.as_str(), said.attempts), ("TOKEN_SCOPE_INSUFFICIENT", 0));
    let said = Said::read(&pay(&channel, phone(two)).await).unwrap();
    assert_eq!((said.reason.as_str(), said.replayed), ("", false), "{said:?}");
    let paid = sandbox.payments();
    assert_eq!(paid.len(), 1);
    assert_eq!(paid[0].provider.to_string(), of_two[0], "the operator of the number that is paid");
}

#[tokio::test]
async fn ids_of_twenty_digits_are_never_numbers() {
    let (sandbox, gateway) = many().await;
    let channel = gateway.channel().await;
    let ids = ["99999999999999999999", "99999999999999999998", "10000000000000000000"];
    for id in ids {
        let only = json!({"path_prefix": "/sinap/api", "body_contains": id});
        let fault = json!({"cut": "before_headers"});
        sandbox.add_fault(json!({"match": only, "times": 1, "fault": fault})).unwrap();
        let all = judge::repeat(&sandbox, &channel, &transfer(id, 1), id).await;
        assert_eq!(all.last().unwrap().reason, "", "found in the history: {all:?}");
    }
    let paid: Vec<_> = sandbox.payments().into_iter().map(|of| of.client_id).collect();
    assert_eq!(paid, ids);
    for wrong in ["", "0", "01", "-1", "1a", "100000000000000000000", "٣"] {
        let status = pay(&channel, transfer(wrong, 1)).await.unwrap_err();
        let told = told(&status);
        assert_eq!(told.fields(), ["payment_id"], "{wrong}");
        assert_eq!((told.info("upstreamSent"), told.pushback), (Some("no"), None), "{wrong}");
    }
    assert_eq!(judge::posts(&sandbox), 3);
}

#[tokio::test]
async fn two_wallets_with_one_id_are_two_payments() {
    let (sandbox, gateway) = many().await;
    let channel = gateway.channel().await;
    let back = |roubles| {
        let mut request = transfer("8", roubles);
        let to = pb::WalletDestination { wallet: demo::WALLET.to_owned() };
        request.payment.as_mut().unwrap().destination =
            Some(pb::payment_spec::Destination::Wallet(to));
        request
    };
    let (one, two) =
        tokio::join!(pay_as(&channel, MINE, transfer("8", 10)), pay_as(&channel, OTHERS, back(20)));
    for reply in [one, two] {
        assert!(reply.unwrap().metadata().get("x-idempotent-replayed").is_none());
    }
    let wallets: BTreeSet<_> = sandbox.payments().into_iter().map(|of| of.wallet).collect();
    let expected = [demo::WALLET, demo::PROFESSIONAL_WALLET].map(str::to_owned);
    assert_eq!(wallets, expected.into());
    // And each sees its own.
    for (who, roubles) in [(MINE, 10), (OTHERS, 20)] {
        let request = pb::GetPaymentRequest { payment_id: "8".into(), ..Default::default() };
        let ask = Ask::with(&[who]);
        let reply = ask.unary::<_, pb::GetPaymentResponse>(&channel, GET, request).await.unwrap();
        assert_eq!(reply.into_inner().payment.unwrap().amount.unwrap().units, roubles);
    }
}

#[tokio::test]
async fn one_wallet_by_whatever_credential_is_one_payment() {
    let (sandbox, gateway) = many().await;
    let channel = gateway.channel().await;
    let named = |id: &str| pb::CreatePaymentRequest {
        wallet: format!("+{}", demo::WALLET),
        ..transfer(id, 10)
    };
    let ways = [
        (MINE, transfer("9", 10)),
        (MINE, named("9")),
        (OTHER_TOKEN, transfer("9", 10)),
        // Nobody told the gateway whose token this is: QIWI's profile does.
        (LENT, transfer("9", 10)),
        (LENT, named("9")),
        // May not read the profile, so the request says whose it is.
        (LENT_BLIND, named("9")),
        (("x-qiwi-credential", "p2p"), named("9")),
    ];
    delay(&sandbox, 300);
    let calls = ways.clone().map(|(who, request)| {
        let channel = channel.clone();
        tokio::spawn(async move { pay_as(&channel, who, request).await })
    });
    let mut first = 0;
    for call in calls {
        let reply = call.await.unwrap().unwrap();
        first += usize::from(reply.metadata().get("x-idempotent-replayed").is_none());
    }
    assert_eq!(first, 1);
    for (who, request) in ways {
        let reply = pay_as(&channel, who, request).await.unwrap();
        assert_eq!(reply.metadata().get("x-idempotent-replayed").unwrap(), "1", "{who:?}");
    }
    assert_eq!((judge::posts(&sandbox), commits(&sandbox, "9")), (1, 1));
}

#[tokio::test]
async fn a_wallet_that_is_not_the_credentials_is_refused() {
    let (sandbox, gateway) = many().await;
    let channel = gateway.channel().await;
    for who in [MINE, OTHER_TOKEN, LENT] {
        for wallet in [demo::PROFESSIONAL_WALLET, "79990000009", "nonsense"] {
            let request =
                pb::CreatePaymentRequest { wallet: wallet.to_owned(), ..transfer("3", 10) };
            let status = pay_as(&channel, who, request).await.unwrap_err();
            let told = told(&status);
            assert_eq!(
                (told.reason.as_str(), told.fields()),
                ("REQUEST_INVALID", vec!["wallet".to_owned()])
            );
            assert_eq!((told.info("upstreamSent"), told.pushback), (Some("no"), None));
        }
    }
    let status = pay_as(&channel, LENT_BLIND, transfer("3", 10)).await.unwrap_err();
    let told = told(&status);
    assert_eq!((told.reason.as_str(), told.info("upstreamSent")), ("WALLET_UNKNOWN", Some("no")));
    assert_eq!(judge::posts(&sandbox), 0);
}

#[tokio::test]
async fn payments_are_shown_to_their_wallet_alone() {
    let (sandbox, gateway) = many().await;
    let channel = gateway.channel().await;
    pay(&channel, transfer("4", 10)).await.unwrap();
    let get = async |who, wallet: &str| {
        let request = pb::GetPaymentRequest {
            payment_id: "4".into(),
            wallet: wallet.to_owned(),
            ..Default::default()
        };
        let ask = Ask::with(&[who]);
        let reply = ask.unary::<_, pb::GetPaymentResponse>(&channel, GET, request).await;
        reply.map(|_| ()).map_err(|status| told(&status).reason)
    };
    let list = async |who, wallet: &str| {
        let request = pb::ListPaymentsRequest { wallet: wallet.to_owned(), ..Default::default() };
        let ask = Ask::with(&[who]);
        let reply = ask.unary::<_, pb::ListPaymentsResponse>(&channel, LIST, request).await;
        reply.map(|reply| reply.into_inner().payments.len()).map_err(|status| told(&status).reason)
    };
    for who in [MINE, OTHER_TOKEN, LENT] {
        assert_eq!((get(who, "").await, list(who, "").await), (Ok(()), Ok(1)), "{who:?}");
        assert_eq!((get(who, demo::WALLET).await, list(who, demo::WALLET).await), (Ok(()), Ok(1)));
    }
    let refused = |reason: &str| (Err(reason.to_owned()), Err(reason.to_owned()));
    let not_found = "PAYMENT_NOT_FOUND".to_owned();
    assert_eq!((get(OTHERS, "").await, list(OTHERS, "").await), (Err(not_found), Ok(0)));
    let claimed = (get(OTHERS, demo::WALLET).await, list(OTHERS, demo::WALLET).await);
    assert_eq!(claimed, refused("REQUEST_INVALID"));
    // Whoever cannot prove it sees nothing, whatever is claimed.
    for wallet in ["", demo::WALLET] {
        let claimed = (get(LENT_BLIND, wallet).await, list(LENT_BLIND, wallet).await);
        assert_eq!(claimed, refused("WALLET_UNKNOWN"));
    }
    let forged = ("authorization", "Bearer no-such-token");
    assert_eq!(get(forged, demo::WALLET).await, Err("TOKEN_REJECTED".to_owned()));
    assert_eq!(commits(&sandbox, "4"), 1);
}
