//! What a list of transactions says about an operation.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::error::Sent;
use crate::pb::r#type::v1::{Money, OffsetTime};
use pb::{TransactionStatus as Status, TransactionType as Type};

const SENT: i64 = 1_700_000_000_000;

fn amount(units: i64) -> Amount {
    Amount { currency: "RUB".into(), units, nanos: 0 }
}

fn record(kind: OperationKind, id: &str) -> Record {
    let mut record =
        Record::reserved(Key::new("site", kind, id), [0; 32], "1", amount(3), SENT - 10);
    record.state = State::Uncertain;
    record.sent_ms = Some(SENT);
    record
}

/// A transaction of three roubles of the order `A`, dated when the operation was sent.
fn transaction(id: &str, kind: Type, status: Status) -> pb::Transaction {
    let instant = prost_types::Timestamp { seconds: SENT / 1000, nanos: 0 };
    pb::Transaction {
        transaction_id: id.into(),
        r#type: kind.into(),
        status: status.into(),
        status_raw: i32::from(status).to_string(),
        amount: Some(Money { currency_code: "RUB".into(), units: 3, nanos: 0 }),
        order_id: Some("A".into()),
        transaction_time: Some(OffsetTime { instant: Some(instant), ..Default::default() }),
        ..Default::default()
    }
}

fn before(transactions: &[&str]) -> Before {
    Before {
        parent: Some("1".into()),
        order_id: Some("A".into()),
        transactions: transactions.iter().map(|id| (*id).to_owned()).collect(),
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    Found(State, String),
    Differs,
    Taken,
    Absent { complete: bool, again: bool },
}

fn seen(
    record: &Record,
    before: &Before,
    rivals: &[Record],
    may_repeat: bool,
    list: &[pb::Transaction],
) -> Seen {
    match (Sight { record, before, rivals, may_repeat }).of(list) {
        Look::Found(found) => Seen::Found(found.state, found.transaction_id.unwrap_or_default()),
        Look::Differs => Seen::Differs,
        Look::Taken => Seen::Taken,
        Look::Absent { complete, again } => Seen::Absent { complete, again },
    }
}

const ABSENT: Seen = Seen::Absent { complete: true, again: false };
const UNSEEN: Seen = Seen::Absent { complete: false, again: false };

fn found(state: State, id: &str) -> Seen {
    Seen::Found(state, id.to_owned())
}

#[test]
fn a_purchase_is_the_transaction_of_its_order() {
    let sale = record(OperationKind::Sale, "A");
    let none = Before::default();
    let look = |list: &[pb::Transaction]| seen(&sale, &none, &[], false, list);
    assert_eq!(look(&[]), ABSENT);
    for (status, state) in [
        (Status::Init, State::Accepted),
        (Status::Declined, State::Failed),
        (Status::Authorized, State::Succeeded),
        (Status::Captured, State::Succeeded),
        (Status::Reconciled, State::Succeeded),
        (Status::Settled, State::Succeeded),
        (Status::Unspecified, State::Accepted),
    ] {
        let list = [transaction("7", Type::Purchase, status)];
        assert_eq!(look(&list), found(state, "7"), "{status:?}");
    }
    // What belongs to it is not it.
    let refund = transaction("8", Type::Refund, Status::Reconciled);
    assert_eq!(look(std::slice::from_ref(&refund)), ABSENT);
    assert_eq!(
        look(&[refund, transaction("7", Type::Purchase, Status::Captured)]),
        found(State::Succeeded, "7")
    );
    // Another amount, or two.
    let mut other = transaction("7", Type::Purchase, Status::Captured);
    other.amount.as_mut().unwrap().units = 4;
    assert_eq!(look(std::slice::from_ref(&other)), Seen::Differs);
    other.status = Status::Declined.into();
    assert_eq!(look(&[other]), ABSENT);
    let twice = ["7", "8"].map(|id| transaction(id, Type::Purchase, Status::Captured));
    assert_eq!(look(&twice), Seen::Differs);
    // Of another order.
    let mut other = transaction("7", Type::Purchase, Status::Captured);
    other.order_id = Some("B".into());
    assert_eq!(look(std::slice::from_ref(&other)), ABSENT);
    other.order_id = None;
    assert_eq!(look(&[other]), found(State::Succeeded, "7"));
}

#[test]
fn a_purchase_that_was_declined_before_is_the_one_that_was_not() {
    let mut sale = record(OperationKind::Sale, "A");
    let none = Before::default();
    let declined = |id| transaction(id, Type::Purchase, Status::Declined);
    let good = transaction("9", Type::Purchase, Status::Captured);
    let look = |sale: &Record, list: &[pb::Transaction]| seen(sale, &none, &[], false, list);
    assert_eq!(look(&sale, &[declined("7"), good.clone()]), found(State::Succeeded, "9"));
    sale.attempt = 2;
    // Whose it is nobody can say before there are as many as attempts.
    assert_eq!(look(&sale, &[declined("7")]), ABSENT);
    assert_eq!(look(&sale, &[declined("7"), declined("8")]), found(State::Failed, "8"));
    assert_eq!(look(&sale, &[declined("7"), good]), found(State::Succeeded, "9"));
    // Once it has a number it is that one.
    sale.transaction_id = Some("7".into());
    assert_eq!(look(&sale, &[declined("8"), declined("7")]), found(State::Failed, "7"));
    assert_eq!(look(&sale, &[declined("8")]), UNSEEN);
}

#[test]
fn an_order_that_qiwi_calls_paid_is_ours_only_if_it_was_not_paid_before() {
    let none = Before::default();
    let refused = |reason| {
        let mut sale = record(OperationKind::Sale, "A");
        let error = Error::new(reason).sent(Sent::Yes).upstream_code("8055");
        sale.reply = Memo::refusal(&error).bytes();
        sale
    };
    let dated = |seconds: i64| {
        let mut one = transaction("7", Type::Purchase, Status::Captured);
        one.transaction_time.as_mut().unwrap().instant.as_mut().unwrap().seconds = seconds;
        [one]
    };
    for reason in [&reason::ORDER_ALREADY_PAID, &reason::OPERATION_IN_PROGRESS] {
        let sale = refused(reason);
        let look = |list: &[pb::Transaction]| seen(&sale, &none, &[], false, list);
        assert_eq!(look(&dated(SENT / 1000 - 61)), Seen::Taken);
        assert_eq!(look(&dated(SENT / 1000 - 60)), found(State::Succeeded, "7"));
        assert_eq!(look(&dated(SENT / 1000 + 5)), found(State::Succeeded, "7"));
        assert_eq!(look(&[]), ABSENT);
        // An earlier attempt of ours may be as old.
        let second = Record { attempt: 2, ..sale.clone() };
        assert_eq!(
            seen(&second, &none, &[], false, &dated(SENT / 1000 - 600)),
            found(State::Succeeded, "7")
        );
    }
    // Without such a word the date says nothing.
    let sale = record(OperationKind::Sale, "A");
    assert_eq!(
        seen(&sale, &none, &[], false, &dated(SENT / 1000 - 600)),
        found(State::Succeeded, "7")
    );
}

#[test]
fn a_child_is_the_one_that_was_not_there_before() {
    let refund = record(OperationKind::Refund, "r");
    let parent = transaction("1", Type::Purchase, Status::Reconciled);
    let child = |id| transaction(id, Type::Refund, Status::Reconciled);
    let known = before(&["1", "2"]);
    let look = |list: &[pb::Transaction]| seen(&refund, &known, &[], false, list);
    assert_eq!(look(&[parent.clone(), child("2")]), ABSENT);
    assert_eq!(look(&[parent.clone(), child("2"), child("3")]), found(State::Succeeded, "3"));
    assert_eq!(look(&[parent.clone(), child("3"), child("4")]), Seen::Differs);
    // A reversal is no refund.
    let reversal = transaction("3", Type::Reversal, Status::Reconciled);
    assert_eq!(look(&[parent.clone(), reversal]), ABSENT);
    // A list without the purchase itself is not all there is.
    assert_eq!(look(&[]), UNSEEN);
    // Nor is one about a purchase that has no order.
    let unnamed = Before { order_id: None, ..known.clone() };
    assert_eq!(seen(&refund, &unnamed, &[], false, std::slice::from_ref(&parent)), UNSEEN);
    let list = [parent, child("3")];
    assert_eq!(seen(&refund, &unnamed, &[], false, &list), found(State::Succeeded, "3"));
}

#[test]
fn a_child_of_another_operation_is_never_ours() {
    let refund = record(OperationKind::Refund, "r");
    let known = before(&["1"]);
    let list = ["1", "3"].map(|id| match id {
        "1" => transaction(id, Type::Purchase, Status::Reconciled),
        _ => transaction(id, Type::Refund, Status::Reconciled),
    });
    let mut rival = record(OperationKind::Refund, "other");
    let look = |rival: &Record| seen(&refund, &known, std::slice::from_ref(rival), false, &list);
    // While it may be the other's it is nobody's.
    for (state, next_ms, expected) in [
        (State::Uncertain, None, Seen::Differs),
        (State::Sending, None, Seen::Differs),
        (State::NotExecuted, Some(SENT), Seen::Differs),
        (State::NotExecuted, None, found(State::Succeeded, "3")),
        (State::Rejected, None, found(State::Succeeded, "3")),
        (State::Reserved, None, found(State::Succeeded, "3")),
        (State::NotSent, None, found(State::Succeeded, "3")),
    ] {
        rival.state = state;
        rival.settle.next_ms = next_ms;
        assert_eq!(look(&rival), expected, "{state:?} {next_ms:?}");
    }
    rival.state = State::Uncertain;
    rival.amount = amount(4);
    assert_eq!(look(&rival), found(State::Succeeded, "3"), "it cannot be one of four roubles");
    rival.amount = Amount::default();
    assert_eq!(look(&rival), Seen::Differs, "it can be all that is left");
    let whole = Record { amount: Amount::default(), ..refund.clone() };
    rival.amount = amount(3);
    let rivals = [rival.clone()];
    assert_eq!(seen(&whole, &known, &rivals, false, &list), Seen::Differs);
    rival.key.kind = OperationKind::Reversal;
    assert_eq!(look(&rival), found(State::Succeeded, "3"), "it cannot be a reversal");
    // Once it is the other's it is not ours.
    for state in [State::Succeeded, State::Failed, State::Accepted] {
        rival = Record {
            state,
            transaction_id: Some("3".into()),
            ..record(OperationKind::Refund, "o")
        };
        assert_eq!(look(&rival), ABSENT, "{state:?}");
    }
}

#[test]
fn a_capture_shows_in_the_transaction_it_changes() {
    let capture = record(OperationKind::Capture, "c");
    let known = before(&["1"]);
    let look = |again, status| {
        seen(&capture, &known, &[], again, &[transaction("1", Type::Authorization, status)])
    };
    for status in [Status::Captured, Status::Reconciled, Status::Settled] {
        assert_eq!(look(true, status), found(State::Succeeded, "1"), "{status:?}");
    }
    for again in [false, true] {
        assert_eq!(look(again, Status::Authorized), Seen::Absent { complete: true, again });
        for status in [Status::Init, Status::Declined, Status::Unspecified] {
            assert_eq!(look(again, status), UNSEEN, "{status:?}");
        }
        assert_eq!(seen(&capture, &known, &[], again, &[]), UNSEEN);
    }
}

#[test]
fn the_end_of_3ds_shows_in_the_transaction_it_decides() {
    let finish = record(OperationKind::Finish, "1");
    let none = Before::default();
    let look =
        |status| seen(&finish, &none, &[], false, &[transaction("1", Type::Purchase, status)]);
    assert_eq!(look(Status::Init), ABSENT);
    assert_eq!(look(Status::Declined), found(State::Failed, "1"));
    assert_eq!(look(Status::Authorized), found(State::Succeeded, "1"));
    assert_eq!(look(Status::Captured), found(State::Succeeded, "1"));
    assert_eq!(look(Status::Unspecified), UNSEEN);
    assert_eq!(seen(&finish, &none, &[], false, &[]), UNSEEN);
}

#[test]
fn questions_name_what_qiwi_knows() {
    let ask = |kind, before: &Before| {
        let question = question(&record(kind, "A"), before);
        (question.transaction_id, question.order_id)
    };
    let (of, none) = (|one: &str, two: &str| (one.to_owned(), two.to_owned()), Before::default());
    for kind in PURCHASES.into_iter().chain([OperationKind::Payout]) {
        assert_eq!(ask(kind, &none), of("", "A"), "{kind:?}");
    }
    for kind in [OperationKind::Finish, OperationKind::MobileCard] {
        assert_eq!(ask(kind, &none), of("A", ""), "{kind:?}");
    }
    let known = before(&[]);
    let unnamed = Before { order_id: None, ..known.clone() };
    assert_eq!(ask(OperationKind::Capture, &known), of("1", ""));
    for kind in [OperationKind::Reversal, OperationKind::Refund] {
        assert_eq!(ask(kind, &known), of("", "A"), "{kind:?}");
        assert_eq!(ask(kind, &unnamed), of("1", ""), "{kind:?}");
    }
}
