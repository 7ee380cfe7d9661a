"""The board of positions: what each portfolio holds, and what each adds to the portfolio's risk.

A portfolio has a row for every instrument that it or a portfolio below it is configured to hold,
and SPARE more where accounts of theirs trade: for what they come to hold, in the order in which
they do. What finds none left is in all figures, but has no row. Rows are
conflated: a mark only notes that its portfolios' rows are due; they are written where the stage
has nothing to read, and under a backlog a few now and then, so that nobody waits for a board.
"""

import numpy as np

from ringbuf.atomics import at
from ringbuf.board import Board, begin, finish
from ringbuf.jit import kernel
from ringbuf.record import LINE, record, slot_record
from ringbuf.ring import awaited
from workers.instruments import SYMBOL_BYTES
from workers.kernels import contributions, option_parts
from workers.kernels.position_block import HELD, POSITION, ancestors, held_of, position_of
from workers.records import lined
from workers.risk_options import RiskOptions, parents_of, symbols_below

SHOW_EVERY = 65_536  # records taken, under a backlog
SHOW_MOST = 256  # rows in one go: some 5 µs
SPARE = 64  # rows of a portfolio for what only executions have it hold

POSITION_ROW = slot_record(
    [
        ("symbol", f"S{SYMBOL_BYTES}"),  # empty: a row that is not in use yet
        ("cause", "i8"),  # of the portfolio's figures that this belongs to, like its RISK record's
        ("time_ns", "i8"),
        ("portfolio", "i8"),
        ("instrument", "i8"),  # -1: not announced yet
        ("quantity", "i8"),  # of the portfolio itself, without those below it; so the next three
        ("value", "i8"),  # money units, with options on it; so the next two
        ("cost", "i8"),
        ("stuck", "i8"),  # how many keep an old value because a bound was reached
        ("mark", "i8"),  # bid + ask: the mid in half price units; 0: none yet
        ("var_part", "i8"),  # of the portfolio's VaR, with all below it and options, money units
        ("es_part", "i8"),
    ]
)
TABLE = record(
    [
        ("board", "i8"),
        ("book", "i8"),  # address of the block of positions
        ("portfolios", "i8"),
        ("due", "i8"),  # portfolios whose rows are due
        ("showing", "i8"),  # the portfolio whose rows are being written, -1: none
        ("next", "i8"),  # and the next of them
        ("turn", "i8"),  # whose turn it is: no portfolio is passed over twice
        ("unshown", "i8"),  # records taken since rows were written
        ("parts", "i8"),  # addresses of what is computed for all rows of a portfolio at once
        ("sums", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("places", "i8"),
    ]
)
GROUP = record(
    [
        ("due", "i8"),
        ("cause", "i8"),
        ("time_ns", "i8"),
        ("first", "i8"),  # its rows of the board: those in use, and all
        ("end", "i8"),
        ("most", "i8"),
    ]
)
PLACE = record([("row", "i8")])  # of the block, -1 until the instrument is announced
ROW_SIZE, GROUP_SIZE, PLACE_SIZE = POSITION_ROW.itemsize, GROUP.itemsize, PLACE.itemsize
GROUPS_AT = -(-TABLE.itemsize // LINE) * LINE


def rows_of(options: RiskOptions) -> list[tuple[int, str]]:
    """(portfolio, symbol) of each row of the board; "": spare."""
    spare = [False] * len(options.portfolios)
    parents = parents_of(options)
    for number, portfolio in enumerate(options.portfolios):
        for each in (number, *ancestors(parents, number)):
            spare[each] |= bool(portfolio.accounts) or options.lines
    below = symbols_below(options)
    return [
        (number, symbol)
        for number, symbols in enumerate(below)
        for symbol in (*symbols, *[""] * (SPARE * spare[number]))
    ]


class PositionBoard:
    """What the stage keeps of the board; `address` is what kernels take, `table` is state."""

    def __init__(self, options: RiskOptions, held: int) -> None:
        """held: instruments that the block of positions has room for."""
        self.seats = rows_of(options)
        portfolios = len(options.portfolios)
        self.places_at = GROUPS_AT + -(-max(portfolios, 1) * GROUP_SIZE // LINE) * LINE
        self.table = lined(self.places_at + max(len(self.seats), 1) * PLACE_SIZE)
        self.places = self.table[self.places_at :].view(np.int64)
        self.places[:] = -1
        self.parts, self.sums, self.high, self.low = np.zeros((4, held), np.int64)
        self.address = self.table.ctypes.data
        table = at(self.address, TABLE)
        table.portfolios, table.showing = portfolios, -1
        owners = [owner for owner, _ in self.seats]
        for number, symbols in enumerate(symbols_below(options)):
            group = at(group_of(self.address, number), GROUP)
            group.first, group.most = np.searchsorted(owners, [number, number + 1])
            group.end = group.first + len(symbols)
        self.rows: dict[str, list[int]] = {}
        for row, (_, symbol) in enumerate(self.seats):
            if symbol:
                self.rows.setdefault(symbol, []).append(row)

    def show(self, board: Board) -> None:
        """Show whose rows these are, without any figures."""
        for number, (portfolio, symbol) in enumerate(self.seats):
            row = np.zeros(1, POSITION_ROW)
            row["symbol"], row["portfolio"], row["instrument"] = symbol.encode(), portfolio, -1
            board.put(number, row)

    def bind(self, board: int, book: int) -> None:
        """Write to this board of positions in this block; who sits where stays."""
        table = at(self.address, TABLE)
        table.board, table.book = board, book
        table.places = self.address + self.places_at
        table.parts, table.sums = self.parts.ctypes.data, self.sums.ctypes.data
        table.high, table.low = self.high.ctypes.data, self.low.ctypes.data

    def seat(self, symbol: str, row: int) -> None:
        """An instrument that is named in the configuration has this row in the block now.

        Its rows of the board are due, whether it is marked soon or not: what they say must not
        depend on whether they were written right before.
        """
        rows, table = self.rows.get(symbol, []), at(self.address, TABLE)
        self.places[rows] = row
        for portfolio in {self.seats[each][0] for each in rows}:
            group = at(group_of(self.address, portfolio), GROUP)
            if group.cause:  # else they are due with the portfolio's first mark
                table.due += 1 - int(group.due)
                group.due = 1

    def add(self, portfolio: int, symbol: str, row: int) -> None:
        """A portfolio holds a row of the block: it has a row of the board from now on, if any."""
        group = at(group_of(self.address, portfolio), GROUP)
        end = int(group.end)
        if end == group.most or row in self.places[int(group.first) : end]:
            return
        self.places[end] = row
        shown = int(at(self.address, TABLE).board) + end * ROW_SIZE
        begin(shown, ROW_SIZE)
        at(shown, POSITION_ROW).symbol = symbol.encode()
        finish(shown, ROW_SIZE)
        group.end = end + 1


@kernel
def note(table, portfolio, top):
    """A mark moved a portfolio's figures: its rows are due."""
    group = at(group_of(table, portfolio), GROUP)
    group.cause, group.time_ns = top.sequence, top.time_ns
    at(table, TABLE).due += 1 - group.due
    group.due = 1


@kernel
def show_in_time(table, taken, reader, sequence):
    """Write rows that are due after a turn: all as long as there is nothing to read."""
    header = at(table, TABLE)
    header.unshown += taken
    while is_due(table) and not awaited(reader, sequence):
        show_some(table)
        header.unshown = 0
    if is_due(table) and header.unshown >= SHOW_EVERY:
        show_some(table)
        if header.turn == 0 and header.showing < 0:  # all have had theirs
            header.unshown = 0


@kernel
def show_all(table):
    """Write all rows that are due."""
    while is_due(table):
        show_some(table)


@kernel
def is_due(table):
    """Whether there is anything to write."""
    header = at(table, TABLE)
    return header.due > 0 or header.showing >= 0


@kernel
def show_some(table):
    """Write up to SHOW_MOST rows of a portfolio, of its figures as they were at the first."""
    header = at(table, TABLE)
    if header.showing < 0:
        begin_next(table)
    group = at(group_of(table, header.showing), GROUP)
    end = min(group.end, header.next + SHOW_MOST)
    while header.next < end:
        show(table, header.showing, header.next)
        header.next += 1
    if header.next == group.end:
        header.turn = (header.showing + 1) % header.portfolios
        header.showing = -1


@kernel
def begin_next(table):
    """Take up the next portfolio whose rows are due."""
    header = at(table, TABLE)
    for step in range(header.portfolios):
        portfolio = (header.turn + step) % header.portfolios
        group = at(group_of(table, portfolio), GROUP)
        if group.due:
            group.due = 0
            header.due -= 1
            header.showing, header.next = portfolio, group.first
            contributions.var_parts(header.book, portfolio, header.parts)
            contributions.tail_returns(header.book, portfolio, header.sums)
            option_parts.add_var_parts(header.book, portfolio, header.parts)
            option_parts.tail_profits(header.book, portfolio, header.high, header.low)
            return


@kernel
def show(table, portfolio, number):
    """Write one row."""
    header, group = at(table, TABLE), at(group_of(table, portfolio), GROUP)
    row = at(header.places + number * PLACE_SIZE, PLACE).row
    address = header.board + number * ROW_SIZE
    begin(address, ROW_SIZE)
    shown = at(address, POSITION_ROW)
    shown.cause, shown.time_ns = group.cause, group.time_ns
    if row >= 0:
        held = at(held_of(header.book, row), HELD)
        position = at(position_of(header.book, row, portfolio), POSITION)
        shown.instrument, shown.mark = held.instrument, held.mark
        value, cost, stuck = option_parts.held_on(header.book, row, portfolio)
        shown.quantity, shown.cost = position.quantity, position.cost + cost
        shown.value, shown.stuck = position.value + value, position.stuck + stuck
        shown.var_part = contributions.var_part(header.parts, row)
        shown.es_part = contributions.es_part(
            header.book,
            portfolio,
            header.sums,
            row,
            at(header.high, contributions.UNITS).unit[row],
            at(header.low, contributions.UNITS).unit[row],
        )
    finish(address, ROW_SIZE)


@kernel
def group_of(table, portfolio):
    """Address of what is known of a portfolio's rows."""
    return table + GROUPS_AT + int(portfolio) * GROUP_SIZE
