"""Takes cards as a merchant does, through a program that is killed.

Drives examples/python/cards.py, as a program and as a module. What was really done is
what the sandbox says it carried out, whatever the callers were told.
"""

import contextlib
import decimal
import io
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import grpc

import gateway

sys.path.insert(0, "examples/python")
import cards  # noqa: E402  the import needs the path above

PROGRAM = "examples/python/cards.py"
# What this waits for is mostly done in a second or two; a busy machine takes its time.
PATIENCE = 60
SALE, AUTHORIZATION, REFUND, REVERSAL, PAYOUT = 1, 2, 3, 4, 8
INIT, DECLINED, CAPTURED, RECONCILED = 0, 1, 3, 4

events, events_rpc = grpc.protos_and_services("qiwi/events/v1/stream.proto")
kinds = grpc.protos("qiwi/events/v1/event.proto")

folder = tempfile.TemporaryDirectory(prefix="qiwi-gateway-cards-")
STEPS = str(pathlib.Path(folder.name, "cards.db"))
channel = grpc.insecure_channel(gateway.ADDRESS)
acquiring = cards.rpc.AcquiringServiceStub(channel)
log = events_rpc.EventServiceStub(channel)


def committed(order):
    """What the sandbox carried out of an order, with what belongs to its transactions."""
    done = gateway.sandbox("GET", "transactions")
    own = {of["txn_id"] for of in done if of["order_id"] == order}
    return [of for of in done if of["txn_id"] in own or of["parent"] in own]


def figures(order):
    """The same as type, status, amount and captures."""
    return [
        (of["txn_type"], of["status"], decimal.Decimal(of["amount"]), of["captures"])
        for of in committed(order)
    ]


def decided(*rows):
    """Rows to compare with `figures`, amounts as texts."""
    return [(kind, status, decimal.Decimal(amount), count) for kind, status, amount, count in rows]


def played(*words, status=0):
    """Runs the program inside this one; what it printed. It has to end with this status."""
    out, argv = io.StringIO(), sys.argv
    sys.argv = [PROGRAM, "--steps", STEPS, "--patience", str(PATIENCE), *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            cards.main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv = argv
    assert code == status, f"{words} ended with {code}: {out.getvalue()}"
    return out.getvalue().rstrip("\n")


def start(*words):
    """Starts the program as one of its own."""
    return subprocess.Popen(
        [sys.executable, PROGRAM, "--steps", STEPS, "--patience", str(PATIENCE), *words],
        env=os.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill(program):
    """SIGKILL, to a program that is in the middle of something."""
    assert program.poll() is None, f"ended before: {program.communicate()[0]}"
    program.send_signal(signal.SIGKILL)
    assert program.wait(PATIENCE) == -signal.SIGKILL
    program.stdout.close()


def ended(program):
    """What a program printed; it has to end with 0."""
    out, _ = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, f"exit {program.returncode}: {out}"
    return out.splitlines()[-1]


def trouble(what, **on):
    """The next request that matches meets a fault."""
    gateway.sandbox("POST", "faults", [{"match": on, "times": 1, "fault": what}])


def until(condition, what):
    """Waits until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def request(order, **changes):
    """A sale of five roubles."""
    card = {"pan": cards.PAN, "expiry_month": 12, "expiry_year": cards.EXPIRY_YEAR}
    card |= {"cvv2": cards.CVV2, "holder_name": "CARD HOLDER"} | changes
    fields = {"order": {"order_id": order}, "amount": cards.money("5.00")}
    return cards.pb.SaleRequest(**fields, instrument={"card": card})


def refused(method, sent, code, reason, metadata=cards.CREDENTIAL):
    """Calls, demands this refusal and returns its details."""
    try:
        reply = method(sent, metadata=metadata, timeout=20)
    except grpc.RpcError as error:
        found = cards.details(error)
        assert found["ErrorInfo"].reason == reason, found["ErrorInfo"]
        assert error.code() is code, error
        return found
    raise AssertionError(f"answered {type(reply).__name__} instead of {reason}")


def fields(found):
    """The fields a refusal names, each of which it says something about."""
    violations = found["BadRequest"].field_violations
    assert violations and all(of.description for of in violations), violations
    return [of.field for of in violations]


def one_step_without_3d_secure():
    line = played("sale", "one", "7.00")
    (done,) = committed("one")
    assert line == f"sale one SUCCEEDED {done['txn_id']} PURCHASE RECONCILED 7.00 RUB; next REFUND"
    # Once more, and nothing is paid again.
    assert played("sale", "one", "7.00") == line
    assert figures("one") == decided((SALE, RECONCILED, "7.00", 0))
    # The order stays what it was.
    try:
        played("sale", "one", "8.00")
    except ValueError as error:
        assert "was begun as sale 7.00 before" in str(error), error
    else:
        raise AssertionError("another amount was taken for the same order")


def one_step_with_3d_secure():
    secure = ["--holder", "unknown name"]
    line = played("sale", "secure", "5.00", *secure)
    assert line.startswith("sale secure SUCCEEDED") and line.endswith("5.00 RUB; next REFUND"), line
    assert played("sale", "secure", "5.00", *secure) == line
    assert figures("secure") == decided((SALE, RECONCILED, "5.00", 0))
    denied = played("sale", "denied", "5.00", *secure, "--says", "deny", status=1)
    assert denied.startswith("sale denied FAILED") and " DECLINED " in denied, denied
    assert "8151: Покупатель не прошёл проверку 3-D Secure." in denied, denied
    assert figures("denied") == decided((SALE, DECLINED, "5.00", 0))


def declined_by_the_issuer():
    # The sandbox declines cards that expire in February, as the test mode does.
    line = played("sale", "poor", "5.00", "--month", "2", status=1)
    assert line.startswith("sale poor FAILED") and "8160" in line, line
    assert played("sale", "poor", "5.00", "--month", "2", status=1) == line
    assert figures("poor") == decided((SALE, DECLINED, "5.00", 0))


def two_steps_and_back():
    held = played("authorize", "two", "10.00")
    assert held.endswith("AUTHORIZED 10.00 RUB; next CAPTURE or REVERSE"), held
    first = played("reverse", "two", "2.50")
    assert first.startswith("reverse two SUCCEEDED"), first
    assert first.endswith("REVERSAL CAPTURED 2.50 RUB"), first
    # The same part again is the same reversal, another part is another one.
    assert played("reverse", "two", "2.50") == first
    assert played("reverse", "two", "2.50", "--part", "2") != first
    captured = played("capture", "two")
    assert captured.startswith("capture two SUCCEEDED"), captured
    assert played("capture", "two") == captured
    refund = played("refund", "two", "1.25")
    assert refund.startswith("refund two SUCCEEDED") and refund.endswith("1.25 RUB"), refund
    rest = played("refund", "two", "--part", "2")
    assert rest.startswith("refund two SUCCEEDED"), rest
    assert figures("two") == decided(
        (AUTHORIZATION, RECONCILED, "10.00", 1),
        (REVERSAL, CAPTURED, "2.50", 0),
        (REVERSAL, CAPTURED, "2.50", 0),
        (REFUND, CAPTURED, "1.25", 0),
        (REFUND, CAPTURED, "3.75", 0),
    )
    lines = played("status", "two").splitlines()
    types = [line.split()[1] for line in lines]
    assert types == ["AUTHORIZATION", "REVERSAL", "REVERSAL", "REFUND", "REFUND"], lines


def paid_out_to_the_card_of_a_sale():
    line = played("payout", "out", "3.00", "--to", "one")
    assert line.startswith("payout out SUCCEEDED"), line
    assert line.endswith("PAYOUT CAPTURED 3.00 RUB"), line
    assert played("payout", "out", "3.00", "--to", "one") == line
    assert figures("out") == decided((PAYOUT, CAPTURED, "3.00", 0))


def killed_while_the_sale_is_done_and_not_answered():
    order, words = "killed after", ["sale", "killed after", "4.00"]
    trouble({"answer_latency_ms": 4_000}, opcode=1, body_contains=f'"{order}"')
    program = start(*words)
    until(lambda: committed(order), "the sale never reached the sandbox")
    kill(program)
    line = ended(start(*words))
    assert line.startswith(f"sale {order} SUCCEEDED"), line
    assert figures(order) == decided((SALE, RECONCILED, "4.00", 0))


def killed_before_the_sale_is_done():
    order, words = "killed before", ["sale", "killed before", "4.00"]
    trouble({"latency_ms": 4_000}, opcode=1, body_contains=f'"{order}"')
    program = start(*words)
    asked = cards.pb.GetOperationRequest(kind=cards.KINDS["sale"], operation_id=order)

    def known():
        try:
            return acquiring.GetOperation(asked, metadata=cards.CREDENTIAL, timeout=5).operation
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND, error
            return None

    operation = until(known, "the sale never came to the gateway")
    assert operation.state == cards.pb.OPERATION_STATE_IN_PROGRESS, operation
    assert not committed(order), "the sale was carried out already"
    kill(program)
    line = ended(start(*words))
    assert line.startswith(f"sale {order} SUCCEEDED"), line
    assert figures(order) == decided((SALE, RECONCILED, "4.00", 0))


def killed_while_the_customer_is_at_the_issuer():
    order = "killed between"
    words = ["sale", order, "4.00", "--holder", "unknown name"]
    trouble({"latency_ms": 4_000}, path_prefix="/acs")
    program = start(*words)
    until(lambda: [of for of in committed(order) if of["status"] == INIT], "no sale was begun")
    time.sleep(0.5)
    kill(program)
    # The gateway tells the new program where the customer has to go.
    line = ended(start(*words))
    assert line.startswith(f"sale {order} SUCCEEDED"), line
    assert figures(order) == decided((SALE, RECONCILED, "4.00", 0))


def killed_while_a_refund_is_done_and_not_answered():
    words = ["refund", "secure", "2.00"]
    trouble({"answer_latency_ms": 4_000}, opcode=7)
    program = start(*words)
    until(lambda: len(committed("secure")) > 1, "the refund never reached the sandbox")
    kill(program)
    line = ended(start(*words))
    assert line.startswith("refund secure SUCCEEDED"), line
    expected = decided((SALE, RECONCILED, "5.00", 0), (REFUND, CAPTURED, "2.00", 0))
    assert figures("secure") == expected


def an_unclear_capture_is_found_in_the_status():
    played("authorize", "unclear", "6.00")
    trouble({"cut": "before_headers"}, opcode=5)
    line = played("capture", "unclear")
    assert line.startswith("capture unclear SUCCEEDED"), line
    assert figures("unclear") == decided((AUTHORIZATION, RECONCILED, "6.00", 1))


def a_repeat_is_marked_and_tells_no_token_again():
    sent = request("repeated")
    first, call = acquiring.Sale.with_call(sent, metadata=cards.CREDENTIAL, timeout=20)
    assert "x-idempotent-replayed" not in dict(call.initial_metadata())
    assert first.card_token.card_token, "the sandbox's site has tokens"
    # After a crash nobody knows the security code.
    for again in (sent, request("repeated", cvv2="")):
        reply, call = acquiring.Sale.with_call(again, metadata=cards.CREDENTIAL, timeout=20)
        assert dict(call.initial_metadata()).get("x-idempotent-replayed") == "1"
        assert reply.operation == first.operation, reply.operation
        assert not reply.HasField("card_token")
    assert len(committed("repeated")) == 1
    other = request("repeated", pan="4000000000000002")
    found = refused(acquiring.Sale, other, grpc.StatusCode.ALREADY_EXISTS, "PAYMENT_ID_REUSED")
    assert found["ErrorInfo"].metadata["upstreamSent"] == "no"
    assert len(committed("repeated")) == 1


def errors_say_what_is_wrong():
    wrong = request("wrong", pan="4111111111111112", expiry_month=13)
    found = refused(acquiring.Sale, wrong, grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    expected = ["instrument.card.expiry_month", "instrument.card.pan"]
    assert sorted(fields(found)) == expected, fields(found)
    assert found["ErrorInfo"].metadata["upstreamSent"] == "no"
    # QIWI's own judgement of a field comes under the name callers know.
    expired = request("expired", expiry_year=2020)
    found = refused(acquiring.Sale, expired, grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert fields(found) == ["instrument.card.expiry_month"], fields(found)
    assert found["ErrorInfo"].metadata["upstreamCode"] == "8019"
    assert found["ErrorInfo"].metadata["paymentState"] == "REJECTED"
    dear = request("dear")
    dear.amount.CopyFrom(cards.pb.SaleRequest(amount=cards.money("10.01")).amount)
    code, reason = grpc.StatusCode.FAILED_PRECONDITION, "AMOUNT_EXCEEDS_ALLOWED"
    found = refused(acquiring.Sale, dear, code, reason)
    assert found["ErrorInfo"].metadata["upstreamCode"] == "8070"
    assert found["LocalizedMessage"].message, found
    capture = cards.pb.CaptureRequest(
        request_id=str(uuid.uuid4()), transaction_id=str(committed("one")[0]["txn_id"])
    )
    found = refused(acquiring.Capture, capture, code, "TRANSACTION_STATE_INVALID")
    assert found["ErrorInfo"].metadata["paymentState"] == "REJECTED"
    code, reason = grpc.StatusCode.PERMISSION_DENIED, "CREDENTIAL_KIND_UNSUITABLE"
    refused(acquiring.Sale, request("nobody"), code, reason, metadata=gateway.DEMO)
    for order in ("wrong", "expired", "dear", "nobody"):
        assert not committed(order), committed(order)


def subscribed(heard):
    """Subscribes to the merchant's events from now on; what comes is appended."""
    wanted = {"kinds": [kinds.EVENT_KIND_ACQUIRING, kinds.EVENT_KIND_CONFIRMATION]}
    ask = events.SubscribeRequest(filter=wanted, start={"anchor": kinds.LOG_ANCHOR_LATEST})
    stream = log.Subscribe(ask, metadata=cards.CREDENTIAL)
    # The first response says that the place is taken.
    next(stream)

    def listen():
        with contextlib.suppress(grpc.RpcError):
            for response in stream:
                heard.extend(response.events)

    threading.Thread(target=listen, daemon=True).start()
    return stream


def told(heard, transaction_id):
    """The events of one transaction: what was notified, and what QIWI answered about it."""
    notified = [of.acquiring for of in heard if of.acquiring.transaction_id == transaction_id]
    confirmed = [
        of.confirmation.acquiring.transaction
        for of in heard
        if of.confirmation.transaction_id == transaction_id
    ]
    return notified, confirmed


def the_sale_is_an_event_and_confirmed():
    heard = []
    stream = subscribed(heard)
    line = played("sale", "told", "6.50")
    number = str(committed("told")[0]["txn_id"])
    until(lambda: all(told(heard, number)), f"no event and confirmation of {line}")
    stream.cancel()
    (notified,), (confirmed,) = told(heard, number)
    for one in (notified, confirmed):
        assert one.status == cards.transactions.TRANSACTION_STATUS_RECONCILED, one
        assert cards.money_text(one.amount) == "6.50 RUB", one
        assert one.card.masked_pan == "411111******1111", one
    assert confirmed.order_id == "told", confirmed
    # The log has the same, and no token in any form.
    request = events.ListEventsRequest(filter={"kinds": [kinds.EVENT_KIND_ACQUIRING]})
    listed = log.ListEvents(request, metadata=cards.CREDENTIAL, timeout=5).events
    assert number in {of.acquiring.transaction_id for of in listed}
    token = cards.Steps(STEPS).token("told").encode()
    assert not any(token in of.SerializeToString() for of in [*heard, *listed])


def a_payment_form_is_paid_by_a_customer():
    heard = []
    stream = subscribed(heard)
    till = cards.Till(cards.Steps(STEPS), PATIENCE)
    form = till.form("by form", "4.20")
    assert f'action="{form.action_url}"' in form.html, form.html
    # What a browser sends, and what a customer types at QIWI.
    page = cards.submit(form.action_url, {field.name: field.value for field in form.fields})
    action = cards.urllib.parse.urljoin(form.action_url, page.pop("action"))
    typed = {"pan": cards.PAN, "expiry": "1249", "cvv2": cards.CVV2, "card_name": "CARD HOLDER"}
    result = cards.submit(action, page | typed)
    number = str(result["txn_id"])
    until(lambda: all(told(heard, number)), "no event and confirmation of a payment by form")
    stream.cancel()
    _, (confirmed,) = told(heard, number)
    assert (confirmed.order_id, cards.money_text(confirmed.amount)) == ("by form", "4.20 RUB")
    # Paid by form, refunded by call.
    assert played("refund", "by form").startswith("refund by form SUCCEEDED")
    expected = decided((SALE, RECONCILED, "4.20", 0), (REFUND, CAPTURED, "4.20", 0))
    assert figures("by form") == expected
    # Whoever changes the page is found out.
    forged = {field.name: field.value for field in form.fields} | {"amount": "0.01"}
    assert cards.submit(form.action_url, forged)["error_code"] == 8054


if __name__ == "__main__":
    with folder:
        gateway.run(
            [
                one_step_without_3d_secure,
                one_step_with_3d_secure,
                declined_by_the_issuer,
                two_steps_and_back,
                paid_out_to_the_card_of_a_sale,
                killed_while_the_sale_is_done_and_not_answered,
                killed_before_the_sale_is_done,
                killed_while_the_customer_is_at_the_issuer,
                killed_while_a_refund_is_done_and_not_answered,
                an_unclear_capture_is_found_in_the_status,
                a_repeat_is_marked_and_tells_no_token_again,
                errors_say_what_is_wrong,
                the_sale_is_an_event_and_confirmed,
                a_payment_form_is_paid_by_a_customer,
            ]
        )
