//! QIWI's own examples, byte for byte through the whole gateway: every value they hold is in the
//! reply a gRPC client decodes. What each value becomes is tested beside the mappings.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, ReflectMessage as _, Value};
use qiwi_gateway::config::Config;
use qiwi_gateway::money::{Number, currency_code};

use crate::support::{Answer, Ask, Fake, Setup, opening, samples};

struct Document {
    product: &'static str,
    rpc: &'static str,
    file: &'static str,
    /// Values the contract says otherwise, each with the reason.
    otherwise: &'static [(&'static str, &'static str)],
}

const fn document(rpc: &'static str, file: &'static str) -> Document {
    Document { product: "wallet", rpc, file, otherwise: &[] }
}

const fn bill(rpc: &'static str, file: &'static str) -> Document {
    Document { product: "p2p", rpc, file, otherwise: &[] }
}

const DOCUMENTS: &[Document] = &[
    document("ProfileService/GetProfile", "profile/current"),
    document("ProfileService/GetNickname", "profile/nickname"),
    document("ProfileService/ListRestrictions", "profile/restrictions"),
    document("IdentificationService/GetIdentification", "identification/data"),
    document("IdentificationService/GetDowngradeOperation", "identification/downgrade"),
    document("LimitService/ListLimits", "limit/levels"),
    document("LimitService/GetP2pPaymentCountLimit", "limit/p2p_count"),
    document("BalanceService/ListBalances", "balance/list"),
    document("BalanceService/ListBalanceOffers", "balance/offers"),
    Document {
        product: "wallet",
        rpc: "HistoryService/ListTransactions",
        file: "history/payments",
        otherwise: &[
            ("9001", "where the next page begins is sealed in the page token"),
            ("2017-01-31T15:24:10+03:00", "where the next page begins is sealed in the page token"),
        ],
    },
    document("HistoryService/GetTransaction", "history/transaction"),
    document("HistoryService/GetTransaction", "history/transaction_extras"),
    document("HistoryService/GetStatistics", "history/totals"),
    document("HistoryService/GetStatistics", "history/totals_of_two_currencies"),
    document("PaymentService/QuoteCommission", "payment/quote"),
    document("PaymentService/ListExchangeRates", "payment/rates"),
    document("ProviderService/SearchProviders", "provider/search_en"),
    document("ProviderService/SearchProviders", "provider/search_ru"),
    document("ProviderService/ResolveMobileProvider", "provider/mobile"),
    document("ProviderService/ResolveCardProvider", "provider/card"),
    document("ProviderService/GetTariff", "provider/tariff"),
    document("InvoiceService/ListInvoices", "invoice/bills"),
    document("InvoiceService/CreateP2pKeys", "invoice/keys"),
    document("WebhookService/GetActiveWebhook", "webhook/active"),
    document("IdentificationService/CreateIdentification", "identification/create"),
    document("IdentificationService/CreateDowngradeOperation", "identification/downgrade_created"),
    document(
        "IdentificationService/ConfirmDowngradeOperation",
        "identification/downgrade_confirmed",
    ),
    document("WebhookService/RegisterWebhook", "webhook/registered"),
    Document {
        product: "wallet",
        rpc: "WebhookService/DeleteWebhook",
        file: "webhook/deleted",
        otherwise: &[("Hook deleted", "success says as much")],
    },
    Document {
        product: "wallet",
        rpc: "WebhookService/SendTestNotification",
        file: "webhook/test",
        otherwise: &[("Webhook sent", "success says as much")],
    },
    Document {
        product: "wallet",
        rpc: "WebhookService/GetWebhookKey",
        file: "webhook/key",
        otherwise: &[("L8UVF3JkLVUr6r70LiE0A9/5WoGGwWKG2pI/e+l/9fs=", "told on demand only")],
    },
    Document {
        product: "wallet",
        rpc: "WebhookService/RotateWebhookKey",
        file: "webhook/new_key",
        otherwise: &[("OikS4/CcIbSf+yYGnLbnOige8RGoYmGxs/LNMwkJy7Q=", "told on demand only")],
    },
    Document {
        product: "wallet",
        rpc: "ProviderService/DetectMobileProvider",
        file: "provider/detected_operator",
        otherwise: &[("0", "success says as much"), ("NORMAL", "success says as much")],
    },
    Document {
        product: "wallet",
        rpc: "ProviderService/DetectCardProvider",
        file: "provider/detected_card",
        otherwise: &[("0", "success says as much"), ("NORMAL", "success says as much")],
    },
    document("ProviderService/SearchProvidersLegacy", "provider/search_legacy"),
    document("MasterService/ListCards", "master/cards"),
    document("MasterService/CreateCardOrder", "master/order"),
    document("MasterService/ConfirmCardOrder", "master/order_free"),
    document("MasterService/ConfirmCardOrder", "master/order_paid"),
    Document {
        product: "wallet",
        rpc: "MasterService/UnblockCard",
        file: "master/unblock",
        otherwise: &[("OK", "anything else is an error")],
    },
    Document {
        product: "wallet",
        rpc: "MasterService/RenameCard",
        file: "master/rename",
        otherwise: &[("OK", "anything else is an error")],
    },
    Document {
        product: "wallet",
        rpc: "MasterService/GetCardDetails",
        file: "master/details",
        otherwise: &[("OK", "anything else is an error")],
    },
    bill("BillService/CreateBill", "bill/issued"),
    bill("BillService/GetBill", "bill/status"),
    bill("BillService/CancelBill", "bill/cancelled"),
];

#[tokio::test]
async fn every_value_of_the_documents_is_in_the_reply() {
    let pool = DescriptorPool::decode(qiwi_gateway::pb::FILE_DESCRIPTOR_SET).unwrap();
    let fake = Fake::always(Answer::json("{}")).await;
    // Two examples of one method must not answer for each other.
    let unkept = |config: &mut Config| {
        config.cache.enabled = false;
        config.limit.shadow = true;
    };
    let gateway = Setup::new(&fake).set(unkept).start().await;
    let channel = gateway.channel().await;
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let Document { product, file, .. } = document;
        let rpc = format!("qiwi.{product}.v1.{}", document.rpc);
        let path = format!("{}/tests/fixtures/{product}/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        fake.now_always(Answer::json(&bytes));
        let reply = Ask::with(opening(&rpc)).raw(&channel, &rpc, request(&rpc)).await;
        let reply = reply.unwrap_or_else(|status| panic!("{}: {status:?}", document.file));
        let reply = reply.into_inner();
        let (service, method) = rpc.split_once('/').unwrap();
        let service = pool.get_service_by_name(service).unwrap();
        let method = service.methods().find(|of| of.name() == method).unwrap();
        let message = DynamicMessage::decode(method.output(), reply).unwrap();
        let mut told = BTreeSet::new();
        collect(&message, &mut told);
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let mut leaves = Vec::new();
        walk(&json, &mut leaves);
        assert!(!leaves.is_empty(), "{} holds nothing", document.file);
        for leaf in leaves {
            let excused = document.otherwise.iter().any(|(value, _)| *value == leaf);
            if !excused && !is_told(&leaf, &told) {
                missing.push(format!("{}: {leaf}", document.file));
            }
        }
    }
    assert!(missing.is_empty(), "not in the reply:\n{}", missing.join("\n"));
}

/// A request of this method that the documents' answer fits: a bill is compared with its request.
fn request(rpc: &str) -> Vec<u8> {
    match rpc {
        "qiwi.p2p.v1.BillService/CreateBill" => samples::documented_bill().encode_to_vec(),
        _ => samples::of(rpc).request,
    }
}

/// Texts and numbers of a JSON value, as written.
fn walk(value: &serde_json::Value, leaves: &mut Vec<String>) {
    match value {
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
        serde_json::Value::Number(number) => leaves.push(number.to_string()),
        serde_json::Value::String(text) => leaves.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, leaves)),
        serde_json::Value::Object(members) => {
            members.values().for_each(|member| walk(member, leaves));
        }
    }
}

/// Texts and numbers of a message; amounts as decimal texts.
fn collect(message: &DynamicMessage, told: &mut BTreeSet<String>) {
    if message.descriptor().full_name() == "qiwi.type.v1.Money" {
        let part = |name: &str| message.get_field_by_name(name).unwrap().into_owned();
        let units = part("units").as_i64().unwrap();
        let nanos = part("nanos").as_i32().unwrap();
        told.insert(normal(&format!("{units}.{nanos:09}")));
        told.insert(part("currency_code").as_str().unwrap().to_owned());
        return;
    }
    for (field, value) in message.fields() {
        if matches!(field.kind(), Kind::Enum(_)) {
            continue;
        }
        gather(value, told);
    }
}

fn gather(value: &Value, told: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            told.insert(text.clone());
        }
        Value::I32(number) => {
            told.insert(number.to_string());
        }
        Value::I64(number) => {
            told.insert(number.to_string());
        }
        Value::Message(message) => collect(message, told),
        Value::List(items) => items.iter().for_each(|item| gather(item, told)),
        Value::Map(members) => members.values().for_each(|member| gather(member, told)),
        _ => {}
    }
}

/// Whether a value is told: as it is, as a currency's code, as the same number, or inside a text
/// that passes raw JSON on.
fn is_told(leaf: &str, told: &BTreeSet<String>) -> bool {
    leaf.is_empty()
        || told.contains(leaf)
        || told.contains(&currency_code(leaf))
        || (Number::parse(leaf).is_some()
            && told
                .iter()
                .any(|text| Number::parse(text.as_str()).is_some() && normal(text) == normal(leaf)))
        || told.iter().any(|text| text.starts_with(['{', '[']) && text.contains(leaf))
}

/// A decimal text without zeros at its end.
fn normal(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, fraction)) => match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        },
        None => text.to_owned(),
    }
}
