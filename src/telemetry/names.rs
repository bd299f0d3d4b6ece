//! Every span, attribute and metric name the gateway emits.
//!
//! The RPC conventions are release candidates and still move between releases
//! (a later one renames `rpc.response.status_code`), so no other file spells a
//! name: following the convention is a change to this page and to
//! [`SCHEMA_URL`]. Attributes never carry tokens, wallets, phones, card numbers
//! or amounts; the functions that fill them accept static text wherever that is
//! possible for this very reason.

/// Version of the conventions the names below follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";
/// Instrumentation scope of spans, metrics and logs.
pub const SCOPE: &str = "qiwi-gateway";

/// The RPC system of every server span.
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// Value of [`RPC_SYSTEM_NAME`].
pub const GRPC: &str = "grpc";
/// `package.Service/Method`.
pub const RPC_METHOD: &str = "rpc.method";
/// Value of [`RPC_METHOD`] for a method the gateway does not have.
pub const METHOD_OTHER: &str = "_OTHER";
/// The gRPC status as text, `OK` included.
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
/// What went wrong, from a small closed set.
pub const ERROR_TYPE: &str = "error.type";
/// Value of [`ERROR_TYPE`] for an attempt that was abandoned by its caller.
pub const CANCELLED: &str = "cancelled";
/// `ErrorInfo.reason` of a refused or failed call.
pub const QIWI_REASON: &str = "qiwi.error.reason";
/// Whether the method moves money; the sampler decides by it.
pub const QIWI_MONEY: &str = "qiwi.money";
/// HTTP verb of an attempt.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// HTTP status of an attempt.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// How many attempts of the same call went before this one.
pub const HTTP_REQUEST_RESEND_COUNT: &str = "http.request.resend_count";
/// Path with placeholders; the filled-in URL is never recorded.
pub const URL_TEMPLATE: &str = "url.template";
/// Upstream host name.
pub const SERVER_ADDRESS: &str = "server.address";
/// Upstream port.
pub const SERVER_PORT: &str = "server.port";
/// Resource attribute: name of the service.
pub const SERVICE_NAME: &str = "service.name";
/// Resource attribute: version of the service.
pub const SERVICE_VERSION: &str = "service.version";

/// Label: whether a word was sent or received.
pub const DIRECTION: &str = "direction";
/// Label: upstream host.
pub const HOST: &str = "host";
/// Label: API area of an upstream host.
pub const AREA: &str = "area";
/// Label: HTTP verb.
pub const VERB: &str = "method";
/// Label: how an attempt or a lookup ended.
pub const OUTCOME: &str = "outcome";
/// Label: which listener.
pub const LISTENER: &str = "listener";
/// Label: result of a lookup or a reload.
pub const RESULT: &str = "result";
/// Label: target state of a transition.
pub const TO: &str = "to";
/// Label: a credential, by the name its operator gave it.
pub const CREDENTIAL: &str = "credential";
/// Label: why something was refused or closed.
pub const REASON: &str = "reason";
/// Label: a refusal that was only counted, not applied.
pub const SHADOW: &str = "shadow";
/// Label: upstream operation.
pub const OPERATION: &str = "operation";
/// Label: method class (read, write, money).
pub const CLASS: &str = "class";
/// Label: field of a reply.
pub const FIELD: &str = "field";
/// Label: telemetry signal (traces, metrics, logs).
pub const SIGNAL: &str = "signal";
/// Label: what something is about.
pub const KIND: &str = "kind";
/// Label: how the gateway came to know.
pub const SOURCE: &str = "source";
/// Label: state of a payment.
pub const STATE: &str = "state";
/// Label: version of the build.
pub const VERSION: &str = "version";

/// Histogram: duration of calls served.
pub const RPC_SERVER_CALL_DURATION: &str = "rpc.server.call.duration";
/// Histogram: duration of attempts against an upstream.
pub const HTTP_CLIENT_REQUEST_DURATION: &str = "http.client.request.duration";
/// Counter: attempts against an upstream.
pub const ATTEMPTS: &str = "qiwi.attempts";
/// Counter: retries and hedges the budget refused.
pub const RETRY_BUDGET_REFUSED: &str = "qiwi.retry_budget.refused";
/// Gauge: breaker state.
pub const BREAKER_STATE: &str = "qiwi.breaker.state";
/// Counter: breaker transitions.
pub const BREAKER_TRANSITIONS: &str = "qiwi.breaker.transitions";
/// Gauge: credentials cooling down.
pub const COOLDOWNS_ACTIVE: &str = "qiwi.cooldowns.active";
/// Counter: cool-downs begun.
pub const COOLDOWNS_STARTED: &str = "qiwi.cooldowns.started";
/// Counter: calls shed.
pub const SHED: &str = "qiwi.shed";
/// Counter: requests a token's rate limit refused.
pub const LIMITER_REFUSED: &str = "qiwi.limiter.refused";
/// Counter: cache lookups.
pub const CACHE: &str = "qiwi.cache";
/// Gauge: calls in flight.
pub const IN_FLIGHT: &str = "qiwi.in_flight";
/// Histogram: time left of the caller's deadline when an attempt starts.
pub const REMAINING_BUDGET: &str = "qiwi.remaining_budget";
/// Gauge: open gRPC connections.
pub const CONNECTIONS: &str = "qiwi.connections";
/// Counter: closed gRPC connections.
pub const CONNECTIONS_CLOSED: &str = "qiwi.connections.closed";
/// Counter: reloads of configuration, credentials and certificates.
pub const RELOAD: &str = "qiwi.reload";
/// Gauge: when files of a kind were last read without a mistake.
pub const RELOAD_SUCCESS: &str = "qiwi.reload.success.timestamp";
/// Gauge: keys of the configuration file that only a restart brings into effect.
pub const RESTART_NEEDED: &str = "qiwi.restart_needed";
/// Gauge: when the certificate of a listener expires.
pub const CERTIFICATE_EXPIRES: &str = "qiwi.tls.certificate.expiry.timestamp";
/// Counter: TLS handshakes that failed.
pub const TLS_REFUSED: &str = "qiwi.tls.refused";
/// Counter: panics caught.
pub const PANICS: &str = "qiwi.panics";
/// Counter: enumeration values QIWI does not document.
pub const UNKNOWN_ENUM: &str = "qiwi.unknown_enum";
/// Counter: reply fields QIWI does not document.
pub const UNKNOWN_FIELD: &str = "qiwi.unknown_field";
/// Counter: timestamps that could not be read.
pub const UNREADABLE_TIME: &str = "qiwi.unreadable_time";
/// Counter: replies that do not have the documented shape.
pub const UNDOCUMENTED_REPLY: &str = "qiwi.undocumented_reply";
/// Counter: telemetry that could not be exported.
pub const TELEMETRY_DROPPED: &str = "qiwi.telemetry.dropped";
/// Counter: log lines that were not written.
pub const LOG_LINES_DROPPED: &str = "qiwi.log_lines.dropped";
/// Counter: unreadable `grpc-timeout` headers.
pub const DEADLINE_HEADER_MALFORMED: &str = "qiwi.deadline_header.malformed";
/// Counter: attempts to send a payment, by what they came to.
pub const PAYMENT_ATTEMPTS: &str = "qiwi.payment.attempts";
/// Counter: payments that changed their state.
pub const PAYMENT_STATES: &str = "qiwi.payment.states";
/// Counter: what a person must look at.
pub const PAYMENT_ALARMS: &str = "qiwi.payment.alarms";
/// Gauge: payments that are looked after, by state.
pub const PAYMENTS_OPEN: &str = "qiwi.payments.open";
/// Gauge: how long the oldest uncertain payment is in doubt.
pub const PAYMENT_DOUBT: &str = "qiwi.payment.doubt";
/// Counter: readings of QIWI's history for payments.
pub const HISTORY_READINGS: &str = "qiwi.history.readings";
/// Gauge: whether the other replicas can be heard.
pub const REPLICA_LINK_UP: &str = "qiwi.replica_link.up";
/// Gauge: replicas heard lately.
pub const REPLICAS: &str = "qiwi.replicas";
/// Counter: history requests permitted, by whose part they came from.
pub const HISTORY_TURNS: &str = "qiwi.history.turns";
/// Counter: words among replicas.
pub const REPLICA_WORDS: &str = "qiwi.replica_words";
/// Counter: drops of all kept answers.
pub const CACHE_DROPPED: &str = "qiwi.cache.dropped";
/// Gauge: leases held.
pub const LEASES: &str = "qiwi.leases";
/// Counter: notifications read.
pub const NOTIFICATIONS: &str = "qiwi.notifications";
/// Counter: requests to the notification listener that were refused.
pub const NOTIFICATIONS_REFUSED: &str = "qiwi.notifications.refused";
/// Counter: notifications that could not be stored.
pub const NOTIFICATIONS_UNSTORED: &str = "qiwi.notifications.unstored";
/// Histogram: time from a notification to its answer.
pub const NOTIFICATION_DURATION: &str = "qiwi.notification.duration";
/// Counter: events appended.
pub const EVENTS_APPENDED: &str = "qiwi.events.appended";
/// Counter: events that became dead letters.
pub const EVENTS_BURIED: &str = "qiwi.events.buried";
/// Counter: news of events that were in the log already.
pub const EVENTS_DUPLICATE: &str = "qiwi.events.duplicate";
/// Counter: deliveries that came again with another content.
pub const EVENTS_CONFLICT: &str = "qiwi.events.conflict";
/// Counter: what a person must look at.
pub const EVENT_ALARMS: &str = "qiwi.event.alarms";
/// Counter: readings of QIWI's history for events.
pub const EVENT_READINGS: &str = "qiwi.event.readings";
/// Gauge: the last event of the log.
pub const EVENTS_HEAD: &str = "qiwi.events.head";
/// Gauge: the first event of the log.
pub const EVENTS_FLOOR: &str = "qiwi.events.floor";
/// Gauge: whether the event log can be used.
pub const EVENT_LOG_UP: &str = "qiwi.event_log.up";
/// Gauge: open event streams.
pub const EVENT_STREAMS: &str = "qiwi.event.streams";
/// Counter: event streams the gateway ended.
pub const EVENT_STREAMS_ENDED: &str = "qiwi.event.streams.ended";
/// Histogram: time from the log to a stream.
pub const EVENT_DELAY: &str = "qiwi.event.delay";
/// Gauge: whether a webhook the gateway looks after is its own and active.
pub const WEBHOOK_UP: &str = "qiwi.webhook.up";
/// Gauge: events the consumer group that is furthest behind has not settled.
pub const GROUP_LAG: &str = "qiwi.group.lag";
/// Gauge: age of the oldest event that some consumer group has not settled.
pub const GROUP_AGE: &str = "qiwi.group.age";
/// Gauge: how much of the time or room that events are kept that group has used up.
pub const GROUP_RETENTION_USED: &str = "qiwi.group.retention_used";
/// Gauge: whether QIWI's last answer to a credential was a rejection.
pub const CREDENTIAL_REJECTED: &str = "qiwi.credential.rejected";
/// Gauge: for how long newer content of a credential cannot be used.
pub const CREDENTIAL_STALE: &str = "qiwi.credential.stale";
/// Gauge: when a credential is expected to expire.
pub const CREDENTIAL_EXPIRY: &str = "qiwi.credential.expiry.timestamp";
/// Gauge: when a credential's client certificate expires.
pub const CREDENTIAL_CERTIFICATE_EXPIRY: &str = "qiwi.credential.certificate.expiry.timestamp";
/// Gauge: whether the ledger can be used.
pub const LEDGER_UP: &str = "qiwi.ledger.up";
/// Gauge: always 1, labelled with the version.
pub const BUILD_INFO: &str = "qiwi.build_info";

/// Values of [`REASON`] of [`PAYMENT_ALARMS`]. Their series exist from the start: an alert looks for an
/// increase, and a series that begins with its first event shows none.
pub const PAYMENT_ALARM_REASONS: [&str; 4] = ["differs", "late", "unwritten", "no_credential"];
/// Values of [`REASON`] of [`EVENT_ALARMS`], likewise.
pub const EVENT_ALARM_REASONS: [&str; 12] = [
    "contradicted",
    "doubtful",
    "doubtful_dropped",
    "epoch_changed",
    "event_unreadable",
    "events_missing",
    "group_gap",
    "history_out_of_reach",
    "history_too_long",
    "unconfirmed",
    "webhook_failing",
    "webhook_foreign",
];
/// Values of [`REASON`] of [`EVENTS_BURIED`], likewise.
pub const BURIED_CAUSES: [&str; 2] = ["attempts_exhausted", "rejected"];

/// gRPC status codes as the conventions spell them, in numeric order.
pub const STATUS_CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Text of a gRPC status number; a number outside the table is `UNKNOWN`.
pub fn status_code(code: u8) -> &'static str {
    STATUS_CODES.get(usize::from(code)).copied().unwrap_or("UNKNOWN")
}

/// Whether a server span with this status counts as an error of the server
/// (the others are the caller's business).
pub fn is_server_error(code: &str) -> bool {
    matches!(
        code,
        "UNKNOWN"
            | "DEADLINE_EXCEEDED"
            | "UNIMPLEMENTED"
            | "INTERNAL"
            | "UNAVAILABLE"
            | "DATA_LOSS"
    )
}
