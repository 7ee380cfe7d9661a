"""What value at risk and shortfall would be with more of an instrument, before it is bought.

    address -> | distribution (scenarios.py): the draft | OUTCOME x portfolios
               | i8 x kept: scenarios that are picked | i8 x kept: their profits |

Nothing of the positions is changed: a portfolio's profits, moved by what the new exposure adds, are
written to a draft, and measured there as `positions.hold` and a mark would have them measured, to
the last bit. As there, it goes up the tree: a portfolio above counts the same exposure more, so
it is the same move over profits of its own. A scenario costs a multiplication and an addition; the
tail is the tracked one where it can be shown to be complete, else it is gathered anew.

The draft is memory of the caller's, laid out once (`create`) and used again and again; whoever
asks from two threads needs two.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers.kernels import scenarios
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
    EXPOSURE_UNIT,
    RANK,
    RETURNS,
    VECTOR,
    nearest,
    rank_of,
    vector_of,
    whole_lines,
)
from workers.kernels.valuing import has_room, is_priced, value_of

UNHELD = -1  # nobody holds the instrument: its returns are not known here
UNMARKED = -2  # it, or its currency, has no mark yet: nobody knows what it is worth
BEYOND = -3  # `hold` would refuse it, or the mark: a bound of positions.py
QUANTITY_LIMIT = 1 << 60
RANKED_MOST = 256  # of a tail: up to here counting is quicker than sorting
SURELY_MORE = float(1 << 61)  # than PRODUCT_LIMIT, whatever the rounding; and still an int64

OUTCOME = record(
    [
        ("portfolio", "i8"),
        ("value_at_risk", "i8"),  # money units, a loss is positive, like the next
        ("shortfall", "i8"),
        ("worst", "i8"),  # the scenario of the lowest profit
        ("var_more", "i8"),  # than now: what the order adds; below 0: it takes away
        ("shortfall_more", "i8"),
    ]
)
OUTCOME_SIZE = OUTCOME.itemsize


def bytes_needed(state: int) -> int:
    """The size of the memory to work in, whole cache lines; state: the positions' address."""
    header = at(state, STATE)
    picked = 2 * 8 * (scenarios.needed(int(header.scenarios)) + scenarios.RESERVE + 1)
    return picked_at(state) + whole_lines(picked)


def create(address: int, state: int) -> None:
    """Lay out memory to work in, for the portfolios and scenarios of these positions."""
    scenarios.create(address, int(at(state, STATE).scenarios))
    draft = at(address, DISTRIBUTION)
    draft.full = draft.needed  # it is measured once: it needs none in reserve
    draft.spare = picked_at(state)


def picked_at(state: int) -> int:
    """Bytes before what is picked."""
    header = at(state, STATE)
    return int(header.distribution_size) + whole_lines(OUTCOME_SIZE * int(header.portfolios))


@kernel
def outcome_of(state, address, number):
    """Address of an OUTCOME."""
    return address + int(at(state, STATE).distribution_size) + number * OUTCOME_SIZE


@kernel
def what_if(state, portfolio, instrument, quantity, address):
    """Foresee a portfolio that holds `quantity` lots more, and those above it.

    How many OUTCOMEs there are then, the portfolio's own first, or UNHELD, UNMARKED or BEYOND.
    address: of memory that `create` laid out. quantity: below 0 to sell. What the lots cost plays
    no part.
    """
    row = row_of(state, instrument)
    if row < 0:
        return UNHELD
    if not is_priced(state, row):
        return UNMARKED
    if not fits(state, row, portfolio, quantity):
        return BEYOND
    exposure, is_within = exposure_of(state, row, portfolio, quantity)
    if not is_within:
        return BEYOND
    position = at(position_of(state, row, portfolio), POSITION)
    more = exposure - position.exposure
    gross = (abs(exposure) - abs(position.exposure)) * at(held_of(state, row), HELD).weight
    if not has_room(state, portfolio, gross):
        return BEYOND
    return foresee_all(state, row, portfolio, more, address)


@kernel
def fits(state, row, portfolio, quantity):
    """Whether the mark is not above the highest one of a position so large: see `highest_mark`."""
    held = at(held_of(state, row), HELD)
    if not -QUANTITY_LIMIT <= quantity <= QUANTITY_LIMIT:
        return False
    lots = abs(at(position_of(state, row, portfolio), POSITION).quantity + quantity)
    value = product(product(lots, held.mark), held.multiplier)
    return value <= held.reach


@kernel
def product(one, other):
    """The product of two numbers from 0 on, exact up to PRODUCT_LIMIT, else only more than that."""
    if float(one) * float(other) >= SURELY_MORE:
        return PRODUCT_LIMIT + 1
    return int(one) * int(other)


@kernel
def exposure_of(state, row, portfolio, quantity):
    """What a position of so many lots more is exposed to at the mark that stands, in cents, and
    whether that is within the bounds.
    """
    lots = at(position_of(state, row, portfolio), POSITION).quantity + quantity
    value, is_within = value_of(state, row, lots)
    return nearest(value, EXPOSURE_UNIT), is_within


@kernel
def foresee_all(state, row, portfolio, more, address):
    """Write the OUTCOME of a portfolio and of all above it; return how many there are."""
    each, count = int(portfolio), 0
    while each >= 0:
        now = at(distribution_of(state, each), DISTRIBUTION)
        foresee(distribution_of(state, each), returns_of(state, row), more, address)
        then = at(address, DISTRIBUTION)
        outcome = at(outcome_of(state, address, count), OUTCOME)
        outcome.portfolio, outcome.worst = each, then.worst
        outcome.value_at_risk, outcome.shortfall = then.value_at_risk, then.shortfall
        outcome.var_more = then.value_at_risk - now.value_at_risk
        outcome.shortfall_more = then.shortfall - now.shortfall
        each, count = int(at(portfolio_of(state, each), PORTFOLIO).parent), count + 1
    return count


@kernel
def foresee(distribution, returns, delta, draft):
    """Have the draft measure what a distribution would after a move by delta x return."""
    header = at(distribution, DISTRIBUTION)
    below = moved(distribution, returns, delta, header.threshold, draft)
    if below < header.needed or take_tail(distribution, draft, header.threshold) != below:
        gather_anew(draft)
    else:
        scenarios.sort(draft + scenarios.RANKS, header.tracked, 1)
    scenarios.measure(draft)


@kernel
def moved(distribution, returns, delta, threshold, draft):
    """Write every profit plus delta x return to the draft; how many are below the threshold."""
    profit = at(vector_of(distribution), VECTOR).profit
    target = at(vector_of(draft), VECTOR).profit
    change = at(returns, RETURNS).change
    below = 0
    for scenario in range(at(distribution, DISTRIBUTION).scenarios):
        then = profit[scenario] + delta * int(change[scenario])
        target[scenario] = then
        below += then < threshold
    return below


@kernel
def take_tail(distribution, draft, threshold):
    """Have the draft track the same scenarios; how many of them are below the threshold there."""
    tracked = at(distribution, DISTRIBUTION).tracked
    target = at(vector_of(draft), VECTOR).profit
    at(draft, DISTRIBUTION).tracked = tracked
    below = 0
    for index in range(tracked):
        scenario = at(rank_of(distribution, index), RANK).scenario
        rank = at(rank_of(draft, index), RANK)
        rank.scenario, rank.profit = scenario, target[scenario]
        below += rank.profit < threshold
    return below


@kernel
def gather_anew(draft):
    """Gather the draft's tail from its whole vector, in order: what `scenarios.rebuild` does.

    A short tail is picked and ranked without a branch that depends on a profit. Which scenarios
    are in it nobody can predict, and the processor pays for each wrong guess.
    """
    bound = scenarios.split(draft)
    header = at(draft, DISTRIBUTION)
    picked = draft + int(header.spare)
    count = pick(draft, bound, picked)
    if header.needed <= count <= RANKED_MOST:
        header.tracked = count
        rank_picked(draft, picked, count)
        return
    scenarios.gather(draft, bound)
    for gap in scenarios.GAPS:
        scenarios.sort(draft + scenarios.RANKS, header.tracked, gap)


@kernel
def pick(draft, bound, picked):
    """Note the scenarios whose profit is below the bound, lowest number first; how many."""
    profit = at(vector_of(draft), VECTOR).profit
    chosen = at(picked, VECTOR).profit
    count = 0
    for scenario in range(at(draft, DISTRIBUTION).scenarios):
        chosen[count] = scenario
        count += profit[scenario] < bound
    return count


@kernel
def rank_picked(draft, picked, count):
    """Put the picked scenarios into the tail, each where as many others are worse."""
    header = at(draft, DISTRIBUTION)
    profit = at(vector_of(draft), VECTOR).profit
    chosen = at(picked, VECTOR).profit
    found = at(picked + 8 * (int(header.kept) + 1), VECTOR).profit
    for index in range(count):
        found[index] = profit[chosen[index]]
    for index in range(count):
        mine, worse = found[index], 0
        for other in range(count):
            worse += found[other] < mine or (found[other] == mine and other < index)
        rank = at(rank_of(draft, worse), RANK)
        rank.profit, rank.scenario = mine, chosen[index]
