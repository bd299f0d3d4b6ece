//! Rules: which requests or notifications a fault strikes, and how often.

use axum::http::request::Parts;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{Fault, HEADER, Mischief};
use crate::sandbox::acquiring;
use crate::sandbox::auth;
use crate::sandbox::notice::Notice;

/// A fault with the requests it is meant for, or the same for notifications.
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
    /// What happens to requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<Fault>,
    /// What happens to notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notification: Option<Mischief>,
}

/// A request or notification matches when everything named matches.
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
    /// The operation of QIWI PAY, `opcode` of its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    opcode: Option<u64>,
    /// Never shown again.
    #[serde(skip_serializing)]
    token: Option<String>,
    /// What a notification is about: `wallet`, `test`, `bill` or `pay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Faults(Mutex<Vec<Rule>>);

impl Faults {
    /// Adds rules behind the present ones; all or none.
    pub(in crate::sandbox) fn add(&self, rules: Vec<Rule>) -> Result<(), String> {
        for rule in &rules {
            rule.check()?;
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
        for rule in rules.iter_mut() {
            if let Some(more) = rule.fault.clone()
                && rule.on.matches(request, body)
                && rule.strikes()
            {
                fault.merge(more);
            }
        }
        rules.retain(|rule| rule.times != Some(0));
        Ok(fault)
    }

    /// What happens to a notification. Counts it against the rules it matches.
    pub(in crate::sandbox) fn take_for(&self, notice: &Notice) -> Mischief {
        let mut mischief = Mischief::default();
        let mut rules = self.0.lock();
        for rule in rules.iter_mut() {
            if let Some(more) = rule.notification.clone()
                && rule.on.matches_notice(notice)
                && rule.strikes()
            {
                mischief.merge(more);
            }
        }
        rules.retain(|rule| rule.times != Some(0));
        mischief
    }
}

impl Rule {
    /// What the types cannot express.
    fn check(&self) -> Result<(), String> {
        match (&self.fault, &self.notification) {
            (Some(fault), None) if self.on.about.is_none() => fault.check(),
            (Some(_), None) => Err("about is for notifications".to_owned()),
            (None, Some(_))
                if self.on.method.is_some()
                    || self.on.token.is_some()
                    || self.on.opcode.is_some() =>
            {
                Err("a notification has neither method nor token nor opcode".to_owned())
            }
            (None, Some(mischief)) => mischief.check(),
            _ => Err("a rule has a fault or a notification".to_owned()),
        }
    }

    /// Counts a match; whether the rule has begun and not ended.
    fn strikes(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(times) = &mut self.times {
            *times = times.saturating_sub(1);
        }
        true
    }
}

impl Match {
    fn matches_notice(&self, notice: &Notice) -> bool {
        let about = self.about.as_deref();
        let prefix = self.path_prefix.as_deref();
        let part = self.body_contains.as_deref();
        let path = url::Url::parse(&notice.url).map(|url| url.path().to_owned());
        about.is_none_or(|about| notice.about.name() == about)
            && prefix.is_none_or(|prefix| path.is_ok_and(|path| path.starts_with(prefix)))
            && part.is_none_or(|part| notice.body.to_string().contains(part))
    }

    fn matches(&self, request: &Parts, body: &[u8]) -> bool {
        let method = self.method.as_deref();
        let prefix = self.path_prefix.as_deref();
        let token = self.token.as_deref();
        let part = self.body_contains.as_deref().filter(|part| !part.is_empty());
        method.is_none_or(|method| request.method.as_str().eq_ignore_ascii_case(method))
            && prefix.is_none_or(|prefix| request.uri.path().starts_with(prefix))
            && self.opcode.is_none_or(|opcode| opcode_of(request, body) == Some(opcode))
            && token.is_none_or(|token| auth::bearer(&request.headers) == Some(token))
            && part.is_none_or(|part| body.windows(part.len()).any(|text| text == part.as_bytes()))
    }
}

/// The operation that a request of QIWI PAY asks for; some clients send its number as text.
fn opcode_of(request: &Parts, body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Operation {
        opcode: serde_json::Value,
    }
    if request.uri.path() != acquiring::DIRECT {
        return None;
    }
    let opcode = serde_json::from_slice::<Operation>(body).ok()?.opcode;
    opcode.as_u64().or_else(|| opcode.as_str()?.parse().ok())
}
