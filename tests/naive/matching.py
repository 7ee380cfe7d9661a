"""Matching as anybody would write it: lists of orders in the sequence in which they trade."""

from bisect import insort
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.naive.matching_gate import reasons_against
from tests.naive.matching_var import scenarios_of
from workers.kernels.engine import PRICE_MAX
from workers.kernels.engine_settings import Settings
from workers.orders import REQUEUE, STP_BITS, TIF_MASK, Liquidity, OrderFlag, Reject, Stp, Tif, Why
from workers.records import MATCHED, Book, Event, Side, State

BPS = 10_000


class Asked(NamedTuple):
    """The fields of an EVENT that matching reads."""

    kind: int
    order: int = 0
    other: int = 0
    price: int = 0
    quantity: int = 0
    instrument: int = 0
    side: int = 0
    source: int = 0
    flags: int = 0
    time_ns: int = 0


@dataclass(eq=False)
class Order:
    """An order, coming or at rest."""

    id: int
    account: int
    side: int
    bits: int
    price: int
    left: int
    stop: int = 0
    display: int = 0
    expiry: int = 0
    peg: int = 0
    worth: int = 0
    shown: int = 0
    place: list | None = None  # the list where it rests
    dated: bool = False

    @property
    def tif(self) -> int:
        return self.bits & TIF_MASK

    @property
    def market(self) -> bool:
        return self.bits & OrderFlag.MARKET != 0


@dataclass
class Market:
    """What is known of one instrument. Pairs of lists: of bids or buys, of asks or sells."""

    instrument: int
    state: int = State.TRADING
    tick: int = 0
    lot: int = 0
    reference: int = 0
    last: int = 0
    indicated_ns: int = 0
    books: tuple = field(default_factory=lambda: ([], []))
    stops: tuple = field(default_factory=lambda: ([], []))
    pegs: tuple = field(default_factory=lambda: ([], []))
    waiting: tuple = field(default_factory=lambda: ([], []))
    dates: list = field(default_factory=list)
    orders: dict = field(default_factory=dict)
    returns: list | None = None  # its scenarios, where there are any
    scale: int = 1  # half price units x lots in one unit of currency

    @property
    def collecting(self) -> bool:
        return self.state in (State.PAUSED, State.QUOTING)

    @property
    def base(self) -> int:
        return self.last or self.reference

    def lists(self) -> list:
        """Every list in which an order may rest, in the sequence of a mass cancel."""
        return [
            *(self.books[0], self.books[1], self.stops[1], self.stops[0]),
            *(self.waiting[0], self.pegs[0], self.pegs[1], self.waiting[1]),
        ]

    def level_count(self) -> int:
        books = sum(len({order.price for order in book}) for book in self.books)
        stops = sum(len({order.stop for order in stops}) for stops in self.stops)
        queues = sum(bool(queue) for queue in (*self.pegs, *self.waiting))
        return books + stops + queues + len({order.expiry for order in self.dates})


class Account:
    """What an account has at stake."""

    def __init__(self, limits):
        self.limits = limits
        self.switched = False
        self.open = 0
        self.standings = {}  # instrument -> [position, open bids, open asks, worth of the position]
        self.window_from_ns = self.messages = 0

    def standing(self, instrument: int) -> list:
        return self.standings.setdefault(instrument, [0, 0, 0, 0])

    @property
    def held(self) -> int:
        return sum(held for *_, held in self.standings.values())


class Matching:
    """All instruments and accounts, and what the last event gave: `out`."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.accounts = [Account(limits) for limits in settings.accounts]
        self.markets: dict[int, Market] = {}
        self.conditions: dict[int, Asked] = {}
        self.switched = False
        self.matches = 0

    def apply(self, asked: Asked) -> list:
        """Do what an event asks for; the records that it gives, as plain columns."""
        self.out, self.asked, self.stirred = [], asked, False
        market = self.market = self.markets.get(asked.instrument)
        if market:
            self.anchor = market.base
            while market.dates and market.dates[0].expiry <= asked.time_ns:
                self.cancel(market.dates[0], Why.EXPIRED)
        silent = self.carry_out(asked)
        if market and not silent:
            while self.stirred and (order := self.reached()):
                self.set_off(order)
            every = self.settings.auction_every_ns
            if every and market.collecting and asked.time_ns - market.indicated_ns >= every:
                self.tell_auction(self.equilibrium(), 0)
                market.indicated_ns = asked.time_ns
        return self.out

    def carry_out(self, asked: Asked) -> bool:
        """The event's own part; True where nothing can follow from it."""
        kind, market = asked.kind, self.market
        if kind == Event.ORDER:
            self.take_order()
        elif kind == Event.CANCEL_ORDER:
            if order := self.asked_order():
                self.cancel(order, Why.ASKED)
        elif kind == Event.REPLACE_ORDER:
            if order := self.asked_order():
                self.replace(order)
        elif kind == Event.CANCEL_ALL:
            self.cancel_all()
        elif kind == Event.CONDITION:
            self.conditions[asked.source] = asked
            return True
        elif kind == Event.SWITCH:
            self.switch()
            return True
        elif kind == Event.DIRECTORY:
            fits = 0 <= asked.instrument < self.settings.books.instruments
            room = len(self.markets) < self.settings.matched
            if asked.flags & MATCHED and not market and fits and room:
                found = scenarios_of(self, asked)
                self.markets[asked.instrument] = Market(asked.instrument, **found)
            return True
        elif market:
            self.venue(kind)
        return False

    def venue(self, kind: int) -> None:
        market, asked = self.market, self.asked
        if kind == Event.STATUS:
            before, market.state = market.state, asked.flags
            collecting = before in (State.PAUSED, State.QUOTING)
            if market.collecting:
                market.indicated_ns = asked.time_ns
            elif market.state != State.HALTED and (collecting or before == State.HALTED):
                self.auction(collecting)
        elif kind == Event.CLEAR:
            for queue in market.lists():
                for order in [order for order in queue if order.tif == Tif.DAY]:
                    self.cancel(order, Why.EXPIRED)
        elif kind == Event.TERMS:
            market.tick, market.lot = asked.order, asked.other
            if 0 <= asked.price <= PRICE_MAX:
                market.reference = asked.price

    # What is told.

    def tell(self, kind, order: Order, price, quantity, left, state) -> None:
        instrument = self.market.instrument
        words = (order.id, price, quantity, left)
        self.out.append((int(kind), instrument, order.side, int(state), *words))

    def tell_execution(self, order: Order, price: int, quantity: int, state: int) -> None:
        """Whose a fill was, where the account wants to be told."""
        if self.accounts and self.accounts[order.account].limits.executions:
            self.tell(Book.EXECUTION, order, price, quantity, order.account, state)

    def tell_auction(self, found: tuple, traded: int) -> None:
        price, quantity, imbalance = found
        words = (price, quantity, imbalance, self.market.base)
        instrument = self.market.instrument
        self.out.append((int(Book.AUCTION), instrument, int(Side.NONE), traded, *words))

    def tell_trade(self, side: int, price: int, quantity: int, order: int) -> None:
        self.matches += 1
        words = (price, quantity, order, self.matches)
        self.out.append((int(Book.TRADE), self.market.instrument, side, 0, *words))

    # Requests.

    def take_order(self) -> None:
        asked, market = self.asked, self.market
        order = Order(
            asked.order, asked.other, asked.side, asked.flags, asked.price, asked.quantity
        )
        more = self.conditions.pop(asked.source, None)
        if more and (more.order, more.instrument) == (asked.order, asked.instrument):
            order.stop, order.display, order.peg = more.price, more.quantity, more.flags
            order.expiry = more.other if order.tif == Tif.GTD else 0
        if not market:
            words = (asked.order, asked.price, asked.quantity, int(Reject.NOT_MATCHED))
            state = int(Event.ORDER)
            self.out.append((int(Book.REJECTED), asked.instrument, asked.side, state, *words))
            return
        order.worth = order.price or order.stop or market.base
        reasons = reasons_against(self, order, None)
        if not reasons and order.tif == Tif.FOK and not order.stop:
            if self.could_trade(order) < order.left:
                reasons = int(Reject.FOK)
        if reasons:
            self.tell(Book.REJECTED, order, order.price, order.left, reasons, Event.ORDER)
            return
        self.tell(Book.ACCEPTED, order, order.price, order.left, order.left, 0)
        self.open(order, order.left)
        self.send_on(order)

    def asked_order(self) -> Order | None:
        """The order that the event names, if it is the account's; refused where there is none."""
        asked, market = self.asked, self.market
        order = market.orders.get(asked.order) if market else None
        if order and order.account == asked.other:
            return order
        self.refuse(Reject.UNKNOWN_ORDER if market else Reject.NOT_MATCHED)
        return None

    def refuse(self, reasons: int) -> None:
        asked = self.asked
        words = (asked.order, asked.price, asked.quantity, int(reasons))
        tags = (int(Book.REJECTED), asked.instrument, asked.side, int(asked.kind))
        self.out.append((*tags, *words))

    def replace(self, order: Order) -> None:
        asked, market = self.asked, self.market
        new = Order(order.id, order.account, order.side, order.bits, asked.price, asked.quantity)
        new.stop, new.display, new.peg = order.stop, order.display, order.peg
        new.expiry, new.dated = order.expiry, order.dated
        new.worth = new.price or new.stop or market.base
        if reasons := reasons_against(self, new, order):
            self.refuse(reasons)
            return
        lost = order.left - new.left
        self.open(order, -order.left)
        self.tell(Book.REPLACED, new, new.price, lost, new.left, Why.ASKED)
        shown = any(order.place is book for book in market.books)
        same_place = not shown or order.price == new.price
        if lost >= 0 and same_place and not asked.flags & REQUEUE:
            order.price, order.worth, order.left = new.price, new.worth, new.left
            order.shown = min(order.shown, order.left)
            self.open(order, order.left)
            return
        self.lift(order)
        order.price, order.worth, order.left = new.price, new.worth, new.left
        self.open(order, order.left)
        self.send_on(order)

    def cancel_all(self) -> None:
        asked = self.asked
        if asked.instrument >= 0 and not self.market:
            return
        here = self.market
        for market in [here] if asked.instrument >= 0 else list(self.markets.values()):
            self.market = market
            for queue in market.lists():
                for order in list(queue):
                    mine = asked.other < 0 or order.account == asked.other
                    if mine and asked.side in (order.side, Side.NONE):
                        self.cancel(order, Why.MASS)
        self.market = here

    def switch(self) -> None:
        refused = bool(self.asked.flags & 1)
        if self.asked.other < 0:
            self.switched = refused
        elif self.asked.other < len(self.accounts):
            self.accounts[self.asked.other].switched = refused

    # Accounts.

    def open(self, order: Order, quantity: int) -> None:
        """So much more of an order is open."""
        if self.accounts:
            account = self.accounts[order.account]
            account.standing(self.market.instrument)[1 + order.side] += quantity
            account.open += quantity * order.worth

    def filled(self, order: Order, quantity: int, price: int) -> None:
        self.open(order, -quantity)
        if self.accounts:
            standing = self.accounts[order.account].standing(self.market.instrument)
            standing[0] += quantity if order.side == Side.BID else -quantity
            most = (1 << 61) // self.settings.matched
            standing[3] = min(abs(standing[0]) * price, most)

    # Coming to rest and leaving.

    def send_on(self, order: Order) -> None:
        if order.stop or order.peg or self.market.collecting:
            self.stirred |= order.stop > 0
            self.rest(order)
        else:
            self.match(order)

    def record_count(self) -> int:
        return sum(len(m.orders) + len(m.dates) for m in self.markets.values())

    def has_level(self) -> bool:
        levels = sum(market.level_count() for market in self.markets.values())
        return levels <= self.settings.books.levels

    def rest(self, order: Order) -> None:
        """Put what is left of an order where it belongs; it goes where that needs a level more."""
        market, side = self.market, order.side
        order.shown = order.left
        if order.expiry and not order.dated:
            order.dated = True
            insort(market.dates, order, key=lambda other: other.expiry)
        if order.stop:
            order.place = market.stops[side]
            insort(order.place, order, key=lambda o: o.stop if side == Side.BID else -o.stop)
        elif order.peg or order.market:
            order.place = (market.pegs if order.peg else market.waiting)[side]
            order.place.append(order)
        else:
            order.place = market.books[side]
            if order.display:
                order.shown = min(order.display, order.left)
            insort(order.place, order, key=lambda o: -o.price if side == Side.BID else o.price)
        market.orders[order.id] = order
        if not self.has_level():
            self.cancel(order, Why.FULL)

    def lift(self, order: Order) -> None:
        """Take an order from where it rests; its date stays."""
        order.place.remove(order)
        order.place = None
        del self.market.orders[order.id]

    def forget(self, order: Order) -> None:
        """An order is gone."""
        if order.place is not None:
            self.lift(order)
        if order.dated:
            self.market.dates.remove(order)
            order.dated = False

    def cancel(self, order: Order, why: Why) -> None:
        """Take an order away, coming or at rest, and tell."""
        self.tell(Book.CANCELED, order, order.price, order.left, 0, why)
        self.open(order, -order.left)
        order.left = 0
        self.forget(order)

    # Trading.

    def edge(self, order: Order) -> int | None:
        """The worst price that the band allows an order; None: any."""
        band = self.settings.band_bps
        if not band or not self.anchor:
            return None
        if order.side == Side.BID:
            return self.anchor * (BPS + band) // BPS
        return -(-self.anchor * (BPS - band) // BPS)

    def allows(self, order: Order, price: int) -> bool:
        """Whether an order's own limit allows a price."""
        limit = order.price
        if order.market or (order.peg and not limit):
            return True
        return price <= limit if order.side == Side.BID else price >= limit

    def in_band(self, order: Order, price: int) -> bool:
        edge = self.edge(order)
        return edge is None or (price <= edge if order.side == Side.BID else price >= edge)

    def stp(self, order: Order, other: Order) -> int:
        """What an order does that meets this other one."""
        return order.bits >> STP_BITS if order.account == other.account else 0

    def match(self, order: Order) -> None:
        """Let an order trade, and settle what is left."""
        market, others = self.market, self.market.books[1 - order.side]
        held_back = False
        while order.left and others and self.allows(order, others[0].price):
            price = others[0].price
            if not self.in_band(order, price):
                held_back = True
                break
            self.encounter(order, others[0], price)
            if not others or others[0].price != price:
                for peg in list(market.pegs[1 - order.side]):
                    if order.left and self.allows(peg, price):
                        self.encounter(order, peg, price)
        if not order.left:
            self.forget(order)
        elif held_back:
            self.hold_back(order)
        elif order.tif in (Tif.IOC, Tif.FOK):
            self.cancel(order, Why.IOC if order.tif == Tif.IOC else Why.FOK)
        elif order.market:
            self.cancel(order, Why.MARKET)
        else:
            self.rest(order)

    def hold_back(self, order: Order) -> None:
        """Only the band keeps an order from trading."""
        if self.settings.band_pauses:
            self.market.state = State.PAUSED
            tags = (int(Book.STATUS), self.market.instrument, int(Side.NONE), int(State.PAUSED))
            self.out.append((*tags, 0, 0, 0, 0))
        if self.settings.band_pauses and order.tif not in (Tif.IOC, Tif.FOK):
            self.rest(order)
        else:
            self.cancel(order, Why.BAND)

    def encounter(self, order: Order, other: Order, price: int) -> None:
        mode = self.stp(order, other)
        if mode == Stp.NONE:
            self.trade(order, other, price)
        elif mode == Stp.DECREMENT:
            lost = min(order.left, other.left)
            for one in (other, order):
                if one.left == lost:
                    self.cancel(one, Why.STP)
                else:
                    one.left -= lost
                    one.shown = min(one.shown, one.left)
                    self.open(one, -lost)
                    self.tell(Book.REPLACED, one, one.price, lost, one.left, Why.STP)
        else:
            if mode in (Stp.OLDEST, Stp.BOTH):
                self.cancel(other, Why.STP)
            if mode in (Stp.NEWEST, Stp.BOTH):
                self.cancel(order, Why.STP)

    def trade(self, order: Order, other: Order, price: int) -> None:
        quantity = min(order.left, other.shown)
        order.left -= quantity
        other.left -= quantity
        other.shown -= quantity
        self.tell_trade(other.side, price, quantity, other.id)
        self.tell(Book.FILL, other, price, quantity, other.left, Liquidity.MAKER)
        self.tell(Book.FILL, order, price, quantity, order.left, Liquidity.TAKER)
        self.tell_execution(other, price, quantity, Liquidity.MAKER)
        self.tell_execution(order, price, quantity, Liquidity.TAKER)
        self.filled(other, quantity, price)
        self.filled(order, quantity, price)
        self.market.last, self.stirred = price, True
        if not other.left:
            self.forget(other)
        elif not other.shown:  # an iceberg shows its next part, at the tail of its price
            other.shown = min(other.display, other.left)
            side, place = other.side, other.place
            place.remove(other)
            insort(place, other, key=lambda o: -o.price if side == Side.BID else o.price)
            self.tell(Book.REPLACED, other, price, 0, other.left, Why.REFRESHED)

    def could_trade(self, order: Order) -> int:
        """How much an order would trade, found by playing it through on paper."""
        others, total, seen = self.market.books[1 - order.side], 0, set()
        for price in dict.fromkeys(other.price for other in others):
            if not (self.allows(order, price) and self.in_band(order, price)):
                break
            line = [(o, o.shown, o.left - o.shown) for o in others if o.price == price]
            line += [
                (peg, peg.left, 0)
                for peg in self.market.pegs[1 - order.side]
                if self.allows(peg, price) and peg not in seen
            ]
            pegs = [entry for entry in line if entry[0].peg]
            line = [entry for entry in line if not entry[0].peg]
            seen.update(peg for peg, *_ in pegs)
            while line or pegs:
                other, shown, hidden = (line or pegs).pop(0)
                if total >= order.left:
                    return total
                mode = self.stp(order, other)
                if mode == Stp.OLDEST:
                    continue
                if mode != Stp.NONE:
                    return total
                total += shown
                if hidden:
                    part = min(hidden, other.display)
                    line.append((other, part, hidden - part))
        return total

    # Stops.

    def reached(self) -> Order | None:
        """The stop order that trades next."""
        market = self.market
        if not market.last or market.collecting or market.state == State.HALTED:
            return None
        buys, sells = market.stops
        if buys and buys[0].stop <= market.last:
            return buys[0]
        if sells and sells[0].stop >= market.last:
            return sells[0]
        return None

    def set_off(self, order: Order) -> None:
        self.lift(order)
        self.tell(Book.TRIGGERED, order, order.price, order.left, order.left, 0)
        order.stop = 0
        if order.tif == Tif.FOK and self.could_trade(order) < order.left:
            self.cancel(order, Why.FOK)
        else:
            self.match(order)

    # Call auctions.

    def equilibrium(self) -> tuple:
        """Price, quantity and imbalance of a call auction now."""
        market = self.market
        prices = {order.price for book in market.books for order in book}
        if market.base and (market.tick <= 1 or market.base % market.tick == 0):
            prices.add(market.base)
        found = []
        for price in sorted(prices):
            demand, supply = (
                sum(o.left for o in market.waiting[side])
                + sum(o.left for o in market.books[side] if self.allows(o, price))
                for side in (0, 1)
            )
            if min(demand, supply):
                found.append((price, min(demand, supply), demand - supply))
        if not found:
            return 0, 0, 0
        most = max(quantity for _, quantity, _ in found)
        found = [entry for entry in found if entry[1] == most]
        least = min(abs(imbalance) for *_, imbalance in found)
        found = [entry for entry in found if abs(entry[2]) == least]
        if all(imbalance > 0 for *_, imbalance in found):
            return found[-1]
        if all(imbalance < 0 for *_, imbalance in found):
            return found[0]
        return min(found, key=lambda entry: (abs(entry[0] - market.base), entry[0]))

    def auction(self, collected: bool) -> None:
        market, found = self.market, self.equilibrium()
        price, quantity, _ = found
        if collected or quantity:
            self.tell_auction(found, 1)
        while quantity:
            pair = [(market.waiting[side] + market.books[side])[0] for side in (0, 1)]
            traded = min(quantity, *(order.left for order in pair))
            quantity -= traded
            self.tell_trade(Side.BID.value, price, traded, pair[0].id)
            for order in pair:
                order.left -= traded
                order.shown = min(order.shown, order.left)
                self.filled(order, traded, price)
                self.tell(Book.FILL, order, price, traded, order.left, Liquidity.AUCTION)
                if not order.left:
                    self.forget(order)
            for order in pair:
                self.tell_execution(order, price, traded, Liquidity.AUCTION)
            market.last = price
        for queue in market.waiting:
            for order in list(queue):
                self.cancel(order, Why.MARKET)
        self.stirred = True
