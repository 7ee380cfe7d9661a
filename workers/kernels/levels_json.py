"""Price levels as exchanges write them in JSON, to SET events: strings of decimals to integers.

    PLAIN    ["61737.63000000","0.50000000"]                     price, quantity
    TIMED    ["0.043020","0.0","1618678133.384218"]              and seconds; perhaps "r" behind
    COUNTED  ["30249.4","0.08","0","6"]                          and (nothing), number of orders
    SIDED    ["buy","0.7885","7441.5"]                           side, price, quantity

An array of such entries, with blanks only where JSON has them, is taken whole or not at all.
Numbers are digits with or without a fraction: no sign, no exponent, no leading zeros. One with
more telling decimals than the instrument's scale, or too large for 63 bits, is refused.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from ringbuf.wire import load_u8
from workers.kernels.level_window import keep_window
from workers.records import EVENT, Event, Flag, Side

# What is known of an instrument, and what its last message showed.
LISTING = record(
    [
        ("code", "i8"),
        ("price_decimals", "i8"),
        ("quantity_decimals", "i8"),
        ("checksum", "i8"),  # how the venue computes it: a Checksum
        ("time_ns", "i8"),  # the latest of the times in the levels; 0: they carry none
        ("price_printed", "i8"),  # most decimals of a price, as printed
        ("quantity_printed", "i8"),
        ("price_needed", "i8"),  # the same without zeros at the end
        ("window", "i8"),  # address of a WINDOW: the venue shows only so many levels; 0: all
    ]
)
PLAIN, TIMED, COUNTED, SIDED = 0, 1, 2, 3
MALFORMED, TOO_FINE, TOO_LARGE, NO_ROOM, BAD_PRICE = -1, -2, -3, -4, -5
ANY = -1  # decimals: any number, only looked at
NS_DECIMALS = 9
ENOUGH = (1 << 63) // 10 - 1  # a number up to here takes one digit more
DECIMALS_MAX = 18
NO_CHECKSUM = -1

SIZE = EVENT.itemsize
OPEN, CLOSE, COMMA, QUOTE, DOT = ord("["), ord("]"), ord(","), ord('"'), ord(".")
ZERO, NINE = ord("0"), ord("9")
BLANK, TAB, LINE_FEED, RETURN = ord(" "), ord("\t"), ord("\n"), ord("\r")
REPUBLISHED = ord("r")
SELL, BUY = b"sell", b"buy"
SELL_LETTERS, BUY_LETTERS = tuple(SELL), tuple(BUY)
BID, ASK, NO_SIDE = int(Side.BID), int(Side.ASK), int(Side.NONE)
SET, CHECK = int(Event.SET), int(Event.CHECK)
PART = int(Flag.PART)


@kernel
def update(
    listing, shape, bids, bids_size, asks, asks_size, target, room, tags, time_ns, other, crc
):
    """Write the SET events of one message, and a CHECK where it has a checksum; how many.

    The texts lie at `bids` and `asks`, 0 bytes where a side is not there; SIDED ones all in
    `bids`. `tags` are the Flag bits of each, `time_ns` its time where the levels carry none.
    Negative, and nothing counts as written, where any of it is refused.
    """
    item = at(listing, LISTING)
    item.time_ns = item.price_printed = item.quantity_printed = item.price_needed = 0
    count = 0
    if bids_size > 0:
        count = levels(listing, shape, bids, bids_size, target, room, BID)
        if count < 0:
            return count
    if asks_size > 0:
        more = levels(listing, shape, asks, asks_size, target + count * SIZE, room - count, ASK)
        if more < 0:
            return more
        count += more
    if 2 * count + 1 > room:
        return NO_ROOM
    if item.window:
        count += keep_window(item.window, target, count)
    finish(listing, target, count, tags, max(time_ns, item.time_ns), other, crc)
    return count + (crc != NO_CHECKSUM)


@kernel
def finish(listing, target, count, tags, time_ns, other, crc):
    """Fill in what all events of a message have in common; the last one ends it."""
    item = at(listing, LISTING)
    item.time_ns = time_ns
    for number in range(count):
        event = at(target + number * SIZE, EVENT)
        event.time_ns = time_ns
        event.arrived_ns = 0
        event.other = other
        event.instrument = item.code
        event.kind = SET
        event.source = 0
        event["flags"] = tags | PART if number + 1 < count or crc != NO_CHECKSUM else tags
        event.sequence = 0
    if crc != NO_CHECKSUM:
        event = at(target + count * SIZE, EVENT)
        event.time_ns = time_ns
        event.arrived_ns = 0
        event.order = crc
        event.other = other
        event.price = item.price_printed
        event.quantity = item.quantity_printed
        event.instrument = item.code
        event.kind = CHECK
        event.side = NO_SIDE
        event.source = 0
        event["flags"] = item.checksum
        event.sequence = 0


@kernel
def measure(listing, shape, text, size):
    """How many levels an array has, written nowhere; `price_needed` grows to what they need."""
    return levels(listing, shape, text, size, 0, size, BID)


@kernel
def levels(listing, shape, text, size, target, room, side):
    """Read a whole array of levels; how many, or why it is refused."""
    end = text + size
    place = expect(text, end, OPEN)
    count = 0
    if peek(place, end) != CLOSE:
        more = True
        while more:
            if count >= room:
                return NO_ROOM
            event = target + count * SIZE if target else 0
            place = entry(listing, shape, place, end, event, side)
            if place < 0:
                return place
            count += 1
            more = peek(place, end) == COMMA
            if more:
                place = expect(place, end, COMMA)
    place = expect(place, end, CLOSE)
    if place < 0:
        return place
    return count if blanks(place, end) == end else MALFORMED


@kernel
def entry(listing, shape, place, end, target, side):
    """Read one level; the place behind it, or why it is refused."""
    item = at(listing, LISTING)
    place = expect(place, end, OPEN)
    if shape == SIDED:
        place, side = side_word(place, end)
        place = expect(place, end, COMMA)
    decimals = item.price_decimals if target else ANY
    price, printed, needed, place = quoted(place, end, decimals)
    item.price_printed = max(item.price_printed, printed)
    item.price_needed = max(item.price_needed, needed)
    place = expect(place, end, COMMA)
    decimals = item.quantity_decimals if target else ANY
    quantity, printed, _, place = quoted(place, end, decimals)
    item.quantity_printed = max(item.quantity_printed, printed)
    orders = 0
    if shape == TIMED:
        place = timed(listing, place, end)
    elif shape == COUNTED:
        place = expect(place, end, COMMA)
        _, _, _, place = quoted(place, end, ANY)
        place = expect(place, end, COMMA)
        orders, _, _, place = quoted(place, end, 0)
    place = expect(place, end, CLOSE)
    if place > 0 and target:
        if price < 1:
            return BAD_PRICE
        event = at(target, EVENT)
        event.order, event.price, event.quantity, event.side = orders, price, quantity, side
    return place


@kernel
def timed(listing, place, end):
    """The time of a level, and perhaps the mark of one that is shown again."""
    item = at(listing, LISTING)
    place = expect(place, end, COMMA)
    time_ns, _, _, place = quoted(place, end, NS_DECIMALS)
    item.time_ns = max(item.time_ns, time_ns)
    if peek(place, end) == COMMA:
        place = expect(place, end, COMMA)
        place = expect(place, end, QUOTE)
        place = exactly(place, end, REPUBLISHED)
        place = exactly(place, end, QUOTE)
    return place


@kernel
def side_word(place, end):
    """ "buy" or "sell": the place behind it, and the side."""
    place = expect(place, end, QUOTE)
    if place > 0 and place < end and load_u8(place) == SELL_LETTERS[0]:
        for letter in SELL_LETTERS:
            place = exactly(place, end, letter)
        return exactly(place, end, QUOTE), ASK
    for letter in BUY_LETTERS:
        place = exactly(place, end, letter)
    return exactly(place, end, QUOTE), BID


@kernel
def quoted(place, end, decimals):
    """A decimal number in quotes; as `decimal`."""
    value, printed, needed, place = decimal(expect(place, end, QUOTE), end, decimals)
    return value, printed, needed, exactly(place, end, QUOTE)


@kernel
def decimal(place, end, decimals):
    """A number in units of 10 ** -decimals: value, decimals printed, decimals needed, next place.

    The place is negative where it is refused. ANY decimals: the value says nothing.
    """
    begun, value = place, 0
    while 0 < place < end and ZERO <= load_u8(place) <= NINE:
        if value > ENOUGH and decimals != ANY:
            return 0, 0, 0, TOO_LARGE
        value = value * 10 + load_u8(place) - ZERO if decimals != ANY else 0
        place += 1
    if place < 0:
        return 0, 0, 0, place
    if place == begun or (load_u8(begun) == ZERO and place > begun + 1):
        return 0, 0, 0, MALFORMED
    if place >= end or load_u8(place) != DOT:
        value, place = scaled(value, decimals, place)
        return value, 0, 0, place
    return fraction(place + 1, end, value, decimals)


@kernel
def fraction(place, end, value, decimals):
    """What stands behind the point of a number; as `decimal`."""
    printed = needed = 0
    while place < end and ZERO <= load_u8(place) <= NINE:
        digit = load_u8(place) - ZERO
        printed += 1
        if digit > 0:
            needed = printed
        if decimals != ANY and printed <= decimals:
            if value > ENOUGH:
                return 0, 0, 0, TOO_LARGE
            value = value * 10 + digit
        place += 1
    if printed == 0:
        return 0, 0, 0, MALFORMED
    if decimals != ANY and needed > decimals:
        return 0, 0, 0, TOO_FINE
    value, place = scaled(value, decimals - printed, place)
    return value, printed, needed, place


@kernel
def scaled(value, decimals, place):
    """The value with so many zeros more, and the place; negative where it gets too large."""
    for _ in range(min(decimals, DECIMALS_MAX)):
        if value > ENOUGH:
            return 0, TOO_LARGE
        value *= 10
    return value, place


@kernel
def blanks(place, end):
    """The place behind any blanks."""
    while place < end and is_blank(load_u8(place)):
        place += 1
    return place


@kernel
def is_blank(byte):
    """Whether a byte is white space in JSON."""
    return byte in (BLANK, LINE_FEED, RETURN, TAB)


@kernel
def peek(place, end):
    """The next byte that is not blank; MALFORMED where there is none."""
    if place < 0:
        return MALFORMED
    place = blanks(place, end)
    return load_u8(place) if place < end else MALFORMED


@kernel
def expect(place, end, byte):
    """The place behind blanks and a byte; negative where it is another one, or was before."""
    if place < 0:
        return place
    return exactly(blanks(place, end), end, byte)


@kernel
def exactly(place, end, byte):
    """The place behind a byte; negative where it is another one, or was before."""
    if place < 0:
        return place
    return place + 1 if place < end and load_u8(place) == byte else MALFORMED


@kernel
def single(
    listing, kind, price, price_size, lots, lots_size, target, tags, time_ns, order, other, side
):
    """Write one event with a price and a quantity, texts with or without quotes; 1, or why refused.

    target 0: only look; `price_printed` and `price_needed` grow to what the price has.
    """
    item = at(listing, LISTING)
    decimals = item.price_decimals if target else ANY
    units, printed, needed, place = lone(price, price + price_size, decimals)
    if place < 0:
        return place
    item.price_printed = max(item.price_printed, printed)
    item.price_needed = max(item.price_needed, needed)
    decimals = item.quantity_decimals if target else ANY
    quantity, _, _, place = lone(lots, lots + lots_size, decimals)
    if place < 0 or not target:
        return min(place, 1)
    if units < 1 or quantity < 1:
        return BAD_PRICE
    event = at(target, EVENT)
    event.time_ns, event.arrived_ns, event.order, event.other = time_ns, 0, order, other
    event.price, event.quantity, event.instrument = units, quantity, item.code
    event.kind, event.side, event.source, event.sequence = kind, side, 0, 0
    event["flags"] = tags
    return 1


@kernel
def lone(place, end, decimals):
    """A text that is one number, with or without quotes; as `decimal`."""
    if place < end and load_u8(place) == QUOTE:
        value, printed, needed, place = quoted(place, end, decimals)
    else:
        value, printed, needed, place = decimal(place, end, decimals)
    return value, printed, needed, place if place == end or place < 0 else MALFORMED
