"""The vocabulary: every record that travels between stages. 64 bytes each, sequence last.

Prices are integers in the instrument's price unit (`Instrument.price_scale` units make one unit
of currency), quantities integers in its lot. Times are nanoseconds since the Unix epoch; a feed
that only knows the time of day counts from the date in its options (1970-01-01 by default).
"""

from enum import IntEnum

import numpy as np

from ringbuf.record import LINE, fields_of, offset, record, slot_record
from workers.risk_records import (  # noqa: F401 (some are only handed on)
    GREEKS,
    LIMIT,
    POSITION_RECORD,
    RISK,
    Kept,
    Measure,
    Standing,
)


class Side(IntEnum):
    """Which side of the book. NONE where a message has none."""

    BID = 0
    ASK = 1
    NONE = 2


class Event(IntEnum):
    """What happened at the venue: the kinds of EVENT records."""

    ADD = 1  # a new resting order: order, side, price, quantity
    EXECUTE = 2  # a resting order traded: order, quantity; other = match number
    EXECUTE_AT = 3  # the same at another price than its own: price
    CANCEL = 4  # a resting order lost part of its quantity: order, quantity
    DELETE = 5  # a resting order left: order
    REPLACE = 6  # a resting order became another: order, other = its new id, price, quantity
    TRADE = 7  # a trade that no displayed order shows: price, quantity; other = match number
    CROSS = 8  # an auction's trade: price, quantity; other = match number
    BREAK = 9  # a trade was broken: other = match number; the book stays
    STATUS = 10  # trading state of an instrument changed: flags = State
    DIRECTORY = 11  # an instrument was announced
    SYSTEM = 12  # a session event of the venue: flags = its code
    SET = 13  # feeds of levels: all that rests at a price now: side, price, quantity (0: nothing)
    CLEAR = 14  # all orders and levels of an instrument are gone: a snapshot follows, or the night
    STALE = 15  # its book is not to be trusted from here on: flags = Doubt
    FRESH = 16  # its book is whole again
    CHECK = 17  # the venue's checksum of its book: order = it, flags = Checksum; price, quantity =
    #             how many decimals of each the venue prints
    POSITION = 18  # where a live source is: order = the next number of its session, other = which
    MODIFY = 19  # a resting order has this price and quantity now; it keeps its place where the
    #              price stays and the quantity does not grow
    TERMS = 20  # what an instrument trades by: order = tick in price units, other = lot size in
    #             lots, price = a price to compare with, as the last close; 0 where not known
    # What clients of ours want (workers/orders.py); of instruments that are MATCHED.
    ORDER = 21  # a new order: order = its id, other = account, side, price, quantity, flags =
    #             Tif | OrderFlag | Stp << STP_BITS
    CANCEL_ORDER = 22  # an order is to leave: order, other = account
    REPLACE_ORDER = 23  # an order is to have this price and quantity (all of it that is left):
    #             order, other = account; flags = REQUEUE: it goes to the tail anyway
    CANCEL_ALL = 24  # all orders of an account are to leave: other = account (-1: of all), side
    #             (NONE: both), instrument (-1: all)
    CONDITION = 25  # more about the ORDER of the same id that its source sends next: price = stop
    #             (0: none), quantity = how much of it is shown (0: all), other = when it expires
    #             (Tif.GTD), flags = Condition
    SWITCH = 26  # orders of an account (other; -1: of all) are refused from here on (flags = 1),
    #             or taken again (0)
    HOLDING = 27  # what a portfolio holds, or traded elsewhere: order = its number, price,
    #             quantity, side (BID: long, or bought), flags = Telling


class Flag(IntEnum):
    """Bits of EVENT.flags, but of STATUS, SYSTEM, STALE and CHECK."""

    UNPRINTED = 1  # not to be counted as volume
    INFERRED = 2  # the order was reconstructed: the feed never showed its submission
    SNAPSHOT = 4  # part of a snapshot: nothing happened now
    PART = 8  # more of the same venue's event follows: the book is not to be shown yet
    SUSPECT = 16  # a rule of ingest would rather not believe it


MATCHED = 1  # in a DIRECTORY's flags: orders of clients are matched here, in a book of our own
NAMED = 8  # in the same: only HOLDINGs tell of it; it has no book, and is another's of that symbol
LOT_DECIMALS = 4  # a DIRECTORY's flags from this bit on: a lot is 10 ** -n of a unit


class Telling(IntEnum):
    """What a HOLDING says of a position."""

    TRADE = 0  # it changes by so much
    POSITION = 1  # it is so much, whatever was known before


class Doubt(IntEnum):
    """Why a book is not to be trusted, in the flags of a STALE event."""

    NO_SNAPSHOT = 1  # the feed has not shown the whole of it yet
    GAP = 2  # messages were lost
    SILENCE = 3  # the source has said nothing for too long
    CHECKSUM = 4  # it differs from the venue's
    VALUE = 5  # a message that concerns it could not be read
    RESTART = 6  # this side was away
    VENUE = 7  # the venue says so


class Checksum(IntEnum):
    """How a venue computes its checksum, in the flags of a CHECK event."""

    KRAKEN = 1  # CRC-32 over the ten best of both sides, digits without point and leading zeros
    OKX = 2  # CRC-32 over the 25 best, bid and ask in turns, "price:quantity" joined by colons


class State(IntEnum):
    """Trading state of an instrument, in EVENT.flags and (with bits of Mark) TOP.state."""

    UNKNOWN = 0
    TRADING = 1
    HALTED = 2
    PAUSED = 3
    QUOTING = 4


class Mark(IntEnum):
    """Bits that come to the State in TOP.state, LEVEL.state and DEPTH.state."""

    PARTIAL = 16  # orders that were there before the feed began are missing
    CROSSED = 32  # the best bid is above the best ask while trading is continuous
    BARRED = 64  # a rule of ours has halted it
    STALE = 128  # the book is not to be trusted


EVENT = slot_record(
    [
        ("time_ns", "i8"),  # when it happened, by the venue's clock
        ("arrived_ns", "i8"),  # when ingest took it in, by this host's clock
        ("order", "i8"),  # the venue's order id
        ("other", "i8"),  # new order id of a REPLACE, match number of a trade
        ("price", "i8"),
        ("quantity", "i8"),
        ("instrument", "i4"),
        ("kind", "u1"),
        ("side", "u1"),
        ("source", "u1"),  # which feed of the configuration, from 0
        ("flags", "u1"),
    ]
)


class Book(IntEnum):
    """The kinds of records on the book ring."""

    TOP = 1  # the best prices of an instrument moved
    LEVEL = 2  # the quantity at one price changed
    TRADE = 3  # a trade
    STATUS = 4  # trading state changed: a TOP record whose `state` is new
    CLEARED = 5  # all levels of an instrument are gone: a TOP record
    QUOTE = 6  # what the best prices say, whenever they or the state change
    BAR = 7  # prices of a bar that is closed
    CONSOLIDATED = 8  # the best over all venues of an instrument changed
    FLOW = 9  # what the trades say, after each, and at each new volatility
    BAR_FLOW = 10  # the rest of the BAR record right before it
    # What became of an order of a client: REPORT records, but of AUCTION.
    ACCEPTED = 11  # it is in the book, or waits for its trigger: left = what it is for
    REJECTED = 12  # nothing was done: left = bits of Reject; state = the kind of Event refused
    FILL = 13  # it traded: price, quantity; state = Liquidity. Two behind each TRADE, maker first
    CANCELED = 14  # it is gone: quantity = what was left of it; state = Why
    REPLACED = 15  # price and quantity are others now: quantity = what it lost (below 0: it grew);
    #                state = Why
    TRIGGERED = 16  # its stop price was reached
    AUCTION = 17  # what a call auction would trade now, or trades: an AUCTION record
    DEPTH = 18  # a level of a whole book that is shown, best first, bids before asks
    EXECUTION = 19  # whose a FILL was, of accounts that have it told: behind the FILLs of a trade
    HOLDING = 20  # what is told of a portfolio's position: a HOLDING record; state = Telling


_ANSWERS = [
    ("cause", "i8"),  # sequence of the event that this record answers
    ("time_ns", "i8"),  # the event's own time
]
_TAGS = [("instrument", "i4"), ("kind", "u1"), ("side", "u1"), ("index", "u1"), ("state", "u1")]
_SERIES = [("series" if name == "side" else name, format_) for name, format_ in _TAGS]
_VENUES = [("venues" if name == "side" else name, format_) for name, format_ in _TAGS]

# `index` counts the outputs of one input from 0, up to 255: what comes then has that index, too.
TOP = slot_record(
    [
        *_ANSWERS,
        ("bid", "i8"),  # 0 where the side is empty
        ("ask", "i8"),
        ("bid_quantity", "i8"),
        ("ask_quantity", "i8"),
        *_TAGS,
    ]
)
LEVEL = slot_record(
    [
        *_ANSWERS,
        ("price", "i8"),
        ("quantity", "i8"),  # all that rests at this price now; 0 where the level is gone
        ("orders", "i8"),  # how many orders rest there now
        ("spare", "i8"),
        *_TAGS,
    ]
)
# Of a book without levels there is one, of side NONE and with quantity 0.
WHOLE = slot_record(
    [
        *_ANSWERS,
        ("price", "i8"),
        ("quantity", "i8"),
        ("orders", "i8"),
        ("following", "i8"),  # how many more records the same book has
        *_TAGS,
    ]
)
TRADE = slot_record(
    [
        *_ANSWERS,
        ("price", "i8"),
        ("quantity", "i8"),
        ("order", "i8"),  # the resting order, 0 where none is shown
        ("match", "i8"),
        *_TAGS,
    ]
)


def _without(layout: np.dtype, *names: str) -> np.dtype:
    """A layout some of whose bytes have no name; they are 0."""
    kept = {name: place for name, place in fields_of(layout).items() if name not in names}
    formats, offsets = zip(*kept.values(), strict=True)
    return record(
        {"names": [*kept], "formats": formats, "offsets": offsets, "itemsize": layout.itemsize}
    )


# What the numbers in the next five mean stands in kernels/measures.py, bars.py, consolidated.py.
_QUOTE = slot_record(
    [
        *_ANSWERS,
        ("mid", "i8"),  # bid + ask, in half price units; 0 where a side is empty
        ("spread", "i8"),
        ("microprice", "f8"),  # price units
        ("imbalance", "f8"),  # -1 (all asked) .. 1 (all bid)
        *_TAGS,
    ]
)
_FLOW = slot_record(
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
_BAR_FLOW = slot_record(
    [
        *_ANSWERS,
        ("start_ns", "i8"),  # of its time; of other bars the first trade's
        ("vwap", "f8"),  # price units
        ("volume", "i8"),
        ("trades", "i8"),
        *_TAGS,
    ]
)
# Side and state have no place where they say nothing: the description of a ring is short.
QUOTE = _without(_QUOTE, "side")
FLOW = _without(_FLOW, "side", "state")
BAR_FLOW = _without(_BAR_FLOW, "side", "state")  # those of the BAR before hold
# instrument: of the group's venue that was announced first.
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

REPORT = slot_record(
    [
        *_ANSWERS,
        ("order", "i8"),
        ("price", "i8"),  # of a FILL the trade's, else the order's limit; 0: none
        ("quantity", "i8"),  # of a FILL the trade's, of CANCELED and REPLACED what it lost
        ("left", "i8"),  # what is left of the order, hidden quantity included; of REJECTED: reasons
        *_TAGS,
    ]
)
EXECUTION = slot_record(
    [
        *_ANSWERS,
        ("order", "i8"),
        ("price", "i8"),  # the trade's, and so
        ("quantity", "i8"),
        ("account", "i8"),
        *_TAGS,  # side: of the order; state: Liquidity
    ]
)
HOLDING = slot_record(
    [
        *_ANSWERS,
        ("portfolio", "i8"),
        ("price", "i8"),  # the average that was paid, or the trade's, and so
        ("quantity", "i8"),
        ("spare", "i8"),
        *_TAGS,  # side: BID where it is held long, or was bought
    ]
)
AUCTION = slot_record(
    [
        *_ANSWERS,
        ("price", "i8"),  # the equilibrium price, 0: nothing would trade
        ("quantity", "i8"),  # what trades at it
        ("surplus", "i8"),  # bids less asks at the price that stay
        ("reference", "i8"),  # the price that ties were decided by, 0: none
        *_TAGS,  # state: 1 where it was traded, 0 where it would be
    ]
)


# What lies on each ring: name of the layout -> (its `kind`, layout). -1: every record.
EVENTS_RING = {"event": (-1, EVENT)}
BOOK_RING = {
    "top": (int(Book.TOP), TOP),
    "level": (int(Book.LEVEL), LEVEL),
    "trade": (int(Book.TRADE), TRADE),
    "status": (int(Book.STATUS), TOP),
    "cleared": (int(Book.CLEARED), TOP),
    "quote": (int(Book.QUOTE), QUOTE),
    "bar": (int(Book.BAR), BAR),
    "consolidated": (int(Book.CONSOLIDATED), CONSOLIDATED),
    "flow": (int(Book.FLOW), FLOW),
    "bar_flow": (int(Book.BAR_FLOW), BAR_FLOW),
    "accepted": (int(Book.ACCEPTED), REPORT),
    "rejected": (int(Book.REJECTED), REPORT),
    "fill": (int(Book.FILL), REPORT),
    "canceled": (int(Book.CANCELED), REPORT),
    "replaced": (int(Book.REPLACED), REPORT),
    "triggered": (int(Book.TRIGGERED), REPORT),
    "auction": (int(Book.AUCTION), AUCTION),
    "depth": (int(Book.DEPTH), WHOLE),
    "execution": (int(Book.EXECUTION), EXECUTION),
    "holding": (int(Book.HOLDING), HOLDING),
}
RISK_RING = {
    "risk": (int(Kept.RISK), RISK),
    "limit": (int(Kept.LIMIT), LIMIT),
    "position": (int(Kept.POSITION), POSITION_RECORD),
    "greeks": (int(Kept.GREEKS), GREEKS),
}

MONEY_SCALE = 10_000  # money units in one unit of currency

for _, _layout in (*EVENTS_RING.values(), *BOOK_RING.values(), *RISK_RING.values()):
    assert _layout.itemsize == 64, _layout
for _, _layout in (*BOOK_RING.values(), *RISK_RING.values()):
    assert offset(_layout, "kind") == offset(TOP, "kind"), _layout


def empty(dtype: np.dtype, count: int) -> np.ndarray:
    """A zeroed array of records that starts on a cache line, as kernels expect."""
    return lined(count * dtype.itemsize).view(dtype)


def lined(size: int) -> np.ndarray:
    """Zeroed bytes that start on a cache line, shape (size,)."""
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size]
