//! Rules between keys: what no single row can say.

mod callers;
mod exposure;

use super::Config;
use super::listeners::About;
use super::mistake::{Mistake, Warning};
use super::named::{CredentialConfig, Poll, Webhook};
use super::service::Engine;
use super::value::Value;
use crate::credentials::{Kind, Scopes, WEBHOOK_PATH_SECRET_MIN};

/// QIWI blocks a wallet's history for five minutes above this many requests in any minute.
const HISTORY_REQUESTS_MAX: u32 = 100;

/// Collects the findings of one check.
struct Findings<'a> {
    config: &'a Config,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

impl Config {
    /// Checks the rules between keys. [`Config::load`] has done so and refuses mistakes; callers
    /// want this for the warnings. With `security.strict` every warning is a mistake.
    #[must_use]
    pub fn check(&self) -> (Vec<Mistake>, Vec<Warning>) {
        let mut findings = Findings { config: self, mistakes: Vec::new(), warnings: Vec::new() };
        findings.order();
        findings.limit();
        findings.state();
        findings.tls();
        findings.exposure();
        for (name, credential) in &self.credentials {
            findings.credential(name, credential);
        }
        for (name, caller) in &self.callers {
            findings.caller(name, caller);
        }
        findings.callers_apart();
        findings.certificate_names();
        findings.hooks_apart();
        let Findings { mut mistakes, mut warnings, .. } = findings;
        if self.security.strict {
            mistakes.extend(warnings.drain(..).map(|warning| {
                let origin = self.origins.of(&warning.key);
                Mistake::new(warning.key, origin, warning.text)
            }));
        }
        (mistakes, warnings)
    }
}

impl Findings<'_> {
    fn mistake(&mut self, key: impl Into<String>, with: &[&str], text: impl Into<String>) {
        let key = key.into();
        let origin = self.config.origins.of(&key);
        let mut mistake = Mistake::new(key, origin, text);
        mistake.with = with.iter().map(|key| (*key).to_owned()).collect();
        self.mistakes.push(mistake);
    }

    fn warn(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.warnings.push(Warning { key: key.into(), text: text.into() });
    }

    /// Requires `low` not to be above `high`.
    fn ordered<T: Value + PartialOrd>(&mut self, low: (&str, &T), high: (&str, &T)) {
        if low.1 <= high.1 {
            return;
        }
        let shown = |value: &T| value.write().map_or_else(String::new, |raw| raw.plain());
        let text = format!(
            "found {}, expected at most {}, which is {}",
            shown(low.1),
            shown(high.1),
            high.0
        );
        self.mistake(low.0, &[high.0], text);
    }

    fn order(&mut self) {
        let c = self.config;
        macro_rules! ordered {
            ($($low_section:ident.$low:ident <= $high_section:ident.$high:ident;)+) => {$(
                self.ordered(
                    (concat!(stringify!($low_section), ".", stringify!($low)), &c.$low_section.$low),
                    (concat!(stringify!($high_section), ".", stringify!($high)), &c.$high_section.$high),
                );
            )+};
        }
        ordered! {
            grpc.metadata_max <= grpc.header_list_max;
            grpc.stream_window <= grpc.connection_window;
            deadline.read_default <= deadline.read_max;
            deadline.money_default <= deadline.money_max;
            deadline.money_min <= deadline.money_default;
            deadline.reserve <= deadline.short;
            admission.retry_min <= admission.retry_max;
            upstream.attempt_min <= upstream.attempt_timeout;
            retry.backoff_base <= retry.backoff_max;
            breaker.open_min <= breaker.open_max;
            cooldown.history <= cooldown.max;
            cooldown.other <= cooldown.max;
            cache.profile <= cache.hard_ttl;
            cache.balance <= cache.hard_ttl;
            events.poll_fastest <= events.poll_slowest;
        }
    }

    fn limit(&mut self) {
        let limit = &self.config.limit;
        let sum = limit.history_per_minute + limit.history_burst + limit.history_reserve;
        if sum > HISTORY_REQUESTS_MAX {
            let text = format!(
                "found {}, history_burst {} and history_reserve {}, together {sum}; expected at \
                 most {HISTORY_REQUESTS_MAX} together, above which QIWI blocks the wallet",
                limit.history_per_minute, limit.history_burst, limit.history_reserve
            );
            let others = ["limit.history_burst", "limit.history_reserve"];
            self.mistake("limit.history_per_minute", &others, text);
        }
        if limit.replicas > limit.history_per_minute {
            let text = format!(
                "found {}, expected at most history_per_minute, which is {}: each replica needs \
                 one request a minute",
                limit.replicas, limit.history_per_minute
            );
            self.mistake("limit.replicas", &["limit.history_per_minute"], text);
        }
    }

    fn state(&mut self) {
        let c = self.config;
        let shared = c.state.engine == Engine::Nats;
        if shared && c.state.nats_url.is_none() {
            self.mistake("state.nats_url", &["state.engine"], "is missing; engine nats needs it");
        }
        if shared {
            self.nats();
        }
        if !shared && c.state.nats_url.is_some() {
            self.warn("state.nats_url", "is not used: state.engine is not nats");
        }
        if !shared && c.limit.replicas > 1 {
            self.warn(
                "limit.replicas",
                "more than one replica needs state.engine nats: otherwise each has a ledger of its \
                 own and the same payment may be made twice",
            );
        }
        if shared {
            self.shared_limit();
        }
        if c.state.engine == Engine::Memory && !c.credentials.is_empty() {
            self.warn(
                "state.engine",
                "memory forgets the payment ledger and all events when the process ends; use \
                 embedded or nats with real credentials",
            );
        }
        if shared && c.pages.key_file.is_none() {
            self.warn(
                "pages.key_file",
                "without it a page token of one replica is refused by the others",
            );
        }
        if shared && c.security.fingerprint_pepper_file.is_none() {
            self.warn(
                "security.fingerprint_pepper_file",
                "without it the fingerprints of a token differ between replicas",
            );
        }
    }

    fn nats(&mut self) {
        let state = &self.config.state;
        let key = state.key_file.is_none();
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let prefix = &state.nats_prefix;
        let prefix = prefix.is_empty() || prefix.len() > 32 || !prefix.chars().all(named);
        let proof = state.nats_monitor_urls.is_none() && state.nats_placement_tag.is_none();
        let pairs = [
            ("state.nats_user", state.nats_user.is_some(), "nats_password_file"),
            ("state.nats_password_file", state.nats_password_file.is_some(), "nats_user"),
            ("state.nats_cert_file", state.nats_cert_file.is_some(), "nats_key_file"),
            ("state.nats_key_file", state.nats_key_file.is_some(), "nats_cert_file"),
        ];
        if key {
            self.mistake(
                "state.key_file",
                &["state.engine"],
                "is missing; with engine nats all replicas need the same key, in a file",
            );
        }
        if prefix {
            self.mistake(
                "state.nats_prefix",
                &[],
                "expected 1 to 32 letters, digits, - and _: streams and subjects begin with it",
            );
        }
        if proof {
            self.mistake(
                "state.nats_monitor_urls",
                &["state.engine"],
                "is missing, and so is nats_placement_tag: nothing shows that the brokers sync \
                 each write before they acknowledge it (sync_interval: always)",
            );
        }
        for (index, (name, is_there, other)) in pairs.into_iter().enumerate() {
            let partner = pairs.get(index ^ 1).is_some_and(|(_, there, _)| *there);
            if is_there && !partner {
                self.mistake(name, &[], format!("needs {other} beside it"));
            }
        }
    }

    /// What each replica may use alone while it cannot reach the others.
    fn shared_limit(&mut self) {
        let limit = &self.config.limit;
        let all = limit.history_per_minute + limit.history_burst + limit.history_reserve;
        if limit.replicas == 1 {
            self.warn(
                "limit.replicas",
                "says that one replica runs; expected the most that ever run at once, updates \
                 included: while more of them cannot reach each other, none reads a history",
            );
        } else if limit.replicas > all / 5 {
            let text = format!(
                "found {}, but the fifth of the limit for replicas that cannot reach each other \
                 is {} requests a minute: one that is cut off reads no history",
                limit.replicas,
                all / 5
            );
            self.warn("limit.replicas", text);
        }
    }

    fn credential(&mut self, name: &str, credential: &CredentialConfig) {
        let path = format!("credentials.{name}");
        let kind_key = format!("{path}.kind");
        let kind = credential.kind;
        // Rows of: key, is it given, may this kind have it.
        let wallet_kind = matches!(kind, Kind::Wallet | Kind::Information);
        let webhook_key =
            credential.webhook_key_file.is_some() || credential.webhook_key_env.is_some();
        for (key, given, allowed) in [
            ("token_file", credential.token_file.is_some(), wallet_kind),
            ("token_env", credential.token_env.is_some(), wallet_kind),
            ("secret_file", credential.secret_file.is_some(), !wallet_kind),
            ("secret_env", credential.secret_env.is_some(), !wallet_kind),
            ("wallet", credential.wallet.is_some(), kind != Kind::Merchant),
            ("merchant_site", credential.merchant_site.is_some(), kind == Kind::Merchant),
            ("client_cert_file", credential.client_cert_file.is_some(), kind == Kind::Merchant),
            ("client_key_file", credential.client_key_file.is_some(), kind == Kind::Merchant),
            ("scopes", credential.scopes.is_some(), kind == Kind::Wallet),
            ("webhook", credential.webhook != Webhook::Off, kind == Kind::Wallet),
            ("webhook_replace", credential.webhook_replace, kind == Kind::Wallet),
            ("poll", credential.poll != Poll::Auto, wallet_kind),
            ("webhook_key_file", credential.webhook_key_file.is_some(), kind == Kind::Wallet),
            ("webhook_key_env", credential.webhook_key_env.is_some(), kind == Kind::Wallet),
            (
                "webhook_path_secret_file",
                credential.webhook_path_secret_file.is_some(),
                kind != Kind::Information,
            ),
        ] {
            if given && !allowed {
                let text =
                    format!("a credential of kind {kind} has none; expected it to be absent");
                self.mistake(format!("{path}.{key}"), &[&kind_key], text);
            }
        }
        let (file_key, file, env) = if wallet_kind {
            ("token", &credential.token_file, &credential.token_env)
        } else {
            ("secret", &credential.secret_file, &credential.secret_env)
        };
        self.one_source(&path, file_key, &kind_key, (file.is_some(), env.is_some()), true);
        let key_given =
            (credential.webhook_key_file.is_some(), credential.webhook_key_env.is_some());
        let needed = kind == Kind::Wallet && credential.webhook == Webhook::Static;
        self.one_source(&path, "webhook_key", &format!("{path}.webhook"), key_given, needed);
        if webhook_key && credential.webhook != Webhook::Static && kind == Kind::Wallet {
            let text = "is not used: only webhook = \"static\" takes a key";
            self.warn(format!("{path}.webhook_key_file"), text);
        }
        match kind {
            Kind::Merchant => {
                self.merchant(&path, &kind_key, credential);
                if self.config.notifications.enabled {
                    self.address_fits(About::Pay, name, &kind_key, credential);
                }
            }
            Kind::Wallet => {
                self.scopes(&path, credential);
                self.hook(name, &path, credential);
            }
            Kind::Information | Kind::P2p => {}
        }
    }

    /// Requires a secret to have one source, or at most one where it is not `needed`.
    fn one_source(
        &mut self,
        path: &str,
        what: &str,
        because: &str,
        (file, env): (bool, bool),
        needed: bool,
    ) {
        let key = format!("{path}.{what}_file");
        let text = match (file, env) {
            (true, true) => format!("both {what}_file and {what}_env are given, expected one"),
            (false, false) if needed => format!("is missing; expected {what}_file or {what}_env"),
            _ => return,
        };
        let other = format!("{path}.{what}_env");
        // A secret written inline has been reported already, with the same advice.
        let inline = format!("{path}.{what}");
        self.mistake(key, &[&other, because, &inline], text);
    }

    fn merchant(&mut self, path: &str, kind_key: &str, credential: &CredentialConfig) {
        if credential.merchant_site.is_none() {
            let key = format!("{path}.merchant_site");
            self.mistake(key, &[kind_key], "is missing; a merchant has one");
        }
        let (cert, key) = (&credential.client_cert_file, &credential.client_key_file);
        match (cert.is_some(), key.is_some()) {
            (true, false) => self.mistake(
                format!("{path}.client_key_file"),
                &[],
                "is missing; client_cert_file needs its private key",
            ),
            (false, true) => self.mistake(
                format!("{path}.client_cert_file"),
                &[],
                "is missing; client_key_file needs its certificate",
            ),
            (false, false) => self.warn(
                format!("{path}.client_cert_file"),
                "without a client certificate only payment forms can be built: QIWI PAY demands \
                 one for every other operation",
            ),
            (true, true) => {}
        }
    }

    fn scopes(&mut self, path: &str, credential: &CredentialConfig) {
        let Some(scopes) = credential.scopes else {
            return;
        };
        let key = format!("{path}.scopes");
        let for_cards = Scopes::INFORMATION.without(Scopes::BALANCE).union(Scopes::PAYMENTS);
        let missing = for_cards.without(scopes);
        if scopes.contains(Scopes::CARDS) && !missing.is_empty() {
            self.warn(&*key, format!("CARDS also needs {missing}"));
        }
        if credential.webhook == Webhook::Managed && !scopes.contains(Scopes::PAYMENTS) {
            let webhook = format!("{path}.webhook");
            self.mistake(webhook, &[&key], "managing a hook needs the scope PAYMENTS");
        }
    }

    /// What a hook the gateway looks after needs.
    fn hook(&mut self, name: &str, path: &str, credential: &CredentialConfig) {
        let key = format!("{path}.webhook");
        if credential.webhook != Webhook::Managed {
            if credential.webhook_replace {
                let text = "is not used: only webhook = \"managed\" registers hooks";
                self.warn(format!("{path}.webhook_replace"), text);
            }
            return;
        }
        let notifications = &self.config.notifications;
        if !notifications.enabled {
            let text = "managing a hook needs the listener it leads to, and notifications.enabled \
                        is false";
            self.mistake(&*key, &["notifications.enabled"], text);
        }
        if notifications.address(About::Wallet, name, None).is_none() {
            let text = "managing a hook needs notifications.public_url, the address it leads to";
            self.mistake(&*key, &["notifications.public_url"], text);
        }
        self.address_fits(About::Wallet, name, &key, credential);
    }

    /// Refuses an address that is too long for QIWI.
    fn address_fits(&mut self, about: About, name: &str, key: &str, credential: &CredentialConfig) {
        // The secret is in a file; what it has at least is known.
        let least = "-".repeat(WEBHOOK_PATH_SECRET_MIN);
        let secret = credential.webhook_path_secret_file.is_some().then_some(&*least);
        let address = self.config.notifications.address(about, name, secret);
        let length = address.map_or(0, |address| address.len());
        if let Some(most) = about.length_max().filter(|most| length > *most) {
            let text = format!(
                "the address of its notifications has at least {length} characters, expected at \
                 most {most}: shorten notifications.public_url or the credential's name"
            );
            self.mistake(key, &["notifications.public_url"], text);
        }
    }

    /// A wallet has one hook; two credentials that look after it would take it from each other.
    fn hooks_apart(&mut self) {
        let config = self.config;
        let mut seen = std::collections::BTreeMap::new();
        for (name, credential) in &config.credentials {
            let managed = credential.kind == Kind::Wallet && credential.webhook == Webhook::Managed;
            if managed
                && let Some(wallet) = &credential.wallet
                && let Some(other) = seen.insert(wallet.digits(), name)
            {
                let text = format!(
                    "a wallet has one hook, and the credential {other} manages that of this wallet"
                );
                let because = format!("credentials.{other}.webhook");
                self.mistake(format!("credentials.{name}.webhook"), &[&because], text);
            }
        }
    }
}
