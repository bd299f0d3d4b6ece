//! Bills as callers meet them: against the sandbox, with lost answers, with the wrong credential.

use std::time::Duration;

use prost::Message as _;
use qiwi_gateway::config::Config;
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::pb::p2p::v1 as pb;
use qiwi_gateway::pb::r#type::v1::Money;
use qiwi_gateway::sandbox::{Sandbox, SandboxConfig, demo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::*;

const CREATE: &str = "qiwi.p2p.v1.BillService/CreateBill";
const GET: &str = "qiwi.p2p.v1.BillService/GetBill";
const CANCEL: &str = "qiwi.p2p.v1.BillService/CancelBill";
const FORM: &str = "qiwi.p2p.v1.BillService/BuildBillFormLink";
const DECORATE: &str = "qiwi.p2p.v1.BillService/DecoratePayUrl";
/// Long enough for a busy machine, short enough for attempts that end in silence.
const ATTEMPT: Duration = Duration::from_millis(500);

struct Bench {
    sandbox: Sandbox,
    gateway: Gateway,
    channel: Channel,
}

impl Bench {
    async fn new() -> Self {
        let config = SandboxConfig { listen: "127.0.0.1:0".parse().unwrap(), ..Default::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        let gateway = Setup::at(&format!("http://{}", sandbox.address()))
            .credential("bills", Kind::P2p, None, demo::P2P_SECRET_KEY)
            .credential("wallet", Kind::Wallet, Some(demo::WALLET), demo::WALLET_TOKEN)
            .set(|config: &mut Config| config.upstream.attempt_timeout = ATTEMPT)
            .log_all()
            .start()
            .await;
        let channel = gateway.channel().await;
        Self { sandbox, gateway, channel }
    }

    async fn create(&self, request: &pb::CreateBillRequest) -> Result<pb::Bill, Status> {
        let ask = Ask::with(BILLS).within(Duration::from_secs(20));
        let reply = ask.unary::<_, pb::CreateBillResponse>(&self.channel, CREATE, request.clone());
        Ok(reply.await?.into_inner().bill.unwrap())
    }

    async fn get(&self, bill_id: &str) -> Result<pb::Bill, Status> {
        let request = pb::GetBillRequest { bill_id: bill_id.to_owned() };
        let ask = Ask::with(BILLS);
        let reply = ask.unary::<_, pb::GetBillResponse>(&self.channel, GET, request).await?;
        Ok(reply.into_inner().bill.unwrap())
    }

    async fn cancel(&self, bill_id: &str) -> Result<pb::Bill, Status> {
        let request = pb::CancelBillRequest { bill_id: bill_id.to_owned() };
        let ask = Ask::with(BILLS).within(Duration::from_secs(20));
        let reply = ask.unary::<_, pb::CancelBillResponse>(&self.channel, CANCEL, request).await?;
        Ok(reply.into_inner().bill.unwrap())
    }

    /// Lets requests of this verb suffer, in place of what they suffered before.
    async fn fault(&self, method: &str, fault: &str) {
        self.sandbox_call("DELETE", "/__sandbox/faults", "").await;
        let rule = format!(
            r#"[{{"match":{{"method":"{method}","path_prefix":"/partner"}},"fault":{fault}}}]"#
        );
        self.sandbox_call("POST", "/__sandbox/faults", &rule).await;
    }

    async fn sandbox_call(&self, verb: &str, path: &str, body: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.sandbox.address()).await.unwrap();
        let length = body.len();
        let request = format!(
            "{verb} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
        answer
    }

    async fn stop(self) {
        let stopped = self.gateway.stop().await;
        assert!(stopped.log.contains("BillService"));
        assert!(!stopped.log.contains(demo::P2P_SECRET_KEY), "the key is in the log");
        self.sandbox.shutdown().await;
    }
}

/// The bill of the documents, in time.
fn bill(id: &str) -> pb::CreateBillRequest {
    let now = jiff::Timestamp::now().as_second();
    pb::CreateBillRequest {
        bill_id: id.to_owned(),
        expire_time: Some(prost_types::Timestamp { seconds: now + 86_400, nanos: 5 }),
        ..samples::documented_bill()
    }
}

fn rub(units: i64) -> Option<Money> {
    Some(Money { currency_code: "RUB".to_owned(), units, nanos: 0 })
}

#[tokio::test]
async fn a_bill_is_issued_followed_and_cancelled() {
    let bench = Bench::new().await;
    let request = bill("order-1");
    let issued = bench.create(&request).await.unwrap();
    assert_eq!((&*issued.bill_id, issued.status()), ("order-1", pb::BillStatus::Waiting));
    assert_eq!((&issued.amount, &issued.customer), (&request.amount, &request.customer));
    let expires = issued.expire_time.as_ref().unwrap().instant.as_ref().unwrap();
    assert_eq!(expires.seconds, request.expire_time.as_ref().unwrap().seconds);
    assert_eq!(issued.custom_fields["paySourcesFilter"], "qw");
    assert_eq!(issued.custom_fields["yourParam2"], "order 678");
    assert_eq!(bench.get("order-1").await.unwrap(), issued);
    assert_eq!(bench.create(&request).await.unwrap(), issued, "a repeat is the same bill");
    let cancelled = bench.cancel("order-1").await.unwrap();
    assert_eq!(cancelled.status(), pb::BillStatus::Rejected);
    assert_eq!(bench.cancel("order-1").await.unwrap(), cancelled, "the bill stays rejected");
    assert_eq!(bench.get("order-1").await.unwrap(), cancelled);
    assert_eq!(bench.create(&request).await.unwrap(), cancelled, "no second claim");
    for outcome in [bench.get("order-2").await, bench.cancel("order-2").await] {
        let told = told(&outcome.unwrap_err());
        assert_eq!((told.code, &*told.reason), (Code::NotFound, "INVOICE_NOT_FOUND"));
        assert_eq!(told.info("api"), Some("p2p"));
        assert_eq!(told.info("upstreamCode"), Some("api.invoice.not.found"));
    }
    bench.stop().await;
}

#[tokio::test]
async fn an_id_in_use_is_told() {
    let bench = Bench::new().await;
    let request = bill("order-1");
    bench.create(&request).await.unwrap();
    let others = [
        pb::CreateBillRequest { amount: rub(2), ..request.clone() },
        pb::CreateBillRequest { comment: "Other".to_owned(), ..request.clone() },
        pb::CreateBillRequest { theme_code: "Other".to_owned(), ..request.clone() },
        pb::CreateBillRequest { expire_time: bill("").expire_time.map(later), ..request.clone() },
    ];
    for other in others {
        let told = told(&bench.create(&other).await.unwrap_err());
        assert_eq!((told.code, &*told.reason), (Code::AlreadyExists, "PAYMENT_ID_REUSED"));
        assert_eq!(told.info("upstreamSent"), Some("yes"));
        assert_eq!(told.info("httpStatus"), Some("409"));
    }
    assert_eq!(bench.get("order-1").await.unwrap().amount, rub(1));
    bench.stop().await;
}

fn later(time: prost_types::Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.seconds + 60, ..time }
}

/// What becomes of an answer after the request was carried out.
const LOST: [&str; 6] = [
    r#"{"cut":"before_headers"}"#,
    r#"{"cut":"mid_body"}"#,
    r#"{"hang":"before_headers"}"#,
    r#"{"garbage":true}"#,
    r#"{"status":500,"process":true}"#,
    r#"{"status":409,"process":true}"#,
];

#[tokio::test]
async fn a_lost_answer_is_found_by_a_look() {
    let bench = Bench::new().await;
    for (number, lost) in LOST.into_iter().enumerate() {
        let id = format!("order-{number}");
        let request = bill(&id);
        bench.fault("PUT", lost).await;
        let issued = bench.create(&request).await.unwrap_or_else(|of| panic!("{lost}: {of:?}"));
        assert_eq!((&*issued.bill_id, &issued.amount), (&*id, &request.amount), "{lost}");
        let other = pb::CreateBillRequest { amount: rub(2), ..request };
        let told = told(&bench.create(&other).await.unwrap_err());
        assert_eq!(told.reason, "PAYMENT_ID_REUSED", "{lost}");
        assert_eq!(told.info("upstreamSent"), Some("yes"), "{lost}");
        bench.fault("POST", lost).await;
        let cancelled = bench.cancel(&id).await.unwrap_or_else(|of| panic!("{lost}: {of:?}"));
        assert_eq!(cancelled.status(), pb::BillStatus::Rejected, "{lost}");
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_bill_that_was_not_issued_is_not_told_as_issued() {
    let bench = Bench::new().await;
    for (number, (fault, reason)) in [
        (r#"{"cut":"before_processing"}"#, "WRITE_OUTCOME_UNKNOWN"),
        (r#"{"status":500}"#, "WRITE_OUTCOME_UNKNOWN"),
        (r#"{"status":409}"#, "UPSTREAM_CONFLICT"),
        (r#"{"status":400}"#, "UPSTREAM_INVALID_REQUEST"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("order-{number}");
        bench.fault("PUT", fault).await;
        let told = told(&bench.create(&bill(&id)).await.unwrap_err());
        assert_eq!(told.reason, reason, "{fault}");
    }
    // A time that is over is QIWI's to refuse.
    bench.sandbox_call("DELETE", "/__sandbox/faults", "").await;
    let over = Some(prost_types::Timestamp { seconds: 1_600_000_000, nanos: 0 });
    let late = pb::CreateBillRequest { expire_time: over, ..bill("late") };
    let told = told(&bench.create(&late).await.unwrap_err());
    assert_eq!(told.reason, "UPSTREAM_INVALID_REQUEST");
    assert_eq!(told.info("upstreamCode"), Some("http.message.conversion.failed"));
    bench.stop().await;
}

/// What the fake sees and answers: the write, then the look.
async fn scripted(
    rpc: &str,
    write: Answer,
    look: Answer,
) -> (Result<Vec<u8>, Told>, Vec<(String, String)>) {
    let fake = Fake::by(move |seen| match seen.method.as_str() {
        "GET" => look.clone(),
        _ => write.clone(),
    })
    .await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let request = match rpc {
        CREATE => samples::documented_bill().encode_to_vec(),
        _ => samples::of(rpc).request,
    };
    let reply = Ask::with(BILLS).raw(&channel, rpc, request).await;
    let reply = reply.map(|reply| reply.into_inner().to_vec()).map_err(|status| told(&status));
    let seen = fake.seen();
    assert!(seen.iter().all(|seen| seen.token() == Some(P2P_KEY)));
    (reply, seen.into_iter().map(|seen| (seen.method, seen.target)).collect())
}

#[tokio::test]
async fn only_an_open_outcome_is_looked_up() {
    let issued = include_str!("../fixtures/p2p/bill/issued.json");
    let path = "/partner/bill/v1/bills/cc961e8d-d4d6-4f02-b737-2297e51fb48e";
    let (write, look) = (("PUT", path), ("GET", path));
    let found = || Answer::json(issued);
    let (_, seen) = scripted(CREATE, found(), found()).await;
    assert_eq!(told_as(&seen), [write]);
    for (status, reason) in [
        (401, "TOKEN_REJECTED"),
        (403, "TOKEN_SCOPE_INSUFFICIENT"),
        (423, "RATE_LIMITED_UPSTREAM"),
        (429, "RATE_LIMITED_UPSTREAM"),
        (404, "INVOICE_NOT_FOUND"),
    ] {
        let (reply, seen) = scripted(CREATE, Answer::new(status, ""), found()).await;
        assert_eq!((&*reply.unwrap_err().reason, told_as(&seen)), (reason, vec![write]));
    }
    for status in [400, 409, 422, 500] {
        let (reply, seen) = scripted(CREATE, Answer::new(status, ""), found()).await;
        assert!(reply.is_ok(), "{status}: {reply:?}");
        assert_eq!(told_as(&seen), [write, look], "{status}");
    }
    // QIWI's answer to a repeat is not documented: a bill of before may come as a success.
    let before = issued.replacen("1.00", "2.00", 1);
    let (reply, _) = scripted(CREATE, Answer::json(&before), Answer::json(&before)).await;
    let told = reply.unwrap_err();
    assert_eq!((told.code, &*told.reason), (Code::AlreadyExists, "PAYMENT_ID_REUSED"));
    // A look that tells nothing leaves the error as it was.
    let refused = include_str!("../fixtures/p2p/bill/refused.json");
    let missing = include_str!("../fixtures/p2p/bill/not_found.json");
    let untold = issued.replacen("expirationDateTime", "x", 1);
    for look in [
        Answer::new(404, missing),
        Answer::new(200, missing),
        Answer::new(403, ""),
        Answer::json("garbage"),
        Answer::json(&untold),
    ] {
        let (reply, _) = scripted(CREATE, Answer::new(400, refused), look.clone()).await;
        let told = reply.unwrap_err();
        assert_eq!(told.reason, "UPSTREAM_INVALID_REQUEST", "{look:?}");
        assert_eq!(told.info("upstreamCode"), Some("http.message.conversion.failed"));
        let (reply, _) = scripted(CREATE, Answer::new(500, ""), look.clone()).await;
        let told = reply.unwrap_err();
        assert_eq!(told.reason, "WRITE_OUTCOME_UNKNOWN", "{look:?}");
        assert_eq!(told.info("upstreamSent"), Some("unknown"));
    }
}

fn told_as(seen: &[(String, String)]) -> Vec<(&str, &str)> {
    seen.iter().map(|(method, target)| (method.as_str(), target.as_str())).collect()
}

#[tokio::test]
async fn a_cancellation_that_came_too_late_is_told() {
    let cancelled = include_str!("../fixtures/p2p/bill/cancelled.json");
    for (status, outcome) in [
        ("REJECTED", None),
        ("PAID", Some("UPSTREAM_REJECTED")),
        ("EXPIRED", Some("UPSTREAM_REJECTED")),
        ("WAITING", Some("UPSTREAM_CONFLICT")),
    ] {
        let look = Answer::json(cancelled.replacen("REJECTED", status, 1));
        let (reply, seen) = scripted(CANCEL, Answer::new(409, ""), look).await;
        assert_eq!(reply.err().map(|told| told.reason).as_deref(), outcome, "{status}");
        let path = "/partner/bill/v1/bills/order-1";
        let write = format!("{path}/reject");
        assert_eq!(told_as(&seen), [("POST", &*write), ("GET", path)]);
    }
}

#[tokio::test]
async fn what_leaves_is_what_the_documents_print() {
    let fake = Fake::always(Answer::json(include_str!("../fixtures/p2p/bill/issued.json"))).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let request = samples::documented_bill();
    let ask = Ask::with(BILLS);
    ask.raw(&channel, CREATE, request.encode_to_vec()).await.unwrap();
    ask.raw(&channel, GET, samples::of(GET).request).await.unwrap();
    ask.raw(&channel, CANCEL, samples::of(CANCEL).request).await.unwrap();
    let seen = fake.seen();
    let [put, get, post] = &seen[..] else { panic!("{seen:?}") };
    let documented = include_str!("../fixtures/p2p/bill/create_request.json");
    let documented: serde_json::Value = serde_json::from_str(documented).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&put.body).unwrap(), documented);
    for (asked, method, kind, length) in [
        (put, "PUT", Some("application/json"), Some(put.body.len().to_string())),
        (get, "GET", None, None),
        (post, "POST", Some("application/json"), Some("0".to_owned())),
    ] {
        assert_eq!(asked.method, method);
        assert_eq!(asked.header("content-type"), kind, "{method}");
        assert_eq!(asked.header("content-length"), length.as_deref(), "{method}");
        assert_eq!(asked.header("accept"), Some("application/json"), "{method}");
        assert_eq!(asked.token(), Some(P2P_KEY), "{method}");
    }
    assert!(post.body.is_empty());
}

#[tokio::test]
async fn a_wallet_token_is_refused_and_an_unknown_one_is_qiwis_to_judge() {
    let bench = Bench::new().await;
    let samples = [CREATE, GET, CANCEL].map(samples::of);
    for sample in samples {
        let ask = Ask::with(&[("x-qiwi-credential", "wallet")]);
        let reply = ask.raw(&bench.channel, sample.rpc, sample.request.clone()).await;
        let refused = told(&reply.unwrap_err());
        assert_eq!(refused.reason, "CREDENTIAL_KIND_UNSUITABLE", "{}", sample.rpc);
        assert_eq!(refused.info("upstreamSent"), Some("no"));
        let key = format!("Bearer {}", demo::P2P_SECRET_KEY);
        let lent = Ask::with(&[("authorization", &key)]);
        let reply = lent.raw(&bench.channel, sample.rpc, sample.request.clone()).await;
        let told = told(&reply.unwrap_err());
        // The samples' bill is unknown to the sandbox, and its time is over.
        let expected = if sample.rpc == CREATE { Code::InvalidArgument } else { Code::NotFound };
        assert_eq!(told.code, expected, "{}", sample.rpc);
        assert!(!told.everything.contains(demo::P2P_SECRET_KEY));
    }
    bench.stop().await;
}

#[tokio::test]
async fn links_need_no_credential_and_no_qiwi() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let ask = Ask::default();
    let request = pb::BuildBillFormLinkRequest {
        public_key: "key".to_owned(),
        amount: rub(100),
        ..Default::default()
    };
    let reply = ask.unary::<_, pb::BuildBillFormLinkResponse>(&channel, FORM, request).await;
    let url = reply.unwrap().into_inner().url;
    assert_eq!(url, "https://oplata.qiwi.com/create?publicKey=key&amount=100");
    let request = pb::DecoratePayUrlRequest {
        pay_url: "https://oplata.qiwi.com/form?invoiceUid=1".to_owned(),
        pay_source: pb::PaySource::Card.into(),
        success_url: "google.com".to_owned(),
    };
    let reply = ask.unary::<_, pb::DecoratePayUrlResponse>(&channel, DECORATE, request).await;
    let url = reply.unwrap().into_inner().url;
    assert_eq!(
        url,
        "https://oplata.qiwi.com/form?invoiceUid=1&paySource=card&successUrl=google.com"
    );
    let reply = ask.raw(&channel, FORM, Vec::new()).await;
    let told = told(&reply.unwrap_err());
    assert_eq!((told.fields(), told.info("api")), (vec!["public_key".to_owned()], Some("p2p")));
    assert_eq!(fake.count(), 0);
}
