//! `qiwi.pay.v1.AcquiringService` over the wire: what QIWI answers and what callers see of it.

use qiwi_gateway::config::BaseUrl;
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::pb::pay::v1 as pb;
use qiwi_gateway::pb::r#type::v1::Money;
use qiwi_gateway::sandbox::{MerchantSite, Sandbox, SandboxConfig};
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{Answer, Ask, Fake, Gateway, MERCHANT_KEY, SHOP, Setup, told};

const SERVICE: &str = "qiwi.pay.v1.AcquiringService";

fn rpc(method: &str) -> String {
    format!("{SERVICE}/{method}")
}

fn rub(units: i64, nanos: i32) -> Option<Money> {
    Some(Money { currency_code: "RUB".into(), units, nanos })
}

fn sale(order: &str) -> pb::SaleRequest {
    let card = pb::BankCard {
        pan: "4111111111111111".into(),
        expiry_month: 12,
        expiry_year: 2030,
        cvv2: "123".into(),
        holder_name: "CARD HOLDER".into(),
    };
    pb::SaleRequest {
        order: Some(pb::OrderDetails { order_id: order.into(), ..Default::default() }),
        amount: rub(7, 0),
        instrument: Some(pb::PaymentInstrument {
            instrument: Some(pb::payment_instrument::Instrument::Card(card)),
        }),
        ..Default::default()
    }
}

async fn status(channel: &Channel, order: &str) -> Result<pb::GetStatusResponse, tonic::Status> {
    let request = pb::GetStatusRequest { order_id: order.into(), ..Default::default() };
    let reply = Ask::with(SHOP).unary(channel, &rpc("GetStatus"), request).await;
    reply.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_status_arrives_whole_and_what_nobody_documented_survives() {
    let body = r#"{"error_code":0,"transactions":[
        {"error_code":0,"txn_id":172001,"txn_status":3,"txn_type":1,
         "txn_date":"2017-03-09T17:16:06+03:00","pan":"400000******0002","amount":10000.5,
         "currency":643,"auth_code":"181218","merchant_site":99,"order_id":"41324123412342",
         "card_name":"cardholder+name","card_bank":"","ip":"100.1.2.3","email":"a@b.ru",
         "country":"RUS","cf1":"x","cf2":"","product_name":"Flowers","eci":"06","is_test":"true"},
        {"error_code":"8160","txn_id":"182001","txn_status":"77","txn_type":"99",
         "txn_date":"yesterday","amount":"?","currency":"643","novelty":{"deep":[1]}}]}"#;
    let fake = Fake::always(Answer::json(body)).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let answer = status(&channel, "41324123412342").await.unwrap();
    assert!(answer.fetch_time.is_some());
    let [first, odd] = answer.transactions.as_slice() else { panic!("{answer:?}") };
    assert_eq!(first.transaction_id, "172001");
    assert_eq!(first.r#type(), pb::TransactionType::Purchase);
    assert_eq!(first.status(), pb::TransactionStatus::Captured);
    assert_eq!(first.amount, rub(10_000, 500_000_000));
    assert_eq!(first.next_operations, [i32::from(pb::OperationKind::Reverse)]);
    assert!(first.is_test && first.error.is_none());
    let card = first.card.as_ref().unwrap();
    assert_eq!(card.masked_pan, "400000******0002");
    assert_eq!(card.holder_name.as_deref(), Some("cardholder name"));
    assert_eq!(first.custom_fields.get("cf1").map(String::as_str), Some("x"));
    assert!(!first.custom_fields.contains_key("cf2"));
    assert_eq!((odd.status_raw.as_str(), odd.type_raw.as_str()), ("77", "99"));
    assert_eq!(odd.status(), pb::TransactionStatus::Unspecified);
    assert_eq!(odd.error.as_ref().map(|of| of.code), Some(8160));
    assert!(odd.amount.is_none() && odd.next_operations.is_empty());
    let asked = fake.seen().pop().unwrap();
    assert_eq!((asked.method.as_str(), asked.path()), ("POST", "/merchant/direct"));
    assert!(asked.header("authorization").is_none(), "a secret is never sent");
    let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    // The key of `support` with the text of the documents' rule: site, opcode, order.
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, MERCHANT_KEY.as_bytes());
    let sign = ring::hmac::sign(&key, b"99|30|41324123412342");
    let hex: String = sign.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(body["sign"], hex.as_str());
}

#[tokio::test]
async fn an_order_nobody_knows_is_an_empty_list_and_other_codes_are_errors() {
    let fake = Fake::always(Answer::json(r#"{"error_code":8022,"error_message":"x"}"#)).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    assert!(status(&channel, "1").await.unwrap().transactions.is_empty());
    for (code, reason, grpc) in [
        ("8054", "SIGNATURE_REJECTED", Code::Unauthenticated),
        ("8021", "MERCHANT_SITE_NOT_FOUND", Code::NotFound),
        ("8001", "UPSTREAM_ERROR", Code::Unavailable),
        ("8999", "UPSTREAM_REJECTED", Code::FailedPrecondition),
    ] {
        fake.now_always(Answer::json(format!(r#"{{"error_code":"{code}"}}"#)));
        let told = told(&status(&channel, "1").await.unwrap_err());
        assert_eq!((told.code, &*told.reason), (grpc, reason), "{code}");
        assert_eq!(told.info("upstreamCode"), Some(code));
    }
    for status_code in [401, 403] {
        fake.now_always(Answer::new(status_code, ""));
        let told = told(&status(&channel, "1").await.unwrap_err());
        assert_eq!(&*told.reason, "CERTIFICATE_REJECTED");
    }
    let empty = Ask::with(SHOP)
        .unary::<_, pb::GetStatusResponse>(
            &channel,
            &rpc("GetStatus"),
            pb::GetStatusRequest::default(),
        )
        .await
        .unwrap_err();
    assert_eq!(told(&empty).fields(), ["order_id"]);
}

/// The gateway in front of the sandbox's acquiring listener, which wants a client certificate.
async fn over_tls(sandbox: &Sandbox, certificate: Option<&Sandbox>) -> Gateway {
    let url = format!("https://{}/merchant/direct", sandbox.acquiring_address().unwrap());
    let files = certificate.map(|of| of.client_files("shop", None).unwrap());
    let authority = sandbox.client_files("authority", None).unwrap();
    let setup = Setup::at(&format!("http://{}", sandbox.address()))
        .credential("shop", Kind::Merchant, None, MERCHANT_KEY)
        .set(|config| {
            config.upstream.direct_url = BaseUrl::parse(&url).unwrap();
            config.upstream.ca_file = Some(authority.authority().to_owned());
            if let (Some(files), Some(shop)) = (&files, config.credentials.get_mut("shop")) {
                shop.client_cert_file = Some(files.certificate().to_owned());
                shop.client_key_file = Some(files.key().to_owned());
            }
        });
    setup.start().await
}

async fn sandbox() -> Sandbox {
    let any = "127.0.0.1:0".parse().unwrap();
    let mut config = SandboxConfig { listen: any, ..Default::default() };
    config.acquiring.listen = Some(any);
    let sandbox = Sandbox::start(config).await.unwrap();
    sandbox.put_site(MerchantSite::new(99, MERCHANT_KEY));
    sandbox
}

#[tokio::test]
async fn a_merchant_is_known_by_its_certificate_and_a_wrong_one_is_told_as_such() {
    let (real, other) = (sandbox().await, sandbox().await);
    let gateway = over_tls(&real, Some(&real)).await;
    let channel = gateway.channel().await;
    let reply: pb::SaleResponse =
        Ask::with(SHOP).unary(&channel, &rpc("Sale"), sale("order-1")).await.unwrap().into_inner();
    assert_eq!(reply.operation.unwrap().state(), pb::OperationState::Succeeded);
    assert_eq!(status(&channel, "order-1").await.unwrap().transactions.len(), 1);
    drop(gateway);
    for wrong in [Some(&other), None] {
        let gateway = over_tls(&real, wrong).await;
        let channel = gateway.channel().await;
        let refused = Ask::with(SHOP)
            .unary::<_, pb::SaleResponse>(&channel, &rpc("Sale"), sale("order-2"))
            .await
            .unwrap_err();
        let told = told(&refused);
        assert_eq!(&*told.reason, "CERTIFICATE_REJECTED", "{told:?}");
        assert_eq!(told.info("upstreamSent"), Some("no"));
        let told = crate::support::told(&status(&channel, "order-1").await.unwrap_err());
        assert_eq!(&*told.reason, "CERTIFICATE_REJECTED", "{told:?}");
    }
    assert_eq!(real.transactions().len(), 1);
}
