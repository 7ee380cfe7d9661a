"""A made-up but believable market day: ITCH 5.0 bytes by seed, decoded as a file's are."""

from decimal import Decimal
from itertools import accumulate
from math import isqrt
from pathlib import Path

import msgspec
import numpy as np

from workers.feeds.feed import FeedError
from workers.feeds.itch import midnight_ns
from workers.kernels.flow import FRAME_MAX, closing_messages, generate, opening_messages
from workers.kernels.flow_book import (
    ALIAS,
    BINS,
    FLOW,
    LEVEL,
    LEVELS,
    MARGIN,
    ORDER,
    SYMBOL,
    TABLE,
    TICK,
)
from workers.kernels.itch import decode
from workers.kernels.itch_frames import ITCH_STATE, prepare
from workers.records import empty

CHUNK = 1 << 16  # bytes made at once: small enough to stay in a core's cache
SYMBOLS_MAX = 20_000  # 8 KiB of ladder each; NASDAQ lists about 8,500 a day
POOL_MIN, POOL_MAX = 4_096, 1 << 21  # orders that may rest at once
POOL_SHARE = 16  # one slot for so many messages: what the mix leaves behind, and some room
SECONDS = 86_400
PRE_OPEN_S = 1_800  # the first message comes this long before the open
LETTERS = "ABCDFGHKLMNPRSTVWXZ"  # without vowels but A, so that hardly a word comes out
MPIDS = ("NITE", "GSCO", "MSCO", "JPMS")
PRICE_MIN, PRICE_MAX = 500, 50_000  # cents
VOLATILITY = 140  # a day's standard deviation of a price is 1/140 of it
MOVES_SHARE = 8  # the fair price moves at most once in so many messages of its symbol
U32 = 1 << 32
# Shares of an order, of 256 orders; and levels between an order and the fair price.
QUANTITIES = ((100, 140), (200, 34), (300, 16), (400, 8), (500, 12), (1000, 10), (50, 12),
              (25, 8), (10, 8), (1, 8))  # fmt: skip
DISTANCES = ((0, 80), (1, 48), (2, 32), (3, 22), (4, 16), (5, 12), (7, 10), (10, 10), (15, 9),
             (22, 7), (30, 5), (40, 3), (60, 2))  # fmt: skip


class SyntheticOptions(
    msgspec.Struct, tag="synthetic", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """How much of a day to make up, and from which seed."""

    messages: int = 2_000_000  # in all, those of the day's opening and closing among them
    symbols: int = 200  # the first ones are the most active: Zipf's law
    seed: int = 7
    date: str | None = None  # 2012-06-21; None: times count from 1970-01-01
    start: int = 34_200  # continuous trading, seconds of the day
    end: int = 57_600

    def __post_init__(self) -> None:
        if self.date is not None:
            midnight_ns(self.date)
        if not 1 <= self.symbols <= SYMBOLS_MAX:
            raise ValueError(f"symbols = {self.symbols}: give 1 to {SYMBOLS_MAX}")
        least = opening_messages(self.symbols) + closing_messages(self.symbols)
        if not least <= self.messages < U32 // 2:
            raise ValueError(
                f"messages = {self.messages}: {self.symbols} symbols open and close with {least}; "
                f"give at least that many, and less than {U32 // 2}"
            )
        if not 0 <= self.start < self.end < SECONDS:
            raise ValueError(f"start = {self.start}, end = {self.end}: give seconds of a day")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed = {self.seed}: give 0 to 2**63 - 1")


class SyntheticFeed:
    """A made-up day; see `Feed` for what its events hold."""

    trouble = ""  # nothing to break off
    live = False

    def __init__(self, options: SyntheticOptions, counters: int) -> None:
        self.finished = False
        self._options, self._counters = options, counters
        self._block = empty(ITCH_STATE, 1)
        self._state, self._address = self._block[0], self._block.ctypes.data
        self._day: Day | None = None
        self._start = self._end = 0  # of the bytes not decoded, in the day's chunk

    def open(self) -> None:
        """Set the day up; FeedError where memory does not suffice."""
        date = self._options.date
        prepare(self._state, self._counters, midnight_ns(date) if date else 0, by_type=False)
        self._day = Day(self._options)

    def fill(self, target: int, limit: int) -> int:
        """Write at most `limit` events."""
        day = self._day
        assert day is not None, "open() comes first"
        if self.finished or limit == 0:
            return 0
        if self._start == self._end:
            self._start, self._end = 0, day.next_chunk()
        self._state["final"] = day.over
        rest = self._end - self._start
        written = decode(self._address, day.chunk_address + self._start, rest, target, limit)
        self._start += int(self._state["consumed"])
        self.finished = day.over and self._start == self._end
        return written

    def resync(self, code: int) -> None:
        """Nothing to do: what is kept gives the same again."""

    def progress(self) -> float:
        """How much of the day is made, 0 to 1."""
        return self._day.progress() if self._day else 0.0

    def close(self) -> None:
        """Let go of the day's memory."""
        self._day = None
        self.finished = True


class Day:
    """The generator's memory, and the chunk it last wrote."""

    def __init__(self, options: SyntheticOptions, chunk: int = CHUNK) -> None:
        assert chunk >= FRAME_MAX, chunk
        self._options = options
        pool = min(max(options.messages // POOL_SHARE, POOL_MIN), POOL_MAX)
        offsets, size = _layout(options.symbols, pool)
        try:
            self._block = empty(np.dtype("u1"), size)
        except MemoryError:
            raise FeedError(f"synthetic: no {size >> 20} MiB of memory; ask for less") from None
        self._address = self._block.ctypes.data
        self.header = self._block[: FLOW.itemsize].view(FLOW)[0]
        for name, offset in offsets.items():
            self.header[name] = offset
        self.header["pool"], self.header["fresh"] = pool, 1
        _set_clock(self.header, options)
        _set_tables(self.header, options)
        self._view("symbols_at", SYMBOL)[:] = _symbols(options)
        self._view("aliases_at", ALIAS)[:] = _aliases(activity(options))
        self._chunk = np.zeros(chunk, np.uint8)
        self.chunk_address = self._chunk.ctypes.data

    @property
    def over(self) -> bool:
        """Whether all messages are made."""
        return bool(self.header["produced"] == self.header["total"])

    def progress(self) -> float:
        """Messages made, of all."""
        return float(self.header["produced"] / self.header["total"])

    def next_chunk(self) -> int:
        """Make whole frames, as many as the chunk holds; return their bytes."""
        return generate(self._address, self.chunk_address, self._chunk.size)

    def chunk(self, size: int) -> bytes:
        """The first bytes of the chunk."""
        return self._chunk[:size].tobytes()

    def _view(self, offset: str, dtype: np.dtype) -> np.ndarray:
        start = int(self.header[offset])
        return self._block[start : start + self._options.symbols * dtype.itemsize].view(dtype)


def symbols(options: SyntheticOptions) -> list[str]:
    """The ticker symbols, the most active first; locate codes count from 1 in this order."""
    draw = _splitmix(options.seed)
    names: dict[str, bool] = {}
    while len(names) < options.symbols:
        number = next(draw)
        length = 3 if number & 7 == 0 and len(names) < len(LETTERS) ** 3 // 2 else 4
        places = (number >> 8 * (place + 1) & 0xFF for place in range(length))
        names["".join(LETTERS[place % len(LETTERS)] for place in places)] = True
    return list(names)


def opening_prices(options: SyntheticOptions) -> list[int]:
    """The fair price of each symbol at the open, in 1/10,000 of a dollar: $5 to $500."""
    draw, prices = _splitmix(options.seed + 1), []
    for _ in range(options.symbols):
        number = next(draw)
        octave = PRICE_MIN << number % 7
        width = min(octave, PRICE_MAX - octave)
        prices.append((octave + width * (number >> 32) // U32) * TICK)
    return prices


def activity(options: SyntheticOptions) -> list[int]:
    """How often each symbol is drawn, relatively: one over its rank."""
    return [U32 // (rank + 1) for rank in range(options.symbols)]


def write_file(options: SyntheticOptions, path: str | Path) -> int:
    """Write the day as a file that any ITCH 5.0 reader takes; return its bytes."""
    day, written = Day(options), 0
    try:
        with Path(path).open("wb") as file:
            while not day.over:
                written += file.write(day.chunk(day.next_chunk()))
    except OSError as error:
        raise FeedError(f"{path}: cannot be written ({error.strerror})") from None
    return written


def _layout(symbol_count: int, pool: int) -> tuple[dict[str, int], int]:
    """Offsets of the pools behind the header, and the size of the whole."""
    sizes = {
        "symbols_at": SYMBOL.itemsize * symbol_count,
        "aliases_at": ALIAS.itemsize * symbol_count,
        "levels_at": LEVEL.itemsize * symbol_count * LEVELS,
        "orders_at": ORDER.itemsize * pool,
    }
    starts = accumulate(-(-size // 64) * 64 for size in (FLOW.itemsize, *sizes.values()))
    *offsets, end = starts
    return dict(zip(sizes, offsets, strict=True)), end


def _set_clock(header: np.record, options: SyntheticOptions) -> None:
    """When the day begins, opens and ends, and how its messages spread over it: a U."""
    second = 10**9
    start, end = options.start * second, options.end * second
    header["begin_ns"] = max(options.start - PRE_OPEN_S, 0) * second
    header["start_ns"], header["end_ns"] = start, end
    header["bin_ns"] = (end - start) // BINS
    header["symbols"], header["total"] = options.symbols, options.messages
    ends = opening_messages(options.symbols) + closing_messages(options.symbols)
    flow = options.messages - ends
    weights = [100 + 300 * (2 * b - BINS + 1) ** 4 // (BINS - 1) ** 4 for b in range(BINS)]
    shares = [flow * total // sum(weights) for total in accumulate(weights, initial=0)]
    header["bins"] = np.diff(shares)


def _set_tables(header: np.record, options: SyntheticOptions) -> None:
    """The seed of the random numbers, and what they look up."""
    draw = _splitmix(options.seed + 2)
    header["random"] = [next(draw) >> 32 or 1 for _ in range(4)]
    header["quantities"] = [number for number, times in QUANTITIES for _ in range(times)]
    header["distances"] = [number for number, times in DISTANCES for _ in range(times)]
    # Decimal logarithms are rounded correctly, hence the same on every machine.
    middles = (Decimal(2 * place + 1) / (2 * TABLE) for place in range(TABLE))
    header["gaps"] = [int(-1024 * middle.ln()) for middle in middles]
    header["mpids"] = [int.from_bytes(mpid.encode(), "big") for mpid in MPIDS]


def _symbols(options: SyntheticOptions) -> np.ndarray:
    """Name, ladder and wandering of each symbol."""
    found = np.zeros(options.symbols, SYMBOL)
    shares, count = activity(options), options.messages
    rows = zip(found, symbols(options), opening_prices(options), shares, strict=True)
    for row, name, price, share in rows:
        cents = price // TICK
        expected = max(count * share // sum(shares), 1)
        moves = max(expected // MOVES_SHARE, 1)
        spread = max(cents // VOLATILITY, 1)
        step = min(max(isqrt(spread**2 // moves), 1), MARGIN)
        row["name"] = int.from_bytes(name.ljust(8).encode(), "little")
        row["bottom"] = max(cents - LEVELS // 2, 1)
        row["fair"] = cents - row["bottom"]
        row["bid"], row["ask"] = -1, LEVELS
        row["step"] = step
        row["chance"] = min(U32 * spread**2 // (step**2 * expected), U32 // MOVES_SHARE)
    return found


def _aliases(weights: list[int]) -> np.ndarray:
    """Walker's alias table: draw a place and a number, keep the place or take its other."""
    count, total = len(weights), sum(weights)
    found = np.zeros(count, ALIAS)
    found["chance"], found["other"] = U32, range(count)
    scaled = [weight * count for weight in weights]  # `total` on average
    small = [place for place in range(count) if scaled[place] < total]
    large = [place for place in range(count) if scaled[place] >= total]
    while small and large:
        less, more = small.pop(), large[-1]
        found[less] = (U32 * scaled[less] // total, more)
        scaled[more] -= total - scaled[less]
        if scaled[more] < total:
            small.append(large.pop())
    return found


def _splitmix(seed: int):
    """Endless 64-bit random numbers: SplitMix64 of Steele, Lea and Flood."""
    mask = (1 << 64) - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        mixed = ((seed ^ seed >> 30) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & mask
        yield mixed ^ mixed >> 31
