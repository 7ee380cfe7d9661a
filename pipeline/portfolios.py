"""Portfolios: what of their configuration will not do, and their trees as people read them."""

from collections.abc import Sequence

import numpy as np

from pipeline.contracts import contract_faults
from pipeline.shape import near
from workers.contracts import PLAIN
from workers.kernels.option_block import OPTIONS_MAX
from workers.live_options import faults as option_faults
from workers.records import MONEY_SCALE, Standing
from workers.risk_options import (
    LimitOptions,
    Portfolio,
    RiskOptions,
    answers_most,
    limits_of,
    records_most,
)
from workers.sinks.tables import MEASURES, STANDINGS

ANSWERS_MAX = 255  # the answers to one mark are numbered in one byte
NAME_BYTES = 32  # of a portfolio, on its board
COST_MAX = 10**12  # currency, of one position
LIMIT_MIN = 1 / MONEY_SCALE  # currency: what can be told from nothing
ACCOUNTS_MAX = 1 << 20
LOTS_MAX = 4096  # of each position
INDENT = "  "
NO_LIMITS = "-"
CONVENTION = "historical, k-th worst, split atom"  # of the risk stage's figures, for people


def portfolio_faults(options: RiskOptions, ring: int) -> list[str]:
    """Everything wrong with them that their types do not say; ring: what the risk ring holds."""
    portfolios = options.portfolios
    names = [portfolio.name for portfolio in portfolios]
    problems = [
        f"risk.portfolios: {name!r} stands there twice; names must differ"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    most = min(ANSWERS_MAX, ring)
    if len(portfolios) > most:
        problems.append(f"risk.portfolios: {len(portfolios)} of them; give at most {most}")
    elif (limits := limits_of(options)) > most - len(portfolios):
        problems.append(
            f"risk.portfolios: {len(portfolios)} of them with {limits} limits; give at most {most} "
            "altogether"
        )
    elif (held := sum(len(portfolio.options) for portfolio in portfolios)) > OPTIONS_MAX:
        problems.append(
            f"risk.portfolios: {held:,} options; give at most {OPTIONS_MAX:,} altogether"
        )
    parents = {portfolio.parent for portfolio in portfolios}
    if not problems:
        problems += _parent_faults(portfolios)
    if not problems:
        problems += _record_faults(options, most)
    problems += _account_faults(portfolios)
    problems += contract_faults(options)
    for number, portfolio in enumerate(portfolios):
        problems += _faults_of(f"risk.portfolios[{number}]", portfolio, parents, options)
    return problems


def _record_faults(options: RiskOptions, most: int) -> list[str]:
    """More records in answer to one than the ring holds; the trees are known to be trees."""
    if (answers := answers_most(options)) > most:
        text = (
            f"a mark can give {answers} records: one of each portfolio, one more of each with "
            f"options, one of each limit; give at most {most} altogether"
        )
    elif (records := records_most(options)) > most:
        text = (
            f"an execution can give {records} records; give fewer portfolios or limits, or no "
            f"conflate_ms: at most {most}"
        )
    else:
        return []
    return [f"risk.portfolios: {text}"]


def _faults_of(
    where: str, portfolio: Portfolio, parents: set[str | None], options: RiskOptions
) -> list[str]:
    """What is wrong with one portfolio by itself; parents: the names of all that are."""
    problems = []
    if not 0 < len(portfolio.name.encode()) <= NAME_BYTES:
        problems.append(f"{where}.name: {portfolio.name!r}; give 1 to {NAME_BYTES} bytes")
    held = portfolio.positions or portfolio.options or portfolio.accounts or options.lines
    if not held and portfolio.name not in parents:
        problems.append(
            f"{where}.positions: {portfolio.name!r} has none, and is no portfolio's parent; "
            "give one"
        )
    problems += _limit_faults(f"{where}.limits", portfolio.limits)
    if not 1 <= portfolio.lots <= LOTS_MAX:
        problems.append(f"{where}.lots: {portfolio.lots}; give 1 to {LOTS_MAX:,}")
    for symbol, position in portfolio.positions.items():
        multiplier = options.instruments.get(symbol, PLAIN).multiplier
        if not abs(position.quantity * position.price * multiplier) <= COST_MAX:
            problems.append(
                f"{where}.positions.{symbol}: {position.quantity} at {position.price} is no "
                f"amount; give at most {COST_MAX:,} altogether"
            )
    for number, option in enumerate(portfolio.options):
        problems += option_faults(f"{where}.options[{number}]", option)
        currency = options.instruments.get(option.underlying, PLAIN).currency
        if currency not in (None, options.currency):
            problems.append(
                f"{where}.options[{number}].underlying: {option.underlying} is in {currency} "
                f"(risk.instruments); options have to be in {options.currency}, so leave it out"
            )
    return problems


def _limit_faults(where: str, limits: LimitOptions) -> list[str]:
    problems = [
        f"{where}.{measure.name.lower()}: {most} is no limit; give more than 0, at most "
        f"{COST_MAX:,}, or leave it out"
        for measure, most in limits.amounts().items()
        if not LIMIT_MIN <= most <= COST_MAX
    ]
    if not 0 < limits.warn <= 1:
        problems.append(f"{where}.warn: {limits.warn} is no share; give more than 0, at most 1")
    return problems


def _account_faults(portfolios: list[Portfolio]) -> list[str]:
    """Accounts that are none, and those of two portfolios: a trade would be in both."""
    problems: list[str] = []
    owners: dict[int, str] = {}
    for number, portfolio in enumerate(portfolios):
        where = f"risk.portfolios[{number}].accounts"
        for account in portfolio.accounts:
            if not 0 <= account < ACCOUNTS_MAX:
                problems.append(f"{where}: {account} is no account; give 0 to {ACCOUNTS_MAX - 1}")
            elif account in owners:
                problems.append(
                    f"{where}: account {account} is one of {owners[account]!r} already; name it "
                    "once, and give the portfolio a parent where both should have it"
                )
            owners.setdefault(account, portfolio.name)
    return problems


def _parent_faults(portfolios: list[Portfolio]) -> list[str]:
    """Parents that are not there, and portfolios that are above themselves: one line a circle."""
    parents = {portfolio.name: portfolio.parent for portfolio in portfolios}
    problems: list[str] = []
    told: set[str] = set()
    for number, (name, wanted) in enumerate(parents.items()):
        where = f"risk.portfolios[{number}].parent"
        if wanted is not None and wanted not in parents:
            known = parents.keys() - {name}
            mend = near(wanted, known) if known else "leave the parent out"
            problems.append(f"{where}: there is no portfolio {wanted!r}; {mend}")
        line = [name]
        while (parent := parents.get(line[-1])) is not None and parent not in line:
            line.append(parent)
        if parent == name and not told & {*line}:
            told |= {*line}
            circle = " below ".join(map(repr, [*line, name]))
            problems.append(f"{where}: {circle}: a circle; give one of them no parent")
    return problems


def tree(parents: Sequence[int]) -> list[tuple[int, int]]:
    """(number, how deep) of all portfolios, each right above those below it, in their order."""
    below: dict[int, list[int]] = {}
    for number, parent in enumerate(parents):
        below.setdefault(parent, []).append(number)
    found, waiting = [], [(number, 0) for number in reversed(below.get(-1, []))]
    while waiting:
        number, depth = waiting.pop()
        found.append((number, depth))
        waiting += [(child, depth + 1) for child in reversed(below.get(number, []))]
    return found


def indented(names: Sequence[str], parents: Sequence[int]) -> list[tuple[int, str]]:
    """(number, name) of all portfolios as `tree` orders them, names set in by depth."""
    return [(number, INDENT * depth + names[number]) for number, depth in tree(parents)]


def limits_text(row: np.record) -> str:
    """How a portfolio stands to its limits, the worst first: "breach var_99, warn loss"."""
    words = [
        (-standing, f"{STANDINGS[standing]} {MEASURES[measure]}")
        for measure, standing in enumerate(row["standing"].tolist())
        if row["limit"][measure] and standing != Standing.OK
    ]
    none = NO_LIMITS if not row["limit"].any() else STANDINGS[Standing.OK]
    return ", ".join(word for _, word in sorted(words)) or none
