"""What a DBN decoder remembers, and how it puts events out.

    DBN_STATE -> | names by id | codes by (publisher, id) | instruments by code | their levels |

A record's events are written one behind another where the pen is; `finish` then marks which of
them have more of the same event behind them.
"""

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels.dbn_records import DEPTH, PRICE_DECIMALS, UNDEF_PRICE
from workers.records import EVENT, Doubt, Event, Flag, Side

EVENT_SIZE = EVENT.itemsize
# Events that one record gives at most: an announcement, a clearing, two words on doubt, ten levels
# gone and ten new ones on each side, a trade.
MOST = 5 + 4 * DEPTH
WORDS = 3  # of a symbol
NO_SIDE = int(Side.NONE)
CLEAR, STALE, FRESH = int(Event.CLEAR), int(Event.STALE), int(Event.FRESH)
DIRECTORY, BREAK = int(Event.DIRECTORY), int(Event.BREAK)
SET, MODIFY = int(Event.SET), int(Event.MODIFY)
PART, INFERRED = int(Flag.PART), int(Flag.INFERRED)
GAP = int(Doubt.GAP)
CODES = 1 << 16  # instruments that a feed can tell apart
SLOTS = 2 * CODES  # of both tables: never more than half of them are taken
WRITTEN, IGNORED, REFUSED = 1, 0, -1
UNFIT = 0  # in the place of a price
COARSE = 4  # decimals that prices have at least
USUAL_UNIT = 10 ** (PRICE_DECIMALS - COARSE)
EARLIEST, LATEST = 946_684_800 * 10**9, 4_102_444_800 * 10**9  # 2000 and 2100, what is believed
# Types of records that tell of trades and books, the more the higher.
TRADES, BEST, BOOKS, DEEP, ORDERS = 1, 2, 2, 3, 4

NAME = record(
    [
        ("key", "i8"),  # id + 1; 0: free
        ("told", "i8"),  # 1: a mapping in the stream named it, in `symbol`
        ("decimals", "i8"),  # that the prices looked at before need
        ("symbol", "i8", (WORDS,)),
    ]
)
CODE = record(
    [
        ("key", "i8"),  # publisher << 32 | id, + 1; 0: free
        ("code", "i8"),
    ]
)
INSTRUMENT = record(
    [
        ("symbol", "i8", (WORDS,)),
        ("until_ns", "i8"),  # its id may name another one from then on
        ("unit", "i8"),  # DBN's price units in one of ours
        ("tick", "i8"),  # smallest step of its prices, our units; 0: not known
        ("snapshot_ns", "i8"),  # time of the last snapshot
        ("epoch", "i8"),  # how often names had changed when its own was looked up
        ("rank", "i8"),  # which type of records its events come from; 0: none yet
        ("gaps", "i8"),  # gaps of the file when its snapshot began
        ("doubt", "u1"),  # why its book is not to be trusted; 0: it is
        ("open", "u1"),  # 1: its last event has PART
        ("snapping", "u1"),  # 1: inside a snapshot; 2: inside one that is not whole
        ("made_up", "u1"),  # 1: nobody has told its symbol
        ("known", "u1"),  # 1: a record of an order has come
    ]
)
LEVEL = record([("price", "i8"), ("quantity", "u4"), ("orders", "u4")])
SPAN = record(  # a symbol of the metadata; sorted by id and start
    [
        ("id", "i8"),
        ("start_ns", "i8"),
        ("until_ns", "i8"),  # when the id is called something else
        ("moved", "i8"),  # 1: the symbol had another id before
        ("symbol", "i8", (WORDS,)),
    ]
)
DBN_STATE = record(
    [
        ("counters", "i8"),  # address of a FEED_COUNTERS record
        ("consumed", "i8"),  # bytes that the last call is done with
        ("final", "i8"),  # 1: nothing follows the bytes handed over
        ("lost", "i8"),  # 1: searching for the next good record
        ("version", "i8"),
        ("symbol_bytes", "i8"),  # where a version's records have what: see dbn_records.Version
        ("raw_symbol", "i8"),
        ("update_action", "i8"),
        ("out_symbol", "i8"),
        ("sole", "i8"),  # 1: the file holds one type of market data
        ("sampled", "i8"),  # 1: records that end a venue's event may have been left out
        ("decimals", "i8"),  # of all prices; -1: as each instrument's need
        ("home", "i8"),  # publisher whose symbols stand alone; -1: that of the first record
        ("opened", "i8"),  # how orders began: 0 not yet, 1 with a snapshot or clearing, 2 without
        ("epoch", "i8"),  # how often names have changed
        ("key", "i8"),  # the instrument of the record before: publisher << 32 | id
        ("key_code", "i8"),
        ("key_until_ns", "i8"),  # and how long it is that; 0: it is not known
        ("last_ns", "i8"),  # time of the last event
        ("codes", "i8"),  # given so far
        ("codes_full", "i8"),  # 1: one was refused
        ("unfit", "i8"),  # decimals that a price needed and did not have; 0: none did
        ("named", "i8"),  # ids that are known by more than the metadata
        ("spans", "i8"),  # addresses
        ("span_count", "i8"),
        ("names_at", "i8"),
        ("codes_at", "i8"),
        ("instruments_at", "i8"),
        ("levels_at", "i8"),
        ("news_at", "i8"),  # levels of the record at hand
        ("desk", "i8"),  # where events wait that find no room
        ("waiting", "i8"),  # how many do
        ("handed", "i8"),  # how many of them went out
        ("pen", "i8"),  # where the next event goes
        ("made", "i8"),  # events of the record at hand
        ("announced", "i8"),  # instruments among them that it did not speak of
        ("given", "i8"),  # where the record at hand has its instrument's symbol; 0: nowhere
        ("time_ns", "i8"),  # when what the record at hand tells happened
        ("index_ns", "i8"),  # when it came to Databento: what names are looked up by
        ("gaps", "i8"),  # places where records were lost
        ("doubtful", "i8"),  # so many codes are still to be told of a gap
        ("sure", "i8"),  # books without doubt
        ("symbol", "i8", (WORDS,)),  # scratch
        ("until_ns", "i8"),
        ("made_up", "i8"),
        ("moved", "i8"),
        ("sizes", "i8", (256,)),  # bytes of a record by its type
        ("kinds", "u1", (256,)),  # of the event that an order's action gives: A, C and M
        ("sides", "u1", (256,)),  # that a letter stands for
    ]
)
NEVER = UNDEF_PRICE
INSTRUMENT_SIZE, NAME_SIZE, CODE_SIZE = INSTRUMENT.itemsize, NAME.itemsize, CODE.itemsize
LEVEL_SIZE, SPAN_SIZE = LEVEL.itemsize, SPAN.itemsize
SIDE_SIZE = DEPTH * LEVEL_SIZE


class Memory:
    """The blocks of one decoder; pages of them that are never touched cost nothing."""

    def __init__(self, spans: np.ndarray) -> None:
        self.spans = spans if len(spans) else np.zeros(1, SPAN)
        self.names, self.codes = np.zeros(SLOTS, NAME), np.zeros(SLOTS, CODE)
        self.instruments = np.zeros(CODES, INSTRUMENT)
        self.levels = np.zeros(2 * CODES * DEPTH, LEVEL)
        self.news, self.desk = np.zeros(2 * DEPTH, LEVEL), np.zeros(MOST, EVENT)
        self.state = np.zeros(1, DBN_STATE)
        state = self.state[0]
        state["spans"], state["span_count"] = self.spans.ctypes.data, len(spans)
        for name, block in (
            ("names_at", self.names),
            ("codes_at", self.codes),
            ("instruments_at", self.instruments),
            ("levels_at", self.levels),
            ("news_at", self.news),
            ("desk", self.desk),
        ):
            state[name] = block.ctypes.data
        state["sides"][:] = NO_SIDE
        state["sides"][ord("B")], state["sides"][ord("A")] = Side.BID, Side.ASK
        for letter, kind in (("A", Event.ADD), ("C", Event.CANCEL), ("M", Event.MODIFY)):
            state["kinds"][ord(letter)] = kind
        self.address = self.state.ctypes.data


@kernel
def whole(number):
    """A field as a signed 64-bit number: compiled, small unsigned ones stay what they are."""
    return int(number) + 0


@kernel
def instrument_at(state, code):
    """The INSTRUMENT record of a code."""
    return at(int(at(state, DBN_STATE).instruments_at) + code * INSTRUMENT_SIZE, INSTRUMENT)


@kernel
def levels_of(state, code, side):
    """Where the levels of a side of an instrument lie, DEPTH of them."""
    return int(at(state, DBN_STATE).levels_at) + (2 * code + side) * SIDE_SIZE


@kernel
def put(state, code, kind, side, flags, order, other, price, quantity):
    """Write one event of the record at hand."""
    header = at(state, DBN_STATE)
    target, time_ns = int(header.pen), int(header.time_ns)
    write(target, time_ns, code, kind, side, flags, order, other, price, quantity)
    header.pen += EVENT_SIZE
    header.made += 1


@kernel
def write(target, time_ns, code, kind, side, flags, order, other, price, quantity):
    """Write an event, with zeros where ingest will write."""
    event = at(target, EVENT)
    event.time_ns = time_ns
    event.arrived_ns = 0
    event.order = order
    event.other = other
    event.price = price
    event.quantity = quantity
    event.instrument = code
    event.kind = kind
    event.side = side
    event.source = 0
    event.flags = flags
    event.sequence = 0


@kernel
def say(state, code, kind, flags):
    """Write an event without numbers."""
    put(state, code, kind, NO_SIDE, flags, 0, 0, 0, 0)


@kernel
def doubt(state, code, why):
    """Say that a book is not to be trusted, unless that was said before."""
    instrument = instrument_at(state, code)
    if instrument.doubt == 0:
        say(state, code, STALE, why)
        at(state, DBN_STATE).sure -= instrument.rank >= BOOKS
        instrument.doubt = why
    elif instrument.snapping:
        instrument.snapping = 2


@kernel
def trust(state, code):
    """Say that a book is whole again, if it was in doubt."""
    instrument = instrument_at(state, code)
    if instrument.doubt != 0:
        say(state, code, FRESH, 0)
        at(state, DBN_STATE).sure += instrument.rank >= BOOKS
        instrument.doubt = 0


@kernel
def raise_rank(state, code, rank):
    """Take an instrument's events from a type of records: from the most telling that came."""
    instrument = instrument_at(state, code)
    if rank >= BOOKS and instrument.rank < BOOKS:
        at(state, DBN_STATE).sure += instrument.doubt == 0
    instrument.rank = rank


@kernel
def announce(state, code):
    """Write the DIRECTORY event of an instrument."""
    instrument = instrument_at(state, code)
    one, two, three = instrument.symbol[0], instrument.symbol[1], instrument.symbol[2]
    flags = INFERRED if instrument.made_up else 0
    units_ = 10**PRICE_DECIMALS // instrument.unit
    put(state, code, DIRECTORY, NO_SIDE, flags, one, two, three, units_)


@kernel
def finish(state, code, first, last):
    """Mark a record's events, from an address on, that have more of the venue's event behind them.

    Where the record that ends the venue's event gives none, the instrument is announced again.
    """
    header, instrument = at(state, DBN_STATE), instrument_at(state, code)
    place, end = first, int(header.pen)
    while place < end:
        event = at(place, EVENT)
        place += EVENT_SIZE
        goes_on = parted(event.kind) and (place < end or not last)
        if goes_on:
            event.flags = event["flags"] | PART
        instrument.open = goes_on
    if last and instrument.open:
        announce(state, code)
        instrument.open = 0


@kernel
def parted(kind):
    """Whether an event of a kind can be a part of one; any other ends it."""
    return kind <= BREAK or kind in (SET, CLEAR, MODIFY)


@kernel
def units(state, code, price):
    """A DBN price in an instrument's own units; UNFIT where an event cannot hold it."""
    unit = int(instrument_at(state, code).unit)
    if price == UNDEF_PRICE or price <= 0:
        return UNFIT
    # Divided by a constant it takes a tenth of the time.
    found = price // USUAL_UNIT if unit == USUAL_UNIT else price // unit
    return found if found * unit == price else refuse(state, price)


@kernel
def refuse(state, price):
    """Note how many decimals a price has that does not fit."""
    header = at(state, DBN_STATE)
    header.unfit = max(int(header.unfit), decimals(price))
    return UNFIT


@kernel
def decimals(price):
    """How many decimals a DBN price needs; 0 where it is not defined."""
    if price == UNDEF_PRICE or price == 0:
        return 0
    needed = PRICE_DECIMALS
    while needed > 0 and price % 10 == 0:
        price //= 10
        needed -= 1
    return needed


@kernel
def timed(state, ts_event, ts_recv):
    """Set the times of the record at hand; False where neither can be believed."""
    header = at(state, DBN_STATE)
    if not EARLIEST <= ts_event < LATEST:
        ts_event = ts_recv
    if not EARLIEST <= ts_recv < LATEST:
        ts_recv = ts_event
    header.time_ns, header.index_ns = ts_event, ts_recv
    return EARLIEST <= ts_event < LATEST


@kernel
def spread_doubt(state, target):
    """Tell the next trusted book of a gap: 1 where an event was written, 0 where none is left."""
    header = at(state, DBN_STATE)
    while header.doubtful > 0 and header.sure > 0:
        header.doubtful -= 1
        code = int(header.doubtful)
        instrument = instrument_at(state, code)
        if instrument.rank >= BOOKS and instrument.doubt == 0:
            header.pen, header.time_ns = target, header.last_ns
            doubt(state, code, GAP)
            instrument.open = 0
            return 1
    header.doubtful = 0
    return 0
