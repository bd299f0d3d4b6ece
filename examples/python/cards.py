"""Takes cards through QIWI PAY: each step once, whatever happens in between.

Usage, from the root of the repository, against `qiwi-gateway serve --sandbox`:

    pip install grpcio grpcio-tools grpcio-status
    python examples/python/cards.py sale order-1 7.00
    python examples/python/cards.py sale order-2 5.00 --holder "unknown name"
    python examples/python/cards.py authorize order-3 10.00
    python examples/python/cards.py reverse order-3 2.50
    python examples/python/cards.py capture order-3
    python examples/python/cards.py refund order-1 1.50
    python examples/python/cards.py payout order-4 3.00 --to order-1
    python examples/python/cards.py status order-3
    python examples/python/cards.py form order-5 4.20 > pay.html

The first argument is your own name of the order. Started again with the same words, after
a crash or a power cut as well, the program goes on with the step it had begun. The holder
"unknown name" has to pass 3-D Secure, where this program plays the customer's browser.

The environment says where the gateway is; see connection.py.
Exit status: 0 done, 1 not done, 2 not known yet: start it again with the same words.
"""

import argparse
import contextlib
import decimal
import json
import os
import sqlite3
import sys
import time
import urllib.parse
import urllib.request
import uuid

import grpc

import connection
from pay import Unsettled, details, money, money_text, patiently

sys.path.append("proto")
pb, rpc = grpc.protos_and_services("qiwi/pay/v1/acquiring.proto")
forms, forms_rpc = grpc.protos_and_services("qiwi/pay/v1/payment_form.proto")
transactions = grpc.protos("qiwi/pay/v1/transaction.proto")

# The merchant's credential at the gateway: certificate and secret key never leave it.
CREDENTIAL = connection.named("demo-pay")
# A card of the sandbox. A shop has it from its customer, in memory and for one call, and
# needs a PCI DSS certificate even for that; without one the customer pays in QIWI's form.
PAN, EXPIRY_YEAR, CVV2 = "4111111111111111", 2049, "123"
# Where the issuer sends the customer's browser back to.
TERM_URL = "http://127.0.0.1:8000/back"

KINDS = {
    "sale": transactions.OPERATION_KIND_SALE,
    "authorize": transactions.OPERATION_KIND_AUTHORIZE,
    "capture": transactions.OPERATION_KIND_CAPTURE,
    "reverse": transactions.OPERATION_KIND_REVERSE,
    "refund": transactions.OPERATION_KIND_REFUND,
    "payout": transactions.OPERATION_KIND_PAYOUT,
}
SUCCEEDED = pb.OPERATION_STATE_SUCCEEDED
FINAL = {SUCCEEDED, pb.OPERATION_STATE_FAILED, pb.OPERATION_STATE_REJECTED}
# Somebody is at work on it, or nobody knows yet what became of it.
AT_WORK = {pb.OPERATION_STATE_IN_PROGRESS, pb.OPERATION_STATE_UNCERTAIN}
# In these states, named by errors, nothing was done and nothing will be.
NOT_DONE = {"REJECTED", "NOT_EXECUTED"}
PURCHASES = {transactions.TRANSACTION_TYPE_PURCHASE, transactions.TRANSACTION_TYPE_AUTHORIZATION}
# From here on the customer has paid, and goods may be delivered.
PAID = {
    transactions.TRANSACTION_STATUS_AUTHORIZED,
    transactions.TRANSACTION_STATUS_CAPTURED,
    transactions.TRANSACTION_STATUS_RECONCILED,
    transactions.TRANSACTION_STATUS_SETTLED,
}


class Steps:
    """The steps of orders in a file that processes may share: what was begun, and its id.

    Of cards it has only the tokens QIWI made for them. One of these is as good as the card
    at this merchant, and told once: it goes to the disk, and the file is for nobody else.
    """

    def __init__(self, file):
        self.file = file
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        with contextlib.closing(self._open()) as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS steps (name TEXT, step TEXT, what TEXT NOT NULL,"
                " id TEXT NOT NULL UNIQUE, PRIMARY KEY (name, step))"
            )
            db.execute("CREATE TABLE IF NOT EXISTS tokens (name TEXT PRIMARY KEY, token TEXT)")

    def _open(self):
        # Without a transaction of its own each statement is on the disk when it returns.
        db = sqlite3.connect(self.file, timeout=60, isolation_level=None)
        db.execute("PRAGMA synchronous = FULL")
        return db

    def take(self, name, step, what, new_id):
        """The id of a step: the one stored before, or the new one."""
        with contextlib.closing(self._open()) as db:
            row = [name, step, what, new_id]
            db.execute("INSERT OR IGNORE INTO steps VALUES (?, ?, ?, ?)", row)
            query = "SELECT what, id FROM steps WHERE name = ? AND step = ?"
            was, kept = db.execute(query, [name, step]).fetchone()
        if was != what:
            raise ValueError(f"{name} was begun as {was} before; that stays")
        return kept

    def keep_token(self, name, token):
        """Keeps the token of the card that paid an order."""
        with contextlib.closing(self._open()) as db:
            db.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?)", [name, token])

    def token(self, name):
        """The token of the card that paid an order."""
        with contextlib.closing(self._open()) as db:
            row = db.execute("SELECT token FROM tokens WHERE name = ?", [name]).fetchone()
        if row is None:
            raise ValueError(f"no card is known of {name}")
        return row[0]


class Till:
    """The gateway's methods for this merchant, with the patience for one step."""

    def __init__(self, steps, patience, deadline=30, reattempt=False):
        channel = connection.connect()
        self.acquiring = rpc.AcquiringServiceStub(channel)
        self.forms = forms_rpc.PaymentFormServiceStub(channel)
        self.steps, self.deadline, self.reattempt = steps, deadline, reattempt
        self.until = time.monotonic() + patience

    def call(self, method, request, timeout=None):
        """Repeats the very same request until there is an answer to keep."""
        timeout = timeout or self.deadline
        return patiently(lambda: method(request, metadata=CREDENTIAL, timeout=timeout), self.until)

    def known(self, kind, operation_id):
        """What the gateway knows of an operation; None if it has sent none of this id."""
        request = pb.GetOperationRequest(kind=kind, operation_id=operation_id)
        try:
            return self.call(self.acquiring.GetOperation, request, 10).operation
        except grpc.RpcError as error:
            info = details(error).get("ErrorInfo")
            if info is None or info.reason != "PAYMENT_NOT_FOUND":
                raise
            return None

    def settled(self, operation, states=AT_WORK | {pb.OPERATION_STATE_ACCEPTED}):
        """Waits while an operation is in one of these states."""
        while operation.state in states:
            if time.monotonic() > self.until:
                raise Unsettled(pb.OperationState.Name(operation.state))
            time.sleep(1)
            operation = self.known(operation.kind, operation.operation_id)
        return operation

    def buy(self, command, name, amount, holder, month, says):
        """Takes the money of an order, or holds it, or learns what became of that before."""
        order_id = self.steps.take(name, "order", f"{command} {amount}", name)
        # After a crash nobody may have the card any more, and this needs none.
        known = self.known(KINDS[command], order_id)
        known = known and self.settled(known, AT_WORK)
        if known and known.state in FINAL:
            return known
        card = {"pan": PAN, "expiry_month": month, "expiry_year": EXPIRY_YEAR, "cvv2": CVV2}
        fields = {
            "order": {"order_id": order_id},
            "amount": money(amount),
            "instrument": {"card": card | {"holder_name": holder}},
            "reattempt": self.reattempt,
        }
        if command == "sale":
            reply = self.call(self.acquiring.Sale, pb.SaleRequest(**fields))
        else:
            reply = self.call(self.acquiring.Authorize, pb.AuthorizeRequest(**fields))
        if reply.HasField("three_ds"):
            self.authenticate(name, reply, says)
            return self.settled(self.known(KINDS[command], order_id))
        if reply.HasField("card_token"):
            self.steps.keep_token(name, reply.card_token.card_token)
        return self.settled(reply.operation)

    def authenticate(self, name, reply, says):
        """Takes the customer to the issuer and back, and finishes the payment."""
        request = forms.Build3dsFormRequest(
            acs_url=reply.three_ds.acs_url,
            pareq=reply.three_ds.pareq,
            md=name,
            term_url=TERM_URL,
        )
        # A shop answers its customer with `html` of this, which sends itself.
        form = self.call(self.forms.Build3dsForm, request, 10)
        pares = issuer(form, says)
        transaction_id = reply.operation.transaction.transaction_id
        request = pb.Finish3dsRequest(transaction_id=transaction_id, pares=pares)
        reply = self.call(self.acquiring.Finish3ds, request)
        if reply.HasField("card_token"):
            self.steps.keep_token(name, reply.card_token.card_token)

    def paid(self, name):
        """The transaction that paid an order, as QIWI has it."""
        request = pb.GetStatusRequest(order_id=name)
        found = self.call(self.acquiring.GetStatus, request, 10).transactions
        paid = [of for of in found if of.type in PURCHASES and of.status in PAID]
        if not paid:
            raise ValueError(f"{name} is not paid")
        return paid[0]

    def change(self, command, name, amount, part):
        """Captures, reverses or refunds; no amount means all of it."""
        request_id = self.steps.take(
            name, f"{command} {part}", f"{command} {amount or 'all'}", str(uuid.uuid4())
        )
        fields = {
            "request_id": request_id,
            "transaction_id": self.paid(name).transaction_id,
            "reattempt": self.reattempt,
        }
        if amount:
            fields["amount"] = money(amount)
        method, request = {
            "capture": (self.acquiring.Capture, pb.CaptureRequest),
            "reverse": (self.acquiring.Reverse, pb.ReverseRequest),
            "refund": (self.acquiring.Refund, pb.RefundRequest),
        }[command]
        return self.settled(self.call(method, request(**fields)).operation)

    def pay_out(self, name, amount, other):
        """Pays to the card that paid another order."""
        order_id = self.steps.take(name, "order", f"payout {amount} to {other}", name)
        request = pb.PayoutRequest(
            order={"order_id": order_id},
            amount=money(amount),
            instrument={"card_token": {"token": self.steps.token(other)}},
            reattempt=self.reattempt,
        )
        return self.settled(self.call(self.acquiring.Payout, request).operation)

    def form(self, name, amount):
        """The page that takes a customer to QIWI's payment form."""
        order_id = self.steps.take(name, "order", f"form {amount}", name)
        request = forms.BuildPaymentFormRequest(
            scheme=forms.PAYMENT_FORM_SCHEME_SALE,
            amount=money(amount),
            order={"order_id": order_id},
        )
        return self.call(self.forms.BuildPaymentForm, request, 10)


def submit(url, fields):
    """Sends a form as a browser does. The sandbox's pages answer scripts with what is in them."""
    body = urllib.parse.urlencode(fields).encode()
    request = urllib.request.Request(url, body, {"accept": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def issuer(form, says):
    """Plays a customer and their browser at the issuer of the sandbox: the `PaRes`."""
    page = submit(form.action_url, {field.name: field.value for field in form.fields})
    # The page holds another form; a browser reads its address beside that of the page.
    action = urllib.parse.urljoin(form.action_url, page.pop("action"))
    back = submit(action, page | {"answer": says})
    # With this the browser comes to `TERM_URL`, where `MD` tells the shop which order it is.
    return back["PaRes"]


def short(enum, number):
    """A value without the name of its enum: CAPTURED."""
    prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in enum.DESCRIPTOR.name)[1:]
    return enum.Name(number).removeprefix(f"{prefix}_")


def about(transaction):
    """A transaction in a line: what it is, how it stands and what may follow."""
    words = [
        transaction.transaction_id,
        short(transactions.TransactionType, transaction.type),
        short(transactions.TransactionStatus, transaction.status),
    ]
    if transaction.HasField("amount"):
        words.append(money_text(transaction.amount))
    if transaction.HasField("error"):
        words.append(f"{transaction.error.code_raw}: {transaction.error.message_ru}")
    may = [short(transactions.OperationKind, of) for of in transaction.next_operations]
    return " ".join(words) + (f"; next {' or '.join(may)}" if may else "")


def outcome(operation):
    """What an operation came to, in the words of its transaction where it has one."""
    state = short(pb.OperationState, operation.state)
    if not operation.HasField("transaction"):
        return f"{state} {operation.error.code_raw}: {operation.error.message_ru}"
    transaction = operation.transaction
    # QIWI does not repeat every amount.
    if operation.HasField("amount") and not transaction.HasField("amount"):
        transaction.amount.CopyFrom(operation.amount)
    return f"{state} {about(transaction)}"


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
    if state == "NOT_EXECUTED":
        parts.append("--reattempt sends it once more")
    elif state == "REJECTED":
        parts.append("that is final; what is tried again is another order, or another part")
    print("refused:", " | ".join(parts), file=sys.stderr)
    not_done = state in NOT_DONE or error.code() is grpc.StatusCode.INVALID_ARGUMENT
    sys.exit(1 if not_done else 2)


def perform(till, given):
    """One step; the operation it came to, or None where there is none."""
    match given.command:
        case "sale" | "authorize":
            holder, month, says = given.holder, given.month, given.says
            return till.buy(given.command, given.order, given.amount, holder, month, says)
        case "capture" | "reverse" | "refund":
            return till.change(given.command, given.order, given.amount, given.part)
        case "payout":
            return till.pay_out(given.order, given.amount, given.to)
        case "status":
            request = pb.GetStatusRequest(order_id=given.order)
            for transaction in till.call(till.acquiring.GetStatus, request, 10).transactions:
                print(about(transaction))
        case "form":
            print(till.form(given.order, given.amount).html)
    return None


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", default="cards.db", help="the file that keeps the ids")
    parser.add_argument("--deadline", type=float, default=30, help="seconds for one call")
    parser.add_argument("--patience", type=float, default=300, help="seconds for everything")
    parser.add_argument("--reattempt", action="store_true", help="after NOT_EXECUTED only")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in [*KINDS, "status", "form"]:
        one = commands.add_parser(command)
        one.add_argument("order", help="your own name of the order")
        if command in ("sale", "authorize", "payout", "form"):
            one.add_argument("amount", help="roubles, such as 7.50")
        if command in ("sale", "authorize"):
            one.add_argument("--holder", default="CARD HOLDER", help="as on the card")
            one.add_argument("--month", type=int, default=12, help="in which the card expires")
            one.add_argument("--says", choices=["confirm", "deny"], default="confirm")
        if command in ("reverse", "refund"):
            one.add_argument("amount", nargs="?", help="roubles; all of it without")
            one.add_argument("--part", type=int, default=1, help="2 for the second of an order")
        if command == "capture":
            one.set_defaults(amount=None, part=1)
        if command == "payout":
            one.add_argument("--to", required=True, help="the order whose card is paid to")
    return parser.parse_args()


def main():
    given = arguments()
    if getattr(given, "amount", None):
        money(given.amount)  # refuses what is no amount before it is kept
    till = Till(Steps(given.steps), given.patience, given.deadline, given.reattempt)
    try:
        operation = perform(till, given)
    except Unsettled as reason:
        print(f"not known yet ({reason}): start again with the same words", file=sys.stderr)
        sys.exit(2)
    except grpc.RpcError as error:
        refused(error)
    if operation is None:
        return
    print(given.command, given.order, outcome(operation))
    sys.exit(0 if operation.state == SUCCEEDED else 1)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, decimal.InvalidOperation) as error:
        sys.exit(f"not done: {error}")
