"""The two stories, unattended, side by side on one wallet, with every setting as it is.

Usage: check_stories.py MINUTES. A widget collects and a seminar admits while payments come at
random. In the end both have all of them, neither program ended or was started again, and the
sandbox's journal says that no minute held as many history requests as QIWI permits.
"""

import datetime
import random
import sys
import time

import grpc

import gateway
from stories import INFORMATION, PRICE, Payments, Program, folder, until

MINUTES = float(sys.argv[1])
# QIWI blocks a wallet beyond these.
HISTORY_A_MINUTE = 100
MINUTE = 60
# The slowest poll and a little more.
LAST = 150

events, services = grpc.protos_and_services("qiwi/events/v1/stream.proto")
payments = Payments()
programs = {}
requests = {}


def look():
    """Notes the latest requests of the journal, which keeps so many."""
    for entry in gateway.sandbox("GET", "requests")["latest"]:
        requests[entry["time"], entry["path"], entry["query"]] = entry


def everything_starts():
    stub = services.EventServiceStub(grpc.insecure_channel(gateway.ADDRESS))

    def compared():
        info = stub.GetLogInfo(events.GetLogInfoRequest(), metadata=INFORMATION, timeout=10)
        return any(of.HasField("complete_time") for of in info.reconciliations)

    until(compared, "the history was read for the first time", 30)
    programs["widget"] = Program("widget", "donations.py")
    programs["seminar"] = Program("seminar", "seminar.py", PRICE)
    for program in programs.values():
        until(lambda of=program: of.rows("SELECT cursor FROM place"), "a place", 30)
    # The balances as they were before; what rises later is a donation.
    until(lambda: programs["widget"].rows("SELECT alias FROM accounts"), "the first balances", 60)


def payments_come_for_the_whole_time():
    chance, number = random.Random(11), 0
    end = time.monotonic() + MINUTES * MINUTE
    while time.monotonic() < end:
        amount = chance.choice(["10.00", "499.99", "500.00", "750.50"])
        comment = chance.choice([None, "thanks", f"guest{number}@example.org"])
        payments.make(amount, comment)
        number += 1
        pause = min(chance.uniform(2, 15), max(0, end - time.monotonic()))
        for _ in range(int(pause) + 1):
            time.sleep(pause / (int(pause) + 1))
            look()


def both_have_everything():
    widget, seminar = programs["widget"], programs["seminar"]
    until(lambda: widget.collected() >= payments.total, "the sum", LAST)
    until(lambda: len(seminar.admitted()) >= len(payments.admitted), "the admissions", LAST)
    look()
    assert widget.collected() == payments.total, (widget.collected(), payments.total)
    assert seminar.admitted() == payments.admitted, seminar.admitted()
    for program in programs.values():
        assert program.process.poll() is None, program.log.read_text()
        assert len(program.printed) == len(set(program.printed)), program.printed


def no_minute_holds_too_many_history_requests():
    history = [of for of in requests.values() if "/payment-history/" in of["path"]]
    assert history, "the history was read"
    refused = [of for of in requests.values() if of["status"] in (423, 429)]
    assert not refused, refused
    times = sorted(datetime.datetime.fromisoformat(of["time"]).timestamp() for of in history)
    most = max(sum(1 for at in times if 0 <= at - begin < MINUTE) for begin in times)
    polls = sum(1 for of in requests.values() if "/accounts" in of["path"])
    print(
        f"{MINUTES:g} minutes: {len(payments.amounts)} payments, {payments.total} RUB collected, "
        f"{len(payments.admitted)} admitted; {len(history)} history requests, at most {most} in a "
        f"minute; {polls} polls of balances"
    )
    assert most < HISTORY_A_MINUTE, f"{most} history requests in a minute"


if __name__ == "__main__":
    with folder:
        try:
            gateway.run(
                [
                    everything_starts,
                    payments_come_for_the_whole_time,
                    both_have_everything,
                    no_minute_holds_too_many_history_requests,
                ]
            )
        finally:
            for program in programs.values():
                if program.process.poll() is None:
                    program.kill()
