//! What issuing a bill and linking to a form that issues one check alike.

use std::collections::{BTreeMap, HashMap};

use crate::error::Error;
use crate::pb::p2p::v1 as pb;
use crate::pb::r#type::v1::Money;
use crate::wallet::check::Checks;

/// Longest id.
const ID_MAX: usize = 200;
/// Longest comment, name and value of a field.
const TEXT_MAX: usize = 255;
/// QIWI takes six digits before the point.
const UNITS_MAX: i64 = 999_999;

/// The name of the field with the ways to pay.
const SOURCES: &str = "paySourcesFilter";
/// The name of the field with the look of the form.
const THEME: &str = "themeCode";

/// An id that the caller chooses.
pub fn chosen(checks: &mut Checks, id: &str) {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !(1..=ID_MAX).contains(&id.len()) || !id.bytes().all(named) {
        checks.invalid("bill_id", "Give 1 to 200 letters, digits, underscores and hyphens.");
    }
}

/// The id of a bill there is: others than the gateway issue bills too, and may have been less strict
/// about their ids.
pub fn existing(id: &str) -> Result<&str, Error> {
    let usable = !id.trim().is_empty()
        && !matches!(id, "." | "..")
        && !id.contains(char::is_control)
        && id.chars().count() <= ID_MAX;
    if usable { Ok(id) } else { Err(Error::invalid("bill_id", "Give the id of a bill.")) }
}

/// The size of an amount; what else is wrong with it is checked before.
pub fn size(checks: &mut Checks, amount: &Money) {
    if amount.units > UNITS_MAX {
        checks.invalid("amount.units", "Give at most 999999 and two decimals.");
    }
}

/// A text QIWI limits.
pub fn short(checks: &mut Checks, field: &'static str, text: &str) {
    if text.chars().count() > TEXT_MAX {
        checks.invalid(field, "Give at most 255 characters.");
    }
}

/// `qw`, `card`, `mobile`; `None` for no way and for numbers of later versions.
pub fn source_code(source: i32) -> Option<&'static str> {
    match pb::PaySource::try_from(source) {
        Ok(pb::PaySource::Wallet) => Some("qw"),
        Ok(pb::PaySource::Card) => Some("card"),
        Ok(pb::PaySource::Mobile) => Some("mobile"),
        Ok(pb::PaySource::Unspecified) | Err(_) => None,
    }
}

/// The further fields of a bill by QIWI's names, in an order that does not change from call to call.
pub fn fields(
    checks: &mut Checks,
    sources: &[i32],
    theme: &str,
    custom: &HashMap<String, String>,
) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut ways = sources.to_vec();
    for (index, way) in ways.iter().enumerate() {
        if source_code(*way).is_none() {
            checks.invalid(format!("pay_sources[{index}]"), "Name a way to pay.");
        }
    }
    ways.sort_unstable();
    ways.dedup();
    let ways: Vec<_> = ways.into_iter().filter_map(source_code).collect();
    if !ways.is_empty() {
        fields.insert(SOURCES.to_owned(), ways.join(","));
    }
    short(checks, "theme_code", theme);
    if !theme.is_empty() {
        fields.insert(THEME.to_owned(), theme.to_owned());
    }
    for (name, value) in custom {
        // Names are the caller's own texts, and so they stand in no error.
        if name.is_empty() {
            checks.invalid("custom_fields", "Give every field a name.");
        }
        match name.as_str() {
            SOURCES => checks.invalid("custom_fields", "Use pay_sources for paySourcesFilter."),
            THEME => checks.invalid("custom_fields", "Use theme_code for themeCode."),
            _ => {
                short(checks, "custom_fields", name);
                short(checks, "custom_fields", value);
                fields.insert(name.clone(), value.clone());
            }
        }
    }
    fields
}
