//! A configuration file that changes while the gateway runs: who may do what changes at once, or not
//! at all.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use qiwi_gateway::config::Config;
use qiwi_gateway::pb::wallet::v1 as pb;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::process::{folder, replace};
use crate::support::*;

const SHOP: &str = "key-of-the-shop-0123456789";
const DESK: &str = "key-of-the-desk-0123456789";

/// A file, and the gateway that reads it.
struct World {
    folder: PathBuf,
    gateway: Gateway,
    channel: Channel,
}

fn secret(name: &str) -> String {
    format!("token-of-{name}")
}

impl World {
    async fn new(fake: &Fake, policy: &str) -> Self {
        let folder = folder("renewal");
        for (name, key) in [("shop", SHOP), ("desk", DESK)] {
            replace(&folder.join(name), key);
        }
        for name in ["main", "other"] {
            replace(&folder.join(format!("{name}.token")), &secret(name));
        }
        let file = folder.join("gateway.toml");
        let world = |text: &str| text.replace("DIR", folder.to_str().unwrap());
        replace(&file, &world(policy));
        let read = Config::load(Some(&file), std::iter::empty()).unwrap();
        let setup = Setup::at(&fake.url()).set(|config| {
            config.credentials = read.credentials;
            config.callers = read.callers;
            config.origins = read.origins;
            config.file = read.file;
            config.security.reload_interval = Duration::from_millis(20);
            config.events.poll_fastest = Duration::from_millis(50);
            config.notifications.hook_check = Duration::from_secs(1);
            config.notifications.public_url =
                qiwi_gateway::config::BaseUrl::parse("https://pay.example");
        });
        let gateway = setup.start().await;
        let channel = gateway.channel().await;
        Self { folder, gateway, channel }
    }

    fn write(&self, policy: &str) {
        let text = policy.replace("DIR", self.folder.to_str().unwrap());
        replace(&self.folder.join("gateway.toml"), &text);
    }

    /// What becomes of a call: `OK` or a reason.
    async fn call(&self, key: &str, credential: &str) -> String {
        let ask = Ask::with(&[("x-qiwi-caller-key", key), ("x-qiwi-credential", credential)]);
        let reply =
            ask.unary::<_, pb::ListBalancesResponse>(&self.channel, BALANCES, fresh_balances());
        match reply.await {
            Ok(_) => "OK".to_owned(),
            Err(status) => told(&status).reason,
        }
    }

    async fn until(&self, key: &str, credential: &str, expected: &str) {
        let begun = Instant::now();
        loop {
            let got = self.call(key, credential).await;
            if got == expected {
                return;
            }
            let late = begun.elapsed() > Duration::from_secs(10);
            assert!(!late, "{got} instead of {expected}: {}", self.gateway.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn looks(&self, result: &str) -> u64 {
        let result = format!("result=\"{result}\"");
        let labels = ["source=\"configuration\"", &result];
        self.gateway.metric("qiwi_reload_total", &labels).await
    }

    /// Waits for more looks with this result.
    async fn look(&self, result: &str) {
        let (before, begun) = (self.looks(result).await, Instant::now());
        while self.looks(result).await < before + 3 {
            assert!(begun.elapsed() < Duration::from_secs(10), "no more looks are {result}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

const POLICY: &str = r#"
[credentials.main]
kind = "wallet"
wallet = "79990000001"
token_file = "DIR/main.token"
poll = "off"
[callers.shop]
key_file = "DIR/shop"
credentials = ["main"]
"#;

#[tokio::test]
async fn callers_and_credentials_come_change_and_go_without_a_restart() {
    let fake = Fake::always(balance_answer()).await;
    let world = World::new(&fake, POLICY).await;
    assert_eq!(world.call(SHOP, "main").await, "OK");
    assert_eq!(world.call(DESK, "main").await, "CALLER_UNKNOWN");
    assert_eq!(world.call(SHOP, "other").await, "CALLER_NOT_ALLOWED");

    // Another caller and another credential.
    let more = format!(
        "{POLICY}[callers.desk]\nkey_file = \"DIR/desk\"\ncredentials = [\"*\"]\n\
         [credentials.other]\nkind = \"wallet\"\nwallet = \"79990000002\"\n\
         token_file = \"DIR/other.token\"\npoll = \"off\"\n"
    );
    world.write(&more);
    world.until(DESK, "other", "OK").await;
    assert_eq!(fake.seen().last().unwrap().token(), Some("token-of-other"));
    assert_eq!(world.call(DESK, "main").await, "OK");
    assert_eq!(world.call(SHOP, "other").await, "CALLER_NOT_ALLOWED");

    // A service less, a credential of another wallet, a group less.
    world.write(&more.replace(
        "credentials = [\"main\"]",
        "credentials = [\"main\"]\nservices = [\"qiwi.wallet.v1.HistoryService\"]",
    ));
    world.until(SHOP, "main", "CALLER_NOT_ALLOWED").await;
    assert_eq!(world.call(DESK, "main").await, "OK");
    let information = "kind = \"information\"\nwallet = \"79990000002\"";
    world.write(&more);
    world.until(SHOP, "main", "OK").await;
    // A name stands for the wallet it stood for, even when it was gone for a while.
    world.write(&more.replace("79990000002", "79990000003"));
    world.look("failed").await;
    assert!(world.gateway.log().contains("credentials.other.wallet"));
    world.write(&more.replace("kind = \"wallet\"\nwallet = \"79990000002\"", information));
    world.look("failed").await;
    assert!(world.gateway.log().contains("credentials.other.kind"));
    assert_eq!(world.call(DESK, "other").await, "OK");
    // What it may do can change.
    let scopes = "wallet = \"79990000002\"\nscopes = [\"profile\"]";
    world.write(&more.replace("wallet = \"79990000002\"", scopes));
    world.until(DESK, "other", "TOKEN_SCOPE_INSUFFICIENT").await;

    // A caller and a credential less.
    world.write(POLICY);
    world.until(DESK, "main", "CALLER_UNKNOWN").await;
    assert_eq!(world.call(SHOP, "main").await, "OK");
    world.write(&more.replace("79990000002", "79990000003"));
    world.look("failed").await;
    assert_eq!(world.call(DESK, "other").await, "CALLER_UNKNOWN");
    assert!(!world.gateway.log().contains("token-of-"));
    assert!(world.looks("changed").await >= 4);
}

#[tokio::test]
async fn a_file_that_is_wrong_changes_nothing_and_says_which_key() {
    let fake = Fake::always(balance_answer()).await;
    let world = World::new(&fake, POLICY).await;
    world.look("unchanged").await;
    for (wrong, told) in [
        (POLICY.replace("[\"main\"]", "[\"mian\"]"), "callers.shop.credentials"),
        (POLICY.replace("DIR/shop", "DIR/nothing"), "callers.shop.key_file"),
        (POLICY.replace("\"wallet\"\nwallet", "\"walet\"\nwallet"), "credentials.main.kind"),
        (
            format!("{POLICY}[credentials.new]\nkind = \"wallet\"\ntoken_file = \"DIR/gone\"\n"),
            "credentials.new.token_file",
        ),
        (
            format!("{POLICY}[callers.new]\nkey = \"very-secret-key-of-a-caller\"\n"),
            "callers.new.key",
        ),
        ("[callers.shop\n".to_owned(), "not TOML"),
        // A file that was cut off would otherwise open the gateway to everybody.
        (POLICY.split("[callers").next().unwrap().to_owned(), "the last caller is gone"),
        (String::new(), "the last caller is gone"),
    ] {
        world.write(&wrong);
        world.look("failed").await;
        let log = world.gateway.log();
        assert!(log.contains(told), "{told} is not told: {log}");
        assert!(!log.contains("very-secret"), "{log}");
        assert_eq!(world.call(SHOP, "main").await, "OK", "{told}");
        assert_eq!(world.call(DESK, "main").await, "CALLER_UNKNOWN", "{told}");
    }
    let warnings = |world: &World| {
        let lines = world.gateway.lines();
        let of = |line: &&serde_json::Value| line.to_string().contains("the last caller is gone");
        lines.iter().filter(of).count()
    };
    let before = warnings(&world);
    world.look("failed").await;
    assert_eq!(warnings(&world), before, "the same mistake is told once");
    std::fs::remove_file(world.folder.join("gateway.toml")).unwrap();
    world.look("failed").await;
    assert_eq!(world.call(SHOP, "main").await, "OK");
    world.write(POLICY);
    world.look("unchanged").await;
    assert_eq!(world.looks("changed").await, 0);
}

#[tokio::test]
async fn other_keys_are_reported_once_and_wait_for_a_restart() {
    let fake = Fake::always(balance_answer()).await;
    let world = World::new(&fake, POLICY).await;
    // What the test itself sets differs from its file already.
    world.look("unchanged").await;
    world.write(&format!(
        "{POLICY}[cooldown]\nother = \"7s\"\n[telemetry]\nlog_filter = \"warn\"\n"
    ));
    let needs = |world: &World| {
        let lines = world.gateway.lines();
        let of =
            |line: &&serde_json::Value| line.to_string().contains("changed keys need a restart");
        lines.iter().filter(of).map(ToString::to_string).collect::<Vec<_>>()
    };
    let begun = Instant::now();
    while !needs(&world).iter().any(|line| line.contains("cooldown.other")) {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is never told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.look("unchanged").await;
    let told: Vec<_> =
        needs(&world).into_iter().filter(|line| line.contains("cooldown.other")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("telemetry.log_filter") && !told[0].contains("7s"), "{told:?}");
    assert!(world.gateway.metric("qiwi_restart_needed", &[]).await >= 2);
    assert_eq!(world.call(SHOP, "main").await, "OK");
}

/// A credential that stays the same keeps what is known about it: QIWI's cool-down above all.
#[tokio::test]
async fn a_new_policy_ends_no_cool_down() {
    let fake = Fake::by(|seen| match seen.path().contains("/payments") {
        true => Answer::new(423, ""),
        false => balance_answer(),
    })
    .await;
    let world = World::new(&fake, POLICY).await;
    let history = async |key: &str| {
        let ask = Ask::with(&[("x-qiwi-caller-key", key), ("x-qiwi-credential", "main")]);
        let request = samples::of(TRANSACTIONS).request;
        let reply = ask.raw(&world.channel, TRANSACTIONS, request).await;
        told(&reply.expect_err("QIWI said to wait"))
    };
    let first = history(SHOP).await;
    assert_eq!((first.code, &*first.reason), (Code::ResourceExhausted, "RATE_LIMITED_UPSTREAM"));
    assert_eq!(fake.count(), 1);
    world.write(&format!(
        "{POLICY}[callers.desk]\nkey_file = \"DIR/desk\"\ncredentials = [\"main\"]\n"
    ));
    world.until(DESK, "main", "OK").await;
    let asked = fake.count();
    for key in [SHOP, DESK] {
        let again = history(key).await;
        assert_eq!(again.reason, "RATE_LIMITED_UPSTREAM");
        assert_eq!(again.info("upstreamSent"), Some("no"));
    }
    assert_eq!(fake.count(), asked, "nothing is sent while it cools down");
}

/// What the gateway does by itself for a credential, it does for those that come later, and no longer
/// for those that went.
#[tokio::test]
async fn histories_are_read_and_hooks_looked_after_for_credentials_that_came_later() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let world = World::new(&fake, POLICY).await;
    world.look("unchanged").await;
    assert_eq!(fake.count(), 0);
    let other = format!(
        "{POLICY}[credentials.other]\nkind = \"wallet\"\nwallet = \"79990000002\"\n\
         token_file = \"DIR/other.token\"\npoll = \"history\"\n"
    );
    world.write(&other);
    let of = |path: &'static str| {
        move |seen: &Seen| seen.token() == Some("token-of-other") && seen.path().contains(path)
    };
    let count = |path: &'static str| fake.seen().iter().filter(|seen| of(path)(seen)).count();
    until("its history is read", || count("/payments") > 0).await;
    // With a hook of its own instead, which needs no history while nothing is missed.
    let public = "[notifications]\npublic_url = \"https://pay.example\"\n";
    let managed = other.replace("poll = \"history\"", "poll = \"off\"\nwebhook = \"managed\"");
    world.write(&format!("{public}{managed}"));
    until("its hook is looked for", || count("/hooks") > 0).await;
    world.write(POLICY);
    world.look("unchanged").await;
    let before = count("");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(count(""), before, "nothing is asked for one that is gone");
}
