"""The risk stage: marks in; market value, P&L, VaR and ES of every portfolio out, on each mark."""

import numpy as np

from ringbuf.atomics import at
from ringbuf.panel import Equation
from ringbuf.record import LINE
from workers.contracts import contract_of, fixed_rates, quotes_of
from workers.desk import (
    CONVENTION,
    DESK,
    HELD_HERE,
    KNOWN,
    KNOWN_AT,
    NO_SCENARIOS,
    NOT_HELD,
    QUOTED,
    TRADED,
    UNSEEN,
    end,
)
from workers.executions import ledger_of
from workers.hop import new_hop
from workers.instruments import Names
from workers.kernels import (
    currencies,
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
from workers.records import MONEY_SCALE, lined
from workers.risk_counters import COUNTERS, FATES
from workers.risk_options import (
    Portfolio,
    RiskOptions,
    cost_of,
    counts_below,
    keeps_books,
    limits_of,
    load_scenarios,
    options_below,
    owners_of,
    parents_of,
    records_most,
)
from workers.risk_rehearsal import rehearse
from workers.risk_sampled import RiskSample
from workers.risk_turns import turn
from workers.stage import TURN_RECORDS, Links, Stage
from workers.tellings import go_over, prepare


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
        self.returns, self.books = load_scenarios(self.options), keeps_books(self.options)
        count = max((len(row) for row in self.returns.values()), default=0)
        limits = position_block.Limits(
            instruments=self.instruments,
            portfolios=max(len(self.options.portfolios), 1),
            held=max(self._rows(), 1),
            scenarios=max(count, 1),
            currencies=len(self.options.currencies),
            options=sum(len(portfolio.options) for portfolio in self.options.portfolios),
        )
        self.book = lined(position_block.bytes_needed(limits))
        self.waits_at = KNOWN_AT + -(-self.instruments // LINE) * LINE
        self.desk = lined(self.waits_at + waiting.bytes_needed(limits.held))
        at(self.desk.ctypes.data, DESK).interval = waiting.NEVER
        self.owners = np.array([*owners_of(self.options), -1], np.int64)
        rooms = [self._room(portfolio) for portfolio in self.options.portfolios]
        self.ledger_size = ledger.bytes_needed(max(rooms, default=0))
        places = limits.held * limits.portfolios if self.books else 0
        self.ledgers = lined(max(places, 1) * self.ledger_size)
        below, self.parents = counts_below(self.options), parents_of(self.options)
        self.absent = np.array([*below, 0], np.int64)
        position_block.create(self.book.ctypes.data, limits, self.parents)
        for number, rate in fixed_rates(self.options.currencies).items():
            currencies.fix(int(position_block.abroad_of(self.book.ctypes.data)), number, *rate)
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
        return min(2 * count, self.instruments) if self.books else count

    def _has_ledgers(self, portfolio: Portfolio) -> bool:
        return bool(portfolio.accounts) or self.options.lines

    def _room(self, portfolio: Portfolio) -> int:
        """How many lots a ledger of a portfolio keeps apart."""
        fifo = self._has_ledgers(portfolio) and portfolio.accounting == "fifo"
        return portfolio.lots if fifo else 0

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
        desk.lines = int(self.options.lines and bool(self.options.portfolios))
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
        return parts | ({"ledgers": self.ledgers} if self.books else {})

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
        if at(self.desk_at, DESK).asks_at:
            prepare(self)
        elif known.what == UNSEEN:
            self.look_up(instrument)
        elif portfolio >= 0:
            if not self.take_up(portfolio, instrument):
                known.what = NO_SCENARIOS
            else:
                known.what = HELD_HERE if known.what == HELD_HERE else TRADED

    def take_up(self, portfolio: int, instrument: int) -> bool:
        """Have a portfolio hold an instrument, none of it yet; False where that cannot be."""
        symbol, scale = self.names[instrument]
        header = at(int(at(self.desk_at, DESK).positions), STATE)
        is_new = position_block.row_of(self.book.ctypes.data, instrument) < 0
        if symbol not in self.returns or (is_new and header.rows == header.held):
            return False
        self._hold(portfolio, instrument, (0, 0), scale)
        row = int(position_block.row_of(self.book.ctypes.data, instrument))
        for each in (portfolio, *ancestors(self.parents, portfolio)):
            self.shown.add(each, symbol, row)
        return True

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

    def _hold(
        self,
        number: int,
        instrument: int,
        held: tuple[int, int],
        scale: int,
        rate: float | None = None,
    ) -> None:
        """Have a portfolio hold a quantity at a cost, and a ledger of it where it has accounts.

        rate: with one the cost is in the base currency already.
        """
        book, portfolio = self.book.ctypes.data, self.options.portfolios[number]
        symbol, _ = self.names[instrument]
        returns, contract = self.returns[symbol], self._contract(symbol)
        is_kept = rate is not None
        positions.hold(book, number, instrument, *held, scale, returns, contract, is_kept)
        if self._has_ledgers(portfolio):
            row = position_block.row_of(book, instrument)
            ledger.create(ledger_of(self.desk_at, row, number), self._room(portfolio), *held)

    def _contract(self, symbol: str) -> positions.Contract:
        return contract_of(symbol, self.options.instruments, self.options.currencies)

    def look_up(self, instrument: int) -> None:
        """Learn the name of an instrument met for the first time; take up positions in it."""
        symbol, scale = self.names[instrument]
        known = at(self.desk_at + KNOWN_AT + instrument, KNOWN)
        known.what = NOT_HELD
        if symbol in self.met:  # from another source: the position is in the first alone
            known.what = HELD_HERE if go_over(self, instrument, symbol) else NOT_HELD
            return
        self.met.add(symbol)
        for number, portfolio in enumerate(self.options.portfolios):
            position = portfolio.positions.get(symbol)
            if position is not None:
                held = position.quantity, cost_of(self.options, symbol, position)
                self._hold(number, instrument, held, scale, position.rate)
                self.absent[[number, *ancestors(self.parents, number)]] -= 1
                known.what = HELD_HERE
            for option in portfolio.options:
                if option.underlying == symbol:
                    option_positions.hold(
                        self.book.ctypes.data, number, instrument, held_of(option), scale,
                        self.returns[symbol], self._contract(symbol),
                    )  # fmt: skip
                    self.absent[[number, *ancestors(self.parents, number)]] -= 1
                    known.what = HELD_HERE
        currency = quotes_of(self.options.currencies).get(symbol)
        if currency and self.options.portfolios:
            book, returns = self.book.ctypes.data, self.returns[symbol]
            positions.quote(book, currency, instrument, scale, returns, self._contract(symbol))
            known.what = known.what if known.what == HELD_HERE else QUOTED
        if known.what == HELD_HERE:
            row = int(position_block.row_of(self.book.ctypes.data, instrument))
            self.shown.seat(symbol, row)

    def close(self) -> None:
        """Say that no more risk records will come."""
        self.links.writers["risk"].close()
        self.links.readers["book"].close()
