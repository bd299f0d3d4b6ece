//! What a caller selects of the events it may see.
//!
//! A filter is checked and brought into a form that is quick to compare once; every event is then
//! compared with it. It looks at what the log knows of an event and never into the payload.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use super::hub::Hub;
use super::id::Owner;
use super::record::{Event, Kind, Stored};
use super::visible::{self, Visible};
use super::wire;
use crate::error::{Error, reason};
use crate::pb::events::v1 as pb;
use crate::pb::wallet::v1::TransactionType;
use crate::wallet::check::is_digits;

/// Most values of all fields together.
const VALUES_MAX: usize = 1000;
/// Longest status, in characters.
const STATUS_MAX: usize = 64;

/// What a caller selects of the events it may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    visible: Visible,
    wallets: BTreeSet<Owner>,
    kinds: BTreeSet<pb::EventKind>,
    /// `true` for what comes in, `false` for what goes out.
    incoming: BTreeSet<bool>,
    statuses: BTreeSet<String>,
    providers: BTreeSet<String>,
    sources: BTreeSet<pb::EventSource>,
}

impl Filter {
    /// Everything that may be seen.
    pub fn everything(visible: Visible) -> Self {
        Self {
            visible,
            wallets: BTreeSet::new(),
            kinds: BTreeSet::new(),
            incoming: BTreeSet::new(),
            statuses: BTreeSet::new(),
            providers: BTreeSet::new(),
            sources: BTreeSet::new(),
        }
    }

    /// What a request selects of what may be seen; `at` is the dotted path of its filter.
    ///
    /// # Errors
    /// `REQUEST_INVALID` names the field, `CALLER_NOT_ALLOWED` and `TOKEN_SCOPE_INSUFFICIENT` say
    /// that it selects what may not be seen.
    pub fn compile(
        filter: Option<&pb::EventFilter>,
        visible: Visible,
        hub: &Hub,
        at: &str,
    ) -> Result<Self, Error> {
        let mut compiled = Self::everything(visible);
        let Some(filter) = filter else { return Ok(compiled) };
        if values(filter) > VALUES_MAX {
            let what = format!("Give at most {VALUES_MAX} values in all fields together.");
            return Err(Error::invalid(at.to_owned(), what));
        }
        let wrong = |field: &str, what: &'static str| Error::invalid(format!("{at}.{field}"), what);
        for text in &filter.wallets {
            let what = "Give wallet numbers of 10 to 15 digits.";
            let owner = visible::wallet(hub, text).ok_or_else(|| wrong("wallets", what))?;
            if compiled.visible.rights(&owner).is_none() {
                let what = "Name only wallets of the credentials the call may use.";
                return Err(Error::new(&reason::CALLER_NOT_ALLOWED)
                    .field(format!("{at}.wallets"), what)
                    .log("the filter names a wallet the call may not see"));
            }
            compiled.wallets.insert(owner);
        }
        for number in &filter.kinds {
            let kind = pb::EventKind::try_from(*number).ok();
            let kind = kind.filter(|of| *of != pb::EventKind::Unspecified);
            compiled.kinds.insert(kind.ok_or_else(|| wrong("kinds", NAMED))?);
        }
        for number in &filter.transaction_types {
            compiled.incoming.insert(match TransactionType::try_from(*number) {
                Ok(TransactionType::In) => true,
                // A webhook tells of a card's payment as of any other.
                Ok(TransactionType::Out | TransactionType::QiwiCard) => false,
                Ok(TransactionType::Unspecified) | Err(_) => {
                    return Err(wrong("transaction_types", NAMED));
                }
            });
        }
        for status in &filter.statuses {
            if status.is_empty() || status.chars().count() > STATUS_MAX {
                return Err(wrong("statuses", "Give statuses of 1 to 64 characters."));
            }
            compiled.statuses.insert(status.clone());
        }
        for provider in &filter.provider_ids {
            if provider.is_empty() || !is_digits(provider) {
                return Err(wrong("provider_ids", "Give numbers of providers, digits only."));
            }
            compiled.providers.insert(provider.clone());
        }
        for number in &filter.sources {
            let source = pb::EventSource::try_from(*number).ok();
            let source = source.filter(|of| *of != pb::EventSource::Unspecified);
            compiled.sources.insert(source.ok_or_else(|| wrong("sources", NAMED))?);
        }
        if compiled.names_balances() && !compiled.may_see_balances() {
            return Err(Error::new(&reason::TOKEN_SCOPE_INSUFFICIENT).field(
                format!("{at}.kinds"),
                "Balances need a credential with the scope BALANCE.",
            ));
        }
        Ok(compiled)
    }

    /// Whether an event is selected.
    pub fn matches(&self, stored: &Stored) -> bool {
        let event = &stored.event;
        self.visible.shows(event)
            && selects(&self.wallets, &event.owner)
            && (self.kinds.is_empty() || self.kinds.contains(&wire::kind(event)))
            && self.selects_type(event)
            && selects(&self.statuses, &event.status)
            && selects(&self.providers, &event.provider)
            && (self.sources.is_empty() || self.sources.contains(&wire::source(event.source)))
    }

    fn selects_type(&self, event: &Event) -> bool {
        if self.incoming.is_empty() {
            return true;
        }
        let has_type = matches!(event.kind, Kind::Transaction | Kind::Confirmation);
        let incoming = match &*event.r#type {
            "IN" => Some(true),
            "OUT" | "QIWI_CARD" => Some(false),
            _ => None,
        };
        has_type && incoming.is_some_and(|incoming| self.incoming.contains(&incoming))
    }

    /// What may be seen at all.
    pub fn visible(&self) -> &Visible {
        &self.visible
    }

    /// Whether it names balances, which are polled only while somebody does.
    pub fn names_balances(&self) -> bool {
        self.kinds.contains(&pb::EventKind::Balance)
    }

    fn may_see_balances(&self) -> bool {
        match &self.visible {
            Visible::All => true,
            Visible::Of(owners) => owners.values().any(|rights| rights.balances),
        }
    }

    /// Whose balances it names; `None` for those of every wallet there is.
    pub fn balances_of(&self) -> Option<Vec<Owner>> {
        let may = |owner: &Owner| self.visible.rights(owner).is_some_and(|of| of.balances);
        match &self.visible {
            _ if !self.names_balances() => Some(Vec::new()),
            _ if !self.wallets.is_empty() => {
                Some(self.wallets.iter().copied().filter(|owner| may(owner)).collect())
            }
            Visible::All => None,
            Visible::Of(owners) => {
                Some(owners.keys().copied().filter(|owner| may(owner)).collect())
            }
        }
    }

    /// A text that is the same for the same selection and for no other; digits of wallets are not
    /// in it.
    pub fn text(&self) -> String {
        let Self { visible, wallets, kinds, incoming, statuses, providers, sources } = self;
        let mut text = visible.text();
        // Writing into a text cannot fail.
        let _ = write!(text, "|{wallets:?}|{kinds:?}|{incoming:?}");
        let _ = write!(text, "|{statuses:?}|{providers:?}|{sources:?}");
        text
    }
}

/// What to do about a number that the contract does not name.
const NAMED: &str = "Give named values only; leave the list empty for all.";

/// An empty field selects all; an event without such a property has none of its values.
fn selects<T: Ord + Clone>(selected: &BTreeSet<T>, value: &T) -> bool {
    selected.is_empty() || selected.contains(value)
}

/// How many values there are; repetitions count once.
fn values(filter: &pb::EventFilter) -> usize {
    fn different<T: Eq + std::hash::Hash>(all: impl Iterator<Item = T>) -> usize {
        all.collect::<HashSet<_>>().len()
    }
    let digits = |text: &'_ String| text.strip_prefix('+').unwrap_or(text).to_owned();
    different(filter.wallets.iter().map(digits))
        + different(filter.kinds.iter())
        + different(filter.transaction_types.iter())
        + different(filter.statuses.iter())
        + different(filter.provider_ids.iter())
        + different(filter.sources.iter())
}

#[cfg(test)]
mod tests;
