//! Webhooks the gateway looks after, as operators and callers see them: the real server in front of
//! a scripted upstream.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use qiwi_gateway::config::{BaseUrl, Variable, Webhook};
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::pb::admin::v1 as admin;
use qiwi_gateway::pb::admin::v1::CredentialWebhookState as State;
use qiwi_gateway::pb::wallet::v1 as pb;
use qiwi_gateway::sandbox::{Sandbox, SandboxConfig, demo};
use tonic::transport::Channel;

use crate::support::*;

const GET: &str = "qiwi.admin.v1.CredentialService/GetCredential";
const ACTIVE: &str = "qiwi.wallet.v1.WebhookService/GetActiveWebhook";
const ROTATE: &str = "qiwi.wallet.v1.WebhookService/RotateWebhookKey";
const HOOK: &str = "d63a8729-f5c8-486f-907d-9fb8758afcfc";
const KEY: &str = "L8UVF3JkLVUr6r70LiE0A9/5WoGGwWKG2pI/e+l/9fs=";
const NEW_KEY: &str = "OikS4/CcIbSf+yYGnLbnOige8RGoYmGxs/LNMwkJy7Q=";
const PATH_SECRET: &str = "canary-secret-of-the-path";
const PUBLIC: &str = "https://canary-host.example/qiwi";
/// Long, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// QIWI's side of one wallet's webhook.
#[derive(Default)]
struct Notifier {
    /// The address of the active hook.
    address: Mutex<Option<String>>,
    rotated: Mutex<bool>,
}

impl Notifier {
    fn answer(&self, seen: &Seen) -> Answer {
        let shown = |address: &str| {
            serde_json::json!({
                "hookId": HOOK, "hookParameters": { "url": address },
                "hookType": "WEB", "txnType": "BOTH",
            })
            .to_string()
        };
        let end = seen.path().trim_start_matches("/payment-notifier/v1/hooks");
        let mut active = self.address.lock();
        match (seen.method.as_str(), end) {
            ("PUT", "") => {
                let query = url::Url::parse(&format!("http://x{}", seen.target)).unwrap();
                let address = query.query_pairs().find(|(name, _)| name == "param").unwrap().1;
                *active = Some(address.to_string());
                Answer::json(shown(&address))
            }
            ("GET", "/test") => Answer::json(r#"{"response":"Webhook sent"}"#),
            (_, "/active") => match &*active {
                Some(address) => Answer::json(shown(address)),
                None => Answer::new(404, ""),
            },
            ("GET", _) if end.ends_with("/key") => {
                let key = if *self.rotated.lock() { NEW_KEY } else { KEY };
                Answer::new(201, format!(r#"{{"key":"{key}"}}"#))
            }
            ("POST", _) if end.ends_with("/newkey") => {
                *self.rotated.lock() = true;
                Answer::new(201, format!(r#"{{"key":"{NEW_KEY}"}}"#))
            }
            ("DELETE", _) => {
                *active = None;
                Answer::json(r#"{"response":"Hook deleted"}"#)
            }
            other => panic!("not foreseen: {other:?}"),
        }
    }
}

/// The secret of the address, in a file that goes with it.
struct Secret(PathBuf);

impl Secret {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("qiwi-hook-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, PATH_SECRET).unwrap();
        Self(path)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// `main` is looked after five times a second; `given` is the operator's own.
fn setup(url: &str, secret: &Secret) -> Setup {
    let mut setup = Setup::at(url)
        .credential("main", Kind::Wallet, Some(WALLET), TOKEN)
        .credential("given", Kind::Wallet, Some(WALLET), TOKEN)
        .set(|config| {
            config.notifications.public_url = BaseUrl::parse(PUBLIC);
            config.notifications.hook_check = Duration::from_millis(200);
            let main = config.credentials.get_mut("main").unwrap();
            main.webhook = Webhook::Managed;
            main.webhook_path_secret_file = Some(secret.0.clone());
            let given = config.credentials.get_mut("given").unwrap();
            given.webhook = Webhook::Static;
            given.webhook_key_env = Some(Variable("GIVEN".to_owned()));
        });
    setup.env.insert("GIVEN".to_owned(), KEY.to_owned());
    setup
}

async fn webhook(channel: &Channel, name: &str) -> admin::CredentialWebhook {
    let request = admin::GetCredentialRequest { name: name.to_owned() };
    let ask = Ask::default();
    let reply = ask.unary::<_, admin::GetCredentialResponse>(channel, GET, request);
    reply.await.unwrap().into_inner().credential.unwrap().webhook.unwrap()
}

/// Waits until the webhook of `main` is in a state.
async fn reaches(channel: &Channel, state: State) -> admin::CredentialWebhook {
    let began = Instant::now();
    loop {
        let webhook = webhook(channel, "main").await;
        if webhook.state() == state {
            return webhook;
        }
        assert!(began.elapsed() < PATIENCE, "never {state:?}: {webhook:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn count(fake: &Fake, method: &str) -> usize {
    fake.seen().iter().filter(|seen| seen.method == method).count()
}

#[tokio::test]
async fn a_hook_is_registered_again_when_it_vanishes_and_no_log_shows_its_address_or_keys() {
    let (secret, notifier) = (Secret::new(), std::sync::Arc::new(Notifier::default()));
    let script = std::sync::Arc::clone(&notifier);
    let fake = Fake::by(move |seen| script.answer(seen)).await;
    let gateway = setup(&fake.url(), &secret).log_all().start().await;
    let channel = gateway.channel().await;
    let told = reaches(&channel, State::Registered).await;
    assert_eq!(told.webhook_id.as_deref(), Some(HOOK));
    assert!(told.state_change_time.is_some() && told.last_check_time.is_some());
    let address = format!("{PUBLIC}/notifications/wallet/main/{PATH_SECRET}");
    assert_eq!(notifier.address.lock().as_deref(), Some(&*address));
    assert_eq!(gateway.metric("qiwi_webhook_up", &[r#"credential="main""#]).await, 1);
    let tests = fake.seen().iter().filter(|seen| seen.path().ends_with("/test")).count();
    assert_eq!((count(&fake, "PUT"), tests), (1, 1));

    *notifier.address.lock() = None;
    soon(PATIENCE, "registered again", async || notifier.address.lock().is_some()).await;
    assert_eq!(notifier.address.lock().as_deref(), Some(&*address));

    // A caller changes the key, and another one reads it.
    let rotate = pb::RotateWebhookKeyRequest { webhook_id: HOOK.to_owned(), reveal_key: true };
    let ask = Ask::with(MAIN);
    let made = ask.unary::<_, pb::RotateWebhookKeyResponse>(&channel, ROTATE, rotate).await;
    let made = made.unwrap().into_inner().webhook_key.unwrap();
    assert_eq!(made.key.as_deref(), Some(NEW_KEY));
    let looks = fake.count();
    soon(PATIENCE, "looked again", async || fake.count() > looks + 4).await;
    reaches(&channel, State::Registered).await;

    let metrics = gateway.metrics().await;
    let log = gateway.stop().await.log;
    assert!(log.contains("the webhook is registered and its key known"), "{log}");
    for canary in [PATH_SECRET, "canary-host", KEY, NEW_KEY, TOKEN] {
        assert!(!log.contains(canary) && !metrics.contains(canary), "{canary}");
    }
    let after = fake.count();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(fake.count(), after, "it ends with the gateway");
}

#[tokio::test]
async fn a_hook_of_somebody_else_is_shown_and_left_alone() {
    let (secret, notifier) = (Secret::new(), Notifier::default());
    *notifier.address.lock() = Some("https://other.example/canary-foreign".to_owned());
    let fake = Fake::by(move |seen| notifier.answer(seen)).await;
    let gateway = setup(&fake.url(), &secret).start().await;
    let channel = gateway.channel().await;
    let told = reaches(&channel, State::Foreign).await;
    assert_eq!((told.webhook_id.as_deref(), told.failure_reason), (Some(HOOK), None));
    soon(PATIENCE, "several looks", async || fake.count() >= 4).await;
    assert!(fake.seen().iter().all(|seen| seen.path().ends_with("/hooks/active")));
    assert_eq!(gateway.metric("qiwi_webhook_up", &[r#"credential="main""#]).await, 0);
    let alarms = gateway.metric("qiwi_event_alarms_total", &["webhook_foreign"]).await;
    assert_eq!(alarms, 1, "once, not at each look");
    assert!(!gateway.log().contains("canary-foreign"));
}

#[tokio::test]
async fn failures_are_named_paced_and_end() {
    let (secret, notifier) = (Secret::new(), Notifier::default());
    let fake = Fake::always(Answer::new(403, "")).await;
    let gateway = setup(&fake.url(), &secret).start().await;
    let channel = gateway.channel().await;
    let told = reaches(&channel, State::Failing).await;
    assert!(told.failure_reason.is_some_and(|reason| !reason.is_empty()));
    assert_eq!(told.webhook_id, None);
    let (began, before) = (Instant::now(), fake.count());
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A look is one request here, and pauses are at least four fifths of 200 ms.
    let most = began.elapsed().as_millis() / 160 + 1;
    assert!((fake.count() - before) as u128 <= most, "{} of {most}", fake.count() - before);
    fake.now(move |seen| notifier.answer(seen));
    let told = reaches(&channel, State::Registered).await;
    assert_eq!((told.webhook_id.as_deref(), told.failure_reason), (Some(HOOK), None));
    soon(PATIENCE, "the gauge follows", async || {
        gateway.metric("qiwi_webhook_up", &[r#"credential="main""#]).await == 1
    })
    .await;
    assert_eq!(gateway.metric("qiwi_event_alarms_total", &["webhook_failing"]).await, 1);
}

#[tokio::test]
async fn what_a_callers_call_tells_about_a_hook_is_kept() {
    let (secret, notifier) = (Secret::new(), Notifier::default());
    *notifier.address.lock() = Some("https://other.example/".to_owned());
    let fake = Fake::by(move |seen| notifier.answer(seen)).await;
    let gateway = setup(&fake.url(), &secret).start().await;
    let channel = gateway.channel().await;
    let told = webhook(&channel, "given").await;
    assert_eq!((told.state(), told.webhook_id), (State::Static, None));
    let ask = Ask::with(&[("x-qiwi-credential", "given")]);
    ask.raw(&channel, ACTIVE, Vec::new()).await.unwrap();
    let told = webhook(&channel, "given").await;
    assert_eq!((told.state(), told.webhook_id.as_deref()), (State::Static, Some(HOOK)));
    assert_eq!((told.state_change_time, told.last_check_time), (None, None));
}

#[tokio::test]
async fn the_sandbox_takes_the_hook_and_sends_its_test() {
    let config = SandboxConfig { listen: "127.0.0.1:0".parse().unwrap(), ..Default::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let secret = Secret::new();
    let mut setup = setup(&format!("http://{}", sandbox.address()), &secret);
    setup.env.insert("SECRET_OF_main".to_owned(), demo::SECOND_WALLET_TOKEN.to_owned());
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    reaches(&channel, State::Registered).await;
    let outbox = sandbox.outbox();
    let letters = outbox.as_array().unwrap();
    let sent: Vec<_> = letters.iter().filter(|letter| letter["about"] == "test").collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["url"], format!("{PUBLIC}/notifications/wallet/main/{PATH_SECRET}"));
    gateway.stop().await;
    sandbox.shutdown().await;
}
