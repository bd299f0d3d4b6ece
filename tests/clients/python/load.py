"""Calls reads as fast as it may, and tells of every one that failed.

    python tests/clients/python/load.py --address 127.0.0.1:50051 --duration 10

Several addresses are several replicas: each channel goes round them, and repeats what
docs/service-config.json lets it repeat. A call that fails here failed for a caller who does all
that is asked of callers. Only reads can be called, never a method that pays.

Prints one JSON object: how many calls, how each ended (gRPC's code and the gateway's reason,
not HTTP's), how long they took, and code, reason, address and request id of each failed one.
The library knows the address of a connection that failed, not that of an answer; the request id
is in the log of the replica that had the call.
Exit status: 0 all succeeded, 1 some failed or none was made, 2 not understood.
TLS and the caller's key come from the environment, as examples/python/connection.py says.
"""

import argparse
import collections
import json
import math
import pathlib
import re
import sys
import threading
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

sys.path.append("examples/python")
import connection  # noqa: E402

CONFIG = pathlib.Path("docs/service-config.json")
READS = [
    "qiwi.wallet.v1.BalanceService/ListBalances",
    "qiwi.wallet.v1.ProfileService/GetProfile",
]
# So many failed calls are told one by one; all are counted.
TOLD_MAX = 1000


def target(addresses):
    """What gRPC takes for a list of addresses."""
    if len(addresses) == 1:
        return addresses[0]
    family = "ipv6" if addresses[0].startswith("[") else "ipv4"
    return f"{family}:{','.join(addresses)}"


def understood(error):
    """Code, reason, address and text of a failed call, as far as the client knows them."""
    reason, request_id = "", ""
    status = rpc_status.from_call(error)
    for packed in status.details if status else ():
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.RequestInfo()
        if packed.Unpack(info):
            reason = info.reason
        elif packed.Unpack(request):
            request_id = request.request_id
    debug = error.debug_error_string() or ""
    address = re.search(r"(?:ipv[46]|unix|dns):(?:%5B|\[)?[0-9a-zA-Z.:_%\]/-]+", debug)
    return {
        "code": error.code().name,
        "reason": reason,
        "address": address[0].rstrip(":") if address else "",
        "request_id": request_id,
        "details": error.details(),
    }


class Tally:
    """What came of all calls; threads share it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.outcomes, self.methods = collections.Counter(), collections.Counter()
        self.failed, self.seconds = [], []
        self.began = time.monotonic()

    def add(self, method, seconds, failure=None):
        """One call; `failure` is what `understood` made of its error."""
        code = f"{failure['code']} {failure['reason']}".strip() if failure else "OK"
        with self.lock:
            self.outcomes[code] += 1
            self.methods[method] += 1
            self.seconds.append(seconds)
            if failure and len(self.failed) < TOLD_MAX:
                at = round(time.monotonic() - self.began, 3)
                took = round(seconds, 3)
                self.failed.append({"method": method, "at": at, "took": took} | failure)

    def summary(self):
        """For people and machines; times in milliseconds."""
        with self.lock:
            taken, calls = sorted(self.seconds), sum(self.outcomes.values())

            def quantile(share):
                return round(1000 * taken[math.ceil(share * len(taken)) - 1], 1) if taken else None

            return {
                "calls": calls,
                "failed": calls - self.outcomes["OK"],
                "seconds": round(time.monotonic() - self.began, 1),
                "outcomes": dict(self.outcomes.most_common()),
                "methods": dict(self.methods),
                "milliseconds": {
                    "p50": quantile(0.5),
                    "p99": quantile(0.99),
                    "max": quantile(1),
                },
                "failures": list(self.failed),
            }


class Load:
    """Threads that call until they are told to stop, each channel with a connection of its own."""

    def __init__(self, addresses, methods, credential, channels, in_flight, deadline, pause=0.0):
        self.tally, self.ending = Tally(), threading.Event()
        self.methods, self.deadline, self.pause = methods, deadline, pause
        self.metadata = connection.named(credential)
        # Channels of a process would else share connections.
        own = [("grpc.use_local_subchannel_pool", 1)]
        self.channels = [connection.connect(target(addresses), own) for _ in range(channels)]
        self.threads = [
            threading.Thread(target=self._run, args=[channel, number])
            for number, channel in enumerate(self.channels * in_flight)
        ]

    def _run(self, channel, number):
        # An empty request is a right one for each of these, and no answer is looked into.
        stubs = [(method, channel.unary_unary(f"/{method}")) for method in self.methods]
        while not self.ending.is_set():
            number += 1
            method, stub = stubs[number % len(stubs)]
            began, failure, request = time.monotonic(), None, str(uuid.uuid4())
            metadata = [*self.metadata, ("x-request-id", request)]
            try:
                stub(b"", metadata=metadata, timeout=self.deadline)
            except grpc.RpcError as error:
                failure = understood(error) | {"request_id": request}
            self.tally.add(method, time.monotonic() - began, failure)
            self.ending.wait(self.pause)

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        """Lets the calls that were begun end; what came of all of them."""
        self.ending.set()
        for thread in self.threads:
            thread.join()
        for channel in self.channels:
            channel.close()
        return self.tally.summary()


def reads():
    """The methods that clients may repeat by themselves."""
    config = json.loads(CONFIG.read_text())
    rows = [name for entry in config["methodConfig"] for name in entry["name"]]
    return {f"{row['service']}/{row['method']}" for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--address", action="append", required=True, help="one of a replica")
    parser.add_argument("--duration", type=float, default=10, help="seconds")
    parser.add_argument("--method", action="append", help="package.Service/Method, a read")
    parser.add_argument("--credential", default="demo")
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--in-flight", type=int, default=2, help="calls of a channel at once")
    parser.add_argument("--deadline", type=float, default=5, help="seconds for one call")
    parser.add_argument("--pause", type=float, default=0, help="seconds between two calls")
    given = parser.parse_args()

    methods = given.method or READS
    for method in methods:
        if method not in reads():
            parser.error(f"{method} is no read that {CONFIG} names")
    load = Load(
        given.address,
        methods,
        given.credential,
        given.channels,
        given.in_flight,
        given.deadline,
        given.pause,
    ).start()
    try:
        time.sleep(given.duration)
    finally:
        summary = load.stop()
    print(json.dumps(summary, indent=2))
    sys.exit(0 if summary["calls"] and not summary["failed"] else 1)


if __name__ == "__main__":
    main()
