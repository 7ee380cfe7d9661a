"""What the book stage keeps beside its books, and how it answers an event."""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE, offset, record
from ringbuf.ring import claim, publish
from workers.hop import HOP
from workers.kernels.orderbook import Outcome
from workers.orders import Reject
from workers.records import EVENT, TOP, Event, Flag

INDEX_MAX = 255  # of those that one event gives; further ones have this index, too
PLAIN_MAX = 4  # two levels, a state and a top: no event gives more of a plain book

# What the kernels beside the books count: a header's field is shown as one of the COUNTERS.
MEASURES_COUNT = ("refused", "set_back")
BARS_COUNT = ("late", "set_back", "refused")
VENUES_COUNT = ("announced", "unscaled", "refused", "crossed", "locked")
COUNTED = (
    *((f"measures_{name}", "i8") for name in MEASURES_COUNT),
    *((f"bars_{name}", "i8") for name in BARS_COUNT),
    *((f"venues_{name}", "i8") for name in VENUES_COUNT),
)

# Why orders of clients were refused: a counter for each bit of Reject, in their order.
REASONS = tuple(f"rejected_{reason.name.lower()}" for reason in Reject)
# What became of orders of clients, from Book.ACCEPTED on.
REPORTS = ("accepted", "rejected", "fills", "canceled", "replaced", "triggered", "auctions")

COUNTERS = record(
    [
        ("received", "i8"),
        *((outcome.name.lower(), "i8") for outcome in Outcome),
        ("requests", "i8"),  # for matching
        ("published", "i8"),
        ("tops", "i8"),
        ("levels", "i8"),
        ("trades", "i8"),
        ("statuses", "i8"),
        ("cleared", "i8"),
        ("checks_passed", "i8"),  # checksums of the venue that the book agreed with
        ("checks_failed", "i8"),  # and that it did not: it is marked stale then
        ("stale", "i8"),  # times that a book was marked stale
        ("fresh", "i8"),  # times that one was whole again
        ("partial", "i8"),  # unknown orders of books that were never shown whole
        ("crossed", "i8"),  # times that a book came to be crossed while trading was continuous
        ("crossed_early", "i8"),  # and while it was not, where that is nothing unusual
        ("checked", "i8"),  # books looked at by live checks
        ("faulty", "i8"),  # and found not to be whole
        ("full", "i8"),  # turns that found the outgoing ring full
        ("live_orders", "i8"),  # at the end of the last turn
        ("live_levels", "i8"),
        ("peak_orders", "i8"),
        ("lost_replaces", "i8"),
        ("quotes", "i8"),
        ("flows", "i8"),
        ("bars", "i8"),
        ("bar_flows", "i8"),
        ("consolidated", "i8"),
        *((name, "i8") for name in REPORTS),
        ("depths", "i8"),
        ("executions", "i8"),  # at its place behind `accepted` as its kind is behind that of those
        ("holdings", "i8"),
        ("snapshots", "i8"),  # whole books that were shown
        *((name, "i8") for name in REASONS),  # an order may be refused for several
        *COUNTED,
    ]
)
OUTCOMES, REPORTS_AT = offset(COUNTERS, "applied"), offset(COUNTERS, REPORTS[0])
REASONS_AT = offset(COUNTERS, REASONS[0])
GIVEN = (
    *("tops", "levels", "trades", "statuses", "cleared"),
    *("quotes", "flows", "bars", "bar_flows", "consolidated"),
    *REPORTS,
    "depths",
    "executions",
    "holdings",
)

KEEPER = record(
    [
        ("timing", HOP),
        ("book", "i8"),
        ("board", "i8"),
        ("counters", "i8"),
        ("levels", "i8"),  # 1: LEVEL records go out
        ("target", "i8"),  # the next sequence to publish
        ("index", "i8"),  # outputs of the event in hand so far
        ("moved", "i8"),  # instruments whose board row is due, in `list`
        ("unshown", "i8"),  # events taken since rows were written
        ("instruments", "i8"),
        ("room", "i8"),  # records that one event can give, with all that is switched on
        ("measures", "i8"),  # address; 0: switched off
        ("bars", "i8"),
        ("venues", "i8"),
        ("venues_board", "i8"),
        ("engine", "i8"),  # of matching
        ("whole", "i8"),  # address of whole.py's
        ("stand_in", EVENT),  # an event as if it were of another instrument
    ]
)
# Behind the KEEPER, one for each instrument: what the stage knows beside its book.
NOTE = record(
    [
        ("volume", "i8"),
        ("traded_price", "i8"),
        ("traded_quantity", "i8"),
        ("cause", "i8"),
        ("time_ns", "i8"),
        ("price_scale", "i8"),  # as announced
        ("state", "i4"),  # State and bits of Mark
        ("lot_decimals", "i4"),
        ("moved", "i4"),  # 1: the top moved in a part of an event that goes on
        ("due", "i4"),  # 1: stands in the list
        ("list", "i4"),  # entry n of the list of instruments whose row is due
        ("early", "i4"),  # 1: it is crossed, before trading is continuous
        ("whole", "i4"),  # 1: the feed has shown all of it
        ("spare", "i4"),
    ]
)
NOTE_SIZE = NOTE.itemsize
STAND_IN_AT = offset(KEEPER, "stand_in")
NOTES_AT = -(-KEEPER.itemsize // LINE) * LINE


@kernel
def note_of(state, instrument):
    """The stage's note on an instrument."""
    return at(state + NOTES_AT + int(instrument) * NOTE_SIZE, NOTE)


@kernel
def goes_on(event):
    """Whether more of the same venue's event follows."""
    kind = event.kind
    flagged = kind <= Event.BREAK or kind == Event.SET or kind == Event.CLEAR
    return (flagged or kind == Event.MODIFY) and event["flags"] & Flag.PART != 0


@kernel
def answer(state, writer, event):
    """Claim the next record and fill in which event it answers; the address."""
    keeper = at(state, KEEPER)
    address = claim(writer, keeper.target)
    record_ = at(address, TOP)
    record_.cause, record_.time_ns = event.sequence, event.time_ns
    record_.instrument, record_.index = event.instrument, min(keeper.index, INDEX_MAX)
    record_.side = record_.state = 0  # what not every layout has a name for
    return address


@kernel
def send(state, writer):
    """Publish the record that was claimed."""
    keeper = at(state, KEEPER)
    publish(writer, keeper.target, keeper.timing.born, keeper.timing.now)
    keeper.target += 1
    keeper.index += 1
