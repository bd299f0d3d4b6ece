//! The parameters of a request, with their values in the text that was sent, for that is signed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::refusal::Refused;
use super::signature;

/// Parameters by name. The order of the map is the one in which they are signed.
#[derive(Debug, Clone, Default)]
pub(in crate::sandbox) struct Fields(BTreeMap<String, Value>);

impl Fields {
    /// Of a JSON object.
    pub(super) fn of_json(body: &[u8]) -> Result<Self, Refused> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields.into_iter().collect())),
            _ => Err(Refused::new(8018)),
        }
    }

    /// Of a submitted form.
    pub(super) fn of_form(body: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(body).into_owned();
        Self(pairs.map(|(name, value)| (name, Value::String(value))).collect())
    }

    /// A value as text; an empty one counts as absent, and so does one that is no single value.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        plain(self.0.get(name)?).filter(|text| !text.is_empty())
    }

    /// A value as it is.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A whole number, as a number or as text. What is neither cannot be parsed, and nor can an
    /// empty text.
    pub(super) fn integer(&self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let text = plain(value).unwrap_or_default();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Some(number)),
            _ => Err(Refused::new(8018)),
        }
    }

    /// A whole number that must be there.
    pub(super) fn required_integer(&self, name: &str) -> Result<u64, Refused> {
        self.integer(name)?.ok_or_else(|| Refused::field(name, &format!("[{name}] is required")))
    }

    /// Sets a value, or removes it when there is none.
    pub(super) fn set(&mut self, name: &str, text: Option<String>) {
        match text {
            Some(text) => self.0.insert(name.to_owned(), Value::String(text)),
            None => self.0.remove(name),
        };
    }

    /// Whether `sign` is the signature of everything else that has a value.
    pub(super) fn are_signed_by(&self, secret: &str) -> bool {
        let sign = self.text("sign").unwrap_or_default();
        signature::of_request(secret, &self.signed_text()) == sign
    }

    /// The text that is signed. Objects such as `industry_data` take no part in it: the documents
    /// give no text for them.
    pub(super) fn signed_text(&self) -> String {
        let signed = self.0.iter().filter(|(name, _)| *name != "sign");
        let texts = signed.filter_map(|(_, value)| plain(value)).filter(|text| !text.is_empty());
        texts.collect::<Vec<_>>().join("|")
    }
}

/// A single value as the text that was sent.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    /// The vectors TV-30, 31, 35 to 42 and a public client's, by their texts.
    #[test]
    fn values_are_signed_in_the_order_of_their_names_and_as_they_were_sent() {
        for (request, text) in [
            (
                r#"{"opcode":3,"merchant_site":555,"amount":"7.00","currency":643}"#,
                "7.00|643|555|3",
            ),
            (
                r#"{"opcode":1,"merchant_site":12345,"amount":15.00,"currency":643}"#,
                "15.00|643|12345|1",
            ),
            (r#"{"opcode":5,"merchant_site":99,"txn_id":"172001","sign":"x"}"#, "99|5|172001"),
            (
                r#"{"opcode":20,"merchant_site":555,"order_id":"","amount":4678.50,"a":null,"b":{}}"#,
                "4678.50|555|20",
            ),
            (r#"{"b":"b","zzz":"zzz","cdf":"cdf","abc":"abc","asd":0}"#, "abc|0|b|cdf|zzz"),
        ] {
            assert_eq!(Fields::of_json(request.as_bytes()).unwrap().signed_text(), text);
        }
    }

    #[test]
    fn the_documented_sample_is_signed() {
        let sign = "9c878bfbf9baa30c26c8c6206976fc3ed2c036afeabf352f8a045fe331d42d7e";
        let request = |sign: &str| {
            format!(
                r#"{{"opcode":3,"merchant_site":555,"amount":"7.00","currency":643,"sign":"{sign}"}}"#
            )
        };
        let signed = |sign: &str| {
            Fields::of_json(request(sign).as_bytes()).unwrap().are_signed_by("secret_key")
        };
        assert!(signed(sign));
        for wrong in ["", &sign.to_uppercase(), &sign[1..]] {
            assert!(!signed(wrong), "{wrong}");
        }
    }

    #[test]
    fn whole_numbers_come_as_numbers_or_texts_and_nothing_else_is_one() {
        let body = br#"{"a":7,"b":"7","c":"","d":7.5,"e":"x","f":[7],"g":null,"h":-7}"#;
        let fields = Fields::of_json(body).unwrap();
        for name in ["a", "b"] {
            assert_eq!(fields.integer(name), Ok(Some(7)));
        }
        assert_eq!(fields.integer("g"), Ok(None));
        for name in ["c", "d", "e", "f", "h"] {
            assert_eq!(fields.integer(name).unwrap_err().code, 8018, "{name}");
        }
    }
}
