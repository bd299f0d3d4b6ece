//! Every method of the contract against the sandbox, as a newcomer meets them.

use prost::Message as _;
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::operations;
use qiwi_gateway::pb::events::v1 as events;
use qiwi_gateway::pb::{p2p::v1 as p2p, wallet::v1 as wallet};
use qiwi_gateway::policy::{Class, Shape};
use qiwi_gateway::sandbox::{MerchantSite, Sandbox, SandboxConfig, demo};

use crate::support::{Ask, BILLS, Gateway, MERCHANT_KEY, SHOP, Setup, samples, told};

async fn both() -> (Sandbox, Gateway) {
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut config = SandboxConfig { listen, ..Default::default() };
    config.acquiring.in_the_clear = true;
    let sandbox = Sandbox::start(config).await.unwrap();
    sandbox.put_site(MerchantSite::new(99, MERCHANT_KEY));
    let gateway = Setup::at(&format!("http://{}", sandbox.address()))
        .credential("demo", Kind::Wallet, Some(demo::WALLET), demo::WALLET_TOKEN)
        .credential(
            "professional",
            Kind::Wallet,
            Some(demo::PROFESSIONAL_WALLET),
            demo::PROFESSIONAL_WALLET_TOKEN,
        )
        .credential("bills", Kind::P2p, None, demo::P2P_SECRET_KEY)
        .credential("shop", Kind::Merchant, None, MERCHANT_KEY)
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

    // Bills are there when they are issued.
    let bill =
        p2p::CreateBillRequest { expire_time: stamp(now + 86_400), ..samples::documented_bill() };
    let issue = "qiwi.p2p.v1.BillService/CreateBill";
    Ask::with(BILLS).raw(&channel, issue, bill.encode_to_vec()).await.unwrap();

    let rpc = "qiwi.wallet.v1.PaymentService/CreatePayment";
    let payment = samples::of(rpc).request;
    let mut payment = wallet::CreatePaymentRequest::decode(&*payment).unwrap();
    let to = wallet::WalletDestination { wallet: demo::PROFESSIONAL_WALLET.to_owned() };
    payment.payment.as_mut().unwrap().destination =
        Some(wallet::payment_spec::Destination::Wallet(to));
    ask.raw(&channel, rpc, payment.encode_to_vec()).await.unwrap();

    let rpc = "qiwi.pay.v1.AcquiringService/Sale";
    Ask::with(SHOP).raw(&channel, rpc, samples::of(rpc).request).await.unwrap();

    let mut answered = 0;
    let reads = operations::all().iter().filter(|row| {
        // Groups of events are the gateway's own.
        row.policy.class == Class::Read && row.service() != "qiwi.events.v1.EventGroupService"
    });
    let expected = reads.clone().count();
    for row in reads {
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
            "GetEvent" => {
                let append = crate::events::incoming(gateway.hub(), demo::WALLET, 1);
                let event_id = append.event.id.to_string();
                gateway.hub().append(append).await.unwrap();
                events::GetEventRequest { event_id }.encode_to_vec()
            }
            "GetCredential" => {
                let name = "demo".to_owned();
                qiwi_gateway::pb::admin::v1::GetCredentialRequest { name }.encode_to_vec()
            }
            "SearchProviders" => wallet::SearchProvidersRequest {
                query: "Билайн".to_owned(),
                ..Default::default()
            }
            .encode_to_vec(),
            "GetBill" => p2p::GetBillRequest { bill_id: bill.bill_id.clone() }.encode_to_vec(),
            _ => samples::of(rpc).request,
        };
        let ask = Ask::with(match rpc.split('.').nth(1) {
            Some("p2p") => BILLS,
            Some("pay") => SHOP,
            _ => &[DEMO],
        });
        match row.policy.shape {
            Shape::Unary => {
                let reply = ask.raw(&channel, rpc, request).await;
                let reply = reply.unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
                assert!(!reply.into_inner().is_empty(), "{rpc} answers nothing");
            }
            Shape::Bidi => panic!("{rpc} is no read"),
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
    assert_eq!(answered, expected);
    gateway.stop().await;
    sandbox.shutdown().await;
}

#[tokio::test]
async fn every_write_changes_what_the_reads_tell() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(&[DEMO]);
    let name = |rpc: &str| format!("qiwi.wallet.v1.{rpc}");

    let balances = async || {
        let rpc = name("BalanceService/ListBalances");
        let request = wallet::ListBalancesRequest::default();
        let reply = ask.unary::<_, wallet::ListBalancesResponse>(&channel, &rpc, request).await;
        reply.unwrap().into_inner().balances
    };
    let offers = wallet::ListBalanceOffersRequest::default();
    let rpc = name("BalanceService/ListBalanceOffers");
    let offers = ask.unary::<_, wallet::ListBalanceOffersResponse>(&channel, &rpc, offers).await;
    let alias = offers.unwrap().into_inner().balance_offers[0].alias.clone();
    assert!(balances().await.iter().all(|of| of.alias != alias));
    let request = wallet::CreateBalanceRequest { alias: alias.clone(), ..Default::default() };
    let rpc = name("BalanceService/CreateBalance");
    ask.raw(&channel, &rpc, request.encode_to_vec()).await.unwrap();
    assert!(balances().await.iter().any(|of| of.alias == alias));
    let request = wallet::SetDefaultBalanceRequest { alias: alias.clone(), ..Default::default() };
    let rpc = name("BalanceService/SetDefaultBalance");
    ask.raw(&channel, &rpc, request.encode_to_vec()).await.unwrap();
    let chosen: Vec<_> =
        balances().await.into_iter().filter(|of| of.default_account == Some(true)).collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(chosen[0].alias, alias);

    let rpc = name("HistoryService/ListTransactions");
    let list = wallet::ListTransactionsRequest { page_size: 50, ..Default::default() };
    let list = ask.unary::<_, wallet::ListTransactionsResponse>(&channel, &rpc, list).await;
    let list = list.unwrap().into_inner().transactions;
    let ready = list.iter().find(|of| of.status() == wallet::TransactionStatus::Success).unwrap();
    let mail = wallet::SendReceiptRequest {
        transaction_id: ready.transaction_id.clone(),
        r#type: ready.r#type,
        email: "my@example.com".to_owned(),
    };
    ask.raw(&channel, &name("HistoryService/SendReceipt"), mail.encode_to_vec()).await.unwrap();

    let register = samples::of("qiwi.wallet.v1.WebhookService/RegisterWebhook").request;
    let rpc = name("WebhookService/RegisterWebhook");
    let refused = ask.raw(&channel, &rpc, register.clone()).await.unwrap_err();
    assert_eq!(told(&refused).reason, "WEBHOOK_ALREADY_ACTIVE");
    let webhook_id = demo::HOOK_ID.to_owned();
    let key = async || {
        let rpc = name("WebhookService/GetWebhookKey");
        let request =
            wallet::GetWebhookKeyRequest { webhook_id: webhook_id.clone(), reveal_key: true };
        let reply = ask.unary::<_, wallet::GetWebhookKeyResponse>(&channel, &rpc, request).await;
        reply.unwrap().into_inner().webhook_key.unwrap()
    };
    assert_eq!(key().await.key.as_deref(), Some(demo::HOOK_KEY));
    let rpc = name("WebhookService/RotateWebhookKey");
    let request =
        wallet::RotateWebhookKeyRequest { webhook_id: webhook_id.clone(), reveal_key: false };
    let rotated = ask.unary::<_, wallet::RotateWebhookKeyResponse>(&channel, &rpc, request).await;
    let rotated = rotated.unwrap().into_inner().webhook_key.unwrap();
    assert_eq!(key().await.fingerprint, rotated.fingerprint);
    assert_ne!(key().await.key.as_deref(), Some(demo::HOOK_KEY));
    let rpc = name("WebhookService/SendTestNotification");
    ask.raw(&channel, &rpc, Vec::new()).await.unwrap();
    let active = name("WebhookService/GetActiveWebhook");
    ask.raw(&channel, &active, Vec::new()).await.unwrap();
    let delete = wallet::DeleteWebhookRequest { webhook_id: webhook_id.clone() };
    let rpc = name("WebhookService/DeleteWebhook");
    ask.raw(&channel, &rpc, delete.encode_to_vec()).await.unwrap();
    let gone = ask.raw(&channel, &rpc, delete.encode_to_vec()).await.unwrap_err();
    assert_eq!(told(&gone).reason, "WEBHOOK_NOT_FOUND");
    let gone = ask.raw(&channel, &active, Vec::new()).await.unwrap_err();
    assert_eq!(told(&gone).reason, "WEBHOOK_NOT_FOUND");
    let rpc = name("WebhookService/RegisterWebhook");
    ask.raw(&channel, &rpc, register).await.unwrap();
    ask.raw(&channel, &active, Vec::new()).await.unwrap();

    let rpc = "qiwi.wallet.v1.IdentificationService/CreateIdentification";
    ask.raw(&channel, rpc, samples::of(rpc).request).await.unwrap();
    let ask = Ask::with(&[("x-qiwi-credential", "professional")]);
    let rpc = "qiwi.wallet.v1.IdentificationService/CreateDowngradeOperation";
    let request = wallet::CreateDowngradeOperationRequest {
        identification_level: wallet::IdentificationLevel::Verified.into(),
        ..Default::default()
    };
    let created =
        ask.unary::<_, wallet::CreateDowngradeOperationResponse>(&channel, rpc, request).await;
    let operation = created.unwrap().into_inner().downgrade_operation.unwrap();
    let rpc = "qiwi.wallet.v1.IdentificationService/ConfirmDowngradeOperation";
    let request = wallet::ConfirmDowngradeOperationRequest {
        downgrade_operation_id: operation.downgrade_operation_id.clone(),
        ..Default::default()
    };
    let confirmed =
        ask.unary::<_, wallet::ConfirmDowngradeOperationResponse>(&channel, rpc, request).await;
    let confirmed = confirmed.unwrap().into_inner().downgrade_operation.unwrap();
    assert_eq!(confirmed.downgrade_operation_id, operation.downgrade_operation_id);
    assert_ne!(confirmed.status(), wallet::DowngradeStatus::Unspecified);
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
