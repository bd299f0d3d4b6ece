//! Data of airlines, checked as their table says (P-EXT-3).
//!
//! What is still missing when money is held can come with the capture, so there only what is
//! there is checked.

use serde_json::Value;

use super::super::moment::Moment;
use super::fields::Fields;

/// How a member has to look.
enum Form {
    Text(usize),
    Digits(usize),
    Amount,
    Truth,
    Time,
}

const TICKET: &[(&str, Form)] = &[
    ("number", Form::Text(14)),
    ("passenger_name", Form::Text(20)),
    ("amount", Form::Amount),
    ("amount_total", Form::Amount),
    ("restricted", Form::Truth),
    ("agency_code", Form::Text(8)),
    ("agency_name", Form::Text(25)),
    ("airport_code", Form::Text(3)),
];

const SEGMENT: &[(&str, Form)] = &[
    ("amount", Form::Amount),
    ("service_class", Form::Text(1)),
    ("fare_basis_code", Form::Text(6)),
    ("dest_city", Form::Text(3)),
    ("carrier_code", Form::Text(2)),
    ("stopover_code", Form::Text(1)),
    ("departure_date", Form::Time),
    ("flight_number", Form::Digits(5)),
];

/// Checks the data of a request, if it has some.
pub(super) fn check(fields: &Fields, complete: bool) -> Result<(), String> {
    match fields.value("industry_data") {
        None => Ok(()),
        Some(data) => flight(data, complete),
    }
}

fn flight(data: &Value, complete: bool) -> Result<(), String> {
    if data.get("type").and_then(Value::as_str) != Some("avia") {
        return Err("type must be avia".to_owned());
    }
    if data.get("pnr").is_some_and(|pnr| !Form::Text(6).fits(pnr)) {
        return Err("pnr must be a text of at most 6 characters".to_owned());
    }
    for (number, ticket) in list(data, "tickets", complete)?.iter().enumerate() {
        let place = format!("tickets[{number}]");
        members(ticket, TICKET, complete, &place)?;
        for (number, segment) in list(ticket, "segments", complete)?.iter().enumerate() {
            members(segment, SEGMENT, complete, &format!("{place}.segments[{number}]"))?;
        }
    }
    Ok(())
}

fn list<'a>(of: &'a Value, name: &str, complete: bool) -> Result<&'a [Value], String> {
    match of.get(name) {
        None if !complete => Ok(&[]),
        Some(Value::Array(list)) if !list.is_empty() || !complete => Ok(list),
        _ => Err(format!("{name} must be a list with something in it")),
    }
}

fn members(of: &Value, forms: &[(&str, Form)], complete: bool, place: &str) -> Result<(), String> {
    for (name, form) in forms {
        match of.get(name) {
            None if complete => return Err(format!("{place}.{name} is required")),
            Some(value) if !form.fits(value) => {
                return Err(format!("{place}.{name} has a wrong format"));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Form {
    fn fits(&self, value: &Value) -> bool {
        let short =
            |max: &usize| value.as_str().filter(|text| (1..=*max).contains(&text.chars().count()));
        match self {
            Self::Text(max) => short(max).is_some(),
            Self::Digits(max) => {
                short(max).is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            }
            Self::Amount => {
                value.as_number().is_some_and(|number| !number.to_string().starts_with('-'))
            }
            Self::Truth => value.is_boolean(),
            Self::Time => value.as_str().and_then(Moment::parse).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({
            "type": "avia",
            "pnr": "6Q32R2",
            "tickets": [{
                "number": "1",
                "passenger_name": "Ivan Ivanov",
                "amount": 500,
                "amount_total": 700,
                "restricted": false,
                "agency_code": "avi",
                "agency_name": "avia company",
                "airport_code": "air",
                "segments": [{
                    "amount": 500,
                    "service_class": "A",
                    "fare_basis_code": "B",
                    "dest_city": "XYB",
                    "carrier_code": "AI",
                    "stopover_code": "X",
                    "departure_date": "2016-12-30T02:45:00Z",
                    "flight_number": "12545",
                }],
            }],
        })
    }

    #[test]
    fn everything_is_there_at_last_and_what_is_there_is_right_at_first() {
        assert_eq!(flight(&sample(), true), Ok(()));
        for pointer in ["/tickets/0/segments/0/flight_number", "/tickets/0/restricted", "/type"] {
            let mut changed = sample();
            *changed.pointer_mut(pointer).unwrap() = json!("a");
            assert!(flight(&changed, false).is_err(), "{pointer}");
        }
        let mut early = sample();
        early["tickets"][0].as_object_mut().unwrap().remove("segments");
        assert_eq!(flight(&early, false), Ok(()));
        assert!(flight(&early, true).unwrap_err().contains("segments"));
    }
}
