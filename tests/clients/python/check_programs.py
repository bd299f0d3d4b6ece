"""What a caller has to do right, done by the examples of one language.

    check_programs.py python|node|go|java

Wallets are read, refusals explained, deadlines answered by the gateway itself; a payment
survives that its program is killed; events are followed through kills and through a gateway
that is drained and started again.
"""

import concurrent.futures
import pathlib
import random
import re
import sys
import tempfile
import time

import grpc

import gateway
from gateway import fault
from processes import Gateway, Sandbox, free_port
from programs import Program, kept, payment_id

LANGUAGE = sys.argv[1]
RECIPIENT = "79990000002"
PATH = "/sinap/api/v2/terms/99/payments"
# What this waits for takes a second or two; a busy machine takes its time.
PATIENCE = 60
KILLS, PAYMENTS = 4, 3

payment_pb, payment_rpc = gateway.area("payment")
events_pb, events_rpc = grpc.protos_and_services("qiwi/events/v1/stream.proto")
kinds = grpc.protos("qiwi/events/v1/event.proto")

folder = tempfile.TemporaryDirectory(prefix=f"qiwi-gateway-{LANGUAGE}-")
scratch = pathlib.Path(folder.name)
# Closed in the end, whatever happened.
opened = []


def until(condition, what):
    """Waits for a condition and returns what it returned."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(0.03)
    return found


def start(name, *words, log=None, address=None):
    log = scratch / f"{log or name}.log"
    program = Program(LANGUAGE, name, words, log, address)
    opened.append(program)
    return program


def read_wallet(*words):
    """Runs it; a receipt is written by some of them, beside the logs."""
    words += (scratch / "receipt.pdf",) if LANGUAGE in ("python", "node") else ()
    log = f"read-{len(opened)}"
    return start("read_wallet", *words, log=log).ended(PATIENCE)


def refused(status, out, log):
    """The words of the one line about a refusal."""
    lines = [line for line in log.splitlines() if line.startswith("failed: ")]
    assert status == 1 and len(lines) == 1, f"exit {status}\n{out}{log}"
    code, *words = lines[0].removeprefix("failed: ").split(" | ")
    # Only the gateway gives reasons and request ids; a client's own error has neither.
    assert words and words[-1].startswith("request "), lines
    return code, *words


def a_pause_that_is_asked_for():
    """First of all: a kept answer would hide the refusal."""
    with fault("/funding-sources/", status=429, retry_after=2):
        code, reason, again, _ = refused(*read_wallet("--wait", 0))
    assert (code, reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED_UPSTREAM"), (code, reason)
    asked = re.fullmatch(r"again in (\d+)(\.\d+)? ms", again)
    assert asked and 0 < int(asked[1]) <= 3000, again


def a_wallet_is_read():
    """The pause is not over yet; the program waits for it and goes on."""
    status, out, log = read_wallet()
    assert status == 0, f"exit {status}\n{out}{log}"
    for line in ("qw_wallet_rub 12345.67 RUB", "qw_wallet_usd 100.50 USD"):
        assert line in out.splitlines(), out
    assert re.search(r"^\d+ transactions", out, re.MULTILINE), out


def a_wrong_field():
    code, reason, *fields, _ = refused(*read_wallet("--page-size=-1"))
    assert (code, reason) == ("INVALID_ARGUMENT", "REQUEST_INVALID"), (code, reason)
    assert [field.split(": ")[0] for field in fields] == ["page_size"], fields


def a_deadline_that_expires():
    """The answer is the gateway's: the client's own would have no reason.

    The gateway of this check answers a second early, for programs that have just started
    and machines that are busy.
    """
    with fault("/payment-history/", latency_ms=10000):
        began = time.monotonic()
        code, reason, *_ = refused(*read_wallet("--deadline", 3, "--wait", 0))
        taken = time.monotonic() - began
    assert (code, reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"), (code, reason)
    assert taken < 9, f"{taken:.1f} s for a deadline of 3 s"


def executed(number):
    """What the sandbox paid under an id, whatever callers were told."""
    return [paid for paid in gateway.sandbox("GET", "payments") if paid["client_id"] == number]


def a_payment_whose_program_is_killed():
    # The money is gone and nobody is told for a while.
    on = {"path_prefix": PATH, "body_contains": '"killed"'}
    rule = {"match": on, "times": 1, "fault": {"answer_latency_ms": 7000}}
    gateway.sandbox("POST", "faults", [rule])
    orders = scratch / "orders"
    program = start("pay", "--orders", orders, "killed", RECIPIENT, "3.50", log="killed")
    number = until(lambda: payment_id(program.log.read_text()), "an id is stored")
    until(lambda: executed(number), "the payment is executed")
    program.kill()
    # Twice: the first hears of the call that is still under way, the second of what came of it.
    for log in ("again", "once more"):
        again = start("pay", "--orders", orders, "killed", RECIPIENT, "3.50", log=log)
        status, out, said = again.ended(PATIENCE)
        assert status == 0, f"exit {status}\n{out}{said}"
        assert payment_id(said) == number, said
        [paid] = executed(number)
        assert out == f"{number} SUCCEEDED 3.50 RUB {paid['transaction_id']}\n", out
    # Another order is another payment, and a refused amount none at all.
    status, out, said = start("pay", "--orders", orders, "free", RECIPIENT, "1.234").ended(PATIENCE)
    assert status == 1 and payment_id(said) is None, f"exit {status}\n{out}{said}"
    status, out, said = start("pay", "--orders", orders, "killed", RECIPIENT, "3.51").ended(PATIENCE)
    assert status == 1 and "that stays" in said, f"exit {status}\n{out}{said}"


class Follower:
    """`follow_events` with its file, and the payments it has to hear of."""

    def __init__(self, name, ask, address):
        self.name, self.ask, self.address = name, ask, address
        self.file, self.paid = scratch / f"{name}.kept", []
        self.start()
        until(lambda: kept(LANGUAGE, self.file)[0], "a first place is kept")

    def start(self):
        self.program = start("follow_events", self.file, log=self.name, address=self.address)

    def kill(self):
        self.program.kill()

    def pay(self):
        body = {"amount": "1.00", "account": "79995550000", "comment": None}
        self.paid.append(str(self.ask("POST", "incoming", body)["txnId"]))

    def heard(self):
        """The transactions it heard of among those that were paid in."""
        return [of for _, _, of in kept(LANGUAGE, self.file)[1] if of in self.paid]

    def has_each_once(self):
        until(lambda: len(self.heard()) >= len(self.paid), "every payment is heard of")
        # One more: whatever comes too often would have come before it.
        self.pay()
        until(lambda: self.paid[-1] in self.heard(), "the last payment is heard of")
        assert sorted(self.heard()) == sorted(self.paid), "a gap or a repetition"
        _, events = kept(LANGUAGE, self.file)
        assert len({event_id for event_id, *_ in events}) == len(events), "an event came twice"
        sequences = [sequence for _, sequence, _ in events]
        assert sequences == sorted(set(sequences)), "out of order"
        # The log itself has no transaction between the first and the last that is not kept.
        stub = events_rpc.EventServiceStub(grpc.insecure_channel(self.address))
        request = events_pb.ListEventsRequest(page_size=1000)
        request.filter.kinds.append(kinds.EVENT_KIND_TRANSACTION)
        listed = stub.ListEvents(
            request, metadata=[("x-qiwi-credential", "demo-info")], timeout=10
        ).events
        between = {of.event_id for of in listed if sequences[0] <= of.sequence <= sequences[-1]}
        assert between == {event_id for event_id, *_ in events}, "not what the log has"


def events_of_a_program_that_is_killed():
    follower, chance = Follower("killed-follower", gateway.sandbox, gateway.ADDRESS), random.Random(5)
    for _ in range(KILLS):
        for _ in range(PAYMENTS):
            follower.pay()
            time.sleep(chance.uniform(0, 0.3))
        # At any moment; but not always before it has heard of anything.
        if chance.random() < 0.5:
            until(lambda: follower.paid[-1] in follower.heard(), "an event before the kill")
        follower.kill()
        # And while nobody listens.
        follower.pay()
        follower.start()
    follower.has_each_once()
    follower.kill()


def events_of_a_gateway_that_is_restarted():
    sandbox = Sandbox(scratch)
    opened.append(sandbox)
    sandbox.wait()
    port = free_port()

    def serve():
        extra = {"QIWI_GATEWAY_DRAIN__LAME_DUCK": "500ms"}
        served = Gateway(scratch, "restarted", sandbox, port, extra)
        opened.append(served)
        return served.serving()

    served = serve()
    follower = Follower("drained-follower", sandbox.ask, served.address)
    for restart in range(2):
        follower.pay()
        until(lambda: follower.paid[-1] in follower.heard(), "an event before the drain")
        served.terminate()
        follower.pay()
        served.ended()
        # Nobody is there for a while: connections are refused.
        follower.pay()
        served = serve()
        follower.pay()
        until(lambda: follower.paid[-1] in follower.heard(), "an event after the restart")
        said = follower.program.log.read_text()
        assert said.count("GATEWAY_DRAINING") == restart + 1, said
    follower.has_each_once()
    follower.kill()
    served.terminate()
    served.ended()


def together(*checks):
    """Runs checks that mostly wait at the same time."""

    def body():
        with concurrent.futures.ThreadPoolExecutor(len(checks)) as threads:
            running = {check.__name__: threads.submit(check) for check in checks}
        failed = {name: of.exception() for name, of in running.items() if of.exception()}
        assert not failed, "; ".join(f"{name}: {error}" for name, error in failed.items())

    body.__name__ = "what lasts"
    return body


if __name__ == "__main__":
    with folder:
        try:
            gateway.run(
                [
                    a_pause_that_is_asked_for,
                    a_wallet_is_read,
                    a_wrong_field,
                    a_deadline_that_expires,
                    together(
                        a_payment_whose_program_is_killed,
                        events_of_a_program_that_is_killed,
                        events_of_a_gateway_that_is_restarted,
                    ),
                ]
            )
        finally:
            for process in opened:
                process.close() if isinstance(process, Program) else process.kill()
