"""From the state of the kernels to records of the book ring and rows of the board of depth.

The stage claims a record and fills in what it answers (cause, time_ns, index); these do the rest.
"""

from ringbuf.atomics import at
from ringbuf.board import begin, finish
from ringbuf.jit import kernel
from workers.enriched import CONSOLIDATED_DEPTH, DEPTH_LEVELS
from workers.kernels import bars, consolidated, measures
from workers.kernels.consolidated import NONE, VENUES_MAX
from workers.kernels.notional import average
from workers.records import BAR, BAR_FLOW, CONSOLIDATED, FLOW, QUOTE, Book, Side

ROW_SIZE = CONSOLIDATED_DEPTH.itemsize


@kernel
def fill_quote(address, state, instrument, tags):
    """Fill a QUOTE record from an instrument's measures; tags: its TOP.state."""
    record, measure = at(address, QUOTE), measures.measure_of(state, instrument)
    record.mid, record.spread = measure.mid, measure.spread
    record.microprice, record.imbalance = measure.microprice, measure.imbalance
    record.instrument, record.kind = instrument, Book.QUOTE
    record.state = tags


@kernel
def fill_flow(address, state, instrument):
    """Fill a FLOW record from an instrument's measures."""
    record, measure = at(address, FLOW), measures.measure_of(state, instrument)
    record.vwap, record.volatility = measure.vwap, measure.volatility
    record.volume, record.trades = measure.volume, measure.trades
    record.instrument, record.kind = instrument, Book.FLOW


@kernel
def fill_bar(address, state, number, tags):
    """Fill a BAR record from a bar that is closed; tags: its instrument's TOP.state."""
    record, bar = at(address, BAR), bars.closed_bar(state, number)
    record.open, record.high, record.low, record.close = bar.open, bar.high, bar.low, bar.close
    record.instrument, record.kind = bar.instrument, Book.BAR
    record.series, record.state = bar.series, tags


@kernel
def fill_bar_flow(address, state, number):
    """Fill a BAR_FLOW record from a bar that is closed."""
    record, bar = at(address, BAR_FLOW), bars.closed_bar(state, number)
    record.start_ns, record.volume, record.trades = bar.start_ns, bar.volume, bar.trades
    record.vwap = average(int(bar.notional_high), int(bar.notional_low), int(bar.volume))
    record.instrument, record.kind = bar.instrument, Book.BAR_FLOW


@kernel
def fill_consolidated(address, state, instrument):
    """Fill a CONSOLIDATED record of the group that an instrument is in."""
    group = consolidated.group_at(state, consolidated.group_of(state, instrument))
    record = at(address, CONSOLIDATED)
    record.bid, record.bid_quantity = group.bid, group.bid_quantity
    record.ask, record.ask_quantity = group.ask, group.ask_quantity
    record.instrument, record.kind = group.instrument, Book.CONSOLIDATED
    record.venues = int(group.bid_venue) << 4 | int(group.ask_venue)
    record.state = int(group.state) | int(group.fresh)


@kernel
def show_due(state, book, board):
    """Write the depth rows that are due: once a turn, however often a group's books moved."""
    header = at(state, consolidated.CONSOLIDATED)
    for number in range(header.due):
        group = consolidated.group_at(state, number).list
        consolidated.group_at(state, group).listed = 0
        show(state, book, board, group)
    header.due = 0


@kernel
def show(state, book, board, number):
    """Write a group's best levels, all venues that count together, to its row."""
    address = board + int(number) * ROW_SIZE
    begin(address, ROW_SIZE)
    row, group = at(address, CONSOLIDATED_DEPTH), consolidated.group_at(state, number)
    row.cause, row.time_ns = group.cause, group.time_ns
    row.price_scale, row.lot_decimals = group.price_scale, group.lot_decimals
    consolidated.rewind(state, book, number, Side.BID)
    for level in range(DEPTH_LEVELS):
        price, quantity, venues = consolidated.next_level(state, book, number, Side.BID)
        row.bid_price[level], row.bid_quantity[level] = price, quantity
        row.bid_venues[level] = venues
    consolidated.rewind(state, book, number, Side.ASK)
    for level in range(DEPTH_LEVELS):
        price, quantity, venues = consolidated.next_level(state, book, number, Side.ASK)
        row.ask_price[level], row.ask_quantity[level] = price, quantity
        row.ask_venues[level] = venues
    show_venues(row, state, number)
    finish(address, ROW_SIZE)


@kernel
def show_venues(row, state, number):
    """Say on a row which venues a group has, which of them count and which are the best."""
    group, counting = consolidated.group_at(state, number), 0
    for place in range(VENUES_MAX):
        row.venues[place] = -1
        if place < group.venues:
            venue = consolidated.venue_at(state, number, place)
            row.venues[place] = venue.instrument
            counting |= (venue.counts != 0) << place
    row.counting, row.state = counting, int(group.state) | int(group.fresh)
    row.bid_venue = row.ask_venue = -1
    if group.bid_venue != NONE:
        row.bid_venue = row.venues[group.bid_venue]
    if group.ask_venue != NONE:
        row.ask_venue = row.venues[group.ask_venue]
