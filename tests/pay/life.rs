//! Operations from the first call to their end.

use prost::Message as _;
use qiwi_gateway::config::{BaseUrl, Config};
use qiwi_gateway::pb::pay::v1 as pb;
use qiwi_gateway::pb::pay::v1::payment_instrument::Instrument;
use qiwi_gateway::sandbox::{Sandbox, Strangers, demo};
use serde_json::json;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::judge::{self, Said};
use super::shop::*;
use crate::support::process::folder;
use crate::support::{Ask, Gateway, SHOP, Told, told};

const REPLAYED: &str = "x-idempotent-replayed";

fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>) -> Told {
    told(&outcome.unwrap_err())
}

#[tokio::test]
async fn a_purchase_in_one_step_is_paid_once_and_its_token_told_once() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let order = Order::sale("1500000000001", 100);
    let reply = buy(&channel, &order).await.unwrap();
    assert!(reply.metadata().get(REPLAYED).is_none());
    let reply = reply.into_inner();
    let paid = reply.operation.unwrap();
    assert_eq!(
        (paid.state(), paid.kind()),
        (pb::OperationState::Succeeded, pb::OperationKind::Sale)
    );
    assert_eq!((&*paid.operation_id, paid.attempt_count), ("1500000000001", 1));
    assert!(reply.three_ds.is_none() && paid.error.is_none() && paid.sent_time.is_some());
    let transaction = paid.transaction.clone().unwrap();
    assert_eq!(transaction.status(), pb::TransactionStatus::Reconciled);
    assert_eq!(transaction.next_operations, [i32::from(pb::OperationKind::Refund)]);
    assert_eq!(transaction.card.unwrap().masked_pan, "411111******1111");
    let token = reply.card_token.unwrap();
    assert!(token.card_token.len() > 30 && token.expire_time.is_some());

    // Another verification code is the same purchase: after a crash nobody has the code any more.
    for cvv2 in ["123", "987", ""] {
        let mut again = order.clone();
        again.card.cvv2 = cvv2.into();
        let reply = buy(&channel, &again).await.unwrap();
        assert_eq!(reply.metadata().get(REPLAYED).unwrap(), "1");
        let reply = reply.into_inner();
        assert!(reply.card_token.is_none(), "a token is as good as the card");
        let again = reply.operation.unwrap();
        assert_eq!((again.state(), again.transaction), (paid.state(), paid.transaction.clone()));
    }
    assert_eq!(get(&channel, &order).await.unwrap().transaction, paid.transaction);
    let listed = status(&channel, "1500000000001").await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].transaction_id, paid.transaction.unwrap().transaction_id);
    assert_eq!((order.facts(&sandbox).good, order.posts(&sandbox)), (1, 1));
}

#[tokio::test]
async fn the_same_id_for_something_else_is_refused() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let order = Order::sale("1", 100);
    done(&channel, &order).await;
    let mut others = vec![Order::sale("1", 101)];
    let mut change = |change: fn(&mut pb::BankCard)| {
        let mut other = order.clone();
        change(&mut other.card);
        others.push(other);
    };
    change(|card| card.pan = "4000000000000002".into());
    change(|card| card.expiry_month = 11);
    change(|card| card.holder_name = "ANOTHER HOLDER".into());
    for other in others {
        let told = refused(buy(&channel, &other).await);
        assert_eq!((told.code, &*told.reason), (Code::AlreadyExists, "PAYMENT_ID_REUSED"));
        assert_eq!((told.info("upstreamSent"), told.info("paymentId")), (Some("no"), Some("1")));
        for secret in [PAN, "4000000000000002", "HOLDER"] {
            assert!(!told.everything.contains(secret), "{secret}");
        }
    }
    assert_eq!(order.posts(&sandbox), 1);
}

#[tokio::test]
async fn a_customer_who_passes_3ds_has_paid() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    for (id, confirm) in [("yes", true), ("no", false)] {
        let order = Order::sale(id, 100).with_3ds();
        let reply = buy(&channel, &order).await.unwrap().into_inner();
        let waiting = reply.operation.unwrap();
        assert_eq!(waiting.state(), pb::OperationState::Accepted);
        let three_ds = reply.three_ds.unwrap();
        assert!(reply.card_token.is_none());
        // Whoever lost the answer gets the way to the issuer again.
        let again = buy(&channel, &order).await.unwrap();
        assert_eq!(again.metadata().get(REPLAYED).unwrap(), "1");
        assert_eq!(again.into_inner().three_ds, Some(three_ds.clone()));

        let pares = visit(&three_ds, confirm).await;
        let transaction = waiting.transaction.unwrap().transaction_id;
        let finish = Order::finish(&transaction, &pares);
        let end = send(&channel, &finish).await.unwrap().into_inner().operation.unwrap();
        let expected = if confirm { "SUCCEEDED" } else { "FAILED" };
        assert_eq!(judge::name(end.state()), expected);
        assert_eq!(end.error.map(|error| error.code), (!confirm).then_some(8151));
        assert_eq!(usize::from(confirm), order.facts(&sandbox).good);
        // Whoever asks more often than permitted gets the same answer again.
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        // Both know it now, and nobody is sent to the issuer any more.
        for order in [&order, &finish] {
            let again = Said::read(&send(&channel, order).await).unwrap();
            assert!(again.replayed && again.reason.is_empty(), "{again:?}");
            assert_eq!(again.state, expected);
        }
        let again = buy(&channel, &order).await.unwrap().into_inner();
        assert_eq!(again.three_ds, None);
        assert_eq!((order.posts(&sandbox), finish.posts(&sandbox)), (1, 1));
    }
}

#[tokio::test]
async fn a_purchase_in_two_steps_is_held_reversed_in_part_captured_and_refunded() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let held = done(&channel, &Order::authorize("two", 1000)).await;
    let reversed = Order::reverse(request_id(1), &held, 300);
    assert_ne!(done(&channel, &reversed).await, held);
    let capture = Order::capture(request_id(2), &held);
    assert_eq!(done(&channel, &capture).await, held);
    // Captured once, by whatever id.
    let other = Said::read(&send(&channel, &Order::capture(request_id(3), &held)).await).unwrap();
    assert_eq!((&*other.reason, &*other.state), ("TRANSACTION_STATE_INVALID", "REJECTED"));
    for (number, amount) in [(4, 200), (5, 500)] {
        done(&channel, &Order::refund(request_id(number), &held, amount)).await;
    }
    let more = Said::read(&send(&channel, &Order::refund(request_id(6), &held, 1)).await).unwrap();
    assert_eq!((&*more.reason, &*more.qiwi), ("AMOUNT_EXCEEDS_ALLOWED", "8020"));
    // Each may be repeated, and none happens again.
    for order in [&reversed, &capture, &Order::refund(request_id(5), &held, 500)] {
        assert!(judge::once(&sandbox, &channel, order, "again").await.replayed);
    }
    let all = sandbox.transactions();
    let amounts = |kind: u8| -> Vec<&str> {
        all.iter().filter(|of| of.txn_type == kind).map(|of| &*of.amount).collect()
    };
    assert_eq!((amounts(4), amounts(3)), (vec!["3"], vec!["2", "5"]));
    assert_eq!(all[0].captures, 1);
    let listed = status(&channel, "two").await;
    assert_eq!(listed.len(), 4);
    // An amount that is left out is all that is left.
    let held = done(&channel, &Order::authorize("whole", 1000)).await;
    let whole = Order { amount: None, ..Order::reverse(request_id(7), &held, 0) };
    done(&channel, &whole).await;
    assert_eq!(sandbox.transactions().last().unwrap().amount, "10");
}

#[tokio::test]
async fn money_is_paid_out_to_a_card_or_the_token_of_one() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let bought = buy(&channel, &Order::sale("bought", 1000)).await.unwrap().into_inner();
    done(&channel, &Order::payout("by number", 400)).await;
    let token = bought.card_token.unwrap().card_token;
    let token = Instrument::CardToken(pb::CardToken { token, ..Default::default() });
    let request = pb::PayoutRequest {
        order: Some(pb::OrderDetails { order_id: "by token".into(), ..Default::default() }),
        amount: Some(rub(500)),
        instrument: Some(pb::PaymentInstrument { instrument: Some(token) }),
        transaction_id: bought.operation.unwrap().transaction.unwrap().transaction_id,
        reattempt: false,
    };
    let (ask, rpc) = (Ask::with(SHOP), Op::Payout.rpc());
    for _ in 0..2 {
        let reply = ask.unary::<_, pb::PayoutResponse>(&channel, &rpc, request.clone());
        let paid = reply.await.unwrap().into_inner().operation.unwrap();
        assert_eq!(paid.state(), pb::OperationState::Succeeded);
        assert_eq!(paid.transaction.unwrap().r#type(), pb::TransactionType::Payout);
    }
    let paid = sandbox.transactions().into_iter().filter(|of| of.txn_type == 8);
    assert_eq!(paid.map(|of| of.amount).collect::<Vec<_>>(), ["4", "5"]);
}

#[tokio::test]
async fn operations_that_were_withdrawn_are_refused_by_qiwi() {
    let (_sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(SHOP);
    let sale = Order::sale("recurring", 100);
    let named = |name: &str| format!("qiwi.pay.v1.AcquiringService/{name}");
    for name in ["InitRecurringSale", "InitRecurringAuthorization"] {
        let outcome = ask.raw(&channel, &named(name), sale.message()).await;
        let told = refused(outcome);
        assert_eq!((told.code, &*told.reason), (Code::PermissionDenied, "OPERATION_FORBIDDEN"));
        assert_eq!(told.info("upstreamCode"), Some("8025"), "{name}");
    }
    let init = pb::InitMobileAuthorizationRequest {
        order_id: "app".into(),
        amount: Some(rub(100)),
        ..Default::default()
    };
    let outcome = ask.raw(&channel, &named("InitMobileAuthorization"), init.encode_to_vec()).await;
    assert_eq!(refused(outcome).reason, "OPERATION_FORBIDDEN");
}

async fn test_mode(
    change: impl FnOnce(&mut qiwi_gateway::sandbox::SandboxConfig),
) -> (Sandbox, Gateway) {
    let sandbox = sandbox(change).await;
    let gateway = setup(&sandbox).set(|config| site(config, demo::MERCHANT_SITE)).start().await;
    (sandbox, gateway)
}

#[tokio::test]
async fn a_declined_card_is_data_and_no_error() {
    let (sandbox, gateway) = test_mode(|_| {}).await;
    let channel = gateway.channel().await;
    for (op, order) in [("sale", Order::sale("d1", 100)), ("auth", Order::authorize("d2", 100))] {
        let mut order = order;
        order.card.expiry_month = 2;
        for _ in 0..2 {
            let declined = send(&channel, &order).await.unwrap().into_inner().operation.unwrap();
            assert_eq!(declined.state(), pb::OperationState::Failed, "{op}");
            let error = declined.error.unwrap();
            assert_eq!(
                (error.code, error.category()),
                (8160, pb::TransactionErrorCategory::Declined)
            );
            let transaction = declined.transaction.unwrap();
            assert_eq!(transaction.status(), pb::TransactionStatus::Declined);
            assert!(transaction.is_test && transaction.next_operations.is_empty());
        }
        assert_eq!((order.facts(&sandbox).declined, order.posts(&sandbox)), (1, 1), "{op}");
    }
}

#[tokio::test]
async fn the_test_mode_has_limits() {
    let (_sandbox, gateway) = test_mode(|config| config.acquiring.test_operations_max = 2).await;
    let channel = gateway.channel().await;
    let told = refused(buy(&channel, &Order::sale("much", 1001)).await);
    assert_eq!((told.code, &*told.reason), (Code::FailedPrecondition, "AMOUNT_EXCEEDS_ALLOWED"));
    assert_eq!(told.info("upstreamCode"), Some("8070"));
    done(&channel, &Order::sale("one", 1000)).await;
    done(&channel, &Order::sale("two", 1000)).await;
    let told = refused(buy(&channel, &Order::sale("three", 1000)).await);
    assert_eq!((told.code, &*told.reason), (Code::ResourceExhausted, "TEST_QUOTA_EXCEEDED"));
    assert!(told.retry().is_some() && told.info("upstreamCode") == Some("8069"));
}

#[tokio::test]
async fn a_wrong_secret_is_told_as_such() {
    let sandbox = sandbox(|_| {}).await;
    let wrong = setup(&sandbox).credential(
        "shop",
        qiwi_gateway::credentials::Kind::Merchant,
        None,
        "another-secret",
    );
    let gateway = wrong.set(|config| site(config, demo::ONLINE_SITE)).start().await;
    let channel = gateway.channel().await;
    let told = refused(buy(&channel, &Order::sale("x", 100)).await);
    assert_eq!((told.code, &*told.reason), (Code::Unauthenticated, "SIGNATURE_REJECTED"));
    assert_eq!(told.info("upstreamCode"), Some("8054"));
    assert!(sandbox.transactions().is_empty());
}

/// A gateway in front of the sandbox's acquiring listener, with this certificate or none.
async fn over_tls(sandbox: &Sandbox, identity: Option<(&str, &str)>) -> Gateway {
    let folder = folder("mtls");
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let address = sandbox.acquiring_address().unwrap();
    let url = format!("https://localhost:{}/merchant/direct", address.port());
    let authority = write("authority.pem", sandbox.acquiring_authority().unwrap());
    let files = identity.map(|(cert, key)| (write("cert.pem", cert), write("key.pem", key)));
    let change = |config: &mut Config| {
        config.upstream.direct_url = BaseUrl::parse(&url).unwrap();
        config.upstream.ca_file = Some(authority);
        if let Some((cert, key)) = files {
            let shop = config.credentials.get_mut("shop").unwrap();
            shop.client_cert_file = Some(cert);
            shop.client_key_file = Some(key);
        }
    };
    setup(sandbox).set(change).start().await
}

async fn with_listener(strangers: Strangers) -> Sandbox {
    sandbox(|config| {
        config.acquiring.listen = Some("127.0.0.1:0".parse().unwrap());
        config.acquiring.strangers = strangers;
        config.acquiring.in_the_clear = false;
    })
    .await
}

#[tokio::test]
async fn a_merchant_is_known_by_its_certificate() {
    let sandbox = with_listener(Strangers::Refused).await;
    let own = sandbox.client_certificate("shop").unwrap();
    let gateway = over_tls(&sandbox, Some((&own.certificate_pem, &own.key_pem))).await;
    let channel = gateway.channel().await;
    for (number, op) in Op::ALL.into_iter().enumerate() {
        let order = ready(&channel, op, 10 + number as u64).await;
        done(&channel, &order).await;
        assert_eq!((order.facts(&sandbox).good, order.posts(&sandbox)), (1, 1), "{op:?}");
    }
}

#[tokio::test]
async fn a_wrong_certificate_or_none_is_told_as_such_and_nothing_is_sent() {
    for strangers in [Strangers::Refused, Strangers::Answered(401), Strangers::Answered(403)] {
        let sandbox = with_listener(strangers).await;
        let foreign = with_listener(Strangers::Refused).await;
        let foreign = foreign.client_certificate("shop").unwrap();
        let foreign = (&*foreign.certificate_pem, &*foreign.key_pem);
        for identity in [None, Some(foreign)] {
            let what = format!("{strangers:?}, a certificate: {}", identity.is_some());
            let gateway = over_tls(&sandbox, identity).await;
            let channel = gateway.channel().await;
            let order = Order::sale("tls", 100);
            let told = refused(buy(&channel, &order).await);
            assert_eq!(told.reason, "CERTIFICATE_REJECTED", "{what}");
            let sent = if strangers == Strangers::Refused { "no" } else { "yes" };
            assert_eq!(told.info("upstreamSent"), Some(sent), "{what}");
            assert_eq!(told.info("paymentState"), Some("NOT_SENT"), "{what}");
            assert!(sandbox.transactions().is_empty(), "{what}");
            gateway.stop().await;
        }
    }
}

/// A gateway whose sandbox answers the next sale with this.
async fn told_by_qiwi(
    channel: &Channel,
    sandbox: &Sandbox,
    id: &str,
    answer: serde_json::Value,
) -> Told {
    let order = Order::sale(id, 100);
    sandbox.add_fault(order.rule(json!({ "status": 200, "body": answer }))).unwrap();
    refused(buy(channel, &order).await)
}

#[tokio::test]
async fn fields_qiwi_finds_wrong_are_named_as_callers_know_them() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let errors = json!([
        { "field": "pan", "message": "length of [pan] cannot be less than 13, is 4111111111111111" },
        { "field": "email", "message": "x" },
        { "field": "something_new", "message": "y" },
    ]);
    for code in [8019, 8024] {
        let answer =
            json!({ "error_code": code, "error_message": "Validation errors", "errors": errors });
        let told = told_by_qiwi(&channel, &sandbox, &format!("f{code}"), answer).await;
        assert_eq!((told.code, &*told.reason), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert_eq!(told.fields(), ["instrument.card.pan", "customer.email", "something_new"]);
        assert!(!told.everything.contains("4111111111111111"));
    }
    // Without fields it is the gateway's own mistake.
    let answer = json!({ "error_code": 8019, "error_message": "Validation errors" });
    let told = told_by_qiwi(&channel, &sandbox, "f0", answer).await;
    assert_eq!((told.code, &*told.reason), (Code::Internal, "GATEWAY_PROTOCOL_BUG"));
}

/// Every row of the contract's table, for codes that come without a transaction.
#[tokio::test]
async fn every_code_of_qiwi_has_its_reason() {
    use Code::*;
    let rows: &[(&[u32], Code, &str)] = &[
        (&[8006], InvalidArgument, "CARD_DETAILS_INVALID"),
        (&[8008], InvalidArgument, "REQUEST_INVALID"),
        (&[8028], InvalidArgument, "CARD_EXPIRED"),
        (&[8022], NotFound, "TRANSACTION_NOT_FOUND"),
        (&[8021], NotFound, "MERCHANT_SITE_NOT_FOUND"),
        (&[8025], PermissionDenied, "OPERATION_FORBIDDEN"),
        (&[8051], PermissionDenied, "MERCHANT_DISABLED"),
        (&[8058], PermissionDenied, "ACCESS_DENIED"),
        (&[8054], Unauthenticated, "SIGNATURE_REJECTED"),
        (&[8002], FailedPrecondition, "OPERATION_UNSUPPORTED"),
        (&[8005], FailedPrecondition, "ROUTE_NOT_FOUND"),
        (&[8023], FailedPrecondition, "THREEDS_EXPIRED"),
        (&[8026, 8027, 8052], FailedPrecondition, "TRANSACTION_STATE_INVALID"),
        (&[8151], FailedPrecondition, "THREEDS_FAILED"),
        (&[8020, 8060, 8070], FailedPrecondition, "AMOUNT_EXCEEDS_ALLOWED"),
        (&[8059], InvalidArgument, "CURRENCY_NOT_ALLOWED"),
        (&[8061], InvalidArgument, "CURRENCY_MISMATCH"),
        (&[8055], AlreadyExists, "ORDER_ALREADY_PAID"),
        (&[8056, 8057], Aborted, "OPERATION_IN_PROGRESS"),
        (&[8069], ResourceExhausted, "TEST_QUOTA_EXCEEDED"),
        (&[8018, 8019, 8024], Internal, "GATEWAY_PROTOCOL_BUG"),
        (&[8001, 8004, 8062, 8154], Aborted, "UPSTREAM_TECHNICAL"),
        (
            &[8152, 8160, 8161, 8162, 8163, 8164, 8165, 8166, 8167, 8168, 8169, 8170],
            FailedPrecondition,
            "TRANSACTION_DECLINED",
        ),
        (&[8153, 8171], FailedPrecondition, "REATTEMPT_FORBIDDEN"),
    ];
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    for code in qiwi_gateway::error::acquiring::CODES {
        let number = u32::try_from(code.number).unwrap();
        assert!(rows.iter().any(|(codes, ..)| codes.contains(&number)), "{number}");
    }
    let all = rows
        .iter()
        .flat_map(|(codes, code, reason)| codes.iter().map(move |of| (*of, code, reason)));
    for (number, code, reason) in all {
        let order = Order::sale(format!("code-{number}"), 100);
        sandbox.add_fault(order.rule(json!({ "error_code": number }))).unwrap();
        // Technical codes and orders that are paid already take a second look.
        let begun = tokio::time::Instant::now();
        let told = loop {
            let told = refused(buy(&channel, &order).await);
            if told.reason != "PAYMENT_OUTCOME_UNKNOWN" {
                break told;
            }
            assert!([8001, 8004, 8062, 8154, 8055].contains(&number), "{number}");
            assert_eq!(told.info("upstreamCode"), Some(&*number.to_string()));
            assert!(begun.elapsed() < judge::PATIENCE);
        };
        assert_eq!((told.code, &*told.reason), (*code, *reason), "{number}");
        assert_eq!(told.info("upstreamCode"), Some(&*number.to_string()));
        assert!(told.localized().is_some_and(|text| !text.is_empty()), "{number}");
        assert_eq!((order.facts(&sandbox).good, order.posts(&sandbox)), (0, 1), "{number}");
    }
}

#[tokio::test]
async fn reads_tell_technical_codes_as_what_passes() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    sandbox
        .add_fault(json!({ "match": { "opcode": 30 }, "fault": { "error_code": 8001 } }))
        .unwrap();
    let request = pb::GetStatusRequest { order_id: "x".into(), ..Default::default() };
    let rpc = "qiwi.pay.v1.AcquiringService/GetStatus";
    let outcome = Ask::with(SHOP).raw(&channel, rpc, request.encode_to_vec()).await;
    assert_eq!(refused(outcome).code, Code::Unavailable);
    sandbox.clear_faults();
    assert!(status(&channel, "x").await.is_empty(), "no such order is an empty list");
}

/// Paths of the contract that errors name are there.
#[test]
fn every_field_that_errors_name_is_in_the_contract() {
    let pool =
        prost_reflect::DescriptorPool::decode(qiwi_gateway::pb::FILE_DESCRIPTOR_SET).unwrap();
    let service = pool.get_service_by_name("qiwi.pay.v1.AcquiringService").unwrap();
    let requests: Vec<_> = service.methods().map(|method| method.input()).collect();
    let exists = |message: &prost_reflect::MessageDescriptor, path: &str| {
        let mut message = Some(message.clone());
        path.split('.').all(|name| {
            let field = message.as_ref().and_then(|of| of.get_field_by_name(name));
            message = field.as_ref().and_then(|field| field.kind().as_message().cloned());
            field.is_some()
        })
    };
    for (parameter, path) in qiwi_gateway::error::acquiring::FIELDS {
        assert!(requests.iter().any(|request| exists(request, path)), "{parameter}: {path}");
    }
}
