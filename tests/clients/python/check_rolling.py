"""Replaces three gateways one after the other, while callers call: no call fails.

    QIWI_GATEWAY=target/debug/qiwi-gateway python tests/clients/python/check_rolling.py
    … --brokers
    … --nats nats://127.0.0.1:4222 --env QIWI_GATEWAY_STATE__KEY_FILE=/path

Three gateways stand before one sandbox. Each gets SIGTERM, ends, and is started again on the
same address, and the next one goes when it is ready; meanwhile reads, payments and streams go on. A
call failed when the client library says so, with docs/service-config.json and nothing else done
about it. Every payment has to be carried out exactly once, every event to be heard exactly once.

Without --brokers, which starts three, and --nats each gateway has a log and a ledger of its own. Then a payer and a follower belong
to one gateway each, and wait for it while it is away (`wait_for_ready`); reads go round all
three. Otherwise all share one state, and so payers and followers go round all three, too.
"""

import argparse
import json
import os
import pathlib
import sqlite3
import sys
import tempfile
import threading
import time
import uuid

import grpc

os.environ.setdefault("GATEWAY", "unused")
os.environ.setdefault("SANDBOX", "unused")
sys.path.append("examples/python")
sys.path.append("proto")

import connection  # noqa: E402
import pay  # noqa: E402
from brokers import Brokers  # noqa: E402
from load import READS, Load, Tally, target, understood  # noqa: E402
from processes import Gateway, Sandbox, free_port  # noqa: E402
from programs import Program, kept  # noqa: E402

events_pb, events_rpc = grpc.protos_and_services("qiwi/events/v1/stream.proto")
kinds = grpc.protos("qiwi/events/v1/event.proto")

REPLICAS = 3
RECIPIENT = "79990000002"
CREATE = "qiwi.wallet.v1.PaymentService/CreatePayment"
# Each payment takes its time at QIWI, so that every replacement finds some under way.
SLOW = {
    "match": {"path_prefix": "/sinap/api/v2/terms/99/payments"},
    "fault": {"answer_latency_ms": 400},
}
# What this waits for takes a few seconds; a busy machine takes its time.
PATIENCE = 90
# Three gateways that do not know of each other share what QIWI permits a wallet in a minute.
SETTINGS = {
    "QIWI_GATEWAY_LIMIT__PERIOD": "60s",
    "QIWI_GATEWAY_EVENTS__POLL_FASTEST": "3s",
    "QIWI_GATEWAY_EVENTS__POLL_SLOWEST": "4s",
}


def until(condition, what):
    """Waits for a condition and returns what it returned."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(0.05)
    return found


class Payer:
    """Pays orders one after the other; the id is on the disk before each call."""

    def __init__(self, name, addresses, orders, tally, pause):
        self.name, self.orders, self.tally, self.pause = name, orders, tally, pause
        self.channel = connection.connect(
            target(addresses), [("grpc.use_local_subchannel_pool", 1)]
        )
        self.stub = pay.rpc.PaymentServiceStub(self.channel)
        # Alone with one gateway there is nobody else to go to while it is replaced.
        self.waits = len(addresses) == 1
        self.ids, self.trouble, self.ending = [], None, threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            while not self.ending.is_set():
                self._one(f"{self.name} {len(self.ids)}")
                self.ending.wait(self.pause)
        except Exception as error:
            self.trouble = error

    def _one(self, name):
        order = self.orders.take(name, RECIPIENT, "1.00")
        request = pay.pb.CreatePaymentRequest(
            payment_id=order.payment_id,
            payment={
                "amount": pay.money(order.amount),
                "wallet": {"wallet": order.wallet},
                "comment": order.name,
            },
        )

        def call():
            began, failure, number = time.monotonic(), None, str(uuid.uuid4())
            try:
                return self.stub.CreatePayment(
                    request,
                    metadata=[*pay.CREDENTIAL, ("x-request-id", number)],
                    timeout=30,
                    wait_for_ready=self.waits,
                )
            except grpc.RpcError as error:
                failure = understood(error) | {"request_id": number}
                raise
            finally:
                self.tally.add(CREATE, time.monotonic() - began, failure)

        # A failed call is counted, and repeated all the same: the order has to be paid.
        reply = pay.patiently(call, time.monotonic() + PATIENCE)
        assert reply.payment.payment_id == order.payment_id, reply
        self.ids.append(order.payment_id)

    def stop(self):
        self.ending.set()
        self.thread.join()
        self.channel.close()
        assert self.trouble is None, f"{self.name}: {self.trouble!r}"
        assert self.ids, f"{self.name} paid nothing"


class Follower:
    """examples/python/follow_events.py, which goes on from its cursor by itself."""

    def __init__(self, folder, name, addresses):
        self.file, self.addresses = folder / f"{name}.db", addresses
        log = folder / f"{name}.log"
        self.program = Program("python", "follow_events", [self.file], log, target(addresses))

    def placed(self):
        return kept("python", self.file)[0]

    def heard(self):
        return [of for _, _, of in kept("python", self.file)[1]]

    def check(self, paid):
        """Every event of the log since its first one exactly once, and every payment heard of."""
        until(lambda: set(paid) <= set(self.heard()), "a follower hears of every payment")
        _, events = kept("python", self.file)
        sequences = [sequence for _, sequence, _ in events]
        assert len({of for of, *_ in events}) == len(events), "an event came twice"
        assert sequences == sorted(set(sequences)), "out of order"
        listed = set()
        with connection.connect(target(self.addresses)) as channel:
            stub = events_rpc.EventServiceStub(channel)
            request = events_pb.ListEventsRequest()
            request.filter.kinds.append(kinds.EVENT_KIND_TRANSACTION)
            while True:
                page = stub.ListEvents(request, metadata=connection.named("demo-info"), timeout=10)
                listed |= {
                    of.event_id
                    for of in page.events
                    if sequences[0] <= of.sequence <= sequences[-1]
                }
                request.page_token = page.next_page_token
                if not request.page_token:
                    break
        gap = listed ^ {of for of, *_ in events}
        assert not gap, f"not what the log has: {len(gap)} events differ"
        return len(events)


class Incoming:
    """Money that comes in meanwhile: the events to hear of."""

    def __init__(self, sandbox, pause):
        self.sandbox, self.pause, self.paid = sandbox, pause, []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        body = {"amount": "1.00", "account": "79995550000", "comment": None}
        while not self.ending.is_set():
            self.paid.append(str(self.sandbox.ask("POST", "incoming", body)["txnId"]))
            self.ending.wait(self.pause)

    def stop(self):
        self.ending.set()
        self.thread.join()
        assert self.paid, "nothing came in"
        return self.paid


class Rolling:
    """The replicas, and what has to be closed in the end."""

    def __init__(self, given, folder):
        self.given, self.folder, self.opened = given, folder, []
        self.ports = [free_port() for _ in range(REPLICAS)]
        self.extra = dict(SETTINGS)
        self.extra["QIWI_GATEWAY_DRAIN__LAME_DUCK"] = f"{given.lame_duck}s"
        if given.nats:
            self.extra["QIWI_GATEWAY_STATE__ENGINE"] = "nats"
            self.extra["QIWI_GATEWAY_STATE__NATS_URL"] = given.nats
        self.extra |= dict(of.split("=", 1) for of in given.env)
        self.is_shared = bool(given.nats or given.brokers)

    def run(self):
        """Everything; what it came to."""
        if self.given.brokers:
            brokers = self.keep(Brokers(self.folder))
            # Turns at the history are counted anew after a fresh start of the brokers.
            self.extra["QIWI_GATEWAY_LIMIT__PERIOD"] = "15s"
            self.extra |= brokers.wait().environment
        self.sandbox = self.keep(Sandbox(self.folder))
        self.sandbox.wait()
        self.sandbox.ask("POST", "faults", [SLOW])
        replicas = [self.start(number) for number in range(REPLICAS)]
        for replica in replicas:
            replica.serving()
        addresses = [replica.address for replica in replicas]
        # Whose calls one gateway serves: with a state of its own, callers stay with it.
        groups = [addresses] * REPLICAS if self.is_shared else [[of] for of in addresses]

        followers = [
            self.keep(Follower(self.folder, f"follower-{number}", group))
            for number, group in enumerate(groups)
        ]
        for follower in followers:
            until(follower.placed, "a follower has a first place")
        load = Load(addresses, READS, "demo", 3, 2, 5, self.given.pause).start()
        orders, payments = pay.Orders(self.folder / "orders.db"), Tally()
        payers = [
            Payer(f"payer {number}", group, orders, payments, self.given.pause)
            for number, group in enumerate(groups)
        ]
        incoming = Incoming(self.sandbox, 0.3)
        try:
            for _ in range(self.given.rounds):
                self.replace(replicas)
        finally:
            incoming.stop()
            reads = load.stop()
            for payer in payers:
                payer.ending.set()
            for payer in payers:
                payer.stop()
        events = [follower.check(incoming.paid) for follower in followers]
        carried_out = self.paid_once(payers)
        for replica in replicas:
            replica.terminate()
        for follower in followers:
            follower.program.close()
        for replica in replicas:
            replica.ended()
        paid = payments.summary()
        for failure in reads["failures"] + paid["failures"]:
            failure["address"] = failure["address"] or self.who_had(failure["request_id"])
        return {
            "reads": reads,
            "payments": paid,
            "carried_out": carried_out,
            "events": events,
        }

    def who_had(self, request_id):
        """The addresses of the replicas whose logs have a call: what the client cannot tell."""
        logs = [self.folder / f"gateway-{number}.log" for number in range(REPLICAS)]
        found = [
            f"127.0.0.1:{port}"
            for port, log in zip(self.ports, logs)
            if request_id in log.read_text()
        ]
        return " ".join(found) or "none of the logs"

    def keep(self, what):
        self.opened.append(what)
        return what

    def start(self, number):
        port = self.ports[number]
        return self.keep(Gateway(self.folder, str(number), self.sandbox, port, self.extra))

    def replace(self, replicas):
        """One after the other, each ready before the next one goes."""
        for number, replica in enumerate(replicas):
            time.sleep(self.given.settle)
            replica.terminate()
            replica.ended()
            replicas[number] = self.start(number).serving()
        time.sleep(self.given.settle)

    def paid_once(self, payers):
        """How many payments the sandbox carried out: each id once, and no others."""
        with sqlite3.connect(self.folder / "orders.db") as db:
            known = {str(of) for (of,) in db.execute("SELECT payment_id FROM orders")}
        told = [of for payer in payers for of in payer.ids]
        paid = sorted(of["client_id"] for of in self.sandbox.ask("GET", "payments"))
        assert paid == sorted(known) == sorted(told), (
            f"{len(paid)} carried out, {len(set(paid))} of them different; "
            f"{len(known)} orders, {len(told)} told to be paid"
        )
        return len(paid)

    def close(self):
        for what in self.opened:
            if isinstance(what, Follower):
                what.program.close()
            else:
                what.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nats", metavar="URL", help="the state that all gateways share")
    parser.add_argument("--brokers", action="store_true", help="start three, whose state is shared")
    parser.add_argument("--env", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rounds", type=int, default=1, help="how often all are replaced")
    parser.add_argument("--lame-duck", type=float, default=2, help="seconds, of the gateways")
    parser.add_argument("--settle", type=float, default=2, help="seconds between replacements")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between reads")
    given = parser.parse_args()
    if wrong := [of for of in given.env if "=" not in of]:
        parser.error(f"--env takes KEY=VALUE, not {wrong[0]}")

    with tempfile.TemporaryDirectory(prefix="qiwi-gateway-rolling-") as folder:
        rolling = Rolling(given, pathlib.Path(folder))
        try:
            came = rolling.run()
        finally:
            rolling.close()
    print(json.dumps(came, indent=2))
    failed = came["reads"]["failed"] + came["payments"]["failed"]
    if failed:
        sys.exit(f"{failed} calls failed")
    print(f"{came['reads']['calls'] + came['payments']['calls']} calls and no failure")
    print("3 checks passed")


if __name__ == "__main__":
    main()
