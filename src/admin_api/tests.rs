//! What an administrator is told, with credentials from variables and from a file that goes away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::config::Config;
use crate::credentials::{Callers, Credentials, Wallet};
use crate::events::hooks::Hooks;
use crate::wallets::Wallets;

const CREDENTIALS: &str = "\
    [credentials.main]\nkind = \"wallet\"\ntoken_env = \"MAIN\"\nwallet = \"+79000000001\"\n\
    scopes = [\"profile\", \"payments\"]\nexpires = 2026-03-31\n\
    [credentials.info]\nkind = \"information\"\ntoken_env = \"INFO\"\n\
    [credentials.bills]\nkind = \"p2p\"\nsecret_env = \"BILLS\"\n";
const CALLERS: &str = "\
    [callers.shop]\nkey_env = \"SHOP\"\ncredentials = [\"info\"]\ngroups = [\"admin\"]\n";

fn env(name: &str) -> Option<String> {
    let known = ["MAIN", "INFO", "BILLS", "SHOP"].contains(&name);
    known.then(|| format!("hush-{name}-0123456789"))
}

struct World {
    credentials: Credentials,
    wallets: Wallets,
    callers: Callers,
    hooks: Hooks,
}

impl World {
    fn new(toml: &str) -> Self {
        let config = Config::from_toml(toml).unwrap();
        Self {
            credentials: Credentials::load(&config, env).unwrap(),
            wallets: Wallets::new(),
            callers: Callers::load(&config, env).unwrap(),
            hooks: Hooks::default(),
        }
    }

    fn ask<L: Local>(&self, request: &L, caller: Option<&Caller>) -> Result<L::Response, Error> {
        let Self { credentials, wallets, hooks, .. } = self;
        let known = Known {
            credentials,
            wallets,
            hooks,
            caller,
            credential: None,
            paypage_url: "https://pay.qiwi.com/paypage/initial",
        };
        request.answer(&known)
    }

    fn get(&self, name: &str) -> pb::Credential {
        let request = pb::GetCredentialRequest { name: name.into() };
        self.ask(&request, None).unwrap().credential.unwrap()
    }

    fn names(&self, caller: Option<&Caller>) -> Vec<String> {
        let response = self.ask(&pb::ListCredentialsRequest {}, caller).unwrap();
        response.credentials.into_iter().map(|credential| credential.name).collect()
    }
}

#[test]
fn everything_but_the_secret_is_told() {
    let world = World::new(CREDENTIALS);
    let main = world.get("main");
    let held = world.credentials.named("main").unwrap();
    assert_eq!(
        main,
        pb::Credential {
            name: "main".into(),
            kind: pb::CredentialKind::Wallet.into(),
            scopes: vec![pb::CredentialScope::Profile.into(), pb::CredentialScope::Payments.into()],
            wallet: Some("79000000001".into()),
            merchant_site: None,
            expected_expire_time: held.expires().map(Into::into),
            state: pb::CredentialState::Untried.into(),
            last_accepted_time: None,
            last_rejected_time: None,
            source_load_time: Some(held.loaded.into()),
            token_fingerprint: Some(held.fingerprint.to_string()),
            webhook: Some(pb::CredentialWebhook {
                state: pb::CredentialWebhookState::Off.into(),
                ..Default::default()
            }),
        }
    );
    assert!(main.expected_expire_time.is_some());
    assert_eq!(main.token_fingerprint.as_ref().unwrap().len(), 8);
    let bills = world.get("bills");
    assert_eq!((bills.kind(), bills.scopes.len()), (pb::CredentialKind::P2p, 0));
    assert_eq!(bills.webhook, None);
    let info = world.get("info");
    assert_eq!((info.kind(), info.scopes.len()), (pb::CredentialKind::Information, 3));
    let all = world.ask(&pb::ListCredentialsRequest {}, None).unwrap();
    assert_eq!(all.credentials, [bills, info, main]);
    assert!(!format!("{all:?}").contains("hush"));
}

#[test]
fn a_wallet_qiwi_told_is_told_too() {
    let world = World::new(CREDENTIALS);
    assert_eq!(world.get("info").wallet, None);
    let token = world.credentials.named("info").unwrap().fingerprint;
    world.wallets.learn(token, Wallet::parse("79000000002").unwrap());
    assert_eq!(world.get("info").wallet.as_deref(), Some("79000000002"));
}

#[test]
fn what_qiwi_last_said_is_the_state() {
    let world = World::new(CREDENTIALS);
    let main = world.credentials.named("main").unwrap();
    main.report(true);
    let told = world.get("main");
    assert_eq!(told.state(), pb::CredentialState::Active);
    assert!(told.last_accepted_time.is_some() && told.last_rejected_time.is_none());
    main.report(false);
    let told = world.get("main");
    assert_eq!(told.state(), pb::CredentialState::Rejected);
    assert!(told.last_accepted_time.is_some() && told.last_rejected_time.is_some());
    assert_eq!(world.get("info").state(), pb::CredentialState::Untried);
}

#[test]
fn a_source_that_went_away_is_told_unless_the_secret_is_rejected_anyway() {
    let name = format!("qiwi-gateway-{}", uuid::Uuid::new_v4());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, "hush-hush").unwrap();
    let toml =
        format!("[credentials.main]\nkind = \"wallet\"\ntoken_file = \"{}\"\n", file.display());
    let world = World::new(&toml);
    std::fs::remove_file(&file).unwrap();
    world.credentials.reload();
    assert_eq!(world.get("main").state(), pb::CredentialState::Stale);
    world.credentials.named("main").unwrap().report(false);
    assert_eq!(world.get("main").state(), pb::CredentialState::Rejected);
}

#[test]
fn a_caller_is_told_of_its_own_credentials_only() {
    let world = World::new(&format!("{CREDENTIALS}{CALLERS}"));
    let shop = world.callers.identify_key(&env("SHOP").unwrap()).unwrap();
    assert_eq!(world.names(Some(&shop)), ["info"]);
    assert_eq!(world.names(None), ["bills", "info", "main"]);
    let refused = |name: &str| {
        let request = pb::GetCredentialRequest { name: name.into() };
        world.ask(&request, Some(&shop)).unwrap_err().reason().name
    };
    // The same answer whether the credential exists or not.
    assert_eq!(refused("main"), "CALLER_NOT_ALLOWED");
    assert_eq!(refused("nobody"), "CALLER_NOT_ALLOWED");
    assert_eq!(refused(""), "REQUEST_INVALID");
}

#[test]
fn a_name_nobody_has_is_not_found() {
    let world = World::new(CREDENTIALS);
    let request = pb::GetCredentialRequest { name: "other".into() };
    assert_eq!(world.ask(&request, None).unwrap_err().reason().name, "CREDENTIAL_NOT_FOUND");
}

#[test]
fn a_webhook_is_told_as_the_gateway_last_saw_it() {
    use pb::CredentialWebhookState as Told;
    let toml = "[notifications]\npublic_url = \"https://pay.example\"\n\
                [credentials.main]\nkind = \"wallet\"\ntoken_env = \"MAIN\"\nwebhook = \"managed\"\n\
                [credentials.info]\nkind = \"wallet\"\ntoken_env = \"INFO\"\nwebhook = \"static\"\n\
                webhook_key_env = \"SHOP\"\n";
    let toml = toml.replace("SHOP", "KEY");
    let config = Config::from_toml(&toml).unwrap();
    let env = |name: &str| if name == "KEY" { Some("aHVzaA==".to_owned()) } else { env(name) };
    let world = World {
        credentials: Credentials::load(&config, env).unwrap(),
        wallets: Wallets::new(),
        callers: Callers::load(&config, env).unwrap(),
        hooks: Hooks::default(),
    };
    let webhook = |name| world.get(name).webhook.unwrap();
    assert_eq!(webhook("info").state(), Told::Static);
    assert_eq!(webhook("main").state(), Told::Pending);
    let name = world.credentials.named("main").unwrap().name.clone().unwrap();
    world.hooks.show(&name, State::Failing("UPSTREAM_TIMEOUT"));
    let told = webhook("main");
    assert_eq!(told.state(), Told::Failing);
    assert_eq!(told.failure_reason.as_deref(), Some("UPSTREAM_TIMEOUT"));
    assert!(told.state_change_time.is_some() && told.last_check_time.is_some());
    world.hooks.show(&name, State::Foreign);
    assert_eq!(webhook("main").state(), Told::Foreign);
    world.hooks.show(&name, State::Registered);
    let told = webhook("main");
    assert_eq!((told.state(), told.failure_reason), (Told::Registered, None));
    assert_eq!(told.last_notification_time, None);
    world.hooks.heard(&name);
    assert!(webhook("main").last_notification_time.is_some());
}
