"""The examples' `money_text` is exact; each example carries its own copy."""

import ast
import os
import types

import gateway

ROWS = [
    ("RUB", 12345, 670_000_000, "12345.67 RUB"),
    ("RUB", 0, 0, "0.00 RUB"),
    ("RUB", 0, 50_000_000, "0.05 RUB"),
    ("RUB", 0, -50_000_000, "-0.05 RUB"),
    ("RUB", -1, -500_000_000, "-1.50 RUB"),
    ("USD", -7, 0, "-7.00 USD"),
    ("EUR", 1, 1, "1.000000001 EUR"),
    ("KZT", 9_223_372_036_854_775_807, 999_999_999, "9223372036854775807.999999999 KZT"),
    ("KZT", -9_223_372_036_854_775_808, -10_000_000, "-9223372036854775808.01 KZT"),
]


def exact_in(path: str):
    """A check of the function as it stands in one example."""
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    [function] = [n for n in tree.body if getattr(n, "name", "") == "money_text"]
    scope = {}
    exec(compile(ast.Module([function], []), path, "exec"), scope)

    def check():
        for currency_code, units, nanos, text in ROWS:
            money = types.SimpleNamespace(currency_code=currency_code, units=units, nanos=nanos)
            shown = scope["money_text"](money)
            assert shown == text, f"{shown}, expected {text}"

    check.__name__ = f"exact_in_{os.path.basename(path)}"
    return check


gateway.run([exact_in(f"examples/python/{name}.py") for name in ("first_call", "read_wallet")])
