"""What donations.py, follow_events.py and seminar.py share: going on from a cursor, whatever breaks.

`follow` reads the gateway's events without an end. It opens another stream when one
ends, from the last place that was handled. The effect of events belongs on the disk
together with the cursor, in one transaction: then each event counts exactly once.
"""

import contextlib
import decimal
import random
import sqlite3
import sys
import threading
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import connection

sys.path.append("proto")
events, rpc = grpc.protos_and_services("qiwi/events/v1/stream.proto")
kinds = grpc.protos("qiwi/events/v1/event.proto")

# A stream that is silent for three heartbeats is taken for dead.
HEARTBEAT = 15
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30
# The log no longer holds what follows the cursor, or is another log.
LOST_PLACE = {"CURSOR_EXPIRED", "LOG_REWOUND"}
# After these another stream may go on from the same place.
AGAIN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
}


class Kept:
    """A file with the cursor, the events handled, and whatever the program keeps there."""

    def __init__(self, file, tables):
        self.db = sqlite3.connect(file, timeout=60, isolation_level=None)
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("CREATE TABLE IF NOT EXISTS handled (event_id TEXT PRIMARY KEY)")
        self.db.execute("CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY, cursor BLOB)")
        for table in tables:
            self.db.execute(f"CREATE TABLE IF NOT EXISTS {table}")

    @contextlib.contextmanager
    def transaction(self):
        """All of it reaches the disk, or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def cursor(self):
        """Where to go on; None in a new file."""
        row = self.db.execute("SELECT cursor FROM place").fetchone()
        return row and row[0]

    def move(self, cursor):
        """Keeps the cursor; within the transaction of what was done up to there."""
        self.db.execute("INSERT OR REPLACE INTO place VALUES (1, ?)", [cursor])

    def is_new(self, event):
        """False if the event was handled before: a log that was filled again repeats."""
        done = self.db.execute("INSERT OR IGNORE INTO handled VALUES (?)", [event.event_id])
        return done.rowcount == 1


def explained(error):
    """The reason of a failed stream and the pause the gateway asks for, in seconds."""
    reason, pause = error.code().name, 0
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if packed.Unpack(info):
            reason = info.reason
        elif packed.Unpack(retry):
            pause = retry.retry_delay.ToNanoseconds() / 1e9
    return reason, pause


def heard(call):
    """The responses of a stream; one that falls silent is cancelled."""
    while True:
        watchdog = threading.Timer(3 * HEARTBEAT, call.cancel)
        watchdog.daemon = True
        watchdog.start()
        try:
            response = next(call, None)
        finally:
            watchdog.cancel()
        if response is None:
            return
        yield response


def follow(credential, selected, cursor):
    """Yields every response behind the cursor; without one, what comes from now on.

    The next response is asked for after the one before was handled, so the place in
    here never runs ahead of the one on the disk.
    """
    metadata = connection.named(credential)
    start = {"cursor": cursor} if cursor else {"anchor": kinds.LOG_ANCHOR_LATEST}
    pause = FIRST_PAUSE
    with connection.connect() as channel:
        stub = rpc.EventServiceStub(channel)
        while True:
            request = events.SubscribeRequest(
                filter=selected, start=start, heartbeat_interval={"seconds": HEARTBEAT}
            )
            reason, asked = "the stream ended", 0
            try:
                for response in heard(stub.Subscribe(request, metadata=metadata)):
                    yield response
                    start = {"cursor": response.cursor}
                    pause = FIRST_PAUSE
            except grpc.RpcError as error:
                reason, asked = explained(error)
                if reason in LOST_PLACE:
                    # From the oldest event that is left; those handled before are known.
                    start = {"anchor": kinds.LOG_ANCHOR_EARLIEST}
                elif error.code() not in AGAIN:
                    raise
            wait = max(asked, pause * random.uniform(0.5, 1))
            say(f"{reason}: another stream in {wait:.1f} s")
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)


def exact(money):
    """A Money as a decimal number; no float on the way."""
    return decimal.Decimal(money.units) + decimal.Decimal(money.nanos).scaleb(-9)


def text(amount):
    """Decimal text with the two digits people expect, and more only where there are."""
    return str(amount.quantize(decimal.Decimal("0.01"), context=EXACT))


# Says so instead of rounding: QIWI has no amounts finer than a kopeck.
EXACT = decimal.Context(prec=40, traps=[decimal.Inexact, decimal.InvalidOperation])


def say(what):
    """A word for people; standard output is for results."""
    print(what, file=sys.stderr, flush=True)


def main(run):
    """Runs a program until Ctrl-C or a failure that no repeat mends."""
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(130)
    except grpc.RpcError as error:
        sys.exit(f"refused: {explained(error)[0]} {error.details()}")
