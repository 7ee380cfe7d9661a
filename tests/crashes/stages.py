"""The stages that are killed: the toy, and the kernels of the real book and the real risk stage."""

from ringbuf.atomics import at
from ringbuf.histogram import HISTOGRAM
from ringbuf.jit import kernel
from tests.crashes.toy import turn as toy_turn
from workers.book_turns import turn as book_turn
from workers.desk import DESK
from workers.hop import HOP
from workers.keeper import KEEPER
from workers.position_board import TABLE
from workers.risk_turns import turn as risk_turn

TOY, BOOK, RISK = range(3)
HISTOGRAM_SIZE = HISTOGRAM.itemsize
# Behind the histogram, in memory that nobody looks at: counters, and a board.
COUNTERS_AT, BOARD_AT = HISTOGRAM_SIZE, HISTOGRAM_SIZE + 1024
PARTS_AT = BOARD_AT + 8192
SCRATCH = BOARD_AT + 16_384
# Where a state's parts lie: a KEEPER with its notes and the books; a DESK, counts, marks that wait,
# what the board of positions shows (no rows), positions.
BOOKS_AT, ABSENT_AT, WAITS_AT, SHOWN_AT, POSITIONS_AT = 1024, 1024, 1088, 1216, 1600


@kernel
def turn(kind, state, reader, writer, limit):
    """One turn of a stage; how many inputs it took."""
    if kind == TOY:
        return toy_turn(state, reader, writer, limit)
    if kind == BOOK:
        return book_turn(state, reader, writer, limit, 0)
    _, taken = risk_turn(state, reader, writer, limit, 0)
    return taken


@kernel
def bind(kind, state, scratch):
    """What a stage's `bind` does: have a state that came from elsewhere know where it lies now."""
    if kind != TOY:
        timing = at(state, HOP)
        timing.hop = scratch
        timing.age = scratch
    if kind == BOOK:
        keeper = at(state, KEEPER)
        keeper.book, keeper.board = state + BOOKS_AT, scratch + BOARD_AT
        keeper.counters = scratch + COUNTERS_AT
    if kind == RISK:
        desk = at(state, DESK)
        desk.positions, desk.board = state + POSITIONS_AT, scratch + BOARD_AT
        desk.waits, desk.shown = state + WAITS_AT, state + SHOWN_AT
        table = at(state + SHOWN_AT, TABLE)
        table.book, table.board = desk.positions, scratch + BOARD_AT
        table.parts = table.sums = table.high = table.low = table.places = scratch + PARTS_AT
        desk.absent, desk.counters = state + ABSENT_AT, scratch + COUNTERS_AT
