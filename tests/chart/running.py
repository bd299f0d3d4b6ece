"""A gateway with its sandbox that has been called, so that its metrics are there."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from chart import ROOT

LISTENERS = ("grpc", "admin", "sandbox", "notifications")
# The demo wallets of the sandbox.
PAYEE = "79990000002"


class Running:
    """`serve --sandbox` on free ports; ended by `stop`."""

    def __init__(self, binary: pathlib.Path, folder: pathlib.Path):
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("QIWI_GATEWAY_")
        }
        for section in ("GRPC", "NOTIFICATIONS", "ADMIN", "SANDBOX"):
            environment[f"QIWI_GATEWAY_{section}__LISTEN"] = "127.0.0.1:0"
        environment["QIWI_GATEWAY_EVENTS__POLL_FASTEST"] = "100ms"
        environment["QIWI_GATEWAY_EVENTS__POLL_SLOWEST"] = "400ms"
        environment["QIWI_GATEWAY_SECURITY__RELOAD_INTERVAL"] = "200ms"
        self.folder = folder
        self.log = folder / "gateway.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [binary, "serve", "--sandbox"], stdout=out, stderr=out, env=environment
            )
        self.at: dict[str, str] = {}

    def wait(self) -> None:
        """Returns once every listener is bound."""
        self.until(lambda: all(name in self.listening() for name in LISTENERS))
        self.at = self.listening()

    def listening(self) -> dict[str, str]:
        found = {}
        for line in self.log.read_text().splitlines():
            if '"listening"' in line:
                entry = json.loads(line)
                found[entry["listener"]] = entry["address"]
        return found

    def until(self, done) -> None:
        end = time.monotonic() + 20
        while not done():
            assert time.monotonic() < end and self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def program(self, *words: str) -> None:
        """Runs one of the examples against it."""
        environment = os.environ | {
            "GATEWAY": self.at["grpc"], "SANDBOX": self.at["sandbox"],
            "PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
        }  # fmt: skip
        result = subprocess.run(
            [sys.executable, *words], env=environment, cwd=ROOT, capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr

    def post(self, listener: str, path: str, body: object) -> int:
        """Posts to a listener over HTTP; the status."""
        request = urllib.request.Request(
            f"http://{self.at[listener]}{path}",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def metrics(self) -> str:
        """The metrics page."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.at['admin']}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def exercise(self) -> None:
        """Reads, pays by wallet and card, is told by QIWI, and by somebody who is not QIWI."""
        self.program("examples/python/first_call.py")
        self.program(
            "examples/python/pay.py", "--orders", str(self.folder / "orders"), "1", PAYEE, "10.50"
        )
        self.program(
            "examples/python/cards.py", "--steps", str(self.folder / "steps"), "sale", "1", "7.50"
        )
        assert self.post("notifications", "/notifications/wallet/nobody", {}) >= 400
        self.until(lambda: 'qiwi_notifications_total{kind="pay"}' in self.metrics())

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
