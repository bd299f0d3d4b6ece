"""How the examples reach the gateway that the environment names.

GATEWAY is its address, 127.0.0.1:50051 without it. A name is resolved to all of its
addresses, and calls go round them, as they do with ipv4:10.0.0.1:50051,10.0.0.2:50051.
With GATEWAY_CA, a PEM file of authorities, the channel uses TLS; with GATEWAY_CERT and
GATEWAY_KEY it shows a certificate of its own. GATEWAY_CALLER_KEY says who calls, where
callers are configured.
"""

import os
import pathlib

import grpc

OPTIONS = [
    # A dead connection is found out also while nothing is called.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]


def connect(address=None, more=()):
    """A channel; one is enough for a whole program, and closed at its end."""
    address = address or os.environ.get("GATEWAY") or "127.0.0.1:50051"
    # Which methods the library may repeat by itself: reads, and none that pays.
    config = pathlib.Path("docs/service-config.json").read_text()
    options = [*OPTIONS, ("grpc.service_config", config), *more]
    if "," in address:
        # The list itself is no name of a server, and would be refused as one.
        first = address.partition(":")[2].partition(",")[0]
        options.append(("grpc.default_authority", first))
    authorities = _file("GATEWAY_CA")
    if authorities is None:
        return grpc.insecure_channel(address, options)
    tls = grpc.ssl_channel_credentials(authorities, _file("GATEWAY_KEY"), _file("GATEWAY_CERT"))
    return grpc.secure_channel(address, tls, options)


def named(credential):
    """The metadata of calls with a credential; its token never leaves the gateway."""
    metadata = [("x-qiwi-credential", credential)]
    if caller := os.environ.get("GATEWAY_CALLER_KEY"):
        metadata.append(("x-qiwi-caller-key", caller))
    return metadata


def _file(name):
    path = os.environ.get(name)
    return pathlib.Path(path).read_bytes() if path else None
