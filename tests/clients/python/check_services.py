"""What a client finds around the calls: health, reflection, metadata, compression."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

import gateway
from gateway import DEMO

balance_pb, balance_rpc = gateway.area("balance")

channel = grpc.insecure_channel(gateway.ADDRESS)
balances = balance_rpc.BalanceServiceStub(channel)
health = health_pb2_grpc.HealthStub(channel)
reflected = ProtoReflectionDescriptorDatabase(channel)

SERVING = health_pb2.HealthCheckResponse.SERVING


def own_services():
    """The gateway's services as reflection names them."""
    found = [name for name in reflected.get_services() if name.startswith("qiwi.")]
    assert "qiwi.wallet.v1.BalanceService" in found, found
    return found


def health_of_the_whole():
    request = health_pb2.HealthCheckRequest()
    assert health.Check(request, timeout=5).status == SERVING
    watch = health.Watch(request, timeout=5)
    assert next(watch).status == SERVING
    watch.cancel()


def health_of_every_service():
    for name in own_services():
        status = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status
        assert status == SERVING, f"{name}: {status}"


def health_of_an_unknown_service():
    try:
        health.Check(health_pb2.HealthCheckRequest(service="qiwi.Nothing"), timeout=5)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND, error
    else:
        raise AssertionError("an unknown service has a health")


def reflection_knows_every_message():
    for name in own_services():
        reflected.FindFileContainingSymbol(name)
    # Without these, generic clients cannot show an error's details.
    for name in ("google.rpc.Status", "google.rpc.ErrorInfo", "google.rpc.BadRequest"):
        reflected.FindFileContainingSymbol(name)


def request_id_comes_back():
    metadata = [*DEMO, ("x-request-id", "check-echo-1")]
    request = balance_pb.ListBalancesRequest()
    _, call = balances.ListBalances.with_call(request, metadata=metadata, timeout=5)
    assert dict(call.initial_metadata())["x-request-id"] == "check-echo-1"


def request_id_is_made():
    request = balance_pb.ListBalancesRequest()
    seen = set()
    for _ in range(2):
        _, call = balances.ListBalances.with_call(request, metadata=DEMO, timeout=5)
        seen.add(dict(call.initial_metadata())["x-request-id"])
    assert len(seen) == 2 and all(len(one) == 36 for one in seen), seen


def second_read_comes_from_the_cache():
    request = balance_pb.ListBalancesRequest()
    first = balances.ListBalances(request, metadata=DEMO, timeout=5)
    second, call = balances.ListBalances.with_call(request, metadata=DEMO, timeout=5)
    assert dict(call.initial_metadata())["x-qiwi-cache"] == "hit", call.initial_metadata()
    assert list(second.balances) == list(first.balances)


def compressed_request():
    reply = balances.ListBalances(
        balance_pb.ListBalancesRequest(),
        metadata=DEMO,
        timeout=5,
        compression=grpc.Compression.Gzip,
    )
    assert reply.balances


def unknown_method():
    call = channel.unary_unary("/qiwi.wallet.v1.BalanceService/Nothing")
    try:
        call(b"", metadata=DEMO, timeout=5)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED, error
    else:
        raise AssertionError("an unknown method answered")


gateway.run(
    [
        health_of_the_whole,
        health_of_every_service,
        health_of_an_unknown_service,
        reflection_knows_every_message,
        request_id_comes_back,
        request_id_is_made,
        second_read_comes_from_the_cache,
        compressed_request,
        unknown_method,
    ]
)
