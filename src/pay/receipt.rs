//! Cash register receipts: the JSON side of `proto/qiwi/pay/v1/receipt.proto` (catalogue P-EXT-2).

use serde::Serialize;
use zeroize::Zeroizing;

use crate::money::Number;
use crate::pb::pay::v1 as pb;
use crate::wallet::check::{Checks, is_digits};

use super::params::Params;
use super::{Place, check, zlib};

/// Longest encoded receipt the payment form takes.
const FORM_MAX: usize = 4096;
const CONTACT_MAX: usize = 64;
const DESCRIPTION_MAX: usize = 128;
const PRICE_DECIMALS: usize = 2;

/// A receipt as QIWI reads it.
#[derive(Serialize)]
struct Written<'a> {
    seller_id: Number<'a>,
    cheque_type: i32,
    customer_contact: &'a str,
    tax_system: i32,
    positions: Vec<Position<'a>>,
}

#[derive(Serialize)]
struct Position<'a> {
    quantity: Number<'a>,
    price: Number<'a>,
    tax: i32,
    description: &'a str,
    payment_method: i32,
    payment_subject: i32,
}

impl pb::Receipt {
    /// Checks the receipt and adds it under the name it has in that place.
    pub fn add(&self, checks: &mut Checks, params: &mut Params, place: Place) {
        let Some(written) = self.written(checks) else { return };
        // Numbers were checked, the rest are texts: serialising those cannot fail.
        let plain = Zeroizing::new(serde_json::to_string(&written).unwrap_or_default());
        let encoded = zlib::encode(&plain);
        let name = match place {
            Place::Form if encoded.len() > FORM_MAX => {
                let what = "Give fewer or shorter positions: encoded, the receipt has more than \
                            4096 characters.";
                return checks.invalid("positions", what);
            }
            Place::Form => "merchant_cheque",
            Place::Payment | Place::Capture | Place::Return | Place::Payout => "cheque",
        };
        params.encoded(name, encoded, plain);
    }

    fn written(&self, checks: &mut Checks) -> Option<Written<'_>> {
        let seller = self.seller_inn.as_str();
        if !matches!(seller.len(), 10 | 12) || !is_digits(seller) {
            checks.invalid("seller_inn", "Give the tax number of the seller: 10 or 12 digits.");
        }
        // A number of JSON has no leading zeros, and QIWI reads a number.
        let seller_id = Number::parse(seller.trim_start_matches('0'));
        if seller_id.is_none() && !seller.is_empty() && is_digits(seller) {
            checks.invalid("seller_inn", "Give the tax number of the seller, which is not zero.");
        }
        check::required(checks, "customer_contact", &self.customer_contact, CONTACT_MAX);
        let cheque_type = code::<pb::ReceiptType>(checks, "type", self.r#type);
        let tax_system = code::<pb::TaxSystem>(checks, "tax_system", self.tax_system);
        if self.positions.is_empty() {
            checks.invalid("positions", "Give at least one position.");
        }
        let positions: Vec<_> = self
            .positions
            .iter()
            .enumerate()
            .filter_map(|(index, position)| {
                checks.within(&format!("positions[{index}]"), |checks| position.written(checks))
            })
            .collect();
        Some(Written {
            seller_id: seller_id?,
            cheque_type: cheque_type?,
            customer_contact: &self.customer_contact,
            // QIWI counts the tax systems from zero.
            tax_system: tax_system? - 1,
            positions,
        })
    }
}

impl pb::ReceiptPosition {
    fn written(&self, checks: &mut Checks) -> Option<Position<'_>> {
        let quantity = self.quantity.as_ref().and_then(|quantity| check::decimal(&quantity.value));
        let quantity = quantity.filter(|quantity| quantity.as_str().contains(|c| c > '0'));
        if quantity.is_none() {
            checks.invalid("quantity", "Give a positive quantity in decimal digits, such as 1.5.");
        }
        let price = self.price.as_ref().and_then(|price| check::decimal(&price.value));
        let price = price.filter(|price| {
            let decimals = price.as_str().split_once('.').map_or(0, |(_, decimals)| decimals.len());
            decimals <= PRICE_DECIMALS
        });
        if price.is_none() {
            checks.imprecise("price", "Give a price in roubles with at most two decimals.");
        }
        check::required(checks, "description", &self.description, DESCRIPTION_MAX);
        let tax = code::<pb::ValueAddedTax>(checks, "tax", self.tax);
        let method =
            code::<pb::ReceiptPaymentMethod>(checks, "payment_method", self.payment_method);
        let subject =
            code::<pb::ReceiptPaymentSubject>(checks, "payment_subject", self.payment_subject);
        Some(Position {
            quantity: quantity?,
            price: price?,
            tax: tax?,
            description: &self.description,
            payment_method: method?,
            payment_subject: subject?,
        })
    }
}

/// The number of a value that is named in the contract; its enums have QIWI's own numbers.
fn code<E: TryFrom<i32>>(checks: &mut Checks, field: &'static str, value: i32) -> Option<i32> {
    let named = value != 0 && E::try_from(value).is_ok();
    if !named {
        checks.invalid(field, "Name one of the documented values.");
    }
    named.then_some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::pb::r#type::v1::Decimal;

    const SAMPLE: &str = include_str!("../../tests/fixtures/pay/receipt/sample.json");

    fn decimal(value: &str) -> Option<Decimal> {
        Some(Decimal { value: value.into() })
    }

    fn position(quantity: &str, price: &str, description: &str) -> pb::ReceiptPosition {
        pb::ReceiptPosition {
            quantity: decimal(quantity),
            price: decimal(price),
            tax: pb::ValueAddedTax::Rate10110.into(),
            description: description.into(),
            payment_method: pb::ReceiptPaymentMethod::FullPrepayment.into(),
            payment_subject: pb::ReceiptPaymentSubject::Goods.into(),
        }
    }

    /// The receipt of the documents.
    fn sample() -> pb::Receipt {
        pb::Receipt {
            seller_inn: "3123011520".into(),
            r#type: pb::ReceiptType::Income.into(),
            customer_contact: "foo@domain.tld".into(),
            tax_system: pb::TaxSystem::SimplifiedIncome.into(),
            positions: vec![
                position("2", "322.94", "Товар/Услуга 1"),
                position("1", "500", "Товар/Услуга 2"),
            ],
        }
    }

    #[track_caller]
    fn written(receipt: &pb::Receipt, place: Place) -> (&'static str, String) {
        let (mut checks, mut params) = (Checks::default(), Params::default());
        receipt.add(&mut checks, &mut params, place);
        checks.done().unwrap();
        let (name, text) = params.iter().next().unwrap();
        let plain = zlib::decode(text).unwrap();
        assert_eq!(params.content().next(), Some((name, plain.as_str())));
        (name, plain.as_str().to_owned())
    }

    #[test]
    fn the_receipt_of_the_documents_is_written() {
        let (name, plain) = written(&sample(), Place::Payment);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        // Numbers keep their text in such a value, so that 500 and 500.0 are two things.
        assert_eq!((name, read(&plain)), ("cheque", read(SAMPLE)));
        assert!(!plain.contains(": ") && !plain.contains('\n'), "{plain}");
        assert_eq!(written(&sample(), Place::Form), ("merchant_cheque", plain));
    }

    #[test]
    fn every_value_has_its_number() {
        let mut receipt = sample();
        receipt.seller_inn = "0105012345".into();
        receipt.tax_system = pb::TaxSystem::General.into();
        receipt.r#type = pb::ReceiptType::ExpenseReturn.into();
        receipt.positions.truncate(1);
        receipt.positions[0].tax = pb::ValueAddedTax::Rate20120.into();
        receipt.positions[0].payment_method = pb::ReceiptPaymentMethod::CreditRepayment.into();
        receipt.positions[0].payment_subject = pb::ReceiptPaymentSubject::Other.into();
        assert_eq!(
            written(&receipt, Place::Capture).1,
            "{\"seller_id\":105012345,\"cheque_type\":4,\"customer_contact\":\"foo@domain.tld\",\
             \"tax_system\":0,\"positions\":[{\"quantity\":2,\"price\":322.94,\"tax\":7,\
             \"description\":\"Товар/Услуга 1\",\"payment_method\":7,\"payment_subject\":13}]}"
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_by_its_path() {
        let receipt = pb::Receipt {
            seller_inn: "12345".into(),
            positions: vec![position("0.0", "1.001", " "), position("1e3", "-1", "x")],
            ..Default::default()
        };
        let (mut checks, mut params) = (Checks::default(), Params::default());
        checks.within("receipt", |checks| receipt.add(checks, &mut params, Place::Payment));
        let told = format!("{:?}", checks.done().unwrap_err());
        for field in [
            "receipt.seller_inn",
            "receipt.customer_contact",
            "receipt.type",
            "receipt.tax_system",
            "receipt.positions[0].quantity",
            "receipt.positions[0].price",
            "receipt.positions[0].description",
            "receipt.positions[1].quantity",
            "receipt.positions[1].price",
        ] {
            assert!(told.contains(&format!("\"{field}\"")), "{field} in {told}");
        }
        assert!(!params.has("cheque"));
    }

    #[test]
    fn values_nobody_named_are_refused() {
        let change = |change: fn(&mut pb::Receipt)| {
            let mut receipt = sample();
            change(&mut receipt);
            let (mut checks, mut params) = (Checks::default(), Params::default());
            receipt.add(&mut checks, &mut params, Place::Payment);
            checks.done().unwrap_err();
        };
        change(|receipt| receipt.r#type = 5);
        change(|receipt| receipt.tax_system = 7);
        change(|receipt| receipt.positions.clear());
        change(|receipt| receipt.seller_inn = "0000000000".into());
        change(|receipt| receipt.customer_contact = "x".repeat(65));
        change(|receipt| receipt.positions[1].tax = 8);
        change(|receipt| receipt.positions[1].tax = 0);
        change(|receipt| receipt.positions[1].payment_method = 8);
        change(|receipt| receipt.positions[1].payment_subject = 14);
        change(|receipt| receipt.positions[1].payment_subject = -1);
        change(|receipt| receipt.positions[1].description = "щ".repeat(129));
        change(|receipt| receipt.positions[1].quantity = None);
    }

    #[test]
    fn the_form_has_a_limit_that_the_interface_has_not() {
        // Digits without a pattern do not compress well.
        let digits = |of: u32| format!("{:08x}", of.wrapping_mul(of).wrapping_mul(2_654_435_761));
        let names = (1..300).map(|of| [of, of + 1000, of + 2000, of + 3000].map(digits).concat());
        let positions = names.map(|name| position("1", "500", &name)).collect();
        let large = pb::Receipt { positions, ..sample() };
        written(&large, Place::Payment);
        let (mut checks, mut params) = (Checks::default(), Params::default());
        large.add(&mut checks, &mut params, Place::Form);
        let error = checks.done().unwrap_err();
        assert!(format!("{error:?}").contains("\"positions\""), "{error:?}");
        assert!(!params.has("merchant_cheque"));
    }
}
