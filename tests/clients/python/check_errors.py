"""Provokes errors and decodes their details with grpcio-status.

Order matters at the end: a refused token and a cool-down outlive their fault.
"""

import datetime
import time

import grpc
from google.rpc import error_details_pb2 as details_pb2
from grpc_status import rpc_status

import gateway
from gateway import DEMO, fault

balance_pb, balance_rpc = gateway.area("balance")
history_pb, history_rpc = gateway.area("history")
profile_pb, profile_rpc = gateway.area("profile")

channel = grpc.insecure_channel(gateway.ADDRESS)
balances = balance_rpc.BalanceServiceStub(channel)
history = history_rpc.HistoryServiceStub(channel)
profiles = profile_rpc.ProfileServiceStub(channel)

KINDS = [
    details_pb2.ErrorInfo,
    details_pb2.RequestInfo,
    details_pb2.RetryInfo,
    details_pb2.BadRequest,
    details_pb2.QuotaFailure,
    details_pb2.ResourceInfo,
]


def refused(method, request, code, reason, metadata=DEMO, timeout=5.0):
    """Calls, demands this refusal, and returns the error and its details by type name."""
    request_id = f"check-{reason.lower()}"
    try:
        reply = method(request, metadata=[*metadata, ("x-request-id", request_id)], timeout=timeout)
    except grpc.RpcError as raised:
        error = raised
    else:
        raise AssertionError(f"answered {type(reply).__name__} instead of {reason}")
    assert error.code() is code, f"{error.code()} {error.details()}"
    status = rpc_status.from_call(error)
    assert status is not None, f"{code} without details: {error.details()}"
    found = {}
    for packed in status.details:
        for kind in KINDS:
            message = kind()
            if packed.Unpack(message):
                found[kind.DESCRIPTOR.name] = message
    info = found["ErrorInfo"]
    assert info.reason == reason, f"reason {info.reason}, expected {reason}"
    assert info.domain == gateway.DOMAIN, f"domain {info.domain}"
    assert found["RequestInfo"].request_id == request_id, found["RequestInfo"]
    return error, found


def names_field(found, field):
    """BadRequest names this field and says something about it."""
    violations = {v.field: v.description for v in found["BadRequest"].field_violations}
    assert violations.get(field), f"{field} is not in {violations}"


def listing(days=None, **fields):
    """A history request, over the last `days` days if given."""
    request = history_pb.ListTransactionsRequest(**fields)
    if days is not None:
        now = datetime.datetime.now(datetime.timezone.utc)
        request.start_time.FromDatetime(now - datetime.timedelta(days=days))
        request.end_time.FromDatetime(now)
    return request


def no_credential():
    refused(
        balances.ListBalances,
        balance_pb.ListBalancesRequest(),
        grpc.StatusCode.UNAUTHENTICATED,
        "CREDENTIAL_MISSING",
        metadata=[],
    )


def unknown_credential():
    refused(
        balances.ListBalances,
        balance_pb.ListBalancesRequest(),
        grpc.StatusCode.UNAUTHENTICATED,
        "CREDENTIAL_UNKNOWN",
        metadata=[("x-qiwi-credential", "nobody")],
    )


def both_credentials():
    refused(
        balances.ListBalances,
        balance_pb.ListBalancesRequest(),
        grpc.StatusCode.INVALID_ARGUMENT,
        "CREDENTIAL_AMBIGUOUS",
        metadata=[*DEMO, ("authorization", "Bearer sandbox-wallet-token")],
    )


def bad_page_token():
    refused(
        history.ListTransactions,
        listing(page_token="bm90LWEtdG9rZW4"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "PAGE_TOKEN_INVALID",
    )


def page_token_of_another_filter():
    request = listing(days=30, page_size=10)
    first = history.ListTransactions(request, metadata=DEMO, timeout=5)
    assert first.next_page_token, "the sandbox's history fits one page"
    other = listing(days=20, page_size=10, page_token=first.next_page_token)
    refused(history.ListTransactions, other, grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


def range_too_wide():
    refused(
        history.ListTransactions,
        listing(days=200),
        grpc.StatusCode.INVALID_ARGUMENT,
        "RANGE_TOO_WIDE",
    )


def negative_page_size():
    _, found = refused(
        history.ListTransactions,
        listing(page_size=-1),
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
    )
    names_field(found, "page_size")


def unknown_transaction():
    _, found = refused(
        history.GetTransaction,
        history_pb.GetTransactionRequest(transaction_id="1"),
        grpc.StatusCode.NOT_FOUND,
        "TRANSACTION_NOT_FOUND",
    )
    assert found["ResourceInfo"].resource_type, found["ResourceInfo"]


def deadline_before_a_slow_upstream():
    with fault("/payment-history/", latency_ms=5000):
        started = time.monotonic()
        refused(
            history.ListTransactions,
            listing(days=7),
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_EXCEEDED",
            timeout=0.2,
        )
        taken = time.monotonic() - started
    assert taken < 0.25, f"{taken * 1000:.0f} ms for a deadline of 200 ms"


def failing_upstream():
    with fault("/payment-history/", status=503):
        error, found = refused(
            history.ListTransactions,
            listing(days=7),
            grpc.StatusCode.UNAVAILABLE,
            "UPSTREAM_ERROR",
        )
    assert found["RetryInfo"].retry_delay.ToMilliseconds() > 0, found["RetryInfo"]
    assert found["ErrorInfo"].metadata["httpStatus"] == "503", found["ErrorInfo"]
    assert int(found["ErrorInfo"].metadata["attempts"]) > 1, found["ErrorInfo"]
    trailers = dict(error.trailing_metadata())
    assert "grpc-retry-pushback-ms" in trailers, sorted(trailers)


def rate_limited_upstream():
    with fault("/funding-sources/", status=429, retry_after=7):
        _, found = refused(
            balances.ListBalances,
            balance_pb.ListBalancesRequest(),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "RATE_LIMITED_UPSTREAM",
        )
    assert found["RetryInfo"].retry_delay.ToMilliseconds() >= 6000, found["RetryInfo"]
    assert found["QuotaFailure"].violations, found["QuotaFailure"]


def rejected_token():
    with fault("/person-profile/", status=401):
        refused(
            profiles.GetProfile,
            profile_pb.GetProfileRequest(),
            grpc.StatusCode.UNAUTHENTICATED,
            "TOKEN_REJECTED",
        )


gateway.run(
    [
        no_credential,
        unknown_credential,
        both_credentials,
        bad_page_token,
        page_token_of_another_filter,
        range_too_wide,
        negative_page_size,
        unknown_transaction,
        deadline_before_a_slow_upstream,
        failing_upstream,
        rate_limited_upstream,
        rejected_token,
    ]
)
