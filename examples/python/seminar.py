"""Admits to a paid seminar everybody whose payment arrives, each payment exactly once.

Usage, from the root of the repository, against `qiwi-gateway serve --sandbox`:

    pip install grpcio grpcio-tools grpcio-status
    python examples/python/seminar.py PRICE

Who pays at least PRICE roubles and writes an e-mail address into the comment is
admitted. An information token suffices; no payment has to be looked for by hand.

Admissions and cursor are kept together in a file, so that a crash neither loses nor
repeats one. A line is printed once its admission is in the file; whoever sends tickets
takes them from the table `admitted`, which also has those whose line a crash swallowed.
What only a notification told waits until QIWI confirms it.

The environment says where the gateway is; see connection.py.
"""

import argparse
import decimal
import re

import following
from following import exact, kinds, text

history = following.grpc.protos("qiwi/wallet/v1/history.proto")

INCOMING = kinds.EventFilter(
    kinds=[
        kinds.EVENT_KIND_TRANSACTION,
        kinds.EVENT_KIND_CONFIRMATION,
        kinds.EVENT_KIND_CONTRADICTION,
    ],
    transaction_types=[history.TRANSACTION_TYPE_IN],
    statuses=["SUCCESS"],
)
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
TABLES = [
    "admitted (transaction_id TEXT PRIMARY KEY, email TEXT NOT NULL, paid TEXT NOT NULL)",
    # The signature of a notification does not cover its status: QIWI's word is awaited.
    "waiting (event_id TEXT PRIMARY KEY, transaction_id TEXT NOT NULL,"
    " email TEXT NOT NULL, paid TEXT NOT NULL)",
]


def application(event, price):
    """Transaction, address and amount of a payment that suffices, or None."""
    paid = event.transaction
    address = EMAIL.search(paid.comment)
    if not address or not paid.HasField("amount") or paid.amount.currency_code != "RUB":
        return None
    amount = exact(paid.amount)
    return (paid.transaction_id, address[0], text(amount)) if amount >= price else None


def admit(kept, transaction_id, email, paid):
    """The line to print, unless this payment admitted somebody before."""
    row = [transaction_id, email, paid]
    done = kept.db.execute("INSERT OR IGNORE INTO admitted VALUES (?, ?, ?)", row)
    if done.rowcount == 0:
        return None
    return f"admitted {email} for {paid} RUB, transaction {transaction_id}"


def handle(kept, event, price):
    """What an event changes in the file; the line to print if it admits somebody."""
    if event.kind == kinds.EVENT_KIND_TRANSACTION:
        found = application(event, price)
        if not found:
            return None
        if event.verification == kinds.EVENT_VERIFICATION_API_CONFIRMED:
            return admit(kept, *found)
        kept.db.execute("INSERT INTO waiting VALUES (?, ?, ?, ?)", [event.event_id, *found])
        return None
    subject = [event.confirmation.subject_event_id]
    columns = "transaction_id, email, paid"
    row = kept.db.execute(f"SELECT {columns} FROM waiting WHERE event_id = ?", subject).fetchone()
    kept.db.execute("DELETE FROM waiting WHERE event_id = ?", subject)
    confirmed = event.kind == kinds.EVENT_KIND_CONFIRMATION
    return admit(kept, *row) if row and confirmed else None


def roubles(words):
    """The price as it is typed."""
    try:
        price = decimal.Decimal(words)
    except decimal.InvalidOperation:
        price = decimal.Decimal(0)
    if not price.is_finite() or price <= 0:
        raise argparse.ArgumentTypeError("the price is a positive number such as 499.90")
    return price


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("price", type=roubles, help="roubles, such as 500 or 499.90")
    parser.add_argument("--file", default="seminar.db", help="keeps admissions and the cursor")
    parser.add_argument("--credential", default="demo-info", help="a credential of the gateway")
    given = parser.parse_args()

    kept = following.Kept(given.file, TABLES)
    for response in following.follow(given.credential, INCOMING, kept.cursor()):
        with kept.transaction():
            fresh = [event for event in response.events if kept.is_new(event)]
            lines = [handle(kept, event, given.price) for event in fresh]
            # Heartbeats move the place as well.
            kept.move(response.cursor)
        for line in filter(None, lines):
            print(line, flush=True)


if __name__ == "__main__":
    following.main(main)
