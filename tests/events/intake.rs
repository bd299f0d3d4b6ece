//! What is believed, what is refused, and what each costs.

use std::sync::Arc;
use std::time::Duration;

use qiwi_gateway::config::{Variable, Webhook};
use qiwi_gateway::credentials;
use qiwi_gateway::events::{Kind, Limit, Stored};

use super::letter::*;
use crate::support::*;

/// The gateway with a webhook it knows.
async fn listening(fake: &Fake, change: impl FnOnce(&mut qiwi_gateway::config::Config)) -> Gateway {
    let mut setup = Setup::new(fake).set(|config| {
        config.notifications.sources = vec!["any".to_owned()];
        let main = config.credentials.get_mut("main").unwrap();
        main.webhook = Webhook::Static;
        main.webhook_key_env = Some(Variable("HOOK_KEY".to_owned()));
        change(config);
    });
    setup.env.insert("HOOK_KEY".to_owned(), KEY.to_owned());
    let gateway = setup.start().await;
    let hub = gateway.hub();
    let hook = HOOK.parse().unwrap();
    hub.hooks.learn(&*hub.log, &hub.cipher, &Arc::from("main"), hook, KEY).await.unwrap();
    gateway
}

async fn events(gateway: &Gateway) -> Vec<Stored> {
    gateway.hub().log.read(0, Limit::events(1000)).await.unwrap()
}

async fn send(gateway: &Gateway, letter: &Letter) -> u16 {
    post(gateway.notifications(), "/notifications/wallet/main", &[], &letter.body()).await.0
}

#[tokio::test]
async fn a_payment_is_stored_once_however_often_it_comes() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let gateway = listening(&fake, |_| {}).await;
    let letter = Letter::incoming(1);
    let resent = Letter { message: uuid::Uuid::now_v7().to_string(), ..letter.clone() };
    for letter in [&letter, &letter, &resent, &letter] {
        assert_eq!(send(&gateway, letter).await, 200);
    }
    let waiting = Letter { status: "WAITING", ..Letter::incoming(1) };
    assert_eq!(send(&gateway, &waiting).await, 200);
    let events = events(&gateway).await;
    assert_eq!(events.len(), 2);
    assert_eq!((&*events[0].event.status, events[0].late), ("SUCCESS", false));
    assert_eq!((&*events[1].event.status, events[1].late), ("WAITING", true));
    assert_eq!(fake.count(), 0);
    let duplicates = gateway.metric("qiwi_events_duplicate_total", &[]).await;
    assert_eq!(duplicates, 3);
}

#[tokio::test]
async fn what_is_forged_is_refused_and_counted_and_costs_no_question() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let gateway = listening(&fake, |_| {}).await;
    let good = Letter::incoming(7);
    let body = good.body();
    let key = "b3RoZXIga2V5IG9mIHNvbWVib2R5IGVsc2UgaGVyZSE=";
    let forged = [
        (body.replace("\"amount\":1,", "\"amount\":1000,"), "signature_mismatch"),
        (body.replace("\"txnId\":\"7\"", "\"txnId\":\"8\""), "signature_mismatch"),
        (Letter { key, ..good.clone() }.body(), "signature_mismatch"),
        (body.replace("{\"messageId\"", "{\"hash\":\"00\",\"messageId\""), "duplicate_key"),
        (body.replace("\"hash\":\"", "\"other\":\""), "signature_missing"),
        ("{}".to_owned(), "malformed"),
        ("[1,2".to_owned(), "not_json"),
    ];
    for (body, reason) in &forged {
        let before = gateway.metric("qiwi_notifications_refused_total", &[reason]).await;
        let (status, _) =
            post(gateway.notifications(), "/notifications/wallet/main", &[], body).await;
        assert_eq!(status, 403, "{reason}");
        let after = gateway.metric("qiwi_notifications_refused_total", &[reason]).await;
        assert_eq!(after, before + 1, "{reason}");
    }
    // A list of our own with an old signature under it.
    let comment = Letter { comment: "643|1|IN|79161112233|7".to_owned(), ..good.clone() };
    let swapped = body.replace("sum.currency,sum.amount,type,account,txnId", "comment");
    assert_eq!(
        post(gateway.notifications(), "/notifications/wallet/main", &[], &swapped).await.0,
        403
    );
    assert_eq!(send(&gateway, &comment).await, 200);
    assert_eq!(events(&gateway).await.len(), 1);
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn a_message_that_says_something_else_the_second_time_is_not_believed() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let gateway = listening(&fake, |_| {}).await;
    let letter = Letter::incoming(1);
    assert_eq!(send(&gateway, &letter).await, 200);
    // The signature covers neither; whoever holds it could write them.
    for other in [
        Letter { comment: "for somebody else".to_owned(), ..letter.clone() },
        Letter { status: "ERROR", ..letter.clone() },
    ] {
        assert_eq!(send(&gateway, &other).await, 200, "a repeat would not help");
    }
    let events = events(&gateway).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event.status, "SUCCESS");
    assert_eq!(gateway.metric("qiwi_events_conflict_total", &[]).await, 2);
    assert!(gateway.log().contains("a delivery came again with another content"));
}

#[tokio::test]
async fn repeats_under_the_key_and_the_hook_before_are_good_for_a_while_and_make_one_event() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let grace = Duration::from_secs(2);
    let gateway = listening(&fake, |config| config.notifications.key_grace = grace).await;
    let (hub, name) = (gateway.hub(), Arc::from("main"));
    let other_key = "b3RoZXIga2V5IG9mIHNvbWVib2R5IGVsc2UgaGVyZSE=";
    let other_hook = uuid::Uuid::now_v7();
    let letter = Letter::incoming(1);
    assert_eq!(send(&gateway, &letter).await, 200);
    // The key changes, then the hook.
    let hook = HOOK.parse().unwrap();
    hub.hooks.learn(&*hub.log, &hub.cipher, &name, hook, other_key).await.unwrap();
    assert_eq!(send(&gateway, &letter).await, 200, "the old key");
    let new_key = Letter { key: other_key, ..Letter::incoming(1) };
    assert_eq!(send(&gateway, &new_key).await, 200, "the new key");
    hub.hooks.learn(&*hub.log, &hub.cipher, &name, other_hook, other_key).await.unwrap();
    assert_eq!(send(&gateway, &letter).await, 200, "the old hook");
    let new_hook = Letter { hook: other_hook.to_string(), ..new_key.clone() };
    assert_eq!(send(&gateway, &new_hook).await, 200, "the new hook");
    // What was in flight under the old ones comes for the first time.
    assert_eq!(send(&gateway, &Letter::incoming(2)).await, 200);
    assert_eq!(events(&gateway).await.len(), 2);
}

#[tokio::test]
async fn a_hook_nobody_knows_is_asked_for_once_and_is_to_come_again() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let gateway = listening(&fake, |_| {}).await;
    for txn in 0..20 {
        let letter = Letter { hook: uuid::Uuid::now_v7().to_string(), ..Letter::incoming(txn) };
        assert_eq!(send(&gateway, &letter).await, 503);
    }
    assert!(fake.count() <= 1, "{}", fake.count());
    // That something is missing may be told by now.
    let told = events(&gateway).await;
    assert!(told.iter().all(|of| of.event.kind == Kind::System), "{told:?}");
}

#[tokio::test]
async fn addresses_sources_sizes_and_methods_are_checked_first() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let gateway = listening(&fake, |config| {
        config.notifications.sources = vec!["192.0.2.0/24".to_owned()];
        config.notifications.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
        config.notifications.read_timeout = Duration::from_millis(300);
    })
    .await;
    let to = gateway.notifications();
    let body = Letter::incoming(1).body();
    let from = |address: &'static str| [("x-forwarded-for", address)];
    assert_eq!(post(to, "/notifications/wallet/main", &[], &body).await.0, 403);
    assert_eq!(post(to, "/notifications/wallet/main", &from("198.51.100.1"), &body).await.0, 403);
    // What a client writes itself stands left of what our proxy adds.
    assert_eq!(
        post(to, "/notifications/wallet/main", &from("192.0.2.9, 198.51.100.1"), &body).await.0,
        403
    );
    assert_eq!(
        post(to, "/notifications/wallet/main", &from("10.0.0.1, 192.0.2.9"), &body).await.0,
        200
    );
    for path in [
        "/notifications/wallet/other",
        "/notifications/p2p/main",
        "/notifications/wallet/main/guess",
        "/",
        "/wallet/main",
        "/notifications/wallet",
    ] {
        assert_eq!(post(to, path, &from("192.0.2.9"), &body).await.0, 404, "{path}");
    }
    let large = "x".repeat(70_000);
    assert_eq!(post(to, "/notifications/wallet/main", &from("192.0.2.9"), &large).await.0, 413);
    let (status, _) = http_get(to, "/notifications/wallet/main").await;
    assert_eq!(status, 405);
    assert_eq!(events(&gateway).await.len(), 1);
}

#[tokio::test]
async fn a_secret_address_is_needed_where_there_is_one() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let file = process::folder("path-secret").join("secret");
    std::fs::write(&file, "s3cret-of-the-path").unwrap();
    let gateway = listening(&fake, |config| {
        config.credentials.get_mut("main").unwrap().webhook_path_secret_file = Some(file);
    })
    .await;
    let to = gateway.notifications();
    let body = Letter::incoming(1).body();
    assert_eq!(post(to, "/notifications/wallet/main", &[], &body).await.0, 404);
    assert_eq!(post(to, "/notifications/wallet/main/s3cret-of-the-patH", &[], &body).await.0, 404);
    assert_eq!(post(to, "/notifications/wallet/main/s3cret-of-the-path", &[], &body).await.0, 200);
    assert!(!gateway.log().contains("s3cret"));
}

#[tokio::test]
async fn a_paid_bill_is_stored_and_answered_as_qiwi_wants() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let mut setup = Setup::new(&fake).credential(
        "shop",
        credentials::Kind::P2p,
        Some(WALLET),
        "secret-of-shop",
    );
    setup.config.notifications.sources = vec!["any".to_owned()];
    let gateway = setup.start().await;
    let body = r#"{"bill":{"siteId":"23044","billId":"1519892138404fhr7i272a2","amount":{"value":"100","currency":"RUB"},"status":{"value":"PAID","datetime":"2018-03-01T11:16:12"},"customer":{},"customFields":{},"creationDateTime":"2018-03-01T11:15:39","expirationDateTime":"2018-04-15T11:15:39+03"},"version":"1"}"#;
    let text = "RUB|100.00|1519892138404fhr7i272a2|23044|PAID";
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"secret-of-shop");
    let tag = ring::hmac::sign(&key, text.as_bytes());
    let hash: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let header = [("x-api-signature-sha256", hash.as_str())];
    let to = gateway.notifications();
    let (status, answer) = post(to, "/notifications/p2p/shop", &header, body).await;
    assert_eq!((status, answer.as_str()), (200, r#"{"error":"0"}"#));
    let wrong = [("x-api-signature-sha256", "00")];
    assert_eq!(post(to, "/notifications/p2p/shop", &wrong, body).await.0, 403);
    assert_eq!(post(to, "/notifications/p2p/shop", &[], body).await.0, 403);
    let events = events(&gateway).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event.status, "PAID");
}

#[tokio::test]
async fn a_thousand_at_once_are_all_answered_and_one_event() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let gateway = listening(&fake, |config| {
        config.notifications.store_timeout = Duration::from_secs(20);
    })
    .await;
    let to = gateway.notifications();
    let letter = Letter::incoming(1);
    let posts = (0..1000).map(|_| {
        let message = uuid::Uuid::now_v7().to_string();
        let body = Letter { message, ..letter.clone() }.body();
        async move { post(to, "/notifications/wallet/main", &[], &body).await.0 }
    });
    let answers =
        futures_util::stream::StreamExt::buffer_unordered(futures_util::stream::iter(posts), 200);
    let answers: Vec<u16> = futures_util::stream::StreamExt::collect(answers).await;
    assert!(answers.iter().all(|status| *status == 200));
    assert_eq!(events(&gateway).await.len(), 1);
}

#[tokio::test]
async fn nothing_of_a_notification_is_logged_or_kept_in_clear() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let folder = process::folder("sealed-log");
    let path = folder.clone();
    let gateway = listening(&fake, |config| {
        config.state.engine = qiwi_gateway::config::Engine::Embedded;
        config.state.path = path;
    })
    .await;
    let letter = Letter {
        account: "CANARYACCOUNT77".to_owned(),
        comment: "CANARYCOMMENT77".to_owned(),
        ..Letter::incoming(1)
    };
    assert_eq!(send(&gateway, &letter).await, 200);
    let log = gateway.stop().await.log;
    let marks = ["CANARYACCOUNT77", "CANARYCOMMENT77", WALLET, KEY];
    for mark in marks {
        assert!(!log.contains(mark), "{mark}");
        for file in std::fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(mark.len()).any(|part| part == mark.as_bytes());
            assert!(!found, "{mark} in {}", path.display());
        }
    }
}
