"""Decodes recorded `grpc-status-details-bin` values with Google's own classes.

Reads lines `reason<TAB>code<TAB>base64` from standard input: `code` is the
number of the gRPC status code, `base64` what travels in the trailer. Every
value has to be a `google.rpc.Status` of that code whose `ErrorInfo` names that
reason. Details of each known type are unpacked, none may be of an unknown one.
"""

import base64
import sys

from google.protobuf import symbol_database
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "gateway.qiwi.internal"


def check(reason: str, code: int, encoded: str) -> None:
    """Raises AssertionError unless the value says what its line says."""
    # The wire form has no padding; lines may have it or not.
    raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    assert len(raw) <= 4096, f"{len(raw)} bytes are too many for a trailer"
    status = status_pb2.Status.FromString(raw)
    assert status.code == code, f"code {status.code}, expected {code}"
    assert status.message, "no message"

    details = {}
    for packed in status.details:
        name = packed.TypeName()
        assert name not in details, f"{name} twice"
        # KeyError for a type that google.rpc does not have.
        message = symbol_database.Default().GetSymbol(name)()
        assert packed.Unpack(message), f"{name} does not unpack"
        details[name] = message

    info: error_details_pb2.ErrorInfo = details["google.rpc.ErrorInfo"]
    assert info.reason == reason, f"reason {info.reason}, expected {reason}"
    assert info.domain == DOMAIN, f"domain {info.domain}"
    assert details["google.rpc.RequestInfo"].request_id, "no request id"
    for delay in [d.retry_delay for n, d in details.items() if n == "google.rpc.RetryInfo"]:
        assert delay.ToNanoseconds() > 0, "RetryInfo without a delay"


def main() -> None:
    count = failed = 0
    for line in sys.stdin:
        if not line.strip():
            continue
        count += 1
        try:
            reason, code, encoded = line.rstrip("\n").split("\t")
            check(reason, int(code), encoded)
        except Exception as error:  # one bad row must not hide the next
            failed += 1
            print(f"line {count}: {line.split(chr(9))[0]}: {type(error).__name__}: {error}")
    print(f"{count} values decoded by Python, {failed} failed")
    sys.exit(1 if failed or not count else 0)


main()
