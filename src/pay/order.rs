//! Orders, as `proto/qiwi/pay/v1/order.proto` has them (catalogue P-WPF-1, P-API-1, P-API-20,
//! P-EXT-8).

use crate::pb::pay::v1 as pb;
use crate::time;
use crate::wallet::check::Checks;

use super::check::Follows;
use super::params::Params;
use super::{Place, check};

/// Longest id of an order.
pub const ORDER_ID_MAX: usize = 256;
const URL_MAX: usize = 256;

impl pb::OrderDetails {
    /// Checks the order and adds it. Wherever money moves it needs its id.
    pub fn add(&self, checks: &mut Checks, params: &mut Params, place: Place) {
        if place == Place::Form {
            check::short(checks, "order_id", &self.order_id, ORDER_ID_MAX);
        } else {
            check::required(checks, "order_id", &self.order_id, ORDER_ID_MAX);
        }
        params.text("order_id", &self.order_id);
        for (field, text, max) in [
            ("product_name", &self.product_name, 25),
            ("merchant_uid", &self.merchant_uid, 64),
            ("cf1", &self.cf1, 256),
            ("cf2", &self.cf2, 256),
            ("cf3", &self.cf3, 256),
            ("cf4", &self.cf4, 256),
            ("cf5", &self.cf5, 256),
        ] {
            check::short(checks, field, text, max);
            params.text(field, text);
        }
        for (field, url, by) in [
            ("callback_url", &self.callback_url, Follows::Qiwi),
            ("success_url", &self.success_url, Follows::Browser),
            ("decline_url", &self.decline_url, Follows::Browser),
        ] {
            check::address(checks, field, url, URL_MAX, by);
            params.text(field, url);
        }
        self.add_terms(checks, params, place);
    }

    /// What a payout does not have.
    fn add_terms(&self, checks: &mut Checks, params: &mut Params, place: Place) {
        if place == Place::Payout {
            let what = "Leave it out: payouts have none.";
            if self.expire_time.is_some() {
                checks.invalid("expire_time", what);
            }
            if !self.modifiers.is_empty() {
                checks.invalid("modifiers", what);
            }
            return;
        }
        if let Some(stamp) = &self.expire_time {
            let text = time::to_moscow(stamp, "expire_time").ok().filter(|_| stamp.seconds > 0);
            match text {
                Some(text) => {
                    params.text("order_expire", &text);
                }
                None => checks.invalid("expire_time", "Tell until when the order can be paid."),
            }
        }
        let mut names = Vec::new();
        for (index, modifier) in self.modifiers.iter().enumerate() {
            match pb::TransactionModifier::try_from(*modifier) {
                Ok(pb::TransactionModifier::AccountFunding) => names.push("aft"),
                Ok(pb::TransactionModifier::MailTelephoneOrder) => names.push("moto"),
                Ok(pb::TransactionModifier::Unspecified) | Err(_) => {
                    checks.invalid(format!("modifiers[{index}]"), "Name a modifier.");
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        params.text("modifiers", &names.join(","));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// The order of the documents, but for its callback, which QIWI would not deliver.
    fn order() -> pb::OrderDetails {
        pb::OrderDetails {
            order_id: "order1231231".into(),
            product_name: "Название услуги".into(),
            merchant_uid: "10001".into(),
            cf1: "cf1".into(),
            cf2: "cf2".into(),
            cf3: "cf3".into(),
            cf4: "cf4".into(),
            cf5: "cf5".into(),
            expire_time: time::parse("2017-03-15T09:57:21+03:00").instant,
            callback_url: "https://domain.tld/callback_service".into(),
            success_url: "http://domain.tld/success".into(),
            decline_url: "http://domain.tld/decline".into(),
            modifiers: vec![2, 1, 2],
        }
    }

    fn added(order: &pb::OrderDetails, place: Place) -> Result<Params, String> {
        let (mut checks, mut params) = (Checks::default(), Params::default());
        checks.within("order", |checks| order.add(checks, &mut params, place));
        checks.done().map(|()| params).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn an_order_is_written_as_the_documents_do() {
        for place in [Place::Form, Place::Payment] {
            let params = added(&order(), place).unwrap();
            let all: Vec<_> = params.iter().collect();
            assert_eq!(
                all,
                [
                    ("callback_url", "https://domain.tld/callback_service"),
                    ("cf1", "cf1"),
                    ("cf2", "cf2"),
                    ("cf3", "cf3"),
                    ("cf4", "cf4"),
                    ("cf5", "cf5"),
                    ("decline_url", "http://domain.tld/decline"),
                    ("merchant_uid", "10001"),
                    ("modifiers", "aft,moto"),
                    ("order_expire", "2017-03-15T09:57:21+03:00"),
                    ("order_id", "order1231231"),
                    ("product_name", "Название услуги"),
                    ("success_url", "http://domain.tld/success"),
                ]
            );
        }
    }

    #[test]
    fn where_money_moves_an_order_has_its_id() {
        let nameless = pb::OrderDetails::default();
        assert_eq!(added(&nameless, Place::Form).unwrap().iter().count(), 0);
        for place in [Place::Payment, Place::Payout] {
            assert!(added(&nameless, place).unwrap_err().contains("\"order.order_id\""));
        }
    }

    #[test]
    fn payouts_have_neither_an_end_nor_modifiers() {
        let told = added(&order(), Place::Payout).unwrap_err();
        assert!(told.contains("\"order.expire_time\"") && told.contains("\"order.modifiers\""));
        let plain = pb::OrderDetails { expire_time: None, modifiers: Vec::new(), ..order() };
        assert_eq!(added(&plain, Place::Payout).unwrap().iter().count(), 11);
    }

    #[test]
    fn every_limit_of_an_order_is_checked() {
        let change = |change: fn(&mut pb::OrderDetails), field: &str| {
            let mut order = order();
            change(&mut order);
            let told = added(&order, Place::Payment).unwrap_err();
            assert!(told.contains(&format!("\"order.{field}\"")), "{field} in {told}");
        };
        change(|of| of.order_id = "x".repeat(257), "order_id");
        change(|of| of.order_id = "a\nb".into(), "order_id");
        change(|of| of.product_name = "щ".repeat(26), "product_name");
        change(|of| of.merchant_uid = "x".repeat(65), "merchant_uid");
        change(|of| of.cf1 = "x".repeat(257), "cf1");
        change(|of| of.cf5 = "x".repeat(257), "cf5");
        change(|of| of.callback_url = "http://domain.tld/callback_service".into(), "callback_url");
        change(|of| of.success_url = "domain.tld".into(), "success_url");
        change(|of| of.decline_url = "javascript:alert(1)".into(), "decline_url");
        change(|of| of.expire_time.as_mut().unwrap().seconds = 0, "expire_time");
        change(|of| of.modifiers.push(0), "modifiers[3]");
        change(|of| of.modifiers.insert(0, 3), "modifiers[0]");
    }
}
