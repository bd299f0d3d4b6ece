"""What `helm test` runs in the cluster, run here."""

import subprocess


def health(binary, address: str, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [binary, "health", "--address", address, *more],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_health_is_told_for_the_gateway_and_for_a_service(binary, running):
    address = f"http://{running.at['grpc']}"
    assert health(binary, address).returncode == 0
    service = "qiwi.wallet.v1.PaymentService"
    assert health(binary, address, "--service", service).returncode == 0
    result = health(binary, address, "--service", "qiwi.nothing")
    assert result.returncode != 0 and "no such service" in result.stderr, result.stderr


def test_what_does_not_serve_is_named(binary, running):
    # A port that was free a moment ago, and one that speaks something else.
    result = health(binary, "http://127.0.0.1:9")
    assert result.returncode != 0 and "cannot connect to http://127.0.0.1:9" in result.stderr
    result = health(binary, f"http://{running.at['admin']}")
    assert result.returncode != 0
    result = health(binary, "grpc.example.com:50051")
    assert result.returncode != 0 and "--address" in result.stderr
