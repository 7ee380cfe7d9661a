"""The order in hand meets those at rest: price first, then time; trades are at the resting price.

One call is one unit of work. At each price all that is shown trades first, in the order of its
coming, where an iceberg's next part comes last; then, when nothing is shown there any more, pegged
orders whose limit allows that price, in the order of theirs. Who meets an order of the same account
does as its own Stp says. What cannot trade rests, waits or goes (`settle`).
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import levels as ladder
from workers.kernels.ending import part
from workers.kernels.engine import (
    BPS,
    ENGINE,
    PEGGED,
    PIECE,
    PRICE_MAX,
    QUEUES,
    RULE,
    TICKET,
    rule_at,
    shadow,
    ticket_at,
)
from workers.kernels.exposure import filled, opened
from workers.kernels.phases import MEET, MEET_PEGS
from workers.kernels.resting import LEVEL, ORDER, SIDE, levels_of, order_at, shrink
from workers.kernels.telling import (
    hush,
    note,
    report,
    report_execution,
    report_hand,
    report_status,
    report_trade,
)
from workers.kernels.tickets import (
    cancel,
    dismiss,
    leave_date,
    left_of,
    lift,
    reduce,
    rest,
    show_next,
)
from workers.orders import STP_BITS, TIF_MASK, Liquidity, OrderFlag, Stp, Tif, Why
from workers.records import Book, Side, State

BID = int(Side.BID)
CANCELED, FILL, REPLACED = int(Book.CANCELED), int(Book.FILL), int(Book.REPLACED)
MAKER, TAKER = int(Liquidity.MAKER), int(Liquidity.TAKER)
IOC, FOK, MARKET = int(Tif.IOC), int(Tif.FOK), int(OrderFlag.MARKET)
NEWEST, OLDEST, BOTH = int(Stp.NEWEST), int(Stp.OLDEST), int(Stp.BOTH)
PAUSED = int(State.PAUSED)
WHY_IOC, WHY_FOK, WHY_MARKET = int(Why.IOC), int(Why.FOK), int(Why.MARKET)
WHY_STP, WHY_BAND, WHY_FULL = int(Why.STP), int(Why.BAND), int(Why.FULL)
WHY_REFRESHED = int(Why.REFRESHED)


@kernel
def set_bound(engine):
    """Work out the worst price that the order in hand may trade at: its limit, or the band."""
    header = at(engine, ENGINE)
    terms = at(rule_at(engine, header.rule), RULE)
    header.bound, header.banded = header.price, 0
    if header.bits & MARKET and header.side == BID:
        header.bound = PRICE_MAX
    if terms.band_bps > 0 and header.anchor > 0:
        anchor = int(header.anchor)
        if header.side == BID:
            edge = anchor * (BPS + int(terms.band_bps)) // BPS
            header.banded = header.bound > edge
        else:
            edge = -(-anchor * (BPS - int(terms.band_bps)) // BPS)
            header.banded = header.bound < edge
        if header.banded:
            header.bound = edge


@kernel
def within(side, bound, price):
    """Whether an order of a side may trade at a price."""
    if side == BID:
        return price <= bound
    return price >= bound


@kernel
def facing(engine, books):
    """The number of the best level on the other side of the order in hand, 0: it is empty."""
    header = at(engine, ENGINE)
    owner = 2 * int(header.instrument) + 1 - int(header.side)
    return int(at(ladder.side_at(levels_of(books), owner), SIDE).best)


@kernel
def reaches(engine, books):
    """Whether anybody rests on the other side where the order in hand may trade."""
    header = at(engine, ENGINE)
    best = facing(engine, books)
    price = at(ladder.level_at(levels_of(books), best), LEVEL).price
    return best != 0 and within(header.side, header.bound, price)


@kernel
def meet(engine, books):
    """Let the order in hand meet who is first on the other side, or settle what is left."""
    header = at(engine, ENGINE)
    best = facing(engine, books)
    level = at(ladder.level_at(levels_of(books), best), LEVEL)
    price = int(level.price)
    if best == 0 or not within(header.side, header.bound, price):
        settle(engine, books)
        return
    encounter(engine, books, int(level.head), price)
    if header.left == 0:
        part(engine)
    elif level.owner < 0 and at(rule_at(engine, header.rule), RULE).pegs > 0:
        header.phase, header.walk_price = MEET_PEGS, price
        header.walk_number = first_peg(engine, books)


@kernel
def meet_pegs(engine, books):
    """Let the order in hand meet the next pegged order that may trade at the price in hand."""
    header = at(engine, ENGINE)
    for _ in range(PIECE):
        number = int(header.walk_number)
        if number == 0:
            header.phase = MEET
            return
        header.walk_number = at(order_at(books, number), ORDER).next
        if may_trade(engine, number, header.walk_price):
            encounter(engine, books, number, int(header.walk_price))
            if header.left == 0:
                part(engine)
            return


@kernel
def first_peg(engine, books):
    """The number of the first pegged order on the other side of the one in hand, 0: none."""
    header = at(engine, ENGINE)
    owner = 2 * shadow(engine, header.rule, QUEUES) + 1 - int(header.side)
    number = ladder.find(levels_of(books), owner, PEGGED)
    if number == 0:
        return 0
    return int(at(ladder.level_at(levels_of(books), number), LEVEL).head)


@kernel
def may_trade(engine, number, price):
    """Whether a pegged order's limit allows a price."""
    ticket = at(ticket_at(engine, number), TICKET)
    return ticket.price == 0 or within(ticket.side, ticket.price, price)


@kernel
def is_own(engine, number):
    """Whether the order in hand must not trade with an order at rest."""
    header = at(engine, ENGINE)
    if header.bits >> STP_BITS == 0:
        return False
    return at(ticket_at(engine, number), TICKET).account == header.account


@kernel
def encounter(engine, books, number, price):
    """The order in hand and one at rest trade, or do what is to be done where they must not."""
    if is_own(engine, number):
        prevent(engine, books, number)
    else:
        trade(engine, books, number, price)


@kernel
def trade(engine, books, number, price):
    """The order in hand and one at rest trade as much as they can."""
    header = at(engine, ENGINE)
    resting, ticket = at(order_at(books, number), ORDER), at(ticket_at(engine, number), TICKET)
    shown, hidden, side = int(resting.quantity), int(ticket.hidden), int(ticket.side)
    quantity, order, rule = min(int(header.left), shown), int(resting.order), int(header.rule)
    header.left -= quantity
    tell_trade(engine, number, order, side, price, quantity, shown + hidden - quantity)
    filled(engine, rule, int(ticket.account), side, quantity, int(ticket.worth), price)
    filled(engine, rule, int(header.account), 1 - side, quantity, int(header.worth), price)
    at(rule_at(engine, rule), RULE).last = price
    header.stirred = 1
    if quantity == shown and hidden == 0:
        if ticket.dated:
            leave_date(engine, books, order)
        lift(engine, books, number)
    else:
        if quantity < shown:
            shrink(books, number, quantity)
        else:
            show_next(engine, books, number)
            left, instrument = hidden, int(header.instrument)
            report(engine, REPLACED, instrument, side, order, price, 0, left, WHY_REFRESHED)
        if ticket.peg:
            hush(books)
        else:
            note(engine, books, header.instrument)
    if header.left == 0 and header.dated:
        dismiss(engine, books)


@kernel
def tell_trade(engine, number, order, side, price, quantity, left):
    """Tell a trade, what it was to the resting order, and to the one in hand."""
    header = at(engine, ENGINE)
    instrument = int(header.instrument)
    report_trade(engine, side, price, quantity, order)
    report(engine, FILL, instrument, side, order, price, quantity, left, MAKER)
    taker, left = int(header.order), int(header.left)
    report(engine, FILL, instrument, 1 - side, taker, price, quantity, left, TAKER)
    other, mine = int(at(ticket_at(engine, number), TICKET).account), int(header.account)
    report_execution(engine, other, instrument, side, order, price, quantity, MAKER)
    report_execution(engine, mine, instrument, 1 - side, taker, price, quantity, TAKER)


@kernel
def prevent(engine, books, number):
    """The order in hand would meet one of the same account: do as it says."""
    header = at(engine, ENGINE)
    mode = header.bits >> STP_BITS
    if mode in (OLDEST, BOTH):
        cancel(engine, books, number, WHY_STP)
    if mode in (NEWEST, BOTH):
        cancel_hand(engine, books, WHY_STP)
    elif mode != OLDEST:
        decrement(engine, books, number)


@kernel
def decrement(engine, books, number):
    """The order in hand and one at rest both lose the smaller quantity, without a trade."""
    header = at(engine, ENGINE)
    ticket = at(ticket_at(engine, number), TICKET)
    left = left_of(engine, books, number)
    lost = min(left, int(header.left))
    if lost == left:
        cancel(engine, books, number, WHY_STP)
    else:
        order, side = int(at(order_at(books, number), ORDER).order), int(ticket.side)
        price, instrument = int(ticket.price), int(header.instrument)
        report(engine, REPLACED, instrument, side, order, price, lost, left - lost, WHY_STP)
        opened(engine, header.rule, int(ticket.account), side, -lost, int(ticket.worth))
        reduce(engine, books, number, lost)
    if lost == header.left:
        cancel_hand(engine, books, WHY_STP)
    else:
        header.left -= lost
        opened(engine, header.rule, int(header.account), header.side, -lost, int(header.worth))
        report_hand(engine, REPLACED, lost, header.left, WHY_STP)


@kernel
def cancel_hand(engine, books, why):
    """What is left of the order in hand goes, and its owner is told."""
    header = at(engine, ENGINE)
    report_hand(engine, CANCELED, header.left, 0, why)
    dismiss(engine, books)
    part(engine)


@kernel
def settle(engine, books):
    """The order in hand has met all that it may: the rest of it rests, waits or goes."""
    header = at(engine, ENGINE)
    tif = header.bits & TIF_MASK
    if is_held_back(engine, books):
        terms = at(rule_at(engine, header.rule), RULE)
        if terms.band_pauses:
            terms.state = PAUSED
            report_status(engine, header.instrument, PAUSED)
        if terms.band_pauses and tif != IOC and tif != FOK:
            come_to_rest(engine, books)
        else:
            cancel_hand(engine, books, WHY_BAND)
    elif tif == IOC:
        cancel_hand(engine, books, WHY_IOC)
    elif tif == FOK:
        cancel_hand(engine, books, WHY_FOK)
    elif header.bits & MARKET:
        cancel_hand(engine, books, WHY_MARKET)
    else:
        come_to_rest(engine, books)


@kernel
def is_held_back(engine, books):
    """Whether only the band keeps the order in hand from trading."""
    header = at(engine, ENGINE)
    best = facing(engine, books)
    if not header.banded or best == 0:
        return False
    price = at(ladder.level_at(levels_of(books), best), LEVEL).price
    return header.bits & MARKET != 0 or within(header.side, header.price, price)


@kernel
def come_to_rest(engine, books):
    """Let the order in hand rest where it belongs; it goes where there is no room."""
    if not rest(engine, books):
        cancel_hand(engine, books, WHY_FULL)
    part(engine)
