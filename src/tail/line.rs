//! An event as one line of JSON.
//!
//! The fields somebody who watches wants, in a fixed order; a program that needs all of them calls
//! the gateway itself. Personal fields that are there show as `***` unless they are asked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::pb::events::v1 as pb;
use crate::pb::p2p::v1::Bill;
use crate::pb::pay::v1 as pay;
use crate::pb::r#type::v1::{Money, OffsetTime};
use crate::pb::wallet::v1::Transaction;
use pb::event::Payload;

/// What stands in for a personal field.
const HIDDEN: &str = "***";

#[derive(Serialize)]
struct Line<'a> {
    event_id: &'a str,
    sequence: i64,
    cursor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    append_time: Option<String>,
    kind: String,
    source: String,
    verification: String,
    late: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    occur_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wallet: Option<&'a str>,
    #[serde(flatten)]
    payload: Option<Shown<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Shown<'a> {
    Transaction(TransactionLine<'a>),
    Confirmation(ConfirmationLine<'a>),
    Balance(BalanceLine<'a>),
    Bill(BillLine<'a>),
    Acquiring(AcquiringLine<'a>),
    Test(TestLine<'a>),
    System(SystemLine<'a>),
}

#[derive(Serialize)]
struct TransactionLine<'a> {
    transaction_id: &'a str,
    r#type: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<i32>,
    #[serde(flatten)]
    amount: Option<AmountLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
}

#[derive(Serialize)]
struct ConfirmationLine<'a> {
    subject_event_id: &'a str,
    transaction_id: &'a str,
    subject_type: &'a str,
    subject_status: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
}

#[derive(Serialize)]
struct BalanceLine<'a> {
    alias: &'a str,
    #[serde(flatten)]
    amount: Option<AmountLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<AmountLine>,
}

#[derive(Serialize)]
struct BillLine<'a> {
    bill_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    site_id: Option<&'a str>,
    status: &'a str,
    #[serde(flatten)]
    amount: Option<AmountLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
}

#[derive(Serialize)]
struct AcquiringLine<'a> {
    transaction_id: &'a str,
    r#type: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(flatten)]
    amount: Option<AmountLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_site: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<&'a str>,
}

#[derive(Serialize)]
struct TestLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
}

#[derive(Serialize)]
struct SystemLine<'a> {
    code: String,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
}

#[derive(Serialize)]
struct AmountLine {
    amount: String,
    currency: String,
}

/// Writes the event and the end of the line.
///
/// # Errors
/// When it is no JSON, which nothing in an event can bring about.
pub(super) fn write(
    out: &mut Vec<u8>,
    event: &pb::Event,
    personal: bool,
) -> Result<(), serde_json::Error> {
    let show = Show { personal };
    let line = Line {
        event_id: &event.event_id,
        sequence: event.sequence,
        cursor: STANDARD.encode(&event.cursor),
        append_time: event.append_time.as_ref().and_then(time),
        kind: name::<pb::EventKind>(event.kind, pb::EventKind::as_str_name, "EVENT_KIND_"),
        source: name(event.source, pb::EventSource::as_str_name, "EVENT_SOURCE_"),
        verification: name(
            event.verification,
            pb::EventVerification::as_str_name,
            "EVENT_VERIFICATION_",
        ),
        late: event.late,
        occur_time: event.occur_time.as_ref().and_then(occurred),
        wallet: show.text(event.wallet.as_deref()),
        payload: event.payload.as_ref().map(|payload| show.payload(payload)),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.push(b'\n');
    Ok(())
}

/// How much of an event is shown.
#[derive(Clone, Copy)]
struct Show {
    personal: bool,
}

impl Show {
    fn text(self, text: Option<&str>) -> Option<&str> {
        text.map(|text| if self.personal { text } else { HIDDEN })
    }

    fn amount(self, money: Option<&Money>) -> Option<AmountLine> {
        let money = money?;
        Some(if self.personal {
            AmountLine { amount: decimal(money), currency: money.currency_code.clone() }
        } else {
            AmountLine { amount: HIDDEN.to_owned(), currency: HIDDEN.to_owned() }
        })
    }

    fn payload(self, payload: &Payload) -> Shown<'_> {
        match payload {
            Payload::Transaction(transaction) => Shown::Transaction(self.transaction(transaction)),
            Payload::Confirmation(of) => Shown::Confirmation(ConfirmationLine {
                subject_event_id: &of.subject_event_id,
                transaction_id: &of.transaction_id,
                subject_type: &of.subject_type_raw,
                subject_status: &of.subject_status_raw,
                status: &of.status_raw,
                causes: of.causes.iter().map(|cause| cause_name(*cause)).collect(),
            }),
            Payload::Balance(balance) => Shown::Balance(BalanceLine {
                alias: &balance.alias,
                amount: self.amount(balance.amount.as_ref()),
                previous: self.amount(balance.previous_amount.as_ref()),
            }),
            Payload::Bill(bill) => Shown::Bill(self.bill(bill)),
            Payload::Acquiring(of) => Shown::Acquiring(self.acquiring(of)),
            Payload::Test(test) => Shown::Test(TestLine {
                webhook_id: test.webhook_id.as_deref(),
                message_id: test.message_id.as_deref(),
            }),
            Payload::System(system) => Shown::System(SystemLine {
                code: name(system.code, pb::SystemEventCode::as_str_name, "SYSTEM_EVENT_CODE_"),
                description: &system.description,
                start_time: system.start_time.as_ref().and_then(time),
                end_time: system.end_time.as_ref().and_then(time),
            }),
        }
    }

    fn transaction(self, of: &Transaction) -> TransactionLine<'_> {
        TransactionLine {
            transaction_id: &of.transaction_id,
            r#type: &of.type_raw,
            status: &of.status_raw,
            error_code: of.error_code,
            amount: self.amount(of.amount.as_ref()),
            provider: of.provider.as_ref().and_then(|provider| provider.provider_id.as_deref()),
            account: self.text(of.account.as_deref()),
            comment: self.text(of.comment.as_deref()),
        }
    }

    fn acquiring(self, of: &pay::Transaction) -> AcquiringLine<'_> {
        AcquiringLine {
            transaction_id: &of.transaction_id,
            r#type: &of.type_raw,
            status: &of.status_raw,
            error_code: of.error.as_ref().map(|error| error.code_raw.as_str()),
            amount: self.amount(of.amount.as_ref()),
            merchant_site: of.merchant_site.as_deref(),
            order_id: of.order_id.as_deref(),
            card: self.text(of.card.as_ref().map(|card| card.masked_pan.as_str())),
        }
    }

    fn bill(self, bill: &Bill) -> BillLine<'_> {
        BillLine {
            bill_id: &bill.bill_id,
            site_id: bill.site_id.as_deref(),
            status: &bill.status_raw,
            amount: self.amount(bill.amount.as_ref()),
            comment: self.text(bill.comment.as_deref()),
        }
    }
}

/// An enum's value without what all of them begin with; one this program does not know is a number.
fn name<E: TryFrom<i32>>(number: i32, of: fn(&E) -> &'static str, prefix: &str) -> String {
    E::try_from(number).map_or_else(
        |_| number.to_string(),
        |value| {
            let name = of(&value);
            name.strip_prefix(prefix).unwrap_or(name).to_owned()
        },
    )
}

fn cause_name(number: i32) -> String {
    name(number, pb::ContradictionCause::as_str_name, "CONTRADICTION_CAUSE_")
}

fn time(stamp: &prost_types::Timestamp) -> Option<String> {
    let time = jiff::Timestamp::new(stamp.seconds, stamp.nanos).ok()?;
    Some(time.to_string())
}

/// When it happened; as QIWI wrote it where that is no time.
fn occurred(of: &OffsetTime) -> Option<String> {
    let instant = of.instant.as_ref().and_then(time);
    instant.or_else(|| Some(of.raw.clone()).filter(|raw| !raw.is_empty()))
}

/// The amount in digits, with two decimals at least.
fn decimal(money: &Money) -> String {
    // Both parts have the same sign; one of them may be zero.
    let sign = if money.units < 0 || money.nanos < 0 { "-" } else { "" };
    let nanos = format!("{:09}", money.nanos.unsigned_abs());
    let decimals = nanos.trim_end_matches('0');
    format!("{sign}{}.{decimals:0<2}", money.units.unsigned_abs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn shown(event: &pb::Event, personal: bool) -> String {
        let mut out = Vec::new();
        write(&mut out, event, personal).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn money(units: i64, nanos: i32) -> Money {
        Money { currency_code: "RUB".to_owned(), units, nanos }
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(decimal(&money(70, 0)), "70.00");
        assert_eq!(decimal(&money(0, -500_000_000)), "-0.50");
        assert_eq!(decimal(&money(-3, -1)), "-3.000000001");
        assert_eq!(decimal(&money(i64::MIN, 0)), "-9223372036854775808.00");
    }

    #[test]
    fn a_card_payment_shows_its_order_and_hides_its_card_and_amount() {
        let card =
            pay::CardInfo { masked_pan: "411111******1111".to_owned(), ..Default::default() };
        let error = crate::error::acquiring::transaction_error("8152", None);
        let transaction = pay::Transaction {
            transaction_id: "12".to_owned(),
            type_raw: "1".to_owned(),
            status_raw: "1".to_owned(),
            amount: Some(money(15, 500_000_000)),
            merchant_site: Some("99".to_owned()),
            order_id: Some("order-1".to_owned()),
            card: Some(card),
            error,
            ..Default::default()
        };
        let event = pb::Event {
            kind: pb::EventKind::Acquiring.into(),
            payload: Some(Payload::Acquiring(transaction)),
            ..Default::default()
        };
        let hidden = shown(&event, false);
        let line = concat!(
            r#""kind":"ACQUIRING","source":"UNSPECIFIED","verification":"UNSPECIFIED","#,
            r#""late":false,"acquiring":{"transaction_id":"12","type":"1","status":"1","#,
            r#""error_code":"8152","amount":"***","currency":"***","merchant_site":"99","#,
            r#""order_id":"order-1","card":"***"}}"#,
        );
        assert!(hidden.contains(line), "{hidden}");
        let open = shown(&event, true);
        assert!(open.contains("15.50") && open.contains("411111******1111"), "{open}");
    }

    #[test]
    fn personal_fields_are_hidden_unless_asked_for() {
        let transaction = Transaction {
            transaction_id: "12".to_owned(),
            type_raw: "IN".to_owned(),
            status_raw: "SUCCESS".to_owned(),
            account: Some("79990000002".to_owned()),
            amount: Some(money(15, 50_000_000)),
            comment: Some("for\nlunch".to_owned()),
            ..Default::default()
        };
        let event = pb::Event {
            event_id: "ab".to_owned(),
            sequence: 3,
            cursor: vec![0, 1, 2, 255].into(),
            append_time: Some(prost_types::Timestamp { seconds: 1_500_000_000, nanos: 0 }),
            kind: pb::EventKind::Transaction.into(),
            source: 77,
            wallet: Some("79990000001".to_owned()),
            payload: Some(Payload::Transaction(transaction)),
            ..Default::default()
        };
        assert_eq!(
            shown(&event, false),
            concat!(
                r#"{"event_id":"ab","sequence":3,"cursor":"AAEC/w==","#,
                r#""append_time":"2017-07-14T02:40:00Z","kind":"TRANSACTION","source":"77","#,
                r#""verification":"UNSPECIFIED","late":false,"wallet":"***","transaction":{"#,
                r#""transaction_id":"12","type":"IN","status":"SUCCESS","amount":"***","#,
                r#""currency":"***","account":"***","comment":"***"}}"#,
                "\n",
            )
        );
        let open = shown(&event, true);
        assert_eq!(open.lines().count(), 1);
        for part in [r#""amount":"15.05""#, r#""currency":"RUB""#, "79990000001", r"for\nlunch"] {
            assert!(open.contains(part), "{part}: {open}");
        }
    }
}
