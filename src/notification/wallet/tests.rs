//! Every published and derived vector of wallet notifications, and what an attacker would try.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "JcyVhjHCvHQwufz+IHXolyqHgEc5MoayBfParl6Guoc=";
const OTHER_KEYS: [&str; 2] = [
    "L8UVF3JkLVUr6r70LiE0A9/5WoGGwWKG2pI/e+l/9fs=",
    "OikS4/CcIbSf+yYGnLbnOige8RGoYmGxs/LNMwkJy7Q=",
];
const HOOK: &str = "5e2027d1-f5f3-4ad1-b409-058b8b8a8c22";
const TV_1: &str = "f05c4e7bdf00620205d47696d77f924bfd3ba4d02b0398ac8a626e737dc27243";
const TV_3: &str = "76687ffe5c516c793faa46fafba0994e7ca7a6d735966e0e0c0b65eaa43bdca0";
const MAX: usize = 65_536;

/// The message of the documents' worked example, with the signature that fits it.
const MESSAGE: &str = r#"{"messageId":"7814c49d-2d29-4b14-b2dc-36b377c76156","hookId":"5e2027d1-f5f3-4ad1-b409-058b8b8a8c22","payment":{"txnId":"13353941550","date":"2018-06-27T13:39:00+03:00","type":"IN","status":"SUCCESS","errorCode":"0","personId":78000008000,"account":"+79161112233","comment":"","provider":7,"sum":{"amount":1,"currency":643},"commission":{"amount":0,"currency":643},"total":{"amount":1,"currency":643},"signFields":"sum.currency,sum.amount,type,account,txnId"},"hash":"f05c4e7bdf00620205d47696d77f924bfd3ba4d02b0398ac8a626e737dc27243","version":"1.0.0","test":false}"#;

fn key(text: &str) -> Key {
    Key::from_base64(text).unwrap()
}

fn hook(id: &str, wallet: &str, keys: &[&str]) -> Hook {
    Hook {
        id: id.parse().unwrap(),
        wallet: Wallet::parse(wallet).unwrap(),
        keys: keys.iter().map(|text| key(text)).collect(),
    }
}

fn known() -> Vec<Hook> {
    vec![hook(HOOK, "78000008000", &[KEY])]
}

fn receive(body: &str) -> Result<Received, Refusal> {
    read(body.as_bytes(), MAX)?.verify(&known(), &TrustedLists::default())
}

/// The message with members changed, by JSON pointer.
fn with(changes: &[(&str, Value)]) -> String {
    let mut message: Value = serde_json::from_str(MESSAGE).unwrap();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        message.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    message.to_string()
}

/// A message with these signed values and this hash, in the documented form.
fn of(text: &str, hash: &str) -> String {
    let parts: Vec<&str> = text.split('|').collect();
    let number = |at: usize| serde_json::from_str::<Value>(parts[at]).unwrap();
    with(&[
        ("/payment/sum/currency", number(0)),
        ("/payment/sum/amount", number(1)),
        ("/payment/type", json!(parts[2])),
        ("/payment/account", json!(parts[3])),
        ("/payment/txnId", json!(parts[4])),
        ("/hash", json!(hash)),
    ])
}

fn sign(key: &str, text: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let key = STANDARD.decode(key).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let tag = ring::hmac::sign(&key, text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn payment(body: &str) -> Payment {
    match receive(body) {
        Ok(Received::Payment(payment)) => *payment,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn doubtful(body: &str) -> Doubtful {
    match receive(body) {
        Ok(Received::Doubtful(doubtful)) => doubtful,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(body: &str) -> Refusal {
    receive(body).unwrap_err()
}

#[test]
fn tv_1_the_worked_example_verifies_and_is_read_whole() {
    let payment = payment(MESSAGE);
    assert_eq!(payment.wallet.digits(), "78000008000");
    let Signed { txn_id, kind, kind_raw, account, sum } = &payment.signed;
    assert_eq!((&**txn_id, *kind, &**kind_raw), ("13353941550", Kind::In, "IN"));
    assert_eq!((&**account, &*sum.text, &*sum.currency), ("+79161112233", "1", "643"));
    assert_eq!((sum.money.units, sum.money.nanos), (1, 0));
    assert_eq!(sum.money.currency_code, "RUB");
    let unsigned = &payment.unsigned;
    assert_eq!(unsigned.hook_id.to_string(), HOOK);
    assert_eq!(unsigned.message_id.to_string(), "7814c49d-2d29-4b14-b2dc-36b377c76156");
    assert_eq!((unsigned.status, &*unsigned.status_raw), (Status::Success, "SUCCESS"));
    assert_eq!((unsigned.error_code, unsigned.provider_id.as_deref()), (Some(0), Some("7")));
    assert_eq!(unsigned.comment.as_deref(), Some(""));
    let date = unsigned.date.as_ref().unwrap();
    assert_eq!(date.instant.as_ref().unwrap().seconds, 1_530_095_940);
    assert_eq!(unsigned.total.as_ref().unwrap().text, "1");
    assert_eq!(unsigned.commission.as_ref().unwrap().text, "0");
    assert_eq!(unsigned.version.as_deref(), Some("1.0.0"));
    assert_eq!((payment.key_index, &*payment.unread), (0, &[][..]));
    for (field, covered) in [
        ("sum.currency", true),
        ("sum.amount", true),
        ("type", true),
        ("account", true),
        ("txnId", true),
        ("status", false),
        ("personId", false),
        ("date", false),
        ("errorCode", false),
        ("comment", false),
        ("sum", false),
    ] {
        assert_eq!(payment.covers(field), covered, "{field}");
    }
}

#[test]
fn tv_1_does_not_verify_with_the_text_of_the_key_in_place_of_its_bytes() {
    let hooks = [Hook { keys: vec![Key::new(KEY.as_bytes()).unwrap()], ..known().remove(0) }];
    let lists = TrustedLists::default();
    let result = read(MESSAGE.as_bytes(), MAX).unwrap().verify(&hooks, &lists);
    assert_eq!(result.unwrap_err(), Refusal::SignatureMismatch);
    let wrong = "4856e3d5f359977314bc5a17c0c4e4cb1aeeafb977c6e216e945dbd62933f773";
    assert_eq!(refused(&with(&[("/hash", json!(wrong))])), Refusal::SignatureMismatch);
}

#[test]
fn tv_2_the_hash_printed_in_the_example_fails() {
    assert_eq!(refused(&with(&[("/hash", json!(TV_3))])), Refusal::SignatureMismatch);
}

#[test]
fn tv_3_the_same_hash_with_the_account_before_anonymising_verifies() {
    let body = with(&[("/hash", json!(TV_3)), ("/payment/account", json!("+79165238345"))]);
    assert_eq!(payment(&body).signed.account, "+79165238345");
}

#[test]
fn tv_4_to_tv_7_printed_hashes_fail_with_every_published_key() {
    let waiting = "50779a03d90c4fa60ac44dfd158dbceec0e9c57fa4cf4f5298450fdde1868945";
    for (text, printed, recomputed) in [
        (
            "643|1.73|OUT|myAccount|13117338074",
            waiting,
            "3958a4d1a0f29736ea46a5de5e0ed3b742ba441d3009c4ae1157a75460c05029",
        ),
        ("643|1.73|OUT|masterDre|13117338074", waiting, ""),
        ("643|1.73|OUT|thedandod|13117338074", waiting, ""),
        (
            "643|1.01|OUT|borya241203|13126423989",
            "0637b07b1018d76585db26b0f8077016b12996006429e22a7dc5b6982710a1ef",
            "5353723e54ebcf5c84a647c4e69fac948371b0a33355e562e98b0bf340b37f3c",
        ),
        (
            "643|1.09|IN|79042426915|12565018935",
            "a56ed0090fa3fd2fd0b002ed80f85a120037a6a85f840938888275e1631da96f",
            "409a11ac5762368fc1c2c978669a36aeb2d5efe500413a62dc5ee3dd10512566",
        ),
    ] {
        for key in [KEY, OTHER_KEYS[0], OTHER_KEYS[1]] {
            let hooks = [hook(HOOK, "78000008000", &[key])];
            let body = of(text, printed);
            let message = read(body.as_bytes(), MAX).unwrap();
            let result = message.verify(&hooks, &TrustedLists::default());
            assert_eq!(result.unwrap_err(), Refusal::SignatureMismatch, "{text}");
        }
        if !recomputed.is_empty() {
            assert_eq!(
                payment(&of(text, recomputed)).signed.account,
                text.split('|').nth(3).unwrap()
            );
        }
    }
}

#[test]
fn tv_8_tv_9_tv_10_derived_vectors_verify() {
    for (text, hash, kind, units, nanos) in [
        (
            "643|1.73|OUT|myAccount|13117338074",
            "3958a4d1a0f29736ea46a5de5e0ed3b742ba441d3009c4ae1157a75460c05029",
            Kind::Out,
            1,
            730_000_000,
        ),
        (
            "643|0.1|IN|+79161112233|13353941550",
            "11ca82ba6cb9dd7d4f56a098b6f31c5d6a1292aa840269fb46e62f043d41da2d",
            Kind::In,
            0,
            100_000_000,
        ),
        (
            "643|1|IN|Ящик|1",
            "2f6387bdfaa525034564620ad197e74cfaee9ca816c672926fe551b3114d76df",
            Kind::In,
            1,
            0,
        ),
    ] {
        let payment = payment(&of(text, hash));
        assert_eq!(payment.signed.kind, kind);
        let money = &payment.signed.sum.money;
        assert_eq!((money.units, money.nanos), (units, nanos), "{text}");
    }
    // The same letters, written as escapes, are the same text.
    let escaped =
        of("643|1|IN|Ящик|1", "2f6387bdfaa525034564620ad197e74cfaee9ca816c672926fe551b3114d76df")
            .replace("Ящик", r"\u042f\u0449\u0438\u043a");
    assert_eq!(payment(&escaped).signed.account, "Ящик");
}

#[test]
fn variant_another_status_still_verifies_and_is_marked_as_unsigned() {
    let success = payment(MESSAGE);
    for (raw, status) in [("ERROR", Status::Error), ("WAITING", Status::Waiting)] {
        let replayed = payment(&with(&[("/payment/status", json!(raw))]));
        assert_eq!(replayed.unsigned.status, status);
        assert!(!replayed.covers("status"));
        assert_eq!(replayed.signed, success.signed);
        assert_eq!(replayed.unsigned.message_id, success.unsigned.message_id, "under one id");
    }
    let odd = payment(&with(&[("/payment/status", json!("HOLD"))]));
    assert_eq!((odd.unsigned.status, &*odd.unsigned.status_raw), (Status::Unknown, "HOLD"));
}

#[test]
fn variant_an_amount_with_zeros_verifies_by_its_shorter_text() {
    for amount in ["1.00", "1.0"] {
        let body = MESSAGE.replacen(r#""amount":1,"#, &format!(r#""amount":{amount},"#), 1);
        let sum = payment(&body).signed.sum;
        assert_eq!((&*sum.text, sum.money.units), (amount, 1));
    }
    // As written goes first.
    let body = of("643|1|IN|a|1", &sign(KEY, "643|1.50|IN|a|1"));
    let body = body.replacen(r#""amount":1,"#, r#""amount":1.50,"#, 3);
    assert_eq!(payment(&body).signed.sum.text, "1.50");
    for other in ["1.01", "10", "100e-2", "01", "1.000000000000000000001"] {
        let body = MESSAGE.replacen(r#""amount":1,"#, &format!(r#""amount":{other},"#), 1);
        receive(&body).unwrap_err();
    }
}

#[test]
fn variant_reordered_sign_fields_fail() {
    let list = "sum.amount,sum.currency,type,account,txnId";
    let body = with(&[("/payment/signFields", json!(list))]);
    assert_eq!(refused(&body), Refusal::SignatureMismatch);
}

#[test]
fn variant_a_hash_in_upper_case_verifies() {
    payment(&with(&[("/hash", json!(TV_1.to_uppercase()))]));
}

#[test]
fn a_captured_signature_over_another_content_is_not_believed() {
    let captured = "643|1|IN|+79161112233|13353941550";
    let doubt = |list: &str, changes: &[(&str, Value)]| {
        let mut all = vec![("/payment/signFields", json!(list))];
        all.extend_from_slice(changes);
        doubtful(&with(&all))
    };
    // The old text, as a comment that is said to be all that was signed.
    let forged = doubt(
        "comment",
        &[("/payment/comment", json!(captured)), ("/payment/sum/amount", json!(1_000_000))],
    );
    assert_eq!(forged.doubt, Doubt::OtherFields);
    assert_eq!(forged.sign_fields, "comment");
    // One rouble as 643 somethings.
    let swapped = doubt(
        "sum.amount,sum.currency,type,account,txnId",
        &[("/payment/sum/amount", json!(643)), ("/payment/sum/currency", json!(1))],
    );
    assert_eq!(swapped.doubt, Doubt::OtherOrder);
    // The separator lets one value stand for two.
    let body = with(&[
        ("/payment/signFields", json!("sum.currency,sum.amount,type,account")),
        ("/payment/account", json!("+79161112233|13353941550")),
    ]);
    assert_eq!(doubtful(&body).doubt, Doubt::OtherFields);
    let shifted = with(&[
        ("/payment/account", json!("a|b")),
        ("/hash", json!(sign(KEY, "643|1|IN|a|b|13353941550"))),
    ]);
    assert_eq!(doubtful(&shifted).doubt, Doubt::SeparatorInValue);
    let escaped = shifted.replace("a|b", r"a\u007cb");
    assert_eq!(doubtful(&escaped).doubt, Doubt::SeparatorInValue);
    let Doubtful { txn_id, kind_raw, wallet, .. } = doubtful(&shifted);
    assert_eq!((&*txn_id, &*kind_raw, wallet.digits()), ("13353941550", "IN", "78000008000"));
}

#[test]
fn a_list_qiwi_signs_one_day_is_doubted_until_it_is_trusted() {
    let list = format!("{SIGN_FIELDS},status");
    let text = "643|1|IN|+79161112233|13353941550|SUCCESS";
    let body = with(&[("/payment/signFields", json!(list)), ("/hash", json!(sign(KEY, text)))]);
    assert_eq!(doubtful(&body).doubt, Doubt::MoreFields);
    let lists = TrustedLists::new([SIGN_FIELDS.to_owned(), list.clone()]).unwrap();
    let message = read(body.as_bytes(), MAX).unwrap();
    let Ok(Received::Payment(payment)) = message.verify(&known(), &lists) else {
        panic!("a trusted list")
    };
    assert!(payment.covers("status"));
    // What identifies a payment cannot be left out of what is trusted.
    let short = "sum.currency,sum.amount,type,account".to_owned();
    assert_eq!(TrustedLists::new([list, short.clone()]), Err(short));
}

#[test]
fn lists_that_lead_nowhere_are_refused() {
    let many = vec!["type"; 33].join(",");
    for list in ["", "nothing", "sum", "sum.", "test", "payment.type", "type,,type", &many] {
        let body = with(&[("/payment/signFields", json!(list))]);
        assert_eq!(refused(&body), Refusal::SignFieldsUnresolved, "{list}");
    }
    let commission = with(&[
        ("/payment/signFields", json!("commission.amount")),
        ("/payment/commission", Value::Null),
    ]);
    assert_eq!(refused(&commission), Refusal::SignFieldsUnresolved);
}

#[test]
fn a_key_that_occurs_twice_is_refused_wherever_it_stands() {
    for (from, to) in [
        (r#""test":false"#, r#""test":false,"test":false"#),
        (r#""status":"SUCCESS""#, r#""status":"WAITING","status":"SUCCESS""#),
        (r#""amount":1,"#, r#""amount":1,"amount":1000,"#),
        (r#""amount":1,"#, r#""amount":1,"\u0061mount":1000,"#),
        (r#""provider":7"#, r#""provider":7,"extra":{"x":[{"y":1,"y":1}]}"#),
    ] {
        assert_eq!(refused(&MESSAGE.replacen(from, to, 1)), Refusal::DuplicateKey, "{to}");
    }
}

#[test]
fn what_is_no_message_is_refused_for_its_reason() {
    let without = |name: &str| {
        let mut message: Value = serde_json::from_str(MESSAGE).unwrap();
        message.as_object_mut().unwrap().remove(name);
        message.to_string()
    };
    assert_eq!(refused(&without("hash")), Refusal::SignatureMissing);
    assert_eq!(refused(&with(&[("/hash", Value::Null)])), Refusal::SignatureMissing);
    for hash in [json!(""), json!("f05c"), json!(7), json!({}), json!(format!("{TV_1}0"))] {
        assert_eq!(refused(&with(&[("/hash", hash)])), Refusal::SignatureMalformed);
    }
    for name in ["payment", "hookId", "messageId"] {
        assert_eq!(refused(&without(name)), Refusal::Malformed(name));
    }
    for (pointer, name, value) in [
        ("/hookId", "hookId", json!("5e2027d1f5f34ad1b409058b8b8a8c22")),
        ("/messageId", "messageId", json!(7)),
        ("/test", "test", json!("false")),
        ("/payment", "payment", json!([1])),
        ("/payment/txnId", "payment.txnId", json!("")),
        ("/payment/txnId", "payment.txnId", json!("1x")),
        ("/payment/txnId", "payment.txnId", json!("1".repeat(21))),
        ("/payment/txnId", "payment.txnId", Value::Null),
        ("/payment/type", "payment.type", json!(1)),
        ("/payment/status", "payment.status", Value::Null),
        ("/payment/account", "payment.account", Value::Null),
        ("/payment/personId", "payment.personId", json!("x")),
        ("/payment/sum", "payment.sum", json!([1, 643])),
        ("/payment/sum/amount", "payment.sum", json!("много")),
        ("/payment/sum/currency", "payment.sum", json!("rub")),
        ("/payment/signFields", "payment.signFields", Value::Null),
    ] {
        assert_eq!(refused(&with(&[(pointer, value)])), Refusal::Malformed(name), "{pointer}");
    }
    for body in ["", "[]", "null", "{}x", r#"{"commission": Null}"#, "\u{feff}{}"] {
        assert_eq!(refused(body), Refusal::NotJson, "{body}");
    }
    assert_eq!(read(b"{\"a\":\"\xff\"}", MAX).unwrap_err(), Refusal::NotJson);
    assert_eq!(read(MESSAGE.as_bytes(), MESSAGE.len() - 1).unwrap_err(), Refusal::TooLarge);
    read(MESSAGE.as_bytes(), MESSAGE.len()).unwrap();
}

#[test]
fn odd_members_that_nothing_depends_on_are_passed_over_and_named() {
    let body = with(&[
        ("/payment/date", json!(7)),
        ("/payment/errorCode", json!("none")),
        ("/payment/provider", json!({ "id": 7 })),
        ("/payment/comment", json!(1)),
        ("/payment/total", json!({ "amount": 1 })),
        ("/payment/commission", Value::Null),
        ("/version", Value::Null),
    ]);
    let payment = payment(&body);
    assert_eq!(payment.unread, ["errorCode", "date", "provider", "comment", "total"]);
    assert_eq!(payment.unsigned.commission, None);
    // Numbers where strings are documented, and the other way round.
    let body = with(&[
        ("/payment/txnId", json!(13_353_941_550_u64)),
        ("/payment/personId", json!("78000008000")),
        ("/payment/errorCode", json!(5)),
        ("/payment/sum", json!({ "amount": "1", "currency": "643" })),
    ]);
    assert_eq!(self::payment(&body).unsigned.error_code, Some(5));
}

#[test]
fn a_foreign_webhook_and_a_foreign_wallet_are_refused() {
    let foreign = "f57f95e2-149f-4278-b2cb-4114bc319727";
    assert_eq!(refused(&with(&[("/hookId", json!(foreign))])), Refusal::UnknownHook);
    assert!(Refusal::UnknownHook.may_pass_later());
    let lists = TrustedLists::default();
    let verify = |hooks: &[Hook]| read(MESSAGE.as_bytes(), MAX).unwrap().verify(hooks, &lists);
    assert_eq!(verify(&[]).unwrap_err(), Refusal::UnknownHook);
    // A signature of another webhook's key counts for that webhook only.
    let two = [hook(foreign, "78000008000", &[KEY]), hook(HOOK, "78000008000", &[OTHER_KEYS[0]])];
    assert_eq!(verify(&two).unwrap_err(), Refusal::SignatureMismatch);
    let of_other_wallet = [hook(HOOK, "79000000001", &[KEY])];
    assert_eq!(verify(&of_other_wallet).unwrap_err(), Refusal::WalletMismatch);
    let changed = with(&[("/payment/personId", json!(79_000_000_001_u64))]);
    assert_eq!(refused(&changed), Refusal::WalletMismatch);
    let upper = MESSAGE.replace(HOOK, &HOOK.to_uppercase());
    assert_eq!(payment(&upper).unsigned.hook_id, payment(MESSAGE).unsigned.hook_id);
}

#[test]
fn a_rotated_key_is_good_as_long_as_it_is_known() {
    let lists = TrustedLists::default();
    let verify = |hooks: &[Hook]| read(MESSAGE.as_bytes(), MAX).unwrap().verify(hooks, &lists);
    let both = [hook(HOOK, "78000008000", &[OTHER_KEYS[0], KEY])];
    let Ok(Received::Payment(payment)) = verify(&both) else { panic!("the old key") };
    assert_eq!(payment.key_index, 1);
    let apart = [hook(HOOK, "78000008000", &[OTHER_KEYS[0]]), hook(HOOK, "78000008000", &[KEY])];
    verify(&apart).unwrap();
    let gone = [hook(HOOK, "78000008000", &[OTHER_KEYS[0], OTHER_KEYS[1]])];
    assert_eq!(verify(&gone).unwrap_err(), Refusal::SignatureMismatch);
    assert_eq!(verify(&[hook(HOOK, "78000008000", &[])]).unwrap_err(), Refusal::KeyUnknown);
}

#[test]
fn an_empty_key_signs_nothing() {
    // Whoever knows that the key is empty could sign anything; so there is no such key.
    assert_eq!(Key::from_base64("").unwrap_err(), crate::notification::KeyRejected::Empty);
    let hash = sign("", "643|1|IN|+79161112233|13353941550");
    assert_eq!(refused(&with(&[("/hash", json!(hash))])), Refusal::SignatureMismatch);
}

#[test]
fn tests_are_tests_whatever_they_carry() {
    #[track_caller]
    fn test(body: &str) -> Test {
        match receive(body) {
            Ok(Received::Test(test)) => test,
            other => panic!("{other:?}"),
        }
    }
    let bare = test(r#"{"test":true}"#);
    assert_eq!(
        (bare.hook_id, bare.message_id, bare.signature),
        (None, None, TestSignature::Absent)
    );
    let named = format!(
        r#"{{"hookId":"{HOOK}","messageId":"7814c49d-2d29-4b14-b2dc-36b377c76156","hash":null,"payment":null,"test":true,"version":"1.0.0"}}"#
    );
    let named = test(&named);
    assert_eq!((named.signature, named.message_id.is_some()), (TestSignature::Absent, true));
    let signed = test(&with(&[("/test", json!(true))]));
    assert_eq!(signed.signature, TestSignature::Right);
    let wrong = test(&with(&[("/test", json!(true)), ("/hash", json!(TV_3))]));
    assert_eq!(wrong.signature, TestSignature::Wrong);
    let garbled = test(&with(&[("/test", json!(true)), ("/hash", json!("x"))]));
    assert_eq!(garbled.signature, TestSignature::Absent);
    let foreign = r#"{"test":true,"hookId":"f57f95e2-149f-4278-b2cb-4114bc319727"}"#;
    assert_eq!(refused(foreign), Refusal::UnknownHook);
    // A payment does not become one by losing its flag, nor a test a payment.
    assert!(!read(MESSAGE.as_bytes(), MAX).unwrap().is_test());
    assert!(read(br#"{"test":true}"#, MAX).unwrap().is_test());
}

#[test]
fn nothing_private_is_printed() {
    let account = with(&[("/payment/comment", json!("привет"))]);
    let shown = format!("{:?} {:?}", payment(&account), read(account.as_bytes(), MAX).unwrap());
    for private in ["79161112233", "78000008000", "привет"] {
        assert!(!shown.contains(private), "{shown}");
    }
    assert!(shown.contains("13353941550") && shown.contains("***8000"), "{shown}");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _any = read(&bytes, MAX).map(|message| message.verify(&known(), &TrustedLists::default()));
    }

    #[test]
    fn no_damaged_message_panics(at in 0..MESSAGE.len(), with in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = MESSAGE.as_bytes().to_vec();
        bytes[at] = with;
        if cut {
            bytes.truncate(at);
        }
        let _any = read(&bytes, MAX).map(|message| message.verify(&known(), &TrustedLists::default()));
    }

    #[test]
    fn no_list_of_signed_fields_panics(list in r"[a-zA-Z.,| \\\PC]{0,60}") {
        prop_assume!(list != SIGN_FIELDS);
        let body = super::tests::with(&[("/payment/signFields", json!(list))]);
        prop_assert!(receive(&body).is_err());
    }

    /// Whatever differs in a signed value, the old signature does not cover it.
    #[test]
    fn any_changed_signed_value_is_refused(
        account in "[+0-9a-zA-Zа-я |]{0,20}",
        txn_id in "[0-9]{1,20}",
        kind in "[A-Z_]{0,6}",
        units in 0_u32..100_000,
        cents in 0_u32..100,
        currency in 1_u16..1_000,
        part in 0..5,
    ) {
        let change = match part {
            0 => ("/payment/account", json!(account)),
            1 => ("/payment/txnId", json!(txn_id)),
            2 => ("/payment/type", json!(kind)),
            3 => ("/payment/sum/amount", json!(format!("{units}.{cents:02}"))),
            _ => ("/payment/sum/currency", json!(currency)),
        };
        let original: Value = serde_json::from_str(MESSAGE).unwrap();
        prop_assume!(original.pointer(change.0) != Some(&change.1));
        prop_assume!(part != 3 || (units, cents) != (1, 0));
        prop_assert_eq!(refused(&super::tests::with(&[change])), Refusal::SignatureMismatch);
    }
}

/// Every byte of every signed value, changed to every other byte.
#[test]
fn any_changed_signed_byte_is_refused() {
    for (name, value) in [
        (r#""txnId":"#, r#""13353941550""#),
        (r#""type":"#, r#""IN""#),
        (r#""account":"#, r#""+79161112233""#),
        (r#""sum":{"amount":"#, "1"),
        (r#""sum":{"amount":1,"currency":"#, "643"),
        (r#""hash":"#, r#""f05c4e7bdf00620205d47696d77f924bfd3ba4d02b0398ac8a626e737dc27243""#),
    ] {
        let start = MESSAGE.find(&format!("{name}{value}")).unwrap() + name.len();
        for place in start..start + value.len() {
            for to in 0..=u8::MAX {
                let mut bytes = MESSAGE.as_bytes().to_vec();
                // Digits of the signature may be of either case.
                if bytes[place].eq_ignore_ascii_case(&to) {
                    continue;
                }
                bytes[place] = to;
                let result = read(&bytes, MAX)
                    .and_then(|message| message.verify(&known(), &TrustedLists::default()));
                assert!(result.is_err(), "{name} {place} {to}");
            }
        }
    }
}
