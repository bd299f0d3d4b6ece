//! Pages under `docs/` that are generated from the code, compared with what is committed.
//!
//! `UPDATE_DOCS=1 cargo nextest run docs` writes them again.

use std::fmt::Write as _;
use std::path::Path;

use qiwi_gateway::error::code::CODES;
use qiwi_gateway::error::reason::{Decision, REASONS};
use qiwi_gateway::error::{About, DOMAIN, Error};
use tonic_types::StatusExt as _;

/// Compares a page with its generation, or writes it when asked to.
#[track_caller]
pub fn check(page: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if committed == generated {
        return;
    }
    let lines = committed.lines().zip(generated.lines());
    let differ = lines.enumerate().find(|(_, (old, new))| old != new);
    let (number, (old, new)) = differ.unwrap_or((committed.lines().count(), ("", "")));
    panic!(
        "docs/{page} is not what the code generates, from line {} on:\n- {old}\n+ {new}\n\
         UPDATE_DOCS=1 cargo nextest run docs",
        number + 1
    );
}

/// How a reason's part of the page is linked: `RATE_LIMITED_LOCAL` is at `#rate-limited-local`.
fn anchor(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// `InvalidArgument` is spelled `INVALID_ARGUMENT` on the wire.
pub fn code_name(code: tonic::Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

fn errors_page() -> String {
    let mut page = format!(
        "\
# Errors

Every call that fails ends with a gRPC status whose details are a `google.rpc.Status`. Branch on
`ErrorInfo.reason`: reasons are never renamed and never change their meaning, new ones may appear.
The message is for logs and people; it is English and never holds values of the call.

| Detail | When | What it tells |
|---|---|---|
| `ErrorInfo` | always | `reason` (below), `domain` = `{DOMAIN}`, and `metadata` |
| `RequestInfo` | always | `request_id`: the caller's `x-request-id` or one of ours; the log has the same |
| `RetryInfo` | exactly when the same request may succeed later | how long to wait; `grpc-retry-pushback-ms` says the same to clients that repeat by themselves, after `UNAVAILABLE` only |
| `BadRequest` | a field of the request is at fault | dotted path of each field and what to do |
| `QuotaFailure` | `RESOURCE_EXHAUSTED` | which quota; never whose |
| `PreconditionFailure` | a limit or status of the wallet or the recipient | what stands in the way |
| `ResourceInfo` | `NOT_FOUND` | what kind of thing does not exist |
| `LocalizedMessage` | there is something to tell a person | `ru-RU`: our own text for a known code, else QIWI's with longer numbers masked |

`ErrorInfo.metadata` may hold:

| Key | Value |
|---|---|
| `api` | `wallet`, `p2p`, `pay` or `admin` |
| `operation` | the method's name |
| `httpStatus` | what QIWI answered |
| `upstreamCode` | QIWI's own code, verbatim, such as `QWPRC-220` |
| `upstreamTraceId` | QIWI's trace id, for its support |
| `upstreamSent` | `no`: nothing reached QIWI; `yes`: it answered; `unknown`: it may have |
| `attempts` | how often QIWI was asked |
| `paymentId`, `paymentState` | the payment an error is about, and where it stands |
| `earliestCursor`, `latestCursor` | the ends of the event log, in Base64 |
| `lastCursor` | the cursor of the last message of the stream, in Base64 |
"
    );
    let chapters = [
        (
            Decision::Fix,
            "Fix the request",
            "The same request fails again. `BadRequest`, where present, names what to change.",
        ),
        (
            Decision::Refused,
            "Refused",
            "The request is well-formed and QIWI or the gateway says no. Something outside it has to \
             change first: a token, a permission, money, a limit.",
        ),
        (
            Decision::Later,
            "Repeat later",
            "Nothing was done that a repeat would do twice. The same request may succeed after the \
             time in `RetryInfo`.",
        ),
        (
            Decision::Ask,
            "Ask for the outcome",
            "It is not known whether the request took effect. Ask; never send it under a new id.",
        ),
        (
            Decision::Report,
            "Report it",
            "A defect of the gateway, or an answer outside QIWI's documents. The request id leads to \
             the log entry.",
        ),
    ];
    for (decision, title, text) in chapters {
        let mut rows = REASONS.iter().filter(|reason| reason.decision == decision).peekable();
        if rows.peek().is_none() {
            continue;
        }
        write!(page, "\n## {title}\n\n{text}\n\n").unwrap();
        page.push_str("| Reason | gRPC code | When | Message |\n|---|---|---|---|\n");
        for reason in rows {
            writeln!(
                page,
                "| <a id=\"{}\"></a>`{}` | `{}` | {} | {} |",
                anchor(reason.name),
                reason.name,
                code_name(reason.code),
                reason.when,
                reason.message
            )
            .unwrap();
        }
    }
    page.push_str(
        "\
\n## QIWI's payment codes

What QIWI's codes become, whether they come as `QWPRC-220` or as plain `220`. A call that is refused
with one has the reason; a transaction of the history that failed with one carries it as data, with
the category. Codes outside this table become
[`UPSTREAM_DECLINED`](#upstream-declined) and keep QIWI's own text. The codes of card payments are in
[cards.md](cards.md#error-codes).

| Code | Reason | Category of a transaction | Text for people |
|---|---|---|---|
",
    );
    let mut codes: Vec<_> = CODES.iter().collect();
    codes.sort_by_key(|code| code.number);
    for code in codes {
        writeln!(
            page,
            "| {} | [`{}`](#{}) | `{}` | {} |",
            code.number,
            code.reason.name,
            anchor(code.reason.name),
            code.category.as_str_name(),
            code.message_ru
        )
        .unwrap();
    }
    page
}

fn configuration_page() -> String {
    format!(
        "\
# Configuration

Read at start, from three layers; a later one wins:

1. the defaults below;
2. a TOML file: `qiwi-gateway serve --config gateway.toml`;
3. environment variables `QIWI_GATEWAY_<SECTION>__<KEY>`.

`qiwi-gateway check-config` reads all of it, secrets included, names every mistake with its key and
place, and prints the effective values with where each comes from. Unknown keys are mistakes. With
`--strict` warnings are mistakes, too.

Secrets never stand in the configuration, only the files or variables that hold them. Files are read
again every few seconds, so a token is replaced by replacing its file.

What takes effect while the gateway runs, looked at every `security.reload_interval` by content:

| What changed | What happens |
|---|---|
| a file with a token, secret, key of a webhook or client certificate of a merchant | new calls use the new one |
| a file with a caller's key | the new one is known, the old one is not. Two keys, one a line, are both good: write the new one beside the old, change the caller, remove the old |
| `tls_cert_file`, `tls_key_file`, `tls_client_ca_file` of a listener | new connections meet the new ones, open ones go on |
| `[credentials.…]` and `[callers.…]` of the configuration file | all of them take effect together; streams of a caller that lost a right or its key end within 30 seconds |
| any other key of the configuration file | reported once in the log as needing a restart |

What cannot be used leaves the last good content in use: it is told in the log, once, with its key, and
counted in `qiwi_reload_total{{source, result=\"failed\"}}`; `qiwi_reload_success_timestamp_seconds` stands
still then. Taking the last caller out of the file is refused, because everybody would be let in, and
so are policies that need a key which waits for a restart, and a credential whose `kind`, `wallet` or
`merchant_site` is another one: a name stands for the same wallet while the gateway runs. What lies in environment variables changes
with a restart alone. Before a credential is taken out, no payment of its wallet should be in doubt
(`qiwi_payments_open`): without it nobody can ask QIWI what became of one.

Durations have a unit (`250ms`, `5s`, `1m30s`), sizes too (`64KiB`, `2MiB`). Port 0 is any free port;
every bound address is printed as one JSON line with `\"event\":\"listening\"`.

Endpoints of telemetry are the standard `OTEL_…` variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.

{}",
        qiwi_gateway::config::keys_markdown()
    )
}

#[test]
fn the_page_of_errors_is_the_table_of_errors() {
    let page = errors_page();
    for reason in REASONS {
        assert!(page.contains(&format!("<a id=\"{}\"></a>", anchor(reason.name))));
    }
    check("errors.md", &page);
}

#[test]
fn the_page_of_the_configuration_is_the_list_of_keys() {
    check("configuration.md", &configuration_page());
}

#[test]
fn code_names_are_the_ones_on_the_wire() {
    assert_eq!(code_name(tonic::Code::InvalidArgument), "INVALID_ARGUMENT");
    assert_eq!(code_name(tonic::Code::Internal), "INTERNAL");
    assert_eq!(code_name(tonic::Code::FailedPrecondition), "FAILED_PRECONDITION");
}

#[test]
fn the_page_tells_the_truth_about_retry_info() {
    for reason in REASONS {
        let status = Error::new(reason).to_status(&About::default());
        let says = status.get_error_details().retry_info().is_some();
        let chapter = reason.decision == Decision::Later;
        assert!(says == chapter || reason.decision == Decision::Ask, "{}", reason.name);
    }
}
