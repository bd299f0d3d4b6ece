"""Three brokers on loopback for gateways that share their state, each a process of its own."""

import pathlib
import shutil
import subprocess
import time
import urllib.error
import urllib.request

from processes import free_port

COUNT = 3
START_SECONDS = 30


class Brokers:
    """A cluster of nats-server that syncs each write before it acknowledges it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder, "brokers")
        self.folder.mkdir()
        program = shutil.which("nats-server")
        assert program, "no nats-server: run tests/tools/bootstrap and put its tools into PATH"
        ports = [[free_port() for _ in range(3)] for _ in range(COUNT)]
        self.clients = [port for port, _, _ in ports]
        self.monitors = [port for _, port, _ in ports]
        routes = ", ".join(f"nats://127.0.0.1:{port}" for _, _, port in ports)
        self.key = self.folder / "ledger.key"
        self.key.write_text("2a" * 32)
        self.processes = []
        for number, (client, monitor, route) in enumerate(ports):
            config = self.folder / f"n{number}.conf"
            config.write_text(
                f"server_name: n{number}\n"
                f'listen: "127.0.0.1:{client}"\n'
                f'http: "127.0.0.1:{monitor}"\n'
                f'jetstream {{ store_dir: "{self.folder / str(number)}", '
                "sync_interval: always, max_file_store: 68719476736 }\n"
                f'cluster {{ name: check, listen: "127.0.0.1:{route}", routes: [{routes}] }}\n'
            )
            log = (self.folder / f"n{number}.log").open("wb")
            self.processes.append(
                subprocess.Popen([program, "-c", config], stdout=log, stderr=subprocess.STDOUT)
            )

    def wait(self):
        """Returns itself once every broker is well: the cluster has a leader then."""
        deadline = time.monotonic() + START_SECONDS
        for port in self.monitors:
            while not _is_well(port):
                assert time.monotonic() < deadline, f"see {self.folder}"
                time.sleep(0.1)
        return self

    @property
    def environment(self):
        """What makes a gateway use them."""
        return {
            "QIWI_GATEWAY_STATE__ENGINE": "nats",
            "QIWI_GATEWAY_STATE__KEY_FILE": str(self.key),
            # One key for all that replicas seal for each other will do here.
            "QIWI_GATEWAY_PAGES__KEY_FILE": str(self.key),
            "QIWI_GATEWAY_SECURITY__FINGERPRINT_PEPPER_FILE": str(self.key),
            "QIWI_GATEWAY_STATE__NATS_URL": ",".join(
                f"nats://127.0.0.1:{port}" for port in self.clients
            ),
            "QIWI_GATEWAY_STATE__NATS_MONITOR_URLS": ",".join(
                f"http://127.0.0.1:{port}" for port in self.monitors
            ),
            # The machine may be busy.
            "QIWI_GATEWAY_STATE__NATS_TIMEOUT": "2s",
            "QIWI_GATEWAY_NOTIFICATIONS__STORE_TIMEOUT": "6s",
            "QIWI_GATEWAY_LIMIT__REPLICAS": "3",
        }

    def kill(self):
        """Nothing of them is left."""
        for process in self.processes:
            process.kill()
            process.wait()


def _is_well(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
