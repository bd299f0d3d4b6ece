//! Invoices, whose payments carry no id of ours: what ends doubt is whether the invoice is still open.

use serde_json::{Value, json};

use super::judge::{self, PATIENCE, Said};
use super::*;

const PAY: &str = "qiwi.wallet.v1.InvoiceService/PayInvoice";
/// An open invoice of the sandbox.
const INVOICE: &str = "1063702405";

async fn pay_invoice(channel: &Channel) -> Result<Response<pb::CreatePaymentResponse>, Status> {
    let request = pb::PayInvoiceRequest {
        invoice_id: INVOICE.into(),
        currency_code: "RUB".into(),
        ..Default::default()
    };
    let ask = Ask::with(&[DEMO]);
    let reply = ask.unary::<_, pb::PayInvoiceResponse>(channel, PAY, request).await?;
    let (metadata, message, extensions) = reply.into_parts();
    // The judge reads the payment, whichever method made it.
    let message = pb::CreatePaymentResponse { payment: message.payment };
    Ok(Response::from_parts(metadata, message, extensions))
}

fn paid(sandbox: &Sandbox) -> usize {
    let id = INVOICE.parse().ok();
    sandbox.payments().iter().filter(|payment| payment.invoice_id == id).count()
}

fn fault(sandbox: &Sandbox, fault: Value) {
    let rule =
        json!({"match": {"path_prefix": "/checkout-api/invoice/pay"}, "times": 1, "fault": fault});
    sandbox.add_fault(rule).unwrap();
}

/// Repeats until it is settled.
async fn settle(sandbox: &Sandbox, channel: &Channel, what: &str) -> Vec<Said> {
    let begun = tokio::time::Instant::now();
    let mut all: Vec<Said> = Vec::new();
    while all.last().is_none_or(|said| !said.is_settled()) {
        assert!(begun.elapsed() < PATIENCE, "{what}: {all:?}");
        let said = Said::read(&pay_invoice(channel).await).expect("it answers");
        judge::is_true(&said, paid(sandbox), what);
        all.push(said);
    }
    all
}

#[tokio::test]
async fn an_invoice_is_paid_once_whatever_goes_wrong() {
    let code = |code: &str, process: bool| json!({"status": 400, "body": {"code": code, "message": "x"}, "process": process});
    let cases = [
        (json!({}), "", 1),
        (json!({"cut": "before_headers"}), "", 1),
        (json!({"cut": "mid_body"}), "", 1),
        (json!({"garbage": true}), "", 1),
        (json!({"status": 500, "process": true}), "", 1),
        (code("QWPRC-300", true), "", 1),
        (json!({"status": 403}), "", 1),
        (json!({"cut": "before_processing"}), "PAYMENT_NOT_EXECUTED", 0),
        (json!({"status": 502}), "PAYMENT_NOT_EXECUTED", 0),
        (code("QWPRC-300", false), "UPSTREAM_TECHNICAL", 0),
        (code("QWPRC-220", false), "INSUFFICIENT_FUNDS", 0),
    ];
    for (what, reason, count) in cases {
        let (sandbox, gateway) = both().await;
        let channel = gateway.channel().await;
        fault(&sandbox, what.clone());
        let what = what.to_string();
        let all = settle(&sandbox, &channel, &what).await;
        assert_eq!(
            (all.last().unwrap().reason.as_str(), paid(&sandbox)),
            (reason, count),
            "{what}"
        );
        let again = settle(&sandbox, &channel, &what).await;
        assert!(again.len() == 1 && again[0].replayed, "{what}: {again:?}");
        assert_eq!((again[0].reason.as_str(), paid(&sandbox)), (reason, count), "{what}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn many_who_pay_one_invoice_pay_it_once() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    fault(&sandbox, json!({"latency_ms": 200}));
    let calls = (0..50).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move { pay_invoice(&channel).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!((paid(&sandbox), sandbox.payments().len()), (1, 1));
}
