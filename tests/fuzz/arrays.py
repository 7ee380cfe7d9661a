"""Arrays of price levels in JSON, and single prices, each right before a page nobody may touch."""

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.wire import load_u8
from tests.fuzz import mutate
from tests.fuzz.mutate import FUZZ, GOOD, MODES, Maker, Pool, digest, draw, stream
from tests.fuzz.oracle import Judge, bits, wrong_events
from tests.fuzz.pages import Area
from tests.workers.test_levels_json import SHAPES, agree
from workers.kernels import levels_json
from workers.kernels.arbiter import copy_bytes
from workers.kernels.level_window import WINDOW, window_bytes
from workers.kernels.levels_json import BAD_PRICE, LISTING, NO_CHECKSUM, NO_ROOM
from workers.records import EVENT, Event, empty

TABLE = record(
    [
        ("fuzz", "i8"),  # addresses
        ("judge", "i8"),
        ("listing", "i8"),
        ("scratch", "i8"),
        ("begin", "i8"),  # of the memory for texts
        ("end", "i8"),
        ("out_end", "i8"),
        ("window", "i8"),
        ("shape", "i8"),
        ("texts", "i8"),  # of a stream
        ("taken", "i8"),
        ("digest", "i8"),
        ("wrong", "i8"),
    ]
)
VERDICTS = ("", "wrote outside", "bad event", "levels miscounted", "good array refused",
            "looks and reads differ", "bad price taken")  # fmt: skip
WROTE, BAD_EVENT, LEVELS, REFUSED, LOOKED, PRICE = range(1, len(VERDICTS))
FINE, TEXTS, DEPTH, OUT_MAX = 0, 100, 10, 64
OPEN = ord("[")
EVENT_SIZE, TRADE = EVENT.itemsize, int(Event.TRADE)
SET, CHECK = Event.SET, Event.CHECK
LETTERS = b'[]",.0123456789 \n"",,[]00.-e\\urbselyn'


def array(shape: str, draw_: np.random.Generator) -> tuple[bytes, bytes]:
    """An array of levels, and its free bits: digits behind a number's first."""
    text, mask = b"[", b"\0"
    count = int(draw_.integers(0, 8))
    for number in range(count):
        price, lots = f"{draw_.integers(100, 999)}.{draw_.integers(10, 99)}0", "10.12345600"
        parts = [price, lots]
        if shape == "timed":
            parts += ["1618678133.384218", *["r"] * int(draw_.integers(0, 2))]
        elif shape == "counted":
            parts += ["0", str(draw_.integers(1, 9))]
        elif shape == "sided":
            parts = [("buy", "sell")[draw_.integers(0, 2)], *parts]
        blank = b" " * int(draw_.integers(0, 2))
        entry = b"[" + (b"," + blank).join(f'"{part}"'.encode() for part in parts) + b"]"
        entry += b"," * (number + 1 < count)
        digits = [
            place > 1 and 48 <= byte < 58 and 48 <= entry[place - 1] < 58
            for place, byte in enumerate(entry)
        ]
        text, mask = text + entry, mask + bytes(digits)
    return text + b"]", mask + b"\0"


class ArrayWorld:
    """The reader of one shape of levels."""

    def __init__(self, shape: str) -> None:
        self.shape, self.texts = shape, TEXTS
        made = [array(shape, np.random.default_rng(number)) for number in range(100)]
        frames, masks = map(list, zip(*made, strict=True))
        self.maker = Maker(Pool(frames, masks, mutate.BARE, LETTERS))
        self.judge = Judge(0, strict=True, kinds=bits(SET, CHECK, Event.TRADE))
        self.judge.span(0, (1 << 63) - 1)
        self._area, self._out = Area(1 << 14), Area(OUT_MAX * EVENT_SIZE)
        self._scratch, self._listing = np.zeros(1 << 15, np.uint8), empty(LISTING, 1)
        self._window = Area(window_bytes(DEPTH))
        self._record = np.zeros(1, TABLE)
        self.state, self.address = self._record[0], self._record.ctypes.data
        for name, value in {
            "fuzz": self.maker.address, "judge": self.judge.address, "begin": self._area.begin,
            "listing": self._listing.ctypes.data, "scratch": self._scratch.ctypes.data,
            "end": self._area.end, "out_end": self._out.end, "shape": SHAPES[shape],
            "window": self._window.end - window_bytes(DEPTH),
        }.items():  # fmt: skip
            self.state[name] = value

    def begin(self, seed: int, texts: int) -> None:
        """Get ready for the texts of a seed."""
        listing = self._listing
        listing.view(np.uint8)[:] = 0
        listing["code"], listing["price_decimals"], listing["quantity_decimals"] = 7, 3, 8
        listing["checksum"] = 1
        self._window.bytes[:] = 0
        at(int(self.state["window"]), WINDOW)["depth"] = DEPTH
        listing["window"] = self.state["window"] if seed // MODES % 2 else 0
        self.judge.begin()
        self.maker.begin(seed, seed % MODES, 1)
        self.state["texts"] = texts or self.texts

    def play(self, seed: int, texts: int = 0) -> str:
        """What was wrong with the texts of a seed; empty where nothing was."""
        self.begin(seed, texts)
        verdict = VERDICTS[play(self.address)]
        return f"{verdict} {self.state['wrong'] or ''}".strip()

    def again(self) -> str:
        """Nothing to do: a text comes in one piece."""
        return ""

    @property
    def made(self) -> int:
        """How many texts there were."""
        return int(self.state["texts"])

    def differs(self, seed: int) -> str:
        """What json and decimal read otherwise."""
        self.begin(seed, 0)
        scratch = self._scratch.ctypes.data
        for _ in range(self.texts // 4):
            size = stream(self.maker.address, scratch, mutate.ROOM)
            try:
                if size > 0:
                    agree(self._scratch[:size].tobytes(), self.shape)
            except AssertionError as error:
                return f"json reads it otherwise: {error}"
        return ""


@kernel
def play(table):
    """Texts, one after another; what was wrong."""
    header = at(table, TABLE)
    header.wrong = header.taken = header.digest = 0
    fuzz = int(header.fuzz)
    for _ in range(header.texts):
        size = stream(fuzz, int(header.scratch), mutate.ROOM)
        verdict = one_array(table, size)
        if verdict == FINE and draw(fuzz, 4) == 0:
            verdict = one_price(table, size)
        if verdict != FINE:
            return verdict
    return FINE


@kernel
def put(table, source, size):
    """Place bytes where nothing before or nothing behind can be read; their address."""
    header = at(table, TABLE)
    address = int(header.end) - size
    if draw(int(header.fuzz), 4) == 0:
        address = int(header.begin)
    copy_bytes(address, source, size)
    return address


@kernel
def one_array(table, size):
    """Read one text as an array; what was wrong."""
    header = at(table, TABLE)
    fuzz, scratch = int(header.fuzz), int(header.scratch)
    room = 1 + draw(fuzz, OUT_MAX)
    crc = NO_CHECKSUM if draw(fuzz, 2) == 0 else draw(fuzz, 1 << 31)
    target = int(header.out_end) - room * EVENT_SIZE
    address = put(table, scratch, size)
    count = levels_json.update(
        int(header.listing), int(header.shape), address, size, 0, 0, target, room, 0, 5, 6, crc
    )
    if not BAD_PRICE <= count <= room:
        return WROTE
    entries = -1
    for place in range(size):
        entries += load_u8(scratch + place) == OPEN
    if count < 0:
        bad = at(fuzz, FUZZ).mode == GOOD and (count != NO_ROOM or 2 * entries + 1 <= room)
        return REFUSED if bad else FINE
    header.taken += 1
    header.digest = digest(int(header.digest), target, count * EVENT_SIZE)
    header.wrong = wrong_events(int(header.judge), target, count)
    if header.wrong:
        return BAD_EVENT
    sets = count - (crc != NO_CHECKSUM)
    fallen = at(int(header.listing), LISTING).window > 0  # levels that fall out give more
    if size > 0 and (sets < entries or (sets > entries and not fallen)):
        return LEVELS
    if size > 0:
        seen = levels_json.measure(int(header.listing), int(header.shape), address, size)
        if seen != entries:
            return LOOKED
    return FINE


@kernel
def one_price(table, size):
    """Read two pieces of a text as a price and a quantity; what was wrong."""
    header = at(table, TABLE)
    fuzz, scratch = int(header.fuzz), int(header.scratch)
    width, lots_width = min(draw(fuzz, 12), size), min(draw(fuzz, 12), size)
    price = scratch + draw(fuzz, size - width + 1)
    address = put(table, price, width + lots_width)
    target = int(header.out_end) - EVENT_SIZE
    count = levels_json.single(
        int(header.listing), TRADE, address, width, address + width, lots_width, target, 0, 5, 6,
        7, draw(fuzz, 2),
    )  # fmt: skip
    if not BAD_PRICE <= count <= 1:
        return WROTE
    if count == 1:
        header.wrong = wrong_events(int(header.judge), target, 1)
        quotes = dots = 0
        for place in range(width):
            byte = load_u8(address + place)
            quotes += byte == 34
            dots += byte == 46
            if byte != 34 and byte != 46 and not 48 <= byte <= 57:
                return PRICE
        if quotes not in (0, 2) or dots > 1:
            return PRICE
    return BAD_EVENT if header.wrong else FINE
