import os
import sys

import grpc

sys.path.append("proto")  # run from the root of the repository
messages, services = grpc.protos_and_services("qiwi/wallet/v1/balance.proto")


def money_text(money):
    """Exact decimal text of a Money; no float on the way."""
    sign = "-" if money.units < 0 or money.nanos < 0 else ""
    fraction = f"{abs(money.nanos):09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{abs(money.units)}.{fraction} {money.currency_code}"


channel = grpc.insecure_channel(os.environ.get("GATEWAY", "127.0.0.1:50051"))
stub = services.BalanceServiceStub(channel)
demo = [("x-qiwi-credential", "demo")]
reply = stub.ListBalances(messages.ListBalancesRequest(), metadata=demo, timeout=5)
for balance in reply.balances:
    if balance.HasField("amount"):  # a linked card or phone has none
        print(balance.alias, money_text(balance.amount))
