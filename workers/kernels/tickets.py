"""Orders of clients as they come to rest, change and leave: books, tickets and accounts together.

The order in hand lies in the ENGINE header. At rest its record is in the books' pool, on a level
of its instrument or of one of the sides behind (engine.py), and its ticket has the same number.
What is left of it is the record's quantity and what the ticket hides.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import levels as ladder
from workers.kernels import orders as pool
from workers.kernels.engine import (
    ENGINE,
    EXPIRY,
    PEGGED,
    QUEUES,
    RESERVE,
    RULE,
    STOPS,
    TICKET,
    WAITING,
    reserve_at,
    rule_at,
    shadow,
    ticket_at,
)
from workers.kernels.exposure import opened
from workers.kernels.resting import (
    LEVEL,
    ORDER,
    ORDERS_AT,
    Outcome,
    enter,
    join,
    level_of,
    levels_of,
    note_level,
    order_at,
    shrink,
    slot_of,
    unlink,
    withdraw,
)
from workers.kernels.telling import hush, note, report
from workers.orders import OrderFlag
from workers.records import Book, Side

BID, ASK = int(Side.BID), int(Side.ASK)
CANCELED = int(Book.CANCELED)
APPLIED = int(Outcome.APPLIED)
MARKET = int(OrderFlag.MARKET)


@kernel
def find(engine, books, instrument, order):
    """The number of an order at rest, 0 where there is none; its place in the index is noted."""
    return find_tagged(engine, books, instrument, order, pool.tag_of(instrument, order))


@kernel
def find_asked(engine, books):
    """The same of the order that the event names."""
    header = at(engine, ENGINE)
    instrument, order = int(header.asked_instrument), int(header.asked_order)
    return find_tagged(engine, books, instrument, order, int(header.asked_tag))


@kernel
def find_tagged(engine, books, instrument, order, tag):
    """The same where the tag is known."""
    header = at(engine, ENGINE)
    slot = pool.seek(books + ORDERS_AT, tag, int(instrument), int(order))
    header.slot, header.tag = slot - books, tag
    return pool.occupant(slot)


@kernel
def slot_known(engine, books, number):
    """The slot of an order at rest: the one that was noted, or it has to be sought."""
    slot = books + int(at(engine, ENGINE).slot)
    if slot > books and pool.occupant(slot) == number:
        return slot
    resting = at(order_at(books, number), ORDER)
    return slot_of(books, resting.instrument, resting.order)


@kernel
def left_of(engine, books, number):
    """What is left of an order at rest, what it hides included."""
    shown = int(at(order_at(books, number), ORDER).quantity)
    return shown + int(at(ticket_at(engine, number), TICKET).hidden)


@kernel
def owner_of(books, number):
    """The side where an order rests: 2 * instrument + side."""
    return int(at(level_of(books, number), LEVEL).owner)


@kernel
def is_shown(engine, books, number):
    """Whether an order rests in a book, not behind it."""
    return owner_of(books, number) >> 1 < at(engine, ENGINE).instruments


@kernel
def berth(engine):
    """Where the order in hand is to rest when it rests: owner and price."""
    header = at(engine, ENGINE)
    side, rule = int(header.side), int(header.rule)
    if header.stop > 0:
        return 2 * shadow(engine, rule, STOPS) + 1 - side, int(header.stop)
    if header.peg:
        return 2 * shadow(engine, rule, QUEUES) + side, PEGGED
    if header.bits & MARKET:
        return 2 * shadow(engine, rule, QUEUES) + side, WAITING
    return 2 * int(header.instrument) + side, int(header.price)


@kernel
def rest(engine, books):
    """Let what is left of the order in hand rest; False where there is no room for it."""
    header = at(engine, ENGINE)
    owner, price = berth(engine)
    if header.expiry > 0 and not header.dated and not enter_date(engine, books):
        return False
    level = ladder.find_or_open(levels_of(books), owner, price)
    if level == 0:
        return False
    shown, hidden = int(header.left), 0
    plain = owner >> 1 == header.instrument
    if plain and 0 < header.display < shown:
        shown = int(header.display)
        hidden = int(header.left) - shown
        at(reserve_at(engine, level), RESERVE).value += hidden
    orders, instrument, order = books + ORDERS_AT, int(header.instrument), int(header.order)
    tag, slot = int(header.tag), books + int(header.slot)
    if header.slot == 0:
        tag = pool.tag_of(instrument, order)
        slot = pool.seek(orders, tag, instrument, order)
    number = pool.claim(orders, slot, tag, instrument, order, shown)
    write_ticket(engine, number, hidden)
    join(books, level, number)
    if plain:
        note(engine, books, instrument)
    else:
        at(rule_at(engine, header.rule), RULE).pegs += header.peg
        hush(books)
    return True


@kernel
def write_ticket(engine, number, hidden):
    """Make out the ticket of the order in hand."""
    header = at(engine, ENGINE)
    ticket = at(ticket_at(engine, number), TICKET)
    ticket.price, ticket.hidden, ticket.display = header.price, hidden, header.display
    ticket.expiry, ticket.stop, ticket.worth = header.expiry, header.stop, header.worth
    ticket.account, ticket.bits, ticket.side = header.account, header.bits, header.side
    ticket.peg, ticket.dated = header.peg, header.dated


@kernel
def pick_up(engine, books, number):
    """Take an order at rest into the hand: it is on no level any more, its date stays."""
    header = at(engine, ENGINE)
    ticket = at(ticket_at(engine, number), TICKET)
    header.order, header.left = (
        int(at(order_at(books, number), ORDER).order),
        left_of(engine, books, number),
    )
    header.price, header.display, header.expiry = ticket.price, ticket.display, ticket.expiry
    header.stop, header.worth, header.account = ticket.stop, ticket.worth, ticket.account
    header.bits, header.side, header.peg = ticket.bits, ticket.side, ticket.peg
    header.dated = ticket.dated
    lift(engine, books, number)


@kernel
def lift(engine, books, number):
    """Take an order off its level and out of the pool; its date and its account's sums stay."""
    header = at(engine, ENGINE)
    ticket = at(ticket_at(engine, number), TICKET)
    resting = at(order_at(books, number), ORDER)
    shown = is_shown(engine, books, number)
    if ticket.hidden > 0:
        at(reserve_at(engine, resting.level), RESERVE).value -= ticket.hidden
        ticket.hidden = 0
    withdraw(books, slot_known(engine, books, number))
    header.slot = 0
    if shown:
        note(engine, books, header.instrument)
    else:
        if ticket.peg:
            at(rule_at(engine, header.rule), RULE).pegs -= 1
        hush(books)


@kernel
def remove(engine, books, number):
    """An order at rest is gone: what is left of it was not traded, or nothing is left."""
    ticket = at(ticket_at(engine, number), TICKET)
    rule, left = at(engine, ENGINE).rule, left_of(engine, books, number)
    opened(engine, rule, int(ticket.account), int(ticket.side), -left, int(ticket.worth))
    order, dated = int(at(order_at(books, number), ORDER).order), ticket.dated
    lift(engine, books, number)
    if dated:
        leave_date(engine, books, order)


@kernel
def cancel(engine, books, number, why):
    """Take an order at rest away, and tell."""
    ticket = at(ticket_at(engine, number), TICKET)
    resting = at(order_at(books, number), ORDER)
    instrument, order = int(resting.instrument), int(resting.order)
    side, price, left = int(ticket.side), int(ticket.price), left_of(engine, books, number)
    report(engine, CANCELED, instrument, side, order, price, left, 0, why)
    remove(engine, books, number)


@kernel
def reduce(engine, books, number, quantity):
    """An order at rest loses quantity, but not all, where it stands: first of what it hides."""
    ticket = at(ticket_at(engine, number), TICKET)
    hidden = min(int(ticket.hidden), quantity)
    if hidden > 0:
        ticket.hidden -= hidden
        level = at(order_at(books, number), ORDER).level
        at(reserve_at(engine, level), RESERVE).value -= hidden
    if quantity > hidden:
        shrink(books, number, quantity - hidden)
    if is_shown(engine, books, number):
        note(engine, books, at(order_at(books, number), ORDER).instrument)
    else:
        hush(books)


@kernel
def show_next(engine, books, number):
    """All that an order showed is traded: its next part goes to the tail of its level."""
    ticket = at(ticket_at(engine, number), TICKET)
    resting = at(order_at(books, number), ORDER)
    level_number = int(resting.level)
    level = at(ladder.level_at(levels_of(books), level_number), LEVEL)
    part = min(int(ticket.hidden), int(ticket.display))
    ticket.hidden -= part
    at(reserve_at(engine, level_number), RESERVE).value -= part
    level.quantity += part - resting.quantity
    resting.quantity = part
    if level.tail != number:
        unlink(books, level_number, number)
        resting.previous, resting.next = level.tail, 0
        at(order_at(books, level.tail), ORDER).next = number
        level.tail = number
    note_level(books, level_number)


@kernel
def enter_date(engine, books):
    """Put the order in hand into EXPIRY; False where there is no room."""
    header = at(engine, ENGINE)
    owner = 2 * shadow(engine, header.rule, EXPIRY) + ASK
    outcome = enter(books, owner, int(header.order), int(header.expiry), 1)
    hush(books)
    if outcome != APPLIED:
        return False
    header.slot, header.dated = 0, 1
    at(rule_at(engine, header.rule), RULE).dated += 1
    return True


@kernel
def leave_date(engine, books, order):
    """Take an order out of EXPIRY."""
    rule = at(engine, ENGINE).rule
    withdraw(books, slot_of(books, shadow(engine, rule, EXPIRY), order))
    hush(books)
    at(engine, ENGINE).slot = 0
    at(rule_at(engine, rule), RULE).dated -= 1


@kernel
def dismiss(engine, books):
    """The order in hand is gone, or traded in full."""
    header = at(engine, ENGINE)
    rule, account, side = int(header.rule), int(header.account), int(header.side)
    if header.left > 0:
        opened(engine, rule, account, side, -int(header.left), int(header.worth))
    if header.dated:
        leave_date(engine, books, int(header.order))
        header.dated = 0
    header.left = 0
