//! For every RPC of the contract: a request that passes validation, and an answer QIWI might give.
//!
//! For tests that say something about all methods alike. What each mapping makes of which answer is
//! tested beside the mapping.

use prost::Message;
use qiwi_gateway::operations;
use qiwi_gateway::pb::admin::v1 as admin;
use qiwi_gateway::pb::events::v1 as events;
use qiwi_gateway::pb::p2p::v1 as p2p;
use qiwi_gateway::pb::pay::v1 as pay;
use qiwi_gateway::pb::r#type::v1::Money;
use qiwi_gateway::pb::wallet::v1 as wallet;

/// One RPC with a usable request and answer.
pub struct Sample {
    pub rpc: &'static str,
    pub request: Vec<u8>,
    /// `None` for methods that ask nobody.
    pub reply: Option<&'static str>,
}

/// The start of a PDF, enough to be told apart from JSON.
pub const PDF: &str = "%PDF-1.4\n1 0 obj\n<< >>\nendobj\ntrailer\n<< >>\n%%EOF\n";

/// The webhook of the samples.
const HOOK: &str = "5e2027d1-f5f3-4ad1-b409-058b8b8a8c22";

/// A bill of the samples, as QIWI tells it.
const BILL: &str = r#"{"siteId":"site-00","billId":"order-1","amount":{"currency":"RUB","value":"100.00"},"status":{"value":"WAITING","changedDateTime":"2020-09-13T15:26:40+03:00"},"creationDateTime":"2020-09-13T15:26:40+03:00","expirationDateTime":"2020-09-20T14:06:40+03:00","payUrl":"https://oplata.qiwi.com/form/?invoice_uid=1"}"#;

/// An answer of QIWI PAY that is one to each operation, and to the status query before some.
const TAKEN: &str = r#"{"txn_id":172001,"txn_status":3,"txn_type":2,"txn_date":"2017-03-09T17:16:06+03:00","error_code":0,"amount":"7.00","currency":643,"transactions":[{"txn_id":172001,"txn_status":2,"txn_type":2,"txn_date":"2017-03-09T17:16:06+03:00","error_code":0,"amount":"7.00","currency":643,"order_id":"order-1"}]}"#;

/// One row for every RPC.
pub fn all() -> Vec<Sample> {
    let start = Some(prost_types::Timestamp { seconds: 1_600_000_000, nanos: 0 });
    let end = Some(prost_types::Timestamp { seconds: 1_600_600_000, nanos: 0 });
    let rub = |units| Some(Money { currency_code: "RUB".to_owned(), units, nanos: 0 });
    let text = str::to_owned;
    vec![
        sample(
            "qiwi.wallet.v1.ProfileService/GetProfile",
            &wallet::GetProfileRequest::default(),
            r#"{"contractInfo":{"contractId":79990000001,"blocked":false}}"#,
        ),
        sample(
            "qiwi.wallet.v1.ProfileService/GetNickname",
            &wallet::GetNicknameRequest::default(),
            r#"{"nickname":"NICK","canChange":true,"canUse":true,"description":""}"#,
        ),
        sample(
            "qiwi.wallet.v1.ProfileService/ListRestrictions",
            &wallet::ListRestrictionsRequest::default(),
            "[]",
        ),
        sample(
            "qiwi.wallet.v1.IdentificationService/GetIdentification",
            &wallet::GetIdentificationRequest::default(),
            r#"{"id":79990000001,"type":"VERIFIED"}"#,
        ),
        sample(
            "qiwi.wallet.v1.IdentificationService/GetDowngradeOperation",
            &wallet::GetDowngradeOperationRequest {
                downgrade_operation_id: text("1f0e8c52-7b7d-4c8e-9a55-2d1c6f3b0a01"),
                ..Default::default()
            },
            r#"{"downgradeOperation":{"downgradeOperationId":"1f0e8c52-7b7d-4c8e-9a55-2d1c6f3b0a01","status":{"type":"SUCCESS"}}}"#,
        ),
        sample(
            "qiwi.wallet.v1.IdentificationService/CreateIdentification",
            &wallet::CreateIdentificationRequest {
                birth_date: text("1998-02-11"),
                first_name: text("Иван"),
                middle_name: text("Иванович"),
                last_name: text("Иванов"),
                passport: text("4400111222"),
                ..Default::default()
            },
            r#"{"id":79990000001,"type":"VERIFIED"}"#,
        ),
        sample(
            "qiwi.wallet.v1.IdentificationService/CreateDowngradeOperation",
            &wallet::CreateDowngradeOperationRequest {
                identification_level: wallet::IdentificationLevel::Verified.into(),
                ..Default::default()
            },
            r#"{"downgradeOperationId":"1f0e8c52-7b7d-4c8e-9a55-2d1c6f3b0a01"}"#,
        ),
        sample(
            "qiwi.wallet.v1.IdentificationService/ConfirmDowngradeOperation",
            &wallet::ConfirmDowngradeOperationRequest {
                downgrade_operation_id: text("1f0e8c52-7b7d-4c8e-9a55-2d1c6f3b0a01"),
                ..Default::default()
            },
            r#"{"downgradeOperation":{"downgradeOperationId":"1f0e8c52-7b7d-4c8e-9a55-2d1c6f3b0a01","status":{"type":"IN_PROGRESS"}}}"#,
        ),
        sample(
            "qiwi.wallet.v1.LimitService/ListLimits",
            &wallet::ListLimitsRequest::default(),
            r#"{"limits":{"RU":[]}}"#,
        ),
        sample(
            "qiwi.wallet.v1.LimitService/GetP2pPaymentCountLimit",
            &wallet::GetP2pPaymentCountLimitRequest::default(),
            r#"{"p2pPaymentCountLimit":7}"#,
        ),
        sample(
            "qiwi.wallet.v1.BalanceService/ListBalances",
            &wallet::ListBalancesRequest::default(),
            r#"{"accounts":[{"alias":"qw_wallet_rub","hasBalance":true,"currency":643,"balance":{"amount":8.74,"currency":643}}]}"#,
        ),
        sample(
            "qiwi.wallet.v1.BalanceService/ListBalanceOffers",
            &wallet::ListBalanceOffersRequest::default(),
            r#"[{"alias":"qw_wallet_eur","currency":978}]"#,
        ),
        sample(
            "qiwi.wallet.v1.BalanceService/CreateBalance",
            &wallet::CreateBalanceRequest { alias: text("qw_wallet_eur"), ..Default::default() },
            "",
        ),
        sample(
            "qiwi.wallet.v1.BalanceService/SetDefaultBalance",
            &wallet::SetDefaultBalanceRequest {
                alias: text("qw_wallet_rub"),
                ..Default::default()
            },
            "",
        ),
        sample(
            "qiwi.wallet.v1.HistoryService/ListTransactions",
            &wallet::ListTransactionsRequest::default(),
            r#"{"data":[],"nextTxnId":null,"nextTxnDate":null}"#,
        ),
        sample(
            "qiwi.wallet.v1.HistoryService/GetTransaction",
            &wallet::GetTransactionRequest {
                transaction_id: text("9309000000"),
                ..Default::default()
            },
            r#"{"txnId":9309000000,"personId":79990000001,"date":"2017-01-21T11:41:07+03:00","status":"SUCCESS","type":"OUT"}"#,
        ),
        sample(
            "qiwi.wallet.v1.HistoryService/GetStatistics",
            &wallet::GetStatisticsRequest {
                start_time: start,
                end_time: end,
                ..Default::default()
            },
            r#"{"incomingTotal":[],"outgoingTotal":[]}"#,
        ),
        sample(
            "qiwi.wallet.v1.HistoryService/DownloadReceipt",
            &wallet::DownloadReceiptRequest {
                transaction_id: text("9309000000"),
                r#type: wallet::TransactionType::Out.into(),
                format: wallet::ReceiptFormat::Pdf.into(),
            },
            PDF,
        ),
        sample(
            "qiwi.wallet.v1.HistoryService/SendReceipt",
            &wallet::SendReceiptRequest {
                transaction_id: text("9309000000"),
                r#type: wallet::TransactionType::Out.into(),
                email: text("my@example.com"),
            },
            "",
        ),
        sample(
            "qiwi.wallet.v1.PaymentService/QuoteCommission",
            &wallet::QuoteCommissionRequest {
                provider_id: text("99"),
                account: text("79112223344"),
                amount: rub(100),
            },
            r#"{"providerId":99,"withdrawSum":{"amount":100,"currency":"643"},"enrollmentSum":{"amount":100,"currency":"643"},"qwCommission":{"amount":0,"currency":"643"},"fundingSourceCommission":{"amount":0,"currency":"643"},"withdrawToEnrollmentRate":1}"#,
        ),
        sample(
            "qiwi.wallet.v1.PaymentService/ListExchangeRates",
            &wallet::ListExchangeRatesRequest::default(),
            r#"{"result":[]}"#,
        ),
        sample(
            "qiwi.wallet.v1.ProviderService/SearchProviders",
            &wallet::SearchProvidersRequest { query: text("telephone"), ..Default::default() },
            r#"{"items":[]}"#,
        ),
        sample(
            "qiwi.wallet.v1.ProviderService/ResolveMobileProvider",
            &wallet::ResolveMobileProviderRequest {
                phone_number: text("79112223344"),
                ..Default::default()
            },
            r#"{"mobileOperatorProviderList":[]}"#,
        ),
        sample(
            "qiwi.wallet.v1.ProviderService/ResolveCardProvider",
            &wallet::ResolveCardProviderRequest { card_number: text("4111111111111111") },
            r#"{"elements":[{"type":"field","name":"termsId","value":"36390"}]}"#,
        ),
        sample(
            "qiwi.wallet.v1.ProviderService/GetTariff",
            &wallet::GetTariffRequest { provider_id: text("99"), ..Default::default() },
            r#"{"content":{"terms":{"commission":{"ranges":[]}}}}"#,
        ),
        local(
            "qiwi.wallet.v1.ProviderService/BuildPaymentFormLink",
            &wallet::BuildPaymentFormLinkRequest { provider_id: text("99"), ..Default::default() },
        ),
        sample(
            "qiwi.wallet.v1.ProviderService/DetectMobileProvider",
            &wallet::DetectMobileProviderRequest {
                phone_number: text("79112223344"),
                ..Default::default()
            },
            r#"{"code":{"value":"0","_name":"NORMAL"},"data":null,"message":"3","messages":null}"#,
        ),
        sample(
            "qiwi.wallet.v1.ProviderService/DetectCardProvider",
            &wallet::DetectCardProviderRequest { card_number: text("4111111111111111") },
            r#"{"code":{"value":"0","_name":"NORMAL"},"data":null,"message":"1963","messages":null}"#,
        ),
        sample(
            "qiwi.wallet.v1.ProviderService/SearchProvidersLegacy",
            &wallet::SearchProvidersLegacyRequest {
                query: text("telephone"),
                ..Default::default()
            },
            r#"{"data":{"items":[{"item":{"id":{"id":"120"}}}]}}"#,
        ),
        sample(
            "qiwi.wallet.v1.InvoiceService/ListInvoices",
            &wallet::ListInvoicesRequest::default(),
            r#"{"bills":[]}"#,
        ),
        sample(
            "qiwi.wallet.v1.InvoiceService/RejectInvoice",
            &wallet::RejectInvoiceRequest { invoice_id: text("1034353453") },
            "",
        ),
        sample(
            "qiwi.wallet.v1.InvoiceService/CreateP2pKeys",
            &wallet::CreateP2pKeysRequest {
                key_pair_name: text("shop"),
                notification_url: text("https://shop.example/invoices"),
            },
            r#"{"PublicKey":"public-key","SecretKey":"secret-key"}"#,
        ),
        sample(
            "qiwi.wallet.v1.WebhookService/GetActiveWebhook",
            &wallet::GetActiveWebhookRequest::default(),
            r#"{"hookId":"5e2027d1-f5f3-4ad1-b409-058b8b8a8c22","hookType":"WEB","txnType":"BOTH","hookParameters":{"url":"https://shop.example/hook"}}"#,
        ),
        sample(
            "qiwi.wallet.v1.WebhookService/RegisterWebhook",
            &wallet::RegisterWebhookRequest {
                url: text("https://shop.example/hook"),
                transaction_type: wallet::WebhookTransactionType::Both.into(),
            },
            r#"{"hookId":"5e2027d1-f5f3-4ad1-b409-058b8b8a8c22","hookType":"WEB","txnType":"BOTH","hookParameters":{"url":"https://shop.example/hook"}}"#,
        ),
        sample(
            "qiwi.wallet.v1.WebhookService/DeleteWebhook",
            &wallet::DeleteWebhookRequest { webhook_id: text(HOOK) },
            r#"{"response":"Hook deleted"}"#,
        ),
        sample(
            "qiwi.wallet.v1.WebhookService/GetWebhookKey",
            &wallet::GetWebhookKeyRequest { webhook_id: text(HOOK), reveal_key: false },
            r#"{"key":"L8UVF3JkLVUr6r70LiE0A9/5WoGGwWKG2pI/e+l/9fs="}"#,
        ),
        sample(
            "qiwi.wallet.v1.WebhookService/RotateWebhookKey",
            &wallet::RotateWebhookKeyRequest { webhook_id: text(HOOK), reveal_key: false },
            r#"{"key":"OikS4/CcIbSf+yYGnLbnOige8RGoYmGxs/LNMwkJy7Q="}"#,
        ),
        sample(
            "qiwi.wallet.v1.WebhookService/SendTestNotification",
            &wallet::SendTestNotificationRequest {},
            r#"{"response":"Webhook sent"}"#,
        ),
        sample(
            "qiwi.wallet.v1.MasterService/ListCards",
            &wallet::ListCardsRequest::default(),
            "[]",
        ),
        sample(
            "qiwi.wallet.v1.MasterService/DownloadCardStatement",
            &wallet::DownloadCardStatementRequest {
                card_id: text("133789472"),
                start_time: start,
                end_time: end,
                ..Default::default()
            },
            PDF,
        ),
        sample(
            "qiwi.wallet.v1.MasterService/CreateCardOrder",
            &wallet::CreateCardOrderRequest { card_alias: text("qvc-cpa"), ..Default::default() },
            r#"{"id":"920fa383-6209-4743-a5d1-883f473f7f95","cardAlias":"qvc-cpa","status":"DRAFT","price":null,"cardId":null}"#,
        ),
        sample(
            "qiwi.wallet.v1.MasterService/ConfirmCardOrder",
            &wallet::ConfirmCardOrderRequest {
                order_id: text("920fa383-6209-4743-a5d1-883f473f7f95"),
                ..Default::default()
            },
            r#"{"id":"920fa383-6209-4743-a5d1-883f473f7f95","cardAlias":"qvc-cpa","status":"COMPLETED","price":{"amount":0,"currency":643},"cardId":"158619365"}"#,
        ),
        sample(
            "qiwi.wallet.v1.MasterService/BlockCard",
            &wallet::BlockCardRequest { card_id: text("133789472"), ..Default::default() },
            "",
        ),
        sample(
            "qiwi.wallet.v1.MasterService/UnblockCard",
            &wallet::UnblockCardRequest { card_id: text("133789472"), ..Default::default() },
            r#"{"status":"OK","nextConfirmationRequest":null,"confirmationId":null,"operationId":null}"#,
        ),
        sample(
            "qiwi.wallet.v1.MasterService/RenameCard",
            &wallet::RenameCardRequest { card_id: text("133789472"), alias: text("ads") },
            r#"{"status":"OK","error":"OK","errorCode":"OK"}"#,
        ),
        sample(
            "qiwi.wallet.v1.MasterService/GetCardDetails",
            &wallet::GetCardDetailsRequest { card_id: text("133789472"), ..Default::default() },
            r#"{"status":"OK","cvv":"111","pan":"4444111122223333","errorCode":"0"}"#,
        ),
        sample(
            "qiwi.wallet.v1.PaymentService/CreatePayment",
            &wallet::CreatePaymentRequest {
                payment_id: text("150217833198900"),
                payment: Some(wallet::PaymentSpec {
                    amount: rub(100),
                    destination: Some(wallet::payment_spec::Destination::Wallet(
                        wallet::WalletDestination { wallet: text("79121238345") },
                    )),
                    ..Default::default()
                }),
                ..Default::default()
            },
            r#"{"id":"150217833198900","terms":"99","fields":{"account":"79121238345"},"sum":{"amount":100,"currency":"643"},"transaction":{"id":"11155897070","state":{"code":"Accepted"}},"source":"account_643"}"#,
        ),
        sample(
            "qiwi.wallet.v1.MasterService/BuyPackage",
            &wallet::BuyPackageRequest {
                payment_id: text("150217833198901"),
                amount: rub(2999),
                ..Default::default()
            },
            r#"{"id":"150217833198901","transaction":{"id":"11155897071","state":{"code":"Accepted"}}}"#,
        ),
        sample(
            "qiwi.wallet.v1.MasterService/BuyCard",
            &wallet::BuyCardRequest {
                payment_id: text("150217833198902"),
                order_id: text("920fa383-6209-4743-a5d1-883f473f7f95"),
                amount: rub(99),
                ..Default::default()
            },
            r#"{"id":"150217833198902","transaction":{"id":"11155897072","state":{"code":"Accepted"}}}"#,
        ),
        // The list of open invoices, which is asked first, and the answer to the payment in one.
        sample(
            "qiwi.wallet.v1.InvoiceService/PayInvoice",
            &wallet::PayInvoiceRequest {
                invoice_id: text("1063702405"),
                currency_code: text("RUB"),
                ..Default::default()
            },
            r#"{"bills":[{"id":1063702405,"sum":{"currency":643,"amount":100}}],"invoice_status":"PAID_STATUS"}"#,
        ),
        // The payment of the first sample above.
        local(
            "qiwi.wallet.v1.PaymentService/GetPayment",
            &wallet::GetPaymentRequest {
                payment_id: text("150217833198900"),
                ..Default::default()
            },
        ),
        local(
            "qiwi.wallet.v1.PaymentService/ListPayments",
            &wallet::ListPaymentsRequest::default(),
        ),
        sample(
            "qiwi.p2p.v1.BillService/CreateBill",
            &p2p::CreateBillRequest {
                bill_id: text("order-1"),
                amount: rub(100),
                expire_time: end,
                ..Default::default()
            },
            BILL,
        ),
        sample(
            "qiwi.p2p.v1.BillService/GetBill",
            &p2p::GetBillRequest { bill_id: text("order-1") },
            BILL,
        ),
        sample(
            "qiwi.p2p.v1.BillService/CancelBill",
            &p2p::CancelBillRequest { bill_id: text("order-1") },
            BILL,
        ),
        local(
            "qiwi.p2p.v1.BillService/BuildBillFormLink",
            &p2p::BuildBillFormLinkRequest { public_key: text("public-key"), ..Default::default() },
        ),
        local(
            "qiwi.p2p.v1.BillService/DecoratePayUrl",
            &p2p::DecoratePayUrlRequest {
                pay_url: text("https://oplata.qiwi.com/form/?invoice_uid=1"),
                pay_source: p2p::PaySource::Card.into(),
                ..Default::default()
            },
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/Sale",
            &pay::SaleRequest {
                order: order("order-1"),
                amount: rub(7),
                instrument: card(),
                ..Default::default()
            },
            TAKEN,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/Authorize",
            &pay::AuthorizeRequest {
                order: order("order-2"),
                amount: rub(7),
                instrument: card(),
                ..Default::default()
            },
            TAKEN,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/Finish3ds",
            &pay::Finish3dsRequest {
                transaction_id: text("172001"),
                pares: text("eJzVWFev"),
                reattempt: false,
            },
            TAKEN,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/Capture",
            &pay::CaptureRequest {
                request_id: text("0190c3c2-8f6e-4b07-9f0a-5d1b1a0c0001"),
                transaction_id: text("172001"),
                ..Default::default()
            },
            TAKEN,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/Reverse",
            &pay::ReverseRequest {
                request_id: text("0190c3c2-8f6e-4b07-9f0a-5d1b1a0c0002"),
                transaction_id: text("172001"),
                amount: rub(3),
                ..Default::default()
            },
            TAKEN,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/Refund",
            &pay::RefundRequest {
                request_id: text("0190c3c2-8f6e-4b07-9f0a-5d1b1a0c0003"),
                transaction_id: text("172001"),
                amount: rub(3),
                ..Default::default()
            },
            TAKEN,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/Payout",
            &pay::PayoutRequest {
                order: order("order-3"),
                amount: rub(7),
                instrument: token(),
                ..Default::default()
            },
            TAKEN,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/GetStatus",
            &pay::GetStatusRequest { order_id: text("order-1"), ..Default::default() },
            TAKEN,
        ),
        // The operation of the first sample above.
        local(
            "qiwi.pay.v1.AcquiringService/GetOperation",
            &pay::GetOperationRequest {
                kind: pay::OperationKind::Sale.into(),
                operation_id: text("order-1"),
            },
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/ListCards",
            &pay::ListCardsRequest { merchant_uid: text("10001"), ..Default::default() },
            r#"{"error_code":0,"cards":[]}"#,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/InitRecurringSale",
            &pay::InitRecurringSaleRequest {
                order: order("order-4"),
                amount: rub(7),
                instrument: card(),
                ..Default::default()
            },
            TAKEN,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/InitRecurringAuthorization",
            &pay::InitRecurringAuthorizationRequest {
                order: order("order-5"),
                amount: rub(7),
                instrument: card(),
                ..Default::default()
            },
            TAKEN,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/InitMobileAuthorization",
            &pay::InitMobileAuthorizationRequest {
                order_id: text("order-6"),
                amount: rub(7),
                ..Default::default()
            },
            TAKEN,
        ),
        sample(
            "qiwi.pay.v1.AcquiringService/SendMobileCardData",
            &pay::SendMobileCardDataRequest {
                transaction_id: text("172001"),
                ..Default::default()
            },
            TAKEN,
        ),
        local(
            "qiwi.pay.v1.PaymentFormService/BuildPaymentForm",
            &pay::BuildPaymentFormRequest {
                scheme: pay::PaymentFormScheme::Sale.into(),
                amount: rub(7),
                ..Default::default()
            },
        ),
        local(
            "qiwi.pay.v1.PaymentFormService/Build3dsForm",
            &pay::Build3dsFormRequest {
                acs_url: text("https://acs.bank.example/"),
                pareq: text("eJxVUmtv"),
                md: text("3666050"),
                term_url: text("https://shop.example/3ds"),
            },
        ),
        local(
            "qiwi.events.v1.EventService/Subscribe",
            // A replay, so that it ends.
            &events::SubscribeRequest {
                start: end_of_log(events::LogAnchor::Earliest),
                until: end_of_log(events::LogAnchor::Latest),
                ..Default::default()
            },
        ),
        local("qiwi.events.v1.EventService/ListEvents", &events::ListEventsRequest::default()),
        local(
            "qiwi.events.v1.EventService/GetEvent",
            &events::GetEventRequest { event_id: text("1d92048875041f4e0959cc29fe230b3c") },
        ),
        local("qiwi.events.v1.EventService/GetLogInfo", &events::GetLogInfoRequest {}),
        local("qiwi.events.v1.EventService/Consume", &consume()),
        local(
            "qiwi.events.v1.EventGroupService/CreateGroup",
            &events::CreateGroupRequest {
                group_id: text("sample"),
                start: end_of_log(events::LogAnchor::Latest),
                ..Default::default()
            },
        ),
        local(
            "qiwi.events.v1.EventGroupService/GetGroup",
            &events::GetGroupRequest { group_id: text("sample") },
        ),
        local("qiwi.events.v1.EventGroupService/ListGroups", &events::ListGroupsRequest::default()),
        local(
            "qiwi.events.v1.EventGroupService/SeekGroup",
            &events::SeekGroupRequest {
                group_id: text("sample"),
                position: end_of_log(events::LogAnchor::Earliest),
            },
        ),
        local(
            "qiwi.events.v1.EventGroupService/PauseGroup",
            &events::PauseGroupRequest { group_id: text("sample") },
        ),
        local(
            "qiwi.events.v1.EventGroupService/ResumeGroup",
            &events::ResumeGroupRequest { group_id: text("sample") },
        ),
        local(
            "qiwi.events.v1.EventGroupService/ListDeadLetters",
            &events::ListDeadLettersRequest { group_id: text("sample"), ..Default::default() },
        ),
        local(
            "qiwi.events.v1.EventGroupService/RedriveDeadLetters",
            &events::RedriveDeadLettersRequest {
                group_id: text("sample"),
                dead_letter_ids: vec![text("0")],
                ..Default::default()
            },
        ),
        local(
            "qiwi.events.v1.EventGroupService/DiscardDeadLetters",
            &events::DiscardDeadLettersRequest {
                group_id: text("sample"),
                dead_letter_ids: vec![text("0")],
                ..Default::default()
            },
        ),
        local(
            "qiwi.events.v1.EventGroupService/DeleteGroup",
            &events::DeleteGroupRequest { group_id: text("sample"), ..Default::default() },
        ),
        local(
            "qiwi.admin.v1.CredentialService/GetCredential",
            &admin::GetCredentialRequest { name: text("main") },
        ),
        local(
            "qiwi.admin.v1.CredentialService/ListCredentials",
            &admin::ListCredentialsRequest::default(),
        ),
    ]
}

/// The request of QIWI's own example of a bill.
pub fn documented_bill() -> p2p::CreateBillRequest {
    let text = str::to_owned;
    p2p::CreateBillRequest {
        bill_id: text("cc961e8d-d4d6-4f02-b737-2297e51fb48e"),
        amount: Some(Money { currency_code: text("RUB"), units: 1, nanos: 0 }),
        // 2025-12-10T09:02:00+03:00
        expire_time: Some(prost_types::Timestamp { seconds: 1_765_346_520, nanos: 0 }),
        customer: Some(p2p::BillCustomer {
            phone: text("78710009999"),
            email: text("test@example.com"),
            account: text("454678"),
        }),
        comment: text("Text comment"),
        pay_sources: vec![p2p::PaySource::Wallet.into()],
        theme_code: text("Yvan-YKaSh"),
        custom_fields: [("yourParam1", "64728940"), ("yourParam2", "order 678")]
            .map(|(name, value)| (text(name), text(value)))
            .into(),
    }
}

/// An end of the event log as a place.
pub fn end_of_log(anchor: events::LogAnchor) -> Option<events::LogPosition> {
    let position = events::log_position::Position::Anchor(anchor.into());
    Some(events::LogPosition { position: Some(position) })
}

/// A member of a group that says nothing more.
fn consume() -> events::ConsumeRequest {
    let open = events::ConsumeOpen {
        group_id: "members".to_owned(),
        terms: Some(events::GroupTerms::default()),
        start: end_of_log(events::LogAnchor::Latest),
        ..Default::default()
    };
    events::ConsumeRequest { request: Some(events::consume_request::Request::Open(open)) }
}

/// An order of a shop.
fn order(id: &str) -> Option<pay::OrderDetails> {
    Some(pay::OrderDetails { order_id: id.to_owned(), ..Default::default() })
}

/// A card that the sandbox takes.
fn card() -> Option<pay::PaymentInstrument> {
    let card = pay::BankCard {
        pan: "4111111111111111".to_owned(),
        expiry_month: 12,
        expiry_year: 2030,
        cvv2: "123".to_owned(),
        holder_name: "CARD HOLDER".to_owned(),
    };
    let instrument = pay::payment_instrument::Instrument::Card(card);
    Some(pay::PaymentInstrument { instrument: Some(instrument) })
}

/// A token of one.
fn token() -> Option<pay::PaymentInstrument> {
    let token = pay::CardToken {
        token: "4d5b363e-a116-35f5-e053-6751080ac38e".to_owned(),
        ..Default::default()
    };
    let instrument = pay::payment_instrument::Instrument::CardToken(token);
    Some(pay::PaymentInstrument { instrument: Some(instrument) })
}

/// The sample of one RPC.
#[track_caller]
pub fn of(rpc: &str) -> Sample {
    all().into_iter().find(|sample| sample.rpc == rpc).unwrap_or_else(|| panic!("no {rpc}"))
}

/// The samples of the RPCs that have a row already; says which have none.
///
/// `tests/policy.rs` fails for as long as any is missing, so nothing is left out in silence.
pub fn served() -> Vec<Sample> {
    let (served, missing): (Vec<_>, Vec<_>) = all().into_iter().partition(|of| is_served(of.rpc));
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|sample| sample.rpc).collect();
        println!("{} RPCs have no row yet and were left out: {names:?}", names.len());
    }
    served
}

/// Whether an RPC has a row; where it has none, a test about it says so and waits.
pub fn is_served(rpc: &str) -> bool {
    let served = operations::find(&format!("/{rpc}")).is_some();
    if !served {
        println!("{rpc} has no row yet; this part waits for it");
    }
    served
}

fn sample(rpc: &'static str, request: &impl Message, reply: &'static str) -> Sample {
    Sample { rpc, request: request.encode_to_vec(), reply: Some(reply) }
}

fn local(rpc: &'static str, request: &impl Message) -> Sample {
    Sample { rpc, request: request.encode_to_vec(), reply: None }
}
