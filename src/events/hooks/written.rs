//! What is written down about the webhooks of one credential, and how news change it.

use prost::Message as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::events::cell::CellKey;
use crate::events::cipher::Cipher;
use crate::events::store::LogError;

/// Hooks of one credential that are remembered.
const HOOKS_MAX: usize = 16;

/// What is known of the hooks of one credential, the newest first.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Written {
    #[prost(message, repeated, tag = "1")]
    pub hooks: Vec<WrittenHook>,
}

/// One hook with one of its keys; a hook whose key changed is there with each of them.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WrittenHook {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The key as QIWI gives it, in base64; empty where nobody but the operator knows it.
    #[prost(string, tag = "2")]
    pub key: String,
    /// When something replaced it: Unix milliseconds, 0 while nothing has.
    #[prost(int64, tag = "3")]
    pub replaced_ms: i64,
    /// The address the gateway itself registered it with; empty when somebody else did.
    #[prost(string, tag = "4")]
    pub address: String,
}

impl WrittenHook {
    /// Which hook it is.
    pub fn id(&self) -> Option<Uuid> {
        Uuid::from_slice(&self.id).ok()
    }
}

impl Written {
    /// The active hook, as far as is known.
    pub fn current(&self) -> Option<&WrittenHook> {
        self.hooks.iter().find(|hook| hook.replaced_ms == 0)
    }

    /// Notes a hook and, unless empty, its key. `active` tells whether QIWI said that it is the
    /// active one; the key of a hook alone does not say so. Whether anything changed.
    pub fn note(&mut self, id: Uuid, key: &str, active: bool, now: i64) -> bool {
        let is_it = |hook: &WrittenHook| hook.id == id.as_bytes();
        let current = self.hooks.iter().position(|hook| hook.replaced_ms == 0);
        let current_is_it = current.and_then(|at| self.hooks.get(at)).is_some_and(is_it);
        if !active && current.is_some() && !current_is_it {
            // Perhaps of a hook before the active one; its last messages are still welcome.
            let known = self.hooks.iter().any(|hook| is_it(hook) && hook.key == key);
            if known || key.is_empty() {
                return false;
            }
            self.replace(WrittenHook {
                id: id.as_bytes().to_vec(),
                key: key.to_owned(),
                replaced_ms: now,
                address: String::new(),
            });
            return true;
        }
        if current_is_it && let Some(hook) = current.and_then(|at| self.hooks.get_mut(at)) {
            if key.is_empty() || hook.key == key {
                return false;
            }
            if hook.key.is_empty() {
                key.clone_into(&mut hook.key);
                return true;
            }
        }
        // Another hook, or another key of the same one.
        for hook in self.hooks.iter_mut().filter(|hook| hook.replaced_ms == 0) {
            hook.replaced_ms = now;
        }
        let before = self.hooks.iter().find(|hook| is_it(hook));
        let address = before.map(|hook| hook.address.clone()).unwrap_or_default();
        // A hook that is active again has the key it had, unless QIWI says otherwise.
        let key = match before {
            Some(before) if key.is_empty() => before.key.clone(),
            _ => key.to_owned(),
        };
        self.replace(WrittenHook { id: id.as_bytes().to_vec(), key, replaced_ms: 0, address });
        true
    }

    /// Notes that the gateway itself registered a hook with this address.
    pub fn registered(&mut self, id: Uuid, address: &str, now: i64) -> bool {
        let mut changed = self.note(id, "", true, now);
        for hook in self.hooks.iter_mut().filter(|hook| hook.id == id.as_bytes()) {
            changed |= hook.address != address;
            address.clone_into(&mut hook.address);
        }
        changed
    }

    /// Puts a hook first; what was known of it with the same key goes.
    fn replace(&mut self, hook: WrittenHook) {
        self.hooks.retain(|of| of.id != hook.id || (of.key != hook.key && !of.key.is_empty()));
        self.hooks.insert(0, hook);
        self.hooks.truncate(HOOKS_MAX);
    }

    /// For the cell of this key.
    pub fn sealed(&self, cipher: &Cipher, cell: &CellKey) -> Result<bytes::Bytes, LogError> {
        let text = Zeroizing::new(self.encode_to_vec());
        cipher.seal(&text, &cell.name)
    }

    /// From the cell of this key.
    pub fn open(cipher: &Cipher, cell: &CellKey, sealed: &[u8]) -> Result<Self, LogError> {
        let text = Zeroizing::new(cipher.open(sealed, &cell.name)?);
        Self::decode(&**text).map_err(|_| LogError::Damaged("the hooks of a credential".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);
    const B: Uuid = Uuid::from_u128(0xb);

    fn shown(written: &Written) -> Vec<(u128, &str, i64)> {
        let hooks = written.hooks.iter();
        hooks.map(|hook| (hook.id().unwrap().as_u128(), &*hook.key, hook.replaced_ms)).collect()
    }

    #[test]
    fn a_key_joins_its_hook_and_another_key_replaces_it() {
        let mut written = Written::default();
        assert!(written.note(A, "", true, 1));
        assert!(!written.note(A, "", true, 2));
        assert!(written.note(A, "k1", false, 3));
        assert!(!written.note(A, "k1", true, 4));
        assert!(!written.note(A, "", true, 5), "that it is active is known");
        assert_eq!(shown(&written), [(0xa, "k1", 0)]);
        assert!(written.note(A, "k2", false, 6));
        assert_eq!(shown(&written), [(0xa, "k2", 0), (0xa, "k1", 6)]);
        assert!(written.note(A, "k1", false, 7), "back again");
        assert_eq!(shown(&written), [(0xa, "k1", 0), (0xa, "k2", 7)]);
    }

    #[test]
    fn another_active_hook_replaces_the_one_before() {
        let mut written = Written::default();
        written.note(A, "k1", true, 1);
        assert!(written.note(B, "", true, 2));
        assert_eq!(shown(&written), [(0xb, "", 0), (0xa, "k1", 2)]);
        assert!(written.note(A, "", true, 3), "and back, with the key it had");
        assert_eq!(shown(&written), [(0xa, "k1", 0), (0xb, "", 3)]);
    }

    #[test]
    fn the_key_of_another_hook_does_not_make_it_the_active_one() {
        let mut written = Written::default();
        written.note(A, "k1", true, 1);
        assert!(written.note(B, "kb", false, 2));
        assert!(!written.note(B, "kb", false, 3));
        assert_eq!(written.current().unwrap().id(), Some(A));
        assert_eq!(shown(&written), [(0xb, "kb", 2), (0xa, "k1", 0)]);
        let mut nothing_known = Written::default();
        assert!(nothing_known.note(B, "kb", false, 2));
        assert_eq!(shown(&nothing_known), [(0xb, "kb", 0)]);
    }

    #[test]
    fn what_the_gateway_registered_it_knows_with_every_key() {
        let mut written = Written::default();
        assert!(written.registered(A, "https://a", 1));
        assert!(!written.registered(A, "https://a", 2));
        written.note(A, "k1", false, 3);
        written.note(A, "k2", false, 4);
        assert_eq!(written.current().unwrap().address, "https://a");
        written.note(B, "kb", true, 5);
        assert_eq!(written.current().unwrap().address, "");
        written.note(A, "", true, 6);
        assert_eq!(written.current().unwrap().address, "https://a");
    }

    #[test]
    fn the_oldest_go_first() {
        let mut written = Written::default();
        for n in 0..40_u128 {
            written.note(Uuid::from_u128(n), "k", true, 1);
        }
        assert_eq!(written.hooks.len(), HOOKS_MAX);
        assert_eq!(written.current().unwrap().id(), Some(Uuid::from_u128(39)));
    }
}
