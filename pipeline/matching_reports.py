"""Reports of matching as lines of text, as the public matching-engine benchmark writes them.

    0,number,side,order,price,quantity   taken
    1,number,price,quantity,maker,taker  a trade
    2,number,side,order,price            gone: cancelled, or what was left of an order at once
    3,number,side,order,price,quantity   modified
    4,number,order                       not cancelled
    5,number,order                       not modified

Lines are sorted by number and kind, else they stay as they came; SHA-256 is over their bytes, with
a newline between two. A record's number is its time (workers/kernels/flow_orders.py). Call auctions
and refused orders have no lines there.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from workers.orders import Liquidity, Why
from workers.records import REPORT, Book, Event

ACCEPTED, REJECTED, FILL = int(Book.ACCEPTED), int(Book.REJECTED), int(Book.FILL)
CANCELED, REPLACED = int(Book.CANCELED), int(Book.REPLACED)
MAKER, TAKER, ASKED = int(Liquidity.MAKER), int(Liquidity.TAKER), int(Why.ASKED)
REFUSALS = {int(Event.CANCEL_ORDER): 4, int(Event.REPLACE_ORDER): 5}
READ = ("kind", "time_ns", "side", "state", "order", "price", "quantity", "left")


def report_lines(records: np.ndarray) -> list[str]:
    """The lines that records of the book ring make."""
    reports = records.view(REPORT)
    lines: list[tuple[int, int, str]] = []
    maker = 0
    for row in zip(*(reports[name].tolist() for name in READ), strict=True):
        kind, number, side, state, order, price, quantity, left = row
        if kind == FILL and state == MAKER:
            maker = order
        elif kind == FILL and state == TAKER:
            lines.append((number, 1, f"1,{number},{price},{quantity},{maker},{order}"))
        elif kind == ACCEPTED:
            lines.append((number, 0, f"0,{number},{side},{order},{price},{quantity}"))
        elif kind == CANCELED:
            lines.append((number, 2, f"2,{number},{side},{order},{price}"))
        elif kind == REPLACED and state == ASKED:
            lines.append((number, 3, f"3,{number},{side},{order},{price},{left}"))
        elif kind == REJECTED and state in REFUSALS:
            line = REFUSALS[state]
            lines.append((number, line, f"{line},{number},{order}"))
    return [text for *_, text in sorted(lines, key=lambda line: line[:2])]


def digest(lines: Iterable[str]) -> str:
    """SHA-256 of a stream of reports, in hex."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
