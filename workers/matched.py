"""Orders of clients in the book stage: what matching says of an event, as records of the book ring.

An event may set off thousands of trades. They come in steps: `serve` does one, and the turn comes
back with the same event for as long as `at_work`, whenever the ring has room. What is in hand lies
in the engine, so a snapshot between two steps goes on where it was.
"""

import msgspec
import numpy as np

from ringbuf.atomics import at, copy_words
from ringbuf.jit import kernel
from workers import answers
from workers.beside import enrich_trade, pass_time
from workers.contracts import contract_of
from workers.keeper import (
    COUNTERS,
    KEEPER,
    PLAIN_MAX,
    REASONS_AT,
    REPORTS_AT,
    STAND_IN_AT,
    answer,
    note_of,
    send,
)
from workers.kernels import matching, var_block
from workers.kernels.engine import BPS, CHANGE, CHANGES_STEP, OUTPUTS_STEP, change_at, output_at
from workers.kernels.engine_settings import AccountLimits, Settings
from workers.kernels.orderbook import Outcome
from workers.kernels.positions import SHARE
from workers.kernels.resting import Limits
from workers.kernels.var_block import SYMBOL_BYTES
from workers.records import EVENT, LEVEL, MONEY_SCALE, REPORT, TOP, TRADE, Event
from workers.records import Book as Kind
from workers.risk_options import RiskOptions, all_scenarios
from workers.scenarios import ScenarioError

HOLDING_EVENT = int(Event.HOLDING)
ANSWERS_WORDS = 2  # cause and time, which the engine leaves to us
TRADES_STEP = 3  # at most, of those records; each may be followed by flows and bars
VAR_MIN, VAR_MAX = 1 / MONEY_SCALE, 10**12  # currency
FIRST, LAST = int(Kind.ACCEPTED), int(Kind.AUCTION)


class AccountOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One of [[book.matching.accounts]]: what its orders are held to; left out: no limit.

    Quantities in lots; values in price units x lots of the instrument.
    """

    name: str = ""
    max_quantity: int | None = None  # of an order
    max_value: int | None = None  # of an order
    max_position: int | None = None  # of an instrument, all open orders of a side filled
    credit: int | None = None  # value of open orders and positions together
    collar_percent: float | None = None  # how far a price may lie from the last trade
    messages: int | None = None  # orders and replacements in `window_ms`
    window_ms: int = 1000
    reduce_when_off: bool = False  # switched off, orders that only reduce a position are taken
    executions: bool = False  # an EXECUTION record is told behind each of its fills
    # Currency: value at risk 99 % of all that it holds, were all open orders of the side filled.
    var_max: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_quantity", "max_value", "max_position", "credit", "messages"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 1 << 60:
                raise ValueError(f"{name} = {value}: give 1 to {1 << 60}, or leave it out")
        if self.collar_percent is not None and not 0.01 <= self.collar_percent <= 10_000:
            raise ValueError(f"collar_percent = {self.collar_percent}: give 0.01 to 10000")
        if not 1 <= self.window_ms <= 86_400_000:
            raise ValueError(f"window_ms = {self.window_ms}: give 1 to 86400000")
        if self.var_max is not None and not VAR_MIN <= self.var_max <= VAR_MAX:
            raise ValueError(
                f"var_max = {self.var_max}: give more than 0, at most {VAR_MAX:,}, or leave it out"
            )

    def limits(self) -> AccountLimits:
        """What the kernel takes."""
        return AccountLimits(
            self.max_quantity or 0,
            self.max_value or 0,
            round((self.collar_percent or 0) * BPS / 100),
            self.max_position or 0,
            self.credit or 0,
            self.messages or 0,
            self.window_ms * 1_000_000,
            self.reduce_when_off,
            int(self.executions),
            round((self.var_max or 0) * MONEY_SCALE),
        )


class MatchingOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """[book.matching]: orders of clients are matched in the books of instruments of our own."""

    instruments: int = 64  # that can be matched
    accounts: list[AccountOptions] = []  # 0, 1, ...; none: any account may trade, without limits
    band_percent: float | None = None  # no trade is further from the last one before the event
    on_band: str = "reject"  # what is left of the order goes; `pause`: a call auction follows
    auction_ms: float | None = None  # a call auction's price is told so often; None: at its end

    def __post_init__(self) -> None:
        if not 1 <= self.instruments <= 1 << 16:
            raise ValueError(f"instruments = {self.instruments}: give 1 to {1 << 16}")
        if self.band_percent is not None and not 0.01 <= self.band_percent < 100:
            raise ValueError(f"band_percent = {self.band_percent}: give 0.01 to 99.99")
        if self.on_band not in ("reject", "pause"):
            raise ValueError(f"on_band = {self.on_band!r}: give 'reject' or 'pause'")
        if self.auction_ms is not None and not 0.001 <= self.auction_ms <= 86_400_000:
            raise ValueError(f"auction_ms = {self.auction_ms}: give 0.001 to 86400000")

    def settings(self, books: Limits) -> Settings:
        """What the kernel takes; books: limits of the instruments that are shown."""
        return Settings(
            books,
            min(self.instruments, books.instruments),
            [account.limits() for account in self.accounts],
            round((self.band_percent or 0) * BPS / 100),
            self.on_band == "pause",
            round((self.auction_ms or 0) * 1e6),
        )


def announceable(risk: RiskOptions) -> dict[str, np.ndarray]:
    """The scenarios of all symbols that an instrument can have; ScenarioError for none.

    What has a multiplier or is in another currency is measured by the risk stage only: the engine
    knows neither, so an order in it is refused (VAR_UNKNOWN).
    """
    plain = {
        symbol: returns
        for symbol, returns in all_scenarios(risk).items()
        if contract_of(symbol, risk.instruments, risk.currencies)._replace(future=False) == SHARE
    }
    found = var_block.usable(plain)
    if not found:
        raise ScenarioError(
            f"risk.scenarios: no symbol of 1 to {SYMBOL_BYTES} ASCII characters has returns: "
            "accounts that are held to var_max could do nothing; name the symbols that they trade"
        )
    return {symbol.decode().rstrip(): returns for symbol, returns in found.items()}


def step_max(beside: int, flows: int, bars: int) -> int:
    """The most records that a step can give: reports, levels, tops of as many instruments.

    beside: with each top; flows: with each trade; bars: with each trade, and before the event.
    """
    tops = (CHANGES_STEP + 1) * (1 + beside)
    return OUTPUTS_STEP + CHANGES_STEP + tops + TRADES_STEP * (flows + bars) + bars


@kernel
def at_work(state):
    """Whether matching has more to do for the event that was taken last."""
    keeper = at(state, KEEPER)
    return keeper.engine != 0 and matching.busy(keeper.engine)


@kernel
def concerned(keeper, event):
    """Whether an event is for matching: what clients want, or of an instrument that is matched."""
    if keeper.engine == 0 or event.kind == HOLDING_EVENT:
        return False
    return matching.concerns(keeper.engine, event) or matching.is_matched(
        keeper.engine, event.instrument
    )


@kernel
def serve(state, writer, event):
    """Have matching do the next step for an event, and publish what it gives; how many records."""
    keeper = at(state, KEEPER)
    engine, tally = keeper.engine, at(keeper.counters, COUNTERS)
    before = int(keeper.index)
    if not matching.busy(engine):
        before = keeper.index = 0
        tally.received += 1
        if not matching.concerns(engine, event):
            answers.count(keeper.counters, Outcome.BAD_KIND.value)
            return 0
        tally.requests += 1
        begin(state, writer, event)
    given = matching.step(engine, keeper.book)
    for number in range(given):
        relay(state, writer, event, output_at(engine, number))
    for number in range(matching.changes(engine)):
        show_change(state, writer, event, change_at(engine, number))
    if not matching.busy(engine) and 0 <= event.instrument < keeper.instruments:
        answers.show_top(state, writer, event, 0)
    tally.published += keeper.index - before
    return keeper.index - before


@kernel
def begin(state, writer, event):
    """Hand an event to matching; what it says of an instrument is for the stage, too."""
    keeper = at(state, KEEPER)
    if keeper.bars:
        pass_time(state, writer, event)
    if event.kind == Event.STATUS or event.kind == Event.DIRECTORY:
        answers.inform(state, writer, event)
    matching.begin(keeper.engine, keeper.book, event)


@kernel
def stand_in(state, event, instrument):
    """The event as if it were of another instrument: what follows may be about several."""
    if event.instrument == instrument:
        return event
    address = state + STAND_IN_AT
    other = at(address, EVENT)
    other.time_ns, other["sequence"] = event.time_ns, event["sequence"]
    other.kind, other.instrument = event.kind, instrument
    return other


@kernel
def relay(state, writer, event, place):
    """Publish a record of the engine's."""
    keeper, told = at(state, KEEPER), at(place, TOP)
    mine = stand_in(state, event, told.instrument)
    if told.kind == Kind.STATUS:
        note = note_of(state, told.instrument)
        note.state = note.state & ~answers.STATES | told.state
        answers.status(state, writer, mine)
        return
    address = answer(state, writer, mine)
    index = at(address, TOP).index
    copy_words(address + 8 * ANSWERS_WORDS, place + 8 * ANSWERS_WORDS, 5)
    at(address, TOP).index = index
    send(state, writer)
    if told.kind == Kind.TRADE:
        traded(state, writer, mine, at(place, TRADE))
    else:
        at(keeper.counters + REPORTS_AT + 8 * (told.kind - FIRST), answers.ONE).value += 1
        if told.kind == Kind.REJECTED:
            count_reasons(keeper.counters, at(place, REPORT).left)


@kernel
def count_reasons(counters, reasons):
    """Count every reason that an order was refused for."""
    place, reasons = counters + REASONS_AT, int(reasons)
    while reasons > 0:
        at(place, answers.ONE).value += reasons & 1
        place, reasons = place + 8, reasons >> 1


@kernel
def traded(state, writer, event, trade):
    """Note a trade, and publish what follows from it."""
    keeper, note = at(state, KEEPER), note_of(state, event.instrument)
    at(keeper.counters, COUNTERS).trades += 1
    note.traded_price, note.traded_quantity = trade.price, trade.quantity
    note.volume += trade.quantity
    answers.mark_moved(state, event)
    if keeper.room > PLAIN_MAX:
        enrich_trade(state, writer, event, trade.price, trade.quantity)


@kernel
def show_change(state, writer, event, place):
    """Publish a level that is another one now, and see to it that the best prices are shown."""
    keeper, change = at(state, KEEPER), at(place, CHANGE)
    instrument = change.owner >> 1
    mine = stand_in(state, event, instrument)
    answers.mark_moved(state, mine)
    if keeper.levels:
        record_ = at(answer(state, writer, mine), LEVEL)
        record_.price, record_.quantity = change.price, change.quantity
        record_.orders, record_.spare = change.orders, 0
        record_.kind, record_.side = Kind.LEVEL, change.owner & 1
        record_.state = note_of(state, instrument).state
        send(state, writer)
        at(keeper.counters, COUNTERS).levels += 1
    if change.best:
        note_of(state, instrument).moved = 1
        if instrument != event.instrument:
            answers.show_top(state, writer, mine, 0)
