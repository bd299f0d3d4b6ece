//! Looking after hooks, against the sandbox: what it registers, learns, keeps and leaves alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use super::*;
use crate::config::{BaseUrl, Config, Engine};
use crate::credentials::{Callers, Credentials, Wallet};
use crate::events::Retention;
use crate::events::hub::Hub;
use crate::notification::wallet::{Hook, Message, Received, TrustedLists, read};
use crate::page::PageTokens;
use crate::payments::Payments;
use crate::sandbox::{Incoming, Sandbox, SandboxConfig, demo};
use crate::telemetry::Metrics;

const PATH_SECRET: &str = "path-secret-of-canary";
/// A key of an operator who looks after the hook: Base64 of "operator".
const GIVEN: &str = "b3BlcmF0b3I=";

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("qiwi-hooks-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

async fn sandbox() -> Sandbox {
    let config = SandboxConfig { listen: "127.0.0.1:0".parse().unwrap(), ..Default::default() };
    Sandbox::start(config).await.unwrap()
}

/// A gateway with a credential `free` of a wallet without a hook and one `taken` of a wallet whose
/// hook leads elsewhere, both managed, and one `given` of the latter whose operator gave a key.
async fn gateway(
    sandbox: &Sandbox,
    state: Option<&Path>,
    public: &str,
    more: &str,
) -> Arc<Gateway> {
    let folder = Folder::new();
    let secret = folder.0.join("secret");
    std::fs::write(&secret, PATH_SECRET).unwrap();
    let toml = format!(
        "[notifications]\npublic_url = \"{public}\"\n\
         [credentials.free]\nkind = \"wallet\"\nwallet = \"{}\"\ntoken_env = \"FREE\"\n\
         webhook = \"managed\"\nwebhook_path_secret_file = \"{}\"\n\
         [credentials.given]\nkind = \"wallet\"\nwallet = \"{}\"\ntoken_env = \"TAKEN\"\n\
         webhook = \"static\"\nwebhook_key_env = \"GIVEN\"\n\
         [credentials.taken]\nkind = \"wallet\"\nwallet = \"{}\"\ntoken_env = \"TAKEN\"\n\
         webhook = \"managed\"\n{more}",
        demo::SECOND_WALLET,
        secret.display(),
        demo::WALLET,
        demo::WALLET,
    );
    let mut config = Config::from_toml(&toml).unwrap();
    let base = BaseUrl::parse(&format!("http://{}", sandbox.address())).unwrap();
    config.upstream.edge_url = base.clone();
    config.upstream.site_url = base;
    if let Some(path) = state {
        config.state.engine = Engine::Embedded;
        config.state.path = path.to_owned();
    }
    let env = |name: &str| {
        let value = match name {
            "FREE" => demo::SECOND_WALLET_TOKEN,
            "TAKEN" => demo::WALLET_TOKEN,
            "GIVEN" => GIVEN,
            _ => return None,
        };
        Some(value.to_owned())
    };
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::unread(&[]));
    let credentials = Arc::new(Credentials::load(&config, env).unwrap());
    let callers = Arc::new(Callers::load(&config, env).unwrap());
    let opened = crate::state::open::open(&config.state, Retention::DEFAULT).await.unwrap();
    let key = Arc::new(opened.key);
    let settings = config.payments.clone();
    let payments = Payments::new(opened.store, Arc::clone(&key), settings, Arc::clone(&metrics));
    let (events, notifications) = (config.events.clone(), config.notifications.clone());
    let hub = Hub::new(
        opened.log,
        key,
        events,
        notifications,
        config.state.nats_lease,
        Arc::clone(&metrics),
    )
    .unwrap();
    let pages = PageTokens::new(&[], Duration::from_secs(60));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let gateway =
        Gateway::new(config, credentials, callers, metrics, pages, payments, hub, None, None);
    Arc::new(gateway.unwrap())
}

async fn look(gateway: &Gateway, name: &str) -> State {
    gateway.look_at_hook(&name.into(), &mut Watch::default()).await
}

async fn hooks(gateway: &Gateway, name: &str, wallet: &str, grace: Duration) -> Vec<Hook> {
    let hub = gateway.hub();
    let credential = gateway.credentials().named(name).unwrap();
    let wallet = Wallet::parse(wallet).unwrap();
    hub.hooks.of(&*hub.log, &hub.cipher, &credential, &wallet, grace).await.unwrap()
}

/// Money arrives; what QIWI tells the hook about it.
fn told(sandbox: &Sandbox, wallet: &str) -> String {
    let incoming = Incoming { wallet: wallet.to_owned(), ..Incoming::new("1", "79042426915") };
    sandbox.incoming(incoming).unwrap();
    sandbox.outbox().as_array().unwrap().last().unwrap()["notification"].to_string()
}

fn believed(body: &str, hooks: &[Hook]) -> bool {
    let message: Message<'_> = read(body.as_bytes(), 65_536).unwrap();
    matches!(message.verify(hooks, &TrustedLists::default()), Ok(Received::Payment(_)))
}

/// How often a route of webhooks was asked for, such as `PUT /payment-notifier/v1/hooks`.
fn asked(sandbox: &Sandbox, method: &str, end: &str) -> usize {
    let requests = sandbox.requests();
    let latest = requests["latest"].as_array().unwrap();
    let is_it = |entry: &&Value| {
        let path = entry["path"].as_str().unwrap();
        entry["method"] == method && path.contains("/payment-notifier/") && path.ends_with(end)
    };
    latest.iter().filter(is_it).count()
}

fn tests_sent(sandbox: &Sandbox) -> usize {
    let outbox = sandbox.outbox();
    let letters = outbox.as_array().unwrap();
    letters.iter().filter(|letter| letter["notification"]["test"] == true).count()
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_hook_is_registered_and_its_key_kept_over_a_restart() {
    let (sandbox, folder) = (sandbox().await, Folder::new());
    let first = gateway(&sandbox, Some(&folder.0), "https://pay.example", "").await;
    assert_eq!(look(&first, "free").await, State::Registered);
    assert_eq!((asked(&sandbox, "PUT", "/hooks"), tests_sent(&sandbox)), (1, 1));
    let told = told(&sandbox, demo::SECOND_WALLET);
    assert!(believed(&told, &hooks(&first, "free", demo::SECOND_WALLET, DAY).await));
    // Nothing is repeated while all is well.
    assert_eq!(look(&first, "free").await, State::Registered);
    assert_eq!((asked(&sandbox, "PUT", "/hooks"), tests_sent(&sandbox)), (1, 1));
    drop(first);

    let second = gateway(&sandbox, Some(&folder.0), "https://pay.example", "").await;
    let before = sandbox.requests()["total"].clone();
    assert!(believed(&told, &hooks(&second, "free", demo::SECOND_WALLET, DAY).await));
    assert_eq!(sandbox.requests()["total"], before, "nobody was asked");
    assert_eq!(look(&second, "free").await, State::Registered);
    assert_eq!((asked(&sandbox, "PUT", "/hooks"), tests_sent(&sandbox)), (1, 1));
    // What lies in the files does not show it.
    for file in std::fs::read_dir(&folder.0).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let shows = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!shows(PATH_SECRET) && !shows("pay.example"));
    }
    drop(second);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_hook_deleted_behind_its_back_is_registered_again_and_the_old_one_stays_good() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox, None, "https://pay.example", "").await;
    assert_eq!(look(&gateway, "free").await, State::Registered);
    let old = gateway.hub().hooks.current("free").unwrap();
    let late = told(&sandbox, demo::SECOND_WALLET);
    let credential = gateway.credentials().named("free").unwrap();
    let delete = pb::DeleteWebhookRequest { webhook_id: old.to_string() };
    let deadline = Instant::now() + PATIENCE;
    gateway.of_hook(&credential, &delete, deadline).await.unwrap();

    assert_eq!(look(&gateway, "free").await, State::Registered);
    let new = gateway.hub().hooks.current("free").unwrap();
    assert_ne!(old, new);
    assert_eq!((asked(&sandbox, "PUT", "/hooks"), tests_sent(&sandbox)), (2, 2));
    let known = hooks(&gateway, "free", demo::SECOND_WALLET, DAY).await;
    assert!(believed(&late, &known), "the last messages of the old hook are still on their way");
    assert!(believed(&told(&sandbox, demo::SECOND_WALLET), &known));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let later = hooks(&gateway, "free", demo::SECOND_WALLET, Duration::ZERO).await;
    assert!(!believed(&late, &later), "but not for ever");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_key_changed_by_a_call_is_learnt_and_the_old_one_stays_good() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox, None, "https://pay.example", "").await;
    assert_eq!(look(&gateway, "free").await, State::Registered);
    let id = gateway.hub().hooks.current("free").unwrap();
    let late = told(&sandbox, demo::SECOND_WALLET);
    let credential = gateway.credentials().named("free").unwrap();
    let rotate = pb::RotateWebhookKeyRequest { webhook_id: id.to_string(), reveal_key: false };
    let deadline = Instant::now() + PATIENCE;
    gateway.of_hook(&credential, &rotate, deadline).await.unwrap();

    let known = hooks(&gateway, "free", demo::SECOND_WALLET, DAY).await;
    let fresh = told(&sandbox, demo::SECOND_WALLET);
    assert!(believed(&late, &known) && believed(&fresh, &known));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let later = hooks(&gateway, "free", demo::SECOND_WALLET, Duration::ZERO).await;
    assert!(!believed(&late, &later) && believed(&fresh, &later));
    assert_eq!(gateway.hub().hooks.current("free"), Some(id));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn what_somebody_else_registered_is_left_alone_unless_it_may_be_replaced() {
    let sandbox = sandbox().await;
    let polite = gateway(&sandbox, None, "https://pay.example", "").await;
    for _ in 0..3 {
        assert_eq!(look(&polite, "taken").await, State::Foreign);
    }
    let foreign = polite.hub().hooks.current("taken").unwrap();
    assert_eq!(foreign.to_string(), demo::HOOK_ID);
    assert_eq!((asked(&sandbox, "PUT", "/hooks"), tests_sent(&sandbox)), (0, 0));
    assert_eq!(asked(&sandbox, "DELETE", demo::HOOK_ID), 0);
    assert_eq!(asked(&sandbox, "GET", "/key"), 0, "nor is its key asked for");

    let replace = "webhook_replace = true\n";
    let bold = gateway(&sandbox, None, "https://pay.example", replace).await;
    assert_eq!(look(&bold, "taken").await, State::Registered);
    assert_eq!(asked(&sandbox, "DELETE", demo::HOOK_ID), 1);
    assert!(believed(
        &told(&sandbox, demo::WALLET),
        &hooks(&bold, "taken", demo::WALLET, DAY).await
    ));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn the_gateways_own_hook_follows_its_address() {
    let (sandbox, folder) = (sandbox().await, Folder::new());
    let first = gateway(&sandbox, Some(&folder.0), "https://pay.example", "").await;
    assert_eq!(look(&first, "free").await, State::Registered);
    let old = first.hub().hooks.current("free").unwrap();
    drop(first);
    let moved = gateway(&sandbox, Some(&folder.0), "https://new.example/qiwi", "").await;
    assert_eq!(look(&moved, "free").await, State::Registered);
    assert_ne!(moved.hub().hooks.current("free"), Some(old));
    assert_eq!(asked(&sandbox, "DELETE", &old.to_string()), 1);
    drop(moved);
    // One that knows nothing of it takes it for somebody else's.
    let stranger = gateway(&sandbox, None, "https://pay.example", "").await;
    assert_eq!(look(&stranger, "free").await, State::Foreign);
    // At its own address it is welcome whoever registered it.
    let heir = gateway(&sandbox, None, "https://new.example/qiwi", "").await;
    assert_eq!(look(&heir, "free").await, State::Registered);
    assert_eq!(asked(&sandbox, "PUT", "/hooks"), 2);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_failure_is_named_and_the_next_look_goes_on_where_it_ended() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox, None, "https://pay.example", "").await;
    let refused = serde_json::json!({
        "match": { "path_prefix": "/payment-notifier/v1/hooks/", "method": "GET" },
        "skip": 1, "fault": { "status": 403 },
    });
    sandbox.add_fault(refused).unwrap();
    let mut watch = Watch::default();
    let name: Arc<str> = "free".into();
    let state = gateway.look_at_hook(&name, &mut watch).await;
    assert_eq!(state, State::Failing(reason::TOKEN_SCOPE_INSUFFICIENT.name));
    assert_eq!((asked(&sandbox, "PUT", "/hooks"), tests_sent(&sandbox)), (1, 0));
    sandbox.clear_faults();
    assert_eq!(gateway.look_at_hook(&name, &mut watch).await, State::Registered);
    assert_eq!((asked(&sandbox, "PUT", "/hooks"), tests_sent(&sandbox)), (1, 1));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_message_of_an_unknown_hook_is_worth_one_question_for_all_that_wait() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox, None, "https://pay.example", "").await;
    let credential = gateway.credentials().named("given").unwrap();
    let waiting = (0..50).map(|_| gateway.refresh_hook(&credential));
    assert_eq!(join_all(waiting).await, [true; 50]);
    assert_eq!(asked(&sandbox, "GET", "/active"), 1);
    assert_eq!(asked(&sandbox, "GET", "/key"), 0, "the operator gave the key");
    let known = hooks(&gateway, "given", demo::WALLET, DAY).await;
    assert_eq!((known.len(), known[0].id.to_string().as_str()), (1, demo::HOOK_ID));
    assert_eq!(known[0].keys.len(), 1);

    // The same wallet through a managed credential: with the key.
    let credential = gateway.credentials().named("taken").unwrap();
    assert!(gateway.refresh_hook(&credential).await);
    assert_eq!(asked(&sandbox, "GET", "/key"), 1);
    let known = hooks(&gateway, "taken", demo::WALLET, DAY).await;
    assert!(believed(&told(&sandbox, demo::WALLET), &known));

    // Where there is no hook nothing is learnt, and a flood asks nothing more.
    let credential = gateway.credentials().named("free").unwrap();
    let before = asked(&sandbox, "GET", "/active");
    let waiting = (0..50).map(|_| gateway.refresh_hook(&credential));
    assert_eq!(join_all(waiting).await, [false; 50]);
    assert_eq!(asked(&sandbox, "GET", "/active"), before + 1);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn credentials_that_take_no_notifications_keep_no_keys() {
    let sandbox = sandbox().await;
    let off = format!(
        "[credentials.off]\nkind = \"wallet\"\nwallet = \"{}\"\ntoken_env = \"TAKEN\"\n",
        demo::WALLET
    );
    let gateway = gateway(&sandbox, None, "https://pay.example", &off).await;
    let credential = gateway.credentials().named("off").unwrap();
    assert!(!gateway.refresh_hook(&credential).await);
    assert_eq!(asked(&sandbox, "GET", "/active"), 0);
    let deadline = Instant::now() + PATIENCE;
    assert!(gateway.active_hook(&credential, deadline).await.unwrap().is_some());
    assert_eq!(gateway.hub().hooks.current("off"), None);
    // The sender of a token of its own has no name to keep anything under.
    let lent = gateway.credentials().pass_through(demo::WALLET_TOKEN).unwrap();
    assert!(!gateway.refresh_hook(&lent).await);
    sandbox.shutdown().await;
}

#[test]
fn pauses_grow_with_failures_up_to_the_usual_one() {
    let every = Duration::from_secs(300);
    let seconds = |failures| pause(every, failures, 0.0).as_secs();
    assert_eq!([0, 1, 2, 3, 6, 7, 1000].map(seconds), [300, 5, 10, 20, 160, 300, 300]);
    assert_eq!(pause(every, 0, 1.0).as_secs(), 240);
    assert_eq!(pause(Duration::from_secs(1), 9, 0.0).as_secs(), 1);
}

#[test]
fn an_address_is_the_same_however_it_is_written() {
    let wanted = "https://pay.example/qiwi/notifications/wallet/main/s3";
    for told in
        [wanted, "https://PAY.example:443/qiwi/notifications/wallet/main/s3", &format!("{wanted}/")]
    {
        assert!(same_address(told, wanted), "{told}");
    }
    for told in [
        "",
        "https://pay.example/qiwi/notifications/wallet/main",
        "http://pay.example/qiwi/notifications/wallet/main/s3",
        "https://pay.example/qiwi/notifications/wallet/main/S3",
        "https://pay.example.evil/qiwi/notifications/wallet/main/s3",
    ] {
        assert!(!same_address(told, wanted), "{told}");
    }
}
