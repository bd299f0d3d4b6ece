//! The documents' own requests and answers, and the rows they do not show.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::credentials::Kind as CredentialKind;
use crate::operation::testing::{
    NOW, ask, fixture, map, map_clean, pages, rendered, try_map, wallet,
};
use crate::pb::r#type::v1 as types;
use crate::time;

#[test]
fn cards_are_asked_for_as_the_documents_do() {
    let line = "GET /cards/v1/cards?vas-alias=qvc-master";
    assert_eq!(ask(&pb::ListCardsRequest::default()).unwrap().line, line);
}

#[test]
fn the_documents_card_is_mapped() {
    let request = pb::ListCardsRequest::default();
    let response = map_clean(&request, &fixture("master/cards"));
    let requisites = [
        ("Получатель", "КИВИ Банк (АО)"),
        ("ИНН", "3123011520"),
        ("Банк получателя", "КИВИ Банк (АО)"),
        ("БИК", "044525416"),
        ("КПП", "772601001"),
        ("Счет", "47416810600000000004"),
        (
            "Корр. счет",
            "30101810645250000416 (открыт в ГУ Банка России по Центральному федеральному округу)",
        ),
        ("Назначение платежа", "Пополнение QIWI Кошелька\nN +79258150000"),
    ];
    let requisites = requisites
        .map(|(name, value)| pb::CardRequisite { name: name.into(), value: value.into() });
    assert_eq!(
        response.cards,
        [pb::Card {
            card_id: "133789472".into(),
            masked_pan: "****9078".into(),
            status: pb::CardStatus::Active.into(),
            status_raw: "ACTIVE".into(),
            expire_time: Some(time::parse("2022-01-31T00:00:00+03:00")),
            r#type: "VIRTUAL".into(),
            alias: Some("Yandex".into()),
            limit: None,
            activate_time: Some(time::parse("2020-01-29T11:10:59+03:00")),
            sms_resend_time: Some(time::parse("2020-01-29T11:35:01+03:00")),
            block_time: None,
            unblock_available: None,
            post_number: None,
            full_pan: None,
            order_card_id: Some("2001291110576200000".into()),
            transaction_id: Some("2001291110576200000".into()),
            expire_month: Some("01".into()),
            expire_year: Some("2022".into()),
            balance: None,
            info: Some(pb::CardInfo {
                info_id: Some("12".into()),
                name: Some("Виртуальная карта QIWI".into()),
                alias: Some("qvc-cpa".into()),
                price: Some(types::Money { currency_code: "RUB".into(), units: 99, nanos: 0 }),
                period: Some("за год".into()),
                r#type: Some("QVC_CPA".into()),
                details: Some(pb::CardInfoDetails {
                    info: Some("99 ₽, действует 1 год".into()),
                    description: Some(String::new()),
                    tariff_link: Some(
                        "https://static.qiwi.com/qcms/files/1582791401478_5_JJ5vJe1L0szXzKb.pdf"
                            .into()
                    ),
                    offer_link: Some("https://static.qiwi.com/ru/doc/qvc.pdf".into()),
                    features: vec!["Покупки без комиссии".into()],
                    requisites: requisites.to_vec(),
                }),
                features_json: "[]".into(),
            }),
        }]
    );
    assert_eq!(response.fetch_time, Some(NOW));
    assert!(request.may_keep(&response));
}

/// Maps one card with the given members of `qvx`, and others beside it.
#[track_caller]
fn card(qvx: &str, beside: &str) -> pb::Card {
    let json = format!(r#"[{{"qvx":{{"id":1{qvx}}}{beside}}}]"#);
    map(&pb::ListCardsRequest::default(), &json).response.cards.remove(0)
}

#[test]
fn what_is_missing_or_null_stays_absent() {
    let bare = pb::Card { card_id: "1".into(), ..Default::default() };
    assert_eq!(card("", ""), bare);
    let nulls = r#","maskedPan":null,"status":null,"cardExpire":null,"cardType":null,
        "cardAlias":null,"cardLimit":null,"activated":null,"smsResended":null,"postNumber":null,
        "blockedDate":null,"unblockAvailable":null,"fullPan":null,"cardId":null,"txnId":null,
        "cardExpireMonth":null,"cardExpireYear":null"#;
    assert_eq!(card(nulls, r#","balance":null,"info":null"#), bare);
    assert_eq!(card(r#","cardAlias":"""#, r#","balance":{}"#), bare);
    let info = card("", r#","info":{"price":null,"details":null,"features":null}"#).info;
    assert_eq!(info, Some(pb::CardInfo::default()));
}

#[test]
fn limits_balances_and_blocks_are_read() {
    let found = card(
        r#","cardLimit":{"value":1500.5,"currencyCode":643},"status":"BLOCKED","fullPan":null,
        "blockedDate":"2020-02-01T10:00:00+03:00","unblockAvailable":true,"postNumber":191186,
        "cardExpireMonth":1,"cardExpireYear":2022,"cardId":"17""#,
        r#","balance":{"amount":"0.00","currency":"840"}"#,
    );
    let money = |currency_code: &str, units, nanos| {
        Some(types::Money { currency_code: currency_code.into(), units, nanos })
    };
    assert_eq!(found.limit, money("RUB", 1500, 500_000_000));
    assert_eq!(found.balance, money("USD", 0, 0));
    assert_eq!(found.status(), pb::CardStatus::Blocked);
    assert_eq!(found.block_time, Some(time::parse("2020-02-01T10:00:00+03:00")));
    assert_eq!(found.unblock_available, Some(true));
    assert_eq!(found.post_number.as_deref(), Some("191186"));
    assert_eq!(found.expire_month.as_deref(), Some("01"));
    assert_eq!(found.expire_year.as_deref(), Some("2022"));
    assert_eq!(found.order_card_id.as_deref(), Some("17"));
}

#[test]
fn every_documented_status_has_a_value_and_others_are_passed_on() {
    for (name, status) in [
        ("ACTIVE", pb::CardStatus::Active),
        ("SENDED_TO_BANK", pb::CardStatus::SendedToBank),
        ("SENDED_TO_USER", pb::CardStatus::SendedToUser),
        ("BLOCKED", pb::CardStatus::Blocked),
        ("UNKNOWN", pb::CardStatus::Unknown),
    ] {
        assert_eq!(card(&format!(r#","status":"{name}""#), "").status(), status);
    }
    let json = r#"[{"qvx":{"id":1,"status":"LOST","cardExpire":"31.01.2022","nfc":1}}]"#;
    let mapped = map(&pb::ListCardsRequest::default(), json);
    assert_eq!(mapped.unknown_enums, ["card.status"]);
    assert_eq!(mapped.unreadable_times, ["card.expire_time"]);
    assert_eq!(mapped.ignored, ["0.qvx.nfc"]);
    let card = &mapped.response.cards[0];
    assert_eq!((card.status, card.status_raw.as_str()), (0, "LOST"));
    assert_eq!(card.expire_time.as_ref().unwrap().raw, "31.01.2022");
}

#[test]
fn tariff_links_are_read_from_both_places() {
    let direct = r#""tariffLink":"t","offerLink":"o","requisites":[{"name":"ИНН","value":"1"}]"#;
    let expected = pb::CardInfoDetails {
        tariff_link: Some("t".into()),
        offer_link: Some("o".into()),
        requisites: vec![pb::CardRequisite { name: "ИНН".into(), value: "1".into() }],
        ..Default::default()
    };
    let details = |info: &str| card("", &format!(r#","info":{{{info}}}"#)).info.unwrap().details;
    assert_eq!(details(direct), Some(expected.clone()));
    assert_eq!(details(&format!(r#""details":{{{direct}}}"#)), Some(expected.clone()));
    let both = details(&format!(r#"{direct},"details":{{"info":"i","tariffLink":"newer"}}"#));
    let merged = pb::CardInfoDetails {
        info: Some("i".into()),
        tariff_link: Some("newer".into()),
        ..expected
    };
    assert_eq!(both, Some(merged));
}

#[test]
fn an_answer_with_a_whole_card_number_is_not_kept() {
    let request = pb::ListCardsRequest::default();
    let json = r#"[{"qvx":{"id":1}},{"qvx":{"id":2,"fullPan":"4000000000000002"}}]"#;
    let response = map(&request, json).response;
    assert_eq!(response.cards[1].full_pan.as_deref(), Some("4000000000000002"));
    assert!(!request.may_keep(&response));
    assert!(!format!("{response:?}").contains("4000000000000002"));
    assert!(request.may_keep(&map(&request, "[]").response));
    // An error body is no list of cards.
    assert!(try_map(&request, r#"{"errorCode":"auth.unauthorized"}"#).is_err());
}

fn statement() -> pb::DownloadCardStatementRequest {
    let stamp = |text| time::parse(text).instant;
    pb::DownloadCardStatementRequest {
        wallet: "78000008024".into(),
        card_id: "158618787".into(),
        start_time: stamp("2020-01-01T00:00:00+03:00"),
        end_time: stamp("2020-03-31T23:59:59+03:00"),
    }
}

fn line(request: &pb::DownloadCardStatementRequest) -> Result<String, Error> {
    let call = request.ask(&Asking { wallet: Some(&wallet()), merchant: None, pages: pages() })?;
    Ok(rendered(&STATEMENT, &call).line)
}

#[test]
fn a_statement_is_asked_for_as_the_documents_do() {
    assert_eq!(
        line(&statement()).unwrap(),
        "GET /payment-history/v1/persons/79112223344/cards/158618787/statement\
         ?from=2020-01-01T00%3A00%3A00%2B03%3A00&till=2020-03-31T23%3A59%3A59%2B03%3A00"
    );
    assert_eq!(Download::wallet(&statement()), "78000008024");
}

#[track_caller]
fn check_refused(
    change: impl FnOnce(&mut pb::DownloadCardStatementRequest),
    reason: &str,
    field: &str,
) {
    let mut request = statement();
    change(&mut request);
    let error = line(&request).unwrap_err();
    assert_eq!(error.reason().name, reason);
    assert!(format!("{error:?}").contains(&format!("(\"{field}\"")), "{error:?}");
}

#[test]
fn what_cannot_be_asked_is_refused_by_field() {
    // The documents' own example spans 266 days and breaks their rule of 90.
    check_refused(
        |of| of.end_time = time::parse("2020-09-23T23:59:59+03:00").instant,
        "RANGE_TOO_WIDE",
        "end_time",
    );
    check_refused(|of| of.start_time = None, "REQUEST_INVALID", "start_time");
    check_refused(|of| of.end_time = None, "REQUEST_INVALID", "end_time");
    check_refused(|of| of.card_id.clear(), "REQUEST_INVALID", "card_id");
    check_refused(|of| of.card_id = "..".into(), "REQUEST_INVALID", "card_id");
    check_refused(|of| of.card_id = "1".repeat(20), "REQUEST_INVALID", "card_id");
}

#[test]
fn a_statement_is_a_pdf_and_nothing_else() {
    let header = |start, length| {
        let head = FileHead { content_type: None, length, fetch_time: NOW, start };
        statement().header(&head)
    };
    assert_eq!(
        header(b"%PDF-1.4", Some(9)).unwrap(),
        pb::DownloadCardStatementResponse {
            payload: Some(Payload::Header(pb::CardStatementHeader {
                content_type: "application/pdf".into(),
                format: pb::CardStatementFormat::Pdf.into(),
                size_bytes: Some(9),
                fetch_time: Some(NOW),
            }))
        }
    );
    for body in [&[0xFF, 0xD8, 0xFF, 0xE0][..], b"{}", b""] {
        assert!(header(body, None).is_err());
    }
    let piece = Bytes::from_static(b"%PDF");
    let item = pb::DownloadCardStatementResponse { payload: Some(Payload::Chunk(piece.clone())) };
    assert_eq!(pb::DownloadCardStatementRequest::chunk(piece), item);
}

#[test]
fn all_four_permissions_are_needed() {
    for policy in [&LIST, &STATEMENT] {
        let permits =
            |scopes| policy.access.permits(Some(CredentialKind::Wallet), Some(scopes)).is_ok();
        let needed = [Scopes::CARDS, Scopes::PROFILE, Scopes::HISTORY, Scopes::PAYMENTS];
        assert!(permits(Scopes::ALL.without(Scopes::BALANCE)));
        for lacking in needed {
            assert!(!permits(Scopes::ALL.without(lacking)), "{lacking}");
        }
    }
}
