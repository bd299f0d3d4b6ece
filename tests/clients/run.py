"""Calls the built gateway from outside: the examples and the clients' checks.

Each group of programs gets a gateway of its own (`serve --sandbox`, every
listener on a free port), because a check that makes the sandbox misbehave
leaves breakers and cool-downs behind. A program passes when it exits 0, and
where it is an example, when it also printed what the sandbox's seed says.
Afterwards every gateway gets SIGTERM and has to exit 0.

With --group NAME, which may be given more than once, only the programs of these groups run.
With STORIES_MINUTES in the environment the two stories of examples/python run side by side for
so long, with every setting as it is, and nothing else does.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/clients/python"))
from processes import Process  # noqa: E402 (it lies beside the checks)

PROGRAM_SECONDS = 180
# What the stories may take to catch up in the end.
STORIES_LAST_SECONDS = 400

# What the sandbox's demo wallet holds, as the README prints it.
BALANCES = [
    "qw_wallet_rub 12345.67 RUB",
    "qw_wallet_usd 100.50 USD",
    "qw_wallet_eur 0.70 EUR",
]

# A generic client that knows nothing but reflection.
BUF_CURL = [
    *("buf", "curl", "--http2-prior-knowledge", "--protocol", "grpc"),
    *("-H", "x-qiwi-credential: demo"),
    "http://{gateway}/qiwi.wallet.v1.BalanceService/ListBalances",
]


# Events are found by polling: often, to be quick.
QUICK = {
    "QIWI_GATEWAY_EVENTS__POLL_FASTEST": "100ms",
    "QIWI_GATEWAY_EVENTS__POLL_SLOWEST": "400ms",
    "QIWI_GATEWAY_EVENTS__BALANCE_INTERVAL": "500ms",
    # What QIWI permits in a minute, in a quarter of one: polling has a fifth of it. The sandbox
    # counts whole minutes, and a slow machine must not reach what it blocks a wallet for.
    "QIWI_GATEWAY_LIMIT__PERIOD": "15s",
}

# What a gateway of a group does differently.
LANGUAGES = ["python", "node", "go", "java"]
# A program that has just started on a busy machine needs its time to take an answer in.
PROGRAMS = QUICK | {"QIWI_GATEWAY_DEADLINE__RESERVE": "1s"}
SETTINGS = {"events": QUICK, "cards": QUICK}
SETTINGS |= {f"{name} programs": PROGRAMS for name in LANGUAGES}


class Failed(Exception):
    """A check did not hold; the text says which."""


TROUBLE = (Failed, AssertionError, OSError, ValueError, KeyError, subprocess.TimeoutExpired)


class Gateway(Process):
    """One `qiwi-gateway serve --sandbox` with its listeners on free ports."""

    def __init__(self, name: str, folder: pathlib.Path):
        self.name = name
        environment = {
            f"QIWI_GATEWAY_{section}__LISTEN": "127.0.0.1:0"
            for section in ("GRPC", "NOTIFICATIONS", "ADMIN", "SANDBOX")
        }
        log = folder / f"gateway-{name.replace(' ', '-')}.log"
        wanted, words = ("grpc", "admin", "sandbox"), ["serve", "--sandbox"]
        super().__init__(log, wanted, words, environment | SETTINGS.get(name, {}))

    def environment(self) -> dict[str, str]:
        """What the programs are told."""
        return os.environ | {
            "GATEWAY": self.listening["grpc"],
            "GATEWAY_ADMIN": self.listening["admin"],
            "SANDBOX": self.listening["sandbox"],
            "PYTHONDONTWRITEBYTECODE": "1",
            # A proxy of the machine is none of these calls' business.
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }


def run(
    command: list[str],
    environment: dict[str, str],
    stdin: str | None = None,
    seconds: float = PROGRAM_SECONDS,
) -> str:
    """Runs one program from the root of the repository and returns what it printed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        input=stdin if stdin is not None else "",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    if done.returncode != 0:
        raise Failed(f"exit {done.returncode}\n{done.stdout}")
    return done.stdout


def prints_balances(output: str) -> None:
    """The first call prints the seeded balances exactly."""
    if output.splitlines() != BALANCES:
        raise Failed(f"printed\n{output}instead of\n" + "\n".join(BALANCES))


def reads_wallet(output: str) -> None:
    """The long example read the profile, the balances, a long history and a receipt."""
    for line in BALANCES:
        if line not in output:
            raise Failed(f"no line {line!r} in\n{output}")
    history = re.search(r"^(\d+) transactions in (\d+) pages$", output, re.MULTILINE)
    if not history or int(history[1]) < 100 or int(history[2]) < 2:
        raise Failed(f"no long history in\n{output}")
    receipt = re.search(r"^receipt: (\d+) bytes in (.+)$", output, re.MULTILINE)
    if not receipt:
        raise Failed(f"no receipt in\n{output}")
    file = pathlib.Path(receipt[2]).read_bytes()
    if not file.startswith(b"%PDF") or len(file) != int(receipt[1]):
        raise Failed(f"not a PDF of {receipt[1]} bytes: {file[:20]!r}")
    if not re.search(r"^refused: INVALID_ARGUMENT .*REQUEST_INVALID.*page_size", output, re.MULTILINE):
        raise Failed(f"no explained refusal in\n{output}")


def answers_balances(output: str) -> None:
    """A reply in JSON with an amount for each seeded balance."""
    balances = json.loads(output)["balances"]
    aliases = [balance["alias"] for balance in balances if "amount" in balance]
    if aliases != [line.split()[0] for line in BALANCES]:
        raise Failed(f"answered\n{output}")


def pays_as_readme(output: str) -> None:
    """Both programs of the README, typed into one Python, print what it says."""
    *balances, paid = output.splitlines()
    # A slow machine may see the payment's end in the second answer.
    state = paid.replace("SUCCEEDED", "ACCEPTED")
    if balances != BALANCES or state != "PAYMENT_STATE_ACCEPTED 10.50 RUB":
        raise Failed(f"printed\n{output}")


def readme_snippets() -> list[str]:
    """The README's programs; the first has to be the file that is tested here."""
    text = (ROOT / "README.md").read_text()
    found = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if len(found) != 2:
        raise Failed(f"README.md has {len(found)} python blocks")
    return found


def same_as_example() -> None:
    """Copied text grows apart; this says so."""
    if readme_snippets()[0] != (ROOT / "examples/python/first_call.py").read_text():
        raise Failed("README.md's python block is not examples/python/first_call.py")


def prints_ok(output: str) -> None:
    """A check program ends by saying how much it checked."""
    if not re.search(r"^[1-9]\d* checks passed$", output, re.MULTILINE):
        raise Failed(f"no count of checks in\n{output}")


def prints_figures(output: str) -> None:
    """The stories say what came of them; that is what somebody let them run for."""
    prints_ok(output)
    print("".join(f"   {line}\n" for line in output.splitlines()), end="")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--error-rows", type=pathlib.Path, required=True)
    parser.add_argument("--group", action="append", help="only the programs of this group")
    arguments = parser.parse_args()
    # For this program's gateways, and for checks that start gateways of their own.
    os.environ["QIWI_GATEWAY"] = str(arguments.binary.resolve())
    python = sys.executable

    groups = {
        "examples": [
            ("README snippet", [python, "-"], prints_balances),
            ("first_call.py", [python, "examples/python/first_call.py"], prints_balances),
            ("first_call.mjs", ["node", "examples/node/first_call.mjs"], prints_balances),
            (
                "read_wallet.py",
                [python, "examples/python/read_wallet.py", "{scratch}/python.pdf"],
                reads_wallet,
            ),
            (
                "read_wallet.mjs",
                ["node", "examples/node/read_wallet.mjs", "{scratch}/node.pdf"],
                reads_wallet,
            ),
            ("check_money.py", [python, "tests/clients/python/check_money.py"], prints_ok),
            ("check_money.mjs", ["node", "tests/clients/node/check_money.mjs"], prints_ok),
            (
                "check_service_config.py",
                [python, "tests/clients/python/check_service_config.py"],
                prints_ok,
            ),
            ("check_services.py", [python, "tests/clients/python/check_services.py"], prints_ok),
            ("buf curl", BUF_CURL, answers_balances),
        ],
        "python": [
            ("check_errors.py", [python, "tests/clients/python/check_errors.py"], prints_ok),
        ],
        # Payments of the README and of the check have ids of their own making: not one wallet.
        "readme": [
            ("README snippets", [python, "-", "both"], pays_as_readme),
        ],
        "pay": [
            ("check_pay.py", [python, "tests/clients/python/check_pay.py"], prints_ok),
        ],
        # A merchant of its own, whose test mode counts the operations of both.
        "cards": [
            ("check_cards.py", [python, "tests/clients/python/check_cards.py"], prints_ok),
            ("check_cards.mjs", ["node", "tests/clients/node/check_cards.mjs"], prints_ok),
        ],
        "events": [
            ("check_events.py", [python, "tests/clients/python/check_events.py"], prints_ok),
        ],
        "node": [
            ("check_errors.mjs", ["node", "tests/clients/node/check_errors.mjs"], prints_ok),
        ],
    }
    # The same checks of the same three examples in every language. A gateway for each: a wallet
    # has one source of payment ids, and the sandbox counts history requests in whole minutes.
    for name in LANGUAGES:
        command = [python, "tests/clients/python/check_programs.py", name]
        groups[f"{name} programs"] = [(f"check_programs.py {name}", command, prints_ok)]
    # Has three gateways of its own.
    rolling = [python, "tests/clients/python/check_rolling.py", "--brokers"]
    groups["rolling"] = [("check_rolling.py", rolling, prints_ok)]
    # Makes certificates, and has a server of its own.
    tls = [python, "tests/clients/python/check_tls.py"]
    groups["rolling"].append(("check_tls.py", tls, prints_ok))
    # These mostly wait; they do it side by side when the others are through.
    side_by_side = ["rolling", *(f"{name} programs" for name in LANGUAGES)]
    decoders = [
        ("decode_details.py", [python, "tests/clients/python/decode_details.py"]),
        ("decode_details.mjs", ["node", "tests/clients/node/decode_details.mjs"]),
    ]

    if arguments.group:
        unknown = set(arguments.group) - set(groups)
        if unknown:
            parser.error(f"no group {', '.join(sorted(unknown))} among {', '.join(groups)}")
        groups, decoders = {name: groups[name] for name in arguments.group}, []

    minutes = float(os.environ.get("STORIES_MINUTES", "0"))
    seconds = PROGRAM_SECONDS
    if minutes:
        stories = [python, "tests/clients/python/check_stories.py", str(minutes)]
        groups, decoders = {"stories": [("check_stories.py", stories, prints_figures)]}, []
        seconds += 60 * minutes + STORIES_LAST_SECONDS

    failures, counting = 0, threading.Lock()

    def check(name: str, body) -> None:
        nonlocal failures
        started = time.monotonic()
        try:
            said = body()
        except TROUBLE as error:
            with counting:
                failures += 1
            print(f"   FAILED {name}: {error}", flush=True)
        else:
            count = re.search(r"^\d+ (checks passed|values decoded.*)$", said or "", re.MULTILINE)
            taken = f"{time.monotonic() - started:.1f} s"
            print(f"   ok     {name} ({taken}{', ' + count[0] if count else ''})", flush=True)

    def program(gateway: Gateway, command: list[str], judge):
        def body() -> str:
            typed = {"-": 1, "both": 2}.get(str(command[-1]), 0)
            stdin = "".join(readme_snippets()[:typed]) or None
            filled = [
                word.format(scratch=scratch, gateway=gateway.listening["grpc"])
                for word in map(str, command)
            ]
            output = run(filled, gateway.environment(), stdin, seconds)
            judge(output)
            return output

        return body

    with tempfile.TemporaryDirectory(prefix="qiwi-gateway-clients-") as folder:
        scratch = pathlib.Path(folder)
        gateways: list[Gateway] = []
        try:
            check("README snippet is first_call.py", same_as_example)

            def one(group: str) -> None:
                gateway = Gateway(group, scratch)
                gateways.append(gateway)
                check(f"gateway for {group} started", lambda: gateway.wait() and None)
                if not gateway.ready.is_set():
                    return
                for name, command, judge in groups[group]:
                    check(name, program(gateway, command, judge))

            for group in groups:
                if group not in side_by_side:
                    one(group)
            with concurrent.futures.ThreadPoolExecutor(len(side_by_side)) as threads:
                list(threads.map(one, [group for group in side_by_side if group in groups]))
            # A gateway takes its time to drain; they do it side by side.
            for gateway in gateways:
                gateway.terminate()
            for gateway in gateways:
                check(f"gateway for {gateway.name} ended on SIGTERM", gateway.ended)
        finally:
            for gateway in gateways:
                gateway.kill()

    for name, command in decoders:
        check(name, lambda c=command: run(c, dict(os.environ), arguments.error_rows.read_text()))

    if failures:
        print(f"   {failures} client checks failed")
        sys.exit(1)


main()
