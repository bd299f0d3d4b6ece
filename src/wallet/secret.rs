//! A secret inside an answer: wiped when dropped, shown by nothing, and on its way to the caller only.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::money::Text;

/// A card number, a verification code or a key, as QIWI wrote it.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Whether QIWI sent an empty text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, moved into the reply, which the gateway wipes once it is encoded.
    pub fn into_reply(mut self) -> String {
        std::mem::take(&mut *self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|text| Self(Zeroizing::new(text.into_string())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn secrets_are_read_as_text_or_number_and_never_shown() {
        for (json, text) in [(r#""007""#, "007"), ("4111", "4111"), (r#""\u0041""#, "A")] {
            let secret: Secret = serde_json::from_str(json).unwrap();
            assert_eq!(format!("{secret:?}"), "***");
            assert_eq!(secret.into_reply(), text);
        }
        assert!(serde_json::from_str::<Secret>(r#""""#).unwrap().is_empty());
        assert!(serde_json::from_str::<Secret>("null").is_err());
    }
}
