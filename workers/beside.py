"""What follows from an event beside the books: measures, bars, and the best over several venues."""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers import enriching
from workers.keeper import COUNTERS, KEEPER, answer, note_of, send
from workers.kernels import bars, consolidated, measures, orderbook
from workers.records import LOT_DECIMALS


@kernel
def announce(state, event):
    """Put an instrument in its place among the venues, and show it there."""
    keeper = at(state, KEEPER)
    venues, decimals = keeper.venues, event["flags"] >> LOT_DECIMALS
    first, second, third = event.order, event.other, event.price
    before = consolidated.group_of(venues, event.instrument)
    consolidated.announce(
        venues, event.source, event.instrument, first, second, third, event.quantity, decimals
    )
    now = consolidated.group_of(venues, event.instrument)
    if before >= 0:
        enriching.show(venues, keeper.book, keeper.venues_board, before)
    if now >= 0 and now != before:
        enriching.show(venues, keeper.book, keeper.venues_board, now)


@kernel
def pass_time(state, writer, event):
    """Publish the bars that are over by the time of an event."""
    closed = bars.on_time(at(state, KEEPER).bars, event.instrument, event.time_ns)
    if closed > 0:
        bar(state, writer, event, closed)


@kernel
def bar(state, writer, event, closed):
    """Publish the bars that were closed just now, two records each."""
    keeper = at(state, KEEPER)
    tally = at(keeper.counters, COUNTERS)
    for number in range(closed):
        tags = note_of(state, bars.closed_bar(keeper.bars, number).instrument).state
        enriching.fill_bar(answer(state, writer, event), keeper.bars, number, tags)
        send(state, writer)
        enriching.fill_bar_flow(answer(state, writer, event), keeper.bars, number)
        send(state, writer)
    tally.bars += closed
    tally.bar_flows += closed


@kernel
def enrich_trade(state, writer, event, price, quantity):
    """Publish what a trade that was printed says, and the bars that it closes."""
    keeper, instrument = at(state, KEEPER), event.instrument
    if keeper.measures:
        new = measures.on_trade(keeper.measures, instrument, event.time_ns, price, quantity)
        if new & measures.FLOW:
            flow(state, writer, event)
    if keeper.bars:
        closed = bars.on_trade(keeper.bars, instrument, event.time_ns, price, quantity)
        if closed > 0:
            bar(state, writer, event, closed)


@kernel
def flow(state, writer, event):
    """Publish what the trades of an instrument say."""
    keeper = at(state, KEEPER)
    enriching.fill_flow(answer(state, writer, event), keeper.measures, event.instrument)
    send(state, writer)
    at(keeper.counters, COUNTERS).flows += 1


@kernel
def enrich_top(state, writer, event):
    """Publish what the best prices say, and the best over all venues where that is another."""
    keeper, instrument = at(state, KEEPER), event.instrument
    bid, bid_quantity = orderbook.top(keeper.book, 2 * instrument)
    ask, ask_quantity = orderbook.top(keeper.book, 2 * instrument + 1)
    tags, tally = note_of(state, instrument).state, at(keeper.counters, COUNTERS)
    if keeper.measures:
        new = measures.on_top(
            keeper.measures, instrument, event.time_ns, bid, bid_quantity, ask, ask_quantity, tags
        )
        if new & measures.QUOTE:
            enriching.fill_quote(answer(state, writer, event), keeper.measures, instrument, tags)
            send(state, writer)
            tally.quotes += 1
        if new & measures.FLOW:
            flow(state, writer, event)
    if keeper.venues and consolidated.on_top(
        keeper.venues, instrument, bid, bid_quantity, ask, ask_quantity, tags
    ):
        enriching.fill_consolidated(answer(state, writer, event), keeper.venues, instrument)
        send(state, writer)
        tally.consolidated += 1


@kernel
def show_counted(keeper, tally):
    """Show what is counted beside the books."""
    if keeper.measures:
        measured = at(keeper.measures, measures.MEASURES)
        tally.measures_refused, tally.measures_set_back = measured.refused, measured.set_back
    if keeper.bars:
        barred = at(keeper.bars, bars.BARS)
        tally.bars_late, tally.bars_set_back = barred.late, barred.set_back
        tally.bars_refused = barred.refused
    if keeper.venues:
        joined = at(keeper.venues, consolidated.CONSOLIDATED)
        tally.venues_announced, tally.venues_unscaled = joined.announced, joined.unscaled
        tally.venues_refused = joined.refused
        tally.venues_crossed, tally.venues_locked = joined.crossed, joined.locked
