"""What the risk stage keeps beside its positions, and how it tells of them."""

from ringbuf.atomics import at
from ringbuf.board import begin, finish
from ringbuf.jit import kernel
from ringbuf.record import LINE, record, slot_record
from ringbuf.ring import claim, publish
from workers.hop import HOP
from workers.kernels import positions, risk_limits, waiting
from workers.kernels.position_block import MEASURES, STATE
from workers.records import LIMIT, RISK, TOP, Kept, Mark
from workers.risk_counters import COUNTERS, restand

CONVENTION, LIMIT_KIND = int(Kept.RISK), int(Kept.LIMIT)
DOUBTFUL = int(Mark.STALE | Mark.CROSSED | Mark.BARRED)  # a mark is not taken from such a book
# What is known of an instrument; NO_SCENARIOS: an account of ours trades it all the same.
UNSEEN, HELD_HERE, NOT_HELD, NO_SCENARIOS = range(4)

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
        ("limit", "i8", (MEASURES,)),  # by Measure, money units; 0: none
        ("standing", "i8", (MEASURES,)),
    ]
)
DESK = record(
    [
        ("timing", HOP),
        ("positions", "i8"),
        ("board", "i8"),
        ("counters", "i8"),
        ("portfolios", "i8"),
        ("instruments", "i8"),
        ("absent", "i8"),  # address: positions of each portfolio whose instrument was not met yet
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
        ("astray", "i8"),  # 1 + the instrument of the newest execution that is in no position
    ]
)
ROW_SIZE = PORTFOLIO_ROW.itemsize
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
    tally.saturated = at(desk.positions, STATE).saturated
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
            show(desk.board, desk.positions, at(newest, TOP), portfolio, absent)
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
            show(desk.board, desk.positions, top, portfolio, absent)
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
    """Publish a portfolio's figures; return the next index."""
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
    for measure in range(MEASURES):
        row.standing[measure] = risk_limits.standing_of(book, portfolio, measure)
    finish(address, ROW_SIZE)
