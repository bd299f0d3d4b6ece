//! Who calls, and what each caller may do.
//!
//! A caller is known by a static key or by a name in its TLS client certificate. Whether the
//! certificate is good is the listener's business, refusing a call the edge's.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::hmac;
use secrecy::ExposeSecret;

use super::peer::{Peer, normal};
use super::secret::{Source, check_token};
use crate::config::choices::{choice_value, choices};
use crate::config::{CallerConfig, Config, Mistake, Mistakes};
use crate::method::Method;

/// A shorter key could be found by trying.
const KEY_BYTES_MIN: usize = 16;
/// The old key and the new one, while a caller changes from one to the other.
const KEYS_MAX: usize = 2;

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
    /// Calls it may make a second, and at once after a pause; `None` for as many as it likes.
    pub rate: Option<Rate>,
    credentials: Allowed,
    services: Allowed,
    groups: Vec<Group>,
    pass_through: bool,
}

/// How many calls a caller may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// A second.
    pub per_second: NonZeroU32,
    /// At once after a pause.
    pub burst: NonZeroU32,
}

#[derive(Debug)]
enum Allowed {
    All,
    Named(Vec<String>),
}

impl Allowed {
    fn new(names: &[String]) -> Self {
        if names.iter().any(|name| name == "*") { Self::All } else { Self::Named(names.to_vec()) }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|known| known == name),
        }
    }
}

impl Caller {
    /// The caller of this configuration.
    pub(crate) fn new(name: &str, config: &CallerConfig) -> Self {
        let rate = NonZeroU32::new(config.calls_per_second).map(|per_second| Rate {
            per_second,
            burst: NonZeroU32::new(config.calls_burst).unwrap_or(per_second),
        });
        Self {
            name: name.into(),
            rate,
            credentials: Allowed::new(&config.credentials),
            services: Allowed::new(&config.services),
            groups: config.groups.clone(),
            pass_through: config.pass_through,
        }
    }

    /// Whether it may use the credential of this name.
    #[must_use]
    pub fn may_use(&self, credential: &str) -> bool {
        self.credentials.has(credential)
    }

    /// Whether it may use every credential.
    #[must_use]
    pub const fn may_use_all(&self) -> bool {
        matches!(self.credentials, Allowed::All)
    }

    /// Whether it may use every credential that the other may.
    #[must_use]
    pub fn may_use_those_of(&self, other: &Self) -> bool {
        match &other.credentials {
            Allowed::All => self.may_use_all(),
            Allowed::Named(names) => names.iter().all(|name| self.may_use(name)),
        }
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

    /// Whether group and service of a method are granted to it.
    ///
    /// # Errors
    ///
    /// Which of them is not.
    pub fn may_call(&self, method: &Method) -> Result<(), &'static str> {
        if !self.in_group(method.policy.group()) {
            return Err("the caller lacks the group of this method");
        }
        if !self.services.has(method.service()) {
            return Err("the caller may not call this service");
        }
        Ok(())
    }
}

/// How a call shows who makes it. It can be looked at again later: what it proved may be over.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// The key it sent, blinded.
    key: Option<hmac::Tag>,
    /// The certificate of its connection.
    peer: Option<Arc<Peer>>,
}

/// Why a call is not that of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// Neither key nor certificate belong to one, or the key that was sent does not.
    Unknown,
    /// They belong to several.
    Ambiguous,
}

/// All callers the configuration knows.
pub struct Callers {
    /// Keys are stored and looked up by their HMAC under a key of this process. What a look-up's
    /// duration may tell about an HMAC tells nothing about the caller's key.
    blind: hmac::Key,
    book: ArcSwap<Book>,
}

/// Callers of one configuration; replaced as a whole.
pub struct Book {
    by_key: HashMap<Vec<u8>, Arc<Caller>>,
    by_san: HashMap<String, Arc<Caller>>,
    by_name: HashMap<Arc<str>, Arc<Caller>>,
    plans: Arc<Vec<Plan>>,
}

/// A caller and the place of its key.
struct Plan {
    caller: Arc<Caller>,
    san: Vec<String>,
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
        let book = Book::read(Arc::new(plans(config, env)), &blind)?;
        Ok(Self { blind, book: ArcSwap::from_pointee(book) })
    }

    /// Reads the callers of a newer configuration, for [`Callers::adopt`].
    ///
    /// # Errors
    ///
    /// Everything that is wrong with any of them.
    pub fn prepare(
        &self,
        config: &Config,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Book, Mistakes> {
        Book::read(Arc::new(plans(config, env)), &self.blind)
    }

    /// Replaces all callers.
    pub fn adopt(&self, book: Book) {
        self.book.store(Arc::new(book));
    }

    /// Whether no caller is configured: then everybody who can connect may do everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.book.load().plans.is_empty()
    }

    /// What a call shows: the key it sent, and the certificate of its connection.
    #[must_use]
    pub fn proof(&self, key: Option<&str>, peer: Option<&Arc<Peer>>) -> Proof {
        let key = key.map(|key| hmac::sign(&self.blind, key.as_bytes()));
        Proof { key, peer: peer.cloned() }
    }

    /// Whose call it is.
    ///
    /// # Errors
    ///
    /// Nobody's, or that of several.
    pub fn identify(&self, proof: &Proof) -> Result<Arc<Caller>, Stranger> {
        let book = self.book.load();
        let by_key = match &proof.key {
            Some(tag) => Some(book.by_key.get(tag.as_ref()).ok_or(Stranger::Unknown)?),
            None => None,
        };
        let names = proof.peer.iter().flat_map(|peer| peer.names());
        let by_certificate = names.filter_map(|name| book.by_san.get(name));
        let mut found: Option<&Arc<Caller>> = by_key;
        for caller in by_certificate {
            match found {
                Some(known) if known.name != caller.name => return Err(Stranger::Ambiguous),
                _ => found = Some(caller),
            }
        }
        found.cloned().ok_or(Stranger::Unknown)
    }

    /// The caller with this key.
    #[must_use]
    pub fn identify_key(&self, key: &str) -> Option<Arc<Caller>> {
        self.identify(&self.proof(Some(key), None)).ok()
    }

    /// The caller of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Arc<Caller>> {
        self.book.load().by_name.get(name).cloned()
    }

    /// Reads all keys again and replaces them together; tells whether any is another. Reads files:
    /// not for the hot path.
    ///
    /// # Errors
    ///
    /// Everything that is wrong; then all keys stay as they were.
    pub fn reload(&self) -> Result<bool, Mistakes> {
        let before = self.book.load_full();
        let book = Book::read(Arc::clone(&before.plans), &self.blind)?;
        let same = book.by_key.len() == before.by_key.len()
            && book.by_key.iter().all(|(key, caller)| {
                before.by_key.get(key).is_some_and(|known| known.name == caller.name)
            });
        if !same {
            self.adopt(book);
        }
        Ok(!same)
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.book.load().by_name.keys()).finish()
    }
}

fn plans(config: &Config, env: impl Fn(&str) -> Option<String>) -> Vec<Plan> {
    let plan = |(name, caller): (&String, &CallerConfig)| {
        let (file, variable) = (caller.key_file.as_ref(), caller.key_env.as_ref());
        let key = Source::of(file, variable, &env).map(|source| {
            let end = if file.is_some() { "file" } else { "env" };
            let path = format!("callers.{name}.key_{end}");
            let origin = config.origins.of(&path);
            (source, KeyName { path, origin })
        });
        let san = caller.san.iter().map(|san| normal(san)).collect();
        Plan { caller: Arc::new(Caller::new(name, caller)), san, key }
    };
    config.callers.iter().map(plan).collect()
}

impl Book {
    fn read(plans: Arc<Vec<Plan>>, blind: &hmac::Key) -> Result<Self, Mistakes> {
        let by_key = read_keys(&plans, blind)?;
        let (mut by_san, mut by_name) = (HashMap::new(), HashMap::new());
        for Plan { caller, san, .. } in plans.iter() {
            by_name.insert(Arc::clone(&caller.name), Arc::clone(caller));
            by_san.extend(san.iter().map(|san| (san.clone(), Arc::clone(caller))));
        }
        Ok(Self { by_key, by_san, by_name, plans })
    }
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
        let text = match source.read() {
            Ok(text) => text,
            Err(text) => {
                complain(text);
                continue;
            }
        };
        let place = source.place();
        let lines = text.expose_secret().lines().map(str::trim).filter(|line| !line.is_empty());
        if lines.clone().count() > KEYS_MAX {
            complain(format!("{place} holds more than {KEYS_MAX} keys, expected one a line"));
            continue;
        }
        for key in lines {
            if let Err(text) = check_token(key) {
                complain(format!("{place} {text}"));
            } else if key.len() < KEY_BYTES_MIN {
                complain(format!("{place} holds fewer than {KEY_BYTES_MIN} characters"));
            } else {
                match keys.entry(hmac::sign(blind, key.as_bytes()).as_ref().to_vec()) {
                    Entry::Vacant(entry) => {
                        entry.insert(Arc::clone(&plan.caller));
                    }
                    Entry::Occupied(entry) if entry.get().name == plan.caller.name => {}
                    Entry::Occupied(entry) => {
                        let other = &entry.get().name;
                        complain(format!("{place} holds the key of the caller {other}"));
                    }
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
        let by = |key, dns: &[&str], uris: &[&str]| {
            let peer = Arc::new(Peer::new(dns.iter().copied(), uris.iter().copied()));
            callers.identify(&callers.proof(key, Some(&peer))).map(|caller| caller.name.to_string())
        };
        let desk = callers.named("desk").expect("the desk");
        assert!(desk.may_use("anything") && desk.may_pass_through());
        assert!(desk.in_group(Group::Read) && !desk.in_group(Group::Pay));
        assert_eq!(by(None, &["other.example", "desk.EXAMPLE"], &[]).as_deref(), Ok("desk"));
        assert_eq!(by(None, &["desk.example"], &["spiffe://x/Desk"]).as_deref(), Ok("desk"));
        assert_eq!(by(None, &[], &["spiffe://x/desk"]), Err(Stranger::Unknown));
        assert_eq!(by(None, &[""], &[]), Err(Stranger::Unknown));
        // A certificate that names nobody leaves it to the key; a wrong key is never passed over.
        assert_eq!(by(Some(SHOP), &["other.example"], &[]).as_deref(), Ok("shop"));
        assert_eq!(by(Some("wrong"), &["desk.example"], &[]), Err(Stranger::Unknown));
        assert_eq!(by(Some(SHOP), &["desk.example"], &[]), Err(Stranger::Ambiguous));
    }

    #[test]
    fn a_certificate_with_the_names_of_two_callers_is_nobodys() {
        let config = config(
            "[callers.a]\nsan = [\"a.example\"]\ncredentials = [\"main\"]\n\
             [callers.b]\nsan = [\"b.example\"]\ncredentials = [\"main\"]\n",
        );
        let callers = Callers::load(&config, env).expect("good callers");
        let peer = Arc::new(Peer::new(["a.example", "b.example"], []));
        let found = callers.identify(&callers.proof(None, Some(&peer)));
        assert_eq!(found.map(|caller| caller.name.to_string()), Err(Stranger::Ambiguous));
    }

    #[test]
    fn a_caller_has_two_keys_while_it_changes_them() {
        let config = config("[callers.a]\nkey_env = \"KEYS\"\ncredentials = [\"main\"]\n");
        let with = |keys: &'static str| Callers::load(&config, move |_| Some(keys.to_owned()));
        let callers = with("old-key-0123456789\nnew-key-0123456789\n").expect("two keys");
        assert!(callers.identify_key("old-key-0123456789").is_some());
        assert!(callers.identify_key("new-key-0123456789").is_some());
        assert!(callers.identify_key("old-key-0123456789\nnew-key-0123456789").is_none());
        let error = with("a-key-0123456789\nb-key-0123456789\nc-key-0123456789");
        assert!(error.expect_err("three").to_string().contains("more than 2 keys"));
    }

    #[test]
    fn only_named_services_and_groups_are_granted() {
        let config = config(
            "[callers.a]\nkey_env = \"SHOP\"\ncredentials = [\"main\"]\n\
             services = [\"qiwi.wallet.v1.BalanceService\"]\ncalls_per_second = 5\n",
        );
        let callers = Callers::load(&config, env).expect("good callers");
        let caller = callers.named("a").expect("the caller");
        let may = |rpc: &str| {
            let row = crate::operations::all().iter().find(|row| row.policy.rpc == rpc);
            caller.may_call(row.expect("a method"))
        };
        assert_eq!(may("qiwi.wallet.v1.BalanceService/ListBalances"), Ok(()));
        assert!(may("qiwi.wallet.v1.BalanceService/CreateBalance").is_err(), "another group");
        assert!(may("qiwi.wallet.v1.ProfileService/GetProfile").is_err(), "another service");
        let five = NonZeroU32::new(5).expect("not zero");
        assert_eq!(caller.rate, Some(Rate { per_second: five, burst: five }));
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
