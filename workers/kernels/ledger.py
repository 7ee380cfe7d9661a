"""What a position has cost and what it has brought: executions in, realised profits out.

    address -> | LEDGER | LOT x lots |    lots: a circle, `first` is the oldest

Everything is an integer. A fill is a signed quantity (bought above 0, sold below) and its amount,
what was paid for it (below 0: received), in money units, rounded once when it comes. Then

    the same way as the position, or from nothing:  cost += amount
    the other way:                                  cost -= what of it is closed
                                                    realised += -amount - that
    through zero:  the amount is split by quantity: one part closes all, the rest opens anew

so that realised less cost is always exactly less all that was paid, and realised + (value less
cost) = cash + value, whatever is rounded. What is closed of a cost is its share by quantity,
rounded to the nearest with halves to even:

    average   (no lots)  of the cost of the whole position
    FIFO      of the cost of its oldest lots, one after the other; only the last is shared

A position has room for so many lots. When they are all in use, a fill joins the newest lot
instead of being one, and is counted (`merged`). The oldest stay as they are: they are what is
closed next, so it shows as late as can be, and never where the position is closed before. The sum
of all that is realised by then is exact in any case.

Sources: IAS 2 (IFRS), paragraphs 25 and 27, for both cost formulas.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE, record
from workers.kernels.scenarios import rounded, whole_lines

QUANTITY_LIMIT = 1 << 60
MONEY_LIMIT = 1 << 61  # for cost, realised and the next amount together
LOTS_MAX = 1 << 16
EXACT = float(1 << 62)  # products up to here fit

LEDGER = record(
    [
        ("quantity", "i8"),  # below 0: short
        ("cost", "i8"),  # money units, paid for what is held; below 0: received
        ("realised", "i8"),  # money units
        ("fills", "i8"),
        ("merged", "i8"),  # that joined the newest lot
        ("room", "i8"),  # lots; 0: average cost
        ("first", "i8"),  # place of the oldest lot
        ("lots", "i8"),  # in use
    ]
)
LOT = record([("quantity", "i8"), ("cost", "i8")])
LOT_SIZE = LOT.itemsize
LOTS_AT = LEDGER.itemsize
assert LOTS_AT == LINE


def bytes_needed(room: int) -> int:
    """The size of a ledger with room for so many lots, in whole cache lines."""
    assert 0 <= room <= LOTS_MAX, room
    return LOTS_AT + whole_lines(room * LOT_SIZE)


def create(address: int, room: int, quantity: int = 0, cost: int = 0) -> None:
    """Begin a ledger in zeroed memory, with what is held already as one lot; room 0: average."""
    book = at(address, LEDGER)
    book.room, book.first, book.lots = room, 0, 0
    book.quantity, book.cost, book.realised = quantity, cost, 0
    book.fills = book.merged = 0
    if room and quantity:
        append(address, quantity, cost)


@kernel
def restate(address, cost):
    """What was held from the start cost so much, as is known by now; before any fill."""
    book = at(address, LEDGER)
    assert book.fills == 0
    book.cost = cost
    if book.lots > 0:
        at(lot_at(address, 0), LOT).cost = cost


@kernel
def reset(address, quantity, cost):
    """So much is held, whatever was known before, and cost so much; what is realised stays."""
    book = at(address, LEDGER)
    book.quantity, book.cost = quantity, cost
    book.first = book.lots = book.fills = 0
    if book.room > 0 and quantity != 0:
        append(address, quantity, cost)


@kernel
def bears(address, quantity, amount):
    """Whether a fill can be taken without any sum leaving its bounds."""
    book = at(address, LEDGER)
    if abs(quantity) > QUANTITY_LIMIT or abs(book.quantity + quantity) > QUANTITY_LIMIT:
        return False
    if abs(amount) > MONEY_LIMIT:
        return False
    return abs(book.realised) + abs(book.cost) <= MONEY_LIMIT - abs(amount)


@kernel
def fill(address, quantity, amount):
    """Take a fill that `bears` allows; quantity: not 0, amount: what was paid, money units."""
    book = at(address, LEDGER)
    book.fills += 1
    held = int(book.quantity)
    if (held >= 0) == (quantity > 0) or held == 0:
        enter(address, quantity, amount)
    elif abs(quantity) <= abs(held):
        leave(address, quantity, amount)
    else:
        closing = share(amount, abs(held), abs(quantity))
        leave(address, -held, closing)
        enter(address, quantity + held, amount - closing)


@kernel
def enter(address, quantity, amount):
    """The position grows."""
    book = at(address, LEDGER)
    book.quantity += quantity
    book.cost += amount
    if book.room > 0:
        append(address, quantity, amount)


@kernel
def leave(address, quantity, amount):
    """The position shrinks, to 0 at most."""
    book = at(address, LEDGER)
    if book.room > 0:
        closed = consume(address, abs(quantity))
    else:
        closed = share(book.cost, abs(quantity), abs(book.quantity))
    book.quantity += quantity
    book.cost -= closed
    book.realised += -amount - closed


@kernel
def lot_at(address, place):
    """The address of a lot by its age, the oldest is 0."""
    book = at(address, LEDGER)
    return address + LOTS_AT + (int(book.first) + place) % int(book.room) * LOT_SIZE


@kernel
def append(address, quantity, cost):
    """A new lot; where there is no room for it, it joins the newest."""
    book = at(address, LEDGER)
    if book.lots == book.room:
        newest = at(lot_at(address, int(book.lots) - 1), LOT)
        newest.quantity += quantity
        newest.cost += cost
        book.merged += 1
        return
    lot = at(lot_at(address, int(book.lots)), LOT)
    lot.quantity, lot.cost = quantity, cost
    book.lots += 1


@kernel
def consume(address, quantity):
    """Take so much, above 0, from the oldest lots; what it had cost."""
    book = at(address, LEDGER)
    left, closed = quantity, 0
    while left > 0 and book.lots > 0:
        lot = at(lot_at(address, 0), LOT)
        held = abs(int(lot.quantity))
        if held > left:
            cost = share(lot.cost, left, held)
            lot.quantity -= left if lot.quantity > 0 else -left
            lot.cost -= cost
            return closed + cost
        closed += int(lot.cost)
        left -= held
        book.first = (book.first + 1) % book.room
        book.lots -= 1
    return closed


@kernel
def share(amount, part, whole):
    """amount x part / whole, to the nearest with halves to even; 0 <= part <= whole, whole > 0.

    Exact though the product may not fit a word: it is built up bit by bit then.
    """
    size = abs(int(amount))
    times = size // whole
    rest = size - times * whole
    if float(rest) * float(part) < EXACT:
        quotient = rest * part // whole
        remainder = rest * part - quotient * whole
    else:
        quotient, remainder = 0, 0
        for bit in range(61, -1, -1):
            quotient, remainder = 2 * quotient, 2 * remainder
            if (part >> bit) & 1:
                remainder += rest
            if remainder >= whole:  # twice: it is below 3 x whole
                quotient, remainder = quotient + 1, remainder - whole
            if remainder >= whole:
                quotient, remainder = quotient + 1, remainder - whole
    found = rounded(times * part + quotient, remainder, whole)
    return found if amount >= 0 else -found


@kernel
def cost_of(address):
    """What was paid for what is held, money units."""
    return at(address, LEDGER).cost
