"""The risk stage: marks in; market value, P&L, VaR and ES of every portfolio out, on each mark."""

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.panel import Equation
from ringbuf.record import LINE, record
from ringbuf.ring import awaited, claim, next_free, next_unread, publish, room, slot
from workers import portfolio_board, position_board
from workers.hop import HOP, is_time_to_let_go, let_go, new_hop, pick_up, wait_for
from workers.instruments import Names
from workers.kernels import position_block, positions, risk_limits, waiting
from workers.kernels.position_block import MEASURES, STATE, ancestors, row_of
from workers.portfolio_board import PORTFOLIO_ROW
from workers.position_board import PositionBoard
from workers.records import LIMIT, MONEY_SCALE, RISK, TOP, Kept, Mark, lined
from workers.records import Book as Kind
from workers.risk_counters import COUNTERS, FATES, count_kept, restand
from workers.risk_options import RiskOptions, answers_most, counts_below, load_scenarios, parents_of
from workers.risk_rehearsal import rehearse
from workers.risk_sampled import RiskSample
from workers.stage import TURN_RECORDS, Links, Stage

CONVENTION, LIMIT_KIND = int(Kept.RISK), int(Kept.LIMIT)
DOUBTFUL = int(Mark.STALE | Mark.CROSSED | Mark.BARRED)  # a mark is not taken from such a book
UNSEEN, HELD_HERE, NOT_HELD = 0, 1, 2  # what is known of an instrument

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
    ]
)
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
        return [(("risk.received",), [f"risk.{fate}" for fate in FATES])]

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
        self.waits_at = KNOWN_AT + -(-self.instruments // LINE) * LINE
        self.desk = lined(self.waits_at + waiting.bytes_needed(limits.held))
        at(self.desk.ctypes.data, DESK).interval = waiting.NEVER
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
        end(self.desk_at)
        rehearse(limits, [*self.returns.values()][:1])

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
        desk.waits = self.desk_at + self.waits_at
        desk.interval_ns = self.options.conflate_ms * 1_000_000
        new_hop(self.desk_at, links.panel)
        desk.shown = self.shown.address
        self.shown.bind(links.boards["positions"].address, desk.positions)
        known = self.desk[KNOWN_AT:][: self.instruments]
        self.met = {self.names.symbol(int(each)) for each in np.flatnonzero(known)}
        for instrument in np.flatnonzero(known == HELD_HERE):
            self._seat(int(instrument))
        names = [portfolio.name for portfolio in self.options.portfolios]
        check_s = self.options.check_s
        self.sample = RiskSample(check_s, desk.positions, names, links.panel) if check_s else None

    def _seat(self, instrument: int) -> None:
        """Give an instrument that is held its rows of the board."""
        row = row_of(self.book.ctypes.data, instrument)
        self.shown.seat(self.names.symbol(instrument), int(row))

    def state(self) -> dict[str, np.ndarray]:
        """The positions, which instruments were met, the marks that wait, and what is not shown."""
        return {
            "positions": self.book,
            "desk": self.desk,
            "absent": self.absent.view(np.uint8),
            "shown": self.shown.table,
        }

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
            if self.finished:
                end(self.desk_at)
        if self.sample:
            self.sample.look()
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
    given = turn_over(state, writer, top)
    if top.kind != Kind.TOP:
        tally.passed_by += 1
    elif at(state + KNOWN_AT + int(top.instrument), KNOWN).what == NOT_HELD:
        tally.not_held += 1
    elif top.state & DOUBTFUL:
        tally.untrusted += 1
    elif top.bid <= 0 or top.ask <= 0:
        tally.one_sided += 1
    elif desk.interval_ns > 0:
        count_kept(desk.counters, waiting.keep(desk.waits, desk.positions, top))
    elif positions.mark_of(desk.positions, top.instrument) == top.bid + top.ask:
        tally.unchanged += 1
    elif positions.mark(desk.positions, top.instrument, top.bid, top.ask):
        tally.marks += 1
        tally.saturated = at(desk.positions, STATE).saturated
        return report(state, writer, top)
    else:
        tally.refused += 1
    return given


@kernel
def turn_over(state, writer, top):
    """Take the marks that wait where a record lies in a later interval; how many records went out.

    Such a record only waits itself, so it gives no more than `most`.
    """
    desk = at(state, DESK)
    if desk.interval_ns == 0 or top.time_ns // desk.interval_ns <= desk.interval:
        return 0
    desk.interval = top.time_ns // desk.interval_ns
    given = report(state, writer, top) if take_waiting(state) else 0
    waiting.clear(desk.waits, desk.positions)
    return given


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
