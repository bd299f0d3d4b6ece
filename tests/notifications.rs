//! What the sandbox sends is what the gateway reads; both were written from the documents alone.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use qiwi_gateway::credentials::Wallet;
use qiwi_gateway::notification::wallet::{
    Doubt, Hook, Kind, Message, Received, Status, TestSignature, TrustedLists,
};
use qiwi_gateway::notification::{Key, Refusal, bill, wallet};
use qiwi_gateway::sandbox::{Incoming, Sandbox, SandboxConfig, demo};
use serde_json::{Value, json};

const MAX: usize = 65_536;

async fn sandbox() -> Sandbox {
    let config = SandboxConfig { listen: "127.0.0.1:0".parse().unwrap(), ..Default::default() };
    Sandbox::start(config).await.unwrap()
}

fn hook() -> Hook {
    Hook {
        id: demo::HOOK_ID.parse().unwrap(),
        wallet: Wallet::parse(demo::WALLET).unwrap(),
        keys: vec![Key::from_base64(demo::HOOK_KEY).unwrap()],
    }
}

/// The notifications that the seeded webhook, which is nowhere, would have got.
fn sent(sandbox: &Sandbox) -> Vec<String> {
    let outbox = sandbox.outbox();
    outbox.as_array().unwrap().iter().map(|letter| letter["notification"].to_string()).collect()
}

fn verify(body: &str) -> Result<Received, Refusal> {
    let message: Message<'_> = wallet::read(body.as_bytes(), MAX)?;
    message.verify(&[hook()], &TrustedLists::default())
}

/// A call as a client of QIWI makes it.
async fn send(sandbox: &Sandbox, method: &str, path: &str, token: &str, body: &str) -> Value {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", sandbox.address()))
        .header("authorization", format!("Bearer {token}"))
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .header("user-agent", "tests")
        .body(Full::<Bytes>::from(body.to_owned()))
        .unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_top_up_is_read_as_it_was_made() {
    let sandbox = sandbox().await;
    let incoming = Incoming {
        comment: Some("на корм коту | спасибо".to_owned()),
        ..Incoming::new("150.50", "79042426915")
    };
    let txn_id = sandbox.incoming(incoming).unwrap();
    let Ok(Received::Payment(payment)) = verify(&sent(&sandbox)[0]) else { panic!("a payment") };
    assert_eq!(payment.wallet.digits(), demo::WALLET);
    assert_eq!(payment.signed.txn_id, txn_id.to_string());
    assert_eq!((payment.signed.kind, payment.unsigned.status), (Kind::In, Status::Success));
    assert_eq!((&*payment.signed.sum.text, payment.signed.sum.money.units), ("150.5", 150));
    assert_eq!(payment.signed.account, "79042426915");
    assert_eq!(payment.unsigned.comment.as_deref(), Some("на корм коту | спасибо"));
    assert_eq!((payment.unsigned.error_code, &*payment.unread), (Some(0), &[][..]));
    assert!(payment.unsigned.date.as_ref().is_some_and(|date| date.instant.is_some()));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn every_mischief_is_seen_through() {
    let sandbox = sandbox().await;
    let receive = |mischief: Value| {
        sandbox.clear_faults();
        sandbox.add_fault(json!({ "notification": mischief })).unwrap();
        let before = sent(&sandbox).len();
        sandbox.incoming(Incoming::new("1", "79042426915")).unwrap();
        sent(&sandbox).split_off(before)
    };
    let refused = |mischief| verify(&receive(mischief)[0]).unwrap_err();
    assert_eq!(refused(json!({ "signature": "wrong" })), Refusal::SignatureMismatch);
    assert_eq!(refused(json!({ "signature": "absent" })), Refusal::SignatureMissing);
    let amount = json!({ "set": { "/payment/sum/amount": 1000 } });
    assert_eq!(refused(amount), Refusal::SignatureMismatch);
    let wallet = json!({ "set": { "/payment/personId": 79_990_000_002_u64 } });
    assert_eq!(refused(wallet), Refusal::WalletMismatch);
    let foreign = json!({ "set": { "/hookId": "f57f95e2-149f-4278-b2cb-4114bc319727" } });
    assert_eq!(refused(foreign), Refusal::UnknownHook);
    let list = "sum.amount,sum.currency,type,account,txnId";
    assert_eq!(refused(json!({ "sign_fields": list })), Refusal::SignatureMismatch);

    let doubt = |mischief| match verify(&receive(mischief)[0]) {
        Ok(Received::Doubtful(doubtful)) => doubtful.doubt,
        other => panic!("{other:?}"),
    };
    assert_eq!(doubt(json!({ "sign_fields": list, "resign": true })), Doubt::OtherOrder);
    assert_eq!(doubt(json!({ "forged_list": true })), Doubt::OtherFields);

    let payments = |mischief| -> Vec<_> {
        let bodies = receive(mischief);
        let read = bodies.iter().map(|body| match verify(body) {
            Ok(Received::Payment(payment)) => *payment,
            other => panic!("{other:?}"),
        });
        read.collect()
    };
    let copies = payments(json!({ "duplicates": 2 }));
    assert_eq!(copies.len(), 3);
    assert!(copies.iter().all(|copy| copy == &copies[0]));
    let renamed = payments(json!({ "duplicates": 1, "new_id": true }));
    assert_ne!(renamed[0].unsigned.message_id, renamed[1].unsigned.message_id);
    assert_eq!(renamed[0].signed, renamed[1].signed);
    assert_eq!(renamed[0].unsigned.status, renamed[1].unsigned.status);
    let replayed = payments(json!({ "replay_status": "ERROR" }));
    assert_eq!(replayed[0].unsigned.message_id, replayed[1].unsigned.message_id);
    assert_eq!(replayed[0].signed, replayed[1].signed);
    assert_ne!(replayed[0].unsigned.status, replayed[1].unsigned.status);
    assert!(!replayed[1].covers("status"));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn tests_and_bills_are_read_too() {
    let sandbox = sandbox().await;
    let token = demo::WALLET_TOKEN;
    send(&sandbox, "GET", "/payment-notifier/v1/hooks/test", token, "").await;
    let Ok(Received::Test(test)) = verify(&sent(&sandbox)[0]) else { panic!("a test") };
    assert_eq!(test.signature, TestSignature::Absent);
    assert!(test.hook_id.is_some() && test.message_id.is_some());

    let pair = r#"{"keysPairName":"x","serverNotificationsUrl":"https://shop.example/p2p"}"#;
    let path = "/widgets-api/api/p2p/protected/keys/create";
    let pair = send(&sandbox, "POST", path, token, pair).await;
    let secret = pair["SecretKey"].as_str().unwrap();
    let body = r#"{"amount":{"currency":"RUB","value":"100"},"comment":"Место 7","expirationDateTime":"2099-12-10T09:02:00+03:00"}"#;
    send(&sandbox, "PUT", "/partner/bill/v1/bills/seat-7", secret, body).await;
    sandbox.pay_bill(demo::WALLET, "seat-7").unwrap();
    let outbox = sandbox.outbox();
    let letter = outbox.as_array().unwrap().iter().find(|letter| letter["about"] == "bill");
    let letter = letter.unwrap();
    let header = letter["signature"].as_str().unwrap();
    let body = letter["notification"].to_string();
    let keys = [Key::new(secret.as_bytes()).unwrap()];
    let read = bill::read(body.as_bytes(), Some(header.as_bytes()), MAX).unwrap();
    let bill = read.verify(&keys).unwrap();
    assert_eq!((&*bill.signed.bill_id, bill.signed.status), ("seat-7", bill::Status::Paid));
    assert_eq!((&*bill.signed.amount.text, bill.signed.amount.money.units), ("100.00", 100));
    assert_eq!(bill.unsigned.comment.as_deref(), Some("Место 7"));
    assert_eq!(bill.unread, [""; 0]);
    let times = [&bill.unsigned.status_time, &bill.unsigned.creation_time];
    assert!(times.iter().all(|time| time.as_ref().is_some_and(|time| time.instant.is_some())));
    sandbox.shutdown().await;
}
