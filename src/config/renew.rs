//! What of a configuration can be replaced while the gateway runs, and what cannot.

use super::section::Section;
use super::{Config, Mistakes};

impl Config {
    /// This configuration with the credentials and callers of a newer one, and the paths of the
    /// other keys that differ, which only a restart brings into effect.
    ///
    /// # Errors
    ///
    /// What is wrong with the two together, although each is good by itself, and a policy whose last
    /// caller went: everybody would be let in.
    pub fn renewed(&self, newer: &Self) -> Result<(Self, Vec<String>), Mistakes> {
        let waiting = self.differing(newer);
        let mut renewed = self.clone();
        renewed.credentials.clone_from(&newer.credentials);
        renewed.callers.clone_from(&newer.callers);
        let of_policy = |key: &str| key.starts_with("credentials.") || key.starts_with("callers.");
        renewed.origins.0.retain(|key, _| !of_policy(key));
        let origins = newer.origins.0.iter().filter(|(key, _)| of_policy(key));
        renewed.origins.0.extend(origins.map(|(key, origin)| (key.clone(), origin.clone())));
        let (mut mistakes, _) = renewed.check();
        if renewed.callers.is_empty() && !self.callers.is_empty() {
            let text = "the last caller is gone, and without any everybody may do everything; \
                        restart the gateway if that is meant";
            mistakes.push(super::Mistake::new("callers", super::Origin::Default, text));
        }
        if mistakes.is_empty() { Ok((renewed, waiting)) } else { Err(Mistakes(mistakes)) }
    }
}

/// Adds the keys of a section that differ; all of it where the difference is not for showing.
pub(super) fn differing<S: Section + PartialEq>(
    name: &str,
    left: &S,
    right: &S,
    keys: &mut Vec<String>,
) {
    if left == right {
        return;
    }
    let before = keys.len();
    for ((key, left), (_, right)) in left.write().into_iter().zip(right.write()) {
        if left != right {
            keys.push(format!("{name}.{key}"));
        }
    }
    if keys.len() == before {
        keys.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const OLD: &str = "[credentials.main]\nkind = \"wallet\"\ntoken_file = \"t\"\n\
                       [callers.shop]\nkey_file = \"k\"\ncredentials = [\"main\"]\n";

    #[test]
    fn callers_and_credentials_are_renewed_and_other_keys_wait_for_a_restart() {
        let old = Config::from_toml(OLD).unwrap();
        let newer = "[state]\nnats_url = \"nats://me:other@a:1\"\nengine = \"embedded\"\n\
                     [drain]\ngrace = \"45s\"\n\
                     [credentials.second]\nkind = \"wallet\"\ntoken_file = \"t2\"\n\
                     [callers.desk]\nkey_file = \"k2\"\ncredentials = [\"second\"]\n";
        let newer = Config::from_toml(newer).unwrap();
        let (renewed, waiting) = old.renewed(&newer).unwrap();
        assert_eq!(waiting, ["drain.grace", "state.engine", "state.nats_url"]);
        assert_eq!((&renewed.credentials, &renewed.callers), (&newer.credentials, &newer.callers));
        assert_eq!((&renewed.drain, &renewed.state), (&old.drain, &old.state));
        let origin = renewed.origins.of("callers.desk.key_file").to_string();
        assert_eq!(origin, "configuration line 10");
        assert_eq!(renewed.origins.of("callers.shop.key_file").to_string(), "default");
        // A password is not shown, and a change of it is seen all the same.
        let with = |password: &str| {
            let state = format!("engine = \"embedded\"\nnats_url = \"nats://me:{password}@a:1\"");
            Config::from_toml(&format!("[state]\n{state}\n")).unwrap()
        };
        assert_eq!(with("one").renewed(&with("two")).unwrap().1, ["state"]);
    }

    #[test]
    fn what_would_let_everybody_in_or_needs_a_key_that_waits_is_refused() {
        let old = Config::from_toml(OLD).unwrap();
        let error = old.renewed(&Config::default()).unwrap_err();
        assert!(error.to_string().starts_with("callers (default): the last caller is gone"));
        // The hook needs an address that only a restart brings.
        let newer = format!(
            "[notifications]\npublic_url = \"https://pay.example\"\n{}",
            OLD.replace("token_file", "webhook = \"managed\"\ntoken_file")
        );
        let error = old.renewed(&Config::from_toml(&newer).unwrap()).unwrap_err();
        assert_eq!(error.0[0].key, "credentials.main.webhook");
    }
}
