"""Pays as callers do: many payments at once, and through a program that is killed.

Drives examples/python/pay.py, as a program and as a module. What was really paid is
what the sandbox says it carried out, whatever the callers were told.
"""

import collections
import concurrent.futures
import contextlib
import importlib.util
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import grpc

import gateway

PROGRAM = "examples/python/pay.py"
RECIPIENT = "79990000002"
PAYMENTS, PROCESSES, THREADS = 200, 4, 25
PATH = "/sinap/api/v2/terms/99/payments"
# What this waits for is mostly done in a few seconds; a busy machine takes its time.
PATIENCE = 75

# Where the program finds what it shares with others.
sys.path.append("examples/python")
spec = importlib.util.spec_from_file_location("pay", PROGRAM)
pay = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pay)

folder = tempfile.TemporaryDirectory(prefix="qiwi-gateway-pay-")
# One wallet, one file: the ids of two would meet.
ORDERS = pathlib.Path(folder.name, "orders.db")


def executed():
    """The payments the sandbox carried out, by client id."""
    url = f"http://{gateway.SANDBOX}/__sandbox/payments"
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = collections.defaultdict(list)
        for paid in json.load(answer):
            found[paid["client_id"]].append(paid)
        return found


def stored(order):
    """The id the program stored for an order; None before it did."""
    with contextlib.closing(sqlite3.connect(f"file:{ORDERS}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT payment_id FROM orders WHERE name = ?", [order]).fetchone()
    return str(row[0]) if row else None


def start(order, *flags, address=gateway.ADDRESS):
    """Starts the program, the amount of which is always the same."""
    command = [sys.executable, PROGRAM, order, RECIPIENT, "3.50", "--orders", str(ORDERS)]
    return subprocess.Popen(
        [*command, *map(str, flags)],
        env=os.environ | {"GATEWAY": address},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(program):
    """What the program printed, and what it said on the way; it has to end with 0."""
    out, log = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, f"exit {program.returncode}\n{out}{log}"
    return out, log


def trouble(order, **what):
    """The next payment of this order meets a fault; the order is its comment."""
    on = {"path_prefix": PATH, "body_contains": f'"{order}"'}
    gateway.sandbox("POST", "faults", [{"match": on, "times": 1, "fault": what}])


def until(condition, what):
    """Waits until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def paid_once(out, payment_id):
    """The sandbox paid this id exactly once, and that is what was printed."""
    paid = executed()[payment_id]
    assert len(paid) == 1, f"{payment_id} was paid {len(paid)} times"
    expected = f"{payment_id} SUCCEEDED 3.50 RUB {paid[0]['transaction_id']}"
    assert out.splitlines() == [expected], f"printed {out!r} instead of {expected!r}"


def take(file, prefix):
    """Takes ids in threads; prints each with the times before and after."""
    orders = pay.Orders(file)

    def one(number):
        before = time.monotonic_ns()
        order = orders.take(f"{prefix}-{number}", RECIPIENT, "2.00")
        return before, int(order.payment_id), time.monotonic_ns()

    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        for row in threads.map(one, range(PAYMENTS // PROCESSES)):
            print(*row)


def ids_differ_and_increase_and_all_are_paid():
    command = [sys.executable, __file__, "take", str(ORDERS)]
    takers = [
        subprocess.Popen([*command, f"of-{number}"], stdout=subprocess.PIPE, text=True)
        for number in range(PROCESSES)
    ]
    lines = []
    for taker in takers:
        out, _ = taker.communicate(timeout=PATIENCE)
        assert taker.returncode == 0, taker.returncode
        lines += out.splitlines()
    taken = sorted(tuple(map(int, line.split())) for line in lines)
    ids = [number for _, number, _ in taken]
    assert len(set(ids)) == PAYMENTS, f"{len(set(ids))} ids for {PAYMENTS} orders"
    # Who began after another one had its id has a greater one.
    finished = sorted((after, number) for _, number, after in taken)
    done, greatest = 0, 0
    for before, number, _ in taken:
        while done < len(finished) and finished[done][0] < before:
            greatest = max(greatest, finished[done][1])
            done += 1
        assert number > greatest, f"{number} was taken after {greatest}"
    # An order keeps its id, also in another process, and a new one gets a greater id.
    orders = pay.Orders(ORDERS)
    assert int(orders.take("of-0-0", RECIPIENT, "2.00").payment_id) in ids
    assert int(orders.take("one more", RECIPIENT, "2.00").payment_id) > max(ids)

    names = [f"of-{p}-{n}" for p in range(PROCESSES) for n in range(PAYMENTS // PROCESSES)]
    channel = grpc.insecure_channel(gateway.ADDRESS)
    stub = pay.rpc.PaymentServiceStub(channel)
    all_at_once = threading.Barrier(THREADS)

    def one(name):
        order = orders.take(name, RECIPIENT, "2.00")
        return pay.pay(stub, order, time.monotonic() + PATIENCE)

    with concurrent.futures.ThreadPoolExecutor(
        THREADS, initializer=lambda: all_at_once.wait(PATIENCE)
    ) as threads:
        answers = list(threads.map(one, names))
    assert {int(answer.payment_id) for answer in answers} == set(ids)
    paid = executed()
    wrong = {number: len(paid[str(number)]) for number in ids if len(paid[str(number)]) != 1}
    assert not wrong, f"paid another number of times than once: {wrong}"
    transactions = {answer.transaction_id for answer in answers}
    assert transactions == {str(paid[str(number)][0]["transaction_id"]) for number in ids}


def killed_while_the_payment_is_executed_and_not_answered():
    order = "killed after"
    trouble(order, answer_latency_ms=12_000)
    program = start(order)
    # The money is gone, and the answer is not there.
    payment_id = until(lambda: stored(order), "no id was stored")
    until(lambda: executed()[payment_id], "the payment never reached the sandbox")
    assert program.poll() is None, "the program had its answer already"
    program.send_signal(signal.SIGKILL)
    assert program.wait(PATIENCE) == -signal.SIGKILL
    # Less time than the first call takes, so that it hears of that call first.
    out, log = ended(start(order, "--deadline", 5.5))
    assert f"{order} is payment {payment_id}" in log, log
    assert "PAYMENT_IN_PROGRESS" in log, log
    paid_once(out, payment_id)
    # Once more, and nothing is paid again.
    out, log = ended(start(order))
    paid_once(out, payment_id)


def killed_before_the_payment_is_executed():
    order = "killed before"
    trouble(order, latency_ms=4_000)
    program = start(order)
    payment_id = until(lambda: stored(order), "no id was stored")
    # The call is in the gateway's ledger, so the request is on its way.
    stub = pay.rpc.PaymentServiceStub(grpc.insecure_channel(gateway.ADDRESS))
    request = pay.pb.GetPaymentRequest(payment_id=payment_id)

    def known():
        try:
            return stub.GetPayment(request, metadata=gateway.DEMO, timeout=5).payment.attempt_count
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND, error
            return None

    until(known, "the payment never came to the gateway")
    assert not executed()[payment_id], "the payment was executed already"
    program.send_signal(signal.SIGKILL)
    assert program.wait(PATIENCE) == -signal.SIGKILL
    out, _ = ended(start(order))
    paid_once(out, payment_id)


def an_unknown_outcome_is_asked_for_again():
    order = "late in the history"
    # No answer, and the history shows the payment only after the first call's looks.
    trouble(order, cut="before_headers", late_history_ms=13_000)
    out, log = ended(start(order))
    assert "PAYMENT_OUTCOME_UNKNOWN" in log, log
    paid_once(out, stored(order))


def no_gateway_at_first():
    order = "nobody there"
    with socket.socket() as port:
        # Bound and never listening: a connection is refused.
        port.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % port.getsockname()[1]
        program = start(order, "--patience", 3, address=address)
        out, log = program.communicate(timeout=PATIENCE)
    assert program.returncode == 2 and not out, f"exit {program.returncode}\n{out}{log}"
    assert "UNAVAILABLE: the same id again" in log, log
    payment_id = stored(order)
    assert not executed()[payment_id]
    out, _ = ended(start(order))
    paid_once(out, payment_id)


def a_refusal_is_final_for_the_id():
    order = "too poor"
    trouble(order, payment_code=220)
    payment_id = None
    for _ in range(2):
        # The second time the gateway answers what it has kept.
        program = start(order)
        out, log = program.communicate(timeout=PATIENCE)
        assert program.returncode == 1 and not out, f"exit {program.returncode}\n{out}{log}"
        assert "refused: INSUFFICIENT_FUNDS" in log, log
        assert stored(order) == (payment_id or stored(order))
        payment_id = stored(order)
    assert not executed()[payment_id]


def together(*checks):
    """Runs checks that mostly wait at the same time."""

    def body():
        with concurrent.futures.ThreadPoolExecutor(len(checks)) as threads:
            running = {check.__name__: threads.submit(check) for check in checks}
        failed = {name: of.exception() for name, of in running.items() if of.exception()}
        assert not failed, "; ".join(f"{name}: {error}" for name, error in failed.items())

    body.__name__ = "troubled payments"
    return body


if __name__ == "__main__":
    if sys.argv[1:2] == ["take"]:
        take(*sys.argv[2:])
    else:
        with folder:
            gateway.run(
                [
                    ids_differ_and_increase_and_all_are_paid,
                    together(
                        killed_while_the_payment_is_executed_and_not_answered,
                        killed_before_the_payment_is_executed,
                        an_unknown_outcome_is_asked_for_again,
                        no_gateway_at_first,
                        a_refusal_is_final_for_the_id,
                    ),
                ]
            )
