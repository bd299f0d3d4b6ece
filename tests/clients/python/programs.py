"""The three examples there are in every language, and what they keep on the disk.

`read_wallet`, `pay` and `follow_events` take the same words everywhere, so that one check
serves all of them.
"""

import contextlib
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import sys

BUILT = pathlib.Path(".tools/clients").resolve()


def _java(name):
    classpath = (BUILT / "classpath").read_text().strip()
    # A program that runs for seconds needs no second compiler.
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    libraries = f"-Djava.library.path={BUILT / 'native'}"
    return ["java", *quick, libraries, "-cp", classpath, name]


LANGUAGES = {
    "python": lambda name: [sys.executable, f"examples/python/{name}.py"],
    "node": lambda name: ["node", f"examples/node/{name}.mjs"],
    "go": lambda name: [str(BUILT / "bin" / name)],
    "java": lambda name: _java("qiwi.examples." + name.title().replace("_", "")),
}


class Program:
    """One run of an example."""

    def __init__(self, language, name, words, log, gateway=None):
        self.log = pathlib.Path(log)
        with self.log.open("a") as file:
            self.process = subprocess.Popen(
                [*LANGUAGES[language](name), *map(str, words)],
                env=os.environ | ({"GATEWAY": gateway} if gateway else {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )

    def ended(self, seconds):
        """Its exit status, what it printed, and what it said to people in all of its runs."""
        out, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, self.log.read_text()

    def kill(self):
        """SIGKILL: nothing of the program runs afterwards."""
        assert self.process.poll() is None, f"ended by itself:\n{self.log.read_text()}"
        self.close()

    def close(self):
        """Leaves nothing behind, also of a program that has ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def payment_id(log):
    """The id that `pay` said it had stored, once it did."""
    found = re.search(r"is payment (\d+)$", log, re.MULTILINE)
    return found and found[1]


def kept(language, file):
    """What `follow_events` has on the disk: whether it has a place, and its events in order."""
    file = pathlib.Path(file)
    if not file.exists():
        return False, []
    if language == "python":
        return _rows(file)
    text = file.read_bytes()
    # A line that is being written is not there yet.
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    entries = [json.loads(line) for line in lines]
    events = [event for entry in entries for event in entry["events"]]
    return bool(entries), [
        (event["event_id"], int(event["sequence"]), event["transaction_id"]) for event in events
    ]


def _rows(file):
    with contextlib.closing(sqlite3.connect(file, timeout=60)) as db:
        try:
            placed = bool(db.execute("SELECT 1 FROM place").fetchall())
            return placed, db.execute("SELECT * FROM events ORDER BY rowid").fetchall()
        except sqlite3.OperationalError as error:
            assert "no such table" in str(error), error
            return False, []
