//! For every RPC of the contract: a request that passes validation, and an answer QIWI might give.
//!
//! For tests that say something about all methods alike. What each mapping makes of which answer is
//! tested beside the mapping.

use prost::Message;
use qiwi_gateway::operations;
use qiwi_gateway::pb::admin::v1 as admin;
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
        sample(
            "qiwi.wallet.v1.InvoiceService/ListInvoices",
            &wallet::ListInvoicesRequest::default(),
            r#"{"bills":[]}"#,
        ),
        sample(
            "qiwi.wallet.v1.WebhookService/GetActiveWebhook",
            &wallet::GetActiveWebhookRequest::default(),
            r#"{"hookId":"5e2027d1-f5f3-4ad1-b409-058b8b8a8c22","hookType":"WEB","txnType":"BOTH","hookParameters":{"url":"https://shop.example/hook"}}"#,
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
