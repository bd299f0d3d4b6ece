//! The form a browser sends to QIWI's payment page, and who may have it signed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost::Message as _;
use qiwi_gateway::config::{CallerConfig, Variable};
use qiwi_gateway::credentials::{Group, Kind};
use qiwi_gateway::pb::pay::v1 as pb;
use qiwi_gateway::pb::r#type::v1::{Decimal, Money};
use ring::hmac;
use tonic::{Code, Status};

use crate::support::*;

const FORM: &str = "qiwi.pay.v1.PaymentFormService/BuildPaymentForm";
const HOP: &str = "qiwi.pay.v1.PaymentFormService/Build3dsForm";

fn rub(units: i64) -> Option<Money> {
    Some(Money { currency_code: "RUB".to_owned(), units, nanos: 0 })
}

fn sale() -> pb::BuildPaymentFormRequest {
    pb::BuildPaymentFormRequest {
        scheme: pb::PaymentFormScheme::Sale.into(),
        amount: rub(500),
        ..Default::default()
    }
}

async fn build(
    channel: &tonic::transport::Channel,
    ask: &Ask<'_>,
    request: pb::BuildPaymentFormRequest,
) -> Result<pb::BuildPaymentFormResponse, Status> {
    ask.unary(channel, FORM, request).await.map(tonic::Response::into_inner)
}

/// The signature by QIWI's rule, written once more: the values in the order of their names.
fn signature(fields: &BTreeMap<String, String>) -> String {
    let signed = fields.iter().filter(|(name, value)| *name != "sign" && !value.is_empty());
    let text = signed.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("|");
    let key = hmac::Key::new(hmac::HMAC_SHA256, MERCHANT_KEY.as_bytes());
    hmac::sign(&key, text.as_bytes()).as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[tokio::test]
async fn a_form_is_signed_without_asking_qiwi() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let position = pb::ReceiptPosition {
        quantity: Some(Decimal { value: "1".to_owned() }),
        price: Some(Decimal { value: "500".to_owned() }),
        tax: pb::ValueAddedTax::None.into(),
        description: "Товар".to_owned(),
        payment_method: pb::ReceiptPaymentMethod::FullSettlement.into(),
        payment_subject: pb::ReceiptPaymentSubject::Goods.into(),
    };
    let request = pb::BuildPaymentFormRequest {
        order: Some(pb::OrderDetails {
            order_id: "order-1".to_owned(),
            product_name: "Название \"услуги\"".to_owned(),
            success_url: "https://domain.tld/success?a=1&b=2".to_owned(),
            ..Default::default()
        }),
        customer: Some(pb::Customer {
            email: "user@co.ru".to_owned(),
            phone: "+79166554321".to_owned(),
            ..Default::default()
        }),
        receipt: Some(pb::Receipt {
            seller_inn: "3123011520".to_owned(),
            r#type: pb::ReceiptType::Income.into(),
            customer_contact: "user@co.ru".to_owned(),
            tax_system: pb::TaxSystem::General.into(),
            positions: vec![position],
        }),
        safe_deal: Some(pb::SafeDeal {
            recipient_wallet: "79111111111".to_owned(),
            payout_amount: rub(300),
            fee_amount: rub(200),
        }),
        card_token: "4d5b363e-a116-35f5-e053-6751080ac38e".to_owned(),
        ..sale()
    };
    let form = build(&channel, &Ask::with(SHOP), request).await.unwrap();
    assert_eq!(form.action_url, "https://pay.qiwi.com/paypage/initial");
    let count = form.fields.len();
    let fields: BTreeMap<_, _> =
        form.fields.into_iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(fields.len(), count, "no name comes twice");
    let names: Vec<_> = fields.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "amount",
            "card_token",
            "cf1",
            "cf2",
            "currency",
            "email",
            "merchant_cheque",
            "merchant_site",
            "opcode",
            "order_id",
            "phone",
            "product_name",
            "sign",
            "success_url",
        ]
    );
    for (name, value) in [
        ("amount", "500.00"),
        ("cf1", "79111111111"),
        ("cf2", "300.00;200.00"),
        ("currency", "643"),
        ("merchant_site", "99"),
        ("opcode", "1"),
        ("phone", "79166554321"),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
    assert_eq!(fields["sign"], signature(&fields));
    assert!(form.html.contains("action=\"https://pay.qiwi.com/paypage/initial\""));
    assert!(form.html.contains("value=\"Название &quot;услуги&quot;\""), "{}", form.html);
    assert!(form.html.contains("value=\"https://domain.tld/success?a=1&amp;b=2\""));
    assert_eq!(form.html.matches("<input ").count(), fields.len());
    assert!(!form.html.contains(MERCHANT_KEY));
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn the_address_of_the_payment_page_is_configured() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let page = qiwi_gateway::config::BaseUrl::parse("http://127.0.0.1:9/paypage/initial").unwrap();
    let gateway = Setup::new(&fake).set(|config| config.upstream.paypage_url = page).start().await;
    let channel = gateway.channel().await;
    let form = build(&channel, &Ask::with(SHOP), sale()).await.unwrap();
    assert_eq!(form.action_url, "http://127.0.0.1:9/paypage/initial");
    assert!(form.html.contains("action=\"http://127.0.0.1:9/paypage/initial\""));
}

#[tokio::test]
async fn nobody_but_a_merchant_the_gateway_holds_signs() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    for (metadata, code, reason) in [
        (&[][..], Code::Unauthenticated, "CREDENTIAL_MISSING"),
        (MAIN, Code::PermissionDenied, "CREDENTIAL_KIND_UNSUITABLE"),
        (BILLS, Code::PermissionDenied, "CREDENTIAL_KIND_UNSUITABLE"),
        (
            &[("authorization", "Bearer secret_key")],
            Code::PermissionDenied,
            "CREDENTIAL_KIND_UNSUITABLE",
        ),
        (&[("x-qiwi-credential", "nobody")], Code::Unauthenticated, "CREDENTIAL_UNKNOWN"),
    ] {
        let refused = build(&channel, &Ask::with(metadata), sale()).await.unwrap_err();
        let told = told(&refused);
        assert_eq!((told.code, told.reason.as_str()), (code, reason), "{metadata:?}");
        assert_eq!(told.info("api"), Some("pay"));
    }
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn a_caller_that_may_only_read_has_nothing_signed() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let mut setup = Setup::new(&fake);
    for (name, groups) in [("reader", vec![Group::Read]), ("payer", vec![Group::Pay])] {
        let key = format!("KEY_{name}");
        setup.env.insert(key.clone(), format!("key-of-the-{name}"));
        let caller = CallerConfig {
            key_env: Some(Variable(key)),
            credentials: vec!["shop".to_owned()],
            groups,
            ..CallerConfig::default()
        };
        setup.config.callers.insert(name.to_owned(), caller);
    }
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    let payer = Ask::with(SHOP).and("x-qiwi-caller-key", "key-of-the-payer");
    build(&channel, &payer, sale()).await.unwrap();
    let reader = Ask::with(SHOP).and("x-qiwi-caller-key", "key-of-the-reader");
    let refused = told(&build(&channel, &reader, sale()).await.unwrap_err());
    assert_eq!((refused.code, &*refused.reason), (Code::PermissionDenied, "CALLER_NOT_ALLOWED"));
    // The hop to a bank is no secret of the merchant.
    let hop = samples::of(HOP).request;
    Ask::default()
        .and("x-qiwi-caller-key", "key-of-the-reader")
        .raw(&channel, HOP, hop)
        .await
        .unwrap();
}

#[tokio::test]
async fn wrong_fields_are_named_and_what_is_private_is_not_repeated() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let gateway = Setup::new(&fake).log_all().start().await;
    let channel = gateway.channel().await;
    let request = pb::BuildPaymentFormRequest {
        card_token: "token of a card".to_owned(),
        order: Some(pb::OrderDetails { cf1: "cf1\nsecret".to_owned(), ..Default::default() }),
        ..sale()
    };
    let refused = told(&build(&channel, &Ask::with(SHOP), request).await.unwrap_err());
    assert_eq!(refused.fields(), ["order.cf1", "card_token"]);
    let imprecise = pb::BuildPaymentFormRequest {
        amount: Some(Money { nanos: 1, ..rub(1).unwrap() }),
        ..sale()
    };
    let refused_amount = told(&build(&channel, &Ask::with(SHOP), imprecise).await.unwrap_err());
    assert_eq!(
        (&*refused_amount.reason, refused_amount.code),
        ("AMOUNT_PRECISION", Code::InvalidArgument)
    );
    build(&channel, &Ask::with(SHOP), sale()).await.unwrap();
    let log = gateway.stop().await.log;
    for private in ["token of a card", "cf1\\nsecret", MERCHANT_KEY] {
        assert!(!log.contains(private) && !refused.everything.contains(private), "{private}");
    }
}

#[tokio::test]
async fn the_secret_of_the_merchants_hook_reaches_no_customer() {
    let secret = "path-secret-0123456789";
    let file = process::folder("paths").join("path");
    process::replace(&file, secret);
    let fake = Fake::always(Answer::new(500, "")).await;
    let mut setup = Setup::new(&fake);
    let shop = setup.config.credentials.get_mut("shop").unwrap();
    shop.webhook_path_secret_file = Some(file);
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    let with_hook = |url: String| {
        let order = pb::OrderDetails { callback_url: url, ..Default::default() };
        pb::BuildPaymentFormRequest { order: Some(order), ..sale() }
    };
    let shown = with_hook(format!("https://domain.tld/pay/shop/{secret}"));
    let refused = told(&build(&channel, &Ask::with(SHOP), shown).await.unwrap_err());
    assert_eq!(refused.fields(), ["order.callback_url"]);
    assert!(!refused.everything.contains(secret));
    let hidden = with_hook("https://domain.tld/pay/shop".to_owned());
    let form = build(&channel, &Ask::with(SHOP), hidden).await.unwrap();
    assert!(!form.html.contains(secret));
}

#[tokio::test]
async fn a_merchant_without_a_site_cannot_sign() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let mut setup = Setup::new(&fake).credential("bare", Kind::Merchant, None, "another-key");
    setup.config.credentials.get_mut("bare").unwrap().merchant_site = None;
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(&[("x-qiwi-credential", "bare")]);
    let refused = told(&build(&channel, &ask, sale()).await.unwrap_err());
    assert_eq!(refused.reason, "CREDENTIAL_KIND_UNSUITABLE");
    assert_eq!(refused.fields(), ["x-qiwi-credential"]);
}

#[tokio::test]
async fn the_hop_to_a_bank_needs_no_credential() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let request = pb::Build3dsFormRequest::decode(&*samples::of(HOP).request).unwrap();
    let ask = Ask::default();
    let reply = ask.unary::<_, pb::Build3dsFormResponse>(&channel, HOP, request.clone()).await;
    let form = reply.unwrap().into_inner();
    assert_eq!(form.action_url, request.acs_url);
    let fields = form.fields.iter().map(|field| (field.name.as_str(), field.value.as_str()));
    assert!(fields.eq([
        ("PaReq", request.pareq.as_str()),
        ("MD", request.md.as_str()),
        ("TermUrl", request.term_url.as_str()),
    ]));
    let refused = Ask::default().raw(&channel, HOP, Vec::new()).await.unwrap_err();
    assert_eq!(told(&refused).fields(), ["acs_url", "term_url", "pareq"]);
    assert_eq!(fake.count(), 0);
}
