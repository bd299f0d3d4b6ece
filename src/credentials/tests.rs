//! Loading and renewing credentials, with real files in a directory of the test's own.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::*;
use crate::config::Config;

/// A directory that is removed with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("qiwi-gateway-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // A directory left behind harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn path(dir: &Path, name: &str) -> String {
    format!("\"{}\"", dir.join(name).display())
}

fn no_env(_: &str) -> Option<String> {
    None
}

fn wallet(dir: &Dir, more: &str) -> Config {
    let toml = format!(
        "[credentials.main]\nkind = \"wallet\"\nwallet = \"+79000000001\"\ntoken_file = {}\n{more}",
        path(&dir.0, "token")
    );
    Config::from_toml(&toml).unwrap()
}

fn load(config: &Config) -> Credentials {
    Credentials::load(config, no_env).unwrap()
}

#[test]
fn a_named_credential_is_ready_to_use_and_prints_no_secret() {
    let dir = Dir::new();
    dir.write("token", "hush-hush\n");
    let credentials = load(&wallet(&dir, "scopes = [\"profile\"]\nexpires = 2026-03-31\n"));
    let main = credentials.named("main").unwrap();
    assert_eq!(main.authorization(), "Bearer hush-hush");
    assert!(main.authorization().is_sensitive());
    assert_eq!((main.kind, main.scopes), (Some(Kind::Wallet), Some(Scopes::PROFILE)));
    assert_eq!(main.wallet.as_ref().unwrap().digits(), "79000000001");
    assert!(main.expires().is_some());
    let printed = format!("{main:?} {credentials:?}");
    assert!(!printed.contains("hush") && !printed.contains("7900000000"), "{printed}");
    assert!(credentials.named("other").is_none());
    assert_eq!(credentials.list().len(), 1);
}

#[test]
fn each_kind_gets_what_it_needs_and_no_more() {
    let dir = Dir::new();
    dir.write("token", "token-of-a");
    dir.write("secret", "secret-of-b");
    let toml = format!(
        "[credentials.info]\nkind = \"information\"\ntoken_file = {token}\n\
         [credentials.p2p]\nkind = \"p2p\"\nsecret_file = {secret}\n\
         [credentials.shop]\nkind = \"merchant\"\nmerchant_site = \"test-00\"\nsecret_file = {secret}\n",
        token = path(&dir.0, "token"),
        secret = path(&dir.0, "secret"),
    );
    let credentials = load(&Config::from_toml(&toml).unwrap());
    let info = credentials.named("info").unwrap();
    assert_eq!(info.scopes, Some(Scopes::INFORMATION));
    assert!(info.secret().is_none());
    let p2p = credentials.named("p2p").unwrap();
    assert_eq!(p2p.authorization(), "Bearer secret-of-b");
    assert_eq!(p2p.secret().unwrap().expose_secret(), "secret-of-b");
    let shop = credentials.named("shop").unwrap();
    assert!(shop.authorization().is_empty(), "a merchant's secret is never sent");
    assert_eq!(shop.secret().unwrap().expose_secret(), "secret-of-b");
    assert_eq!(shop.merchant_site.as_deref(), Some("test-00"));
    assert_eq!(shop.fingerprint, p2p.fingerprint);
}

#[test]
fn all_mistakes_of_all_secrets_are_reported_at_once_and_no_secret_is_shown() {
    let dir = Dir::new();
    dir.write("bearer", "Bearer hush");
    dir.write("empty", "\n");
    dir.write("key", "hush!");
    dir.write("short", "hush");
    dir.write("token", "good");
    let toml = format!(
        "[security]\nfingerprint_pepper_file = {short}\n\
         [credentials.a]\nkind = \"wallet\"\ntoken_file = {bearer}\n\
         [credentials.b]\nkind = \"wallet\"\ntoken_file = {empty}\n\
         [credentials.c]\nkind = \"wallet\"\ntoken_env = \"UNSET\"\n\
         [credentials.d]\nkind = \"wallet\"\ntoken_file = {token}\nwebhook = \"static\"\nwebhook_key_file = {key}\nwebhook_path_secret_file = {short}\n\
         [credentials.e]\nkind = \"merchant\"\nmerchant_site = \"s\"\nsecret_file = {token}\nclient_cert_file = {token}\nclient_key_file = {token}\n",
        bearer = path(&dir.0, "bearer"),
        empty = path(&dir.0, "empty"),
        key = path(&dir.0, "key"),
        short = path(&dir.0, "short"),
        token = path(&dir.0, "token"),
    );
    let error = Credentials::load(&Config::from_toml(&toml).unwrap(), no_env).unwrap_err();
    let text = error.to_string().replace(&format!("{}/", dir.0.display()), "");
    assert_eq!(
        text,
        "security.fingerprint_pepper_file (configuration line 2): file short holds fewer than 16 characters\n\
         credentials.a.token_file (configuration line 5): file bearer starts with the word Bearer, expected the token alone\n\
         credentials.b.token_file (configuration line 8): file empty is empty\n\
         credentials.c.token_env (configuration line 11): environment variable UNSET is not set\n\
         credentials.d.webhook_key_file (configuration line 16): file key is not base64, as QIWI gives the key\n\
         credentials.d.webhook_path_secret_file (configuration line 17): file short is not 16 to 64 characters of A-Z, a-z, 0-9, - and _\n\
         credentials.e.client_cert_file (configuration line 22): file token holds no CERTIFICATE in PEM"
    );
}

#[test]
fn a_secret_that_makes_the_address_of_a_managed_hook_too_long_is_refused() {
    let dir = Dir::new();
    dir.write("token", "good");
    dir.write("secret", &"s".repeat(50));
    let toml = |length: usize, webhook: &str| {
        format!(
            "[notifications]\npublic_url = \"https://pay.example/{}\"\n\
             [credentials.a]\nkind = \"wallet\"\ntoken_file = {}\nwebhook = \"{webhook}\"\n\
             webhook_path_secret_file = {}\n",
            "x".repeat(length),
            path(&dir.0, "token"),
            path(&dir.0, "secret"),
        )
    };
    let load = |length, webhook| {
        Credentials::load(&Config::from_toml(&toml(length, webhook)).unwrap(), no_env)
    };
    // 20 of the host, 23 of the path, 51 of the secret.
    assert!(load(6, "managed").is_ok());
    let text = load(7, "managed").unwrap_err().to_string();
    assert!(
        text.starts_with("credentials.a.webhook_path_secret_file (configuration line 7)"),
        "{text}"
    );
    assert!(text.contains("101 characters") && !text.contains("sss"), "{text}");
    assert!(load(7, "off").is_ok());
}

#[test]
fn a_secret_that_makes_the_address_of_a_merchant_too_long_is_refused() {
    let dir = Dir::new();
    dir.write("key", "good");
    dir.write("secret", &"s".repeat(50));
    let toml = |length: usize| {
        format!(
            "[notifications]\npublic_url = \"https://pay.example/{}\"\n\
             [credentials.a]\nkind = \"merchant\"\nmerchant_site = \"1\"\nsecret_file = {}\n\
             webhook_path_secret_file = {}\n",
            "x".repeat(length),
            path(&dir.0, "key"),
            path(&dir.0, "secret"),
        )
    };
    let load = |length| Credentials::load(&Config::from_toml(&toml(length)).unwrap(), no_env);
    // 20 of the host, 20 of the path, 51 of the secret.
    assert!(load(165).is_ok());
    let text = load(166).unwrap_err().to_string();
    assert!(text.contains("257 characters") && !text.contains("sss"), "{text}");
}

#[test]
fn a_token_a_caller_brings_is_checked_and_known_only_by_its_fingerprint() {
    let dir = Dir::new();
    dir.write("token", "hush-hush");
    let credentials = load(&wallet(&dir, ""));
    let own = credentials.pass_through("other").unwrap();
    assert_eq!(own.authorization(), "Bearer other");
    assert!(own.authorization().is_sensitive());
    assert_eq!((own.name.as_ref(), own.kind, own.scopes), (None, None, None));
    let same = credentials.pass_through("hush-hush").unwrap();
    let main = credentials.named("main").unwrap();
    assert_eq!(same.fingerprint, main.fingerprint);
    assert_ne!(own.fingerprint, main.fingerprint);
    for wrong in ["", "a b", "a\r\nb", "ж", &"x".repeat(4097)] {
        assert!(credentials.pass_through(wrong).is_err(), "{wrong}");
    }
    // What is known of a token does not depend on how it came.
    main.report(false);
    assert!(credentials.pass_through("hush-hush").unwrap().is_rejected());
    assert!(!own.is_rejected());
}

#[test]
fn a_rejection_belongs_to_the_token_not_to_the_name() {
    let dir = Dir::new();
    dir.write("token", "one");
    dir.write("path", "0123456789abcdef");
    let more = format!("webhook_path_secret_file = {}\n", path(&dir.0, "path"));
    let credentials = load(&wallet(&dir, &more));
    let status = || credentials.state("main").unwrap().status;
    let old = credentials.named("main").unwrap();
    assert_eq!(status(), Status::Untried);
    old.report(true);
    assert_eq!(status(), Status::Accepted);
    old.report(false);
    assert_eq!(status(), Status::Rejected);

    let outcome = credentials.reload();
    assert_eq!((outcome.changed.len(), outcome.unchanged), (0, 1));
    assert_eq!(status(), Status::Rejected);

    dir.write("path", "fedcba9876543210");
    assert_eq!(credentials.reload().changed, ["main".into()]);
    assert_eq!(status(), Status::Rejected, "the token is the same");

    dir.write("token", "two");
    assert_eq!(credentials.reload().changed, ["main".into()]);
    assert_eq!(status(), Status::Untried);
    let new = credentials.named("main").unwrap();
    assert_eq!(new.authorization(), "Bearer two");
    assert_eq!(
        old.authorization(),
        "Bearer one",
        "a call in progress ends with what it began with"
    );
    // A late answer to the old token says nothing about the new one.
    old.report(false);
    assert_eq!(status(), Status::Untried);
}

#[test]
fn new_content_that_cannot_be_used_leaves_the_last_good_one() {
    let dir = Dir::new();
    dir.write("token", "one");
    let credentials = load(&wallet(&dir, ""));
    dir.write("token", "not a token");
    for _ in 0..2 {
        let outcome = credentials.reload();
        assert_eq!(outcome.failed.len(), 1);
        assert_eq!((outcome.changed.len(), outcome.unchanged), (0, 0));
    }
    assert_eq!(credentials.named("main").unwrap().authorization(), "Bearer one");
    assert!(credentials.state("main").unwrap().stale_since.is_some());
    std::fs::remove_file(dir.0.join("token")).unwrap();
    assert_eq!(credentials.reload().failed.len(), 1);

    dir.write("token", "one");
    let outcome = credentials.reload();
    assert_eq!((outcome.recovered.len(), outcome.unchanged), (1, 1));
    assert_eq!(credentials.state("main").unwrap().stale_since, None);
}

#[test]
fn a_pepper_file_makes_fingerprints_the_same_in_every_run() {
    let dir = Dir::new();
    dir.write("token", "one");
    dir.write("pepper", "0123456789abcdef");
    let more = format!("[security]\nfingerprint_pepper_file = {}\n", path(&dir.0, "pepper"));
    let fingerprint = |config: &Config| load(config).named("main").unwrap().fingerprint;
    let with = wallet(&dir, &more);
    assert_eq!(fingerprint(&with), fingerprint(&with));
    let without = wallet(&dir, "");
    assert_ne!(fingerprint(&without), fingerprint(&without));
}
