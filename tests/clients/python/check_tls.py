"""Every language's examples come over TLS when the environment says so, and say who calls.

A server of its own demands a certificate of the client; it answers every call with an empty
message and keeps what came with it. Certificates are made with openssl for this run alone.
"""

import collections
import concurrent.futures
import os
import pathlib
import subprocess
import tempfile

import grpc

import gateway
from programs import LANGUAGES, Program

PATIENCE = 60
CALLER_KEY = "key-of-the-caller"

folder = tempfile.TemporaryDirectory(prefix="qiwi-gateway-tls-")
scratch = pathlib.Path(folder.name)


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, cwd=scratch)


def authority(name):
    """A self-signed authority."""
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", 2, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"),
        *("-addext", "keyUsage=critical,keyCertSign"),
    )


def certificate(name, usage, signer):
    """A certificate of the authority for 127.0.0.1 and localhost; its key in PKCS #8."""
    extensions = scratch / f"{name}.ext"
    extensions.write_text(
        f"subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage={usage}\n"
    )
    openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"),
    )
    openssl(
        *("x509", "-req", "-in", f"{name}.csr", "-CA", f"{signer}.pem", "-CAkey", f"{signer}.key"),
        *("-set_serial", 7, "-days", 2, "-extfile", extensions, "-out", f"{name}.pem"),
    )


class Noting(grpc.GenericRpcHandler):
    """Answers with an empty message, and keeps who called."""

    def __init__(self):
        self.seen = collections.defaultdict(list)

    def service(self, details):
        metadata = dict(details.invocation_metadata)

        def answer(_, context):
            names = context.auth_context().get("x509_common_name", [b""])
            self.seen[names[0].decode()].append((details.method, metadata))
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


def file(name):
    return (scratch / name).read_bytes()


def serve(handler):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[handler])
    pair = [(file("server.key"), file("server.pem"))]
    tls = grpc.ssl_server_credentials(pair, file("authority.pem"), require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", tls)
    server.start()
    return server, f"127.0.0.1:{port}"


def read(language, address, **more):
    """Runs `read_wallet`; what it makes of empty answers is no matter here."""
    environment = {"GATEWAY_CALLER_KEY": CALLER_KEY}
    environment |= {name: str(scratch / value) for name, value in more.items()}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        log = scratch / f"{language}-{'-'.join(more.values())}.log"
        words = ["--wait", 0, "--deadline", 10]
        program = Program(language, "read_wallet", words, log, address)
    finally:
        for name in environment:
            if before[name] is None:
                del os.environ[name]
    status, out, said = program.ended(PATIENCE)
    program.close()
    return status, out + said


def comes_over_tls(language):
    def check():
        handler = Noting()
        server, address = serve(handler)
        try:
            own = {"GATEWAY_CERT": "client.pem", "GATEWAY_KEY": "client.key"}
            _, said = read(language, address, GATEWAY_CA="authority.pem", **own)
            assert list(handler.seen) == ["client"], f"{dict(handler.seen)}\n{said}"
            method, metadata = handler.seen.pop("client")[0]
            assert method.startswith("/qiwi.wallet.v1."), method
            assert metadata["x-qiwi-caller-key"] == CALLER_KEY, metadata
            assert metadata["x-qiwi-credential"] == "demo", metadata
            # A server of another authority is not talked to, nor one that wants a certificate.
            for wrong in ({"GATEWAY_CA": "other.pem"} | own, {"GATEWAY_CA": "authority.pem"}, {}):
                status, said = read(language, address, **wrong)
                assert status == 1 and not handler.seen, f"{wrong}: exit {status}\n{said}"
        finally:
            server.stop(None).wait()

    check.__name__ = f"{language}_comes_over_tls"
    return check


with folder:
    authority("authority")
    authority("other")
    certificate("server", "serverAuth", "authority")
    certificate("client", "clientAuth", "authority")
    gateway.run([comes_over_tls(language) for language in LANGUAGES])
