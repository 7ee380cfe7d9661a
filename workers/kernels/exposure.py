"""What accounts have at stake: open orders and positions, kept with every change of an order.

A position is worth its quantity at the price of its own last trade, an open order its quantity at
the price that it was taken at: nothing has to be revalued when others trade.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels.engine import ACCOUNT, ENGINE, STANDING, account_at, standing_at
from workers.records import Side

BID = int(Side.BID)


@kernel
def worth_of(price, quantity, most):
    """Price x quantity, or `most` where that is more."""
    price, quantity = abs(int(price)), abs(int(quantity))
    if float(price) * float(quantity) >= float(most):
        return int(most)
    return price * quantity


@kernel
def opened(engine, rule, account, side, quantity, worth):
    """So much more of an account's orders is open; below 0: less."""
    if at(engine, ENGINE).accounts == 0:
        return
    at(standing_at(engine, account, rule), STANDING).open[side] += quantity
    at(account_at(engine, account), ACCOUNT).open += quantity * worth


@kernel
def filled(engine, rule, account, side, quantity, worth, price):
    """An open order of an account traded."""
    header = at(engine, ENGINE)
    if header.accounts == 0:
        return
    opened(engine, rule, account, side, -quantity, worth)
    standing = at(standing_at(engine, account, rule), STANDING)
    if side == BID:
        standing.position += quantity
    else:
        standing.position -= quantity
    held = worth_of(price, standing.position, header.value_max)
    at(account_at(engine, account), ACCOUNT).held += held - standing.held
    standing.held = held
