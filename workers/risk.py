"""The risk stage: marks in; market value, P&L, VaR and ES of every portfolio out, on each mark."""

import numpy as np

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.panel import Equation
from ringbuf.record import LINE
from ringbuf.ring import awaited, next_free, next_unread, room, slot
from workers import position_board
from workers.desk import (
    CONVENTION,
    DESK,
    DOUBTFUL,
    HELD_HERE,
    KNOWN,
    KNOWN_AT,
    NO_SCENARIOS,
    NOT_HELD,
    TRADED,
    UNSEEN,
    end,
    report,
    take_waiting,
)
from workers.executions import execute, ledger_of, wants
from workers.hop import is_time_to_let_go, let_go, new_hop, pick_up, wait_for
from workers.instruments import Names
from workers.kernels import (
    ledger,
    option_positions,
    position_block,
    positions,
    risk_limits,
    waiting,
)
from workers.kernels.position_block import STATE, ancestors
from workers.live_options import held_of, stuck_text
from workers.portfolio_board import PORTFOLIO_ROW
from workers.position_board import PositionBoard
from workers.records import EXECUTION, MONEY_SCALE, TOP, lined
from workers.records import Book as Kind
from workers.risk_counters import COUNTERS, FATES, count_kept, count_values
from workers.risk_options import (
    Portfolio,
    RiskOptions,
    counts_below,
    limits_of,
    load_scenarios,
    options_below,
    owners_of,
    parents_of,
    records_most,
)
from workers.risk_rehearsal import rehearse
from workers.risk_sampled import RiskSample
from workers.stage import TURN_RECORDS, Links, Stage


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
            held=max(self._rows(), 1),
            scenarios=max(count, 1),
            options=sum(len(portfolio.options) for portfolio in self.options.portfolios),
        )
        self.book = lined(position_block.bytes_needed(limits))
        self.waits_at = KNOWN_AT + -(-self.instruments // LINE) * LINE
        self.desk = lined(self.waits_at + waiting.bytes_needed(limits.held))
        at(self.desk.ctypes.data, DESK).interval = waiting.NEVER
        self.owners = np.array([*owners_of(self.options), -1], np.int64)
        rooms = [self._room(portfolio) for portfolio in self.options.portfolios]
        self.ledger_size = ledger.bytes_needed(max(rooms, default=0))
        places = limits.held * limits.portfolios if len(self.owners) > 1 else 0
        self.ledgers = lined(max(places, 1) * self.ledger_size)
        below, self.parents = counts_below(self.options), parents_of(self.options)
        self.absent = np.array([*below, 0], np.int64)
        position_block.create(self.book.ctypes.data, limits, self.parents)
        self.shown = PositionBoard(self.options, limits.held)
        self.bind(self.links)
        for number in range(len(self.options.portfolios)):
            self._begin(number, below[number], count)
        self.shown.show(self.links.boards["positions"])
        self.links.panel.counters["risk"]["live_unknown"] = limits_of(self.options)
        # Compiled before it is needed, like what `_look_up` calls.
        turn(self.desk_at, self.reader, self.writer, 0, 0)
        end(self.desk_at)
        rehearse(limits, [*self.returns.values()][:1])

    def _rows(self) -> int:
        """How many instruments may be held; accounts may trade a symbol in a second source, too."""
        count = len(self.returns)
        return min(2 * count, self.instruments) if owners_of(self.options) else count

    @staticmethod
    def _room(portfolio: Portfolio) -> int:
        """How many lots a ledger of a portfolio keeps apart."""
        return portfolio.lots if portfolio.accounts and portfolio.accounting == "fifo" else 0

    def _begin(self, number: int, unvalued: int, count: int) -> None:
        """Set a portfolio's limits, and show it without any figures."""
        portfolio, row = self.options.portfolios[number], np.zeros(1, PORTFOLIO_ROW)
        row["name"], row["scenarios"] = portfolio.name.encode(), count
        row["convention"], row["unvalued"] = CONVENTION, unvalued
        row["parent"], row["options"] = self.parents[number], options_below(self.options)[number]
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
        desk.absent, desk.most = self.absent.ctypes.data, records_most(self.options)
        desk.accounts, desk.accounts_count = self.owners.ctypes.data, len(self.owners) - 1
        desk.ledgers, desk.ledger_size = self.ledgers.ctypes.data, self.ledger_size
        desk.waits = self.desk_at + self.waits_at
        desk.interval_ns = self.options.conflate_ms * 1_000_000
        new_hop(self.desk_at, links.panel)
        desk.shown = self.shown.address
        self.shown.bind(links.boards["positions"].address, desk.positions)
        self.told = self.unpriced = 0  # of `astray`, of options
        known = self.desk[KNOWN_AT:][: self.instruments]
        self.met = {self.names.symbol(int(each)) for each in np.flatnonzero(known)}
        names = [portfolio.name for portfolio in self.options.portfolios]
        check_s = self.options.check_s
        self.sample = RiskSample(check_s, desk.positions, names, links.panel) if check_s else None

    def state(self) -> dict[str, np.ndarray]:
        """Positions and ledgers, what was met, marks that wait, and what is not shown yet."""
        parts = {
            "positions": self.book,
            "desk": self.desk,
            "absent": self.absent.view(np.uint8),
            "shown": self.shown.table,
        }
        return parts | ({"ledgers": self.ledgers} if len(self.owners) > 1 else {})

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
            self._answer(int(asks), int(at(self.desk_at, DESK).asks_for))
        self._warn()
        if work == 0:
            self.finished = self.links.readers["book"].ended
            if self.finished:
                end(self.desk_at)
        if self.sample:
            self.sample.look()
        return work

    def _answer(self, instrument: int, portfolio: int) -> None:
        """Do what the kernels cannot: learn an instrument, or have a portfolio hold it."""
        known = at(self.desk_at + KNOWN_AT + instrument, KNOWN)
        if known.what == UNSEEN:
            self._look_up(instrument)
        elif portfolio >= 0:
            symbol, scale = self.names[instrument]
            header = at(int(at(self.desk_at, DESK).positions), STATE)
            is_new = position_block.row_of(self.book.ctypes.data, instrument) < 0
            if symbol not in self.returns or (is_new and header.rows == header.held):
                known.what = NO_SCENARIOS
            else:
                self._hold(portfolio, instrument, (0, 0), scale)
                row = int(position_block.row_of(self.book.ctypes.data, instrument))
                for each in (portfolio, *ancestors(self.parents, portfolio)):
                    self.shown.add(each, symbol, row)
                known.what = HELD_HERE if known.what == HELD_HERE else TRADED

    def _warn(self) -> None:
        """Say which executions are in no position, and which option has no value."""
        unpriced = int(self.links.panel.counters["risk"]["unpriced"])
        if unpriced != self.unpriced:
            self.unpriced = unpriced
            held = [(each.name, each.options) for each in self.options.portfolios]
            if text := stuck_text(self.book.ctypes.data, held):
                self.links.panel.status["message"] = text.encode()[:256]
        astray = int(at(self.desk_at, DESK).astray)
        if astray != self.told:
            self.told = astray
            symbol, _ = self.names[astray - 1]
            why = "there are no scenarios for it; give it returns in risk.scenarios"
            if symbol in self.returns:
                why = "there is no room for it; let no more than two sources have a symbol"
            text = f"executions in {symbol} are in no position: {why}"
            self.links.panel.status["message"] = text.encode()[:256]

    def _hold(self, number: int, instrument: int, held: tuple[int, int], scale: int) -> None:
        """Have a portfolio hold a quantity at a cost, and a ledger of it where it has accounts."""
        book, portfolio = self.book.ctypes.data, self.options.portfolios[number]
        symbol, _ = self.names[instrument]
        positions.hold(book, number, instrument, *held, scale, self.returns[symbol])
        if portfolio.accounts:
            row = position_block.row_of(book, instrument)
            ledger.create(ledger_of(self.desk_at, row, number), self._room(portfolio), *held)

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
                self._hold(number, instrument, (position.quantity, cost), scale)
                self.absent[[number, *ancestors(self.parents, number)]] -= 1
                known.what = HELD_HERE
            for option in portfolio.options:
                if option.underlying == symbol:
                    returns, held = self.returns[symbol], held_of(option)
                    option_positions.hold(
                        self.book.ctypes.data, number, instrument, held, scale, returns
                    )
                    self.absent[[number, *ancestors(self.parents, number)]] -= 1
                    known.what = HELD_HERE
        if known.what == HELD_HERE:
            row = int(position_block.row_of(self.book.ctypes.data, instrument))
            self.shown.seat(symbol, row)

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
    desk.asks = desk.asks_for = -1
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
        if is_unseen(state, slot(reader, sequence)):
            break
        pick_up(state, reader, sequence)
        free -= take(state, writer, slot(reader, sequence))
        if is_time_to_let_go(sequence):
            let_go(reader, sequence, writer, desk.target - 1)
        sequence += 1
    let_go(reader, sequence - 1, writer, desk.target - 1)
    position_board.show_in_time(desk.shown, sequence - first, reader, sequence)
    return desk.asks, sequence - first


@kernel
def is_unseen(state, address):
    """True (and asked for) when a top record is of an instrument met for the first time, or an
    execution of one that its portfolio does not hold yet.
    """
    desk, top = at(state, DESK), at(address, TOP)
    if top.kind == Kind.EXECUTION and desk.accounts_count > 0:
        return wants(state, at(address, EXECUTION))
    if top.kind != Kind.TOP or at(state + KNOWN_AT + int(top.instrument), KNOWN).what != UNSEEN:
        return False
    desk.asks = top.instrument
    return True


@kernel
def take(state, writer, address):
    """Take the record at an address; return how many records went out."""
    top = at(address, TOP)
    desk = at(state, DESK)
    tally = at(desk.counters, COUNTERS)
    tally.received += 1
    given = turn_over(state, writer, top)
    if top.kind == Kind.EXECUTION and desk.accounts_count > 0:
        return execute(state, writer, address, given)
    if top.kind != Kind.TOP:
        tally.passed_by += 1
    elif not is_held(state, top.instrument):
        tally.not_held += 1
    elif top.state & DOUBTFUL:
        tally.untrusted += 1
    elif top.bid <= 0 or top.ask <= 0:
        tally.one_sided += 1
    elif desk.interval_ns > 0:
        count_kept(desk.counters, waiting.keep(desk.waits, desk.positions, top))
    elif is_unchanged(desk.positions, top):
        tally.unchanged += 1
    elif positions.mark(desk.positions, top.instrument, top.bid, top.ask):
        option_positions.mark(desk.positions, top.instrument, top.time_ns)
        tally.marks += 1
        count_values(desk.counters, desk.positions)
        return report(state, writer, top)
    else:
        tally.refused += 1
    return given


@kernel
def is_unchanged(book, top):
    """Whether a top leaves the mark where it is, and settles no option either."""
    if positions.mark_of(book, top.instrument) != top.bid + top.ask:
        return False
    return not option_positions.is_due(book, top.instrument, top.time_ns)


@kernel
def is_held(state, instrument):
    """Whether anybody holds an instrument."""
    what = at(state + KNOWN_AT + int(instrument), KNOWN).what
    return what in (HELD_HERE, TRADED)


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
