//! Callers of streams that lose a right, and a panic that stays where it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use qiwi_gateway::config::Config;
use qiwi_gateway::events::Retention;
use qiwi_gateway::state::MemoryLog;
use tonic::Code;

use super::shared::{Between, Point};
use super::*;

const SHOP: &str = "key-of-the-shop-0123456789";
const NEW: &str = "new-key-of-the-shop-0123456789";
const DESK: &str = "key-of-the-desk-0123456789";

const POLICY: &str = r#"
[credentials.main]
kind = "wallet"
wallet = "79990000001"
token_file = "DIR/token"
poll = "off"
[callers.shop]
key_file = "DIR/shop"
credentials = ["main"]
[callers.desk]
key_file = "DIR/desk"
credentials = ["*"]
"#;

/// Everything up to the end of a stream, which comes soon: heartbeats alone could go on for ever.
async fn soon(stream: Streaming<bytes::Bytes>) -> (Vec<pb::SubscribeResponse>, Option<Status>) {
    let end = tokio::time::timeout(Duration::from_secs(20), to_the_end(stream)).await;
    end.expect("the stream ends")
}

/// Whatever of a caller's rights goes, its streams go with it, and nobody else's.
#[tokio::test]
async fn a_caller_that_loses_key_or_right_loses_its_streams() {
    let without = |text: &'static str| POLICY.replace(text, "");
    let changes = [
        ("the key", None, None),
        (
            "the caller",
            Some(without("[callers.shop]\nkey_file = \"DIR/shop\"\ncredentials = [\"main\"]\n")),
            None,
        ),
        (
            "the group",
            Some(POLICY.replace("[\"main\"]\n", "[\"main\"]\ngroups = [\"pay\"]\n")),
            None,
        ),
        (
            "the service",
            Some(POLICY.replace(
                "[\"main\"]\n",
                "[\"main\"]\nservices = [\"qiwi.wallet.v1.BalanceService\"]\n",
            )),
            None,
        ),
        ("the credential", Some(POLICY.replace("[\"main\"]\n", "[]\npass_through = true\n")), None),
        // What it still may is enough for one that needs less.
        (
            "nothing",
            Some(POLICY.replace("[\"main\"]\n", "[\"*\"]\ngroups = [\"read\", \"pay\"]\n")),
            Some(()),
        ),
    ];
    for (what, policy, stays) in changes {
        let folder = process::folder("policy");
        let write = |name: &str, text: &str| process::replace(&folder.join(name), text);
        write("shop", SHOP);
        write("desk", DESK);
        write("token", TOKEN);
        let at = |text: &str| text.replace("DIR", folder.to_str().unwrap());
        write("gateway.toml", &at(POLICY));
        let file = folder.join("gateway.toml");
        let read = Config::load(Some(&file), std::iter::empty()).unwrap();
        let fake = Fake::always(balance_answer()).await;
        let setup = Setup::at(&fake.url()).set(|config| {
            config.credentials = read.credentials;
            config.callers = read.callers;
            config.file = read.file;
            config.events.rights_check = Duration::from_millis(50);
            config.security.reload_interval = Duration::from_millis(20);
        });
        let gateway = setup.start().await;
        let channel = gateway.channel().await;
        fill(&gateway, WALLET, 0..1).await;
        let earliest = from(end_of_log(pb::LogAnchor::Earliest));
        let named = ("x-qiwi-credential", "main");
        let ask = |key: &'static str| Ask::with(&[("x-qiwi-caller-key", key), named]);
        let mut of_shop = subscribe(&channel, &ask(SHOP), &earliest).await.unwrap();
        let without = Ask::with(&[("x-qiwi-caller-key", SHOP)]);
        let mut of_all = subscribe(&channel, &without, &earliest).await.unwrap();
        let mut of_desk = subscribe(&channel, &ask(DESK), &earliest).await.unwrap();
        for stream in [&mut of_shop, &mut of_all, &mut of_desk] {
            assert_eq!(caught_up(stream).await.1.len(), 1);
        }
        match &policy {
            Some(policy) => write("gateway.toml", &at(policy)),
            None => {
                // Both keys for a while, then the new one alone.
                write("shop", &format!("{SHOP}\n{NEW}\n"));
                let begun = std::time::Instant::now();
                let mut stream = loop {
                    assert!(
                        begun.elapsed() < Duration::from_secs(20),
                        "the new key is never known"
                    );
                    match subscribe(&channel, &ask(NEW), &earliest).await {
                        Ok(stream) => break stream,
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                };
                caught_up(&mut stream).await;
                fill(&gateway, WALLET, 5..6).await;
                for stream in [&mut of_shop, &mut of_all, &mut of_desk, &mut stream] {
                    assert_eq!(next(stream).await.expect("no end").unwrap().events.len(), 1);
                }
                write("shop", NEW);
            }
        }
        if stays.is_none() {
            for stream in [of_shop, of_all] {
                let (_, status) = soon(stream).await;
                let told = ended(status);
                let expected = (Code::PermissionDenied, "CALLER_NOT_ALLOWED");
                assert_eq!((told.code, &*told.reason), expected, "{what}");
            }
        } else {
            let changed = ["source=\"configuration\"", "result=\"changed\""];
            let begun = std::time::Instant::now();
            while gateway.metric("qiwi_reload_total", &changed).await == 0 {
                assert!(begun.elapsed() < Duration::from_secs(20), "the policy is never in use");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            fill(&gateway, WALLET, 8..9).await;
            for stream in [&mut of_shop, &mut of_all] {
                let message = next(stream).await.expect("no end").unwrap();
                assert_eq!(message.events.len(), 1);
            }
        }
        if stays.is_none() {
            fill(&gateway, WALLET, 10..11).await;
        }
        let message = next(&mut of_desk).await.expect("no end").unwrap();
        assert_eq!(message.events.len(), 1, "{what}: others go on");
    }
}

/// A token passed through is asked for rarely, but the right to pass tokens through is looked at as
/// often as any other.
#[tokio::test]
async fn a_caller_that_may_pass_tokens_no_longer_loses_those_streams_soon() {
    let folder = process::folder("pass-through");
    let write = |name: &str, text: &str| process::replace(&folder.join(name), text);
    write("shop", SHOP);
    let policy = |may: bool| {
        let file = folder.join("shop");
        let file = file.to_str().unwrap();
        format!("[callers.shop]\nkey_file = \"{file}\"\npass_through = {may}\n")
    };
    write("gateway.toml", &policy(true));
    let file = folder.join("gateway.toml");
    let read = Config::load(Some(&file), std::iter::empty()).unwrap();
    let profile = format!(r#"{{"contractInfo":{{"contractId":{WALLET}}}}}"#);
    let fake = Fake::always(Answer::json(profile)).await;
    let setup = Setup::at(&fake.url()).set(|config| {
        config.callers = read.callers;
        config.file = read.file;
        config.events.rights_check = Duration::from_millis(50);
        config.security.reload_interval = Duration::from_millis(20);
    });
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    let lent = Ask::with(&[("x-qiwi-caller-key", SHOP), ("authorization", "Bearer lent")]);
    let earliest = from(end_of_log(pb::LogAnchor::Earliest));
    let mut stream = subscribe(&channel, &lent, &earliest).await.unwrap();
    caught_up(&mut stream).await;
    write("gateway.toml", &policy(false));
    let (_, status) = soon(stream).await;
    assert_eq!(ended(status).reason, "CALLER_NOT_ALLOWED");
}

/// Streams that began when everybody was let in end when there is a policy.
#[tokio::test]
async fn a_first_policy_ends_the_streams_of_nobody() {
    let folder = process::folder("first");
    let write = |name: &str, text: &str| process::replace(&folder.join(name), text);
    write("shop", SHOP);
    write("token", TOKEN);
    let at = |text: &str| text.replace("DIR", folder.to_str().unwrap());
    let open = POLICY.split("[callers").next().unwrap();
    write("gateway.toml", &at(open));
    let read = Config::load(Some(&folder.join("gateway.toml")), std::iter::empty()).unwrap();
    let fake = Fake::always(balance_answer()).await;
    let setup = Setup::at(&fake.url()).set(|config| {
        config.credentials = read.credentials;
        config.file = read.file;
        config.events.rights_check = Duration::from_millis(50);
        config.security.reload_interval = Duration::from_millis(20);
    });
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    let earliest = from(end_of_log(pb::LogAnchor::Earliest));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &earliest).await.unwrap();
    caught_up(&mut stream).await;
    let shop = POLICY.split("[callers.desk]").next().unwrap();
    write("gateway.toml", &at(shop));
    let (_, status) = soon(stream).await;
    assert_eq!(ended(status).reason, "CALLER_NOT_ALLOWED");
    let refused = subscribe(&channel, &Ask::with(MAIN), &earliest).await.unwrap_err();
    assert_eq!(told(&refused).reason, "CALLER_UNKNOWN");
}

/// A defect in one call is an error of that call: its connection, and everybody else, goes on.
#[tokio::test]
async fn a_panic_is_an_error_of_its_call_and_of_nothing_else() {
    let panics = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&panics);
    let memory: Arc<dyn qiwi_gateway::events::EventLog> =
        Arc::new(MemoryLog::new(Retention::DEFAULT));
    let log = Between {
        point: Some(Point::Get),
        reached: Box::new(move || {
            assert!(!armed.load(Ordering::SeqCst), "a secret 4890494900000000");
        }),
        ..Between::over(memory)
    };
    panics.store(true, Ordering::SeqCst);
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start_over(Arc::new(log)).await;
    let channel = gateway.channel().await;
    let request = pb::GetEventRequest { event_id: "00".repeat(16) };
    for _ in 0..3 {
        let reply = Ask::with(MAIN).raw(&channel, GET, request.encode_to_vec()).await;
        let told = told(&reply.unwrap_err());
        assert_eq!((told.code, &*told.reason), (Code::Internal, "GATEWAY_PANIC"));
        assert!(!told.everything.contains("4890"), "{}", told.everything);
        Ask::with(MAIN).raw(&channel, BALANCES, bytes::Bytes::new()).await.expect("others go on");
    }
    assert_eq!(gateway.metric("qiwi_panics_total", &[]).await, 3);
    assert_eq!(gateway.metric("qiwi_connections", &[]).await, 1, "the same connection");
    assert!(!gateway.log().contains("4890"));
}
