//! Rules: which requests a fault strikes, and how often.

use axum::http::request::Parts;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{Fault, HEADER};
use crate::sandbox::auth;

/// A fault with the requests it is meant for.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::sandbox) struct Rule {
    #[serde(default, rename = "match")]
    on: Match,
    /// How many matching requests pass unharmed first.
    #[serde(default)]
    skip: u64,
    /// How many are struck after that; null is every one.
    #[serde(default)]
    times: Option<u64>,
    fault: Fault,
}

/// A request matches when everything named matches.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Match {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_prefix: Option<String>,
    /// A part of the body's text, such as a payment's id with its quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_contains: Option<String>,
    /// Never shown again.
    #[serde(skip_serializing)]
    token: Option<String>,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Faults(Mutex<Vec<Rule>>);

impl Faults {
    /// Adds rules behind the present ones; all or none.
    pub(in crate::sandbox) fn add(&self, rules: Vec<Rule>) -> Result<(), String> {
        for rule in &rules {
            rule.fault.check()?;
        }
        let effective = rules.into_iter().filter(|rule| rule.times != Some(0));
        self.0.lock().extend(effective);
        Ok(())
    }

    /// The rules that are not used up.
    pub(in crate::sandbox) fn list(&self) -> Vec<Rule> {
        self.0.lock().clone()
    }

    /// Removes every rule.
    pub(in crate::sandbox) fn clear(&self) {
        self.0.lock().clear();
    }

    /// The fault for a request. Counts the request against the rules it matches.
    pub(super) fn take(&self, request: &Parts, body: &[u8]) -> Result<Fault, String> {
        let mut fault = match request.headers.get(HEADER) {
            None => Fault::default(),
            Some(value) => Fault::parse(value.to_str().map_err(|error| error.to_string())?)?,
        };
        let mut rules = self.0.lock();
        for rule in rules.iter_mut().filter(|rule| rule.on.matches(request, body)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if let Some(times) = &mut rule.times {
                *times = times.saturating_sub(1);
            }
            fault.merge(rule.fault.clone());
        }
        rules.retain(|rule| rule.times != Some(0));
        Ok(fault)
    }
}

impl Match {
    fn matches(&self, request: &Parts, body: &[u8]) -> bool {
        let method = self.method.as_deref();
        let prefix = self.path_prefix.as_deref();
        let token = self.token.as_deref();
        let part = self.body_contains.as_deref().filter(|part| !part.is_empty());
        method.is_none_or(|method| request.method.as_str().eq_ignore_ascii_case(method))
            && prefix.is_none_or(|prefix| request.uri.path().starts_with(prefix))
            && token.is_none_or(|token| auth::bearer(&request.headers) == Some(token))
            && part.is_none_or(|part| body.windows(part.len()).any(|text| text == part.as_bytes()))
    }
}
