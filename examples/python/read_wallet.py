"""Reads a wallet: its profile, balances, a year of history and one receipt.

Usage, from the root of the repository, against `qiwi-gateway serve --sandbox`:

    pip install grpcio grpcio-tools grpcio-status
    python examples/python/read_wallet.py [RECEIPT_FILE]

GATEWAY in the environment is the gateway's address, 127.0.0.1:50051 without it.
"""

import datetime
import os
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

sys.path.append("proto")
balance_pb, balance_rpc = grpc.protos_and_services("qiwi/wallet/v1/balance.proto")
history_pb, history_rpc = grpc.protos_and_services("qiwi/wallet/v1/history.proto")
profile_pb, profile_rpc = grpc.protos_and_services("qiwi/wallet/v1/profile.proto")

# Which of the gateway's credentials to use; its token never leaves the gateway.
CREDENTIAL = [("x-qiwi-credential", "demo")]
# What a program waits at most, in seconds. The gateway gives up shortly before,
# so that an answer with details arrives and not a bare timeout.
DEADLINE = 5
DOWNLOAD_DEADLINE = 30
# QIWI serves at most 90 days in one request.
WINDOW = datetime.timedelta(days=90)


def money_text(money):
    """Exact decimal text of a Money; no float on the way."""
    sign = "-" if money.units < 0 or money.nanos < 0 else ""
    fraction = f"{abs(money.nanos):09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{abs(money.units)}.{fraction} {money.currency_code}"


def transactions(stub, start, end):
    """All transactions from `start` to `end`, newest first, and how many pages they took."""
    found, pages = [], 0
    while end > start:
        request = history_pb.ListTransactionsRequest(page_size=50)
        request.start_time.FromDatetime(max(start, end - WINDOW))
        request.end_time.FromDatetime(end)
        while True:
            page = stub.ListTransactions(request, metadata=CREDENTIAL, timeout=DEADLINE)
            found.extend(page.transactions)
            pages += 1
            # An empty token is the only sign of the end; a short page is not one.
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        end -= WINDOW
    return found, pages


def explain(error):
    """One line about a failed call, made of what a program can act on."""
    parts = [error.code().name]
    status = rpc_status.from_call(error)
    if status is None:  # not the gateway's answer: no connection, for example
        return f"{parts[0]} {error.details()}"
    for detail in status.details:
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.RetryInfo,
            error_details_pb2.RequestInfo,
        ):
            message = kind()
            if not detail.Unpack(message):
                continue
            if kind is error_details_pb2.ErrorInfo:
                parts.append(message.reason)
            elif kind is error_details_pb2.BadRequest:
                parts += [f"{v.field}: {v.description}" for v in message.field_violations]
            elif kind is error_details_pb2.RetryInfo:
                parts.append(f"again in {message.retry_delay.ToMilliseconds()} ms")
            else:
                parts.append(f"request {message.request_id}")
    return " | ".join(parts)


def main(receipt_file):
    channel = grpc.insecure_channel(os.environ.get("GATEWAY", "127.0.0.1:50051"))
    profiles = profile_rpc.ProfileServiceStub(channel)
    balances = balance_rpc.BalanceServiceStub(channel)
    history = history_rpc.HistoryServiceStub(channel)

    profile = profiles.GetProfile(
        profile_pb.GetProfileRequest(), metadata=CREDENTIAL, timeout=DEADLINE
    )
    print(f"wallet {profile.profile.wallet}")

    reply = balances.ListBalances(
        balance_pb.ListBalancesRequest(), metadata=CREDENTIAL, timeout=DEADLINE
    )
    for balance in reply.balances:
        # An absent amount is one QIWI did not tell; it is not zero.
        known = balance.HasField("amount")
        print(balance.alias, money_text(balance.amount) if known else "(not told)")

    now = datetime.datetime.now(datetime.timezone.utc)
    found, pages = transactions(history, now - datetime.timedelta(days=365), now)
    print(f"{len(found)} transactions in {pages} pages")
    for transaction in found[:3]:
        print(f"  {transaction.create_time.raw} {transaction.type_raw} {money_text(transaction.amount)}")

    with_receipt = next(t for t in found if t.features.cheque_ready)
    chunks = history.DownloadReceipt(
        history_pb.DownloadReceiptRequest(
            transaction_id=with_receipt.transaction_id,
            type=with_receipt.type,
            format=history_pb.RECEIPT_FORMAT_PDF,
        ),
        metadata=CREDENTIAL,
        timeout=DOWNLOAD_DEADLINE,
    )
    size = 0
    with open(receipt_file, "wb") as file:
        for chunk in chunks:
            size += file.write(chunk.data)
    print(f"receipt: {size} bytes in {receipt_file}")

    try:
        history.ListTransactions(
            history_pb.ListTransactionsRequest(page_size=-1), metadata=CREDENTIAL, timeout=DEADLINE
        )
    except grpc.RpcError as error:
        print(f"refused: {explain(error)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "receipt.pdf")
    except grpc.RpcError as error:
        sys.exit(f"failed: {explain(error)}")
