//! Telling a merchant how a transaction stands (P-CBK-1).

use serde_json::Value;

use super::super::notice::{About, Notice};
use super::super::state::World;

/// The fields that are signed, in this order; those that are absent or empty are left out.
const SIGNED: [&str; 8] =
    ["amount", "currency", "email", "error_code", "ip", "txn_id", "txn_status", "txn_type"];

/// The text that is signed of a notification.
pub(in crate::sandbox) fn signed_text(body: &Value) -> String {
    let text = |name: &&str| match body.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let texts = SIGNED.iter().filter_map(text).filter(|text| !text.is_empty());
    texts.collect::<Vec<_>>().join("|")
}

impl World {
    /// Tells the merchant of a transaction how it stands, if there is an address for it.
    pub(super) fn announce_transaction(&mut self, id: u64) {
        let Some(one) = self.acquiring.transactions.get(&id) else { return };
        let Some(site) = self.acquiring.site(one.site) else { return };
        let Some(url) = one.callback_url.clone().or_else(|| site.callback_url.clone()) else {
            return;
        };
        let key = site.secret.clone().into_bytes();
        let old_key = site.previous_secret.clone().map(String::into_bytes);
        let owner = site.id.to_string();
        let body = one.as_notification();
        let notice = Notice::new(About::Pay, owner, url, id.to_string(), body, (key, old_key));
        self.outbox.announce(notice);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use serde_json::json;

    use super::super::signature;
    use super::*;

    /// The vectors TV-50 and TV-51.
    #[test]
    fn eight_fields_are_signed_as_far_as_they_are_there() {
        let mut body = json!({
            "txn_id": 806_930_407_050_u64, "txn_status": 3, "txn_type": 1, "amount": 1856,
            "currency": 643, "error_code": 0, "eci": "", "pan": "400000******0002",
        });
        assert_eq!(signed_text(&body), "1856|643|0|806930407050|3|1");
        let sign = signature::of_request("secret_key", &signed_text(&body));
        assert_eq!(
            sign.to_uppercase(),
            "7E5BA1E606E01F159B67758A6351D868BC6259DAAD324FE542F5A41E845B949F"
        );
        body = json!({
            "txn_id": 3_666_050, "txn_status": 2, "txn_type": 2, "amount": 10000, "currency": 643,
            "error_code": 0, "email": "user@co.ru", "ip": "111.12.75.92", "order_id": "1",
        });
        assert_eq!(signed_text(&body), "10000|643|user@co.ru|0|111.12.75.92|3666050|2|2");
    }
}
