//! Receipts of the law 54-FZ, checked as far as their table says (P-EXT-2).

use serde_json::Value;

use super::fields::Fields;
use super::packed;

/// Checks the receipt of a request, if it has one.
pub(super) fn check(fields: &Fields, name: &str) -> Result<(), String> {
    match fields.text(name) {
        None => Ok(()),
        Some(text) => receipt(&packed::json(&text)?),
    }
}

fn receipt(receipt: &Value) -> Result<(), String> {
    let seller = receipt.get("seller_id").and_then(Value::as_u64).map(|id| id.to_string());
    if !seller.is_some_and(|id| (9..=12).contains(&id.len())) {
        return Err("seller_id must be a tax number".to_owned());
    }
    within(receipt, "cheque_type", 1..=4)?;
    text(receipt, "customer_contact", 64)?;
    within(receipt, "tax_system", 0..=5)?;
    let positions = receipt.get("positions").and_then(Value::as_array);
    let positions = positions.filter(|list| !list.is_empty());
    for position in positions.ok_or("positions must be a list with something in it")? {
        positive(position, "quantity")?;
        positive(position, "price")?;
        within(position, "tax", 1..=7)?;
        text(position, "description", 128)?;
        within(position, "payment_method", 1..=7)?;
        within(position, "payment_subject", 1..=13)?;
    }
    Ok(())
}

fn within(of: &Value, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<(), String> {
    let value = of.get(name).and_then(Value::as_u64);
    if value.is_some_and(|value| range.contains(&value)) {
        return Ok(());
    }
    Err(format!("{name} must be {} to {}", range.start(), range.end()))
}

fn text(of: &Value, name: &str, max: usize) -> Result<(), String> {
    let length = of.get(name).and_then(Value::as_str).map(|text| text.chars().count());
    if length.is_some_and(|length| (1..=max).contains(&length)) {
        return Ok(());
    }
    Err(format!("{name} must be a text of at most {max} characters"))
}

fn positive(of: &Value, name: &str) -> Result<(), String> {
    let number = of.get(name).and_then(Value::as_number).map(ToString::to_string);
    let right = number.is_some_and(|text| {
        !text.starts_with('-') && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
    });
    if right { Ok(()) } else { Err(format!("{name} must be a positive number")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({
            "seller_id": 3_123_011_520_u64,
            "cheque_type": 1,
            "customer_contact": "foo@domain.tld",
            "tax_system": 1,
            "positions": [{
                "quantity": 2,
                "price": 322.94,
                "tax": 4,
                "description": "Товар/Услуга 1",
                "payment_method": 1,
                "payment_subject": 1,
            }],
        })
    }

    #[test]
    fn every_value_has_to_be_one_of_its_list() {
        assert_eq!(receipt(&sample()), Ok(()));
        for (pointer, wrong) in [
            ("/seller_id", json!(1)),
            ("/cheque_type", json!(5)),
            ("/customer_contact", json!("")),
            ("/tax_system", json!(6)),
            ("/positions", json!([])),
            ("/positions/0/quantity", json!(0)),
            ("/positions/0/price", json!("1")),
            ("/positions/0/tax", json!(8)),
            ("/positions/0/description", json!("x".repeat(129))),
            ("/positions/0/payment_method", json!(0)),
            ("/positions/0/payment_subject", json!(14)),
        ] {
            let mut changed = sample();
            *changed.pointer_mut(pointer).unwrap() = wrong;
            let name = pointer.rsplit('/').next().unwrap();
            assert!(receipt(&changed).unwrap_err().starts_with(name), "{pointer}");
        }
    }
}
