"""What a real client makes of docs/service-config.json: it repeats reads and nothing else.

A server of its own answers every method UNAVAILABLE and counts the calls.
"""

import collections
import concurrent.futures
import json
import pathlib

import grpc
from google.protobuf import descriptor_pb2

import gateway

CONFIG = json.loads(pathlib.Path("docs/service-config.json").read_text())
# It is shared by all calls of a channel, and here nearly all of them fail.
THROTTLING = CONFIG.pop("retryThrottling")
NO_SIDE_EFFECTS = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
ATTEMPTS = 3


class Refusing(grpc.GenericRpcHandler):
    """Every method there may be, each of them unavailable."""

    def __init__(self):
        self.calls = collections.Counter()

    def service(self, details):
        self.calls[details.method] += 1

        def refuse(_, context):
            context.abort(grpc.StatusCode.UNAVAILABLE, "as always")

        return grpc.unary_unary_rpc_method_handler(refuse)


def methods():
    """Every method of the contract, and whether it changes nothing."""
    for path in sorted(pathlib.Path("proto/qiwi").rglob("*.proto")):
        messages = grpc.protos(str(path.relative_to("proto")))
        for service in messages.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                reads = method.GetOptions().idempotency_level == NO_SIDE_EFFECTS
                yield f"/{service.full_name}/{method.name}", reads


def reads_are_repeated_and_nothing_else():
    handler = Refusing()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=[handler])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        options = [("grpc.service_config", json.dumps(CONFIG))]
        with grpc.insecure_channel(address, options=options) as channel:
            known = dict(methods())
            calls = [channel.unary_unary(name).future(b"", timeout=60) for name in known]
            for call in calls:
                assert call.code() is grpc.StatusCode.UNAVAILABLE, call.details()
    finally:
        server.stop(None).wait()
    expected = {name: ATTEMPTS if reads else 1 for name, reads in known.items()}
    wrong = {name: handler.calls[name] for name in known if handler.calls[name] != expected[name]}
    assert not wrong, f"called another number of times: {wrong}"
    paying = "/qiwi.wallet.v1.PaymentService/CreatePayment"
    assert len(known) > 40 and expected[paying] == 1, expected
    assert handler.calls.keys() == known.keys(), handler.calls.keys() - known.keys()


def the_gateway_and_the_config_work_together():
    assert THROTTLING["tokenRatio"] > 0, THROTTLING
    balance_pb, balance_rpc = gateway.area("balance")
    config = pathlib.Path("docs/service-config.json").read_text()
    channel = grpc.insecure_channel(gateway.ADDRESS, options=[("grpc.service_config", config)])
    stub = balance_rpc.BalanceServiceStub(channel)
    reply = stub.ListBalances(balance_pb.ListBalancesRequest(), metadata=gateway.DEMO, timeout=5)
    assert reply.balances


gateway.run([reads_are_repeated_and_nothing_else, the_gateway_and_the_config_work_together])
