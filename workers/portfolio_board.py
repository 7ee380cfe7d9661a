"""The board of portfolios: how each with all that is below it stands now."""

from ringbuf.atomics import at
from ringbuf.board import begin, finish
from ringbuf.jit import kernel
from ringbuf.record import slot_record
from workers.kernels import option_positions, positions, risk_limits
from workers.kernels.option_values import GREEKS
from workers.kernels.position_block import MEASURES
from workers.records import Measure

PORTFOLIO_ROW = slot_record(
    [
        ("name", "S32"),
        ("cause", "i8"),
        ("time_ns", "i8"),
        ("value", "i8"),  # money units, like the next three
        ("pnl", "i8"),
        ("var_99", "i8"),
        ("es_975", "i8"),
        ("unvalued", "i8"),  # positions that still wait for their first mark
        ("worst_scenario", "i8"),
        ("convention", "i8"),
        ("scenarios", "i8"),
        ("parent", "i8"),  # the row of the portfolio above it, -1: none
        ("notional", "i8"),  # money units
        ("realised", "i8"),  # by executions, money units
        ("stuck", "i8"),  # positions that keep an old value because a bound was reached
        ("options", "i8"),  # that it or one below it holds, expired ones too
        # By Greek, money units; only of those that hold options, or whose delta has a limit.
        ("greek", "i8", (GREEKS,)),
        ("limit", "i8", (MEASURES,)),  # by Measure, money units; 0: none
        ("standing", "i8", (MEASURES,)),
    ]
)
ROW_SIZE = PORTFOLIO_ROW.itemsize


@kernel
def show(board, book, top, portfolio, absent):
    """Write a portfolio's row; `absent` positions are in instruments that were not met yet."""
    address = board + int(portfolio) * ROW_SIZE
    begin(address, ROW_SIZE)
    row = at(address, PORTFOLIO_ROW)
    row.cause, row.time_ns = top.sequence, top.time_ns
    row.value, row.pnl = positions.value(book, portfolio), positions.pnl(book, portfolio)
    row.var_99, row.es_975 = positions.var_99(book, portfolio), positions.es_975(book, portfolio)
    row.notional, row.stuck = positions.notional(book, portfolio), positions.stuck(book, portfolio)
    row.realised = positions.realised(book, portfolio)
    row.unvalued = positions.unvalued(book, portfolio) + absent
    row.worst_scenario = positions.worst_scenario(book, portfolio)
    if row.options > 0 or row.limit[Measure.DELTA] > 0:  # a sum over all rows: not for nobody
        for greek in range(GREEKS):
            row.greek[greek] = option_positions.greek_of(book, portfolio, greek)
    for measure in range(MEASURES):
        row.standing[measure] = risk_limits.standing_of(book, portfolio, measure)
    finish(address, ROW_SIZE)
