"""Call auctions: orders have come together without trading; one price is found, and they trade.

The price is one of those that orders in the book name, or the reference. It is chosen by, in turn:

1. the largest quantity that would trade: the smaller of what is bid at that price or above and
   what is asked at it or below, market orders and what icebergs hide included
2. the smallest imbalance between the two
3. pressure: where more is bid at all prices that are left, the highest; where more is asked at
   all of them, the lowest
4. the price nearest to the reference (of two, the lower), or the lowest where there is none

These are the rules of Xetra ("Market Model Equities", Deutsche Boerse: price determination in call
auctions), but that its fourth takes the reference itself where that lies between two limits, as
ours does only where as much trades there. Who trades: market orders first, then by price, then by
time; an iceberg with all that it has, at its place. Pegged and stop orders take no part. Stp does
not hold: nobody is the newer. What is left of market orders is cancelled.
"""

from ringbuf.atomics import at
from ringbuf.jit import kernel
from workers.kernels import levels as ladder
from workers.kernels.engine import (
    ENGINE,
    PIECE,
    QUEUES,
    RESERVE,
    RULE,
    TICKET,
    WAITING,
    reference,
    reserve_at,
    rule_at,
    shadow,
    ticket_at,
)
from workers.kernels.exposure import filled
from workers.kernels.phases import IDLE, PAIR, PRICE, RETIRE, TRIGGER, WEIGH
from workers.kernels.resting import LEVEL, ORDER, levels_of, order_at
from workers.kernels.telling import report, report_auction, report_execution, report_trade
from workers.kernels.tickets import cancel, leave_date, left_of, lift, reduce
from workers.orders import Liquidity, Why
from workers.records import Book, Side

BID, ASK = int(Side.BID), int(Side.ASK)
FILL, AUCTION = int(Book.FILL), int(Liquidity.AUCTION)
WHY_MARKET = int(Why.MARKET)
FAR = 1 << 62  # further than any price


@kernel
def start_auction(engine, books, traded):
    """Begin to look for the price; traded: 1 where orders are to trade at it then."""
    header = at(engine, ENGINE)
    header.auction_traded = traded
    header.auction_price, header.auction_quantity, header.auction_imbalance = 0, 0, 0
    header.auction_reference = reference(engine, header.rule)
    header.bid_depth, header.ask_depth = 0, 0
    header.demand = waiting(engine, books, BID)
    header.supply = waiting(engine, books, ASK)
    header.walk_price = 0
    header.phase = WEIGH


@kernel
def waiting(engine, books, side):
    """What market orders of a side have to trade."""
    level = waiting_level(engine, books, side)
    return int(at(ladder.level_at(levels_of(books), level), LEVEL).quantity) * (level > 0)


@kernel
def waiting_level(engine, books, side):
    """The number of the level where market orders of a side wait, 0 where there are none."""
    owner = 2 * shadow(engine, at(engine, ENGINE).rule, QUEUES) + side
    return ladder.find(levels_of(books), owner, WAITING)


@kernel
def volume(engine, books, level):
    """All that orders of a level have, what they hide included."""
    shown = int(at(ladder.level_at(levels_of(books), level), LEVEL).quantity)
    return shown + int(at(reserve_at(engine, level), RESERVE).value)


@kernel
def weigh(engine, books):
    """Add the next few levels of bids to what is bid in all."""
    header = at(engine, ENGINE)
    for _ in range(PIECE):
        level = ladder.nth(levels_of(books), 2 * int(header.instrument), int(header.bid_depth))
        if level == 0:
            header.phase = PRICE
            return
        header.demand += volume(engine, books, level)
        header.bid_depth += 1


@kernel
def price_levels(engine, books):
    """Look at the next few prices from below: what would trade there?"""
    header = at(engine, ENGINE)
    for _ in range(PIECE):
        price = next_price(engine, books)
        if price == FAR:
            found(engine)
            return
        levels, owner = levels_of(books), 2 * int(header.instrument)
        ask = ladder.nth(levels, owner + ASK, int(header.ask_depth))
        if ask > 0 and at(ladder.level_at(levels, ask), LEVEL).price == price:
            header.supply += volume(engine, books, ask)
            header.ask_depth += 1
        consider(engine, price)
        bid = ladder.nth(levels, owner, int(header.bid_depth) - 1)
        if bid > 0 and at(ladder.level_at(levels, bid), LEVEL).price == price:
            header.demand -= volume(engine, books, bid)
            header.bid_depth -= 1
        header.walk_price = price


@kernel
def next_price(engine, books):
    """The lowest price above those looked at that an order names or that is the reference."""
    header, levels = at(engine, ENGINE), levels_of(books)
    price, owner = FAR, 2 * int(header.instrument)
    ask = ladder.nth(levels, owner + ASK, int(header.ask_depth))
    if ask > 0:
        price = min(price, int(at(ladder.level_at(levels, ask), LEVEL).price))
    bid = ladder.nth(levels, owner, int(header.bid_depth) - 1)
    if bid > 0:
        price = min(price, int(at(ladder.level_at(levels, bid), LEVEL).price))
    named, tick = int(header.auction_reference), int(at(rule_at(engine, header.rule), RULE).tick)
    if named > header.walk_price and (tick <= 1 or named % tick == 0):
        price = min(price, named)
    return price


@kernel
def consider(engine, price):
    """Note what would trade at a price where none before was better; prices come from below."""
    header = at(engine, ENGINE)
    demand, supply = int(header.demand), int(header.supply)
    quantity, imbalance = min(demand, supply), demand - supply
    size, kept = abs(imbalance), abs(int(header.auction_imbalance))
    if quantity == 0 or quantity < header.auction_quantity:
        return
    better = quantity > header.auction_quantity or size < kept
    if size > kept and not better:
        return
    base, nearest = int(header.auction_reference), int(header.auction_price)
    if better:
        header.auction_low, header.auction_first = price, imbalance
    header.auction_high, header.auction_last = price, imbalance
    if better or abs(price - base) < abs(nearest - base):
        header.auction_price, header.auction_imbalance = price, imbalance
    header.auction_quantity = quantity


@kernel
def press(engine):
    """Where more is bid, or more is asked, at all prices that are alike, that moves the price.

    The imbalance never rises with the price: its signs at the lowest and the highest tell.
    """
    header = at(engine, ENGINE)
    if header.auction_first > 0 and header.auction_last > 0:
        header.auction_price, header.auction_imbalance = header.auction_high, header.auction_last
    elif header.auction_first < 0 and header.auction_last < 0:
        header.auction_price, header.auction_imbalance = header.auction_low, header.auction_first


@kernel
def found(engine):
    """The price is known: tell it, and let orders trade at it, if they are to."""
    header = at(engine, ENGINE)
    if header.auction_quantity > 0:
        press(engine)
    if header.auction_traded:
        header.phase = PAIR
        if header.auction_quantity > 0 or header.called:
            report_auction(engine)
        header.supply = header.auction_quantity
        return
    report_auction(engine)
    at(rule_at(engine, header.rule), RULE).indicated_ns = header.time_ns
    header.phase = IDLE


@kernel
def pair(engine, books):
    """Let the next bid and the next ask trade."""
    header = at(engine, ENGINE)
    if header.supply == 0:
        header.phase = RETIRE
        return
    bid, ask = next_of(engine, books, BID), next_of(engine, books, ASK)
    bid_left, ask_left = left_of(engine, books, bid), left_of(engine, books, ask)
    quantity = min(int(header.supply), bid_left, ask_left)
    header.supply -= quantity
    price, order = int(header.auction_price), int(at(order_at(books, bid), ORDER).order)
    report_trade(engine, BID, price, quantity, order)
    buyer = int(at(ticket_at(engine, bid), TICKET).account)
    seller = int(at(ticket_at(engine, ask), TICKET).account)
    offered = int(at(order_at(books, ask), ORDER).order)
    fill(engine, books, bid, quantity)
    fill(engine, books, ask, quantity)
    instrument = int(header.instrument)
    report_execution(engine, buyer, instrument, BID, order, price, quantity, AUCTION)
    report_execution(engine, seller, instrument, ASK, offered, price, quantity, AUCTION)
    at(rule_at(engine, header.rule), RULE).last = price
    header.stirred = 1


@kernel
def next_of(engine, books, side):
    """The number of the order of a side that trades next: market orders, then the best price."""
    levels, owner = levels_of(books), 2 * int(at(engine, ENGINE).instrument) + side
    level = waiting_level(engine, books, side)
    if level == 0:
        level = ladder.nth(levels, owner, 0)
    return int(at(ladder.level_at(levels, level), LEVEL).head)


@kernel
def fill(engine, books, number, quantity):
    """An order at rest trades in the auction."""
    header = at(engine, ENGINE)
    ticket, left = at(ticket_at(engine, number), TICKET), left_of(engine, books, number)
    side, price, instrument = int(ticket.side), int(header.auction_price), int(header.instrument)
    order = int(at(order_at(books, number), ORDER).order)
    report(engine, FILL, instrument, side, order, price, quantity, left - quantity, AUCTION)
    account, worth = int(ticket.account), int(ticket.worth)
    filled(engine, int(header.rule), account, side, quantity, worth, price)
    if quantity < left:
        reduce(engine, books, number, quantity)
        return
    if ticket.dated:
        leave_date(engine, books, order)
    lift(engine, books, number)


@kernel
def retire(engine, books):
    """Cancel the next market order that found nobody to trade with; then trading goes on."""
    header = at(engine, ENGINE)
    level = waiting_level(engine, books, BID)
    if level == 0:
        level = waiting_level(engine, books, ASK)
    if level == 0:
        header.phase = TRIGGER
        return
    number = int(at(ladder.level_at(levels_of(books), level), LEVEL).head)
    cancel(engine, books, number, WHY_MARKET)
