//! Secrets in answers reach the caller and leave no trace: not in logs at the finest level, spans,
//! metrics or errors, and not in the cache.

use std::time::Duration;

use prost::Message as _;
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::pb::wallet::v1 as pb;
use qiwi_gateway::telemetry::TelemetrySettings;

use crate::support::otlp::Collector;
use crate::support::*;

const DETAILS: &str = "qiwi.wallet.v1.MasterService/GetCardDetails";
const KEYS: &str = "qiwi.wallet.v1.InvoiceService/CreateP2pKeys";
const PAN: &str = "4276380011223344";
const CVV: &str = "cvv-739481";
const KEY: &str = "secret-key-of-canary";
/// Sampled, so that every call is exported.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A method, an answer that holds its secrets, and the secrets.
fn secrets() -> [(&'static str, String, Vec<&'static str>); 3] {
    let details =
        format!(r#"{{"status":"OK","cvv":"{CVV}","pan":"{PAN}","errorCode":"0","later":"{PAN}"}}"#);
    let keys = format!(r#"{{"PublicKey":"public","SecretKey":"{KEY}"}}"#);
    let nested = format!(r#"{{"result":{{"publicKey":"public","secretKey":"{KEY}"}}}}"#);
    [(DETAILS, details, vec![PAN, CVV]), (KEYS, keys, vec![KEY]), (KEYS, nested, vec![KEY])]
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn secrets_reach_the_caller_and_nothing_else() {
    let collector = Collector::start();
    let fake = Fake::always(Answer::json("{}")).await;
    let setup = Setup::new(&fake).log_all();
    let telemetry = TelemetrySettings {
        otlp: true,
        otlp_endpoint: Some(collector.endpoint()),
        metric_interval: Duration::from_secs(3600),
        ..setup.telemetry.clone()
    };
    let gateway = Setup { telemetry, ..setup }.start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).and("traceparent", PARENT);
    let mut heard = String::new();
    for (rpc, body, secrets) in secrets() {
        // The answer as it is: the secrets are in the reply.
        fake.now_always(Answer::json(&body));
        let reply = ask.raw(&channel, rpc, samples::of(rpc).request).await.unwrap().into_inner();
        for secret in &secrets {
            assert!(holds(&reply, secret), "{rpc} does not tell its caller");
        }
        // Broken, refused, cut and of another status: nobody hears of them.
        let failures = [
            Answer::json(
                body.replace("\"OK\"", "\"FAIL\"")
                    .replace("PublicKey", "NoKey")
                    .replace("publicKey", "NoKey"),
            ),
            Answer::json(body.replacen(':', ":[", 1)),
            Answer::json(body.get(..body.len() - 1).unwrap()),
            Answer::json(format!("[{body}]")),
            Answer::new(400, &body),
            Answer::new(500, &body),
            Answer::json(&body).cut_in_body(),
        ];
        for answer in failures {
            fake.now_always(answer.clone());
            let outcome = ask.raw(&channel, rpc, samples::of(rpc).request).await;
            let status = outcome.expect_err(&format!("{rpc} read {answer:?}"));
            heard.push_str(&told(&status).everything);
        }
    }
    let metrics = gateway.metrics().await;
    let log = gateway.stop().await.log;
    let exported = collector.everything();
    assert!(log.contains("qiwi_gateway::call") && log.contains(DETAILS));
    assert!(!collector.spans().is_empty() && metrics.contains("rpc_server_call_duration"));
    for secret in [PAN, CVV, KEY] {
        for (place, text) in
            [("the log", &log), ("metrics", &metrics), ("spans", &exported), ("errors", &heard)]
        {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    }
    // So short a text could be guessed from a digest of the body.
    assert!(log.contains("not digested") && !log.contains("sha256"));
}

#[tokio::test]
async fn secrets_are_not_kept() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    for (rpc, body, _) in secrets() {
        fake.now_always(Answer::json(&body));
        let before = fake.count();
        for asked in 1..=2 {
            let reply = Ask::with(MAIN).raw(&channel, rpc, samples::of(rpc).request).await;
            let reply = reply.unwrap();
            assert!(reply.metadata().get("x-qiwi-cache").is_none(), "{rpc}");
            assert_eq!(fake.count(), before + asked, "{rpc} was answered from a cache");
        }
    }
    // Nor after the upstream is gone: what was not kept cannot come back.
    fake.now_always(Answer::new(503, ""));
    for rpc in [DETAILS, KEYS] {
        let reply = Ask::with(MAIN).raw(&channel, rpc, samples::of(rpc).request).await;
        assert!(reply.is_err(), "{rpc}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_secrets_go_to_whoever_has_the_right_to_them() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway =
        Setup::new(&fake).credential("shop", Kind::P2p, None, "secret-of-shop").start().await;
    let channel = gateway.channel().await;
    for (rpc, body, _) in secrets() {
        fake.now_always(Answer::json(&body));
        let ask = Ask::with(&[("x-qiwi-credential", "shop")]);
        let status = ask.raw(&channel, rpc, samples::of(rpc).request).await.unwrap_err();
        assert_eq!(told(&status).reason, "CREDENTIAL_KIND_UNSUITABLE", "{rpc}");
    }
    assert_eq!(fake.count(), 0);
    let request = pb::GetCardDetailsRequest { card_id: "x".into(), ..Default::default() };
    let status = Ask::with(MAIN).raw(&channel, DETAILS, request.encode_to_vec()).await.unwrap_err();
    assert_eq!(told(&status).fields(), ["card_id"]);
    gateway.stop().await;
}
