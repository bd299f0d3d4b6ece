//! Safe deals: the two parts of an amount, what is paid out and what is kept (P-EXT-4 and 5).

use super::amount;
use super::checks::Checks;
use super::fields::Fields;
use super::settings::{MerchantSite, SafeDeal};

/// The parts, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) payout: i64,
    fee: i64,
}

impl Parts {
    /// `300.00;200.00`, perhaps with a blank in between.
    fn parse(text: &str) -> Option<Self> {
        let (payout, fee) = text.split_once(';')?;
        let part = |text: &str| match text.trim_start() {
            "0" | "0.00" => Some(0),
            text => amount::parse(text),
        };
        Some(Self { payout: part(payout)?, fee: part(fee)? })
    }

    /// Of a request of a site that makes deals; they make up its amount.
    pub(super) fn read(
        fields: &Fields,
        site: &MerchantSite,
        amount: Option<i64>,
        checks: &mut Checks,
    ) -> Option<Self> {
        if site.safe_deal == SafeDeal::None {
            return None;
        }
        let Some(parts) = Self::parse(&checks.required(fields, "cf2")?) else {
            checks.complain("cf2", "[cf2] must be two amounts split by a semicolon");
            return None;
        };
        if amount.is_some_and(|amount| amount != parts.payout + parts.fee) {
            checks.complain("cf2", "[cf2] must add up to the amount");
        }
        Some(parts)
    }
}

/// The wallet that a deal pays: eleven digits in `cf1`.
pub(super) fn wallet(fields: &Fields, site: &MerchantSite, checks: &mut Checks) -> Option<String> {
    if site.safe_deal != SafeDeal::ToWallet {
        return None;
    }
    let wallet = checks.required(fields, "cf1")?;
    let right = wallet.len() == 11 && wallet.bytes().all(|byte| byte.is_ascii_digit());
    if !right {
        checks.complain("cf1", "[cf1] must be the number of a wallet");
    }
    right.then_some(wallet)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn parts_are_split_by_a_semicolon_and_perhaps_a_blank() {
        let parts = |payout, fee| Some(Parts { payout, fee });
        assert_eq!(Parts::parse("250.10;200.10"), parts(25_010, 20_010));
        assert_eq!(Parts::parse("300.00; 200.00"), parts(30_000, 20_000));
        assert_eq!(Parts::parse("300.00;0"), parts(30_000, 0));
        for wrong in ["300.00", "300.00;", "300.00;200.00;1", "300,00;200,00"] {
            assert_eq!(Parts::parse(wrong), None, "{wrong}");
        }
    }
}
