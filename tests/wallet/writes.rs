//! Writes that are no payment: sent how often, told how, and what they make the gateway forget.

use std::time::Duration;

use qiwi_gateway::config::CallerConfig;
use qiwi_gateway::credentials::Group;
use qiwi_gateway::operations;
use qiwi_gateway::pb::wallet::v1 as pb;
use qiwi_gateway::policy::Class;
use tonic::Code;

use crate::support::*;

const CREATE: &str = "qiwi.wallet.v1.BalanceService/CreateBalance";
const REGISTER: &str = "qiwi.wallet.v1.WebhookService/RegisterWebhook";
const ACTIVE: &str = "qiwi.wallet.v1.WebhookService/GetActiveWebhook";
const KEY: &str = "qiwi.wallet.v1.WebhookService/GetWebhookKey";
const ROTATE: &str = "qiwi.wallet.v1.WebhookService/RotateWebhookKey";
const DETECT: &str = "qiwi.wallet.v1.ProviderService/DetectMobileProvider";
const SECRET: &str = "L8UVF3JkLVUr6r70LiE0A9/5WoGGwWKG2pI/e+l/9fs=";

/// Every write that has a row, with its class.
fn writes() -> Vec<(samples::Sample, Class)> {
    // What the gateway answers by itself is told elsewhere.
    let sent = operations::all().iter().filter(|row| row.policy.route.is_some());
    let all = sent.map(|row| (row.policy.rpc, row.policy.class));
    let writes: Vec<_> = all
        .filter(|(_, class)| matches!(class, Class::Write | Class::Once))
        .map(|(rpc, class)| (samples::of(rpc), class))
        .collect();
    assert!(writes.len() >= 10);
    writes
}

async fn fails(gateway: &Gateway, rpc: &str, request: Vec<u8>) -> Told {
    let channel = gateway.channel().await;
    let reply = Ask::with(opening(rpc)).raw(&channel, rpc, request).await;
    told(&reply.expect_err(rpc))
}

#[tokio::test]
async fn a_write_that_may_have_been_executed_says_so_and_only_an_idempotent_one_is_repeated() {
    let fake = Fake::always(Answer::json("{}")).await;
    let brisk = |config: &mut qiwi_gateway::config::Config| {
        config.upstream.attempt_timeout = Duration::from_millis(120);
    };
    let gateway = Setup::new(&fake).set(brisk).start().await;
    let answers = [
        ("a broken connection", Answer::raw("").and_close(), None, 2),
        ("silence", Answer::json("{}").after(Duration::from_millis(400)), None, 2),
        ("500", Answer::new(500, ""), Some("500"), 1),
        ("503", Answer::new(503, ""), Some("503"), 2),
        ("text", Answer::new(200, "<html>"), Some("200"), 1),
    ];
    for (sample, class) in writes() {
        let method = operations::find(&format!("/{}", sample.rpc)).unwrap();
        let route = method.policy.route.as_ref().unwrap();
        // A look at the state that may follow is no attempt of the write.
        let sent = || fake.seen().iter().filter(|seen| seen.method == route.verb.as_str()).count();
        for (what, answer, status, repeated) in &answers {
            fake.now_always(answer.clone());
            let before = sent();
            let told = fails(&gateway, sample.rpc, sample.request.clone()).await;
            let what = format!("{} after {what}", sample.rpc);
            assert_eq!(told.reason, "WRITE_OUTCOME_UNKNOWN", "{what}");
            assert_eq!(told.code, Code::DeadlineExceeded, "{what}");
            assert_eq!(told.info("upstreamSent"), Some("unknown"), "{what}");
            assert_eq!(told.info("httpStatus"), *status, "{what}");
            assert_eq!((told.retry(), told.pushback), (None, Some(-1)), "{what}");
            let expected = if class == Class::Write { *repeated } else { 1 };
            assert_eq!(sent() - before, expected, "{what}");
        }
    }
}

#[tokio::test]
async fn the_end_of_the_callers_time_leaves_the_outcome_open() {
    let fake = Fake::always(Answer::json("{}").after(Duration::from_secs(2))).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let sample = samples::of(CREATE);
    let ask = Ask::with(MAIN).within(Duration::from_millis(700));
    let told = told(&ask.raw(&channel, CREATE, sample.request).await.expect_err("too slow"));
    assert_eq!(told.reason, "WRITE_OUTCOME_UNKNOWN");
    assert_eq!((told.info("upstreamSent"), told.info("attempts")), (Some("unknown"), Some("1")));
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_write_that_did_not_leave_is_tried_again_and_told_as_such() {
    let nobody = fake::nobody().await;
    let gateway = Setup::at(&format!("http://{nobody}")).both().start().await;
    for (sample, _) in writes() {
        let told = fails(&gateway, sample.rpc, sample.request).await;
        assert_eq!(told.reason, "UPSTREAM_UNREACHABLE", "{}", sample.rpc);
        assert_eq!(told.info("upstreamSent"), Some("no"));
        assert_eq!(told.info("attempts"), Some("2"), "{}", sample.rpc);
    }
}

#[tokio::test]
async fn a_plain_refusal_of_a_write_is_no_open_outcome() {
    let fake = Fake::always(Answer::new(400, "")).await;
    let gateway = Setup::new(&fake).start().await;
    for (sample, _) in writes() {
        let told = fails(&gateway, sample.rpc, sample.request).await;
        assert_eq!(told.reason, "UPSTREAM_INVALID_REQUEST", "{}", sample.rpc);
        assert_eq!(told.info("upstreamSent"), Some("yes"));
    }
}

#[tokio::test]
async fn every_success_status_counts_whatever_the_body() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let silent = [CREATE, "qiwi.wallet.v1.BalanceService/SetDefaultBalance"];
    for rpc in silent {
        for (status, body) in [(200, ""), (201, ""), (202, "{}"), (204, "")] {
            fake.now_always(Answer::new(status, body));
            let reply = Ask::with(MAIN).raw(&channel, rpc, samples::of(rpc).request).await;
            assert!(!reply.unwrap().into_inner().is_empty(), "{rpc} after {status}");
        }
    }
    let seen = fake.seen();
    let first = &seen[0];
    assert_eq!(first.method, "POST");
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(&first.body[..], br#"{"alias":"qw_wallet_eur"}"#);
    assert_eq!(seen[4].method, "PATCH");
    assert_eq!(&seen[4].body[..], br#"{"defaultAccount":true}"#);
}

#[tokio::test]
async fn a_change_makes_the_next_read_ask_again_also_when_its_outcome_is_open() {
    let fake = Fake::by(|seen| match seen.method.as_str() {
        "GET" => balance_answer(),
        _ => Answer::new(201, ""),
    })
    .await;
    let gateway = Setup::new(&fake)
        .set(|config| config.cache.balance = Duration::from_secs(30))
        .start()
        .await;
    let channel = gateway.channel().await;
    let read = async || {
        let reply = Ask::with(MAIN).raw(&channel, BALANCES, Vec::new()).await.unwrap();
        reply.metadata().get("x-qiwi-cache").unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!((read().await.as_str(), read().await.as_str()), ("miss", "hit"));
    Ask::with(MAIN).raw(&channel, CREATE, samples::of(CREATE).request).await.unwrap();
    assert_eq!((read().await.as_str(), read().await.as_str()), ("miss", "hit"));
    fake.now(|seen| match seen.method.as_str() {
        "GET" => balance_answer(),
        _ => Answer::new(500, ""),
    });
    fails(&gateway, CREATE, samples::of(CREATE).request).await;
    assert_eq!((read().await.as_str(), read().await.as_str()), ("miss", "hit"));
    fake.now(|seen| match seen.method.as_str() {
        "GET" => balance_answer(),
        _ => Answer::new(400, ""),
    });
    fails(&gateway, CREATE, samples::of(CREATE).request).await;
    assert_eq!(read().await, "hit", "a refusal changed nothing");
}

#[tokio::test]
async fn a_refused_registration_is_explained_by_the_active_webhook() {
    let fake = Fake::always(Answer::new(422, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let active = samples::of(ACTIVE).reply.unwrap();
    let rows = [
        (200, active, "WEBHOOK_ALREADY_ACTIVE", Code::AlreadyExists),
        (404, "", "WEBHOOK_PARAMS_INVALID", Code::InvalidArgument),
        (403, "", "UPSTREAM_REJECTED", Code::FailedPrecondition),
    ];
    for (status, body, reason, code) in rows {
        fake.now(move |seen| match seen.method.as_str() {
            "PUT" => Answer::new(422, ""),
            _ => Answer::new(status, body),
        });
        let before = fake.count();
        let told = fails(&gateway, REGISTER, samples::of(REGISTER).request).await;
        assert_eq!((told.reason.as_str(), told.code), (reason, code));
        assert_eq!(told.info("httpStatus"), Some("422"));
        assert_eq!(told.info("upstreamSent"), Some("yes"));
        let asked: Vec<_> = fake.seen()[before..].iter().map(|seen| seen.target.clone()).collect();
        assert_eq!(
            asked,
            [
                "/payment-notifier/v1/hooks?hookType=1&param=https%3A%2F%2Fshop.example%2Fhook&txnType=2",
                "/payment-notifier/v1/hooks/active",
            ]
        );
    }
    let long = pb::RegisterWebhookRequest {
        url: format!("https://shop.example/{}", "x".repeat(100)),
        transaction_type: pb::WebhookTransactionType::Both.into(),
    };
    let before = fake.count();
    let told = fails(&gateway, REGISTER, prost::Message::encode_to_vec(&long)).await;
    assert_eq!((told.reason.as_str(), told.fields()), ("REQUEST_INVALID", vec!["url".to_owned()]));
    assert_eq!((fake.count(), told.info("upstreamSent")), (before, Some("no")));
}

#[tokio::test]
async fn a_webhook_key_is_revealed_on_demand_and_stays_out_of_logs() {
    let fake = Fake::always(Answer::new(201, format!(r#"{{"key":"{SECRET}"}}"#))).await;
    let gateway = Setup::new(&fake).log_all().start().await;
    let channel = gateway.channel().await;
    let webhook_id = "d63a8729-f5c8-486f-907d-9fb8758afcfc".to_owned();
    let mut prints = Vec::new();
    for (reveal_key, key) in [(false, None), (true, Some(SECRET.to_owned()))] {
        let request = pb::GetWebhookKeyRequest { webhook_id: webhook_id.clone(), reveal_key };
        let ask = Ask::with(MAIN);
        let got = ask.unary::<_, pb::GetWebhookKeyResponse>(&channel, KEY, request).await.unwrap();
        assert!(got.metadata().get("x-qiwi-cache").is_none());
        let got = got.into_inner().webhook_key.unwrap();
        assert_eq!(got.key, key);
        let request = pb::RotateWebhookKeyRequest { webhook_id: webhook_id.clone(), reveal_key };
        let made = ask.unary::<_, pb::RotateWebhookKeyResponse>(&channel, ROTATE, request).await;
        let made = made.unwrap().into_inner().webhook_key.unwrap();
        assert_eq!(made.key, key);
        prints.extend([got.fingerprint, made.fingerprint]);
    }
    assert_eq!(fake.count(), 4, "never kept");
    assert!(prints.iter().all(|print| print.len() == 32 && *print == prints[0]));
    let log = gateway.log();
    assert!(log.contains("GetWebhookKey"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains("L8UVF3"), "{log}");
    // An answer that cannot be read is not quoted either.
    fake.now_always(Answer::new(201, format!(r#"{{"key":["{SECRET}"]}}"#)));
    let told = fails(&gateway, KEY, samples::of(KEY).request).await;
    assert_eq!(told.reason, "UPSTREAM_MALFORMED");
    assert!(!told.everything.contains(SECRET) && !gateway.log().contains(SECRET));
}

#[tokio::test]
async fn keys_are_for_the_admin_group_and_changes_for_the_pay_group() {
    let fake = Fake::always(Answer::new(400, "")).await;
    let mut setup = Setup::new(&fake);
    for (name, groups) in
        [("reader", vec![Group::Read]), ("payer", vec![Group::Pay]), ("keeper", vec![Group::Admin])]
    {
        let variable = format!("KEY_OF_{name}");
        setup.env.insert(variable.clone(), format!("caller-key-of-{name}"));
        let caller = CallerConfig {
            key_env: Some(qiwi_gateway::config::Variable(variable)),
            credentials: vec!["*".to_owned()],
            groups,
            ..Default::default()
        };
        setup.config.callers.insert(name.to_owned(), caller);
    }
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    for (rpc, allowed) in
        [(KEY, "keeper"), (ROTATE, "keeper"), (CREATE, "payer"), (REGISTER, "payer")]
    {
        for name in ["reader", "payer", "keeper"] {
            let key = format!("caller-key-of-{name}");
            let ask = Ask::with(MAIN).and("x-qiwi-caller-key", &key);
            let reply = ask.raw(&channel, rpc, samples::of(rpc).request).await;
            let told = told(&reply.expect_err(rpc));
            let refused = told.reason == "CALLER_NOT_ALLOWED";
            assert_eq!(refused, name != allowed, "{rpc} by {name}: {told:?}");
        }
    }
}

#[tokio::test]
async fn ways_of_old_are_served_on_demand_without_a_token() {
    let fake = Fake::always(Answer::json(samples::of(DETECT).reply.unwrap())).await;
    let off = Setup::new(&fake).set(|config| config.upstream.legacy_operations = false);
    let gateway = off.start().await;
    let legacy = operations::all().iter().filter(|row| row.policy.legacy);
    let legacy: Vec<_> = legacy.map(|row| row.policy.rpc).collect();
    // Three of the wallet, four of QIWI PAY.
    assert_eq!(legacy.len(), 7);
    for rpc in legacy {
        let told = fails(&gateway, rpc, samples::of(rpc).request).await;
        assert_eq!((told.code, told.reason.as_str()), (Code::Unimplemented, "METHOD_UNKNOWN"));
    }
    assert_eq!(fake.count(), 0);
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    Ask::default().raw(&channel, DETECT, samples::of(DETECT).request).await.unwrap();
    let seen = fake.seen();
    let [asked] = &seen[..] else { panic!("one request: {seen:?}") };
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/mobile/detect.action"));
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(&asked.body[..], b"phone=79112223344");
    assert_eq!(asked.token(), None);
    fake.now_always(Answer::json(include_str!(
        "../fixtures/wallet/provider/undetected_operator.json"
    )));
    let other = pb::DetectMobileProviderRequest {
        phone_number: "79112223345".to_owned(),
        ..Default::default()
    };
    let told = fails(&gateway, DETECT, prost::Message::encode_to_vec(&other)).await;
    assert_eq!((told.code, told.reason.as_str()), (Code::NotFound, "PROVIDER_NOT_FOUND"));
}
