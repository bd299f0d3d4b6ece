//! The credentials the gateway holds, and their renewal without a restart.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use secrecy::ExposeSecret;
use tokio::sync::watch;

use super::Fingerprint;
use super::credential::{Credential, Hook, InvalidToken, bearer};
use super::fingerprint::Pepper;
use super::health::{Health, Status};
use super::read::Plan;
use super::secret::Source;
use crate::config::{Config, Mistake, Mistakes, Poll, Webhook};

/// A shorter pepper could be found by trying.
const PEPPER_BYTES_MIN: usize = 16;

/// All named credentials and the maker of fingerprints.
pub struct Credentials {
    table: ArcSwap<Table>,
    pepper: Pepper,
    /// Where each credential is read from; held by the one reload that runs.
    plans: Mutex<Plans>,
    /// Counts the policies, for those who work for credentials by themselves.
    policies: watch::Sender<u64>,
    /// Credentials whose last reading failed while an older content is in use, and since when.
    /// Apart from the above, so that asking never waits for files.
    failing: Mutex<HashMap<Arc<str>, SystemTime>>,
}

/// What the configuration says.
struct Plans {
    now: Vec<Plan>,
    /// Those that were taken out: their names stand for whom they stood for.
    gone: Vec<Plan>,
}

/// One consistent view: a reload replaces it whole.
#[derive(Default)]
struct Table {
    named: HashMap<Arc<str>, Arc<Credential>>,
    health: HashMap<Fingerprint, Arc<Health>>,
}

/// What is known about a named credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialState {
    /// What QIWI has said about it.
    pub status: Status,
    /// When QIWI last accepted it.
    pub last_accepted: Option<SystemTime>,
    /// When QIWI last answered 401 to it.
    pub last_rejected: Option<SystemTime>,
    /// When its present content was read.
    pub loaded: SystemTime,
    /// When it is expected to expire.
    pub expires: Option<SystemTime>,
    /// Since when newer content cannot be read, while the last good one is in use.
    pub stale_since: Option<SystemTime>,
}

/// What a reload found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadOutcome {
    /// Credentials with new content, in use from now on.
    pub changed: Vec<Arc<str>>,
    /// Credentials whose content is the same.
    pub unchanged: usize,
    /// Credentials whose content cannot be used; the last good one stays in use.
    pub failed: Vec<(Arc<str>, Vec<Mistake>)>,
    /// Credentials that failed before and are well again, changed or not.
    pub recovered: Vec<Arc<str>>,
}

impl Credentials {
    /// Reads every credential of the configuration; `env` gives environment variables.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with any of them.
    pub fn load(config: &Config, env: impl Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let pepper = pepper(config).map_err(|mistake| mistakes.push(mistake)).ok();
        let origins = Arc::new(config.origins.clone());
        let plans: Vec<_> = config
            .credentials
            .iter()
            .map(|(name, credential)| Plan::new(name, credential, &origins, &env))
            .collect();
        // Without its pepper the credentials are still read, for their mistakes.
        let stand_in = Pepper::new(&[]);
        let mut table = Table::default();
        for plan in &plans {
            match plan.read(pepper.as_ref().unwrap_or(&stand_in), &[]) {
                Ok(Some(credential)) => {
                    mistakes.extend(plan.too_long(&config.notifications, &credential));
                    table.insert(credential, None);
                }
                Ok(None) => {}
                Err(more) => mistakes.extend(more),
            }
        }
        match pepper {
            Some(pepper) if mistakes.is_empty() => Ok(Self {
                table: ArcSwap::from_pointee(table),
                pepper,
                plans: Mutex::new(Plans { now: plans, gone: Vec::new() }),
                policies: watch::Sender::new(0),
                failing: Mutex::new(HashMap::new()),
            }),
            _ => Err(Mistakes(mistakes)),
        }
    }

    /// The credential of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Arc<Credential>> {
        self.table.load().named.get(name).cloned()
    }

    /// Hears when credentials were added, changed or taken out by a newer configuration.
    #[must_use]
    pub fn policies(&self) -> watch::Receiver<u64> {
        self.policies.subscribe()
    }

    /// What fingerprints of secrets are made with.
    #[must_use]
    pub const fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// A credential for a token that a caller brought. What it may do is not known here.
    ///
    /// # Errors
    ///
    /// When the token is empty, longer than 4096 bytes or not visible ASCII.
    pub fn pass_through(&self, token: &str) -> Result<Arc<Credential>, InvalidToken> {
        let authorization = bearer(token)?;
        let fingerprint = self.pepper.fingerprint(token.as_bytes());
        // The same token held under a name shares what is known about it.
        let health = self.table.load().health.get(&fingerprint).cloned();
        Ok(Arc::new(Credential {
            name: None,
            kind: None,
            scopes: None,
            wallet: None,
            merchant_site: None,
            poll: Poll::Off,
            fingerprint,
            loaded: SystemTime::now(),
            authorization,
            expires: None,
            secret: None,
            identity: None,
            hook: Hook { webhook: Webhook::Off, replace: false, key: None, path_secret: None },
            health,
            content: Vec::new(),
        }))
    }

    /// All named credentials, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Credential>> {
        let mut list: Vec<_> = self.table.load().named.values().cloned().collect();
        list.sort_by(|left, right| left.name.cmp(&right.name));
        list
    }

    /// What is known about the credential of this name.
    #[must_use]
    pub fn state(&self, name: &str) -> Option<CredentialState> {
        let credential = self.named(name)?;
        let health = credential.health.as_ref();
        let stale_since = self.failing.lock().get(name).copied();
        Some(CredentialState {
            status: credential.status(),
            last_accepted: health.and_then(|health| health.last_accepted()),
            last_rejected: health.and_then(|health| health.last_rejected()),
            loaded: credential.loaded,
            expires: credential.expires,
            stale_since,
        })
    }

    /// Reads all secrets again. What changed and is good replaces the old at once; what cannot
    /// be used leaves the last good one in place. Reads files: not for the hot path. Of several
    /// at a time one runs, and the others wait and then find nothing changed.
    pub fn reload(&self) -> ReloadOutcome {
        let plans = self.plans.lock();
        let table = self.table.load_full();
        let mut next = Table::default();
        let mut outcome = ReloadOutcome::default();
        for plan in &plans.now {
            let name = plan.name();
            let old = table.named.get(name);
            let known = old.map_or(&[][..], |old| &old.content);
            let read = plan.read(&self.pepper, known);
            let (credential, well) = match read {
                Ok(Some(new)) if plan.holds(&new.content) => (Some(new), true),
                // Changed while it was read: the next reload sees it whole.
                Ok(Some(_)) => (None, false),
                Ok(None) => (None, true),
                Err(mistakes) => {
                    outcome.failed.push((Arc::clone(name), mistakes));
                    let mut failing = self.failing.lock();
                    failing.entry(Arc::clone(name)).or_insert_with(SystemTime::now);
                    (None, false)
                }
            };
            if well && self.failing.lock().remove(name).is_some() {
                outcome.recovered.push(Arc::clone(name));
            }
            match (credential, old) {
                (Some(new), _) => {
                    outcome.changed.push(Arc::clone(name));
                    // The same token with, say, a new hook key is not a new token.
                    let health = table.health.get(&new.fingerprint).cloned();
                    next.insert(new, health);
                }
                (None, Some(old)) => {
                    outcome.unchanged += usize::from(well);
                    next.keep(Arc::clone(old));
                }
                (None, None) => {}
            }
        }
        if !outcome.changed.is_empty() {
            self.table.store(Arc::new(next));
        }
        outcome
    }
}

/// Credentials of a newer configuration, read and ready; no reload runs meanwhile.
pub struct Prepared<'a> {
    of: &'a Credentials,
    plans: MutexGuard<'a, Plans>,
    newer: Vec<Plan>,
    next: Table,
    outcome: ReloadOutcome,
    gone: Vec<Arc<str>>,
}

impl Credentials {
    /// Reads what a newer configuration says differently; what it says the same stays as it is, with
    /// everything that is known about it. Reads files: not for the hot path.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with what is new or changed; then nothing changes.
    pub fn prepare(
        &self,
        config: &Config,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Prepared<'_>, Mistakes> {
        let plans = self.plans.lock();
        let table = self.table.load_full();
        let origins = Arc::new(config.origins.clone());
        let newer: Vec<_> = config
            .credentials
            .iter()
            .map(|(name, credential)| Plan::new(name, credential, &origins, &env))
            .collect();
        let (mut next, mut mistakes) = (Table::default(), Vec::new());
        let mut outcome = ReloadOutcome::default();
        for plan in &newer {
            let mut known = plans.now.iter().chain(&plans.gone);
            mistakes.extend(known.find_map(|known| plan.stands_for_another(known)));
            let same = plans.now.iter().find(|of| of.name() == plan.name());
            let old = same.filter(|of| of.is_same(plan)).and_then(|_| table.named.get(plan.name()));
            if let Some(old) = old {
                outcome.unchanged += 1;
                next.keep(Arc::clone(old));
                continue;
            }
            match plan.read(&self.pepper, &[]) {
                Ok(Some(new)) => {
                    mistakes.extend(plan.too_long(&config.notifications, &new));
                    outcome.changed.push(Arc::clone(plan.name()));
                    let health = table.health.get(&new.fingerprint).cloned();
                    next.insert(new, health);
                }
                Ok(None) => {}
                Err(more) => mistakes.extend(more),
            }
        }
        let is_gone = |name: &&Arc<str>| !newer.iter().any(|plan| plan.name() == *name);
        let gone = plans.now.iter().map(Plan::name).filter(is_gone).cloned().collect();
        if mistakes.is_empty() {
            Ok(Prepared { of: self, plans, newer, next, outcome, gone })
        } else {
            Err(Mistakes(mistakes))
        }
    }
}

impl Prepared<'_> {
    /// Puts them into use. Returns which are new or changed, and which are gone.
    pub fn adopt(mut self) -> (ReloadOutcome, Vec<Arc<str>>) {
        let before = std::mem::replace(&mut self.plans.now, self.newer);
        self.plans.gone.retain(|plan| !before.iter().any(|of| of.name() == plan.name()));
        let gone = &self.gone;
        self.plans.gone.extend(before.into_iter().filter(|plan| gone.contains(plan.name())));
        self.of.table.store(Arc::new(self.next));
        self.of.policies.send_modify(|count| *count += 1);
        let mut failing = self.of.failing.lock();
        for name in self.outcome.changed.iter().chain(&self.gone) {
            failing.remove(name);
        }
        (self.outcome, self.gone)
    }
}

impl ReloadOutcome {
    /// Logs changes, recoveries, and failures that are not the same as `before`.
    pub fn log(&self, before: &[(Arc<str>, Vec<Mistake>)]) {
        for name in &self.changed {
            tracing::info!(credential = %name, "credential reloaded with new content");
        }
        for name in &self.recovered {
            tracing::info!(credential = %name, "credential can be read again");
        }
        for failed in self.failed.iter().filter(|failed| !before.contains(failed)) {
            let (name, mistakes) = failed;
            for mistake in mistakes {
                tracing::warn!(
                    credential = %name,
                    %mistake,
                    "new content of a credential cannot be used; the last good one stays"
                );
            }
        }
    }
}

impl Table {
    /// Adds a credential with new content. All that use one token share its health.
    fn insert(&mut self, mut credential: Credential, health: Option<Arc<Health>>) {
        let health =
            self.health.entry(credential.fingerprint).or_insert_with(|| health.unwrap_or_default());
        credential.health = Some(Arc::clone(health));
        if let Some(name) = credential.name.clone() {
            self.named.insert(name, Arc::new(credential));
        }
    }

    /// Adds a credential whose content is the same as before.
    fn keep(&mut self, credential: Arc<Credential>) {
        if let Some(health) = &credential.health {
            self.health.entry(credential.fingerprint).or_insert_with(|| Arc::clone(health));
        }
        if let Some(name) = credential.name.clone() {
            self.named.insert(name, credential);
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.list();
        let names = names.iter().filter_map(|credential| credential.name.as_ref());
        f.debug_set().entries(names).finish()
    }
}

/// The installation's pepper, or one for this process.
fn pepper(config: &Config) -> Result<Pepper, Mistake> {
    const KEY: &str = "security.fingerprint_pepper_file";
    let mistake = |text: String| Mistake::new(KEY, config.origins.of(KEY), text);
    let Some(file) = &config.security.fingerprint_pepper_file else {
        return Pepper::random()
            .map_err(|_| mistake("is not given, and the system has no random numbers".into()));
    };
    let source = Source::File(file.clone());
    let secret = source.read().map_err(mistake)?;
    let bytes = secret.expose_secret().as_bytes();
    if bytes.len() < PEPPER_BYTES_MIN {
        let text = format!("{} holds fewer than {PEPPER_BYTES_MIN} characters", source.place());
        return Err(mistake(text));
    }
    Ok(Pepper::new(bytes))
}
