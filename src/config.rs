//! The configuration: one struct per concern, read once at start.
//!
//! Layers, later ones win: built-in defaults, a TOML file, environment variables named
//! `QIWI_GATEWAY_<SECTION>__<KEY>`. Every mistake in any of them is found in one go and named
//! with its key and its source; the gateway starts with none. Secrets are never part of the
//! configuration, only the names of the files and variables that hold them:
//! [`crate::credentials`] reads those.

mod address;
mod calls;
mod check;
pub(crate) mod choices;
mod listeners;
mod markdown;
mod mistake;
mod named;
mod renew;
mod section;
mod service;
mod source;
mod tls;
mod units;
pub mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use address::{BaseUrl, MonitorUrls, NatsUrl, is_loopback};
pub use calls::{Admission, Breaker, Cache, Cooldown, Deadline, Limit, Payments, Retry, Upstream};
pub use listeners::{About, Admin, Balances, Confirm, Events, Grpc, Notifications, Sandbox};
pub use markdown::keys_markdown;
pub use mistake::{Mistake, Mistakes, Origin, Warning};
pub use named::{CallerConfig, CredentialConfig, Poll, Webhook, is_name};
pub use section::Key;
pub use service::{Drain, Engine, Otlp, Pages, Security, State, Telemetry};
pub use tls::{ClientAuth, Listener, TlsKeys};
pub use units::{Expiry, Percent, Size, Variable};

use mistake::nearest;
use section::{Reader, Section, variable};
use source::{Found, Layers};

/// What every environment variable of the configuration starts with.
pub const ENVIRONMENT_PREFIX: &str = "QIWI_GATEWAY_";

/// Where the values that are not defaults came from, by key path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where the value of this key came from.
    #[must_use]
    pub fn of(&self, key: &str) -> Origin {
        self.0.get(key).cloned().unwrap_or_default()
    }

    fn set(&mut self, key: &str, origin: Origin) {
        self.0.insert(key.to_owned(), origin);
    }
}

/// Declares [`Config`] from the list of its sections, in the order documents show them.
macro_rules! config {
    ($($(#[doc = $doc:literal])+ $field:ident : $section:ty,)+) => {
        /// The whole configuration.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $field: $section,)+
            /// The credentials the gateway holds, by name.
            pub credentials: BTreeMap<String, CredentialConfig>,
            /// The callers it knows, by name. Empty: everybody who can connect.
            pub callers: BTreeMap<String, CallerConfig>,
            /// Where values came from; empty for a configuration made in code.
            pub origins: Origins,
            /// The file it was read from, which is looked at again while the gateway runs.
            pub file: Option<PathBuf>,
        }

        /// The names of all sections.
        const SECTIONS: &[&str] = &[$(stringify!($field),)+ "credentials", "callers"];

        /// Every key of the configuration, in the order documents show them.
        #[must_use]
        pub fn keys() -> Vec<Key> {
            let mut keys = Vec::new();
            $(keys.extend(<$section>::keys());)+
            keys.extend(CredentialConfig::keys());
            keys.extend(CallerConfig::keys());
            keys
        }

        impl Config {
            fn read_sections(&mut self, layers: &mut Layers, mistakes: &mut Vec<Mistake>) {
                $(
                    let path = (stringify!($field).to_owned(), None);
                    let found = layers.sections.remove(&path).unwrap_or_default();
                    self.$field = read(stringify!($field), found, mistakes, &mut self.origins, |_| None);
                )+
            }

            /// The keys outside credentials and callers that differ, by their paths.
            fn differing(&self, other: &Self) -> Vec<String> {
                let mut keys = Vec::new();
                $(renew::differing(stringify!($field), &self.$field, &other.$field, &mut keys);)+
                keys
            }

            fn dump_sections(&self, out: &mut String) {
                $(self.dump_section(out, stringify!($field), &self.$field);)+
            }
        }
    };
}

config! {
    /// The gRPC listener.
    grpc: Grpc,
    /// How long a call may take.
    deadline: Deadline,
    /// How many calls are taken at once.
    admission: Admission,
    /// The operators' HTTP listener.
    admin: Admin,
    /// The listener for QIWI's notifications.
    notifications: Notifications,
    /// The event log and its streams.
    events: Events,
    /// QIWI's hosts.
    upstream: Upstream,
    /// Repeating attempts.
    retry: Retry,
    /// Leaving a failing host alone.
    breaker: Breaker,
    /// Leaving a credential alone that asked too often.
    cooldown: Cooldown,
    /// Staying below QIWI's limits.
    limit: Limit,
    /// Sending payments and settling unclear outcomes.
    payments: Payments,
    /// Answers kept for a while.
    cache: Cache,
    /// Page tokens.
    pages: Pages,
    /// Stopping.
    drain: Drain,
    /// Logs, traces and metrics.
    telemetry: Telemetry,
    /// Where events and the ledger are kept.
    state: State,
    /// What callers and operators may do.
    security: Security,
    /// The built-in imitation of QIWI.
    sandbox: Sandbox,
}

/// The process's environment. A value that is not Unicode is kept as far as it can be, so that it
/// is reported like any other wrong value instead of ending the process.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    })
}

impl Config {
    /// Reads the configuration from `file`, if there is one, and the environment above it.
    ///
    /// # Errors
    ///
    /// All mistakes of all layers, those between keys included.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Mistakes> {
        let mut layers = Layers::default();
        let mut mistakes = Vec::new();
        if let Some(file) = file {
            let name = file.display().to_string();
            match std::fs::read_to_string(file) {
                Ok(text) => layers.add_toml(&name, &text, &mut mistakes),
                Err(error) => {
                    let origin = Origin::File { name, line: None };
                    let text = format!("cannot be read: {error}");
                    mistakes.push(Mistake::new("file", origin, text));
                }
            }
        }
        layers.add_environment(env);
        let config = Self::from_layers(layers, mistakes)?;
        Ok(Self { file: file.map(Path::to_owned), ..config })
    }

    /// Reads the configuration from TOML alone.
    ///
    /// # Errors
    ///
    /// All mistakes, those between keys included.
    pub fn from_toml(text: &str) -> Result<Self, Mistakes> {
        let mut layers = Layers::default();
        let mut mistakes = Vec::new();
        layers.add_toml("configuration", text, &mut mistakes);
        Self::from_layers(layers, mistakes)
    }

    fn from_layers(mut layers: Layers, mut mistakes: Vec<Mistake>) -> Result<Self, Mistakes> {
        let mut config = Self::default();
        config.read_sections(&mut layers, &mut mistakes);
        let mut leftover = Vec::new();
        for ((section, name), found) in std::mem::take(&mut layers.sections) {
            match (section.as_str(), name) {
                ("credentials", Some(name)) => {
                    config.read_credential(name, found, &mut mistakes);
                }
                ("callers", Some(name)) => config.read_caller(name, found, &mut mistakes),
                _ => leftover.push((section, found)),
            }
        }
        for (section, found) in leftover {
            config.refuse_section(&section, found, &mut mistakes);
        }
        for variable in layers.strange {
            config.refuse_variable(variable, &mut mistakes);
        }
        // A rule between keys says nothing new about a key that is wrong by itself.
        let wrong: BTreeSet<_> = mistakes.iter().map(|mistake| mistake.key.clone()).collect();
        let (between, _) = config.check();
        mistakes.extend(between.into_iter().filter(|mistake| {
            !wrong.contains(&mistake.key) && !mistake.with.iter().any(|key| wrong.contains(key))
        }));
        if mistakes.is_empty() { Ok(config) } else { Err(Mistakes(mistakes)) }
    }

    fn read_credential(&mut self, name: String, found: Found, mistakes: &mut Vec<Mistake>) {
        let path = format!("credentials.{name}");
        refuse_name(&path, &name, &found, mistakes);
        let hint = named::credential_hint;
        let credential = read(&path, found, mistakes, &mut self.origins, hint);
        self.credentials.insert(name, credential);
    }

    fn read_caller(&mut self, name: String, found: Found, mistakes: &mut Vec<Mistake>) {
        let path = format!("callers.{name}");
        refuse_name(&path, &name, &found, mistakes);
        let caller = read(&path, found, mistakes, &mut self.origins, named::caller_hint);
        self.callers.insert(name, caller);
    }

    /// Reports a section that does not exist: in a file once, in the environment per variable,
    /// except for variables a credential or caller names as the place of its secret.
    fn refuse_section(&self, section: &str, found: Found, mistakes: &mut Vec<Mistake>) {
        let near = nearest(section, SECTIONS.iter().copied());
        let in_file = matches!(found.origin, Origin::File { .. });
        if in_file {
            let text = near.map_or_else(
                || "unknown section".to_owned(),
                |near| format!("unknown section; did you mean [{near}]?"),
            );
            mistakes.push(Mistake::new(section, found.origin, text));
        }
        for (key, entry) in found.entries {
            let Origin::Environment(name) = &entry.origin else {
                continue;
            };
            if self.names_variable(name) {
                continue;
            }
            let path = format!("{section}.{key}");
            let text = near.map_or_else(
                || "unknown section".to_owned(),
                |near| {
                    format!("unknown section; did you mean {}?", variable(&format!("{near}.{key}")))
                },
            );
            mistakes.push(Mistake::new(path, entry.origin, text));
        }
    }

    /// Reports a variable whose name has not the parts of a key.
    fn refuse_variable(&self, name: String, mistakes: &mut Vec<Mistake>) {
        if self.names_variable(&name) {
            return;
        }
        let variables: Vec<_> = keys().iter().map(Key::variable).collect();
        let text = nearest(&name, variables.iter().map(String::as_str)).map_or_else(
            || format!("unknown variable; expected {ENVIRONMENT_PREFIX}<SECTION>__<KEY>"),
            |near| format!("unknown variable; did you mean {near}?"),
        );
        let key = name.strip_prefix(ENVIRONMENT_PREFIX).unwrap_or_default();
        let key = key.to_ascii_lowercase();
        mistakes.push(Mistake::new(key, Origin::Environment(name), text));
    }

    /// Whether a credential or caller names this variable as the place of its secret.
    fn names_variable(&self, variable: &str) -> bool {
        let credentials = self.credentials.values().flat_map(|credential| {
            [&credential.token_env, &credential.secret_env, &credential.webhook_key_env]
        });
        let callers = self.callers.values().map(|caller| &caller.key_env);
        credentials
            .chain(callers)
            .any(|named| named.as_ref().is_some_and(|named| named.0 == variable))
    }

    /// Writes every key with its effective value as TOML, and where it came from unless it is
    /// the default. Wallet numbers and passwords are hidden.
    #[must_use]
    pub fn dump_redacted(&self) -> String {
        let mut out = String::new();
        self.dump_sections(&mut out);
        for (name, credential) in &self.credentials {
            self.dump_section(&mut out, &format!("credentials.{name}"), credential);
        }
        for (name, caller) in &self.callers {
            self.dump_section(&mut out, &format!("callers.{name}"), caller);
        }
        out
    }

    fn dump_section<S: Section>(&self, out: &mut String, path: &str, section: &S) {
        if !out.is_empty() {
            out.push('\n');
        }
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        line(format!("[{path}]"));
        for (name, value) in section.write() {
            let origin = match self.origins.of(&format!("{path}.{name}")) {
                Origin::Default => String::new(),
                origin => format!(" # {origin}"),
            };
            match value {
                Some(value) => line(format!("{name} = {}{origin}", value.toml())),
                None => line(format!("# {name} is not set")),
            }
        }
    }
}

fn read<S: Section>(
    path: &str,
    found: Found,
    mistakes: &mut Vec<Mistake>,
    origins: &mut Origins,
    hint: impl Fn(&str) -> Option<&'static str>,
) -> S {
    let mut reader = Reader::new(path, found.origin, found.entries, mistakes, origins);
    let section = S::read(&mut reader);
    reader.finish::<S>(hint);
    section
}

fn refuse_name(path: &str, name: &str, found: &Found, mistakes: &mut Vec<Mistake>) {
    if !is_name(name) {
        let text =
            "a name has 1 to 63 characters of a-z, 0-9, - and _, the first a letter or digit";
        mistakes.push(Mistake::new(path, found.origin.clone(), text));
    }
}

#[cfg(test)]
mod tests;
