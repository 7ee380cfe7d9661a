"""What the book stage can say beside the books: layouts of the records, and their options.

Measures of the best prices and of the trades, bars, and the best over several venues. All of them
follow from the events alone, so a replay gives the same bytes. `state` is as in TOP.state where
nothing else is said; (cause, index) names each of them for ever. What the numbers mean stands in
kernels/measures.py, bars.py and consolidated.py.
"""

import re
from collections.abc import Mapping
from enum import IntEnum

import msgspec

from ringbuf.record import offset, slot_record
from workers.kernels import bars, consolidated, measures
from workers.kernels.bars import SERIES_MAX, Cut
from workers.kernels.consolidated import LOT_DECIMALS_MAX, SYMBOL_BYTES, VENUES_MAX
from workers.kernels.notional import LIMIT
from workers.records import TOP

DEPTH_LEVELS = 10
GROUPS_MAX = 4096
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,31}")
VENUE_NAME = re.compile(rf"feed(\d{{1,2}}):([!-~]{{1,{SYMBOL_BYTES}}})")
# Records of these kinds that one event can give: up to three tops have a quote and a best over
# all venues each; two flows; bars closed by its time and by its trade, of two records each.
OUTPUTS_MAX = 3 * 2 + 2 + 2 * 2 * bars.CLOSED_MAX
DAY_MS, DAY_S = 86_400_000, 86_400


class Enriched(IntEnum):
    """Kinds of records on the book ring, beside those of records.Book."""

    QUOTE = 6  # what the best prices say, whenever they or the state change
    BAR = 7  # prices of a bar that is closed
    CONSOLIDATED = 8  # the best over all venues changed
    FLOW = 9  # what the trades say, after each, and at each new volatility
    BAR_FLOW = 10  # the rest of the BAR record right before it


_ANSWERS = [("cause", "i8"), ("time_ns", "i8")]
_TAGS = [("instrument", "i4"), ("kind", "u1"), ("side", "u1"), ("index", "u1"), ("state", "u1")]
_SERIES = [("series" if name == "side" else name, format_) for name, format_ in _TAGS]
_VENUES = [("venues" if name == "side" else name, format_) for name, format_ in _TAGS]

QUOTE = slot_record(
    [
        *_ANSWERS,
        ("mid", "i8"),  # bid + ask, in half price units; 0 where a side is empty
        ("spread", "i8"),
        ("microprice", "f8"),  # price units
        ("imbalance", "f8"),  # -1 (all asked) .. 1 (all bid)
        *_TAGS,
    ]
)
FLOW = slot_record(
    [
        *_ANSWERS,
        ("vwap", "f8"),  # price units, since the session's start; 0 before its first trade
        ("volatility", "f8"),  # of the mid's returns, per square root of a sample's length
        ("volume", "i8"),  # since the session's start
        ("trades", "i8"),
        *_TAGS,
    ]
)
BAR = slot_record(
    [
        *_ANSWERS,  # of the event that closed it
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        *_SERIES,  # series: which of [[book.bars]], from 0
    ]
)
BAR_FLOW = slot_record(
    [
        *_ANSWERS,
        ("start_ns", "i8"),  # of its time; of other bars the first trade's
        ("vwap", "f8"),  # price units
        ("volume", "i8"),
        ("trades", "i8"),
        *_SERIES,
    ]
)
# instrument: of the group's venue that was announced first, which stands for the group.
# venues: place of the venue with the best bid << 4 | of that with the best ask; 15: none has one.
# state: how many venues count | 16 locked | Mark.CROSSED | Mark.STALE: no venue counts.
CONSOLIDATED = slot_record(
    [
        *_ANSWERS,
        ("bid", "i8"),  # in the group's price units; 0 where no venue that counts bids
        ("ask", "i8"),
        ("bid_quantity", "i8"),  # in the group's lots, all venues at that price together
        ("ask_quantity", "i8"),
        *_VENUES,
    ]
)
# What they are called beside the layouts of records.BOOK_RING.
ENRICHED_RING = {
    "quote": (int(Enriched.QUOTE), QUOTE),
    "bar": (int(Enriched.BAR), BAR),
    "consolidated": (int(Enriched.CONSOLIDATED), CONSOLIDATED),
    "flow": (int(Enriched.FLOW), FLOW),
    "bar_flow": (int(Enriched.BAR_FLOW), BAR_FLOW),
}
for _, _layout in ENRICHED_RING.values():
    assert _layout.itemsize == TOP.itemsize == 64, _layout
    assert offset(_layout, "kind") == offset(TOP, "kind"), _layout

# A row of the board of consolidated depth: one for each group, in the order of the configuration.
CONSOLIDATED_DEPTH = slot_record(
    [
        ("cause", "i8"),  # sequence of the last event that may have changed anything here
        ("time_ns", "i8"),
        ("bid_price", "i8", (DEPTH_LEVELS,)),  # best first; 0 where there is no such level
        ("bid_quantity", "i8", (DEPTH_LEVELS,)),
        ("ask_price", "i8", (DEPTH_LEVELS,)),
        ("ask_quantity", "i8", (DEPTH_LEVELS,)),
        ("bid_venues", "u2", (DEPTH_LEVELS,)),  # bit n: the venue at place n rests there
        ("ask_venues", "u2", (DEPTH_LEVELS,)),
        ("venues", "i4", (VENUES_MAX,)),  # instrument at each place; -1: none, or not announced
        ("bid_venue", "i4"),  # instrument that has had the best bid for longest, -1: none
        ("ask_venue", "i4"),
        ("counting", "u2"),  # bit n: the venue at place n counts
        ("state", "u2"),  # as in CONSOLIDATED
        ("price_scale", "i8"),  # price units here in one unit of currency
        ("lot_decimals", "i8"),  # a lot here is 10 ** -n of a unit
    ]
)


class MeasureOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """[book.measures]: QUOTE and FLOW records, for every instrument."""

    sample_ms: int = 1000  # between two returns of the mid; must divide a day
    decay: float = 0.94  # weight of a squared return against the one after it (RiskMetrics)
    session_start_s: int = 0  # when VWAP and volume start anew, seconds after midnight UTC

    def __post_init__(self) -> None:
        if not 1 <= self.sample_ms <= DAY_MS or DAY_MS % self.sample_ms:
            raise ValueError(f"sample_ms {self.sample_ms} does not divide a day; use 1000")
        if not 0 < self.decay < 1:
            raise ValueError(f"decay {self.decay} is not between 0 and 1; use 0.94")
        if not 0 <= self.session_start_s < DAY_S:
            raise ValueError(f"session_start_s {self.session_start_s} is no time of day; use 0")
        if self.session_start_s * 1000 % self.sample_ms:
            raise ValueError(
                f"session_start_s {self.session_start_s} is in the middle of a sample of "
                f"{self.sample_ms} ms; use a sample_ms that divides it"
            )

    def settings(self, instruments: int) -> measures.Settings:
        """What the kernel takes."""
        return measures.Settings(
            instruments, self.sample_ms * 1_000_000, self.decay, self.session_start_s * 10**9
        )


class BarOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One of [[book.bars]]: a series of bars of every instrument; give one of the lengths."""

    seconds: float | None = None
    trades: int | None = None
    volume: int | None = None  # in each instrument's lots

    def __post_init__(self) -> None:
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"bars are cut by {' and '.join(given) or 'nothing'}; give one of seconds, trades "
                "and volume"
            )
        if self.seconds is not None and not 1e-3 <= self.seconds <= DAY_S:
            raise ValueError(f"seconds {self.seconds} is no length; give 0.001 to {DAY_S}")
        for name in ("trades", "volume"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= LIMIT:
                raise ValueError(f"{name} {value} is no length; give 1 to {LIMIT}")

    def series(self) -> tuple[Cut, int]:
        """What the kernel takes."""
        if self.seconds is not None:
            return Cut.TIME, round(self.seconds * 1e9)
        if self.trades is not None:
            return Cut.TRADES, self.trades
        assert self.volume is not None
        return Cut.VOLUME, self.volume


class ConsolidatedOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """[consolidated.NAME]: one instrument on several venues, and the units common to them."""

    venues: list[str]  # "feedN:SYMBOL", N being the number of its [[feeds]], from 0
    price_decimals: int = 8  # at least those of every venue: one that has more is left out
    lot_decimals: int = 8

    def __post_init__(self) -> None:
        if not 1 <= len(self.venues) <= VENUES_MAX:
            raise ValueError(f"{len(self.venues)} venues; give 1 to {VENUES_MAX}")
        for venue in self.venues:
            if not VENUE_NAME.fullmatch(venue):
                raise ValueError(f"no venue: {venue!r}; write 'feed0:SYMBOL' for the first feed's")
        for name in ("price_decimals", "lot_decimals"):
            if not 0 <= getattr(self, name) <= LOT_DECIMALS_MAX:
                raise ValueError(f"{name} {getattr(self, name)}; give 0 to {LOT_DECIMALS_MAX}")

    def places(self) -> list[tuple[int, str]]:
        """(number of the feed, symbol) of every venue, in order of their places."""
        parts = (venue.partition(":") for venue in self.venues)
        return [(int(feed.removeprefix("feed")), symbol) for feed, _, symbol in parts]

    def group(self) -> consolidated.Group:
        """What the kernel takes."""
        return consolidated.Group(self.places(), 10**self.price_decimals, self.lot_decimals)


def bar_faults(series: list[BarOptions]) -> list[str]:
    """What is wrong with [[book.bars]] that each alone does not show."""
    problems = []
    if len(series) > SERIES_MAX:
        problems.append(f"book.bars: {len(series)} series; give at most {SERIES_MAX}")
    for number, options in enumerate(series):
        if options in series[:number]:
            problems.append(f"book.bars[{number}]: is the same as one before; leave it out")
    return problems


def consolidated_faults(groups: Mapping[str, ConsolidatedOptions], feeds: int) -> list[str]:
    """What is wrong with all [consolidated.NAME] together; feeds: how many there are."""
    problems, seen = [], dict[tuple[int, str], str]()
    if len(groups) > GROUPS_MAX:
        problems.append(f"consolidated: {len(groups)} of them; give at most {GROUPS_MAX}")
    for name, options in groups.items():
        path = f"consolidated.{name}"
        if not NAME.fullmatch(name):
            problems.append(f"{path}: is no name; use up to 32 letters, digits and . _ / -")
        for venue, place in zip(options.venues, options.places(), strict=True):
            if place[0] >= feeds:
                problems.append(
                    f"{path}.venues: {venue!r}: there are {feeds} [[feeds]], counted from 0"
                )
            if place in seen:
                problems.append(
                    f"{path}.venues: {venue!r} stands in consolidated.{seen[place]} already; "
                    "an instrument can be in one of them only"
                )
            seen[place] = name
    return problems
