//! Layers, mistakes, names: the configuration as operators write it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

fn from_env(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(None, variables)
}

/// Asserts that the TOML has exactly these mistakes, each starting as given.
#[track_caller]
fn check_toml(toml: &str, expected: &[&str]) {
    check(Config::from_toml(toml), expected);
}

#[track_caller]
fn check(result: Result<Config, Mistakes>, expected: &[&str]) {
    let text = match result {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string(),
    };
    let lines: Vec<_> = text.lines().collect();
    let matches = lines.len() == expected.len()
        && lines.iter().zip(expected).all(|(line, start)| line.starts_with(start));
    assert!(matches, "found:\n{text}\nexpected:\n{}", expected.join("\n"));
}

#[test]
fn every_default_satisfies_its_own_row_and_the_rules_between_rows() {
    for key in keys() {
        let Some(default) = &key.default else {
            continue;
        };
        if key.section.contains('<') || default.is_empty() {
            continue;
        }
        let name = key.variable();
        let config = from_env(&[(&name, default)]);
        assert!(config.is_ok(), "{}: {}", key.path(), config.unwrap_err());
    }
    let (mistakes, warnings) = Config::default().check();
    assert_eq!((mistakes, warnings), (vec![], vec![]));
}

#[test]
fn keys_are_unique_and_documented() {
    let keys = keys();
    let paths: BTreeSet<_> = keys.iter().map(Key::path).collect();
    assert_eq!(paths.len(), keys.len());
    assert!(keys.len() > 100, "{} keys", keys.len());
    for key in &keys {
        assert!(key.doc.ends_with('.'), "{}: {}", key.path(), key.doc);
        assert!(!key.name.contains("__"), "{}", key.path());
    }
    let sections: BTreeSet<_> = keys.iter().map(|key| key.section).collect();
    let listed: BTreeSet<_> = SECTIONS.iter().copied().collect();
    let stem = |section: &'static str| section.split('.').next().unwrap();
    assert_eq!(sections.into_iter().map(stem).collect::<BTreeSet<_>>(), listed);
}

#[test]
fn the_environment_is_above_the_file_and_the_file_above_defaults() {
    let mut layers = Layers::default();
    let mut mistakes = Vec::new();
    layers.add_toml("f", "[retry]\nattempts_max = 4\nbackoff_base = \"60ms\"\n", &mut mistakes);
    let variable = ("QIWI_GATEWAY_RETRY__ATTEMPTS_MAX".to_owned(), "5".to_owned());
    layers.add_environment(std::iter::once(variable));
    let config = Config::from_layers(layers, mistakes).unwrap();
    assert_eq!(config.retry.attempts_max, 5);
    assert_eq!(config.retry.backoff_base, Duration::from_millis(60));
    assert_eq!(config.retry.backoff_max, Duration::from_millis(800));
    let origin = Origin::Environment("QIWI_GATEWAY_RETRY__ATTEMPTS_MAX".to_owned());
    assert_eq!(config.origins.of("retry.attempts_max"), origin);
    assert_eq!(config.origins.of("retry.backoff_max"), Origin::Default);
}

#[test]
fn an_empty_configuration_is_the_default_one() {
    assert_eq!(Config::from_toml("").unwrap(), Config::default());
    let unrelated =
        [("PATH", "/bin"), ("OTEL_SERVICE_NAME", "x"), ("QIWI_GATEWAY_PORT", "tcp://10.0.0.1:1")];
    assert_eq!(from_env(&unrelated).unwrap(), Config::default());
}

#[test]
fn all_mistakes_are_reported_at_once_with_key_source_found_and_expected() {
    let mut layers = Layers::default();
    let mut mistakes = Vec::new();
    let toml = "[grpc]\nlisten = \"here\"\nlisen = \"127.0.0.1:1\"\n[retri]\nattempts_max = 1\n\
                [limit]\nreplicas = 0\n[cache]\nprofile = 5\n";
    layers.add_toml("gateway.toml", toml, &mut mistakes);
    let variables = [
        ("QIWI_GATEWAY_DRAIN__GRACE", "soon"),
        ("QIWI_GATEWAY_DRAIN__GRASE", "5s"),
        ("QIWI_GATEWAY_DRIAN__GRACE", "5s"),
        ("QIWI_GATEWAY_GRPC_LISTEN", "127.0.0.1:1"),
        ("QIWI_GATEWAY_COLOUR", "blue"),
    ];
    layers.add_environment(variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
    let mistakes = Config::from_layers(layers, mistakes).unwrap_err();
    assert_eq!(
        mistakes.to_string(),
        "grpc.listen (gateway.toml line 2): found \"here\", expected an address and port, such as \
         127.0.0.1:50051 or [::1]:50051; port 0 is any free one\n\
         grpc.lisen (gateway.toml line 3): unknown key; did you mean grpc.listen?\n\
         limit.replicas (gateway.toml line 7): found 0, expected a whole number, from 1 to 1000\n\
         cache.profile (gateway.toml line 9): found 5, expected a duration with its unit, such as \
         250ms, 5s, 1m30s or 72h, from 0s to 1h\n\
         drain.grace (environment variable QIWI_GATEWAY_DRAIN__GRACE): found \"soon\", expected a \
         duration with its unit, such as 250ms, 5s, 1m30s or 72h, from 0s to 1h\n\
         drain.grase (environment variable QIWI_GATEWAY_DRAIN__GRASE): unknown key; did you mean \
         QIWI_GATEWAY_DRAIN__GRACE?\n\
         drian.grace (environment variable QIWI_GATEWAY_DRIAN__GRACE): unknown section; did you \
         mean QIWI_GATEWAY_DRAIN__GRACE?\n\
         retri (gateway.toml line 4): unknown section; did you mean [retry]?\n\
         colour (environment variable QIWI_GATEWAY_COLOUR): unknown variable; expected \
         QIWI_GATEWAY_<SECTION>__<KEY>\n\
         grpc_listen (environment variable QIWI_GATEWAY_GRPC_LISTEN): unknown variable; did you \
         mean QIWI_GATEWAY_GRPC__LISTEN?"
    );
}

#[test]
fn broken_toml_is_a_mistake_that_does_not_quote_the_file() {
    let error = Config::from_toml("[credentials.a]\ntoken = hush-hush\n").unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    assert!(!error.contains("hush"), "{error}");
    check_toml("grpc = 1\n", &["grpc (configuration line 1): expected a [section]"]);
    check_toml(
        "[credentials]\nmain = 1\n",
        &["credentials.main (configuration line 2): expected a section"],
    );
}

#[test]
fn a_missing_file_is_a_mistake() {
    let error = Config::load(Some(Path::new("no-such-file.toml")), std::iter::empty());
    check(error, &["file (no-such-file.toml): cannot be read"]);
}

#[test]
fn named_sections_come_from_file_and_environment() {
    let mut layers = Layers::default();
    let mut mistakes = Vec::new();
    let toml =
        "[credentials.main-shop]\nkind = \"wallet\"\ntoken_file = \"a\"\nscopes = [\"profile\"]\n";
    layers.add_toml("f", toml, &mut mistakes);
    let variables = [
        ("QIWI_GATEWAY_CREDENTIALS__MAIN_SHOP__TOKEN_FILE", "b"),
        ("QIWI_GATEWAY_CREDENTIALS__INFO__KIND", "information"),
        ("QIWI_GATEWAY_CREDENTIALS__INFO__TOKEN_ENV", "QIWI_GATEWAY_INFO_TOKEN"),
        ("QIWI_GATEWAY_INFO_TOKEN", "hush"),
        ("QIWI_GATEWAY_CALLERS__SHOP__KEY_ENV", "QIWI_GATEWAY_SHOP__KEY"),
        ("QIWI_GATEWAY_SHOP__KEY", "hush"),
        ("QIWI_GATEWAY_CALLERS__SHOP__CREDENTIALS", "main-shop,info"),
        ("QIWI_GATEWAY_CALLERS__SHOP__GROUPS", "read,Pay"),
    ];
    layers.add_environment(variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
    let config = Config::from_layers(layers, mistakes).unwrap();
    let main = &config.credentials["main-shop"];
    assert_eq!(main.token_file.as_deref(), Some(Path::new("b")));
    assert_eq!(main.scopes, Some(crate::credentials::Scopes::PROFILE));
    assert_eq!(config.credentials["info"].kind, crate::credentials::Kind::Information);
    let shop = &config.callers["shop"];
    assert_eq!(shop.credentials, ["main-shop", "info"]);
    assert_eq!(shop.groups, [crate::credentials::Group::Read, crate::credentials::Group::Pay]);
}

#[test]
fn a_secret_written_inline_is_refused_and_not_repeated() {
    let toml = "[credentials.a]\nkind = \"wallet\"\ntoken = \"hush-hush\"\n\
                [callers.b]\nkey = \"hush-hush\"\ncredentials = [\"*\"]\n";
    let error = Config::from_toml(toml).unwrap_err().to_string();
    assert!(!error.contains("hush"), "{error}");
    check_toml(
        toml,
        &[
            "callers.b.key (configuration line 5): a secret is never written",
            "credentials.a.token (configuration line 3): a secret is never written",
        ],
    );
}

#[test]
fn each_kind_of_credential_has_its_own_keys() {
    let wrong =
        |rest: &str, expected: &[&str]| check_toml(&format!("[credentials.a]\n{rest}"), expected);
    wrong(
        "token_file = \"t\"",
        &[
            "credentials.a.kind (configuration line 1): kind is missing; expected wallet, information, p2p or merchant",
        ],
    );
    wrong(
        "kind = \"walet\"\ntoken_file = \"t\"",
        &["credentials.a.kind (configuration line 2): found \"walet\""],
    );
    wrong(
        "kind = \"wallet\"",
        &["credentials.a.token_file (default): is missing; expected token_file or token_env"],
    );
    wrong(
        "kind = \"wallet\"\ntoken_file = \"t\"\ntoken_env = \"T\"",
        &["credentials.a.token_file (configuration line 3): both token_file and token_env"],
    );
    wrong(
        "kind = \"information\"\ntoken_file = \"t\"\nscopes = [\"PROFILE\"]",
        &["credentials.a.scopes (configuration line 4): a credential of kind information has none"],
    );
    wrong(
        "kind = \"p2p\"\ntoken_file = \"t\"",
        &["credentials.a.token_file", "credentials.a.secret_file (default): is missing"],
    );
    wrong(
        "kind = \"merchant\"\nsecret_file = \"s\"",
        &["credentials.a.merchant_site (default): is missing"],
    );
    wrong(
        "kind = \"merchant\"\nmerchant_site = \"s-1\"\nsecret_file = \"s\"\nclient_cert_file = \"c\"",
        &["credentials.a.client_key_file (default): is missing"],
    );
    wrong(
        "kind = \"wallet\"\ntoken_file = \"t\"\nwebhook = \"static\"",
        &["credentials.a.webhook_key_file (default): is missing"],
    );
    wrong(
        "kind = \"wallet\"\ntoken_file = \"t\"\nwebhook = \"managed\"\nscopes = [\"HISTORY\"]",
        &[
            "credentials.a.webhook (configuration line 4): managing a hook needs the scope PAYMENTS",
            "credentials.a.webhook (configuration line 4): managing a hook needs notifications.public_url",
        ],
    );
    wrong(
        "kind = \"information\"\ntoken_file = \"t\"\nwebhook = \"managed\"\nwebhook_replace = true",
        &[
            "credentials.a.webhook (configuration line 4): a credential of kind information has none",
            "credentials.a.webhook_replace (configuration line 5): a credential of kind information has none",
        ],
    );
    wrong(
        "kind = \"wallet\"\ntoken_file = \"t\"\nwallet = \"7900000000x\"",
        &[
            "credentials.a.wallet (configuration line 4): found \"***000x\" of 11 characters, expected 10 to 15 digits",
        ],
    );
    wrong(
        "kind = \"wallet\"\ntoken_env = \"0123456789abcdef\"",
        &[
            "credentials.a.token_env (configuration line 3): found text of 16 characters, expected the name of an",
        ],
    );
    check_toml(
        "[credentials.Main]\nkind = \"wallet\"\ntoken_file = \"t\"",
        &["credentials.Main (configuration line 1): a name has"],
    );
}

#[test]
fn rules_between_keys_name_both() {
    check_toml(
        "[limit]\nhistory_per_minute = 95\n",
        &[
            "limit.history_per_minute (configuration line 2): found 95, history_burst 10 and history_reserve 10, together 115",
        ],
    );
    check_toml(
        "[deadline]\nread_default = \"2m\"\n",
        &[
            "deadline.read_default (configuration line 2): found 2m, expected at most 1m, which is deadline.read_max",
        ],
    );
    check_toml(
        "[state]\nengine = \"nats\"\nnats_prefix = \"a.b\"\nnats_user = \"me\"\nnats_key_file = \"k\"\n",
        &[
            "state.nats_url (default): is missing",
            "state.key_file (default): is missing; with engine nats",
            "state.nats_prefix (configuration line 3): expected 1 to 32 letters",
            "state.nats_monitor_urls (default): is missing, and so is nats_placement_tag",
            "state.nats_user (configuration line 4): needs nats_password_file beside it",
            "state.nats_key_file (configuration line 5): needs nats_cert_file beside it",
        ],
    );
    check_toml(
        "[callers.a]\nsan = [\"shop.example\"]\ncredentials = [\"mian\"]\n\
         [callers.b]\nsan = [\"Shop.example\"]\ncredentials = [\"*\"]\n\
         [credentials.main]\nkind = \"wallet\"\ntoken_file = \"t\"\n",
        &[
            "callers.a.credentials (configuration line 3): there is no credential called \"mian\"; did you mean main?",
            "callers.b.san (configuration line 5): \"Shop.example\" already names the caller a",
        ],
    );
}

#[test]
fn a_rule_between_keys_is_silent_when_one_of_them_is_wrong_already() {
    check_toml(
        "[limit]\nhistory_per_minute = 95\nhistory_burst = \"few\"\n",
        &["limit.history_burst (configuration line 3): found \"few\""],
    );
}

#[test]
fn warnings_become_mistakes_when_strict() {
    let open =
        "[grpc]\nlisten = \"0.0.0.0:50051\"\n[upstream]\nedge_url = \"http://edge.example/\"\n";
    let config = Config::from_toml(open).unwrap();
    let (mistakes, warnings) = config.check();
    let keys: Vec<_> = warnings.iter().map(|warning| warning.key.as_str()).collect();
    let expected = vec![
        // In the clear, and for everybody.
        "grpc.listen",
        "grpc.listen",
        "security.pass_through",
        "grpc.reflection",
        "upstream.edge_url",
    ];
    assert_eq!((mistakes.len(), keys), (0, expected));
    check_toml(
        &format!("{open}[security]\nstrict = true\n"),
        &[
            "grpc.listen (configuration line 2)",
            "grpc.listen (configuration line 2)",
            "security.pass_through (default)",
            "grpc.reflection (default)",
            "upstream.edge_url (configuration line 4)",
        ],
    );
}

/// The keys of all warnings, each once.
fn warned(toml: &str) -> Vec<String> {
    let config = Config::from_toml(toml).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let mut keys: Vec<_> = config.check().1.into_iter().map(|warning| warning.key).collect();
    keys.dedup();
    keys
}

#[test]
fn what_other_machines_reach_is_encrypted_or_said_not_to_need_it() {
    let everywhere = "[grpc]\nlisten = \"0.0.0.0:1\"\nreflection = false\n\
                      [notifications]\nlisten = \"[::]:2\"\n[admin]\nlisten = \"10.0.0.7:3\"\n\
                      [callers.shop]\nkey_file = \"k\"\npass_through = true\n";
    let plain = ["grpc.listen", "admin.listen", "notifications.listen"];
    assert_eq!(warned(everywhere), plain);
    let behind = "[security]\nplaintext_listeners = [\"grpc\", \"notifications\", \"admin\"]\n";
    assert_eq!(warned(&format!("{everywhere}{behind}")), [""; 0]);
    let some = "[security]\nplaintext_listeners = [\"admin\"]\nstrict = false\n";
    let tls = "tls_cert_file = \"c\"\ntls_key_file = \"k\"\n";
    let encrypted = everywhere
        .replace("[grpc]\n", &format!("[grpc]\n{tls}"))
        .replace("[notifications]\n", &format!("[notifications]\n{tls}"));
    assert_eq!(warned(&format!("{encrypted}{some}")), [""; 0]);
    // A listener that is not opened is reached by nobody.
    let closed = everywhere.replace("[notifications]\n", "[notifications]\nenabled = false\n");
    assert_eq!(warned(&closed), ["grpc.listen", "admin.listen"]);
    // Nobody expects TLS to be named as its absence.
    let both = "[security]\nplaintext_listeners = [\"grpc\", \"admin\"]\n";
    assert_eq!(warned(&format!("{encrypted}{both}")), ["security.plaintext_listeners"]);
}

#[test]
fn with_client_certificates_reflection_is_for_those_who_have_one() {
    let toml = "[grpc]\nlisten = \"0.0.0.0:1\"\ntls_cert_file = \"c\"\ntls_key_file = \"k\"\n\
                tls_client_ca_file = \"a\"\n\
                [callers.shop]\nsan = [\"shop.example\"]\npass_through = true\n";
    assert_eq!(warned(toml), [""; 0]);
    let optional = toml.replace("[callers", "tls_client_auth = \"optional\"\n[callers");
    assert_eq!(warned(&optional), ["grpc.reflection"]);
    // Without callers everybody with a certificate may do everything.
    let all = toml.split("[callers").next().unwrap();
    assert_eq!(warned(all), ["grpc.listen", "security.pass_through"]);
}

#[test]
fn keys_about_tls_belong_together() {
    for (toml, expected) in [
        ("[grpc]\ntls_cert_file = \"c\"\n", "grpc.tls_key_file (default): is missing"),
        ("[admin]\ntls_key_file = \"k\"\n", "admin.tls_cert_file (default): is missing"),
        (
            "[notifications]\ntls_client_ca_file = \"a\"\n",
            "notifications.tls_client_ca_file (configuration line 2): needs tls_cert_file",
        ),
        (
            "[grpc]\ntls_client_auth = \"optional\"\n",
            "grpc.tls_client_auth (configuration line 2): needs tls_client_ca_file",
        ),
        (
            "[grpc]\ntls_client_auth = \"sometimes\"\n",
            "grpc.tls_client_auth (configuration line 2): found \"sometimes\", expected required or optional",
        ),
    ] {
        check_toml(toml, &[expected]);
    }
}

#[test]
fn callers_name_services_that_exist_and_limits_that_mean_something() {
    let toml = |more: &str| format!("[callers.a]\nkey_file = \"k\"\npass_through = true\n{more}\n");
    check_toml(
        &toml("services = [\"qiwi.wallet.v1.BalanceServices\", \"*\"]"),
        &["callers.a.services (configuration line 4): there is no service called \
           \"qiwi.wallet.v1.BalanceServices\"; did you mean qiwi.wallet.v1.BalanceService?"],
    );
    check_toml(&toml("services = [\"grpc.health.v1.Health\"]"), &["callers.a.services"]);
    check_toml(&toml("services = [\"qiwi.events.v1.EventService\"]\ncalls_per_second = 5"), &[]);
    assert_eq!(warned(&toml("services = []")), ["callers.a.services"]);
    assert_eq!(warned(&toml("calls_burst = 5")), ["callers.a.calls_burst"]);
    let certified = "[callers.a]\nsan = [\"a.example\"]\npass_through = true\n";
    assert_eq!(warned(certified), ["callers.a.san"]);
}

#[test]
fn replicas_that_share_a_limit_are_told_how_many_they_are() {
    for (replicas, told) in [(1, Some("one replica")), (3, None), (20, None), (21, Some("cut off"))]
    {
        let toml = format!(
            "[state]\nengine = \"nats\"\nnats_url = \"nats://a:1\"\nkey_file = \"k\"\nnats_placement_tag = \"synced\"\n[limit]\nreplicas = {replicas}\n"
        );
        let (_, warnings) = Config::from_toml(&toml).unwrap().check();
        let found = warnings.iter().find(|warning| warning.key == "limit.replicas");
        assert_eq!(found.is_some(), told.is_some(), "{replicas}");
        assert!(found.is_none_or(|found| found.text.contains(told.unwrap())), "{replicas}");
    }
}

#[test]
fn a_hook_the_gateway_looks_after_has_an_address_qiwi_takes_and_a_wallet_of_its_own() {
    let managed = |name: &str, more: &str| {
        format!(
            "[credentials.{name}]\nkind = \"wallet\"\ntoken_file = \"t\"\nwebhook = \"managed\"\n{more}"
        )
    };
    let public = |url: &str| format!("[notifications]\npublic_url = \"{url}\"\n");
    // `/notifications/wallet/a` has 23 characters, and a secret at least sixteen and a slash.
    let long = |length: usize| format!("https://pay.example/{}", "x".repeat(length - 20));
    check_toml(&(public(&long(77)) + &managed("a", "")), &[]);
    let at_least = |length: usize| {
        format!(
            "credentials.a.webhook (configuration line 6): the address of its notifications has at \
             least {length} characters"
        )
    };
    check_toml(&(public(&long(78)) + &managed("a", "")), &[&at_least(101)]);
    let secret = "webhook_path_secret_file = \"s\"\n";
    check_toml(&(public(&long(60)) + &managed("a", secret)), &[]);
    check_toml(&(public(&long(61)) + &managed("a", secret)), &[&at_least(101)]);
    check_toml(
        &(public("https://pay.example") + "enabled = false\n" + &managed("a", "")),
        &["credentials.a.webhook (configuration line 7): managing a hook needs the listener"],
    );
    let own = "wallet = \"79000000001\"\n";
    check_toml(
        &(public("https://pay.example") + &managed("a", own) + &managed("b", own)),
        &[
            "credentials.b.webhook (configuration line 11): a wallet has one hook, and the credential a",
        ],
    );
    for (url, warnings) in [
        ("http://pay.example", &["notifications.public_url"][..]),
        ("http://127.0.0.1:8080", &[]),
        ("https://pay.example", &[]),
    ] {
        let toml = format!(
            "{}[state]\nengine = \"embedded\"\n{}",
            public(url),
            managed("a", "webhook_replace = true\n")
        );
        let (_, found) = Config::from_toml(&toml).unwrap().check();
        let found: Vec<_> = found.iter().map(|warning| warning.key.as_str()).collect();
        assert_eq!(found, warnings, "{url}");
    }
    let idle = "[state]\nengine = \"embedded\"\n[credentials.a]\nkind = \"wallet\"\n\
                token_file = \"t\"\nwebhook_replace = true\n";
    let (_, found) = Config::from_toml(idle).unwrap().check();
    assert_eq!(found[0].key, "credentials.a.webhook_replace");
}

#[test]
fn a_merchants_notifications_have_an_address_qiwi_pay_takes() {
    let merchant =
        "[credentials.a]\nkind = \"merchant\"\nmerchant_site = \"1\"\nsecret_file = \"s\"\n";
    let public = |url: &str| format!("[notifications]\npublic_url = \"{url}\"\n");
    // `/notifications/pay/a` has 20 characters, and a secret at least sixteen and a slash.
    let long = |length: usize| format!("https://pay.example/{}", "x".repeat(length - 20));
    let at_least = |length: usize| {
        format!(
            "credentials.a.kind (configuration line 4): the address of its notifications has at \
             least {length} characters"
        )
    };
    check_toml(&(public(&long(236)) + merchant), &[]);
    check_toml(&(public(&long(237)) + merchant), &[&at_least(257)]);
    let secret = "webhook_path_secret_file = \"s\"\n";
    check_toml(&(public(&long(219)) + merchant + secret), &[]);
    check_toml(&(public(&long(220)) + merchant + secret), &[&at_least(257)]);
    check_toml(&(public(&long(237)) + "enabled = false\n" + merchant), &[]);
    for (url, warned) in [("https://pay.example:8443", true), ("https://pay.example:443", false)] {
        let (_, found) = Config::from_toml(&(public(url) + merchant)).unwrap().check();
        let warnings = found.iter().filter(|of| of.key == "notifications.public_url").count();
        assert_eq!(warnings == 1, warned, "{url}");
    }
}

#[test]
fn the_dump_reads_back_as_the_same_configuration_and_shows_no_private_value() {
    let toml = "[drain]\ngrace = \"45s\"\n[state]\nengine = \"nats\"\nnats_url = \"nats://me:hush@a:1\"\n\
                key_file = \"k\"\nnats_monitor_urls = \"http://a:8222\"\n\
                [credentials.a]\nkind = \"wallet\"\nwallet = \"79000000001\"\ntoken_file = \"t\"\n";
    let config = Config::from_toml(toml).unwrap();
    let dump = config.dump_redacted();
    assert!(!dump.contains("hush") && !dump.contains("7900000000"), "{dump}");
    assert!(dump.contains("grace = \"45s\" # configuration line 2\n"), "{dump}");
    assert!(dump.contains("wallet = \"***0001\" # configuration line 10\n"), "{dump}");
    assert!(dump.contains("nats_url = \"nats://***@a:1\""), "{dump}");
    assert!(dump.contains("# ca_file is not set\n"), "{dump}");
    assert!(!format!("{config:?}").contains("hush"));

    let config = Config::default();
    let mut again = Config::from_toml(&config.dump_redacted()).unwrap();
    again.origins = Origins::default();
    assert_eq!(again, config);
}

#[test]
fn chart_made_numbers_and_quoted_values_are_understood() {
    let config = Config::from_toml(
        "[grpc]\nstreams_max = 128.0\nmessage_max = 1024\n[cache]\nenabled = \"false\"\n[retry]\nbudget_percent = \"20%\"\n",
    )
    .unwrap();
    assert_eq!(config.grpc.streams_max, 128);
    assert_eq!(config.grpc.message_max, Size::kib(1));
    assert!(!config.cache.enabled);
    assert_eq!(config.retry.budget_percent, Percent(20));
    assert_eq!(config.drain.lame_duck, Duration::from_secs(5));
}

#[test]
fn the_markdown_lists_every_key_once() {
    let text = keys_markdown();
    for key in keys() {
        let row = format!("| `{}` | `{}` |", key.name, key.variable());
        assert_eq!(text.matches(&row).count(), 1, "{row}");
    }
    assert!(text.contains("`QIWI_GATEWAY_CREDENTIALS__<NAME>__TOKEN_FILE`"), "{text}");
    assert!(text.contains("| `kind` | `QIWI_GATEWAY_CREDENTIALS__<NAME>__KIND` | required |"));
}
