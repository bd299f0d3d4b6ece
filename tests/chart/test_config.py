"""The real gateway reads every configuration the chart renders."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from chart import CASES, ROOT, configuration, name_of, objects

MOUNTED = "/run/secrets/qiwi-gateway"
STATE = "/var/lib/qiwi-gateway"

KEY = "3f" * 32
# What the mounted files hold, by the last part of their name. Certificates are made by the sandbox.
CONTENT = {
    "token": "0123456789abcdef0123456789abcdef",
    "secret": "sandbox-secret-key-of-a-test",
    "webhook-key": "c2FuZGJveC13ZWJob29rLWtleQ==",
    "webhook-path-secret": "0123456789abcdef0123456789abcdef",
    "key": KEY,
    "pepper": KEY,
    "password": "correct horse",
    "nats.creds": "-----BEGIN NATS USER JWT-----\n",
}


@pytest.fixture(scope="session")
def certificates(binary, tmp_path_factory) -> dict[str, str]:
    """An authority, a certificate and its key, as the sandbox makes them."""
    folder = tmp_path_factory.mktemp("certificates")
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [binary, "sandbox", "--listen", "127.0.0.1:0", "--acquiring-listen", "127.0.0.1:0",
             "--certificates", folder],
            stdout=out, stderr=out,
        )  # fmt: skip
    try:
        until = time.monotonic() + 20
        # It listens only after they are written.
        while '"acquiring"' not in log.read_text():
            assert time.monotonic() < until and process.poll() is None, log.read_text()
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    own, key, authority = (
        (folder / name).read_text() for name in ("client.pem", "client-key.pem", "ca.pem")
    )
    return {"tls.key": key, "tls.crt": own, "ca.crt": authority, "client-ca.crt": authority}


def check(binary, config: str, folder: pathlib.Path, certificates) -> subprocess.CompletedProcess:
    """Runs check-config with every file in place."""
    secrets = folder / "secrets"
    for path in re.findall(f'"{MOUNTED}/([^"]+)"', config):
        file = secrets / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((CONTENT | certificates)[file.name])
    # Callers' keys are long enough, and differ.
    for number, path in enumerate(sorted(secrets.glob("callers/*/key"))):
        path.write_text(f"{number:064x}")
    config = config.replace(MOUNTED, str(secrets)).replace(STATE, str(folder / "state"))
    file = folder / "gateway.toml"
    file.write_text(config)
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("QIWI_GATEWAY_")
    }
    return subprocess.run(
        [binary, "check-config", "--config", file],
        capture_output=True, text=True, timeout=60, env=environment, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("case", [None, *CASES], ids=lambda of: name_of(of) if of else "none")
def test_the_gateway_reads_what_the_chart_renders(case, binary, certificates, tmp_path):
    config = configuration(objects(case))
    result = check(binary, config, tmp_path, certificates)
    assert result.returncode == 0, result.stdout + result.stderr
    for line in config.splitlines():
        if line.startswith("listen = "):
            assert json.loads(line.removeprefix("listen = ")) in result.stdout


def test_the_gateway_would_say_what_is_wrong(binary, certificates, tmp_path):
    config = configuration(objects(CASES[0])) + "[limit]\nwiat_max = 5\n"
    result = check(binary, config, tmp_path, certificates)
    assert result.returncode != 0 and "wiat_max" in result.stdout + result.stderr


def test_awkward_text_survives_the_way_through_toml(binary, certificates, tmp_path):
    text = 'info,"quoted"\\ back <a&b> \u044f\t\U0001f600'
    more = ("--set-json", "config.telemetry=" + json.dumps({"service_name": text}),
            "--set-json", 'config.events={"streams_max": 1000000, "bytes_max": 1073741824}')  # fmt: skip
    config = configuration(objects(None, *more))
    import tomllib

    parsed = tomllib.loads(config)
    assert parsed["telemetry"]["service_name"] == text
    assert parsed["events"] == {"streams_max": 1000000, "bytes_max": 1073741824}
    result = check(binary, config, tmp_path, certificates)
    assert result.returncode == 0, result.stdout + result.stderr
