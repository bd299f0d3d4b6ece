//! Rules about callers.

use prost::Message as _;

use super::Findings;
use crate::config::mistake::nearest;
use crate::config::named::CallerConfig;

impl Findings<'_> {
    pub(super) fn caller(&mut self, name: &str, caller: &CallerConfig) {
        let path = format!("callers.{name}");
        let key = (caller.key_file.is_some(), caller.key_env.is_some());
        let because = format!("{path}.san");
        self.one_source(&path, "key", &because, key, caller.san.is_empty());
        let config = self.config;
        for credential in &caller.credentials {
            if credential == "*" || config.credentials.contains_key(credential) {
                continue;
            }
            let near = nearest(credential, config.credentials.keys().map(String::as_str));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            let text = format!("there is no credential called {credential:?}{hint}");
            self.mistake(format!("{path}.credentials"), &[], text);
        }
        self.services(&path, caller);
        if caller.calls_burst > 0 && caller.calls_per_second == 0 {
            self.warn(
                format!("{path}.calls_burst"),
                "has no effect without calls_per_second: the caller may make as many calls as it likes",
            );
        }
        if caller.credentials.is_empty() && !caller.pass_through {
            self.warn(
                format!("{path}.credentials"),
                "the caller may use no credential and bring none: every call of it is refused",
            );
        }
        if caller.pass_through && !config.security.pass_through {
            self.warn(
                format!("{path}.pass_through"),
                "has no effect: security.pass_through is false",
            );
        }
    }

    /// Two callers with the same certificate name could not be told apart.
    pub(super) fn callers_apart(&mut self) {
        let config = self.config;
        let mut seen = std::collections::BTreeMap::new();
        for (name, caller) in &config.callers {
            for san in &caller.san {
                if let Some(other) = seen.insert(san.to_ascii_lowercase(), name)
                    && other != name
                {
                    let text = format!("{san:?} already names the caller {other}");
                    self.mistake(format!("callers.{name}.san"), &[], text);
                }
            }
        }
    }

    /// A service that does not exist would silently grant nothing.
    fn services(&mut self, path: &str, caller: &CallerConfig) {
        let key = format!("{path}.services");
        if caller.services.is_empty() {
            self.warn(&*key, "is empty: every call of the caller is refused; give \"*\" for all");
        }
        if caller.services.iter().all(|name| name == "*") {
            return;
        }
        let known = services();
        for name in caller.services.iter().filter(|name| *name != "*") {
            if known.contains(name) {
                continue;
            }
            let near = nearest(name, known.iter().map(String::as_str));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            self.mistake(&*key, &[], format!("there is no service called {name:?}{hint}"));
        }
    }

    /// Names of certificates that nobody will be asked for.
    pub(super) fn certificate_names(&mut self) {
        let config = self.config;
        if config.grpc.tls_client_ca_file.is_some() {
            return;
        }
        for (name, _) in config.callers.iter().filter(|(_, caller)| !caller.san.is_empty()) {
            self.warn(
                format!("callers.{name}.san"),
                "has no effect: clients are asked for certificates with grpc.tls_client_ca_file only",
            );
        }
    }
}

/// The services of the contract, by their full names.
fn services() -> Vec<String> {
    // Compiled in, so it decodes.
    let set = prost_types::FileDescriptorSet::decode(crate::pb::FILE_DESCRIPTOR_SET);
    let files = set.map(|set| set.file).unwrap_or_default();
    files
        .into_iter()
        .filter(|file| file.package().starts_with("qiwi."))
        .flat_map(|file| {
            let package = file.package().to_owned();
            file.service.into_iter().map(move |of| format!("{package}.{}", of.name()))
        })
        .collect()
}
