"""Pays for an order from a QIWI wallet to another one: once, whatever happens in between.

Usage, from the root of the repository, against `qiwi-gateway serve --sandbox`:

    pip install grpcio grpcio-tools grpcio-status
    python examples/python/pay.py ORDER WALLET AMOUNT
    python examples/python/pay.py order-17 79990000002 10.50

ORDER is your own name for what is paid. Started again with the same order, after a
crash or a power cut as well, the program goes on with the payment it had begun.

The environment says where the gateway is; see connection.py.
Exit status: 0 paid, 1 not paid, 2 not known yet: start it again with the same order.
What is not paid for good, because QIWI refused it, is paid as another order.
"""

import argparse
import contextlib
import dataclasses
import decimal
import random
import sqlite3
import sys
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import connection

sys.path.append("proto")
pb, rpc = grpc.protos_and_services("qiwi/wallet/v1/payment.proto")

# Which of the gateway's credentials pays; its token never leaves the gateway.
CREDENTIAL = connection.named("demo")
# The pause before a repeat, in seconds: doubled each time, and never shorter than
# the gateway asks for.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30
# Without an answer of the gateway these may mean anything: the payment may be made.
NO_ANSWER = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
# After these answers the same request with the same id is the right thing to send.
REPEAT = {"PAYMENT_OUTCOME_UNKNOWN", "PAYMENT_IN_PROGRESS"}
# In these states, named by errors, nothing was paid and nothing will be.
NOT_PAID = {"REJECTED", "NOT_EXECUTED"}
SUCCEEDED, FAILED = pb.PAYMENT_STATE_SUCCEEDED, pb.PAYMENT_STATE_FAILED


@dataclasses.dataclass(frozen=True)
class Order:
    """What is paid, to whom, and under which id."""

    name: str
    wallet: str
    amount: str
    payment_id: str


class Orders:
    """Orders and their ids in a file that threads and processes may share.

    QIWI wants ids that differ and increase. An id is at least 1000 × Unix seconds and
    greater than every id before; it is on the disk, with its order, before it is used.
    One file belongs to one wallet, and all who pay from the wallet use that file.
    """

    def __init__(self, file):
        self.file = file
        with contextlib.closing(self._open()) as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS orders (payment_id INTEGER PRIMARY KEY,"
                " name TEXT NOT NULL UNIQUE, wallet TEXT NOT NULL, amount TEXT NOT NULL)"
            )

    def _open(self):
        # A connection for each use, so that no two threads share one.
        db = sqlite3.connect(self.file, timeout=60, isolation_level=None)
        db.execute("PRAGMA synchronous = FULL")
        return db

    def take(self, name, wallet, amount):
        """The order of that name: as it was stored before, or new and with an id."""
        with contextlib.closing(self._open()) as db:
            # From here to COMMIT nobody else reads or writes ids.
            db.execute("BEGIN IMMEDIATE")
            found = db.execute(
                "SELECT wallet, amount, payment_id FROM orders WHERE name = ?", [name]
            ).fetchone()
            if found is None:
                (last,) = db.execute("SELECT max(payment_id) FROM orders").fetchone()
                payment_id = max(1000 * int(time.time()), (last or 0) + 1)
                row = [payment_id, name, wallet, amount]
                db.execute("INSERT INTO orders VALUES (?, ?, ?, ?)", row)
                found = (wallet, amount, payment_id)
            db.execute("COMMIT")
        if found[:2] != (wallet, amount):
            raise ValueError(f"{name} was {found[1]} RUB to {found[0]} before; that stays")
        return Order(name, wallet, amount, str(found[2]))


def money(text):
    """Roubles from exact decimal text; no float on the way."""
    amount = decimal.Decimal(text)
    if amount != round(amount, 2):
        raise ValueError("the amount has more than two decimals")
    units = int(amount)
    return {"currency_code": "RUB", "units": units, "nanos": int((amount - units) * 10**9)}


def money_text(amount):
    """Exact decimal text of a Money."""
    fraction = f"{amount.nanos:09d}".rstrip("0").ljust(2, "0")
    return f"{amount.units}.{fraction} {amount.currency_code}"


def details(error):
    """The details of a failed call by name; empty where the gateway sent none."""
    found = {}
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        kind = getattr(error_details_pb2, packed.TypeName().rpartition(".")[2], None)
        if kind and packed.Unpack(message := kind()):
            found[kind.DESCRIPTOR.name] = message
    return found


class Unsettled(Exception):
    """There was not enough time to learn how the payment ended."""


def patiently(call, until):
    """Calls until there is an answer to keep; every repeat sends the very same request."""
    pause = FIRST_PAUSE
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            found = details(error)
            retry = found.get("RetryInfo")
            if info := found.get("ErrorInfo"):
                reason = info.reason
                # RetryInfo says that the same request may succeed later.
                again = retry is not None or reason in REPEAT
                again = again or error.code() is grpc.StatusCode.INTERNAL
                again = again and info.metadata.get("paymentState") not in NOT_PAID
            else:
                reason = error.code().name
                again = error.code() in NO_ANSWER
            if not again:
                raise
        asked = retry.retry_delay.ToNanoseconds() / 1e9 if retry else 0
        wait = max(asked, pause * random.uniform(0.5, 1))
        if time.monotonic() + wait > until:
            raise Unsettled(reason)
        print(f"{reason}: the same id again in {wait:.1f} s", file=sys.stderr, flush=True)
        time.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)


def pay(stub, order, until, deadline=30, reattempt=False):
    """Makes the payment, or learns what became of it if it was made before."""
    request = pb.CreatePaymentRequest(
        payment_id=order.payment_id,
        payment={
            "amount": money(order.amount),
            "wallet": {"wallet": order.wallet},
            "comment": order.name,
        },
        reattempt=reattempt,
    )
    reply = patiently(
        lambda: stub.CreatePayment(request, metadata=CREDENTIAL, timeout=deadline), until
    )
    return reply.payment


def settled(stub, payment, until):
    """Waits until the payment has succeeded or failed: accepted is not executed."""
    request = pb.GetPaymentRequest(payment_id=payment.payment_id)
    while payment.state not in (SUCCEEDED, FAILED):
        if time.monotonic() > until:
            raise Unsettled(pb.PaymentState.Name(payment.state))
        time.sleep(1)
        reply = patiently(
            lambda: stub.GetPayment(request, metadata=CREDENTIAL, timeout=10), until
        )
        payment = reply.payment
    return payment


def refused(error):
    """Says why a call was refused, and ends the program."""
    found = details(error)
    if "ErrorInfo" not in found:
        sys.exit(f"refused: {error.code().name} {error.details()}")
    info = found["ErrorInfo"]
    parts = [info.reason, error.details()]
    if bad := found.get("BadRequest"):
        parts += [f"{v.field}: {v.description}" for v in bad.field_violations]
    if text := found.get("LocalizedMessage"):
        parts.append(text.message)
    state = info.metadata.get("paymentState")
    not_paid = state in NOT_PAID or error.code() is grpc.StatusCode.INVALID_ARGUMENT
    if state == "NOT_EXECUTED":
        parts.append("--reattempt sends it once more")
    elif info.reason == "PAYMENT_ID_REUSED":
        parts.append("somebody pays from this wallet with ids of another file")
    elif not not_paid:
        parts.append("start again with the same order once this is mended")
    print("refused:", " | ".join(parts), file=sys.stderr)
    sys.exit(1 if not_paid else 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("order", help="your own name for what is paid")
    parser.add_argument("wallet", help="who gets the money: a number with country code")
    parser.add_argument("amount", help="roubles, such as 10.50")
    parser.add_argument("--orders", default="orders.db", help="the file that keeps the ids")
    parser.add_argument("--deadline", type=float, default=30, help="seconds for one call")
    parser.add_argument("--patience", type=float, default=300, help="seconds for everything")
    parser.add_argument("--reattempt", action="store_true", help="after NOT_EXECUTED only")
    given = parser.parse_args()

    until = time.monotonic() + given.patience
    money(given.amount)  # refuses what is no amount before it is kept
    # First the id goes to the disk, then the call is made.
    order = Orders(given.orders).take(given.order, given.wallet, given.amount)
    print(f"{order.name} is payment {order.payment_id}", file=sys.stderr, flush=True)
    stub = rpc.PaymentServiceStub(connection.connect())
    try:
        payment = pay(stub, order, until, given.deadline, given.reattempt)
        payment = settled(stub, payment, until)
    except Unsettled as reason:
        print(f"not known yet ({reason}): start again with the same order", file=sys.stderr)
        sys.exit(2)
    except grpc.RpcError as error:
        refused(error)
    state = pb.PaymentState.Name(payment.state).removeprefix("PAYMENT_STATE_")
    print(payment.payment_id, state, money_text(payment.amount), payment.transaction_id)
    sys.exit(0 if payment.state == SUCCEEDED else f"failed: {payment.error.message_ru}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, decimal.InvalidOperation) as error:
        sys.exit(f"not paid: {error}")
