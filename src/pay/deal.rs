//! Safe deals: how an amount is split between the recipient and the fees, as
//! `proto/qiwi/pay/v1/deal.proto` has it (catalogue P-EXT-4, P-EXT-5).

use crate::pb::pay::v1 as pb;
use crate::wallet::check::Checks;

use super::amount::Amount;
use super::params::Params;
use super::{Place, check};

impl pb::SafeDeal {
    /// Checks the deal and adds its wallet and its parts. `amount` is that of the operation; a
    /// capture has none. To be called after the order is added, with whose fields it shares names.
    pub fn add(
        &self,
        checks: &mut Checks,
        params: &mut Params,
        place: Place,
        amount: Option<&Amount>,
    ) {
        let has_parts = self.payout_amount.is_some() || self.fee_amount.is_some();
        if self.recipient_wallet.is_empty() && !has_parts {
            let what = "Give the parts of the amount, or the wallet the deal pays.";
            return checks.invalid("payout_amount", what);
        }
        if !self.recipient_wallet.is_empty() && place == Place::Return {
            let what = "Leave it out: what goes back has parts only.";
            checks.invalid("recipient_wallet", what);
        }
        if params.has("cf1") && !self.recipient_wallet.is_empty() {
            let what = "Leave out cf1 of the order: QIWI reads the wallet there.";
            checks.invalid("recipient_wallet", what);
        }
        let wallet = check::wallet(checks, "recipient_wallet", &self.recipient_wallet);
        if !wallet.is_empty() {
            params.text("cf1", wallet);
        }
        if has_parts || place != Place::Capture {
            self.add_parts(checks, params, place, amount);
        }
    }

    fn add_parts(
        &self,
        checks: &mut Checks,
        params: &mut Params,
        place: Place,
        amount: Option<&Amount>,
    ) {
        if params.has("cf2") {
            let what = "Leave out cf2 of the order: QIWI reads the parts there.";
            checks.invalid("payout_amount", what);
        }
        let payout = Amount::part(checks, "payout_amount", self.payout_amount.as_ref());
        let fee = Amount::part(checks, "fee_amount", self.fee_amount.as_ref());
        let (Some(payout), Some(fee)) = (payout, fee) else { return };
        match amount {
            Some(amount) => {
                let codes = [payout.currency_code(), fee.currency_code()];
                if codes.into_iter().any(|code| code != amount.currency_code()) {
                    let what = "Give both parts in the currency of the amount.";
                    checks.invalid("payout_amount.currency_code", what);
                }
                if payout.nanos() + fee.nanos() != amount.nanos() {
                    let what = "Give parts that add up to the amount exactly.";
                    checks.invalid("payout_amount", what);
                }
            }
            // QIWI wants the parts to be the amount, which must be stated for that.
            None if place != Place::Capture => {
                let what = "Give the amount of the operation, too: the parts add up to it.";
                checks.invalid("payout_amount", what);
            }
            None => {}
        }
        params.text("cf2", &format!("{};{}", payout.as_str(), fee.as_str()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pb::r#type::v1::Money;

    fn money(text: &str) -> Option<Money> {
        let number = crate::money::Number::parse(text.to_owned()).unwrap();
        Some(number.to_money("RUB", "amount").unwrap())
    }

    fn deal(wallet: &str, payout: &str, fee: &str) -> pb::SafeDeal {
        pb::SafeDeal {
            recipient_wallet: wallet.into(),
            payout_amount: money(payout),
            fee_amount: money(fee),
        }
    }

    fn added(deal: &pb::SafeDeal, place: Place, amount: &str) -> Result<Params, String> {
        let (mut checks, mut params) = (Checks::default(), Params::default());
        let amount = (!amount.is_empty())
            .then(|| Amount::of(&mut checks, "amount", money(amount).as_ref()).unwrap());
        checks.within("deal", |checks| deal.add(checks, &mut params, place, amount.as_ref()));
        checks.done().map(|()| params).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn parts_that_are_the_amount_are_written_as_the_documents_do() {
        for (wallet, payout, fee, place, amount) in [
            ("79323213232", "250.10", "200.10", Place::Payment, "450.20"),
            ("", "300.00", "200.00", Place::Form, "500.00"),
            ("", "250.00", "100.00", Place::Return, "350.00"),
            ("", "350.00", "0.00", Place::Return, "350.00"),
            ("+79111111111", "0.01", "0.01", Place::Capture, ""),
        ] {
            let params = added(&deal(wallet, payout, fee), place, amount).unwrap();
            assert_eq!(params.get("cf2").unwrap(), format!("{payout};{fee}"));
            let wallet = wallet.trim_start_matches('+');
            assert_eq!(params.get("cf1").unwrap_or_default(), wallet);
        }
    }

    #[test]
    fn parts_that_are_not_the_amount_are_refused() {
        for (payout, fee, amount) in [
            ("250.10", "200.11", "450.20"),
            ("250.10", "200.09", "450.20"),
            ("0", "0", "0.01"),
            ("9223372036854775.99", "0.01", "0.01"),
        ] {
            for place in [Place::Payment, Place::Form, Place::Return] {
                let found = added(&deal("", payout, fee), place, amount).unwrap_err();
                assert!(found.contains("\"deal.payout_amount\""), "{found}");
            }
        }
        let mut other = deal("", "250.10", "200.10");
        other.fee_amount.as_mut().unwrap().currency_code = "USD".into();
        let found = added(&other, Place::Payment, "450.20").unwrap_err();
        assert!(found.contains("\"deal.payout_amount.currency_code\""), "{found}");
        let odd = deal("", "250.105", "200.095");
        let found = added(&odd, Place::Payment, "450.20").unwrap_err();
        assert!(found.contains("AMOUNT_PRECISION") && found.contains("deal.fee_amount"), "{found}");
    }

    #[test]
    fn only_a_capture_may_name_the_wallet_alone() {
        let only = pb::SafeDeal { recipient_wallet: "79111111111".into(), ..Default::default() };
        let params = added(&only, Place::Capture, "").unwrap();
        assert!(params.iter().eq([("cf1", "79111111111")]));
        for place in [Place::Payment, Place::Form, Place::Return] {
            assert!(added(&only, place, "450.20").unwrap_err().contains("deal.fee_amount"));
        }
        for place in [Place::Payment, Place::Form, Place::Capture, Place::Return] {
            let found = added(&pb::SafeDeal::default(), place, "1.00").unwrap_err();
            assert!(found.contains("\"deal.payout_amount\""), "{found}");
        }
    }

    #[test]
    fn a_return_names_its_amount_and_no_wallet() {
        let found = added(&deal("79111111111", "1", "1"), Place::Return, "2").unwrap_err();
        assert!(found.contains("\"deal.recipient_wallet\""), "{found}");
        let found = added(&deal("", "1", "1"), Place::Return, "").unwrap_err();
        assert!(found.contains("\"deal.payout_amount\""), "{found}");
        assert!(added(&deal("7911", "1", "1"), Place::Payment, "2").is_err());
    }

    #[test]
    fn a_deal_that_pays_a_card_leaves_the_first_field_to_the_order() {
        let (mut checks, mut params) = (Checks::default(), Params::default());
        params.text("cf1", "mine");
        let amount = Amount::of(&mut checks, "amount", money("2").as_ref());
        deal("", "1", "1").add(&mut checks, &mut params, Place::Payment, amount.as_ref());
        checks.done().unwrap();
        assert!(params.iter().eq([("cf1", "mine"), ("cf2", "1.00;1.00")]));
    }

    #[test]
    fn what_the_order_says_under_the_same_names_is_not_lost_in_silence() {
        let (mut checks, mut params) = (Checks::default(), Params::default());
        params.text("cf1", "mine").text("cf2", "mine");
        let amount = Amount::of(&mut checks, "amount", money("2").as_ref());
        let deal = deal("79111111111", "1", "1");
        deal.add(&mut checks, &mut params, Place::Payment, amount.as_ref());
        let found = format!("{:?}", checks.done().unwrap_err());
        assert!(found.contains("cf1") && found.contains("cf2"), "{found}");
    }
}
