"""How portfolios stand to their limits, in the block of positions (position_block.py).

A limit is for a portfolio with all that is below it. Standing is a function of the figures of the
moment alone, without hysteresis, so that it does not depend on when anybody looked:

    BREACH   measured > limit, even where the figures do not cover every position
    UNKNOWN  else, where a position has no mark yet, or is stuck at an old value: what is not
             measured whole is never OK
    WARN     else, where measured > warn share of the limit
    OK       else
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import option_positions, positions
from workers.kernels.option_values import Greek
from workers.kernels.position_block import PORTFOLIO, portfolio_of
from workers.records import Measure, Standing

FIRST_GREEK = int(Measure.DELTA)
UNKNOWN, OK, WARN, BREACH = map(int, Standing)  # plain numbers, as kernels return them


def limit(address: int, portfolio: int, measure: int, most: int, warn_at: int) -> None:
    """Limit a portfolio to `most` money units, above 0; from beyond `warn_at` on it is warned."""
    assert 0 <= warn_at <= most, (warn_at, most)
    assert most > 0
    book = at(portfolio_of(address, portfolio), PORTFOLIO)
    book.limit[measure], book.warn_at[measure] = most, warn_at


@kernel
def limit_of(state, portfolio, measure):
    """The limit, money units; 0: there is none."""
    return at(portfolio_of(state, portfolio), PORTFOLIO).limit[measure]


@kernel
def standing_of(state, portfolio, measure):
    """How the portfolio stood when it was judged last."""
    return at(portfolio_of(state, portfolio), PORTFOLIO).standing[measure]


@kernel
def measured(state, portfolio, measure):
    """What a limit is held against, money units."""
    if measure == Measure.VAR_99:
        return positions.var_99(state, portfolio)
    if measure == Measure.ES_975:
        return positions.es_975(state, portfolio)
    if measure == Measure.VALUE:
        return positions.notional(state, portfolio)
    if measure == Measure.LOSS:
        return -positions.pnl(state, portfolio)
    return abs(option_positions.greek_of(state, portfolio, measure - FIRST_GREEK))


@kernel
def judge(state, portfolio, measure, absent):
    """Judge a portfolio by a limit that it has; True where it stands to it otherwise than before.

    absent: positions of it that are not in the block yet.
    """
    book = at(portfolio_of(state, portfolio), PORTFOLIO)
    amount, most = measured(state, portfolio, measure), book.limit[measure]
    after = standing(amount, most, book.warn_at[measure], doubtful(state, portfolio, absent))
    before = book.standing[measure]
    book.standing[measure] = after
    return after != before


@kernel
def doubtful(state, portfolio, absent):
    """How many positions the figures do not cover, or cover with an old value."""
    book = at(portfolio_of(state, portfolio), PORTFOLIO)
    return book.unvalued + book.stuck + absent


@kernel
def standing(amount, most, warn_at, doubt):
    """The standing; see the head of this file."""
    if amount > most:
        return BREACH
    if doubt > 0:
        return UNKNOWN
    if amount > warn_at:
        return WARN
    return OK


assert [measure.name for measure in Measure][FIRST_GREEK:] == [greek.name for greek in Greek], (
    "limits of Greeks are in another order than the Greeks"
)
