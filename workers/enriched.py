"""What the book stage can say beside the books: the options, and the board of consolidated depth.

Measures of the best prices and of the trades, bars, and the best over several venues: QUOTE to
BAR_FLOW in records.py. All of them follow from the events alone, so a replay gives the same bytes.
What the numbers mean stands in kernels/measures.py, bars.py and consolidated.py.
"""

import re
from collections.abc import Mapping

import msgspec

from ringbuf.record import slot_record
from workers.kernels import consolidated, measures
from workers.kernels.bars import SERIES_MAX, Cut
from workers.kernels.consolidated import LOT_DECIMALS_MAX, SYMBOL_BYTES, VENUES_MAX
from workers.kernels.notional import LIMIT

DEPTH_LEVELS = 10
GROUPS_MAX = 4096
NAME_BYTES = 32
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._/-]{{0,{NAME_BYTES - 1}}}")
VENUE_NAME = re.compile(rf"feed(\d{{1,2}}):([!-~]{{1,{SYMBOL_BYTES}}})")
# The most records that one event can give: up to three tops have a quote and a best over all
# venues each, and there are two flows; a series has bars of two instruments closed by the time of
# an event, and two by its trade, of two records each.
MEASURES_MAX, VENUES_BEST_MAX, SERIES_BARS_MAX = 3 + 2, 3, 2 * (2 + 2)
DAY_MS, DAY_S = 86_400_000, 86_400


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
        ("name", f"S{NAME_BYTES}"),
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
