"""The risk stage: marks in; market value, P&L, VaR and ES of every portfolio out, on each mark."""

import numpy as np

from ringbuf.atomics import at
from ringbuf.board import begin, finish
from ringbuf.jit import kernel
from ringbuf.panel import Equation
from ringbuf.record import LINE, record, slot_record
from ringbuf.ring import awaited, claim, next_free, next_unread, publish, room, slot
from workers import position_board
from workers.hop import HOP, is_time_to_let_go, let_go, new_hop, pick_up, wait_for
from workers.instruments import Names
from workers.kernels import position_block, positions, risk_limits
from workers.kernels.position_block import HELD, MEASURES, STATE, ancestors, row_of
from workers.position_board import PositionBoard
from workers.records import LIMIT, MONEY_SCALE, RISK, TOP, Kept, Mark, Standing, lined
from workers.records import Book as Kind
from workers.risk_options import RiskOptions, answers_most, counts_below, load_scenarios, parents_of
from workers.stage import TURN_RECORDS, Links, Stage

CONVENTION, LIMIT_KIND = int(Kept.RISK), int(Kept.LIMIT)
DOUBTFUL = int(Mark.STALE | Mark.CROSSED | Mark.BARRED)  # a mark is not taken from such a book
UNSEEN, HELD_HERE, NOT_HELD = 0, 1, 2  # what is known of an instrument

COUNTERS = record(
    [
        ("received", "i8"),
        ("marks", "i8"),  # changed the value of a portfolio
        ("unchanged", "i8"),  # top records that left the mid where it was
        ("not_held", "i8"),
        ("untrusted", "i8"),  # tops of a book that is stale, crossed or halted by a rule
        ("one_sided", "i8"),  # no bid or no ask: the mark before stays
        ("refused", "i8"),  # a price beyond every bound
        ("passed_by", "i8"),  # records of other kinds: levels, trades, statuses
        ("published", "i8"),
        ("warnings", "i8"),  # times that a portfolio went beyond the warn share of a limit
        ("breaches", "i8"),  # and beyond the limit
        ("live_unknown", "i8"),  # limits, by how they are stood to now
        ("live_ok", "i8"),
        ("live_warned", "i8"),
        ("live_breached", "i8"),
        ("saturated", "i8"),  # positions that kept their value because a bound was reached
        ("full", "i8"),
    ]
)
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
        ("shown", "i8"),  # address: the table of position_board.py
        ("most", "i8"),  # records that one mark can give
        ("target", "i8"),
        ("asks", "i8"),  # an instrument that Python must look up; -1: none
    ]
)
ROW_SIZE = PORTFOLIO_ROW.itemsize
KNOWN_AT = -(-DESK.itemsize // LINE) * LINE
KNOWN = record([("what", "i1")])
ABSENT = record([("count", "i8")])
ABSENT_SIZE = ABSENT.itemsize


class Risk(Stage):
    """Marks positions to the mid of every top that moves and keeps the tails of their P&L."""

    READS = ("book",)
    WRITES = ("risk",)
    LOOKS_AT = ("instruments",)
    KEEPS = ("portfolios", "positions")
    HISTOGRAMS = ("hop", "age")

    @staticmethod
    def counters_of(parts: int = 0) -> dict[str, np.dtype]:
        return {"risk": COUNTERS}

    @staticmethod
    def equations_of(parts: int = 0) -> list[Equation]:
        return [
            (
                ("risk.received",),
                (
                    "risk.marks",
                    "risk.unchanged",
                    "risk.not_held",
                    "risk.one_sided",
                    "risk.refused",
                    "risk.untrusted",
                    "risk.passed_by",
                ),
            ),
        ]

    def __init__(self, options: RiskOptions, instruments: int, links: Links) -> None:
        self.options, self.links, self.instruments = options, links, instruments

    def open(self) -> None:
        """Load the scenarios and lay out empty portfolios; positions join as they are announced."""
        self.returns = load_scenarios(self.options)
        count = max((len(row) for row in self.returns.values()), default=0)
        limits = position_block.Limits(
            instruments=self.instruments,
            portfolios=max(len(self.options.portfolios), 1),
            held=max(len(self.returns), 1),
            scenarios=max(count, 1),
        )
        self.book = lined(position_block.bytes_needed(limits))
        self.desk = lined(KNOWN_AT + -(-self.instruments // 8) * 8)
        below, self.parents = counts_below(self.options), parents_of(self.options)
        self.absent = np.array([*below, 0], np.int64)
        position_block.create(self.book.ctypes.data, limits, self.parents)
        self.shown = PositionBoard(self.options, limits.held)
        self.bind(self.links)
        for number in range(len(self.options.portfolios)):
            self._begin(number, below[number], count)
        self.shown.show(self.links.boards["positions"])
        limited = answers_most(self.options) - len(self.options.portfolios)
        self.links.panel.counters["risk"]["live_unknown"] = limited
        # Compiled before it is needed, like what `_look_up` calls.
        turn(self.desk_at, self.reader, self.writer, 0, 0)
        self._rehearse(limits._replace(instruments=1, portfolios=1, held=1))

    def _begin(self, number: int, unvalued: int, count: int) -> None:
        """Set a portfolio's limits, and show it without any figures."""
        portfolio, row = self.options.portfolios[number], np.zeros(1, PORTFOLIO_ROW)
        row["name"], row["scenarios"] = portfolio.name.encode(), count
        row["convention"], row["unvalued"] = CONVENTION, unvalued
        row["parent"] = self.parents[number]
        for measure, most in portfolio.limits.amounts().items():
            amount = round(most * MONEY_SCALE)
            warn_at = round(amount * portfolio.limits.warn)
            row["limit"][0, measure] = amount
            risk_limits.limit(self.book.ctypes.data, number, measure, amount, warn_at)
        self.links.boards["portfolios"].put(number, row)

    def bind(self, links: Links) -> None:
        """Mark with the records of these rings; the positions stay what they are."""
        super().bind(links)
        self.reader, self.writer = links.readers["book"].view, links.writers["risk"].view
        self.names = Names(links.boards["instruments"])
        self.desk_at = self.desk.ctypes.data
        desk = at(self.desk_at, DESK)
        desk.positions, desk.board = self.book.ctypes.data, links.boards["portfolios"].address
        desk.counters = links.panel.counter_addresses["risk"]
        desk.portfolios, desk.instruments = len(self.options.portfolios), self.instruments
        desk.absent, desk.most = self.absent.ctypes.data, answers_most(self.options)
        new_hop(self.desk_at, links.panel)
        desk.shown = self.shown.address
        self.shown.bind(links.boards["positions"].address, desk.positions)
        known = self.desk[KNOWN_AT:]
        self.met = {self.names.symbol(int(each)) for each in np.flatnonzero(known)}
        for instrument in np.flatnonzero(known == HELD_HERE):
            self._seat(int(instrument))

    def _seat(self, instrument: int) -> None:
        """Give an instrument that is held its rows of the board."""
        row = row_of(self.book.ctypes.data, instrument)
        self.shown.seat(self.names.symbol(instrument), int(row))

    def state(self) -> dict[str, np.ndarray]:
        """The positions, and which instruments were met."""
        return {
            "positions": self.book,
            "desk": self.desk,
            "absent": self.absent.view(np.uint8),
            "shown": self.shown.table,
        }

    def _rehearse(self, limits: position_block.Limits) -> None:
        """Hold, mark and hold again, in memory of its own."""
        aside = lined(position_block.bytes_needed(limits))
        address = aside.ctypes.data
        position_block.create(address, limits)
        for returns in (*self.returns.values(),)[:1] * 2:
            positions.hold(address, 0, 0, 1, 0, 1, returns)
            positions.mark(address, 0, 1, 1)
        _rehearse()

    def turn(self, patience: int) -> int:
        """Take what has arrived; ends when the book ring has ended."""
        work = 0
        while True:
            asks, taken = turn(
                self.desk_at, self.reader, self.writer, TURN_RECORDS - work, patience
            )
            work += taken
            if asks < 0:
                break
            self._look_up(int(asks))
        if work == 0:
            self.finished = self.links.readers["book"].ended
        return work

    def _look_up(self, instrument: int) -> None:
        """Learn the name of an instrument met for the first time; take up positions in it."""
        symbol, scale = self.names[instrument]
        known = at(self.desk_at + KNOWN_AT + instrument, KNOWN)
        known.what = NOT_HELD
        if symbol in self.met:  # from another source: the position is in the first alone
            return
        self.met.add(symbol)
        for number, portfolio in enumerate(self.options.portfolios):
            position = portfolio.positions.get(symbol)
            if position is not None:
                cost = round(position.quantity * position.price * MONEY_SCALE)
                positions.hold(
                    int(at(self.desk_at, DESK).positions),
                    number,
                    instrument,
                    position.quantity,
                    cost,
                    scale,
                    self.returns[symbol],
                )
                self.absent[[number, *ancestors(self.parents, number)]] -= 1
                known.what = HELD_HERE
        if known.what == HELD_HERE:
            self._seat(instrument)

    def close(self) -> None:
        """Say that no more risk records will come."""
        self.links.writers["risk"].close()
        self.links.readers["book"].close()


def _rehearse() -> None:
    """Have the kernels behind `hold` compiled, on a book of one position that is thrown away."""
    limits = position_block.Limits(instruments=1, portfolios=1, held=1, scenarios=1)
    memory = lined(position_block.bytes_needed(limits))
    address = memory.ctypes.data
    position_block.create(address, limits)
    for quantity in (1, 2):
        positions.hold(address, 0, 0, quantity, 0, 1, np.zeros(1, np.int32))


@kernel
def turn(state, reader, writer, limit, patience):
    """Take up to `limit` book records; (instrument to look up or -1, how many were taken)."""
    desk = at(state, DESK)
    first = sequence = next_unread(reader)
    desk.target = next_free(writer)
    desk.asks = -1
    free = 0
    while sequence - first < limit:
        if not awaited(reader, sequence):
            let_go(reader, sequence - 1, writer, desk.target - 1)
            patience = wait_for(reader, sequence, patience)
            if patience == 0:
                break
        if free < desk.most:
            free = room(writer, desk.target, max(limit, desk.most))
            if free < desk.most:
                at(desk.counters, COUNTERS).full += 1
                break
        if is_unseen(state, at(slot(reader, sequence), TOP)):
            break
        pick_up(state, reader, sequence)
        free -= take(state, writer, at(slot(reader, sequence), TOP))
        if is_time_to_let_go(sequence):
            let_go(reader, sequence, writer, desk.target - 1)
        sequence += 1
    let_go(reader, sequence - 1, writer, desk.target - 1)
    position_board.show_in_time(desk.shown, sequence - first, reader, sequence)
    return desk.asks, sequence - first


@kernel
def is_unseen(state, top):
    """True (and asked for) when a top record is of an instrument met for the first time."""
    desk = at(state, DESK)
    if top.kind != Kind.TOP or at(state + KNOWN_AT + int(top.instrument), KNOWN).what != UNSEEN:
        return False
    desk.asks = top.instrument
    return True


@kernel
def take(state, writer, top):
    """Mark the positions in a top's instrument; return how many records went out."""
    desk = at(state, DESK)
    tally = at(desk.counters, COUNTERS)
    tally.received += 1
    if top.kind != Kind.TOP:
        tally.passed_by += 1
    elif at(state + KNOWN_AT + int(top.instrument), KNOWN).what == NOT_HELD:
        tally.not_held += 1
    elif top.state & DOUBTFUL:
        tally.untrusted += 1
    elif top.bid <= 0 or top.ask <= 0:
        tally.one_sided += 1
    elif marked(desk.positions, top.instrument) == top.bid + top.ask:
        tally.unchanged += 1
    elif positions.mark(desk.positions, top.instrument, top.bid, top.ask):
        tally.marks += 1
        tally.saturated = at(desk.positions, STATE).saturated
        return report(state, writer, top)
    else:
        tally.refused += 1
    return 0


@kernel
def marked(book, instrument):
    """The mark that stands: bid plus ask, 0 before the first."""
    return at(position_block.held_of(book, position_block.row_of(book, instrument)), HELD).mark


@kernel
def report(state, writer, top):
    """Publish every portfolio that the mark concerns, by number; return how many."""
    desk = at(state, DESK)
    index = 0
    for portfolio in range(desk.portfolios):
        if positions.is_concerned(desk.positions, portfolio, top.instrument):
            index = tell(state, writer, top, portfolio, index)
            absent = at(desk.absent + portfolio * ABSENT_SIZE, ABSENT).count
            index = judge(state, writer, top, portfolio, absent, index)
            show(desk.board, desk.positions, top, portfolio, absent)
            position_board.note(desk.shown, portfolio, top)
    at(desk.counters, COUNTERS).published += index
    return index


@kernel
def tell(state, writer, top, portfolio, index):
    """Publish a portfolio's figures; return the next index."""
    desk = at(state, DESK)
    record_ = at(claim(writer, desk.target), RISK)
    record_.cause, record_.time_ns = top.sequence, top.time_ns
    record_.instrument, record_.portfolio = top.instrument, portfolio
    record_.index, record_.kind = index, CONVENTION
    record_.value = positions.value(desk.positions, portfolio)
    record_.pnl = positions.pnl(desk.positions, portfolio)
    record_.var_99 = positions.var_99(desk.positions, portfolio)
    record_.es_975 = positions.es_975(desk.positions, portfolio)
    publish(writer, desk.target, desk.timing.born, desk.timing.now)
    desk.target += 1
    return index + 1


@kernel
def judge(state, writer, top, portfolio, absent, index):
    """Hold a portfolio against its limits, publish what changed; return the next index."""
    desk = at(state, DESK)
    for measure in range(MEASURES):
        if risk_limits.limit_of(desk.positions, portfolio, measure) == 0:
            continue
        before = risk_limits.standing_of(desk.positions, portfolio, measure)
        if risk_limits.judge(desk.positions, portfolio, measure, absent):
            after = risk_limits.standing_of(desk.positions, portfolio, measure)
            recount(desk.counters, before, after)
            record_ = at(claim(writer, desk.target), LIMIT)
            record_.cause, record_.time_ns = top.sequence, top.time_ns
            record_.instrument, record_.portfolio = top.instrument, portfolio
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
def recount(counters, before, after):
    """Count that one more limit is stood to in another way."""
    tally = at(counters, COUNTERS)
    tally.warnings += after == Standing.WARN
    tally.breaches += after == Standing.BREACH
    tally.live_unknown += int(after == Standing.UNKNOWN) - int(before == Standing.UNKNOWN)
    tally.live_ok += int(after == Standing.OK) - int(before == Standing.OK)
    tally.live_warned += int(after == Standing.WARN) - int(before == Standing.WARN)
    tally.live_breached += int(after == Standing.BREACH) - int(before == Standing.BREACH)


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
    row.unvalued = positions.unvalued(book, portfolio) + absent
    row.worst_scenario = positions.worst_scenario(book, portfolio)
    for measure in range(MEASURES):
        row.standing[measure] = risk_limits.standing_of(book, portfolio, measure)
    finish(address, ROW_SIZE)
