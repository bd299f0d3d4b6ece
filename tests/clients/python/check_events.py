"""Follows events as callers do, through programs that are killed again and again.

Drives examples/python/donations.py, twice at the same time, and seminar.py with an
information token. What counts is what their files hold, compared with the payments that
the sandbox received; what they printed must not say anything twice.
"""

import collections
import random
import time

import grpc

import gateway
from stories import INFORMATION, PRICE, Payments, Program, folder, until

BURST = 30

events, services = grpc.protos_and_services("qiwi/events/v1/stream.proto")
kinds = grpc.protos("qiwi/events/v1/event.proto")

payments = Payments()
programs = []


def everything_starts():
    stub = services.EventServiceStub(grpc.insecure_channel(gateway.ADDRESS))

    def compared():
        info = stub.GetLogInfo(events.GetLogInfoRequest(), metadata=INFORMATION, timeout=10)
        return any(of.HasField("complete_time") for of in info.reconciliations)

    def balances():
        request = events.ListEventsRequest(filter={"kinds": [kinds.EVENT_KIND_BALANCE]})
        return stub.ListEvents(request, metadata=INFORMATION, timeout=10).events

    until(compared, "the history was read for the first time")
    programs.append(Program("widget", "donations.py"))
    programs.append(Program("second", "donations.py"))
    programs.append(Program("seminar", "seminar.py", PRICE))
    for program in programs:
        until(lambda of=program: of.rows("SELECT cursor FROM place"), "a place in each file")
    until(balances, "the balances as they were before")


def two_widgets_share_one_poll():
    def polls():
        routes = gateway.sandbox("GET", "requests")["by_route"]
        return sum(count for route, count in routes.items() if "accounts" in route)

    before, began = polls(), time.monotonic()
    until(lambda: polls() >= before + 7, "seven polls")
    taken = time.monotonic() - began
    # Every 500 ms for both together; one for each would be twice as many.
    assert polls() - before <= taken / 0.5 + 2, f"{polls() - before} polls in {taken:.1f} s"


def each_rise_and_each_admission_once():
    widget, second, seminar = programs
    steps = [
        ("100.00", "a@example.org"),  # too little
        ("500.00", "for ann@example.org thanks"),
        ("750.50", "no address"),
        ("600.00", "bob@example.org"),
        ("499.99", "carol@example.org"),
        ("500.00", "ann@example.org"),  # the same person pays twice: two seats
        ("500.01", None),
    ]
    for step, (amount, comment) in enumerate(steps):
        payments.make(amount, comment)
        if step == 2:
            widget.kill()
        if step == 3:
            seminar.kill()
        if step == 5:
            widget.start()
            seminar.start()
        # The one that is left sees each rise by itself, before the next payment.
        until(lambda: second.collected() == payments.total, f"payment {step}")
    until(lambda: widget.collected() == payments.total, "the killed widget caught up")
    until(lambda: seminar.admitted() == payments.admitted, "the seminar caught up")
    assert [amount for _, _, amount in second.rises()] == payments.amounts, second.rises()
    assert widget.rises() == second.rises(), (widget.rises(), second.rises())
    assert len(payments.admitted) == 3, payments.admitted


def killed_at_any_moment():
    widget, second, seminar = programs
    chance, done = random.Random(17), len(seminar.admitted())
    for number in range(BURST):
        payments.make("500.00", f"guest{number}@example.org")
        time.sleep(chance.uniform(0, 0.2))
        if number % 4 == 3:
            for program in (widget, seminar):
                program.kill()
                program.start()
        elif number % 4 == 2:
            # Killed while it is at work, not while it starts: it has caught up once.
            until(lambda: len(seminar.admitted()) > done, "an admission since the last kill")
            done = len(seminar.admitted())
    for program in (widget, second):
        until(lambda of=program: of.collected() >= payments.total, "the sum")
    until(lambda: len(seminar.admitted()) >= len(payments.admitted), "the admissions")
    # One more of each: whatever comes too often would have come before it.
    payments.make("501.00", "last@example.org")
    until(lambda: widget.collected() >= payments.total, "the last rise")
    until(lambda: second.collected() >= payments.total, "the last rise")
    until(lambda: len(seminar.admitted()) >= len(payments.admitted), "the last admission")
    assert widget.collected() == second.collected() == payments.total
    assert widget.rises() == second.rises(), (widget.rises(), second.rises())
    assert seminar.admitted() == payments.admitted, seminar.admitted()


def nothing_was_printed_twice():
    widget, second, seminar = programs
    # A line follows its row; the last one may still be on its way.
    until(lambda: any("last@example.org" in line for line in seminar.printed), "the last line")
    for program in (widget, second):
        end = f"collected {payments.total} RUB"
        until(lambda of=program: of.printed and of.printed[-1].endswith(end), "the last sum")
    # The one that was never killed printed each; a kill may swallow a line, never repeat one.
    assert len(second.printed) == len(second.rises()), second.printed
    assert set(widget.printed) <= set(second.printed), widget.printed
    known = {
        f"admitted {email} for {paid} RUB, transaction {transaction}"
        for transaction, email, paid in payments.admitted
    }
    assert set(seminar.printed) <= known, seminar.printed
    for program in programs:
        twice = [line for line, count in collections.Counter(program.printed).items() if count > 1]
        assert not twice, twice
        assert program.process.poll() is None, program.log.read_text()


if __name__ == "__main__":
    with folder:
        try:
            gateway.run(
                [
                    everything_starts,
                    two_widgets_share_one_poll,
                    each_rise_and_each_admission_once,
                    killed_at_any_moment,
                    nothing_was_printed_twice,
                ]
            )
        finally:
            for program in programs:
                if program.process.poll() is None:
                    program.kill()
