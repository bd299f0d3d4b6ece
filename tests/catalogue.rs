//! Every operation QIWI documents for wallets, P2P invoices and QIWI PAY, and which method serves each:
//! `docs/operations.md`.
//!
//! The list is transcribed from QIWI's pages, by hand and without a look at the gateway's rows, so
//! that the two check each other: an operation without a method fails here, and so does a method
//! without an operation, or one that sends something else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use qiwi_gateway::operations::{self, Row};
use qiwi_gateway::policy::{Host, Route};
use qiwi_gateway::wallet::payment::DESTINATIONS;

use crate::docs;

/// Operations of the contract that this version does not serve yet. Whoever adds their rows takes
/// them out here; the tests insist.
const NOT_SERVED_YET: &[&str] = &[];

/// Methods behind which there is no operation of QIWI.
const OF_THE_GATEWAY: &[(&str, &str)] = &[
    (
        "GetOperation",
        "A card payment made through the gateway and what became of it; from the ledger",
    ),
    ("GetPayment", "A payment made through the gateway and what became of it; from the ledger"),
    ("ListPayments", "The payments made through the gateway; from the ledger"),
    ("Subscribe", "Events as they come, from any place of the log on"),
    ("Consume", "Events shared among the members of a group, each acknowledged"),
    ("ListEvents", "Events, page by page"),
    ("GetEvent", "One event"),
    ("GetLogInfo", "The event log: its ends, how long events are kept, how complete wallets are"),
    ("CreateGroup", "A group that shares events"),
    ("GetGroup", "A group and how far it is"),
    ("ListGroups", "All groups"),
    ("SeekGroup", "Moves a group to another place of the log"),
    ("PauseGroup", "Stops the deliveries of a group"),
    ("ResumeGroup", "Goes on with them"),
    ("DeleteGroup", "Ends a group"),
    ("ListDeadLetters", "Events that a group could not handle"),
    ("RedriveDeadLetters", "Delivers them once more"),
    ("DiscardDeadLetters", "Lets go of them"),
    ("G-CRD-1", "A credential the gateway holds, and how it fares; never its secret"),
    ("G-CRD-2", "All credentials the gateway holds"),
];

/// Operations that one method serves with others, or none: their page of QIWI's documents. The
/// pages of all others stand in the comments of the contract.
const PAGES: &[(&str, &str)] = &[
    ("W-PAY-4", "QIWI Wallet API, \"QIWI wallet transfer\""),
    ("W-PAY-5", "QIWI Wallet API, \"Conversion\""),
    ("W-PAY-7", "QIWI Wallet API, \"Mobile network payment\""),
    ("W-PAY-12", "QIWI Wallet API, \"Card money transfer\""),
    ("W-PAY-13", "QIWI Wallet API, \"Card money transfer\""),
    ("W-PAY-14", "QIWI Wallet API, \"Transfers to cards of Kazakhstan\" (in Russian only)"),
    ("W-PAY-15", "QIWI Wallet API, \"Transfers to cards of Kazakhstan\" (in Russian only)"),
    ("W-PAY-16", "QIWI Wallet API, \"Bank money transfer\", card number"),
    ("W-PAY-17", "QIWI Wallet API, \"Bank money transfer\", account"),
    ("W-PAY-18", "QIWI Wallet API, \"Other services\""),
    ("W-PAY-19", "QIWI Wallet API, \"Payment by any requisites\""),
    ("W-INV-10", "P2P invoices of QIWI, \"Invoice payment notifications\""),
    ("W-HK-7", "QIWI Wallet API, \"Callbacks\""),
    ("P-CBK-1", "QIWI PAY, \"Notifications\""),
];

/// Built in the gateway.
const LOCAL: &str = "local";
/// Sent by QIWI.
const INBOUND: &str = "inbound";
/// The one address of QIWI PAY's server interface; the operation stands in the body.
const DIRECT: &str = "POST https://acquiring.qiwi.com/merchant/direct";

/// Every operation: its number, what it does, and the request. `local` is built without asking
/// QIWI, `inbound` is a request QIWI sends. Hosts are named unless it is `edge.qiwi.com`.
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("W-PRF-1", "Profile of the wallet", "GET /person-profile/v1/profile/current"),
    ("W-IDN-1", "Identify the wallet", "POST /identification/v1/persons/{wallet}/identification"),
    ("W-IDN-2", "Identification data", "GET /identification/v1/persons/{wallet}/identification"),
    (
        "W-IDN-3",
        "Ask for a downgrade of the identification",
        "POST /qw-ident-downgrade-api/v1/persons/{wallet}/identification-downgrade/operations",
    ),
    (
        "W-IDN-4",
        "Confirm the downgrade",
        "PUT /qw-ident-downgrade-api/v1/persons/{wallet}/identification-downgrade/operations/{downgradeOperationId}/confirm",
    ),
    (
        "W-IDN-5",
        "Status of the downgrade",
        "GET /qw-ident-downgrade-api/v1/persons/{wallet}/identification-downgrade/operations/{downgradeOperationId}",
    ),
    ("W-LIM-1", "Limits of the wallet", "GET /qw-limits/v1/persons/{personId}/actual-limits"),
    (
        "W-LIM-2",
        "Payments to persons: how many are left",
        "GET /qw-limits/v1/persons/{personId}/p2p-payment-count-limit",
    ),
    (
        "W-RST-1",
        "Restrictions of outgoing payments",
        "GET /person-profile/v1/persons/{personId}/status/restrictions",
    ),
    ("W-NIK-1", "Nickname of the wallet", "GET /qw-nicknames/v1/persons/{wallet}/nickname"),
    ("W-HIS-1", "Payment history", "GET /payment-history/v2/persons/{wallet}/payments"),
    (
        "W-STA-1",
        "Totals of a time range",
        "GET /payment-history/v2/persons/{wallet}/payments/total",
    ),
    ("W-TXN-1", "One transaction", "GET /payment-history/v2/transactions/{transactionId}"),
    (
        "W-RCP-1",
        "Receipt as a file",
        "GET /payment-history/v1/transactions/{transactionId}/cheque/file",
    ),
    (
        "W-RCP-2",
        "Receipt by e-mail",
        "POST /payment-history/v1/transactions/{transactionId}/cheque/send",
    ),
    ("W-BAL-1", "Balances", "GET /funding-sources/v2/persons/{personId}/accounts"),
    ("W-BAL-2", "Create a balance", "POST /funding-sources/v2/persons/{personId}/accounts"),
    (
        "W-BAL-3",
        "Balances that can be created",
        "GET /funding-sources/v2/persons/{personId}/accounts/offer",
    ),
    (
        "W-BAL-4",
        "Choose the default balance",
        "PATCH /funding-sources/v2/persons/{personId}/accounts/{accountAlias}",
    ),
    ("W-MST-1", "Buy the Master package", "POST /sinap/api/v2/terms/28004/payments"),
    ("W-MST-2", "Order a card", "POST /cards/v2/persons/{wallet}/orders"),
    ("W-MST-3", "Confirm a card order", "PUT /cards/v2/persons/{wallet}/orders/{orderId}/submit"),
    ("W-MST-4", "Pay for a card", "POST /sinap/api/v2/terms/32064/payments"),
    ("W-MST-5", "Cards", "GET /cards/v1/cards"),
    (
        "W-MST-6",
        "Statement of a card",
        "GET /payment-history/v1/persons/{wallet}/cards/{cardId}/statement",
    ),
    ("W-MST-7", "Block a card", "PUT /cards/v2/persons/{wallet}/cards/{cardId}/block"),
    ("W-MST-8", "Unblock a card", "PUT /cards/v2/persons/{wallet}/cards/{cardId}/unblock"),
    ("W-MST-9", "Number and code of a card", "PUT /cards/v1/cards/{cardId}/details"),
    ("W-MST-10", "Rename a card", "PUT /cards/v1/cards/{cardId}/alias"),
    ("W-PAY-1", "Commission of a payment", "POST /sinap/providers/{id}/onlineCommission"),
    ("W-PAY-2", "Public tariff of a provider (legacy)", "GET /sinap/providers/{id}/form"),
    ("W-PAY-3", "Link to a payment form", "local"),
    ("W-PAY-4", "Pay to a QIWI wallet", "POST /sinap/api/v2/terms/99/payments"),
    ("W-PAY-5", "Buy another currency", "POST /sinap/api/v2/terms/1099/payments"),
    ("W-PAY-6", "Exchange rates", "GET /sinap/crossRates"),
    ("W-PAY-7", "Top up a mobile phone", "POST /sinap/api/v2/terms/{operatorId}/payments"),
    ("W-PAY-8", "Find a mobile operator", "GET /qw-mobile-providers-resolver/v1/providers"),
    ("W-PAY-9", "Find a mobile operator (legacy)", "POST https://qiwi.com/mobile/detect.action"),
    (
        "W-PAY-10",
        "Find the provider of a card",
        "POST /sinap/api/refs/bd6fb248-2bdf-49ed-bcb2-9b0a789cfde8/containers",
    ),
    (
        "W-PAY-11",
        "Find the provider of a card (legacy)",
        "POST https://qiwi.com/card/detect.action",
    ),
    ("W-PAY-12", "Pay to a Russian card", "POST /sinap/api/v2/terms/{id}/payments"),
    ("W-PAY-13", "Pay to a foreign card", "POST /sinap/api/v2/terms/{id}/payments"),
    (
        "W-PAY-14",
        "Pay to a card of Kazakhstan: preparation",
        "POST /sinap/api/refs/a42ebc79-0584-4271-b8a0-15cb4ea8b340/containers",
    ),
    ("W-PAY-15", "Pay to a card of Kazakhstan: transfer", "POST /sinap/api/terms/27292/payments"),
    ("W-PAY-16", "Pay to a card through its bank", "POST /sinap/api/v2/terms/{bankId}/payments"),
    ("W-PAY-17", "Pay to a bank account or contract", "POST /sinap/api/v2/terms/{bankId}/payments"),
    ("W-PAY-18", "Pay for other services", "POST /sinap/api/v2/terms/{providerId}/payments"),
    ("W-PAY-19", "Pay by bank requisites", "POST /sinap/api/v2/terms/1717/payments"),
    ("W-PAY-20", "Search providers", "GET /search/v1/search"),
    ("W-PAY-21", "Search providers (legacy)", "POST https://qiwi.com/search/results/json.action"),
    ("W-INV-1", "Make a pair of P2P keys", "POST /widgets-api/api/p2p/protected/keys/create"),
    ("W-INV-2", "Issue a bill", "PUT https://api.qiwi.com/partner/bill/v1/bills/{billId}"),
    ("W-INV-3", "Status of a bill", "GET https://api.qiwi.com/partner/bill/v1/bills/{billId}"),
    ("W-INV-4", "Cancel a bill", "POST https://api.qiwi.com/partner/bill/v1/bills/{billId}/reject"),
    ("W-INV-5", "Unpaid invoices of the wallet", "GET /checkout-api/api/bill/search"),
    ("W-INV-6", "Pay an invoice", "POST /checkout-api/invoice/pay/wallet"),
    ("W-INV-7", "Reject an invoice", "POST /checkout-api/api/bill/reject"),
    ("W-INV-8", "Link to a bill form", "local"),
    ("W-INV-9", "Extend the pay link of a bill", "local"),
    ("W-INV-10", "Notification about a bill", "inbound"),
    ("W-HK-1", "Register a webhook", "PUT /payment-notifier/v1/hooks"),
    ("W-HK-2", "Delete the webhook", "DELETE /payment-notifier/v1/hooks/{hookId}"),
    ("W-HK-3", "Key of the webhook", "GET /payment-notifier/v1/hooks/{hookId}/key"),
    ("W-HK-4", "New key of the webhook", "POST /payment-notifier/v1/hooks/{hookId}/newkey"),
    ("W-HK-5", "Active webhook", "GET /payment-notifier/v1/hooks/active"),
    ("W-HK-6", "Send a test notification", "GET /payment-notifier/v1/hooks/test"),
    ("W-HK-7", "Notification about a payment", "inbound"),
    ("P-API-1", "Payment in one step (`sale`, opcode 1)", DIRECT),
    ("P-API-2", "End of 3-D Secure (`finish_3ds`, 2)", DIRECT),
    ("P-API-3", "Payment in two steps, the first (`auth`, 3)", DIRECT),
    ("P-API-5", "Payment in two steps, the second (`capture`, 5)", DIRECT),
    ("P-API-6", "Reversal (`reversal`, 6)", DIRECT),
    ("P-API-7", "Refund (`refund`, 7)", DIRECT),
    ("P-API-10", "Recurring payment in one step (`recurring_init_sale`, 10)", DIRECT),
    ("P-API-11", "Recurring payment in two steps (`recurring_init_auth`, 11)", DIRECT),
    ("P-API-20", "Payout to a card (`payout`, 20)", DIRECT),
    ("P-API-30", "Status of an order (`status`, 30)", DIRECT),
    ("P-API-40", "Cards behind a token (`get_cards_by_token`, 40)", DIRECT),
    ("P-API-51", "Payment in an app, the first step (`mobile_auth_init`, 51)", DIRECT),
    ("P-API-52", "Payment in an app, the card (`mobile_auth_card_data`, 52)", DIRECT),
    ("P-CBK-1", "Notification of a payment", INBOUND),
    ("P-WPF-1", "Form that leads to the payment page", "local"),
    ("P-3DS-1", "Form that leads to the bank of the card", "local"),
];

/// Documented until 2022 only.
const LEGACY: &[&str] =
    &["W-PAY-2", "W-PAY-9", "W-PAY-11", "W-PAY-21", "P-API-10", "P-API-11", "P-API-51", "P-API-52"];

const CHAPTERS: &[(&str, &str)] = &[
    ("W-PRF", "Profile"),
    ("W-IDN", "Identification"),
    ("W-LIM", "Limits"),
    ("W-RST", "Restrictions"),
    ("W-NIK", "Nickname"),
    ("W-HIS", "Payment history"),
    ("W-STA", "Statistics"),
    ("W-TXN", "Transactions"),
    ("W-RCP", "Receipts"),
    ("W-BAL", "Balances"),
    ("W-MST", "Master package and cards"),
    ("W-PAY", "Payments"),
    ("W-INV", "Invoices and P2P bills"),
    ("W-HK", "Webhooks"),
    ("P-API", "QIWI PAY: server interface"),
    ("P-CBK", "QIWI PAY: notifications"),
    ("P-WPF", "QIWI PAY: payment form"),
    ("P-3DS", "QIWI PAY: 3-D Secure"),
];

fn rows() -> BTreeMap<&'static str, &'static Row> {
    operations::all().iter().map(|row| (row.policy.operation, row)).collect()
}

/// Where `CreatePayment` takes what an operation needs.
fn destination(operation: &str) -> Option<&'static str> {
    DESTINATIONS.iter().find(|(of, _)| *of == operation).map(|(_, field)| *field)
}

/// The row that serves an operation, if any.
fn row(operation: &str) -> Option<&'static Row> {
    let rows = rows();
    let of = if destination(operation).is_some() { "W-PAY-4" } else { operation };
    rows.get(of).copied()
}

/// What the comments of the contract say about a method: its proto file, and QIWI's page.
struct Commented {
    file: String,
    page: Option<String>,
}

/// Every method of the contract by its full name.
fn commented() -> BTreeMap<String, Commented> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join("proto"), &mut files);
    let mut found = BTreeMap::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let (mut package, mut service, mut comment) = ("", "", String::new());
        for line in text.lines().map(str::trim) {
            if let Some(more) = line.strip_prefix("//") {
                comment = format!("{comment} {}", more.trim());
                continue;
            }
            let words: Vec<_> = line.split([' ', ';', '(']).collect();
            match words[..] {
                ["package", name, ..] => package = name,
                ["service", name, ..] => service = name,
                ["rpc", name, ..] => {
                    let page = comment.split_once("Source: ").map(|(_, page)| page);
                    let page = page.map(|page| page.trim_end_matches('.').to_owned());
                    let name = format!("{package}.{service}/{name}");
                    found.insert(name, Commented { file: file.clone(), page });
                }
                _ => {}
            }
            comment.clear();
        }
    }
    found
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
}

/// The end of a method's name, linked to its proto.
fn link(row: &Row, commented: &BTreeMap<String, Commented>) -> String {
    let file = &commented[row.policy.rpc].file;
    let (_, service) = row.service().rsplit_once('.').unwrap();
    format!("[`{service}.{}`](../{file})", row.name())
}

fn served_by(operation: &str, commented: &BTreeMap<String, Commented>) -> String {
    let Some(row) = row(operation) else {
        return match NOT_SERVED_YET.contains(&operation) {
            true => "in the contract, not served yet".to_owned(),
            false => "arrives as an event".to_owned(),
        };
    };
    let mut text = link(row, commented);
    if let Some(field) = destination(operation) {
        write!(text, " with `{field}`").unwrap();
    }
    if row.policy.legacy {
        text.push_str(", needs `upstream.legacy_operations`");
    }
    text
}

/// What a repeat would do.
fn kind(operation: &str, request: &str) -> &'static str {
    match row(operation) {
        _ if request == LOCAL || request == INBOUND => "",
        None => "",
        // A preparation moves nothing; it belongs to a payment here.
        Some(row) => row.policy.class.as_str(),
    }
}

fn page() -> String {
    let commented = commented();
    let mut page = String::from(
        "\
# QIWI's operations and the methods that serve them

Every operation that QIWI documents for wallets, P2P invoices and QIWI PAY. The ids are the
gateway's own and stay. Requests go to `edge.qiwi.com` unless they name another host; `local`
is built without asking QIWI, `inbound` is a request that QIWI sends.

The kind says what a repeat does: a `read` changes nothing, a `write` ends in the same state, `once`
has an effect of its own each time, `money` pays and is made at most once for each id. See
[callers.md](callers.md).

A payment that no form of `CreatePayment` fits goes to `payment.provider`, which takes any provider
and its fields by QIWI's names.
",
    );
    for (prefix, title) in CHAPTERS {
        write!(page, "\n## {title}\n\n").unwrap();
        page.push_str("| Id | Operation | QIWI's request | Kind | Method | QIWI's page |\n");
        page.push_str("|---|---|---|---|---|---|\n");
        let of = OPERATIONS.iter().filter(|(id, ..)| id.rsplit_once('-').unwrap().0 == *prefix);
        for (id, what, request) in of {
            let stated = PAGES.iter().find(|(of, _)| of == id).map(|(_, page)| (*page).to_owned());
            let told = || commented[row(id)?.policy.rpc].page.clone();
            writeln!(
                page,
                "| {id} | {what} | `{request}` | {} | {} | {} |",
                kind(id, request),
                served_by(id, &commented),
                stated.or_else(told).unwrap_or_default(),
            )
            .unwrap();
        }
    }
    page.push_str("\n## The gateway itself\n\n| Method | What it answers |\n|---|---|\n");
    for (operation, what) in OF_THE_GATEWAY {
        let row = rows()[operation];
        writeln!(page, "| {} | {what} |", link(row, &commented)).unwrap();
    }
    page
}

#[test]
fn the_page_of_operations_is_the_catalogue_and_the_table_of_methods() {
    let page = page();
    for (id, ..) in OPERATIONS {
        assert!(page.contains(&format!("\n| {id} |")), "{id} belongs to no chapter");
    }
    docs::check("operations.md", &page);
}

#[test]
fn the_catalogue_has_every_operation_once() {
    let ids: BTreeSet<_> = OPERATIONS.iter().map(|(id, ..)| *id).collect();
    // QIWI's pages of wallets and bills have 67, those of QIWI PAY 16; four of each are documented no
    // longer.
    let of_wallets = ids.iter().filter(|id| id.starts_with("W-")).count();
    let (all, of_pay) = (OPERATIONS.len(), ids.len() - of_wallets);
    assert_eq!((all, of_wallets, of_pay, LEGACY.len()), (ids.len(), 67, 16, 8));
    for list in [LEGACY, NOT_SERVED_YET] {
        let unknown: Vec<_> = list.iter().filter(|id| !ids.contains(*id)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    for (id, ..) in PAGES {
        assert!(ids.contains(id), "{id}");
    }
}

#[test]
fn every_operation_has_a_method() {
    let commented = commented();
    let mut missing = Vec::new();
    for (id, what, request) in OPERATIONS {
        let exempt = *request == INBOUND || NOT_SERVED_YET.contains(id);
        match row(id) {
            None if !exempt => missing.push(format!("{id} {what}")),
            Some(row) => {
                assert!(!exempt, "{id} is served by {}: take it out of the list", row.policy.rpc);
                let known = PAGES.iter().any(|(of, _)| of == id);
                let told = commented[row.policy.rpc].page.is_some();
                assert!(known || told, "{}: no page of QIWI is named", row.policy.rpc);
            }
            None => {}
        }
    }
    assert!(missing.is_empty(), "operations without a method: {missing:#?}");
}

#[test]
fn every_method_has_an_operation() {
    let own: BTreeSet<_> = OF_THE_GATEWAY.iter().map(|(of, _)| *of).collect();
    let ids: BTreeSet<_> = OPERATIONS.iter().map(|(id, ..)| *id).collect();
    for (operation, row) in rows() {
        assert!(
            ids.contains(operation) != own.contains(operation),
            "{} is neither in the catalogue nor the gateway's own: {operation}",
            row.policy.rpc
        );
        if own.contains(operation) {
            assert!(row.policy.route.is_none(), "{} asks QIWI", row.policy.rpc);
        }
    }
    for (operation, field) in DESTINATIONS {
        assert!(ids.contains(operation), "{field} is {operation}");
    }
}

#[test]
fn methods_send_what_qiwis_pages_say() {
    for (id, _, request) in OPERATIONS {
        // The forms of `CreatePayment` go their own ways, as the tests of each show.
        if destination(id).is_some_and(|_| *id != "W-PAY-4") {
            continue;
        }
        let Some(row) = row(id) else { continue };
        match &row.policy.route {
            None => assert_eq!(*request, LOCAL, "{id}: {} asks nobody", row.policy.rpc),
            Some(route) => assert!(
                sends(route, request),
                "{id}: {} sends {:?} {}, and QIWI's page says {request}",
                row.policy.rpc,
                route.verb,
                route.path
            ),
        }
        let legacy = LEGACY.contains(id);
        assert!(legacy || !row.policy.legacy, "{id}");
    }
}

/// Whether a route is a request of QIWI's pages. A part in braces on our side stands for any.
fn sends(route: &Route, request: &str) -> bool {
    let (verb, address) = request.split_once(' ').unwrap_or((request, ""));
    let hosts = [(Host::Site, "https://qiwi.com"), (Host::Bill, "https://api.qiwi.com")];
    let host = hosts.iter().find(|(of, _)| *of == route.host).map_or("", |(_, name)| *name);
    if route.host == Host::Direct {
        return request == DIRECT && route.verb.as_str() == verb && route.path.is_empty();
    }
    let path = route.path.split('?').next().unwrap();
    let Some(documented) = address.strip_prefix(host).filter(|rest| rest.starts_with('/')) else {
        return false;
    };
    let same = |(ours, theirs): (&str, &str)| {
        if ours.starts_with('{') { !theirs.is_empty() } else { ours == theirs }
    };
    verb == route.verb.as_str()
        && path.split('/').count() == documented.split('/').count()
        && path.split('/').zip(documented.split('/')).all(same)
}
