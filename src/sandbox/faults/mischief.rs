//! What can be wrong with a notification on its way, on request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happens to a notification. Fields combine freely; an empty one changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::sandbox) struct Mischief {
    /// Send so many copies more, all at once.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::sandbox) duplicates: u32,
    /// Give copies, replays and repeats message ids of their own.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::sandbox) new_id: bool,
    /// Send it so much later.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::sandbox) delay_ms: u64,
    /// Send it after the next one of the same wallet.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::sandbox) behind_next: bool,
    /// Sign it otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) signature: Option<WrongSignature>,
    /// Write the signature of a bill in Base64 in place of hexadecimal digits.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::sandbox) base64: bool,
    /// Send a copy behind it that has this status and the same signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) replay_status: Option<String>,
    /// Name these fields as the signed ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::sandbox) sign_fields: Option<String>,
    /// Sign what `sign_fields` names, in place of leaving the signature as it was.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::sandbox) resign: bool,
    /// Lay the signature over another payment: the text it was made of becomes the comment, the
    /// comment the only signed field, and the amount a million.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::sandbox) forged_list: bool,
    /// Change these values, by JSON pointer, after it was signed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::sandbox) set: BTreeMap<String, Value>,
    /// Do not hear the answer of so many attempts.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::sandbox) drop_answers: u32,
}

/// How a signature is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::sandbox) enum WrongSignature {
    /// Another one.
    Wrong,
    /// Made with the key before the last change; with the present one if it was never changed.
    OldKey,
    /// None.
    Absent,
}

impl Mischief {
    /// What the types cannot express.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.resign && self.sign_fields.is_none() {
            return Err("resign needs sign_fields".to_owned());
        }
        if self.duplicates > 10_000 {
            return Err("duplicates must be at most 10000".to_owned());
        }
        match self.set.keys().find(|pointer| !pointer.starts_with('/')) {
            Some(pointer) => Err(format!("{pointer} is no JSON pointer")),
            None => Ok(()),
        }
    }

    /// Takes from the other what this one leaves open.
    pub(super) fn merge(&mut self, other: Self) {
        self.duplicates = self.duplicates.max(other.duplicates);
        self.new_id |= other.new_id;
        self.delay_ms = self.delay_ms.max(other.delay_ms);
        self.behind_next |= other.behind_next;
        self.signature = self.signature.or(other.signature);
        self.base64 |= other.base64;
        self.replay_status = self.replay_status.take().or(other.replay_status);
        self.sign_fields = self.sign_fields.take().or(other.sign_fields);
        self.resign |= other.resign;
        self.forged_list |= other.forged_list;
        for (pointer, value) in other.set {
            self.set.entry(pointer).or_insert(value);
        }
        self.drop_answers = self.drop_answers.max(other.drop_answers);
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
