//! Forms as browsers read them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::credentials::SigningKey;
use crate::pb::r#type::v1::Money;

const PAGE: &str = "https://pay.qiwi.com/paypage/initial";
/// The secret of the address of the merchant's notifications.
const PATH_SECRET: &str = "path-secret-0123456789";

fn params(request: &pb::BuildPaymentFormRequest) -> Result<Params, String> {
    request.params("99", Some(PATH_SECRET)).map_err(|error| format!("{error:?}"))
}

fn rub(units: i64) -> Option<Money> {
    Some(Money { currency_code: "RUB".into(), units, nanos: 0 })
}

fn sale() -> pb::BuildPaymentFormRequest {
    pb::BuildPaymentFormRequest {
        scheme: pb::PaymentFormScheme::Sale.into(),
        amount: rub(7),
        ..Default::default()
    }
}

/// What a browser makes of a page: the address and the fields of its form.
fn read(html: &str) -> (String, Vec<(String, String)>) {
    let plain = |text: &str| {
        let entities =
            [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
        entities.iter().fold(text.to_owned(), |text, (entity, of)| text.replace(entity, of))
    };
    let part = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!(" {name}=\"")).unwrap();
        plain(rest.split_once('"').unwrap().0)
    };
    let form = html.split_once("<form").unwrap().1.split_once("</form>").unwrap().0;
    let (head, inputs) = form.split_once('>').unwrap();
    let inputs = inputs.split("<input").skip(1);
    (part(head, "action"), inputs.map(|of| (part(of, "name"), part(of, "value"))).collect())
}

#[test]
fn the_form_of_the_documents_is_built_and_signed() {
    let bare = pb::BuildPaymentFormRequest { amount: None, currency_code: "RUB".into(), ..sale() };
    let fields = params(&bare).unwrap().fields(&SigningKey::new("secret_key"));
    assert_eq!(
        fields,
        [
            ("currency", "643".to_owned()),
            ("merchant_site", "99".to_owned()),
            ("opcode", "1".to_owned()),
            ("sign", "5d661a41ce142bb72d2b19abe7ae732688d114a5726ae8ebb95cfe519cd824aa".to_owned()),
        ]
    );
    let held = pb::BuildPaymentFormRequest {
        scheme: pb::PaymentFormScheme::Authorization.into(),
        ..sale()
    };
    let params = params(&held).unwrap();
    let all = [("amount", "7.00"), ("currency", "643"), ("merchant_site", "99"), ("opcode", "3")];
    assert!(params.iter().eq(all));
}

#[test]
fn every_block_is_in_the_form() {
    let whole = pb::BuildPaymentFormRequest {
        order: Some(pb::OrderDetails {
            order_id: "o-1".into(),
            callback_url: "https://domain.tld/hook".into(),
            ..Default::default()
        }),
        customer: Some(pb::Customer { email: "a@b".into(), ..Default::default() }),
        safe_deal: Some(pb::SafeDeal {
            recipient_wallet: "79111111111".into(),
            payout_amount: rub(5),
            fee_amount: rub(2),
        }),
        card_token: "4d5b363e-a116-35f5-e053-6751080ac38e".into(),
        ..sale()
    };
    let params = params(&whole).unwrap();
    for (name, value) in [
        ("order_id", "o-1"),
        ("callback_url", "https://domain.tld/hook"),
        ("email", "a@b"),
        ("cf1", "79111111111"),
        ("cf2", "5.00;2.00"),
        ("card_token", "4d5b363e-a116-35f5-e053-6751080ac38e"),
    ] {
        assert_eq!(params.get(name), Some(value), "{name}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let wrong = pb::BuildPaymentFormRequest {
        amount: rub(0),
        currency_code: "RUB".into(),
        order: Some(pb::OrderDetails { product_name: "x".repeat(26), ..Default::default() }),
        customer: Some(pb::Customer { ip: "127.0.0.1".into(), ..Default::default() }),
        receipt: Some(pb::Receipt::default()),
        safe_deal: Some(pb::SafeDeal::default()),
        card_token: "a b".into(),
        ..Default::default()
    };
    let told = params(&wrong).unwrap_err();
    for field in [
        "scheme",
        "amount",
        "currency_code",
        "order.product_name",
        "customer.ip",
        "receipt.positions",
        "safe_deal.payout_amount",
        "card_token",
    ] {
        assert!(told.contains(&format!("(\"{field}\", ")), "{field} in {told}");
    }
    let later = pb::BuildPaymentFormRequest { scheme: 3, amount: None, ..Default::default() };
    let told = params(&later).unwrap_err();
    assert!(told.contains("\"scheme\"") && told.contains("\"currency_code\""), "{told}");
}

#[test]
fn the_secret_of_an_address_is_not_put_into_a_form() {
    let told_by = |url: String| {
        let order = pb::OrderDetails { callback_url: url, ..Default::default() };
        params(&pb::BuildPaymentFormRequest { order: Some(order), ..sale() })
    };
    let told = told_by(format!("https://domain.tld/hook/{PATH_SECRET}")).unwrap_err();
    assert!(told.contains("\"order.callback_url\"") && !told.contains(PATH_SECRET), "{told}");
    told_by("https://domain.tld/hook/another-0123456789".into()).unwrap();
}

#[test]
fn a_browser_reads_from_the_page_what_was_signed() {
    let nasty = "\"><script>alert('x')</script> & &amp; ё";
    let order = pb::OrderDetails { cf1: nasty.into(), cf3: "'".into(), ..Default::default() };
    let request = pb::BuildPaymentFormRequest { order: Some(order), ..sale() };
    let key = SigningKey::new("secret_key");
    let fields = params(&request).unwrap().fields(&key);
    let fields: Vec<_> = fields.into_iter().map(|(name, value)| field(name, value)).collect();
    let html = page(PAGE, &fields);
    let (action, read) = read(&html);
    assert_eq!(action, PAGE);
    let expected = fields.iter().map(|field| (field.name.clone(), field.value.clone()));
    assert!(read.iter().cloned().eq(expected));
    assert_eq!(html.matches("<script>").count(), 1, "{html}");
    let signed = read.iter().filter(|(name, _)| name != "sign").map(|(_, value)| value.as_str());
    assert_eq!(read.last().unwrap().1, key.sign(signed));
}

#[test]
fn the_page_is_this() {
    let html = page("https://pay.example/?a=1&b=2", &[field("a", "<&>".into())]);
    assert_eq!(
        html,
        "<!DOCTYPE html>\n<html lang=\"ru\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>QIWI</title>\n</head>\n<body>\n\
         <form method=\"post\" accept-charset=\"utf-8\" \
         action=\"https://pay.example/?a=1&amp;b=2\">\n\
         <input type=\"hidden\" name=\"a\" value=\"&lt;&amp;&gt;\">\n\
         <noscript><button type=\"submit\">Продолжить / Continue</button></noscript>\n\
         </form>\n<script>document.forms[0].submit();</script>\n</body>\n</html>\n"
    );
}

fn hop() -> pb::Build3dsFormRequest {
    pb::Build3dsFormRequest {
        acs_url: "https://acs.bank.example/pareq?x=1&y=2".into(),
        pareq: "eJxVUmtv\nab+/cd==".into(),
        md: "3666050".into(),
        term_url: "https://shop.example/3ds".into(),
    }
}

#[test]
fn the_hop_to_the_bank_has_the_three_fields_of_3d_secure() {
    let form = hop().form().unwrap();
    let (action, fields) = read(&form.html);
    assert_eq!((&action, &form.action_url), (&hop().acs_url, &hop().acs_url));
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected =
        [("PaReq", "eJxVUmtvab+/cd=="), ("MD", "3666050"), ("TermUrl", "https://shop.example/3ds")];
    assert_eq!(fields, expected);
    let told: Vec<_> = form.fields.iter().map(|of| (of.name.as_str(), of.value.as_str())).collect();
    assert_eq!(told, expected);
    let nameless = pb::Build3dsFormRequest { md: String::new(), ..hop() };
    assert!(nameless.form().unwrap().html.contains("name=\"MD\" value=\"\""));
    let here = pb::Build3dsFormRequest { acs_url: "http://127.0.0.1:8080/acs".into(), ..hop() };
    here.form().unwrap();
}

#[test]
fn a_hop_to_anywhere_else_is_refused() {
    let change = |change: fn(&mut pb::Build3dsFormRequest), field: &str| {
        let mut hop = hop();
        change(&mut hop);
        let told = format!("{:?}", hop.form().unwrap_err());
        assert!(told.contains(&format!("(\"{field}\", ")), "{field} in {told}");
        assert!(!told.contains("eJxV"), "{told}");
    };
    change(|hop| hop.acs_url.clear(), "acs_url");
    change(|hop| hop.acs_url = "http://acs.bank.example/".into(), "acs_url");
    change(|hop| hop.acs_url = "javascript:alert(1)".into(), "acs_url");
    change(|hop| hop.acs_url = format!("https://acs.example/{}", "x".repeat(1024)), "acs_url");
    change(|hop| hop.term_url.clear(), "term_url");
    change(|hop| hop.term_url = "http://shop.example/".into(), "term_url");
    change(|hop| hop.pareq.clear(), "pareq");
    change(|hop| hop.pareq = "eJxV\"><".into(), "pareq");
    change(|hop| hop.pareq = "a".repeat(4097), "pareq");
    change(|hop| hop.md = "x".repeat(1025), "md");
    change(|hop| hop.md = "a\r\nb".into(), "md");
}

#[test]
fn secrets_are_neither_shown_nor_left() {
    let mut request = pb::BuildPaymentFormRequest { card_token: "secret".into(), ..sale() };
    assert!(!format!("{request:?}").contains("secret"));
    Local::wipe(&mut request);
    assert_eq!(request.card_token, "");
    let mut hop = hop();
    let mut form = hop.form().unwrap();
    assert!(!format!("{hop:?} {form:?}").contains("eJxV"));
    Local::wipe(&mut hop);
    pb::Build3dsFormRequest::wipe_response(&mut form);
    assert_eq!(hop.pareq, "");
    assert!(form.html.is_empty() && form.fields.iter().all(|field| field.value.is_empty()));
}
