"""What checks of the two stories share: the programs, and what was paid into the wallet.

The stories are examples/python/donations.py and seminar.py, with an information token.
"""

import contextlib
import decimal
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import gateway

PRICE = "500"
INFORMATION = [("x-qiwi-credential", "demo-info")]
# What is waited for takes a second or two; a busy machine takes its time.
PATIENCE = 20

folder = tempfile.TemporaryDirectory(prefix="qiwi-gateway-events-")


def until(condition, what, patience=PATIENCE):
    """Waits for a condition and returns what it returned."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {patience} s"
        time.sleep(0.03)
    return found


class Program:
    """An example with its file; it may be killed and started again."""

    def __init__(self, name, program, *words):
        self.file = pathlib.Path(folder.name, f"{name}.db")
        self.command = [sys.executable, f"examples/python/{program}", *words]
        self.command += ["--file", str(self.file)]
        self.printed, self.log = [], pathlib.Path(folder.name, f"{name}.log")
        self.start()

    def start(self):
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command, env=os.environ, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.reader = threading.Thread(target=self._read, args=[self.process], daemon=True)
        self.reader.start()

    def _read(self, process):
        for line in process.stdout:
            self.printed.append(line.rstrip("\n"))

    def kill(self):
        """SIGKILL: nothing of the program runs afterwards."""
        assert self.process.poll() is None, f"ended by itself:\n{self.log.read_text()}"
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def rows(self, query):
        """What its file holds; nothing while there is no table."""
        if not self.file.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.file, timeout=60)) as db:
            try:
                return db.execute(query).fetchall()
            except sqlite3.OperationalError as error:
                assert "no such table" in str(error), error
                return []

    def rises(self):
        return self.rows("SELECT event_id, currency, amount FROM rises ORDER BY rowid")

    def collected(self):
        """The sum of roubles in the file."""
        rows = self.rows("SELECT collected FROM sums WHERE currency = 'RUB'")
        return decimal.Decimal(rows[0][0]) if rows else decimal.Decimal(0)

    def admitted(self):
        return sorted(self.rows("SELECT transaction_id, email, paid FROM admitted"))


class Payments:
    """What was paid into the wallet, and whom that should admit."""

    def __init__(self):
        self.total, self.amounts, self.admitted = decimal.Decimal(0), [], []

    def make(self, amount, comment=None):
        body = {"amount": amount, "account": "79995550000", "comment": comment}
        transaction = str(gateway.sandbox("POST", "incoming", body)["txnId"])
        self.amounts.append(amount)
        self.total += decimal.Decimal(amount)
        email = next((word for word in (comment or "").split() if "@" in word), None)
        if email and decimal.Decimal(amount) >= decimal.Decimal(PRICE):
            self.admitted = sorted([*self.admitted, (transaction, email, amount)])
        return transaction
