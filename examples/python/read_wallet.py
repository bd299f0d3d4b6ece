"""Reads a wallet: its profile, balances, a year of history and one receipt.

Usage, from the root of the repository, against `qiwi-gateway serve --sandbox`:

    pip install grpcio grpcio-tools grpcio-status
    python examples/python/read_wallet.py [--deadline 5] [--page-size 50] [--wait 10] [RECEIPT_FILE]

The environment says where the gateway is; see connection.py.
"""

import argparse
import datetime
import sys
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import connection

sys.path.append("proto")
balance_pb, balance_rpc = grpc.protos_and_services("qiwi/wallet/v1/balance.proto")
history_pb, history_rpc = grpc.protos_and_services("qiwi/wallet/v1/history.proto")
profile_pb, profile_rpc = grpc.protos_and_services("qiwi/wallet/v1/profile.proto")

# Which of the gateway's credentials to use; its token never leaves the gateway.
CREDENTIAL = connection.named("demo")
DOWNLOAD_DEADLINE = 30
# How often a call is made that the gateway asks to make later.
ATTEMPTS = 5
# QIWI serves at most 90 days in one request, and both ends belong to them.
WINDOW = datetime.timedelta(days=90)
SECOND = datetime.timedelta(seconds=1)


def money_text(money):
    """Exact decimal text of a Money; no float on the way."""
    sign = "-" if money.units < 0 or money.nanos < 0 else ""
    fraction = f"{abs(money.nanos):09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{abs(money.units)}.{fraction} {money.currency_code}"


def patiently(call):
    """Calls, and calls again after the delay that the gateway's refusal names.

    QIWI blocks a wallet that is asked too often, so the gateway paces the calls of
    all programs together. Whoever reads a long history will meet that.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except grpc.RpcError as error:
            retry = details(error).get("RetryInfo")
            wait = retry.retry_delay.ToNanoseconds() / 1e9 if retry else None
            if wait is None or wait > given.wait or attempt == ATTEMPTS:
                raise
            time.sleep(wait)


def transactions(stub, start, end):
    """All transactions from `start` to `end`, newest first, and how many pages they took."""
    found, pages = [], 0
    while end > start:
        request = history_pb.ListTransactionsRequest(page_size=given.page_size)
        request.start_time.FromDatetime(max(start, end - WINDOW))
        request.end_time.FromDatetime(end)
        while True:
            page = patiently(
                lambda: stub.ListTransactions(request, metadata=CREDENTIAL, timeout=given.deadline)
            )
            found.extend(page.transactions)
            pages += 1
            # An empty token is the only sign of the end; a short page is not one.
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        end -= WINDOW + SECOND
    return found, pages


def first_with_receipt(stub, found):
    """The newest transaction that has a receipt; only the details of one tell."""
    for transaction in found:
        if transaction.status != history_pb.TRANSACTION_STATUS_SUCCESS:
            continue
        request = history_pb.GetTransactionRequest(
            transaction_id=transaction.transaction_id, type=transaction.type
        )
        reply = patiently(
            lambda: stub.GetTransaction(request, metadata=CREDENTIAL, timeout=given.deadline)
        )
        if reply.transaction.features.receipt_ready:
            return transaction
    sys.exit("no transaction has a receipt")


def save_receipt(stub, transaction, path):
    """Writes the receipt to a file and returns its size."""
    request = history_pb.DownloadReceiptRequest(
        transaction_id=transaction.transaction_id,
        type=transaction.type,
        format=history_pb.RECEIPT_FORMAT_PDF,
    )
    size = 0
    with open(path, "wb") as file:
        parts = stub.DownloadReceipt(request, metadata=CREDENTIAL, timeout=DOWNLOAD_DEADLINE)
        for part in parts:
            # The first part is a header without a chunk.
            size += file.write(part.chunk)
    return size


def details(error):
    """The details of a failed call by name; empty where the gateway sent none."""
    found = {}
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        kind = getattr(error_details_pb2, packed.TypeName().rpartition(".")[2], None)
        if kind and packed.Unpack(message := kind()):
            found[kind.DESCRIPTOR.name] = message
    return found


def explain(error):
    """One line about a failed call, made of what a program can act on."""
    found = details(error)
    if not found:  # not the gateway's answer: no connection, for example
        return f"{error.code().name} {error.details()}"
    parts = [error.code().name, found["ErrorInfo"].reason]
    if bad := found.get("BadRequest"):
        parts += [f"{v.field}: {v.description}" for v in bad.field_violations]
    if retry := found.get("RetryInfo"):
        parts.append(f"again in {retry.retry_delay.ToMilliseconds()} ms")
    parts.append(f"request {found['RequestInfo'].request_id}")
    return " | ".join(parts)


def main():
    channel = connection.connect()
    profiles = profile_rpc.ProfileServiceStub(channel)
    balances = balance_rpc.BalanceServiceStub(channel)
    history = history_rpc.HistoryServiceStub(channel)

    profile = profiles.GetProfile(
        profile_pb.GetProfileRequest(), metadata=CREDENTIAL, timeout=given.deadline
    )
    print(f"wallet {profile.profile.auth_info.wallet}")

    request = balance_pb.ListBalancesRequest()
    reply = patiently(
        lambda: balances.ListBalances(request, metadata=CREDENTIAL, timeout=given.deadline)
    )
    for balance in reply.balances:
        # An absent amount is one QIWI did not tell, as for linked phones; it is not zero.
        known = balance.HasField("amount")
        print(balance.alias, money_text(balance.amount) if known else "(not told)")

    now = datetime.datetime.now(datetime.timezone.utc)
    found, pages = transactions(history, now - datetime.timedelta(days=365), now)
    print(f"{len(found)} transactions in {pages} pages")
    for transaction in found[:3]:
        when, amount = transaction.transaction_time.raw, money_text(transaction.amount)
        print(f"  {when} {transaction.type_raw} {transaction.status_raw} {amount}")

    chosen = first_with_receipt(history, found)
    size = patiently(lambda: save_receipt(history, chosen, given.receipt_file))
    print(f"receipt: {size} bytes in {given.receipt_file}")

    try:
        history.ListTransactions(
            history_pb.ListTransactionsRequest(page_size=-1), metadata=CREDENTIAL, timeout=given.deadline
        )
    except grpc.RpcError as error:
        print(f"refused: {explain(error)}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("receipt_file", nargs="?", default="receipt.pdf")
    # The gateway gives up shortly before, so that an answer with details arrives and not
    # a bare timeout.
    parser.add_argument("--deadline", type=float, default=5, help="seconds for one call")
    parser.add_argument("--page-size", type=int, default=50, help="transactions of one call")
    parser.add_argument("--wait", type=float, default=10, help="longest wait in seconds")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"failed: {explain(error)}")
