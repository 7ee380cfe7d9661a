"""The best bid and offer of one instrument over all venues that trade it.

    address -> | CONSOLIDATED header | GROUP x groups | VENUE x groups x VENUES_MAX
               | PLACE x instruments: where an instrument stands among the venues |

A group is what is the same on several venues; each venue's book is an instrument of its own. Its
prices and quantities are multiplied by integers, so that the whole group counts in the same units.

- A venue counts while its book is to be trusted: announced, not stale, neither halted nor paused.
- Best of a side: the highest bid, the lowest ask of the venues that count. Where several show that
  price, the quantity is their sum, and the venue named is the one that has shown it for longest,
  in the order of the log; one that comes back from being left out starts anew.
- A bid above or at the best ask is told (CROSSED, LOCKED), never mended: both may be right, and
  what is old or untrue is for the rules that mark a book stale.
- A price or quantity that the common units cannot hold takes its venue out, until one that fits.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE, record
from workers.kernels import bookview
from workers.records import Mark, Side, State

VENUES_MAX = 15
NONE = 15  # the place of no venue: an empty side
PRICE_LIMIT = 1 << 61
QUANTITY_LIMIT = 1 << 57  # of one venue: sums over all stay below PRICE_LIMIT
SYMBOL_BYTES = 24
STATES = min(Mark) - 1  # bits of State; those of Mark are above
LOCKED = 16  # bits of GROUP.state and of the records made of it
CROSSED, STALE = int(Mark.CROSSED), int(Mark.STALE)
LEFT_OUT = int(Mark.STALE | Mark.BARRED)
LOT_DECIMALS_MAX, PRICE_SCALE_MAX = 17, 1 << 61

CONSOLIDATED = record(
    [
        ("groups", "i8"),
        ("instruments", "i8"),
        ("clock", "i8"),  # calls of on_top: the order of the log
        ("due", "i8"),  # groups whose depth is due, in `list`
        ("announced", "i8"),
        ("unscaled", "i8"),  # venues left out: their units are finer than the group's
        ("refused", "i8"),  # quotes that do not fit into the common units
        ("crossed", "i8"),  # times that a group came to be crossed
        ("locked", "i8"),
        ("spare", "i8", (7,)),
    ]
)
GROUP = record(
    [
        ("venues", "i8"),
        ("price_scale", "i8"),  # common price units in one of currency
        ("lot_decimals", "i8"),  # a common lot is 10 ** -n of a unit
        ("bid", "i8"),  # 0 where no venue that counts bids
        ("ask", "i8"),
        ("bid_quantity", "i8"),
        ("ask_quantity", "i8"),
        ("bid_venue", "i4"),  # place, NONE
        ("ask_venue", "i4"),
        ("fresh", "i4"),  # venues that count
        ("state", "i4"),  # LOCKED, CROSSED; STALE: no venue counts
        ("instrument", "i4"),  # of the venue announced first, which stands for the group; -1
        ("listed", "i4"),  # 1: stands in the list
        ("list", "i4"),  # entry n of the list of groups whose depth is due
        ("spare", "i4"),
        ("cause", "i8"),  # the last event that may have changed its depth
        ("time_ns", "i8"),
        ("padding", "i8", (3,)),
    ]
)
VENUE = record(
    [
        ("symbol", "i8", (3,)),  # as DIRECTORY events carry it, spaces as zeros
        ("source", "i4"),
        ("instrument", "i4"),  # -1 before it is announced
        ("price_multiplier", "i8"),
        ("quantity_multiplier", "i8"),
        ("counts", "i8"),
        ("bid", "i8"),  # in common units
        ("ask", "i8"),
        ("bid_quantity", "i8"),
        ("ask_quantity", "i8"),
        ("bid_since", "i8"),  # the clock when it came to this price
        ("ask_since", "i8"),
        ("depth", "i8"),  # where a walk down the levels is
        ("price", "i8"),
        ("quantity", "i8"),
    ]
)
PLACE = record([("place", "i4")])  # group x VENUES_MAX + place, + 1; 0: in no group
GROUPS_AT = -(-CONSOLIDATED.itemsize // LINE) * LINE
GROUP_SIZE, VENUE_SIZE, PLACE_SIZE = GROUP.itemsize, VENUE.itemsize, PLACE.itemsize


class Group(NamedTuple):
    """One instrument: its venues as (source, symbol), and the units that all are brought to."""

    venues: Sequence[tuple[int, str]]
    price_scale: int
    lot_decimals: int


def bytes_needed(groups: int, instruments: int) -> int:
    """Bytes of the block."""
    return GROUPS_AT + groups * (GROUP_SIZE + VENUES_MAX * VENUE_SIZE) + PLACE_SIZE * instruments


def create(address: int, groups: Sequence[Group], instruments: int) -> None:
    """Lay groups over `bytes_needed` zero bytes that start on a cache line."""
    header = at(address, CONSOLIDATED)
    header.groups, header.instruments = len(groups), instruments
    for number, asked in enumerate(groups):
        if not 1 <= len(asked.venues) <= VENUES_MAX:
            raise ValueError(f"{len(asked.venues)} venues of one instrument: 1 to {VENUES_MAX}")
        if not 1 <= asked.price_scale <= PRICE_SCALE_MAX:
            raise ValueError(f"price scale {asked.price_scale}: 1 to {PRICE_SCALE_MAX}")
        if not 0 <= asked.lot_decimals <= LOT_DECIMALS_MAX:
            raise ValueError(f"lot decimals {asked.lot_decimals}: 0 to {LOT_DECIMALS_MAX}")
        group = at(group_address(address, number), GROUP)
        group.venues, group.price_scale = len(asked.venues), asked.price_scale
        group.lot_decimals, group.instrument = asked.lot_decimals, -1
        group.bid_venue = group.ask_venue = NONE
        group.state = STALE
        for place, (source, symbol) in enumerate(asked.venues):
            venue = at(venue_address(address, number, place), VENUE)
            venue.source, venue.instrument = source, -1
            for word, value in enumerate(_words(symbol)):
                venue.symbol[word] = value


def _words(symbol: str) -> list[int]:
    text = symbol.encode("ascii").replace(b" ", b"\0").ljust(SYMBOL_BYTES, b"\0")
    if len(text) != SYMBOL_BYTES:
        raise ValueError(f"symbol {symbol!r}: at most {SYMBOL_BYTES} bytes")
    return [int.from_bytes(text[at : at + 8], "little", signed=True) for at in (0, 8, 16)]


@kernel
def group_at(state, number):
    """A numbered GROUP."""
    return at(group_address(state, number), GROUP)


@kernel
def group_address(state, number):
    """Where a numbered GROUP lies."""
    return state + GROUPS_AT + int(number) * GROUP_SIZE


@kernel
def venue_at(state, group, place):
    """The VENUE at a place of a group."""
    return at(venue_address(state, group, place), VENUE)


@kernel
def venue_address(state, group, place):
    """Where the VENUE at a place of a group lies; behind the last group: where they end."""
    venues = group_address(state, at(state, CONSOLIDATED).groups)
    return venues + (int(group) * VENUES_MAX + place) * VENUE_SIZE


@kernel
def place_of(state, instrument):
    """The PLACE of an instrument."""
    places = venue_address(state, at(state, CONSOLIDATED).groups, 0)
    return at(places + int(instrument) * PLACE_SIZE, PLACE)


@kernel
def group_of(state, instrument):
    """The number of the group that an instrument is in, -1 where it is in none."""
    if not 0 <= instrument < at(state, CONSOLIDATED).instruments:
        return -1
    return (int(place_of(state, instrument).place) + VENUES_MAX - 1) // VENUES_MAX - 1


@kernel
def announce(state, source, instrument, first, second, third, price_scale, lot_decimals):
    """A DIRECTORY event: put the instrument in its place; False where it is in no group.

    first, second, third: the symbol as the event carries it, in `order`, `other` and `price`.
    """
    header = at(state, CONSOLIDATED)
    if not 0 <= instrument < header.instruments:
        return False
    leave(state, instrument)
    first, second, third = plain(int(first)), plain(int(second)), plain(int(third))
    for number in range(header.groups):
        for place in range(group_at(state, number).venues):
            venue = venue_at(state, number, place)
            same = venue.symbol[0] == first and venue.symbol[1] == second
            if same and venue.symbol[2] == third and venue.source == source:
                return join(state, number, place, instrument, int(price_scale), int(lot_decimals))
    return False


@kernel
def leave(state, instrument):
    """Have an instrument that is announced anew stand for no venue: its name may be another."""
    number = group_of(state, instrument)
    if number >= 0:
        place = place_of(state, instrument)
        venue = venue_at(state, number, int(place.place) - 1 - number * VENUES_MAX)
        venue.instrument, venue.counts, place.place = -1, 0, 0


@kernel
def plain(word):
    """Eight bytes of a symbol with zeros for spaces."""
    for shift in range(0, 64, 8):
        if (word >> shift) & 0xFF == 0x20:
            word ^= 0x20 << shift
    return word


@kernel
def join(state, number, place, instrument, price_scale, lot_decimals):
    """Have an instrument stand for a venue, if its units are whole multiples of the group's."""
    header, group = at(state, CONSOLIDATED), group_at(state, number)
    venue = venue_at(state, number, place)
    if venue.instrument >= 0:
        place_of(state, venue.instrument).place = 0
    venue.instrument, venue.counts = -1, 0
    decimals = int(group.lot_decimals) - lot_decimals
    if price_scale <= 0 or group.price_scale % price_scale or decimals < 0 or lot_decimals < 0:
        header.unscaled += 1
        return False
    header.announced += 1
    venue.instrument = instrument
    venue.price_multiplier = int(group.price_scale) // price_scale
    venue.quantity_multiplier = 1
    for _ in range(decimals):
        venue.quantity_multiplier *= 10
    place_of(state, instrument).place = number * VENUES_MAX + place + 1
    if group.instrument < 0:
        group.instrument = instrument
    return True


@kernel
def counts(tags):
    """Whether a book in this TOP.state is one to trade on."""
    trading = tags & STATES
    return tags & LEFT_OUT == 0 and trading != State.HALTED and trading != State.PAUSED


@kernel
def on_top(state, instrument, bid, bid_quantity, ask, ask_quantity, tags):
    """Take in the best prices of one venue; tags: TOP.state. True where the group's changed."""
    number = group_of(state, instrument)
    if number < 0:
        return False
    header = at(state, CONSOLIDATED)
    header.clock += 1
    venue = venue_at(
        state, number, int(place_of(state, instrument).place) - 1 - number * VENUES_MAX
    )
    fits = fitting(venue, int(bid), int(bid_quantity)) and fitting(
        venue, int(ask), int(ask_quantity)
    )
    counted = bool(venue.counts)
    venue.counts = counts(tags) and fits
    header.refused += not fits
    if not fits:
        bid, bid_quantity, ask, ask_quantity = 0, 0, 0, 0
    bid, ask = int(bid) * int(venue.price_multiplier), int(ask) * int(venue.price_multiplier)
    if bid != venue.bid or not counted:
        venue.bid, venue.bid_since = bid, header.clock
    if ask != venue.ask or not counted:
        venue.ask, venue.ask_since = ask, header.clock
    venue.bid_quantity = int(bid_quantity) * int(venue.quantity_multiplier)
    venue.ask_quantity = int(ask_quantity) * int(venue.quantity_multiplier)
    return consolidate(state, number)


@kernel
def fitting(venue, price, quantity):
    """Whether the common units can hold a venue's price and quantity."""
    if not 0 <= price <= PRICE_LIMIT // int(venue.price_multiplier):
        return False
    return 0 <= quantity <= QUANTITY_LIMIT // int(venue.quantity_multiplier)


@kernel
def consolidate(state, number):
    """Find the best of all venues of a group; True where anything is another than before."""
    group = group_at(state, number)
    bid, bid_quantity, bid_venue = best(state, number, Side.BID)
    ask, ask_quantity, ask_venue = best(state, number, Side.ASK)
    fresh = 0
    for place in range(group.venues):
        fresh += int(venue_at(state, number, place).counts)
    marks = STALE if fresh == 0 else 0
    if bid > 0 and ask > 0 and bid >= ask:
        marks |= LOCKED if bid == ask else CROSSED
    same = group.bid == bid and group.ask == ask and group.fresh == fresh and group.state == marks
    same = same and group.bid_quantity == bid_quantity and group.ask_quantity == ask_quantity
    if same and group.bid_venue == bid_venue and group.ask_venue == ask_venue:
        return False
    header, new = at(state, CONSOLIDATED), marks & ~int(group.state)
    header.crossed += new & CROSSED != 0
    header.locked += new & LOCKED != 0
    group.bid, group.bid_quantity, group.bid_venue = bid, bid_quantity, bid_venue
    group.ask, group.ask_quantity, group.ask_venue = ask, ask_quantity, ask_venue
    group.fresh, group.state = fresh, marks
    return True


@kernel
def best(state, number, side):
    """Best price of a side, the quantity there, and the place of who has shown it for longest."""
    price = quantity = since = 0
    named = NONE
    for place in range(group_at(state, number).venues):
        venue = venue_at(state, number, place)
        shown, shown_quantity = int(venue.bid), int(venue.bid_quantity)
        shown_since = int(venue.bid_since)
        if side == Side.ASK:
            shown, shown_quantity = int(venue.ask), int(venue.ask_quantity)
            shown_since = int(venue.ask_since)
        if venue.counts == 0 or shown == 0:
            continue
        if price == 0 or better(shown, price, side):
            price, quantity, since, named = shown, 0, shown_since, place
        if shown == price:
            quantity += shown_quantity
            if shown_since < since:
                since, named = shown_since, place
    return price, quantity, named


@kernel
def better(price, other, side):
    """Whether a price is nearer to trading than another on its side."""
    return price > other if side == Side.BID else price < other


@kernel
def rewind(state, book, number, side):
    """Start a walk down the levels of one side, all venues together."""
    for place in range(group_at(state, number).venues):
        venue = venue_at(state, number, place)
        venue.depth = 0
        look_at(book, venue, side)


@kernel
def look_at(book, venue, side):
    """Read the level of a venue that the walk has come to; price 0 where there is none."""
    venue.price = venue.quantity = 0
    if venue.counts:
        price, quantity, _ = bookview.depth_level(book, venue.instrument, side, venue.depth)
        if fitting(venue, price, quantity):
            venue.price = price * int(venue.price_multiplier)
            venue.quantity = quantity * int(venue.quantity_multiplier)


@kernel
def next_level(state, book, number, side):
    """The next price of a walk, all that rests there, and the places of its venues as bits."""
    venues = int(group_at(state, number).venues)
    price = quantity = mask = 0
    for place in range(venues):
        shown = int(venue_at(state, number, place).price)
        if shown > 0 and (price == 0 or better(shown, price, side)):
            price = shown
    for place in range(venues):
        venue = venue_at(state, number, place)
        if price > 0 and venue.price == price:
            quantity += int(venue.quantity)
            mask |= 1 << place
            venue.depth += 1
            look_at(book, venue, side)
    return price, quantity, mask


@kernel
def mark_due(state, instrument, cause, time_ns):
    """An event may have changed the levels of an instrument: its group's depth is due."""
    number = group_of(state, instrument)
    if number < 0:
        return
    header, group = at(state, CONSOLIDATED), group_at(state, number)
    group.cause, group.time_ns = cause, time_ns
    if not group.listed:
        group.listed = 1
        group_at(state, header.due).list = number
        header.due += 1
