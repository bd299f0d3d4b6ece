"""Shows what a wallet collects: one line for each rise of its balance, and the sum so far.

Usage, from the root of the repository, against `qiwi-gateway serve --sandbox`:

    pip install grpcio grpcio-tools grpcio-status
    python examples/python/donations.py

An information token suffices: the widget sees the balances and can move nothing. Any
number of widgets may run, each with a file of its own; the gateway asks QIWI once for
all of them. Rises between two polls are one line; falls are no donations.

Sum and cursor are kept together in a file. After a crash or a pause the widget goes on
where it was, with what came meanwhile. A line is printed once its rise is in the file,
so no rise is ever counted or printed twice.

The environment says where the gateway is; see connection.py.
"""

import argparse
import decimal

import following
from following import exact, kinds, say, text

BALANCES = kinds.EventFilter(kinds=[kinds.EVENT_KIND_BALANCE])
TABLES = [
    "accounts (alias TEXT PRIMARY KEY, holds TEXT NOT NULL)",
    "rises (event_id TEXT PRIMARY KEY, currency TEXT NOT NULL, amount TEXT NOT NULL)",
    "sums (currency TEXT PRIMARY KEY, collected TEXT NOT NULL)",
]


def rise(kept, event):
    """Books a balance; the line to print if it rose."""
    balance = event.balance
    alias, holds, currency = balance.alias, exact(balance.amount), balance.amount.currency_code
    # What this widget saw last counts: it is right even when events got lost between.
    last = kept.db.execute("SELECT holds FROM accounts WHERE alias = ?", [alias]).fetchone()
    if last:
        before = decimal.Decimal(last[0])
    elif balance.HasField("previous_amount"):
        before = exact(balance.previous_amount)
    else:
        before = holds  # the first that is ever heard of this account
    kept.db.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?)", [alias, str(holds)])
    if holds <= before:
        return None
    row = kept.db.execute("SELECT collected FROM sums WHERE currency = ?", [currency]).fetchone()
    collected = decimal.Decimal(row[0] if row else 0) + holds - before
    kept.db.execute("INSERT OR REPLACE INTO sums VALUES (?, ?)", [currency, str(collected)])
    booked = [event.event_id, currency, text(holds - before)]
    kept.db.execute("INSERT INTO rises VALUES (?, ?, ?)", booked)
    return f"+{text(holds - before)} {currency}, collected {text(collected)} {currency}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--file", default="donations.db", help="keeps the sum and the cursor")
    parser.add_argument("--credential", default="demo-info", help="a credential of the gateway")
    given = parser.parse_args()

    kept = following.Kept(given.file, TABLES)
    for currency, collected in kept.db.execute("SELECT currency, collected FROM sums"):
        say(f"so far {text(decimal.Decimal(collected))} {currency}")
    for response in following.follow(given.credential, BALANCES, kept.cursor()):
        with kept.transaction():
            lines = [rise(kept, event) for event in response.events if kept.is_new(event)]
            # Heartbeats move the place as well.
            kept.move(response.cursor)
        for line in filter(None, lines):
            print(line, flush=True)


if __name__ == "__main__":
    following.main(main)
