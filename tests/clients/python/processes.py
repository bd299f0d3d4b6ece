"""Starts gateways and sandboxes of a check's own: those that are stopped, restarted, or many.

`QIWI_GATEWAY`, the built program, is in the environment; tests/clients/run.py puts it there.
"""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time
import urllib.request

START_SECONDS, STOP_SECONDS = 30, 60
GIVEN = set()
# The demo wallet of the sandbox, and the tokens that open it there.
CREDENTIALS = {
    "QIWI_GATEWAY_CREDENTIALS__DEMO__KIND": "wallet",
    "QIWI_GATEWAY_CREDENTIALS__DEMO__WALLET": "79990000001",
    "QIWI_GATEWAY_CREDENTIALS__DEMO__TOKEN_ENV": "DEMO_TOKEN",
    "QIWI_GATEWAY_CREDENTIALS__DEMO-INFO__KIND": "information",
    "QIWI_GATEWAY_CREDENTIALS__DEMO-INFO__WALLET": "79990000001",
    "QIWI_GATEWAY_CREDENTIALS__DEMO-INFO__TOKEN_ENV": "DEMO_INFORMATION_TOKEN",
    "DEMO_TOKEN": "sandbox-wallet-token",
    "DEMO_INFORMATION_TOKEN": "sandbox-information-token",
}
# Events are found by polling: often, to be quick. What QIWI permits in a minute is taken in a
# quarter of one, of which polling has a fifth.
QUICK = {
    "QIWI_GATEWAY_EVENTS__POLL_FASTEST": "100ms",
    "QIWI_GATEWAY_EVENTS__POLL_SLOWEST": "400ms",
    "QIWI_GATEWAY_LIMIT__PERIOD": "15s",
}


def free_port():
    """A port that nobody listens on now and nobody here was given, for a process that has to keep
    it when restarted: not one of those that outgoing connections get."""
    while True:
        number = random.randrange(20_000, 32_000)
        with socket.socket() as port:
            try:
                port.bind(("127.0.0.1", number))
            except OSError:
                continue
        if number not in GIVEN:
            GIVEN.add(number)
            return number


class Process:
    """One process of the program; the addresses it bound are in its log."""

    def __init__(self, log, wanted, words, environment):
        self.log, self.wanted, self.listening = pathlib.Path(log), wanted, {}
        self.ready = threading.Event()
        own = {name: value for name, value in os.environ.items() if not _configures(name)}
        self.process = subprocess.Popen(
            [os.environ["QIWI_GATEWAY"], *words],
            cwd=self.log.parent,
            env=own | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        with self.log.open("a") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict) and entry.get("event") == "listening":
                    self.listening[entry["listener"]] = entry["address"]
                    if all(name in self.listening for name in self.wanted):
                        self.ready.set()

    def wait(self):
        """Returns itself once every listener is bound."""
        deadline = time.monotonic() + START_SECONDS
        while not self.ready.wait(0.05):
            assert self.process.poll() is None, f"ended at once:\n{self.tail()}"
            assert time.monotonic() < deadline, f"bound only {self.listening}:\n{self.tail()}"
        return self

    def terminate(self):
        """SIGTERM: it drains from now on."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self):
        """Waits for the end after `terminate`; it has to be a good one."""
        status = self.process.wait(STOP_SECONDS)
        assert status == 0, f"exit {status} after SIGTERM:\n{self.tail()}"

    def kill(self):
        """Nothing of it is left, whatever the check came to."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def tail(self):
        return "\n".join(self.log.read_text().splitlines()[-15:])


def _configures(name):
    """A configuration of the caller's own must not reach the processes of a check."""
    return name.startswith(("QIWI_GATEWAY_", "OTEL_"))


class Sandbox(Process):
    """`qiwi-gateway sandbox`: one QIWI for several gateways."""

    def __init__(self, folder):
        words = ["sandbox", "--listen", "127.0.0.1:0"]
        super().__init__(pathlib.Path(folder, "sandbox.log"), ["sandbox"], words, {})

    @property
    def address(self):
        return self.listening["sandbox"]

    def ask(self, method, path, body=None):
        """One request to the sandbox's own interface; what it answers, if anything."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        url = f"http://{self.address}/__sandbox/{path}"
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")


class Gateway(Process):
    """`qiwi-gateway serve` in front of a sandbox, on a port that it has again after a restart."""

    def __init__(self, folder, name, sandbox, port, extra=None):
        self.port = port
        upstream = f"http://{sandbox.address}"
        environment = CREDENTIALS | QUICK
        environment |= {
            f"QIWI_GATEWAY_{section}__LISTEN": "127.0.0.1:0"
            for section in ("NOTIFICATIONS", "ADMIN")
        }
        environment |= {
            f"QIWI_GATEWAY_UPSTREAM__{host}_URL": upstream for host in ("EDGE", "SITE", "BILL")
        }
        environment |= {
            "QIWI_GATEWAY_GRPC__LISTEN": f"127.0.0.1:{port}",
            "QIWI_GATEWAY_STATE__ENGINE": "embedded",
            "QIWI_GATEWAY_STATE__PATH": str(pathlib.Path(folder, f"state-{name}")),
        }
        log = pathlib.Path(folder, f"gateway-{name}.log")
        super().__init__(log, ["grpc", "admin"], ["serve"], environment | (extra or {}))

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def serving(self):
        """Waits until it says that it is ready for callers and can store what happens."""
        self.wait()
        url = f"http://{self.listening['admin']}/readyz/notifications"
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    assert answer.status == 200
                    return self
            except OSError:
                assert time.monotonic() < deadline, f"not ready:\n{self.tail()}"
                time.sleep(0.05)
