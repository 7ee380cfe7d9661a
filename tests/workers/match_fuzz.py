"""Matching against its naive twin: `python -m tests.workers.match_fuzz [operations] [seed]`.

Random requests of every kind by a few accounts on a few instruments, around a price that wanders,
under settings that are drawn anew every few thousand. Every record is compared, and every now and
then all that is in the books and at stake.
"""

import random
import sys
import time

from tests.naive.matching import Asked, Matching
from tests.workers.matches import (
    Desk,
    announced,
    columns,
    drawn_returns,
    events_of,
    naive_stakes,
    naive_state,
)
from workers.kernels.engine_settings import AccountLimits, Settings
from workers.kernels.resting import Limits
from workers.orders import STP_BITS, OrderFlag, Stp, Tif
from workers.records import MATCHED, Event, State

INSTRUMENTS = 3  # of them two are matched
BATCH = 50  # operations between two looks at everything
ROUND = 4000  # operations under the same settings


class Drawn:
    """A stream of requests."""

    def __init__(self, draw: random.Random, wild: float = 0.02):
        self.draw, self.wild = draw, wild
        self.settings = drawn_settings(draw)
        self.time_ns, self.price = 1_000_000, draw.choice((100, 100, 5000))
        self.width = draw.choice((3, 6, 20))
        self.calm = draw.choice((0.5, 0.9, 1.0))  # share of plain limit orders
        self.ids: list[tuple[int, int, int]] = []
        self.live = list
        self.off: list[Asked] = []
        self.phase_every = draw.choice((0.0, 0.01, 0.05))

    def start(self) -> list[Asked]:
        """Both instruments are announced; one has terms."""
        tick, lot = self.draw.choice(((0, 0), (0, 0), (1, 1), (2, 5)))
        return [
            announced(0, "AAA"),
            announced(2, *self.draw.choice((("BBB", 1000, 1), ("AAA", 100), ("CCC", 100)))),
            Asked(Event.TERMS, tick, lot, self.draw.choice((0, self.price)), instrument=2),
        ]

    def next(self) -> list[Asked]:
        """The next request; a CONDITION comes with its ORDER."""
        draw = self.draw
        self.time_ns += draw.choice((0, 1, 10, 100))
        if draw.random() < 0.02:
            self.price = max(20, self.price + draw.randint(-3, 3))
        kind = draw.random()
        if self.off and draw.random() < 0.1:
            return [self.off.pop()._replace(flags=0, time_ns=self.time_ns)]
        if kind < 0.68:
            return self.order()
        if kind < 0.94:
            return [self.about()]
        if kind < 0.94 + self.phase_every:
            state = draw.choice((*State, *[State.TRADING] * 5))
            return [self.asked(Event.STATUS, flags=state)]
        return [self.rare()]

    def asked(self, kind: int, **fields: int) -> Asked:
        """A request of a random account on a random instrument."""
        draw = self.draw
        base = {
            "instrument": draw.choice((0, 0, 0, 2, 2, 1 if draw.random() < self.wild else 0)),
            "other": draw.randrange(4) - (draw.random() < self.wild),
            "source": draw.randrange(2),
            "time_ns": self.time_ns,
        }
        return Asked(kind, **{**base, **fields})

    def near(self) -> int:
        return max(0, self.price + round(self.draw.gauss(0, self.width)))

    def size(self) -> int:
        draw = self.draw
        return draw.choice((draw.randint(1, 9), 5, 10, 10, 20, draw.randint(1, 200)))

    def order(self) -> list[Asked]:
        """A new order, plain or with anything that orders can have."""
        draw, more = self.draw, {}
        order, side = draw.randrange(1, 400), draw.randrange(2)
        price, flags = self.near(), draw.choice((0, 0, Tif.DAY, Tif.IOC))
        if draw.random() > self.calm or draw.random() < 0.1:
            flags = draw.choice((*Tif, Tif.GTC, Tif.FOK)) | draw.choice((*Stp, 0)) << STP_BITS
            what = draw.random()
            if what < 0.25:
                more = {"quantity": draw.choice((1, 2, 5, 5))}
            elif what < 0.5:
                more = {"price": self.near()}
            elif what < 0.65:
                more, flags = {"flags": 1}, flags & ~7
                price = price if draw.random() < 0.5 else 0
            elif what < 0.75:
                flags |= OrderFlag.POST_ONLY
            if draw.random() < 0.3:
                flags, price = flags | OrderFlag.MARKET, 0
            if flags & 7 == Tif.GTD:
                more = {**more, "other": self.time_ns + draw.randrange(1, 4000)}
        if draw.random() < self.wild:
            flags, price = draw.randrange(256), draw.choice((0, -1, price, 1 << 41))
        new = self.asked(Event.ORDER, order=order, side=side, price=price, quantity=self.size())
        new = new._replace(flags=flags, side=side if draw.random() > self.wild / 4 else 2)
        if draw.random() < self.wild:
            new = new._replace(quantity=draw.choice((0, -1, 1 << 41, 1 << 40)))
        self.ids.append((new.instrument, order, new.other))
        if not more and draw.random() > self.wild:
            return [new]
        extra = Asked(Event.CONDITION, **{"other": 0, **more})
        extra = extra._replace(order=order, source=new.source, instrument=new.instrument)
        return [extra._replace(time_ns=self.time_ns), new]

    def about(self) -> Asked:
        """A cancel or a replace of one of the last orders."""
        draw = self.draw
        live = self.live() if draw.random() < 0.8 else []
        instrument, order, account = draw.choice(live or self.ids[-60:] or [(0, 1, 0)])
        if draw.random() < self.wild:
            account += 1
        known = {"instrument": instrument, "order": order, "other": account}
        if draw.random() < 0.5:
            return self.asked(Event.CANCEL_ORDER, **known)
        price = draw.choice((self.near(), self.near(), 0))
        flags = int(draw.random() < 0.2)
        return self.asked(
            Event.REPLACE_ORDER, price=price, quantity=self.size(), flags=flags, **known
        )

    def rare(self) -> Asked:
        """What does not come every second."""
        draw, kind = self.draw, self.draw.random()
        if kind < 0.3:
            return self.asked(
                Event.CANCEL_ALL,
                other=draw.choice((-1, 0, 1, 2, 3)),
                side=draw.choice((0, 1, 2, 2)),
                instrument=draw.choice((-1, 0, 0, 1, 2)),
            )
        if kind < 0.45:
            asked = self.asked(Event.SWITCH, other=draw.choice((-1, 0, 1, 2, 9)), flags=1)
            self.off.append(asked)
            return asked
        if kind < 0.55:
            return self.asked(Event.CLEAR)
        if kind < 0.65:
            tick = draw.choice((0, 1, 1, 2))
            return self.asked(Event.TERMS, order=tick, other=draw.choice((0, 1)), price=self.near())
        if kind < 0.7:
            return self.asked(draw.choice((Event.ADD, Event.STALE, Event.DIRECTORY)), flags=MATCHED)
        return self.order()[-1]


def drawn_settings(draw: random.Random) -> Settings:
    """Small books, so that room runs out now and then, and limits that are met now and then."""

    def limit(*values: int) -> int:
        return draw.choice((0, 0, *values))

    accounts = [
        AccountLimits(limit(100), limit(5000), limit(300, 2000), limit(50, 300))
        ._replace(credit_max=limit(20_000), messages_max=limit(5), window_ns=draw.choice((1, 200)),
                  reduce_when_off=draw.random() < 0.5, executions=limit(1),
                  var_max=limit(20_000, 100_000, 1_000_000))
        for _ in range(draw.choice((0, 4, 4, 6)))
    ]  # fmt: skip
    return Settings(
        Limits(draw.choice((30, 400, 400)), draw.choice((20, 200, 200)), INSTRUMENTS),
        2,
        accounts if draw.random() < 0.7 else [AccountLimits()] * 4,
        band_bps=draw.choice((0, 0, 100, 500)),
        band_pauses=draw.random() < 0.5,
        auction_every_ns=draw.choice((0, 1, 500)),
        returns=drawn_returns(("AAA", "BBB"), draw.choice((7, 60, 130))),  # CCC has none
    )


def live_orders(naive: Matching) -> list[tuple[int, int, int]]:
    """What a cancel or a replace could be of."""
    return [
        (market.instrument, order.id, order.account)
        for market in naive.markets.values()
        for order in market.orders.values()
    ]


def play(draw: random.Random, operations: int, size: int = BATCH, whole_every: int = 1) -> int:
    """One pair of engines, so many operations; how many records were compared."""
    stream = Drawn(draw)
    desk, naive = Desk(stream.settings), Matching(stream.settings)
    stream.live = lambda: live_orders(naive)
    batch, done, compared = stream.start(), 0, 0
    while done < operations:
        while len(batch) < size:
            batch += stream.next()
        wanted = [naive.apply(asked) for asked in batch]
        records = desk.run(events_of(batch), 1 << 16)
        told = columns(records)
        if told != [row for rows in wanted for row in rows]:
            explain(batch, wanted, records, desk.sequence - len(batch))
        done, compared = done + len(batch), compared + len(told)
        if done // size % whole_every == 0:
            assert desk.state() == naive_state(naive)
            assert desk.stakes() == naive_stakes(naive)
            desk.check()
        batch = []
    return compared


def explain(batch: list[Asked], wanted: list, records, start: int) -> None:
    """Fail with the first request that was answered differently."""
    causes, told = records["cause"].tolist(), columns(records)
    for number, rows in enumerate(wanted):
        answered = [row for cause, row in zip(causes, told, strict=True) if cause == start + number]
        if answered != rows:
            raise AssertionError(f"{batch[number]}\nsaid   {answered}\nwanted {rows}")
    raise AssertionError("records of other requests")


def main() -> None:
    """A campaign of so many operations."""
    operations = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() & 0xFFFF
    done, compared, begun = 0, 0, time.monotonic()
    while done < operations:
        compared += play(random.Random(f"{seed} {done}"), ROUND, whole_every=20)
        done += ROUND
        if done % 100_000 == 0:
            print(f"seed {seed}: {done:,} operations, {compared:,} records", flush=True)
    passed = time.monotonic() - begun
    print(f"seed {seed}: {done:,} operations, {compared:,} records, all alike, {passed:.0f} s")


if __name__ == "__main__":
    main()
