//! The tables against the catalogue, and what is hidden of a card.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::error::acquiring::{CODES, transaction_error as error};
use pb::{
    OperationKind as Op, TransactionErrorCategory as Category, TransactionStatus as Status,
    TransactionType as Type,
};

#[test]
fn every_documented_code_has_one_row() {
    const DOCUMENTED: [i32; 45] = [
        8001, 8002, 8004, 8005, 8006, 8008, 8018, 8019, 8020, 8021, 8022, 8023, 8025, 8026, 8027,
        8028, 8051, 8052, 8054, 8055, 8056, 8057, 8058, 8059, 8060, 8061, 8062, 8069, 8070, 8151,
        8152, 8153, 8154, 8160, 8161, 8162, 8163, 8164, 8165, 8166, 8167, 8168, 8169, 8170, 8171,
    ];
    let mut numbers: Vec<_> = CODES.iter().map(|code| code.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, DOCUMENTED);
    for code in CODES {
        assert_ne!(code.category, Category::Unspecified, "{}", code.number);
        assert!(code.message_ru.ends_with('.'), "{}", code.number);
    }
}

#[test]
fn an_error_is_what_the_table_says_and_unknown_ones_keep_their_text() {
    assert_eq!(error("", Some("text")), None);
    assert_eq!(error("0", Some("No errors")), None);
    let declined = error("8171", Some("Card 4111111111111111")).unwrap();
    assert_eq!((declined.code, declined.category()), (8171, Category::DeclinedFinally));
    assert!(declined.message_ru.starts_with("Платёжная система"));
    let unknown = error("8999", Some("Card 4111111111111111")).unwrap();
    assert_eq!((unknown.code, unknown.category()), (8999, Category::Unspecified));
    assert_eq!(unknown.message_ru, "Card ***");
    let odd = error("X-1", None).unwrap();
    assert_eq!((odd.code, &*odd.code_raw, &*odd.message_ru), (0, "X-1", ""));
}

#[test]
fn types_and_statuses_are_read_and_unknown_ones_noted() {
    let mut noted = Noted::default();
    assert_eq!(kind("2", &mut noted), Type::Authorization);
    assert_eq!(kind("8", &mut noted), Type::Payout);
    // The documents name it: "unknown".
    assert_eq!(kind("0", &mut noted), Type::Unspecified);
    assert_eq!(status("0", &mut noted), Status::Init);
    assert_eq!(status("5", &mut noted), Status::Settled);
    assert_eq!((kind("", &mut noted), status("", &mut noted)), Default::default());
    assert_eq!(noted, Noted::default());
    // Old status numbers that stand in some samples.
    for old in ["40", "60", "03"] {
        assert_eq!(status(old, &mut noted), Status::Unspecified);
    }
    assert_eq!(kind("9", &mut noted), Type::Unspecified);
    assert_eq!(noted.unknown_enums.len(), 4);
    assert_eq!(noted.unknown_enums[3], "transaction.type");
}

#[test]
fn only_what_the_documents_allow_may_follow() {
    let next = |kind, status| next_operations(kind, status);
    for purchase in [Type::Purchase, Type::Authorization, Type::Recurring] {
        assert_eq!(next(purchase, Status::Init), []);
        assert_eq!(next(purchase, Status::Declined), []);
        assert_eq!(next(purchase, Status::Authorized), [Op::Capture, Op::Reverse]);
        assert_eq!(next(purchase, Status::Captured), [Op::Reverse]);
        assert_eq!(next(purchase, Status::Reconciled), [Op::Refund]);
        assert_eq!(next(purchase, Status::Settled), [Op::Refund]);
    }
    for ended in [Type::Refund, Type::Reversal, Type::Payout, Type::Unspecified] {
        assert_eq!(next(ended, Status::Authorized), [], "{ended:?}");
        assert_eq!(next(ended, Status::Reconciled), [], "{ended:?}");
    }
}

#[test]
fn a_status_only_goes_forward() {
    for (from, to) in [("0", "1"), ("0", "5"), ("2", "3"), ("2", "4"), ("3", "4"), ("4", "5")] {
        assert!(may_become(from).contains(&to) && !may_become(to).contains(&from), "{from} {to}");
    }
    for end in ["1", "5", "6", "", "60"] {
        assert!(may_become(end).is_empty(), "{end}");
    }
}

#[test]
fn a_card_shows_six_and_four_digits_at_most() {
    for (raw, shown) in [
        ("411111******1111", "411111******1111"),
        ("4111111111111111", "411111******1111"),
        ("4111 1111 1111 1111", "411111******1111"),
        ("4111-1111-1111-1111", "411111******1111"),
        ("41111111****1111", "411111******1111"),
        ("411111XXXXXX1111", "411111******1111"),
        ("2200123412341234567", "220012*********4567"),
        ("4111111111111", "411111***1111"),
        ("123456789012", "********9012"),
        ("1111", "1111"),
        ("**** 1111", "****1111"),
        ("", ""),
        ("41111111111111111111111111", "*******************"),
    ] {
        assert_eq!(masked_pan(raw), shown, "{raw}");
    }
    // Digits of other alphabets are digits all the same.
    assert_eq!(masked_pan("４１１１１１１１１１１１１１１１"), "****************");
}

#[test]
fn a_holder_is_read_however_it_is_written() {
    for (raw, name) in [
        ("CARDHOLDER NAME", "CARDHOLDER NAME"),
        ("cardholder+name", "cardholder name"),
        ("cardholder%20name", "cardholder name"),
        ("%D0%98%D0%92%D0%90%D0%9D", "ИВАН"),
        ("100%", "100%"),
        ("a%00b", "a%00b"),
        ("a%FFb", "a%FFb"),
    ] {
        assert_eq!(holder_name(raw), name, "{raw}");
    }
}

#[test]
fn what_qiwi_leaves_out_is_absent() {
    let mut noted = Noted::default();
    let told = Told {
        txn_id: "172001".into(),
        txn_type: "1".into(),
        txn_status: "3".into(),
        txn_date: Some(String::new()),
        error_code: Some("0".into()),
        eci: Some(String::new()),
        custom_fields: vec![("cf1".into(), String::new()), ("cf2".into(), "x".into())],
        ..Told::default()
    };
    let transaction = told.clone().into_transaction(&mut noted);
    let expected = pb::Transaction {
        transaction_id: "172001".into(),
        r#type: Type::Purchase.into(),
        type_raw: "1".into(),
        status: Status::Captured.into(),
        status_raw: "3".into(),
        next_operations: vec![Op::Reverse.into()],
        custom_fields: [("cf2".to_owned(), "x".to_owned())].into(),
        ..pb::Transaction::default()
    };
    assert_eq!(transaction, expected);
    assert_eq!(noted, Noted::default());
    let dated = Told { txn_date: Some("yesterday".into()), ..told };
    let time = dated.into_transaction(&mut noted).transaction_time.unwrap();
    assert_eq!((&*time.raw, time.instant), ("yesterday", None));
    assert_eq!(noted.unreadable_times, ["transaction.time"]);
}

proptest! {
    #[test]
    fn no_text_shows_more_than_ten_digits(raw in "[0-9*Xx -]{0,30}|\\PC{0,40}") {
        let masked = masked_pan(&raw);
        prop_assert!(masked.bytes().filter(u8::is_ascii_digit).count() <= 10);
        prop_assert!(masked.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*'));
        prop_assert!(masked.len() <= 19);
    }
}
