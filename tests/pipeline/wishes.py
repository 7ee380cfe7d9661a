"""Files of orders for pipelines of tests: a scene whose every step is known, among others."""

import json
import random
from pathlib import Path

SECOND = 10**9
BEGIN_S = 1_700_000_000  # the first line; each that follows is a second later
UNTIL_S = 600  # when order 5 of the scene expires, seconds from the first line

ACME = {"symbol": "ACME"}
LISTED = [
    {"do": "list", "symbol": "ACME", "price_decimals": 2, "tick": 0.01, "lot": 1, "price": 10},
    {"do": "list", "symbol": "BETA", "price_decimals": 3, "lot_decimals": 1, "price": 5},
    {"do": "list", "symbol": "FLOW", "price_decimals": 2, "price": 20},
]


def order(number: int, account: int, side: str, quantity: float, price=None, **more) -> dict:
    base = {"do": "order", **ACME, "id": number, "account": account, "side": side}
    return base | {"quantity": quantity} | ({} if price is None else {"price": price}) | more


BEFORE = [
    order(1, 0, "buy", 100, 9.99),
    order(2, 1, "sell", 30),
    order(3, 1, "sell", 10, 9.5, stop=9.98, tif="ioc"),
    order(5, 3, "sell", 40, 12, show=10, tif="gtd", until=(BEGIN_S + UNTIL_S) * SECOND),
    order(1, 4, "sell", 1, 20, symbol="BETA"),
]
AFTER = [
    {"do": "cancel", **ACME, "id": 1, "account": 7},
    {"do": "replace", **ACME, "id": 1, "account": 0, "quantity": 50, "price": 9.98},
    order(1, 1, "sell", 40, 9.98, post_only=True),
    order(4, 2, "sell", 20, 9.98),
    order(6, 2, "buy", 15, 12),
    order(7, 2, "buy", 1000, 12, tif="fok"),
    order(10, 3, "buy", 5, 12, stp="newest"),
    {"do": "cancel", **ACME, "id": 1, "account": 0},
    {"do": "cancel", **ACME, "id": 99, "account": 0},
    order(1, 6, "buy", 7, 9),
]
END = [
    {"do": "state", **ACME, "state": "auction"},
    order(8, 2, "buy", 10),
    order(9, 4, "sell", 12, 9),
    {"do": "state", **ACME, "state": "trading"},
    {"do": "cancel_all", "account": 6},
]


def traffic(count: int, seed: int = 1, symbol: str = "FLOW", first: int = 1000) -> list[dict]:
    """Orders at random around a price, some of them cancelled or replaced."""
    draw, made, number = random.Random(seed), [], first
    while len(made) < count:
        kind, account = draw.random(), draw.randrange(4)
        price = round(20 + draw.gauss(0, 0.05), 2)
        if kind < 0.7 or number == first:
            tif = draw.choice(["gtc", "gtc", "gtc", "ioc", "day"])
            more = {"tif": tif, "symbol": symbol}
            if draw.random() < 0.1:
                more |= {"show": 2, "tif": "gtc"}
            side = draw.choice(["buy", "sell"])
            price = None if draw.random() < 0.05 and "show" not in more else price
            made.append(order(number, account, side, draw.randint(3, 30), price, **more))
            number += 1
            continue
        wish = {"symbol": symbol, "id": draw.randrange(first, number), "account": account}
        if kind < 0.85:
            made.append({"do": "cancel", **wish})
        else:
            made.append({"do": "replace", **wish, "quantity": draw.randint(1, 30), "price": price})
    return made


def write(path: Path, wishes: list[dict]) -> Path:
    """A file with these wishes, a second apart."""
    lines = (f"{BEGIN_S + number} {json.dumps(wish)}\n" for number, wish in enumerate(wishes))
    path.write_text("".join(lines))
    return path


def scene(path: Path, each: int = 250) -> Path:
    """The whole scene, with so many wishes of others between its parts."""
    others = traffic(3 * each)
    parts = [LISTED, others[:each], BEFORE, others[each : 2 * each], AFTER, others[2 * each :], END]
    return write(path, [wish for part in parts for wish in part])
