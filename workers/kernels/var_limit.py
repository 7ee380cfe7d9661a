"""Whether an order could take its account beyond the value at risk that it is held to.

The account's positions in all matched instruments are one portfolio (position_block.py), each
marked at its instrument's reference: the last trade, else what the venue told. No order at rest
moves that, so nobody changes what is measured without a trade. An order is looked at as its
position limit does: it and all open orders of its side in the instrument are filled.

Nothing is done when the account trades or a mark moves. What an account holds and the references
are kept by the engine anyway; before an order is judged, its account's portfolio catches up with
whatever has changed since the last one. So an account pays with its own orders and nobody else
does, a hundred fills in between are one move, and what is measured is a function of the log.

- It fails closed: an instrument without scenarios, row or mark, or a sum beyond a bound of
  positions.py, is unknown, and so is all of an account that holds one.
- What leaves the value at risk as it is, or lower, passes however high that is.
"""

from ringbuf.atomics import at
from ringbuf.jit import apart, kernel
from workers.kernels import positions, scenarios, valuing, var_block
from workers.kernels.engine import (
    ACCOUNT,
    ENGINE,
    STANDING,
    account_at,
    reference,
    standing_at,
)
from workers.kernels.position_block import (
    HELD,
    PORTFOLIO,
    POSITION,
    PRODUCT_LIMIT,
    STATE,
    distribution_of,
    held_of,
    portfolio_of,
    position_of,
    returns_of,
    row_of,
)
from workers.kernels.scenarios import (
    DISTRIBUTION,
    MONEY_BITS,
    MONEY_FACTOR,
    PROFIT_LIMIT,
    RETURNS,
    VECTOR,
    vector_of,
)
from workers.kernels.var_block import SEEN, seen_of
from workers.kernels.what_if import exposure_of, fits, product
from workers.orders import Reject
from workers.records import LOT_DECIMALS, Side

BID = int(Side.BID)
VAR, VAR_UNKNOWN = int(Reject.VAR), int(Reject.VAR_UNKNOWN)
LOSS_LIMIT = (PROFIT_LIMIT >> MONEY_BITS) * MONEY_FACTOR  # money units: no loss is larger
TEN = 10
NO_ROW = -1


@apart
def adopt(engine):
    """Give the instrument that the event in hand announces its scenarios, where it has any."""
    header = at(engine, ENGINE)
    block = engine + int(header.var_at)
    number = var_block.symbol_number(
        block, header.asked_order, header.asked_other, header.asked_price
    )
    positions_header = at(var_block.positions_of(block), STATE)
    if number < 0 or positions_header.rows == positions_header.held or header.asked_quantity <= 0:
        return
    divisor = product(2, int(header.asked_quantity))
    for _ in range(int(header.asked_bits) >> LOT_DECIMALS):
        divisor = product(divisor, TEN)
    if divisor <= PRODUCT_LIMIT:
        var_block.open_row(block, header.rules_used, number, divisor)


@apart
def judge_var(engine, left_before):
    """VAR or VAR_UNKNOWN where that speaks against the order in hand; before: as for `judge`."""
    header = at(engine, ENGINE)
    block, rule, account = engine + int(header.var_at), int(header.rule), int(header.account)
    state, mark = var_block.positions_of(block), 2 * reference(engine, rule)
    row = row_of(state, rule)
    if row < 0 or mark == 0 or not catch_up(engine, block, account):
        return VAR_UNKNOWN
    at(held_of(state, row), HELD).mark = mark
    more = int(at(standing_at(engine, account, rule), STANDING).open[header.side])
    more += int(header.left) - left_before
    if header.side != BID:
        more = -more
    limits = at(account_at(engine, account), ACCOUNT)
    return foresee(state, row, limits.portfolio, more, limits.var_max)


@kernel
def foresee(state, row, portfolio, more, var_max):
    """The same of a portfolio that is to hold so many lots more; its mark and all else is there.

    What what_if.py would measure is only held against a bound here: it is above where as many
    profits as the rank of value at risk lie beyond. They are counted, and nothing is written.
    """
    if not fits(state, row, portfolio, more):
        return VAR_UNKNOWN
    before = at(position_of(state, row, portfolio), POSITION).exposure
    exposure, is_within = exposure_of(state, row, portfolio, more)
    if not is_within:
        return VAR_UNKNOWN
    gross = (abs(exposure) - abs(before)) * at(held_of(state, row), HELD).weight
    if not valuing.has_room(state, portfolio, gross):
        return VAR_UNKNOWN
    distribution, returns = distribution_of(state, portfolio), returns_of(state, row)
    now = at(distribution, DISTRIBUTION)
    edge = profit_of(max(now.value_at_risk, var_max))
    if count_moved(distribution, returns, exposure - before, edge) >= now.var_rank:
        return VAR
    return 0


@kernel
def profit_of(loss):
    """The lowest profit that is a loss of no more than so much: the other way from `money`.

    loss: money units, 0 to LOSS_LIMIT; beyond it the answer is below all profits.
    """
    if loss > LOSS_LIMIT:
        return -PROFIT_LIMIT
    halves = 2 * int(loss) + 1  # -loss - 1/2 is where rounding takes the next loss
    whole = halves // MONEY_FACTOR
    rest = halves - whole * MONEY_FACTOR
    edge = -((whole << (MONEY_BITS - 1)) + ((rest << (MONEY_BITS - 1)) // MONEY_FACTOR))
    if rest == 0 and loss & 1:  # a half exactly, and it goes to the even one
        return edge + 1
    return edge


@kernel
def count_moved(distribution, returns, delta, edge):
    """How many profits, each moved by delta x return, are below an edge."""
    profit = at(vector_of(distribution), VECTOR).profit
    change = at(returns, RETURNS).change
    below = 0
    for scenario in range(at(distribution, DISTRIBUTION).scenarios):
        below += profit[scenario] + delta * int(change[scenario]) < edge
    return below


@kernel
def catch_up(engine, block, account):
    """Have an account's portfolio be what it holds now; False where that is not known.

    Where a bound has no room for one position yet, another one may shrink: so there are two rounds.
    """
    if take_changes(engine, block, account) == 0:
        return True
    return take_changes(engine, block, account) == 0


@kernel
def take_changes(engine, block, account):
    """Take the positions that changed, as far as they can be valued; how many cannot.

    The distribution is moved by one after the other, and measured once.
    """
    state = var_block.positions_of(block)
    portfolio = at(account_at(engine, account), ACCOUNT).portfolio
    left, late, late_move = 0, NO_ROW, 0
    for rule in range(1, at(engine, ENGINE).rules_used + 1):
        lots = int(at(standing_at(engine, account, rule), STANDING).position)
        seen = at(seen_of(block, portfolio, rule), SEEN)
        if lots == 0 and seen.quantity == 0:
            continue
        mark = 2 * reference(engine, rule)
        if lots == seen.quantity and mark == seen.mark:
            continue
        row = row_of(state, rule)
        if row < 0 or mark == 0 or not value(state, row, portfolio, lots, mark):
            left += 1
            continue
        seen.quantity, seen.mark = lots, mark
        book = at(portfolio_of(state, portfolio), PORTFOLIO)
        if book.pending != 0:
            if late >= 0:
                shift(state, late, portfolio, late_move)
            late, late_move = row, int(book.pending)
            book.pending = 0
    if late >= 0:
        scenarios.move(distribution_of(state, portfolio), returns_of(state, late), late_move)
    return left


@kernel
def value(state, row, portfolio, lots, mark):
    """Value a position anew, which the distribution is still to be moved by; False: a bound."""
    held = at(held_of(state, row), HELD)
    position = at(position_of(state, row, portfolio), POSITION)
    before = int(position.quantity)
    held.mark, position.quantity = mark, lots
    position.highest_mark = positions.highest_mark(lots, held.multiplier, held.reach)
    if valuing.revalue_here(state, row, portfolio):
        return True
    position.quantity = before
    return False


@kernel
def shift(state, row, portfolio, delta):
    """Move the profits of a portfolio, whose tail another move will measure."""
    distribution = distribution_of(state, portfolio)
    header = at(distribution, DISTRIBUTION)
    vector = vector_of(distribution)
    scenarios.shift(vector, returns_of(state, row), header.scenarios, delta, header.threshold)
