"""How the Python checks reach the gateway and its sandbox.

tests/clients/run.py starts both and names their addresses in the environment.
"""

import json
import os
import sys
import urllib.request

import grpc

ADDRESS = os.environ["GATEWAY"]
SANDBOX = os.environ["SANDBOX"]
DOMAIN = "gateway.qiwi.internal"
DEMO = [("x-qiwi-credential", "demo")]

sys.path.append("proto")


def area(name: str):
    """Messages and stubs of one proto of the wallet, `area("balance")`."""
    return grpc.protos_and_services(f"qiwi/wallet/v1/{name}.proto")


def sandbox(method: str, path: str, body: object = None) -> object:
    """One request to the sandbox's own interface; what it answers, if anything."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://{SANDBOX}/__sandbox/{path}",
        data=data,
        method=method,
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status < 300, f"{method} {path}: {answer.status}"
        return json.loads(answer.read() or "null")


class fault:
    """Within it, every request below `path_prefix` meets the given fault."""

    def __init__(self, path_prefix: str, **what):
        self.rule = {"match": {"path_prefix": path_prefix}, "fault": what}

    def __enter__(self) -> None:
        sandbox("POST", "faults", [self.rule])

    def __exit__(self, *_) -> None:
        sandbox("DELETE", "faults")


def run(checks) -> None:
    """Runs every check, names those that fail, and exits 1 if any did."""
    failed = 0
    for check in checks:
        try:
            check()
        except Exception as error:  # one broken check must not hide the next
            failed += 1
            print(f"{check.__name__}: {type(error).__name__}: {error}")
    if failed or not checks:
        print(f"{failed} of {len(checks)} checks failed")
        sys.exit(1)
    print(f"{len(checks)} checks passed")
