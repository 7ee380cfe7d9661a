"""The risk stage as anybody would write it: what must come out."""

from collections import Counter
from fractions import Fraction

import numpy as np

from tests.naive.ledger import Ledger
from tests.naive.risk_abroad import Abroad
from workers.kernels.position_block import PRICE_LIMIT
from workers.kernels.positions import Contract
from workers.records import (
    EXECUTION,
    HOLDING,
    LIMIT,
    MONEY_SCALE,
    POSITION_RECORD,
    RISK,
    Book,
    Mark,
    Measure,
    Side,
    Standing,
    Telling,
    empty,
)
from workers.risk import CONVENTION
from workers.risk_options import RiskOptions, load_scenarios


def parents_by_name(options: RiskOptions) -> list[int]:
    """The place of each portfolio's parent in the list, -1 where it has none."""
    names = [portfolio.name for portfolio in options.portfolios]
    return [names.index(p.parent) if p.parent else -1 for p in options.portfolios]


class NaiveRisk:
    """Records of the book ring in, those of the risk ring out."""

    def __init__(
        self,
        options: RiskOptions,
        names: dict[int, tuple[str, int]],
        named: frozenset[int] = frozenset(),
    ) -> None:
        """named: instruments that only lines tell of."""
        self.options, self.names, self.named = options, names, named
        self.seen: set[int] = set()  # instruments of tops and executions that were looked at
        self.alias: dict[int, int] = {}  # of those that are named: the one that is held
        self.returns = load_scenarios(options)
        days = max((len(row) for row in self.returns.values()), default=0)
        self.risk = Abroad(len(options.portfolios), days, parents_by_name(options))
        self.currencies = [None, *options.currencies]
        for number, currency in enumerate(options.currencies.values(), 1):
            if currency.rate is not None:
                self.risk.rates[number] = Fraction(str(currency.rate))
        self.met: dict[str, int] = {}  # symbol -> the instrument that was first of that name
        self.marks: dict[int, int] = {}
        self.interval_ns = options.conflate_ms * 1_000_000
        self.waiting: dict[int, np.ndarray] = {}  # instrument -> the top that is to be taken
        self.latest: int | None = None  # interval
        self.standings: dict[tuple[int, Measure], Standing] = {}
        self.ledgers: dict[tuple[int, int], Ledger] = {}  # portfolio, instrument
        self.filled: set[tuple[int, int]] = set()  # those that an execution is in
        self.brought: Counter[tuple[int, int]] = Counter()  # by futures in other currencies
        self.missed: Counter[int] = Counter()  # executions that are in no position
        self.records: list[bytes] = []

    def take(self, top: np.ndarray) -> None:
        """Mark what is held to one record, if it is a top that moves a mark."""
        if top["kind"] == Book.EXECUTION:
            execution = np.frombuffer(top.tobytes(), EXECUTION)[0]
            owner, index = self.join(execution), self.turn_over(top)
            if owner is not None:
                self.execute(owner, execution, index)
            return
        if top["kind"] == Book.HOLDING and self.options.lines:
            told = np.frombuffer(top.tobytes(), HOLDING)[0]
            owner, instrument = int(told["portfolio"]), self.place(int(told["instrument"]))
            self.join_one(owner, instrument)
            self.be_told(owner, told, instrument, self.turn_over(top))
            return
        instrument, bid, ask = int(top["instrument"]), int(top["bid"]), int(top["ask"])
        held = top["kind"] == Book.TOP and self.holds(instrument)
        self.turn_over(top)
        if not held:
            return
        good = bid > 0 and ask > 0 and max(bid, ask) <= PRICE_LIMIT
        good &= not top["state"] & (Mark.STALE | Mark.CROSSED | Mark.BARRED)
        if not good or self.newest(instrument) == bid + ask:
            return
        if self.marks.get(instrument) == bid + ask:
            del self.waiting[instrument]
        else:
            self.waiting[instrument] = top
        if not self.interval_ns:
            self.mark_all(top)

    def newest(self, instrument: int) -> int | None:
        """The mark that waits, or else the one that stands."""
        top = self.waiting.get(instrument)
        return self.marks.get(instrument) if top is None else int(top["bid"] + top["ask"])

    def turn_over(self, top: np.ndarray) -> int:
        """Take what waits, where a record is of a later interval; the next index."""
        interval = int(top["time_ns"]) // self.interval_ns if self.interval_ns else None
        if interval is not None and (self.latest is None or interval > self.latest):
            self.latest = interval
            return self.mark_all(top)
        return 0

    def mark_all(self, top: np.ndarray) -> int:
        """Take what waits, and tell what this record caused."""
        waited, self.waiting = self.waiting, {}
        rows = list(self.risk.scales)  # as they were first held, or quoted
        for instrument, one in sorted(waited.items(), key=lambda one: rows.index(one[0])):
            bid, ask = int(one["bid"]), int(one["ask"])
            self.marks[instrument] = bid + ask
            assert self.risk.mark(instrument, bid, ask)
        index = 0
        for number in range(len(self.options.portfolios)):
            mine = [one for i, one in waited.items() if self.risk.is_concerned(number, i)]
            if mine:
                newest = max(mine, key=lambda one: one["sequence"])
                index = self.answer(top, int(newest["instrument"]), number, index)
        return index

    def join(self, execution: np.ndarray) -> int | None:
        """The portfolio whose account it is of, which holds the instrument from here on."""
        portfolios, instrument = self.options.portfolios, int(execution["instrument"])
        owners = [n for n, p in enumerate(portfolios) if execution["account"] in p.accounts]
        for owner in owners:
            self.holds(instrument)
            self.join_one(owner, instrument)
        return owners[0] if owners else None

    def join_one(self, owner: int, instrument: int) -> None:
        """Have a portfolio hold an instrument, where there are scenarios for it."""
        portfolio = self.options.portfolios[owner]
        symbol, _ = self.names[instrument]
        if symbol in self.returns and (owner, instrument) not in self.ledgers:
            lots = portfolio.lots if portfolio.accounting == "fifo" else None
            self.ledgers[owner, instrument] = Ledger(lots)
            if instrument not in self.risk.portfolios[owner]:
                self.hold(owner, instrument, 0, 0)

    def place(self, told: int) -> int:
        """The instrument in which what is told of one is held."""
        symbol, _ = self.names[told]
        if told in self.alias:
            return self.alias[told]
        if told not in self.named:
            self.holds(told)
            return told
        if symbol not in self.met:
            self.holds(told)
            self.seen.discard(told)
        held = [one for one in self.risk.scales if self.names[one][0] == symbol]
        known = sorted(one for one in self.seen if self.names[one][0] == symbol)
        self.alias[told] = [*held, *known, told][0]
        return self.alias[told]

    def go_over(self, instrument: int) -> None:
        """An instrument with a book is met: it is what was told of its symbol before."""
        symbol, scale = self.names[instrument]
        old = self.met.get(symbol)
        if old not in self.named or old not in self.risk.scales:
            return
        risk = self.risk
        order = [instrument if one == old else one for one in risk.scales]
        risk.scales[instrument] = scale
        risk.scales = {one: risk.scales[one] for one in order}
        for table in (risk.returns, risk.contracts, risk.quoted):
            if old in table:
                table[instrument] = table.pop(old)
        for held in risk.portfolios:
            if old in held:
                held[instrument] = held.pop(old)
        for keyed in (risk.own, self.ledgers, self.brought):
            for owner, one in [*keyed]:
                if one == old:
                    keyed[owner, instrument] = keyed.pop((owner, one))
        self.filled = {(n, instrument if one == old else one) for n, one in self.filled}
        self.met[symbol] = instrument
        self.alias = {a: instrument if b == old else b for a, b in self.alias.items()}

    def be_told(self, owner: int, told: np.ndarray, instrument: int, index: int) -> None:
        """Have what a line says be in a portfolio's position."""
        key, mine = (owner, instrument), self.ledgers.get((owner, instrument))
        quantity = int(told["quantity"]) * (1 if told["side"] == Side.BID else -1)
        _, scale = self.names[int(told["instrument"])]
        if told["state"] == Telling.TRADE or mine is None:
            self.enter(key, told, quantity, scale, index)
            return
        contract, rate = self.risk.contracts[instrument], self.risk.rate(instrument)
        apart = contract.currency > 0 and contract.future
        lot = Fraction(MONEY_SCALE * contract.multiplier, scale * contract.over)
        own = round(quantity * int(told["price"]) * lot)
        kept = rate is not None and not apart
        cost = round(own * rate) if kept else own
        mine.reset(quantity, cost)
        self.filled.discard(key)
        if kept:
            self.filled.add(key)
        self.hold(owner, instrument, quantity, cost, kept)
        self.write(
            POSITION_RECORD, told, int(told["instrument"]), owner, index, kind=3, amount=0,
            quantity=quantity, cost=self.cost_of(key), realised=self.realised_of(key),
        )  # fmt: skip
        self.answer_above(owner, told, index + 1)

    def cost_of(self, key: tuple[int, int]) -> int:
        """Of one position, in the base currency; 0 as long as that cannot be told."""
        rate = self.risk.rate(key[1])
        if key in self.risk.own:
            return 0 if rate is None else round(self.risk.own[key] * rate)
        return self.risk.portfolios[key[0]][key[1]][1]

    def execute(self, owner: int, execution: np.ndarray, index: int) -> None:
        """Have an execution be in a portfolio's position."""
        instrument = int(execution["instrument"])
        quantity = int(execution["quantity"]) * (1 if execution["side"] == Side.BID else -1)
        self.enter((owner, instrument), execution, quantity, self.names[instrument][1], index)

    def enter(
        self, key: tuple[int, int], execution: np.ndarray, quantity: int, scale: int, index: int
    ) -> None:
        """Enter what was bought; below 0: sold."""
        owner, instrument = key
        mine = self.ledgers.get(key)
        if mine is None or not quantity or self.risk.rate(instrument) is None:
            self.missed[owner] += 1
        else:
            contract, rate = self.risk.contracts[instrument], self.risk.rate(instrument)
            apart = contract.currency > 0 and contract.future
            self.risk.convert(key)
            if key not in self.filled:
                held, cost = self.risk.portfolios[owner][instrument]
                mine.reset(held, self.risk.own.get(key, cost))
                self.filled.add(key)
            lot = Fraction(MONEY_SCALE * contract.multiplier, scale * contract.over)
            own = round(quantity * int(execution["price"]) * lot)
            amount = round(own * rate)
            before = mine.realised
            mine.fill(quantity, own if apart else amount)
            if apart:
                self.brought[key] += round((mine.realised - before) * rate)
            self.hold(owner, instrument, mine.quantity, mine.cost, kept=True)
            self.write(
                POSITION_RECORD, execution, int(execution["instrument"]), owner, index,
                kind=3, amount=amount,
                quantity=mine.quantity, cost=round(mine.cost * rate) if apart else mine.cost,
                realised=self.realised_of(key),
            )  # fmt: skip
            index += 1
        self.answer_above(owner, execution, index)

    def answer_above(self, owner: int, told: np.ndarray, index: int) -> None:
        for number in range(len(self.options.portfolios)):
            if owner in self.risk.family(number):
                index = self.answer(told, int(told["instrument"]), number, index)

    def realised(self, number: int) -> int:
        """What executions have brought a portfolio and those below it."""
        family = self.risk.family(number)
        return sum(self.realised_of(key) for key in self.ledgers if key[0] in family)

    def realised_of(self, key: tuple[int, int]) -> int:
        """By one position, in the base currency."""
        contract = self.risk.contracts[key[1]]
        apart = contract.currency > 0 and contract.future
        return self.brought[key] if apart else self.ledgers[key].realised

    def contract(self, symbol: str) -> Contract:
        """What a lot is."""
        options = self.options.instruments.get(symbol)
        if options is None:
            return Contract()
        exact = Fraction(str(options.multiplier))
        known = options.currency in self.options.currencies
        number = self.currencies.index(options.currency) if known else 0
        return Contract(exact.numerator, exact.denominator, number, options.kind == "future")

    def hold(
        self, number: int, instrument: int, quantity: int, cost: int, kept: bool = False
    ) -> None:
        symbol, scale = self.names[instrument]
        returns, contract = self.returns[symbol], self.contract(symbol)
        self.risk.hold(number, instrument, quantity, cost, scale, returns, contract, kept)

    def end(self) -> None:
        """Nothing follows: take what waits, which only the board shows."""
        told = len(self.records)
        for top in [*self.waiting.values()][-1:]:
            self.mark_all(top)
        del self.records[told:]

    def holds(self, instrument: int) -> bool:
        """Whether any portfolio holds an instrument; positions join when it is first met."""
        symbol, scale = self.names[instrument]
        if symbol in self.met and instrument not in self.seen | self.named:
            self.go_over(instrument)
        self.seen.add(instrument)
        if symbol not in self.met:
            self.met[symbol] = instrument
            for number, portfolio in enumerate(self.options.portfolios):
                position = portfolio.positions.get(symbol)
                if position:
                    contract = self.contract(symbol)
                    cost = position.quantity * position.price * MONEY_SCALE
                    cost *= contract.multiplier / contract.over
                    kept = position.rate is not None
                    cost = round(cost * position.rate if kept else cost)
                    self.hold(number, instrument, position.quantity, cost, kept)
            for currency, terms in enumerate(self.options.currencies.values(), 1):
                if terms.symbol == symbol and self.options.portfolios:
                    self.risk.quote(currency, instrument, scale)
        held = any(instrument in held for held in self.risk.portfolios)
        return held or instrument in self.risk.quoted

    def answer(self, top: np.ndarray, instrument: int, number: int, index: int) -> int:
        """One record, and one for each limit that is stood to in another way; the next index."""
        risk = self.risk
        names = ("value", "pnl", "var_99", "es_975")
        said = {name: getattr(risk, name)(number) for name in names}
        said["pnl"] += self.realised(number)
        self.write(RISK, top, instrument, number, index, kind=CONVENTION, **said)
        options = self.options.portfolios[number].limits
        for measure, most in options.amounts().items():
            money = round(most * MONEY_SCALE)
            amount = {
                Measure.VALUE: risk.notional(number), Measure.LOSS: -said["pnl"],
            }.get(measure, said.get(measure.name.lower()))  # fmt: skip
            doubtful = self.doubtful(number)
            warned = amount > round(money * options.warn)
            after = Standing.WARN if warned else Standing.OK
            after = Standing.UNKNOWN if doubtful else after
            after = Standing.BREACH if amount > money else after
            before = self.standings.get((number, measure), Standing.UNKNOWN)
            if after != before:
                self.standings[number, measure] = after
                index += 1
                self.write(
                    LIMIT, top, instrument, number, index, kind=2, measure=measure, before=before,
                    after=after, measured=amount, limit=money, doubtful=doubtful,
                )  # fmt: skip
        return index + 1

    def doubtful(self, number: int) -> int:
        """Positions without a mark: what is held of symbols whose first instrument has none."""
        marked = {
            symbol
            for symbol, instrument in self.met.items()
            if instrument in self.marks and self.contract(symbol).currency in self.risk.rates
        }
        family = self.risk.family(number)
        portfolios = [self.options.portfolios[each] for each in family]
        waiting = sum(symbol not in marked for each in portfolios for symbol in each.positions)
        traded = [
            instrument
            for owner, instrument in self.ledgers
            if owner in family and not self.is_given(owner, instrument)
        ]
        missed = sum(self.missed[each] for each in family)
        return waiting + missed + sum(not self.risk.is_priced(each) for each in traded)

    def is_given(self, owner: int, instrument: int) -> bool:
        """Whether a portfolio holds an instrument from the start."""
        symbol, _ = self.names[instrument]
        given = self.options.portfolios[owner].positions
        return symbol in given and self.met.get(symbol) == instrument

    def write(
        self, layout, top: np.ndarray, instrument: int, number: int, index: int, **fields: int
    ) -> None:
        record = empty(layout, 1)[0]
        record["sequence"] = len(self.records) + 1
        record["cause"], record["time_ns"] = top["sequence"], top["time_ns"]
        record["instrument"], record["portfolio"] = instrument, number
        record["index"] = index
        for name, value in fields.items():
            record[name] = value
        self.records.append(record.tobytes())
