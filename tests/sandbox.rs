//! Every read of the contract against the sandbox, as a newcomer meets them.

use prost::Message as _;
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::operations;
use qiwi_gateway::pb::wallet::v1 as wallet;
use qiwi_gateway::policy::Shape;
use qiwi_gateway::sandbox::{Sandbox, SandboxConfig, demo};

use crate::support::{Ask, Gateway, Setup, samples};

async fn both() -> (Sandbox, Gateway) {
    let config = SandboxConfig { listen: "127.0.0.1:0".parse().unwrap(), ..Default::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let gateway = Setup::at(&format!("http://{}", sandbox.address()))
        .credential("demo", Kind::Wallet, Some(demo::WALLET), demo::WALLET_TOKEN)
        .start()
        .await;
    (sandbox, gateway)
}

const DEMO: (&str, &str) = ("x-qiwi-credential", "demo");

#[tokio::test]
async fn every_read_answers() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let now = jiff::Timestamp::now().as_second();
    let stamp = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let (start, end) = (stamp(now - 30 * 86_400), stamp(now));
    let ask = Ask::with(&[DEMO]);

    let list = wallet::ListTransactionsRequest { page_size: 50, ..Default::default() };
    let list = ask
        .unary::<_, wallet::ListTransactionsResponse>(
            &channel,
            "qiwi.wallet.v1.HistoryService/ListTransactions",
            list,
        )
        .await
        .unwrap()
        .into_inner();
    let ready =
        list.transactions.iter().find(|of| of.status() == wallet::TransactionStatus::Success);
    let ready = ready.expect("a successful operation among the newest fifty");

    let mut answered = 0;
    for row in operations::all() {
        let rpc = row.policy.rpc;
        let request = match row.name() {
            "GetTransaction" => wallet::GetTransactionRequest {
                transaction_id: ready.transaction_id.clone(),
                r#type: ready.r#type,
                ..Default::default()
            }
            .encode_to_vec(),
            "DownloadReceipt" => wallet::DownloadReceiptRequest {
                transaction_id: ready.transaction_id.clone(),
                r#type: ready.r#type,
                format: wallet::ReceiptFormat::Pdf.into(),
            }
            .encode_to_vec(),
            "GetStatistics" => wallet::GetStatisticsRequest {
                start_time: start,
                end_time: end,
                ..Default::default()
            }
            .encode_to_vec(),
            "DownloadCardStatement" => wallet::DownloadCardStatementRequest {
                card_id: demo::CARD_ID.to_string(),
                start_time: start,
                end_time: end,
                ..Default::default()
            }
            .encode_to_vec(),
            "GetDowngradeOperation" => wallet::GetDowngradeOperationRequest {
                downgrade_operation_id: demo::DOWNGRADE_SUCCEEDED.to_owned(),
                ..Default::default()
            }
            .encode_to_vec(),
            "GetCredential" => {
                let name = "demo".to_owned();
                qiwi_gateway::pb::admin::v1::GetCredentialRequest { name }.encode_to_vec()
            }
            "SearchProviders" => wallet::SearchProvidersRequest {
                query: "Билайн".to_owned(),
                ..Default::default()
            }
            .encode_to_vec(),
            _ => samples::of(rpc).request,
        };
        match row.policy.shape {
            Shape::Unary => {
                let reply = ask.raw(&channel, rpc, request).await;
                let reply = reply.unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
                assert!(!reply.into_inner().is_empty(), "{rpc} answers nothing");
            }
            Shape::ServerStream => {
                let stream = ask.stream(&channel, rpc, request).await;
                let mut stream =
                    stream.unwrap_or_else(|status| panic!("{rpc}: {status:?}")).into_inner();
                let mut pieces = 0;
                while let Some(piece) = stream.message().await.unwrap() {
                    assert!(!piece.is_empty());
                    pieces += 1;
                }
                assert!(pieces >= 2, "{rpc}: a header and at least one piece");
            }
        }
        answered += 1;
    }
    assert_eq!(answered, samples::all().len());
    gateway.stop().await;
    sandbox.shutdown().await;
}

#[tokio::test]
async fn paging_tells_every_operation_once_and_stops_at_the_window() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(&[DEMO]);
    let now = jiff::Timestamp::now().as_second();
    let start = now - 60 * 86_400;
    let mut request = wallet::ListTransactionsRequest {
        page_size: 20,
        operation: wallet::HistoryOperation::Out.into(),
        start_time: Some(prost_types::Timestamp { seconds: start, nanos: 0 }),
        end_time: Some(prost_types::Timestamp { seconds: now, nanos: 0 }),
        ..Default::default()
    };
    let mut ids = std::collections::BTreeSet::new();
    loop {
        let page = ask
            .unary::<_, wallet::ListTransactionsResponse>(
                &channel,
                "qiwi.wallet.v1.HistoryService/ListTransactions",
                request.clone(),
            )
            .await
            .unwrap()
            .into_inner();
        for transaction in page.transactions {
            assert_eq!(transaction.r#type(), wallet::TransactionType::Out);
            let time = transaction.transaction_time.and_then(|time| time.instant).unwrap();
            assert!(time.seconds >= start, "older than the window");
            assert!(ids.insert(transaction.transaction_id), "told twice");
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(ids.len() > 20, "{} operations in sixty days", ids.len());
    gateway.stop().await;
    sandbox.shutdown().await;
}
