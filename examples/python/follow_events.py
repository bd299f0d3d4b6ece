"""Follows the transactions of a wallet: each exactly once, whatever breaks in between.

Usage, from the root of the repository, against `qiwi-gateway serve --sandbox`:

    pip install grpcio grpcio-tools grpcio-status
    python examples/python/follow_events.py FILE

FILE keeps the events together with the cursor. The program may be killed at any moment:
started again it goes on where it was, with what came meanwhile. An information token
suffices. donations.py and seminar.py do more with what they hear.

The environment says where the gateway is; see connection.py.
"""

import argparse

import following
from following import kinds

TRANSACTIONS = kinds.EventFilter(kinds=[kinds.EVENT_KIND_TRANSACTION])
TABLES = ["events (event_id TEXT PRIMARY KEY, sequence INTEGER, transaction_id TEXT)"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", help="keeps the events and the cursor")
    given = parser.parse_args()

    kept = following.Kept(given.file, TABLES)
    for response in following.follow("demo-info", TRANSACTIONS, kept.cursor()):
        with kept.transaction():
            fresh = [event for event in response.events if kept.is_new(event)]
            for event in fresh:
                row = [event.event_id, event.sequence, event.transaction.transaction_id]
                kept.db.execute("INSERT INTO events VALUES (?, ?, ?)", row)
            # Heartbeats move the place as well.
            kept.move(response.cursor)
        for event in fresh:
            print(event.event_id, event.transaction.transaction_id, flush=True)


if __name__ == "__main__":
    following.main(main)
