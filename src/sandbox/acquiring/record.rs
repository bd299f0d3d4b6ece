//! What the journal keeps of an operation: enough to see what was asked, and nothing of a card but
//! its masked number.

use serde_json::{Map, Value};

use super::card;
use super::fields::Fields;

/// Kept as they are; everything else is kept by its name alone.
const KEPT: [&str; 12] = [
    "amount",
    "callback_url",
    "cf1",
    "cf2",
    "currency",
    "merchant_site",
    "merchant_uid",
    "opcode",
    "order_id",
    "product_name",
    "sign",
    "txn_id",
];

/// A request body as it is kept, if it is one.
pub(in crate::sandbox) fn shown(body: &[u8]) -> Option<Value> {
    let fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let texts = Fields::of_json(body).ok()?;
    let kept = fields.into_iter().map(|(name, value)| {
        let value = match name.as_str() {
            name if KEPT.contains(&name) => value,
            "pan" => Value::from(card::masked(&texts.text("pan").unwrap_or_default())),
            _ => Value::from("***"),
        };
        (name, value)
    });
    Some(Value::Object(kept.collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn nothing_of_a_card_is_kept_but_its_masked_number() {
        let body = br#"{"opcode":1,"order_id":"a","pan":"4111111111111111","cvv2":"987","expiry":"1299","card_token":"tok-en","pares":"eJz","card_name":"A B"}"#;
        let text = shown(body).unwrap().to_string();
        assert!(text.contains(r#""pan":"411111******1111""#) && text.contains(r#""order_id":"a""#));
        for secret in ["4111111111111111", "987", "1299", "tok-en", "eJz", "A B"] {
            assert!(!text.contains(secret), "{secret}");
        }
        assert_eq!(shown(b"no json"), None);
    }
}
