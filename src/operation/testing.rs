//! What the tests of area files share: runs `ask` and `answer` the way the gateway does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;

use super::{Asking, Call, Operation, Seen};
use crate::credentials::{Pepper, Wallet};
use crate::error::Error;
use crate::page::PageTokens;
use crate::policy::Policy;

/// The wallet every call of these tests is about; the number of the documents' examples.
pub(crate) const WALLET: &str = "79112223344";
/// When QIWI answers in these tests.
pub(crate) const NOW: prost_types::Timestamp =
    prost_types::Timestamp { seconds: 1_600_000_000, nanos: 0 };

static PAGES: LazyLock<PageTokens> =
    LazyLock::new(|| PageTokens::new(&[[7; 32]], Duration::from_secs(3600)));

/// Page tokens that open what [`map`] sealed.
pub(crate) fn pages() -> &'static PageTokens {
    &PAGES
}

/// The pepper of fingerprints in these tests.
pub(crate) fn pepper() -> &'static Pepper {
    static PEPPER: LazyLock<Pepper> = LazyLock::new(|| Pepper::new(b"pepper of the tests"));
    &PEPPER
}

/// [`WALLET`], parsed.
pub(crate) fn wallet() -> Wallet {
    Wallet::parse(WALLET).unwrap()
}

/// The text of `tests/fixtures/wallet/<name>.json`.
pub(crate) fn fixture(name: &str) -> String {
    fixture_of("wallet", name)
}

/// The text of `tests/fixtures/<product>/<name>.json`.
pub(crate) fn fixture_of(product: &str, name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(product);
    let path = root.join(format!("{name}.json"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}.json: {error}"))
}

/// The HTTP request a call becomes.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    /// `GET /path?query`
    pub line: String,
    /// The body as JSON, a form as text; `Null` when there is none.
    pub body: Value,
}

/// What leaves for a request, or why nothing does.
pub(crate) fn ask<O: Operation>(request: &O) -> Result<Request, Error> {
    let wallet = wallet();
    let call = request.ask(&Asking { wallet: Some(&wallet), merchant: None, pages: pages() })?;
    Ok(rendered(O::POLICY, &call))
}

/// The HTTP request of a call that was built already, such as those of [`Operation::missing`].
pub(crate) fn rendered(policy: &Policy, call: &Call) -> Request {
    let route = policy.route.as_ref().expect("an upstream method has a route");
    let target = call.target(route, Some(&wallet())).expect("the template is filled");
    let body = call.body().map(|(body, kind)| match *kind {
        crate::policy::FORM => String::from_utf8(body.to_vec()).unwrap().into(),
        _ => serde_json::from_slice(body).unwrap(),
    });
    Request { line: format!("{} {target}", route.verb.as_str()), body: body.unwrap_or(Value::Null) }
}

/// The fields an error names.
#[track_caller]
pub(crate) fn refused<O: Operation>(request: &O) -> (&'static str, Vec<String>) {
    use tonic_types::StatusExt as _;
    let error = ask(request).expect_err("the request breaks a rule");
    let details = error.to_status(&crate::error::About::default()).get_error_details();
    let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    (error.reason().name, fields.into_iter().map(|violation| violation.field).collect())
}

/// A mapped answer and what was noted on the way.
#[derive(Debug)]
pub(crate) struct Mapped<R> {
    /// The message the caller gets.
    pub response: R,
    /// As [`Seen::unknown_enums`].
    pub unknown_enums: Vec<&'static str>,
    /// As [`Seen::unreadable_times`].
    pub unreadable_times: Vec<&'static str>,
    /// Paths of JSON members the mapping does not know.
    pub ignored: Vec<String>,
}

/// Maps an answer; `Err` tells why it cannot be read.
pub(crate) fn try_map<O: Operation>(
    request: &O,
    json: &str,
) -> Result<Mapped<O::Response>, String> {
    let wallet = wallet();
    let mut ignored = Vec::new();
    let written = O::POLICY.class != crate::policy::Class::Read;
    let json = if written && json.is_empty() { "null" } else { json };
    let mut deserializer = serde_json::Deserializer::from_slice(json.as_bytes());
    let mut wrapped = |path: serde_ignored::Path<'_>| ignored.push(path.to_string());
    let deserializer = serde_ignored::Deserializer::new(&mut deserializer, &mut wrapped);
    let reply = O::Reply::deserialize(deserializer).map_err(|error| error.to_string())?;
    if let Some(error) = request.refusal(&reply) {
        return Err(error.to_string());
    }
    let mut seen = Seen::new(NOW, Some(&wallet), pages(), pepper());
    let response = request.answer(reply, &mut seen).map_err(|error| error.to_string())?;
    let Seen { unknown_enums, unreadable_times, .. } = seen;
    Ok(Mapped { response, unknown_enums, unreadable_times, ignored })
}

/// The reason and code of an answer that is a refusal though it succeeds by its status.
#[track_caller]
pub(crate) fn rejected<O: Operation>(
    request: &O,
    json: &str,
) -> Option<(&'static str, Option<String>)> {
    let reply: O::Reply<'_> = serde_json::from_str(json).expect("the answer can be read");
    let error = request.refusal(&reply)?;
    Some((error.reason().name, error.code_of_upstream().map(str::to_owned)))
}

/// Maps an answer that can be read.
#[track_caller]
pub(crate) fn map<O: Operation>(request: &O, json: &str) -> Mapped<O::Response> {
    match try_map(request, json) {
        Ok(mapped) => mapped,
        Err(error) => panic!("the answer cannot be read: {error}"),
    }
}

/// Maps an answer of the documents: every member known, every enum value and time readable.
#[track_caller]
pub(crate) fn map_clean<O: Operation>(request: &O, json: &str) -> O::Response {
    let mapped = map(request, json);
    assert_eq!(mapped.ignored, Vec::<String>::new(), "members the mapping does not know");
    assert_eq!(mapped.unknown_enums, Vec::<&str>::new(), "enum values outside the tables");
    assert_eq!(mapped.unreadable_times, Vec::<&str>::new(), "times that cannot be read");
    mapped.response
}

mod tests {
    use super::*;
    use crate::pb::wallet::v1::ListBalancesRequest;

    #[test]
    fn what_the_mapping_does_not_know_is_told() {
        let request = ListBalancesRequest::default();
        let line = "GET /funding-sources/v2/persons/79112223344/accounts";
        assert_eq!(ask(&request).unwrap(), Request { line: line.into(), body: Value::Null });
        let json =
            r#"{"accounts":[{"alias":"qw_wallet_rub","later":1,"balance":{"amount":8.70}}]}"#;
        let mapped = map(&request, json);
        assert_eq!(mapped.ignored, ["accounts.0.later"]);
        assert_eq!(mapped.response.balances.len(), 1);
        assert!(try_map(&request, "{}").is_err());
        assert_eq!(map_clean(&request, r#"{"accounts":[]}"#).balances.len(), 0);
    }
}
