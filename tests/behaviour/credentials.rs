//! Named and lent credentials, the callers' policy, and secrets that are replaced while calls run.

use std::path::Path;
use std::time::Duration;

use qiwi_gateway::config::{CallerConfig, CredentialConfig, Poll, Variable};
use qiwi_gateway::credentials::{Group, Kind, Wallet};
use qiwi_gateway::pb::wallet::v1 as pb;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::*;

async fn balances(channel: &Channel, metadata: &[(&str, &str)]) -> Result<(), Told> {
    let request = pb::ListBalancesRequest { wallet: WALLET.to_owned(), ..fresh_balances() };
    let ask = Ask::with(metadata);
    let reply = ask.unary::<_, pb::ListBalancesResponse>(channel, BALANCES, request).await;
    reply.map(|_| ()).map_err(|status| told(&status))
}

#[track_caller]
fn refused(outcome: Result<(), Told>, code: Code, reason: &str) -> Told {
    let told = outcome.expect_err(reason);
    assert_eq!((told.code, &*told.reason), (code, reason));
    assert_eq!(told.info("upstreamSent"), Some("no"), "{reason}");
    told
}

#[tokio::test]
async fn a_call_names_a_credential_or_brings_a_token_and_exactly_one_of_them() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let named = ("x-qiwi-credential", "main");
    let lent = ("authorization", "Bearer lent-token");
    balances(&channel, &[named]).await.unwrap();
    balances(&channel, &[lent]).await.unwrap();
    balances(&channel, &[("authorization", "bearer  lent-token ")]).await.unwrap();
    let tokens: Vec<_> = fake.seen().iter().map(|seen| seen.token().unwrap().to_owned()).collect();
    assert_eq!(tokens, [TOKEN, "lent-token", "lent-token"]);

    let unauthenticated = Code::Unauthenticated;
    refused(balances(&channel, &[]).await, unauthenticated, "CREDENTIAL_MISSING");
    let both = balances(&channel, &[named, lent]).await;
    refused(both, Code::InvalidArgument, "CREDENTIAL_AMBIGUOUS");
    let unknown = balances(&channel, &[("x-qiwi-credential", "nobody")]).await;
    let unknown = refused(unknown, unauthenticated, "CREDENTIAL_UNKNOWN");
    assert!(!unknown.everything.contains("nobody"), "the message has no values of the caller");
    for bad in ["lent-token", "Basic bGVudA==", "Bearer", "Bearer ", "Bearer two words"] {
        let outcome = balances(&channel, &[("authorization", bad)]).await;
        refused(outcome, unauthenticated, "CREDENTIAL_INVALID");
    }
    assert_eq!(fake.count(), 3);
}

#[tokio::test]
async fn pass_through_can_be_switched_off() {
    let fake = Fake::always(balance_answer()).await;
    let gateway =
        Setup::new(&fake).set(|config| config.security.pass_through = false).start().await;
    let channel = gateway.channel().await;
    let lent = balances(&channel, &[("authorization", "Bearer lent-token")]).await;
    refused(lent, Code::PermissionDenied, "PASS_THROUGH_DISABLED");
    assert_eq!(fake.count(), 0);
    balances(&channel, MAIN).await.unwrap();
}

#[tokio::test]
async fn nothing_of_a_callers_metadata_reaches_qiwi() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let metadata = [
        MAIN[0],
        ("x-request-id", "request-17"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("baggage", "customer=17"),
        ("cookie", "session=17"),
        ("x-own", "17"),
    ];
    balances(&channel, &metadata).await.unwrap();
    let seen = &fake.seen()[0];
    let mut names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "authorization", "host", "user-agent"]);
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert_eq!(seen.header("authorization"), Some("Bearer token-of-main"));
    assert!(seen.header("user-agent").unwrap().starts_with("qiwi-gateway/"));
}

fn caller(key: &str, credentials: &[&str], groups: &[Group], pass_through: bool) -> CallerConfig {
    CallerConfig {
        key_env: Some(Variable(key.to_owned())),
        credentials: credentials.iter().map(|name| (*name).to_owned()).collect(),
        groups: groups.to_vec(),
        pass_through,
        ..CallerConfig::default()
    }
}

#[tokio::test]
async fn with_a_callers_policy_nobody_gets_more_than_it_grants() {
    let fake = Fake::always(balance_answer()).await;
    let mut setup =
        Setup::new(&fake).credential("other", Kind::Wallet, Some(WALLET), "token-of-other");
    for (name, caller) in [
        ("reader", caller("KEY_READER", &["main"], &[Group::Read], false)),
        ("payer", caller("KEY_PAYER", &["*"], &[Group::Pay], false)),
        ("lender", caller("KEY_LENDER", &["other"], &[Group::Read], true)),
    ] {
        setup.config.callers.insert(name.to_owned(), caller);
        setup.env.insert(format!("KEY_{}", name.to_uppercase()), format!("key-of-the-{name}"));
    }
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    let key = |name: &'static str| ("x-qiwi-caller-key", name);
    let main = MAIN[0];
    let other = ("x-qiwi-credential", "other");
    let lent = ("authorization", "Bearer lent-token");

    balances(&channel, &[key("key-of-the-reader"), main]).await.unwrap();
    balances(&channel, &[key("key-of-the-lender"), other]).await.unwrap();
    balances(&channel, &[key("key-of-the-lender"), lent]).await.unwrap();
    assert_eq!(fake.count(), 3);

    refused(balances(&channel, &[main]).await, Code::Unauthenticated, "CALLER_UNKNOWN");
    for wrong in ["", "key-of-the-reade", "reader"] {
        let outcome = balances(&channel, &[key(wrong), main]).await;
        refused(outcome, Code::Unauthenticated, "CALLER_UNKNOWN");
    }
    for metadata in [
        [key("key-of-the-reader"), other],
        [key("key-of-the-reader"), lent],
        // May pay, but may not read.
        [key("key-of-the-payer"), main],
        [key("key-of-the-lender"), main],
        // Whether a credential exists is not told to those who may not use it.
        [key("key-of-the-reader"), ("x-qiwi-credential", "nobody")],
    ] {
        let outcome = balances(&channel, &metadata).await;
        refused(outcome, Code::PermissionDenied, "CALLER_NOT_ALLOWED");
    }
    assert_eq!(fake.count(), 3);
    let summary = &gateway.summaries()[0];
    assert_eq!((&summary["caller"], &summary["credential"]), (&"reader".into(), &"main".into()));
    assert!(!gateway.log().contains("key-of-the"), "keys are not logged");
}

/// A gateway whose credential `main` is read from a file.
async fn from_file(fake: &Fake, file: &Path) -> Gateway {
    let mut setup = Setup::at(&fake.url());
    let credential = CredentialConfig {
        kind: Kind::Wallet,
        wallet: Wallet::parse(WALLET),
        token_file: Some(file.to_owned()),
        poll: Poll::Off,
        ..CredentialConfig::default()
    };
    setup.config.credentials.insert("main".to_owned(), credential);
    setup.start().await
}

#[tokio::test]
async fn a_token_replaced_under_load_fails_no_call() {
    let file = process::folder("swap").join("token");
    process::replace(&file, "first-token\n");
    let fake = Fake::always(balance_answer()).await;
    let gateway = from_file(&fake, &file).await;
    let channel = gateway.channel().await;
    let load = (0..8).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move {
            for _ in 0..40 {
                balances(&channel, MAIN).await.expect("no call fails");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    });
    let load: Vec<_> = load.collect();
    until("the load runs", || fake.count() > 40).await;
    // QIWI allows one token per wallet: the new one blocks the old at once.
    process::replace(&file, "second-token");
    fake.now(|seen| match seen.token() {
        Some("second-token") => balance_answer(),
        _ => Answer::new(401, ""),
    });
    for worker in load {
        worker.await.unwrap();
    }
    assert!(fake.count_of("second-token") > 100);
    let last = fake.seen().last().unwrap().token().map(str::to_owned);
    assert_eq!(last.as_deref(), Some("second-token"));
}

#[tokio::test]
async fn a_download_goes_on_with_the_new_token_as_well() {
    let file = process::folder("download").join("token");
    process::replace(&file, "first-token");
    let fake = Fake::by(|seen| match seen.token() {
        Some("second-token") => Answer::with(200, &[], samples::PDF),
        _ => Answer::new(401, ""),
    })
    .await;
    let gateway = from_file(&fake, &file).await;
    let channel = gateway.channel().await;
    process::replace(&file, "second-token");
    let receipt = samples::of("qiwi.wallet.v1.HistoryService/DownloadReceipt");
    let stream = Ask::with(MAIN).stream(&channel, receipt.rpc, receipt.request).await;
    stream.unwrap().into_inner().message().await.unwrap().expect("a header");
    assert_eq!((fake.count_of("first-token"), fake.count_of("second-token")), (1, 1));
}

#[tokio::test]
async fn a_new_token_is_used_without_waiting_for_a_refusal() {
    let file = process::folder("poll").join("token");
    process::replace(&file, "first-token");
    let fake = Fake::always(balance_answer()).await;
    let gateway = from_file(&fake, &file).await;
    let channel = gateway.channel().await;
    balances(&channel, MAIN).await.unwrap();
    process::replace(&file, "second-token");
    let renewed = async {
        while fake.count_of("second-token") == 0 {
            balances(&channel, MAIN).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    // Files are looked at every five seconds.
    tokio::time::timeout(Duration::from_secs(8), renewed).await.expect("the new token is used");
    // A file that became unusable leaves the last good token in use.
    process::replace(&file, "");
    balances(&channel, MAIN).await.unwrap();
    assert!(!gateway.log().contains("second-token"));
}

#[tokio::test]
async fn a_token_that_qiwi_keeps_rejecting_is_held_back() {
    let fake = Fake::always(Answer::new(401, "")).await;
    let gateway = Setup::new(&fake)
        .credential("other", Kind::Wallet, Some("79990000002"), "token-of-other")
        .start()
        .await;
    let channel = gateway.channel().await;
    for _ in 0..3 {
        let told = balances(&channel, MAIN).await.unwrap_err();
        assert_eq!((told.code, &*told.reason), (Code::Unauthenticated, "TOKEN_REJECTED"));
        assert_eq!(told.info("upstreamSent"), Some("yes"));
    }
    for _ in 0..5 {
        refused(balances(&channel, MAIN).await, Code::Unauthenticated, "TOKEN_REJECTED");
    }
    assert_eq!(fake.count(), 3);
    fake.now_always(balance_answer());
    balances(&channel, &[("x-qiwi-credential", "other")]).await.expect("other tokens go on");
}

#[tokio::test]
async fn the_wallet_of_a_token_is_asked_for_once() {
    let fake = Fake::by(|seen| match seen.path() {
        "/person-profile/v1/profile/current" => {
            Answer::json(r#"{"contractInfo":{"contractId":79995550011}}"#)
        }
        _ => balance_answer(),
    })
    .await;
    let gateway =
        Setup::at(&fake.url()).credential("main", Kind::Wallet, None, TOKEN).start().await;
    let channel = gateway.channel().await;
    for _ in 0..3 {
        let ask = Ask::with(MAIN);
        let reply = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances());
        reply.await.unwrap();
    }
    let paths: Vec<_> = fake.seen().iter().map(|seen| seen.path().to_owned()).collect();
    let balances = "/funding-sources/v2/persons/79995550011/accounts";
    assert_eq!(paths, ["/person-profile/v1/profile/current", balances, balances, balances]);
}

#[tokio::test]
async fn a_wallet_is_digits_and_nothing_that_could_change_the_path() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    for wallet in
        ["../../x", "7999000000a", "123", "1234567890123456", "7999 0000001", "79990000001/x"]
    {
        let request = pb::ListBalancesRequest { wallet: wallet.to_owned(), ..fresh_balances() };
        let ask = Ask::with(MAIN);
        let reply = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, request).await;
        let told = told(&reply.unwrap_err());
        assert_eq!((&*told.reason, told.fields()), ("REQUEST_INVALID", vec!["wallet".into()]));
        assert!(!told.everything.contains(wallet), "{wallet}");
    }
    assert_eq!(fake.count(), 0);
    let request = pb::ListBalancesRequest { wallet: "+79990000009".to_owned(), ..fresh_balances() };
    let ask = Ask::with(MAIN);
    ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, request).await.unwrap();
    assert!(fake.seen()[0].target.contains("/persons/79990000009/"));
}
