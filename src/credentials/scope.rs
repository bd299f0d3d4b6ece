//! The permissions of a wallet token (official list of 2022).

use std::borrow::Cow;
use std::fmt;

use crate::config::value::{Raw, Value};

/// A set of permissions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

/// The single permissions, in QIWI's order.
const NAMES: [(Scopes, &str); 5] = [
    (Scopes::PROFILE, "PROFILE"),
    (Scopes::BALANCE, "BALANCE"),
    (Scopes::HISTORY, "HISTORY"),
    (Scopes::PAYMENTS, "PAYMENTS"),
    (Scopes::CARDS, "CARDS"),
];

impl Scopes {
    /// Profile, identification, limits.
    pub const PROFILE: Self = Self(1);
    /// Balance queries.
    pub const BALANCE: Self = Self(1 << 1);
    /// Payment history queries.
    pub const HISTORY: Self = Self(1 << 2);
    /// Payments without SMS confirmation, paying invoices, webhooks.
    pub const PAYMENTS: Self = Self(1 << 3);
    /// QIWI Master cards.
    pub const CARDS: Self = Self(1 << 4);
    /// No permission; also what an operation without a needed scope asks for.
    pub const NONE: Self = Self(0);
    /// All permissions.
    pub const ALL: Self = Self(0b1_1111);
    /// What an information token has.
    pub const INFORMATION: Self = Self::PROFILE.union(Self::BALANCE).union(Self::HISTORY);

    /// Whether every permission of `other` is here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The permissions of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The permissions of this set that `other` lacks.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the permissions, in QIWI's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(move |(scope, _)| self.contains(*scope)).map(|(_, name)| name)
    }

    /// The permission of this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES
            .into_iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(scope, _)| scope)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("NONE");
        }
        for (index, name) in self.names().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

impl Value for Scopes {
    fn expected() -> Cow<'static, str> {
        "a list of PROFILE, BALANCE, HISTORY, PAYMENTS, CARDS".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        Vec::<String>::read(raw)?
            .iter()
            .try_fold(Self::NONE, |scopes, name| Some(scopes.union(Self::from_name(name)?)))
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::List(self.names().map(|name| Raw::Text(name.to_owned())).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_what_was_put_in() {
        let set = Scopes::PROFILE.union(Scopes::PAYMENTS);
        assert!(set.contains(Scopes::PAYMENTS));
        assert!(set.contains(Scopes::NONE));
        assert!(!set.contains(Scopes::PROFILE.union(Scopes::CARDS)));
        assert_eq!(set.without(Scopes::PROFILE), Scopes::PAYMENTS);
        assert_eq!(set.to_string(), "PROFILE PAYMENTS");
        assert_eq!(Scopes::NONE.to_string(), "NONE");
        assert_eq!(Scopes::ALL.names().count(), NAMES.len());
    }

    #[test]
    fn names_are_read_in_any_case_and_unknown_ones_refused() {
        let read = |text: &str| Scopes::read(&Raw::Text(text.to_owned()));
        assert_eq!(read("profile, History"), Some(Scopes::PROFILE.union(Scopes::HISTORY)));
        assert_eq!(read("profile, everything"), None);
        assert_eq!(read("NONE"), None);
    }
}
