//! Who calls, and what each caller may do.
//!
//! A caller is known by a static key or by a name in its TLS client certificate. Whether the
//! certificate is good is the listener's business, refusing a call the edge's.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::hmac;
use secrecy::ExposeSecret;

use super::secret::{Source, check_token};
use crate::config::choices::{choice_value, choices};
use crate::config::{CallerConfig, Config, Mistake, Mistakes};

/// A shorter key could be found by trying.
const KEY_BYTES_MIN: usize = 16;

choices! {
    /// Groups of operations a caller may be allowed.
    pub enum Group {
        /// Everything that changes nothing.
        Read = "read",
        /// What moves money or changes a wallet.
        Pay = "pay",
        /// Looking after credentials and hooks.
        Admin = "admin",
    }
}
choice_value!(Group);

/// One caller and what it may do.
#[derive(Debug)]
pub struct Caller {
    /// Its name in the configuration.
    pub name: Arc<str>,
    credentials: Allowed,
    groups: Vec<Group>,
    pass_through: bool,
}

#[derive(Debug)]
enum Allowed {
    All,
    Named(Vec<String>),
}

impl Caller {
    /// The caller of this configuration.
    pub(crate) fn new(name: &str, config: &CallerConfig) -> Self {
        let credentials = if config.credentials.iter().any(|name| name == "*") {
            Allowed::All
        } else {
            Allowed::Named(config.credentials.clone())
        };
        Self {
            name: name.into(),
            credentials,
            groups: config.groups.clone(),
            pass_through: config.pass_through,
        }
    }

    /// Whether it may use the credential of this name.
    #[must_use]
    pub fn may_use(&self, credential: &str) -> bool {
        match &self.credentials {
            Allowed::All => true,
            Allowed::Named(names) => names.iter().any(|name| name == credential),
        }
    }

    /// Whether it may use every credential.
    #[must_use]
    pub const fn may_use_all(&self) -> bool {
        matches!(self.credentials, Allowed::All)
    }

    /// Whether it may bring a token of its own. `security.pass_through` must allow it too.
    #[must_use]
    pub const fn may_pass_through(&self) -> bool {
        self.pass_through
    }

    /// Whether it may call the operations of a group. No group contains another.
    #[must_use]
    pub fn in_group(&self, group: Group) -> bool {
        self.groups.contains(&group)
    }
}

/// All callers the configuration knows.
pub struct Callers {
    /// Keys are stored and looked up by their HMAC under a key of this process. What a look-up's
    /// duration may tell about an HMAC tells nothing about the caller's key.
    blind: hmac::Key,
    by_key: ArcSwap<HashMap<Vec<u8>, Arc<Caller>>>,
    by_san: HashMap<String, Arc<Caller>>,
    plans: Vec<Plan>,
}

/// A caller and the place of its key.
struct Plan {
    caller: Arc<Caller>,
    key: Option<(Source, KeyName)>,
}

/// Where the key's place was configured, for messages.
struct KeyName {
    path: String,
    origin: crate::config::Origin,
}

impl Callers {
    /// Reads every caller of the configuration; `env` gives environment variables.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with any of them.
    pub fn load(config: &Config, env: impl Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        let random = ring::rand::SystemRandom::new();
        let blind = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| {
            let origin = crate::config::Origin::Default;
            let text = "the system has no random numbers to protect caller keys with";
            Mistakes(vec![Mistake::new("callers", origin, text)])
        })?;
        let mut by_san = HashMap::new();
        let mut plans = Vec::new();
        for (name, caller_config) in &config.callers {
            let caller = Arc::new(Caller::new(name, caller_config));
            for san in &caller_config.san {
                by_san.insert(normal(san), Arc::clone(&caller));
            }
            let (file, variable) =
                (caller_config.key_file.as_ref(), caller_config.key_env.as_ref());
            let key = Source::of(file, variable, &env).map(|source| {
                let end = if file.is_some() { "file" } else { "env" };
                let path = format!("callers.{name}.key_{end}");
                let origin = config.origins.of(&path);
                (source, KeyName { path, origin })
            });
            plans.push(Plan { caller, key });
        }
        let keys = read_keys(&plans, &blind)?;
        Ok(Self { blind, by_key: ArcSwap::from_pointee(keys), by_san, plans })
    }

    /// Whether no caller is configured: then everybody who can connect may do everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// The caller with this key.
    #[must_use]
    pub fn identify_key(&self, key: &str) -> Option<Arc<Caller>> {
        let tag = hmac::sign(&self.blind, key.as_bytes());
        self.by_key.load().get(tag.as_ref()).cloned()
    }

    /// The caller with this name (DNS name or URI) in its verified certificate.
    #[must_use]
    pub fn identify_san(&self, san: &str) -> Option<Arc<Caller>> {
        self.by_san.get(&normal(san)).cloned()
    }

    /// Reads all keys again and replaces them together. Reads files: not for the hot path.
    ///
    /// # Errors
    ///
    /// Everything that is wrong; then all keys stay as they were.
    pub fn reload(&self) -> Result<(), Mistakes> {
        let keys = read_keys(&self.plans, &self.blind)?;
        self.by_key.store(Arc::new(keys));
        Ok(())
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.plans.iter().map(|plan| &plan.caller.name);
        f.debug_set().entries(names).finish()
    }
}

/// DNS names are the same in any case; the paths of URIs are not.
fn normal(san: &str) -> String {
    if san.contains(':') { san.to_owned() } else { san.to_ascii_lowercase() }
}

fn read_keys(plans: &[Plan], blind: &hmac::Key) -> Result<HashMap<Vec<u8>, Arc<Caller>>, Mistakes> {
    let mut keys: HashMap<Vec<u8>, Arc<Caller>> = HashMap::new();
    let mut mistakes = Vec::new();
    for plan in plans {
        let Some((source, name)) = &plan.key else {
            continue;
        };
        let mut complain = |text: String| {
            mistakes.push(Mistake::new(&*name.path, name.origin.clone(), text));
        };
        let key = match source.read() {
            Ok(key) => key,
            Err(text) => {
                complain(text);
                continue;
            }
        };
        let key = key.expose_secret();
        if let Err(text) = check_token(key) {
            complain(format!("{} {text}", source.place()));
        } else if key.len() < KEY_BYTES_MIN {
            let place = source.place();
            complain(format!("{place} holds fewer than {KEY_BYTES_MIN} characters"));
        } else {
            match keys.entry(hmac::sign(blind, key.as_bytes()).as_ref().to_vec()) {
                Entry::Vacant(entry) => {
                    entry.insert(Arc::clone(&plan.caller));
                }
                Entry::Occupied(entry) => {
                    let other = &entry.get().name;
                    complain(format!("{} holds the key of the caller {other}", source.place()));
                }
            }
        }
    }
    if mistakes.is_empty() { Ok(keys) } else { Err(Mistakes(mistakes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "shop-key-0123456789";

    fn config(toml: &str) -> Config {
        let credentials = "[credentials.main]\nkind = \"wallet\"\ntoken_env = \"T\"\n";
        Config::from_toml(&format!("{credentials}{toml}")).expect("a good configuration")
    }

    fn env(name: &str) -> Option<String> {
        match name {
            "SHOP" | "SHOP_AGAIN" => Some(SHOP.to_owned()),
            "SHORT" => Some("short".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_caller_is_known_by_its_key_or_its_certificate_and_by_nothing_else() {
        let config = config(
            "[callers.shop]\nkey_env = \"SHOP\"\ncredentials = [\"main\"]\ngroups = [\"read\", \"pay\"]\n\
             [callers.desk]\nsan = [\"Desk.example\", \"spiffe://x/Desk\"]\ncredentials = [\"*\"]\npass_through = true\n",
        );
        let callers = Callers::load(&config, env).expect("good callers");
        assert!(!callers.is_empty());
        let shop = callers.identify_key(SHOP).expect("the shop");
        assert_eq!(&*shop.name, "shop");
        assert!(shop.may_use("main") && !shop.may_use("other") && !shop.may_use("*"));
        assert!(shop.in_group(Group::Pay) && !shop.in_group(Group::Admin));
        assert!(!shop.may_pass_through());
        for wrong in ["", "shop", "shop-key-012345678", "shop-key-01234567890"] {
            assert!(callers.identify_key(wrong).is_none(), "{wrong}");
        }
        let desk = callers.identify_san("desk.EXAMPLE").expect("the desk");
        assert!(desk.may_use("anything") && desk.may_pass_through());
        assert!(desk.in_group(Group::Read) && !desk.in_group(Group::Pay));
        assert!(callers.identify_san("spiffe://x/Desk").is_some());
        assert!(callers.identify_san("spiffe://x/desk").is_none());
        assert!(callers.identify_san("").is_none());
    }

    #[test]
    fn without_callers_the_table_is_empty() {
        let callers = Callers::load(&Config::default(), env).expect("no callers");
        assert!(callers.is_empty() && callers.identify_key(SHOP).is_none());
    }

    #[test]
    fn all_wrong_keys_are_reported_at_once_and_none_is_repeated() {
        let config = config(
            "[callers.a]\nkey_env = \"SHOP\"\ncredentials = [\"main\"]\n\
             [callers.b]\nkey_env = \"SHOP_AGAIN\"\ncredentials = [\"main\"]\n\
             [callers.c]\nkey_env = \"SHORT\"\ncredentials = [\"main\"]\n\
             [callers.d]\nkey_env = \"UNSET\"\ncredentials = [\"main\"]\n",
        );
        let error = Callers::load(&config, env).expect_err("wrong keys").to_string();
        assert_eq!(
            error,
            "callers.b.key_env (configuration line 8): environment variable SHOP_AGAIN holds the key of the caller a\n\
             callers.c.key_env (configuration line 11): environment variable SHORT holds fewer than 16 characters\n\
             callers.d.key_env (configuration line 14): environment variable UNSET is not set"
        );
    }
}
