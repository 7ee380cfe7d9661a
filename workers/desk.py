"""What the risk stage keeps beside its positions, and how it tells of them."""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import LINE, record
from ringbuf.ring import claim, publish
from workers import portfolio_board, position_board
from workers.hop import HOP
from workers.kernels import option_positions, positions, risk_limits, waiting
from workers.kernels.option_values import DELTA, GAMMA, RHO, THETA, VEGA
from workers.kernels.position_block import MEASURES
from workers.records import GREEKS, LIMIT, RISK, TOP, Kept, Mark
from workers.risk_counters import COUNTERS, count_values, restand

CONVENTION, LIMIT_KIND, GREEKS_KIND = int(Kept.RISK), int(Kept.LIMIT), int(Kept.GREEKS)
DOUBTFUL = int(Mark.STALE | Mark.CROSSED | Mark.BARRED)  # a mark is not taken from such a book
# What is known of an instrument. Of those that an account of ours trades TRADED is held since then
# only, and NO_SCENARIOS cannot be held. QUOTED: nobody holds it, but its mark is a currency's rate.
# TOLD: nobody has a book of it, it stands for another of its symbol.
UNSEEN, HELD_HERE, NOT_HELD, NO_SCENARIOS, TRADED, QUOTED, TOLD = range(7)

DESK = record(
    [
        ("timing", HOP),
        ("positions", "i8"),
        ("board", "i8"),
        ("counters", "i8"),
        ("portfolios", "i8"),
        ("instruments", "i8"),
        ("absent", "i8"),  # address: positions of each portfolio whose instrument was not met yet
        ("shown", "i8"),  # address: the table of position_board.py
        ("most", "i8"),  # records that one mark can give
        ("target", "i8"),
        ("asks", "i8"),  # an instrument that Python must look up; -1: none
        ("waits", "i8"),  # address: marks that wait
        ("interval_ns", "i8"),  # until an interval of so much event time is over; 0: none waits
        ("interval", "i8"),  # the open one
        ("accounts", "i8"),  # address: the portfolio of each account
        ("accounts_count", "i8"),
        ("ledgers", "i8"),  # address
        ("ledger_size", "i8"),  # bytes of one
        ("asks_for", "i8"),  # the portfolio that is to hold `asks`, -1: it was met first
        ("amount", "i8"),  # of the execution in hand, money units
        ("lines", "i8"),  # 1: what HOLDING records tell is taken
        ("asks_at", "i8"),  # address of the HOLDING record that Python must look at, 0: none
        ("ready", "i8"),  # sequence of the one that it has looked at
        ("own", "i8"),  # what that cost, money units of its currency
        ("is_told", "i8"),  # 0: it is beyond every bound
        ("astray", "i8"),  # 1 + the instrument of the newest execution that is in no position
    ]
)
KNOWN_AT = -(-DESK.itemsize // LINE) * LINE
KNOWN = record([("what", "i1")])
ABSENT = record([("count", "i8")])
ABSENT_SIZE = ABSENT.itemsize


@kernel
def take_waiting(state):
    """Take the marks that wait; whether there are any."""
    desk = at(state, DESK)
    tally = at(desk.counters, COUNTERS)
    taken = waiting.take(desk.waits, desk.positions)
    tally.marks += taken
    tally.waiting -= taken
    count_values(desk.counters, desk.positions)
    return taken > 0


@kernel
def end(state):
    """The book ring has ended: have the board show the marks that still wait.

    No record tells of them. Where a pipeline was stopped is not in its log: one that goes on must
    give what one that was never stopped gives.
    """
    desk = at(state, DESK)
    if not take_waiting(state):
        return
    for portfolio in range(desk.portfolios):
        newest = waiting.newest(desk.waits, desk.positions, portfolio)
        if newest:
            absent = at(desk.absent + portfolio * ABSENT_SIZE, ABSENT).count
            for measure in range(MEASURES):
                restand(desk.positions, desk.counters, portfolio, measure, absent)
            portfolio_board.show(desk.board, desk.positions, at(newest, TOP), portfolio, absent)
            position_board.note(desk.shown, portfolio, at(newest, TOP))
    position_board.show_all(desk.shown)
    waiting.clear(desk.waits, desk.positions)


@kernel
def report(state, writer, top):
    """Publish every portfolio that the marks concern, by number; return how many."""
    desk = at(state, DESK)
    index = 0
    for portfolio in range(desk.portfolios):
        instrument = concerning(state, portfolio, top)
        if instrument >= 0:
            index = tell(state, writer, top, instrument, portfolio, index)
            absent = at(desk.absent + portfolio * ABSENT_SIZE, ABSENT).count
            index = judge(state, writer, top, instrument, portfolio, absent, index)
            portfolio_board.show(desk.board, desk.positions, top, portfolio, absent)
            position_board.note(desk.shown, portfolio, top)
    at(desk.counters, COUNTERS).published += index
    return index


@kernel
def concerning(state, portfolio, top):
    """The instrument whose mark concerns a portfolio, of several the newest; -1: none does."""
    desk = at(state, DESK)
    if desk.interval_ns > 0:
        newest = waiting.newest(desk.waits, desk.positions, portfolio)
        return int(at(newest, TOP).instrument) if newest else -1
    if positions.is_concerned(desk.positions, portfolio, top.instrument):
        return int(top.instrument)
    return -1


@kernel
def tell(state, writer, top, instrument, portfolio, index):
    """Publish a portfolio's figures, and its Greeks where it holds options; the next index."""
    desk = at(state, DESK)
    record_ = at(claim(writer, desk.target), RISK)
    record_.cause, record_.time_ns = top.sequence, top.time_ns
    record_.instrument, record_.portfolio = instrument, portfolio
    record_.index, record_.kind = index, CONVENTION
    record_.value = positions.value(desk.positions, portfolio)
    record_.pnl = positions.pnl(desk.positions, portfolio)
    record_.var_99 = positions.var_99(desk.positions, portfolio)
    record_.es_975 = positions.es_975(desk.positions, portfolio)
    publish(writer, desk.target, desk.timing.born, desk.timing.now)
    desk.target += 1
    if option_positions.count_of(desk.positions, portfolio) == 0:
        return index + 1
    return tell_greeks(state, writer, top, instrument, portfolio, index + 1)


@kernel
def tell_greeks(state, writer, top, instrument, portfolio, index):
    """Publish a portfolio's Greeks; return the next index."""
    desk = at(state, DESK)
    book, record_ = desk.positions, at(claim(writer, desk.target), GREEKS)
    record_.cause, record_.time_ns = top.sequence, top.time_ns
    record_.instrument, record_.portfolio = instrument, portfolio
    record_.index, record_.kind = index, GREEKS_KIND
    record_.delta = option_positions.greek_of(book, portfolio, DELTA)
    record_.gamma = option_positions.greek_of(book, portfolio, GAMMA)
    record_.vega = option_positions.greek_of(book, portfolio, VEGA)
    record_.theta = float(option_positions.greek_of(book, portfolio, THETA))
    record_.rho = float(option_positions.greek_of(book, portfolio, RHO))
    publish(writer, desk.target, desk.timing.born, desk.timing.now)
    desk.target += 1
    return index + 1


@kernel
def judge(state, writer, top, instrument, portfolio, absent, index):
    """Hold a portfolio against its limits, publish what changed; return the next index."""
    desk = at(state, DESK)
    for measure in range(MEASURES):
        before = risk_limits.standing_of(desk.positions, portfolio, measure)
        if restand(desk.positions, desk.counters, portfolio, measure, absent):
            after = risk_limits.standing_of(desk.positions, portfolio, measure)
            record_ = at(claim(writer, desk.target), LIMIT)
            record_.cause, record_.time_ns = top.sequence, top.time_ns
            record_.instrument, record_.portfolio = instrument, portfolio
            record_.index, record_.kind, record_.spare = index, LIMIT_KIND, 0
            record_.measure, record_.before, record_.after = measure, before, after
            record_.measured = risk_limits.measured(desk.positions, portfolio, measure)
            record_.limit = risk_limits.limit_of(desk.positions, portfolio, measure)
            record_.doubtful = risk_limits.doubtful(desk.positions, portfolio, absent)
            publish(writer, desk.target, desk.timing.born, desk.timing.now)
            desk.target += 1
            index += 1
    return index
