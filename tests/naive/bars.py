"""Bars as anybody would cut them: lists of trades, summed up at the end."""

from fractions import Fraction
from typing import NamedTuple

from workers.kernels.bars import Cut
from workers.kernels.notional import LIMIT


class Bar(NamedTuple):
    """A closed bar."""

    instrument: int
    series: int
    start_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int
    vwap: Fraction


class Bars:
    """All series of all instruments; `trades` of (instrument, series) are of the open bar."""

    def __init__(self, instruments: int, series: list[tuple[Cut, int]]):
        self.instruments, self.series = instruments, series
        self.trades: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        self.used, self.turn = 0, 0

    def on_time(self, instrument: int, time_ns: int) -> list[Bar]:
        closed = self.expire(instrument, time_ns)
        if self.used:
            self.turn = (self.turn + 1) % self.used
            closed += self.expire(self.turn, time_ns)
        return closed

    def expire(self, instrument: int, time_ns: int) -> list[Bar]:
        return [
            self.shut(instrument, number)
            for number, (cut, length) in enumerate(self.series)
            if cut == Cut.TIME and self.trades.get((instrument, number))
            if time_ns >= self.start(instrument, number) + length
        ]

    def on_trade(self, instrument: int, time_ns: int, price: int, quantity: int) -> list[Bar]:
        self.used, closed = max(self.used, instrument + 1), []
        for number, (cut, length) in enumerate(self.series):
            trades = self.trades.setdefault((instrument, number), [])
            if trades:
                late = self.start(instrument, number) - time_ns
                over = cut == Cut.TIME and not -length < late <= length
                if over or sum(lots for *_, lots in trades) + quantity > LIMIT:
                    closed.append(self.shut(instrument, number))
            trades = self.trades.setdefault((instrument, number), [])
            trades.append((time_ns, price, quantity))
            full = {Cut.TIME: -1, Cut.TRADES: len(trades), Cut.VOLUME: sum(q for *_, q in trades)}
            if full[cut] >= length:
                closed.append(self.shut(instrument, number))
        return closed

    def start(self, instrument: int, number: int) -> int:
        cut, length = self.series[number]
        first = self.trades[instrument, number][0][0]
        return first - first % length if cut == Cut.TIME else first

    def shut(self, instrument: int, number: int) -> Bar:
        start = self.start(instrument, number)
        trades = self.trades.pop((instrument, number))
        prices, volume = [price for _, price, _ in trades], sum(lots for *_, lots in trades)
        vwap = Fraction(sum(price * lots for _, price, lots in trades), volume)
        ends = prices[0], max(prices), min(prices), prices[-1]
        return Bar(instrument, number, start, *ends, volume, len(trades), vwap)
