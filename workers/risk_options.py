"""What the risk stage is told: whose risk, and over which scenarios."""

import hashlib
from typing import Literal

import msgspec
import numpy as np

from ringbuf.record import layout_text
from workers import scenarios as history
from workers.contracts import (
    PLAIN,
    Currencies,
    Instruments,
    contract_of,
    quotes_of,
    returns_abroad,
)
from workers.kernels import currencies, option_block, position_block
from workers.kernels.ledger import LEDGER
from workers.kernels.position_block import ancestors
from workers.kernels.scenarios import DISTRIBUTION
from workers.live_options import OptionPosition
from workers.records import MONEY_SCALE, Measure

CONFLATE_MS_MAX = 86_400_000  # a day
# The records of its state: a snapshot of others is of no use.
LAYOUTS = {
    "state": (-1, position_block.STATE),
    "held": (-1, position_block.HELD),
    "portfolio": (-1, position_block.PORTFOLIO),
    "position": (-1, position_block.POSITION),
    "distribution": (-1, DISTRIBUTION),
    "ledger": (-1, LEDGER),
    "own": (-1, currencies.OWN),
    "options": (-1, option_block.OPTIONS),
    "option": (-1, option_block.OPTION),
    "sums": (-1, option_block.SUMS),
}


class CsvScenarios(
    msgspec.Struct, tag="csv", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Daily simple returns from a file: a header of symbols, one row a day."""

    path: str


class SyntheticScenarios(
    msgspec.Struct, tag="synthetic", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Made-up returns of a seeded one-factor model with fat tails: for demos and benches."""

    days: int = 1000
    seed: int = 7
    symbols: list[str] = []  # that have some beside those that portfolios hold


class Position(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a portfolio holds of an instrument."""

    quantity: int  # lots; negative: short
    price: float  # average price paid, in the instrument's currency
    # Base currency for a unit of that, when it was paid; None: as when it is first valued.
    rate: float | None = None


class LimitOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a portfolio with all that is below it may reach, in currency; None: no limit."""

    var_99: float | None = None
    es_975: float | None = None
    value: float | None = None  # gross: the sum of its positions' values without their signs
    loss: float | None = None  # since the positions were paid for
    # Greeks without their signs: what 1 % up makes, by how much that grows for each 1 %, what a
    # point of volatility makes, a day, 0.01 % on rates.
    delta: float | None = None
    gamma: float | None = None
    vega: float | None = None
    theta: float | None = None
    rho: float | None = None
    warn: float = 0.8  # from beyond this share of a limit on it is warned

    def amounts(self) -> dict[Measure, float]:
        """The limits that there are."""
        named = {measure: getattr(self, measure.name.lower()) for measure in Measure}
        return {measure: most for measure, most in named.items() if most is not None}


class Portfolio(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Positions by symbol; its figures cover those of the portfolios below it, too."""

    name: str
    parent: str | None = None  # the portfolio above it: of a book its desk, of a desk the firm
    positions: dict[str, Position] = {}
    options: list[OptionPosition] = []
    # [book.matching]: what these trade, in all instruments that there are scenarios for.
    accounts: list[int] = []
    accounting: Literal["average", "fifo"] = "average"  # what a sale has cost
    lots: int = 64  # of a position that FIFO keeps apart; what finds no room joins the newest
    limits: LimitOptions = msgspec.field(default_factory=LimitOptions)


class RiskOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whose risk, and over which scenarios."""

    portfolios: list[Portfolio] = []
    scenarios: CsvScenarios | SyntheticScenarios = msgspec.field(default_factory=SyntheticScenarios)
    currency: str = "USD"  # the base currency: in which all is told
    instruments: Instruments = {}  # by symbol; what is not named is equity in the base currency
    currencies: Currencies = {}  # by name
    convention: Literal["k-th worst, split atom"] = "k-th worst, split atom"
    # Of an instrument's marks only the newest of an interval of event time is taken, when the
    # interval is over; 0: every mark is.
    conflate_ms: int = 0
    # Lines of a feed of orders say what portfolios hold, or trade elsewhere, in all instruments
    # that there are scenarios for.
    lines: bool = False
    check_s: float | None = None  # a live check of one portfolio so often; None: none

    def __post_init__(self) -> None:
        if not 0 <= self.conflate_ms <= CONFLATE_MS_MAX:
            raise ValueError(
                f"conflate_ms = {self.conflate_ms}: give 1 to {CONFLATE_MS_MAX}, or leave it out "
                "for every mark"
            )


def symbols_of(options: RiskOptions) -> list[str]:
    """Every symbol that any portfolio holds, or holds options on, sorted."""
    return sorted({symbol for each in options.portfolios for symbol in symbols_held(each)})


def symbols_held(portfolio: Portfolio) -> set[str]:
    """The symbols that a portfolio itself holds, or holds options on."""
    return {*portfolio.positions, *(option.underlying for option in portfolio.options)}


def options_below(options: RiskOptions) -> list[int]:
    """How many options each portfolio and those below it hold."""
    parents = parents_of(options)
    counts = [0] * len(parents)
    for number, portfolio in enumerate(options.portfolios):
        for each in (number, *ancestors(parents, number)):
            counts[each] += len(portfolio.options)
    return counts


def parents_of(options: RiskOptions) -> list[int]:
    """The number of each portfolio's parent, -1 where it has none; all names must be known."""
    number = {portfolio.name: place for place, portfolio in enumerate(options.portfolios)}
    parents = [portfolio.parent for portfolio in options.portfolios]
    return [-1 if parent is None else number[parent] for parent in parents]


def owners_of(options: RiskOptions) -> list[int]:
    """Of each account from 0 on the number of the portfolio that has it, -1: none."""
    found = {
        account: number
        for number, portfolio in enumerate(options.portfolios)
        for account in portfolio.accounts
    }
    return [found.get(account, -1) for account in range(max(found, default=-1) + 1)]


def keeps_books(options: RiskOptions) -> bool:
    """Whether positions change but by their marks, in instruments that nobody was said to hold."""
    return bool(options.portfolios) and (options.lines or bool(owners_of(options)))


def records_most(options: RiskOptions) -> int:
    """How many records one book record can give."""
    most = answers_most(options)
    if not keeps_books(options):
        return most
    return 1 + most * (2 if options.conflate_ms else 1)  # what waited, then the execution's own


def answers_most(options: RiskOptions) -> int:
    """How many records one mark can give: one of each portfolio, one more of each that holds
    options, and one of each limit.
    """
    greeks = sum(count > 0 for count in options_below(options))
    return len(options.portfolios) + greeks + limits_of(options)


def limits_of(options: RiskOptions) -> int:
    """How many limits there are."""
    return sum(len(portfolio.limits.amounts()) for portfolio in options.portfolios)


def counts_below(options: RiskOptions) -> list[int]:
    """How many positions each portfolio and those below it have."""
    parents = parents_of(options)
    counts = [0] * len(parents)
    for number, portfolio in enumerate(options.portfolios):
        for each in (number, *ancestors(parents, number)):
            counts[each] += len(portfolio.positions) + len(portfolio.options)
    return counts


def symbols_below(options: RiskOptions) -> list[list[str]]:
    """The symbols that each portfolio or one below it holds, or holds options on, sorted."""
    parents = parents_of(options)
    found: list[set[str]] = [set() for _ in parents]
    for number, portfolio in enumerate(options.portfolios):
        for each in (number, *ancestors(parents, number)):
            found[each] |= symbols_held(portfolio)
    return [sorted(symbols) for symbols in found]


def shape_of(options: RiskOptions) -> str:
    """Whose risk, and over which scenarios, down to the bytes of their file."""
    lasting = msgspec.structs.replace(options, check_s=None)  # checks leave no trace in the state
    digest = hashlib.blake2b(msgspec.json.encode(lasting), digest_size=8)
    digest.update(layout_text(LAYOUTS).encode())
    if isinstance(options.scenarios, CsvScenarios) and options.portfolios:
        for returns in load_scenarios(options).values():
            digest.update(returns.tobytes())
    return digest.hexdigest()


def scenarios_digest(options: RiskOptions) -> str:
    """What tells all scenarios from others, and their layout in a state: 16 hex digits."""
    digest = hashlib.blake2b(layout_text(LAYOUTS).encode(), digest_size=8)
    for symbol, returns in all_scenarios(options).items():
        digest.update(symbol.encode() + b"\0" + returns.tobytes())
    return digest.hexdigest()


def load_scenarios(options: RiskOptions) -> dict[str, np.ndarray]:
    """Fixed-point returns by symbol, for all symbols held; ScenarioError where one is missing.

    Where there are accounts or lines, which may trade anything, of all symbols that a file has.
    """
    rows = all_scenarios(options)
    needed = sorted(rows) if keeps_books(options) else _needed(options)
    return {symbol: in_base(options, symbol, rows) for symbol in needed}


def _needed(options: RiskOptions) -> list[str]:
    """The symbols that portfolios hold, and those whose marks are rates, sorted."""
    quoted = quotes_of(options.currencies) if options.portfolios else {}
    return sorted({*symbols_of(options), *quoted})


def all_scenarios(options: RiskOptions) -> dict[str, np.ndarray]:
    """Fixed-point returns of all symbols that have some, int32 [days] each, in their own
    currencies; errors as above.
    """
    wanted, of = _needed(options), options.scenarios
    if isinstance(of, CsvScenarios):
        found = history.load(of.path, wanted)
    else:
        found = history.synthetic(sorted({*wanted, *of.symbols}), of.days, of.seed)
    columns = np.ascontiguousarray(history.to_fixed(found.returns).T)
    return dict(zip(found.symbols, columns, strict=True))


def in_base(options: RiskOptions, symbol: str, rows: dict[str, np.ndarray]) -> np.ndarray:
    """A symbol's returns in the base currency; rows: of all symbols, in their own."""
    contract = contract_of(symbol, options.instruments, options.currencies)
    for quoting, number in quotes_of(options.currencies).items():
        if number == contract.currency:
            return returns_abroad(rows[symbol], rows[quoting], contract.future, symbol)
    return rows[symbol]


def cost_of(options: RiskOptions, symbol: str, position: Position) -> int:
    """What a position of the configuration cost, money units: in the base currency where it says
    at which rate, else in the instrument's own.
    """
    multiplier = options.instruments.get(symbol, PLAIN).multiplier
    money = position.quantity * position.price * MONEY_SCALE * multiplier
    return round(money if position.rate is None else money * position.rate)
