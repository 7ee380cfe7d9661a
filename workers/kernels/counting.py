"""How much a FOK order could trade, piece by piece and in the order in which it would.

What is hidden counts, pegged orders too. Orders of the same account do not; where Stp would end
the order in hand, or take from it, at one of them, the count ends there.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import levels as ladder
from workers.kernels.crossing import first_peg, is_own, may_trade, within
from workers.kernels.engine import ENGINE, PIECE, RESERVE, TICKET, reserve_at, ticket_at
from workers.kernels.resting import LEVEL, ORDER, levels_of, order_at
from workers.orders import STP_BITS, Stp

NONE, OLDEST = int(Stp.NONE), int(Stp.OLDEST)
GOES_ON, ENOUGH, TOO_LITTLE = 0, 1, 2
AT_LEVEL, AT_ORDER, AT_PEG = 0, 1, 2  # what walk_owner says comes next


@kernel
def start_count(engine):
    """Begin at the best level."""
    header = at(engine, ENGINE)
    header.walk_owner, header.walk_depth, header.walk_number = AT_LEVEL, 0, 0
    header.walk_sum, header.walk_price, header.walk_price_before = 0, 0, 0


@kernel
def count_piece(engine, books):
    """Look at the next few levels or orders; return what is known then."""
    header = at(engine, ENGINE)
    verdict = GOES_ON
    for _ in range(PIECE):
        if header.walk_owner == AT_LEVEL:
            verdict = count_level(engine, books)
        elif header.walk_number == 0:
            verdict = next_stage(engine, books)
        elif header.walk_owner == AT_ORDER:
            verdict = count_order(engine, books)
        else:
            verdict = count_peg(engine, books)
        if verdict != GOES_ON:
            break
    return verdict


@kernel
def count_level(engine, books):
    """Count a level as a whole where nothing can be in the way, else turn to its orders."""
    header, levels = at(engine, ENGINE), levels_of(books)
    owner = 2 * int(header.instrument) + 1 - int(header.side)
    number = ladder.nth(levels, owner, int(header.walk_depth))
    level = at(ladder.level_at(levels, number), LEVEL)
    if number == 0 or not within(header.side, header.bound, level.price):
        return TOO_LITTLE
    header.walk_price, header.walk_number = level.price, 0
    header.walk_owner, header.walk_reserve = AT_ORDER, 0
    if header.bits >> STP_BITS == NONE:
        header.walk_sum += level.quantity + at(reserve_at(engine, number), RESERVE).value
    else:
        header.walk_number = level.head
    return GOES_ON


@kernel
def next_stage(engine, books):
    """All orders of a level, or all pegged ones at its price, are counted."""
    header = at(engine, ENGINE)
    if header.walk_owner == AT_ORDER:
        header.walk_sum += header.walk_reserve
        header.walk_owner, header.walk_number = AT_PEG, first_peg(engine, books)
    else:
        header.walk_owner, header.walk_price_before = AT_LEVEL, header.walk_price
        header.walk_depth += 1
    if header.walk_sum >= header.left:
        return ENOUGH
    return GOES_ON


@kernel
def count_order(engine, books):
    """Count an order that is shown; what it hides comes behind all others of its level."""
    header, number = at(engine, ENGINE), int(at(engine, ENGINE).walk_number)
    resting, ticket = at(order_at(books, number), ORDER), at(ticket_at(engine, number), TICKET)
    header.walk_number = resting.next
    if is_own(engine, number):
        return own_verdict(engine)
    header.walk_sum += resting.quantity
    header.walk_reserve += ticket.hidden
    return GOES_ON


@kernel
def count_peg(engine, books):
    """Count a pegged order at the first price that its limit allows."""
    header, number = at(engine, ENGINE), int(at(engine, ENGINE).walk_number)
    resting, before = at(order_at(books, number), ORDER), int(header.walk_price_before)
    header.walk_number = resting.next
    if not may_trade(engine, number, header.walk_price):
        return GOES_ON
    if before > 0 and may_trade(engine, number, before):
        return GOES_ON
    if is_own(engine, number):
        return own_verdict(engine)
    header.walk_sum += resting.quantity
    return GOES_ON


@kernel
def own_verdict(engine):
    """What an order of the same account means for the count."""
    header = at(engine, ENGINE)
    if header.bits >> STP_BITS == OLDEST:
        return GOES_ON
    if header.walk_sum >= header.left:
        return ENOUGH
    return TOO_LITTLE
