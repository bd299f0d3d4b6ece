//! What callers are told about card payments: `docs/cards.md`, which is generated from the tables of
//! QIWI PAY's types, statuses and codes and from the comments of the contract.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use qiwi_gateway::error::acquiring::{CODES, FIELDS, is_decline};
use qiwi_gateway::error::reason::Reason;
use qiwi_gateway::pay::answer::{Progress, progress};
use qiwi_gateway::pay::transaction::{self, Noted};
use qiwi_gateway::pb::pay::v1 as pb;

use crate::{docs, policy};

const PURCHASES: [pb::TransactionType; 5] = [
    pb::TransactionType::Purchase,
    pb::TransactionType::Authorization,
    pb::TransactionType::Recurring,
    pb::TransactionType::RecurringInitPurchase,
    pb::TransactionType::RecurringInitAuthorization,
];

/// The values of an enum of `transaction.proto` with their comments, in order.
fn values(name: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/qiwi/pay/v1/transaction.proto");
    let proto = std::fs::read_to_string(path).unwrap();
    let body = proto.split(&format!("enum {name} {{\n")).nth(1).unwrap();
    let body = body.split("\n}").next().unwrap();
    let (mut values, mut comment) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim) {
        match line.strip_prefix("// ") {
            Some(words) => comment = format!("{comment} {words}").trim().to_owned(),
            None => {
                let value = line.split(' ').next().unwrap().to_owned();
                values.push((value, std::mem::take(&mut comment)));
            }
        }
    }
    values
}

/// A comment as a sentence of a table: `Means that it failed (1).` becomes `It failed.`, for the
/// number has a column of its own.
fn sentence(comment: &str) -> String {
    let rest = comment.strip_prefix("Means ").unwrap_or(comment);
    let rest = rest.strip_prefix("that ").unwrap_or(rest);
    let rest = (0..10).fold(rest.to_owned(), |rest, of| rest.replace(&format!(" ({of})"), ""));
    let mut letters = rest.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn comment_of(values: &[(String, String)], value: &str) -> String {
    let found = values.iter().find(|(name, _)| name == value);
    sentence(&found.unwrap_or_else(|| panic!("no comment above {value}")).1)
}

/// What QIWI's numbers mean; read as answers are.
fn types() -> Vec<(String, pb::TransactionType)> {
    read(|raw| transaction::kind(raw, &mut Noted::default()))
}

fn statuses() -> Vec<(String, pb::TransactionStatus)> {
    read(|raw| transaction::status(raw, &mut Noted::default()))
}

fn read<T: Default + PartialEq>(one: impl Fn(&str) -> T) -> Vec<(String, T)> {
    let all = (0..20).map(|number: u8| number.to_string());
    all.map(|raw| (raw.clone(), one(&raw))).filter(|(_, of)| *of != T::default()).collect()
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

fn list(items: impl IntoIterator<Item = String>, none: &str) -> String {
    let items: Vec<_> = items.into_iter().collect();
    if items.is_empty() { none.to_owned() } else { items.join(", ") }
}

/// What a part of the page is called.
fn title(category: pb::TransactionErrorCategory) -> &'static str {
    use pb::TransactionErrorCategory as Category;
    match category {
        Category::Unspecified => "",
        Category::Temporary => "Disturbances that pass",
        Category::Request => "The request is wrong",
        Category::Card => "The card is wrong",
        Category::Declined => "Declined",
        Category::DeclinedFinally => "Declined for good",
        Category::ThreeDs => "3-D Secure",
        Category::State => "The transaction does not allow it",
        Category::Configuration => "The site is set up otherwise",
        Category::Duplicate => "Paid already, or being paid",
        Category::TestLimit => "Limits of the test mode",
    }
}

/// What to do about an error, by its category.
fn advice(category: pb::TransactionErrorCategory) -> &'static str {
    use pb::TransactionErrorCategory as Category;
    match category {
        Category::Unspecified => "",
        Category::Temporary => {
            "It says nothing about the money, so the gateway asks for the status of the order before \
             it answers. The error with `paymentState` = `NOT_EXECUTED` says that nothing was \
             executed: the same id with `reattempt` tries once more. Reads answer \
             [`UPSTREAM_ERROR`](errors.md#upstream-error) and may be repeated."
        }
        Category::Request => {
            "Nothing was executed. Mend the request; the refusal is final for its id."
        }
        Category::Card => {
            "Nothing was executed. Ask the customer for another card, or the right details, and take \
             another order id."
        }
        Category::Declined => {
            "With a transaction this is an answer, `OPERATION_STATE_FAILED`, and no error. The customer \
             may try again, perhaps with another card, as another order."
        }
        Category::DeclinedFinally => {
            "As above, but do not try again with this card: payment systems count that."
        }
        Category::ThreeDs => {
            "Nothing was taken. A customer who still wants to pay begins another order."
        }
        Category::State => {
            "Ask `GetStatus`: `next_operations` tells what may follow. Perhaps it was done already, \
             under another id."
        }
        Category::Configuration => {
            "No caller can mend it: whoever runs the gateway looks at the credential, or asks QIWI's \
             support to set the site up otherwise. The refusal is final for its id."
        }
        Category::Duplicate => {
            "The gateway asks for the status of the order before it believes this: the transaction \
             may be its own. `ORDER_ALREADY_PAID` remains when it is not, and `GetStatus` shows it. \
             `OPERATION_IN_PROGRESS` executed nothing; repeat with the same id after the delay."
        }
        Category::TestLimit => "Live sites have no such limit. The day ends at midnight in Moscow.",
    }
}

fn reason_link(reason: &Reason) -> String {
    let anchor = reason.name.to_ascii_lowercase().replace('_', "-");
    format!("[`{}`](errors.md#{anchor})", reason.name)
}

fn page() -> String {
    let mut page = String::from(
        "\
# Card payments: types, statuses, codes

What QIWI PAY's numbers mean, and which operation may follow. How to take cards is in
[callers.md](callers.md#cards), the contract in
[acquiring.proto](../proto/qiwi/pay/v1/acquiring.proto).

## Transaction types

`Transaction.type`; `type_raw` has QIWI's number.

| Type | QIWI's number | Meaning |
|---|---|---|
",
    );
    let comments = values("TransactionType");
    for (raw, kind) in types() {
        let name = kind.as_str_name();
        writeln!(page, "| {} | {raw} | {} |", code(name), comment_of(&comments, name)).unwrap();
    }
    page.push_str(
        "
A capture makes no transaction: it changes the status of the purchase. QIWI's answer to it names either
type of purchase, 1 or 2.

## Statuses, and what may follow

`Transaction.status`; `status_raw` has QIWI's number. `Transaction.next_operations` tells the same for
each transaction. From `TRANSACTION_STATUS_AUTHORIZED` on goods may be delivered.

| Status | QIWI's number | Meaning | May become | The operation that made it | Operations that may follow a purchase |
|---|---|---|---|---|---|
",
    );
    let comments = values("TransactionStatus");
    for (raw, status) in statuses() {
        let one = pb::Transaction { status: status.into(), ..Default::default() };
        let state = match progress(&one) {
            Progress::Open => pb::OperationState::Accepted,
            Progress::Declined => pb::OperationState::Failed,
            Progress::Done => pb::OperationState::Succeeded,
            Progress::Unknown => pb::OperationState::Uncertain,
        };
        let next = transaction::next_operations(PURCHASES[0], status);
        let next = next.iter().map(|of| code(method(*of)));
        let later = transaction::may_become(&raw).iter().map(|of| (*of).to_owned());
        let name = status.as_str_name();
        writeln!(
            page,
            "| {} | {raw} | {} | {} | {} | {} |",
            code(name),
            comment_of(&comments, name),
            list(later, "final"),
            code(state.as_str_name()),
            list(next, "–")
        )
        .unwrap();
    }
    page.push_str(
        "
Purchases are the types ",
    );
    page.push_str(&list(PURCHASES.iter().map(|of| code(of.as_str_name())), ""));
    page.push_str(
        ".
Nothing follows the others: a reversal, a refund and a payout end with themselves. A capture whose answer
still shows the money as held is `OPERATION_STATE_ACCEPTED`. What was given back of a purchase is in
transactions of its own, which `GetStatus` lists with it.

QIWI decides besides: a purchase in one step can be reversed until its day ends in Moscow, and not by
every acquirer; a safe deal that was paid out cannot be refunded.

## Error codes

`TransactionError` of a declined transaction or a refused operation, `upstreamCode` of an error. The
category tells what may be done; a code outside this list has the category
`TRANSACTION_ERROR_CATEGORY_UNSPECIFIED` and QIWI's own text, and a call that is refused with it answers
[`UPSTREAM_DECLINED`](errors.md#upstream-declined).
",
    );
    for (name, comment) in values("TransactionErrorCategory") {
        let category = pb::TransactionErrorCategory::from_str_name(&name).unwrap();
        let mut rows: Vec<_> = CODES.iter().filter(|of| of.category == category).collect();
        rows.sort_by_key(|of| of.number);
        if category == pb::TransactionErrorCategory::Unspecified {
            assert!(rows.is_empty());
            continue;
        }
        write!(page, "\n### {}\n\n`{name}`: ", title(category)).unwrap();
        write!(page, "{}\n\n{}\n\n", sentence(&comment), advice(category)).unwrap();
        page.push_str("| Code | Meaning | A call that is refused with it |\n|---|---|---|\n");
        for row in rows {
            let reason = reason_link(row.reason);
            let told = if is_decline(row.number) {
                format!("{reason}, without a transaction only")
            } else if row.number == 8018 || row.number == 8019 {
                let bug = "[`GATEWAY_PROTOCOL_BUG`](errors.md#gateway-protocol-bug)";
                format!("{reason}; {bug} where QIWI names no field")
            } else {
                reason
            };
            writeln!(page, "| {} | {} | {told} |", row.number, row.meaning).unwrap();
        }
    }
    page.push_str(
        "
QIWI's English and Russian documents disagree about 8006, 8018 and 8019. The Russian text is the newer
one and counts. 8024 stands for 8019 in an English sample and is read as that.

## Fields that QIWI refuses

`BadRequest` names fields as the contract does. What QIWI finds wrong itself (8019) is translated:

| QIWI's parameter | Field |
|---|---|
",
    );
    for (parameter, field) in FIELDS {
        writeln!(page, "| `{parameter}` | `{field}` |").unwrap();
    }
    page.push_str(
        "
Parameters outside this list keep QIWI's name. The description has QIWI's words with longer numbers
hidden.
",
    );
    page
}

/// The method of an operation.
fn method(kind: pb::OperationKind) -> &'static str {
    match kind {
        pb::OperationKind::Capture => "Capture",
        pb::OperationKind::Reverse => "Reverse",
        pb::OperationKind::Refund => "Refund",
        other => panic!("{other:?} follows nothing"),
    }
}

#[test]
fn the_page_of_cards_is_the_tables_of_cards() {
    let page = page();
    for code in CODES {
        let row = format!("\n| {} | ", code.number);
        assert_eq!(page.matches(&row).count(), 1, "{}", code.number);
    }
    docs::check("cards.md", &page);
}

#[test]
fn what_may_follow_is_the_same_for_every_purchase_and_nothing_for_the_rest() {
    let all = types();
    // 0 means nothing and reads like an unknown number.
    assert_eq!(all.len() + 1, values("TransactionType").len());
    assert_eq!(statuses().len() + 1, values("TransactionStatus").len());
    for (_, status) in statuses() {
        let expected = transaction::next_operations(PURCHASES[0], status);
        for (_, kind) in &all {
            let next = transaction::next_operations(*kind, status);
            let is_purchase = PURCHASES.contains(kind);
            assert_eq!(next, if is_purchase { expected } else { &[] }, "{kind:?} {status:?}");
        }
    }
}

#[test]
fn the_comments_of_the_contract_have_the_numbers_of_qiwi() {
    let numbers: Vec<_> = types()
        .into_iter()
        .map(|(raw, of)| (raw, of.as_str_name()))
        .chain(statuses().into_iter().map(|(raw, of)| (raw, of.as_str_name())))
        .collect();
    let comments: Vec<_> =
        ["TransactionType", "TransactionStatus"].into_iter().flat_map(values).collect();
    for (raw, name) in numbers {
        let (_, comment) = comments.iter().find(|(of, _)| of == name).unwrap();
        assert!(comment.contains(&format!("({raw})")), "{name}: {comment}");
    }
}

#[test]
fn fields_that_qiwi_refuses_are_named_as_some_request_has_them() {
    let pool = policy::pool();
    let service = pool.get_service_by_name("qiwi.pay.v1.AcquiringService").unwrap();
    let requests: Vec<_> = service.methods().map(|of| of.input()).collect();
    let mut names = BTreeSet::new();
    for (parameter, path) in FIELDS {
        assert!(names.insert(parameter), "{parameter} twice");
        let exists = requests.iter().any(|request| {
            let mut message = Some(request.clone());
            path.split('.').all(|part| {
                let field = message.as_ref().and_then(|of| of.get_field_by_name(part));
                message = field.as_ref().and_then(|of| of.kind().as_message().cloned());
                field.is_some()
            })
        });
        assert!(exists, "{parameter}: no request has {path}");
    }
}

#[test]
fn every_category_says_what_to_do() {
    for code in CODES {
        assert!(advice(code.category).len() > 20, "{}", code.number);
        assert!(code.meaning.ends_with('.'), "{}", code.number);
    }
}
