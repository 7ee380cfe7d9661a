"""What follows from an event: the records of the book ring, and the rows of the depth board."""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from ringbuf.record import record
from workers import depth, enriching, whole
from workers.beside import announce, enrich_top, enrich_trade, pass_time, show_counted
from workers.keeper import (
    COUNTERS,
    KEEPER,
    OUTCOMES,
    PLAIN_MAX,
    answer,
    goes_on,
    note_of,
    send,
)
from workers.kernels import consolidated, orderbook
from workers.kernels.checksum import agrees
from workers.kernels.orderbook import BOOK, Outcome
from workers.records import HOLDING, LEVEL, LOT_DECIMALS, TOP, TRADE, Event, Flag, Mark, Side, State
from workers.records import Book as Kind

SHOW_EVERY = 1 << 16  # events of a backlog, some 10 ms, between two looks at rows that are due
STATES = min(Mark) - 1  # bits of State; those of Mark are above
PARTIAL = int(Mark.PARTIAL)
CROSSED, BARRED, STALE = int(Mark.CROSSED), int(Mark.BARRED), int(Mark.STALE)


@kernel
def take(state, writer, event):
    """Fold one event in and publish what follows from it; return how many records."""
    keeper = at(state, KEEPER)
    tally = at(keeper.counters, COUNTERS)
    tally.received += 1
    keeper.index = 0
    if keeper.bars:
        pass_time(state, writer, event)
    outcome = orderbook.apply(keeper.book, event)
    count(keeper.counters, int(outcome))
    header = at(keeper.book, BOOK)
    if header.traded_quantity > 0:
        trade(state, writer, event, header.side[0], header.traded_price, header.traded_quantity)
    elif outcome == Outcome.IGNORED:
        inform(state, writer, event)
    elif outcome == Outcome.ORDERS_FULL or outcome == Outcome.LEVELS_FULL:
        mark(state, writer, event, STALE)
    elif outcome == Outcome.UNKNOWN_ORDER:
        miss(state, writer, event)
    if keeper.levels:
        for change in range(header.changes):
            level(state, writer, event, change)
    if header.cleared:
        note_of(state, event.instrument).state &= ~PARTIAL
        top(state, writer, event, Kind.CLEARED)
        tally.cleared += 1
    if header.top_moved or header.changes > 0:
        mark_moved(state, event)
    if 0 <= event.instrument < keeper.instruments:
        show_top(state, writer, event, header.top_moved)
    tally.published += keeper.index
    return keeper.index


@kernel
def show_top(state, writer, event, moved):
    """Publish the best prices where they moved, but not before the venue's event is complete."""
    note = note_of(state, event.instrument)
    if goes_on(event):
        note.moved |= moved
    elif moved or note.moved:
        note.moved = 0
        watch_crossed(state, event)
        top(state, writer, event, Kind.TOP)
        at(at(state, KEEPER).counters, COUNTERS).tops += 1


@kernel
def watch_crossed(state, event):
    """Note whether the best bid is above the best ask, which trading does not leave so.

    Before the venue says that an instrument trades, or the first trade shows it, nothing is
    matched and books cross: that is counted apart, and marks nothing.
    """
    book, note = at(state, KEEPER).book, note_of(state, event.instrument)
    tally = at(at(state, KEEPER).counters, COUNTERS)
    bid, _ = orderbook.top(book, 2 * event.instrument)
    ask, _ = orderbook.top(book, 2 * event.instrument + 1)
    if ask == 0 or bid <= ask:
        note.state &= ~CROSSED
        note.early = 0
        return
    trading = note.state & STATES
    if trading == State.TRADING or (trading == State.UNKNOWN and note.traded_quantity > 0):
        tally.crossed += note.state & CROSSED == 0
        note.state |= CROSSED
    else:
        tally.crossed_early += note.early == 0
        note.early = 1


@kernel
def count(counters, outcome):
    """Count one event by what became of it."""
    at(counters + OUTCOMES + 8 * outcome, ONE).value += 1


ONE = record([("value", "i8")])


@kernel
def inform(state, writer, event):
    """Pass on what the book does not hold: trades, states, and how far it is to be trusted."""
    keeper, kind = at(state, KEEPER), event.kind
    if not 0 <= event.instrument < keeper.instruments:
        return
    note = note_of(state, event.instrument)
    if kind == Event.STATUS:
        note.state = note.state & ~(STATES | BARRED) | event["flags"]
        status(state, writer, event)
    elif (kind == Event.TRADE or kind == Event.CROSS) and event.quantity > 0:
        trade(state, writer, event, event.side, event.price, event.quantity)
    elif kind == Event.STALE:
        note.whole = 0
        mark(state, writer, event, STALE)
    elif kind == Event.FRESH:
        if note.state & (STALE | BARRED):
            note.state &= ~(STALE | BARRED)
            note.whole = 1
            note.moved = 1  # for those who did not believe the tops before
            at(keeper.counters, COUNTERS).fresh += 1
            status(state, writer, event)
            if keeper.whole:
                whole.want(keeper.whole, event.instrument)
    elif kind == Event.DIRECTORY:
        note.price_scale = event.quantity
        note.lot_decimals = event["flags"] >> LOT_DECIMALS
        if keeper.venues:
            announce(state, event)
    elif kind == Event.CHECK:
        check(state, writer, event)
    elif kind == Event.HOLDING:
        pass_holding(state, writer, event)


@kernel
def pass_holding(state, writer, event):
    """Pass on what is told of a position: no book changes."""
    record_ = at(answer(state, writer, event), HOLDING)
    record_.portfolio, record_.price, record_.quantity = event.order, event.price, event.quantity
    record_.spare, record_.kind = 0, Kind.HOLDING
    record_.side, record_.state = event.side, event["flags"]
    send(state, writer)
    at(at(state, KEEPER).counters, COUNTERS).holdings += 1


@kernel
def check(state, writer, event):
    """Compare the book with the venue's checksum of it."""
    keeper, note = at(state, KEEPER), note_of(state, event.instrument)
    tally = at(keeper.counters, COUNTERS)
    if agrees(keeper.book, event, note.price_scale, note.lot_decimals):
        tally.checks_passed += 1
    else:
        tally.checks_failed += 1
        mark(state, writer, event, STALE)


@kernel
def miss(state, writer, event):
    """An order is not there: it came before the feed began, or a book that was whole is wrong."""
    note = note_of(state, event.instrument)
    if note.whole:
        mark(state, writer, event, STALE)
    else:
        at(at(state, KEEPER).counters, COUNTERS).partial += 1
        note.state |= PARTIAL
        mark_moved(state, event)


@kernel
def mark(state, writer, event, bit):
    """Mark an instrument's book, and say so where that is new."""
    note = note_of(state, event.instrument)
    if note.state & bit == 0:
        note.state |= bit
        at(at(state, KEEPER).counters, COUNTERS).stale += 1
        status(state, writer, event)


@kernel
def status(state, writer, event):
    """Publish a state that is new."""
    top(state, writer, event, Kind.STATUS)
    at(at(state, KEEPER).counters, COUNTERS).statuses += 1


@kernel
def trade(state, writer, event, side, price, quantity):
    """Publish a trade; one that is not to be printed adds no volume."""
    record_ = at(answer(state, writer, event), TRADE)
    note = note_of(state, event.instrument)
    record_.price, record_.quantity = price, quantity
    record_.order, record_.match = event.order, event.other
    record_.kind, record_.side = Kind.TRADE, side
    record_.state = event["flags"] & Flag.UNPRINTED
    note.traded_price, note.traded_quantity = price, quantity
    if not event["flags"] & Flag.UNPRINTED:
        note.volume += quantity
    send(state, writer)
    mark_moved(state, event)
    keeper = at(state, KEEPER)
    at(keeper.counters, COUNTERS).trades += 1
    if keeper.room > PLAIN_MAX and not event["flags"] & Flag.UNPRINTED:
        enrich_trade(state, writer, event, price, quantity)


@kernel
def level(state, writer, event, change):
    """Publish what rests at a price now."""
    keeper = at(state, KEEPER)
    header = at(keeper.book, BOOK)
    record_ = at(answer(state, writer, event), LEVEL)
    record_.price, record_.quantity = header.price[change], header.quantity[change]
    record_.orders, record_.spare = header.orders[change], 0
    record_.kind, record_.side = Kind.LEVEL, header.side[change]
    record_.state = note_of(state, event.instrument).state
    send(state, writer)
    at(keeper.counters, COUNTERS).levels += 1


@kernel
def top(state, writer, event, kind):
    """Publish the best prices as they are now, and have the depth row written."""
    keeper, instrument = at(state, KEEPER), event.instrument
    record_ = at(answer(state, writer, event), TOP)
    record_.bid, record_.bid_quantity = orderbook.top(keeper.book, 2 * instrument)
    record_.ask, record_.ask_quantity = orderbook.top(keeper.book, 2 * instrument + 1)
    record_.kind, record_.side = kind, Side.NONE
    record_.state = note_of(state, instrument).state
    send(state, writer)
    mark_moved(state, event)
    if keeper.room > PLAIN_MAX:
        enrich_top(state, writer, event)


@kernel
def mark_moved(state, event):
    """Put an instrument on the list of those whose depth row is due."""
    keeper, note = at(state, KEEPER), note_of(state, event.instrument)
    note.cause, note.time_ns = event.sequence, event.time_ns
    if not note.due:
        note.due = 1
        note_of(state, keeper.moved).list = event.instrument
        keeper.moved += 1
    if keeper.venues:
        consolidated.mark_due(keeper.venues, event.instrument, event.sequence, event.time_ns)


@kernel
def show_in_time(state, taken, busy):
    """Write the depth rows that are due after a turn; busy: there is more to take at once.

    A row has twenty levels to gather and costs as much as several events. Who looks at the board
    sees no more of a backlog than what is newest, so while there is one, rows wait.
    """
    keeper = at(state, KEEPER)
    keeper.unshown += taken
    if not busy or keeper.unshown >= SHOW_EVERY:
        show_moved(state)


@kernel
def show_moved(state):
    """Write the depth rows that are due, once, however often an instrument moved."""
    keeper = at(state, KEEPER)
    keeper.unshown = 0
    for number in range(keeper.moved):
        instrument = note_of(state, number).list
        note = note_of(state, instrument)
        note.due = 0
        depth.show(keeper.board, keeper.book, instrument, note)
    keeper.moved = 0
    header, tally = at(keeper.book, BOOK), at(keeper.counters, COUNTERS)
    tally.live_orders, tally.live_levels = header.live_orders, header.live_levels
    tally.peak_orders, tally.lost_replaces = header.peak_orders, header.lost_replaces
    if keeper.venues:
        enriching.show_due(keeper.venues, keeper.book, keeper.venues_board)
    if keeper.room > PLAIN_MAX:
        show_counted(keeper, tally)
