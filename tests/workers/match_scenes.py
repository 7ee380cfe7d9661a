"""Scenes of matching as text: what is asked, and below it what is said.

    settings band=200 pause accounts=2 auction_every=10
    limits 1 quantity_max=100 collar_bps=500
    terms tick=1 lot=1 reference=100

    buy 1 10 at 100 show=2 account=1        an order: number, quantity, price or "market";
        accepted 1: 10                      tif, post, stop=, show=, gtd=, peg, stp=, account=
        = 100 x 2 / -                       best bid and ask, where one of them moved
    cancel 1 | replace 1 5 at 99 requeue | cancel-all | state paused | clear | switch off
    time 50                                 of all that is asked from here on

`python -m tests.workers.match_scenes FILE ...` prints scenes with what is said now.
"""

import sys
from pathlib import Path

from tests.naive.matching import Asked
from tests.workers.matches import Desk
from workers.kernels import bookview
from workers.kernels.engine_settings import AccountLimits, Settings
from workers.kernels.resting import Limits
from workers.orders import REQUEUE, STP_BITS, Liquidity, OrderFlag, Reject, Stp, Tif, Why
from workers.records import MATCHED, Book, Event, Side, State

REFUSED = {Event.ORDER: "", Event.CANCEL_ORDER: "cancel of ", Event.REPLACE_ORDER: "replace of "}
SAID = "    "  # what is said stands in by so much


class Scene:
    """A desk that is told lines and answers in lines."""

    def __init__(self) -> None:
        self.options: dict[str, int] = {}
        self.limits: dict[int, dict[str, int]] = {}
        self.desk: Desk | None = None
        self.time_ns, self.best = 0, "- / -"

    def tell(self, line: str) -> list[str]:
        """Do what a line asks; the lines that are said to it."""
        verb, *words = line.split()
        named = dict(word.split("=") for word in words if "=" in word)
        numbers = {name: int(value) for name, value in named.items() if name != "stp"}
        bare = [word for word in words if "=" not in word]
        if verb == "settings":
            self.options = {**numbers, "pause": "pause" in bare}
            return []
        if verb == "limits":
            self.limits[int(bare[0])] = numbers
            return []
        if verb == "time":
            self.time_ns = int(bare[0])
            return []
        return self.answer(self.requests(verb, bare, numbers, named.get("stp", "none")))

    def requests(self, verb: str, bare: list, numbers: dict, stp: str) -> list[Asked]:
        other = numbers.get("account", 0)
        if verb in ("buy", "sell"):
            return self.order(verb, bare, numbers, stp)
        if verb == "cancel":
            return [Asked(Event.CANCEL_ORDER, int(bare[0]), other)]
        if verb == "replace":
            order, size, _, price = bare[:4]
            flags = REQUEUE * ("requeue" in bare)
            return [
                Asked(Event.REPLACE_ORDER, int(order), other, int(price), int(size), flags=flags)
            ]
        if verb == "cancel-all":
            other = numbers.get("account", -1)
            side = Side.BID if "buys" in bare else Side.ASK if "sells" in bare else Side.NONE
            return [Asked(Event.CANCEL_ALL, other=other, side=side)]
        if verb == "state":
            return [Asked(Event.STATUS, flags=State[bare[0].upper()])]
        if verb == "clear":
            return [Asked(Event.CLEAR)]
        if verb == "switch":
            other = numbers.get("account", -1)
            return [Asked(Event.SWITCH, other=other, flags=int(bare[0] == "off"))]
        assert verb == "terms", verb
        names = ("tick", "lot", "reference")
        return [Asked(Event.TERMS, *(numbers.get(name, 0) for name in names))]

    def order(self, verb: str, bare: list, numbers: dict, stp: str) -> list[Asked]:
        number, size, _, price, *how = bare
        tif = next((tif for tif in Tif if tif.name.lower() in how), Tif.GTC)
        tif = Tif.GTD if "gtd" in numbers else tif
        flags = tif | Stp[stp.upper()] << STP_BITS
        flags |= OrderFlag.POST_ONLY * ("post" in how) | OrderFlag.MARKET * (price == "market")
        side = Side.BID if verb == "buy" else Side.ASK
        limit = 0 if price in ("market", "best") else int(price)
        asked = Asked(
            Event.ORDER, int(number), numbers.get("account", 0), limit, int(size), 0, side, 0, flags
        )
        stop, shown = numbers.get("stop", 0), numbers.get("show", 0)
        more = Asked(Event.CONDITION, int(number), numbers.get("gtd", 0), stop, shown)
        if "peg" in how:
            more = more._replace(flags=1)
        return [more, asked] if any((*more[2:5], more.flags)) else [asked]

    def answer(self, requests: list[Asked]) -> list[str]:
        if self.desk is None:
            count = max(self.options.get("accounts", 0), max(self.limits, default=-1) + 1)
            limits = [AccountLimits(**self.limits.get(n, {})) for n in range(count)]
            band, every = self.options.get("band", 0), self.options.get("auction_every", 0)
            room = Limits(self.options.get("orders", 100), self.options.get("levels", 50), 1)
            pauses = bool(self.options.get("pause", False))
            self.desk = Desk(Settings(room, 1, limits, band, pauses, every))
            self.desk.apply(Asked(Event.DIRECTORY, flags=MATCHED))
        said: list[str] = []
        for asked in requests:
            for row in self.desk.apply(asked._replace(time_ns=self.time_ns)):
                told(row, said)
        best = " / ".join(self.top(side) for side in (0, 1))
        if best != self.best:
            said.append(f"= {best}")
        self.best = best
        return said

    def top(self, side: int) -> str:
        assert self.desk
        price, quantity, _ = bookview.depth_level(self.desk.books.address, 0, side, 0)
        return f"{price} x {quantity}" if quantity else "-"


def told(row: tuple, said: list[str]) -> None:
    """Put a record into words; the fills of a trade stand in its line."""
    kind, _, _, state, order, price, quantity, left = row
    if kind == Book.TRADE:
        said.append(f"trade {price} at {order}:")
    elif kind == Book.FILL:
        comma = "" if said[-1].endswith(":") else ","
        said[-1] += f"{comma} {order} has {left} left ({Liquidity(state).name.lower()})"
    elif kind == Book.ACCEPTED:
        said.append(f"accepted {order}: {left}")
    elif kind == Book.TRIGGERED:
        said.append(f"triggered {order}: {left}")
    elif kind == Book.CANCELED:
        said.append(f"canceled {order}: {quantity} ({Why(state).name.lower()})")
    elif kind == Book.REPLACED:
        said.append(f"replaced {order}: {left} at {price} ({Why(state).name.lower()})")
    elif kind == Book.REJECTED:
        reasons = [reason.name.lower() for reason in Reject if left & reason]
        what = {
            Event.ORDER: "",
            Event.CANCEL_ORDER: "cancel of ",
            Event.REPLACE_ORDER: "replace of ",
        }
        said.append(f"rejected {what[Event(state)]}{order}: {', '.join(reasons)}")
    elif kind == Book.AUCTION:
        done = "auction" if state else "auction would be"
        said.append(f"{done} {price} at {order}, imbalance {quantity}, reference {left}")
    else:
        said.append(f"state {State(state).name.lower()}")


def played(text: str) -> str:
    """A scene with what is said now."""
    scene, lines = Scene(), []
    for line in text.splitlines():
        if line.startswith(SAID):
            continue
        lines.append(line)
        if line and not line.startswith("#"):
            lines += [SAID + said for said in scene.tell(line)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(played(Path(name).read_text()))
