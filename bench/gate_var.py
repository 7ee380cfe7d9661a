"""Accounts that are held to a value at risk, of the gate's benchmark: each order is foreseen.

Every order adds to a position, or the gate would not ask; so the same orders without such a limit
stand beside. What an account holds is taken up when it asks: rows with marks that moved since its
last order show what it then has to catch up with, up to every position that it has.
"""

import time
from functools import partial

import numpy as np

from bench.gate_engine import PRICE, SIZE, TINY, Gate, Size, symbols, verdict
from bench.harness import Actor, BenchError, Metrics, Options, Variant
from ringbuf.atomics import at, store_relaxed
from ringbuf.jit import kernel
from workers.kernels import positions, var_block
from workers.kernels.engine import ACCOUNT, ENGINE, RULE, account_at, rule_at
from workers.orders import Reject
from workers.records import EVENT, Side

SCENARIOS = 1_000
ADDING, HELD = "orders that add", "and value at risk"
MOVED = {"one mark moved": 1, "all marks moved": 1 << 16}  # before each order of one account
PAIRS = {HELD: ADDING, **dict.fromkeys(MOVED, ADDING)}
ONE = 1  # an account
NOTE = (
    f"and value at risk: of all positions in {SCENARIOS:,} scenarios, with each order; marks "
    "moved: of what the account holds, since its last order"
)


@kernel
def judge_moved(engine, books, events, count, verdicts, moves):
    """The verdicts on some orders, so many marks moved before each."""
    rules = at(engine, ENGINE).rules_used
    place = 0
    for number in range(count):
        for _ in range(min(moves, rules)):
            place = place % rules + 1
            moved = at(rule_at(engine, place), RULE)
            moved.last = PRICE + (moved.last == PRICE)
        event = at(events + SIZE * number, EVENT)
        store_relaxed(verdicts + 8 * number, verdict(engine, books, event))


class VarGate(Gate):
    """A gate whose orders all add; its accounts may be held to a value at risk."""

    def __init__(self, size: Size, scenarios: int, held: bool) -> None:
        draw = np.random.default_rng(3)
        returns = {
            name: (draw.standard_t(3, scenarios) * 2**17).astype(np.int32) for name in symbols(size)
        }
        super().__init__(size, limited=True, returns=returns if held else None)
        orders = self.orders
        orders["other"] %= size.accounts
        self.of_one = orders.copy()
        self.of_one["other"] = ONE
        for some in (orders, self.of_one):
            held_now = self.standings()["position"][some["other"], some["instrument"] + 1]
            some["side"] = np.where(held_now >= 0, int(Side.BID), int(Side.ASK))
        if held:
            self.run()  # everybody has asked once
            self.start_over()
            for number in range(size.accounts):
                now = self.value_at_risk(number)
                account = at(account_at(self.engine, number), ACCOUNT)
                account.var_max = int(now * draw.uniform(0.99, 1.02))
        self.before = self.accounts().copy()

    def value_at_risk(self, number: int) -> int:
        """What an account's portfolio was last measured at."""
        state = var_block.positions_of(self.engine + int(at(self.engine, ENGINE).var_at))
        return int(positions.var_99(state, at(account_at(self.engine, number), ACCOUNT).portfolio))

    def run_moved(self, moves: int) -> float:
        """One pass over orders of one account; ns an order."""
        self.start_over()
        arguments = self.engine, self.books, self.of_one.ctypes.data, self.size.orders
        begun = time.perf_counter_ns()
        judge_moved(*arguments, self.verdicts.ctypes.data, moves)
        return (time.perf_counter_ns() - begun) / self.size.orders


def compile_all() -> None:
    """Have the kernels compiled in this process, where nobody waits for an answer."""
    gate = VarGate(TINY, 2, held=True)
    gate.run_sampled()
    gate.run_moved(1)


GATES: dict[str, VarGate] = {}  # of the process that measures


def load(size: Size, scenarios: int) -> None:
    """Have both gates ready, their verdicts compared."""
    for name in (ADDING, HELD):
        gate = GATES[name] = VarGate(size, scenarios, name == HELD)
        gate.run_sampled()
        gate.run_moved(1)
        gate.run()
    check(GATES[ADDING].verdicts, GATES[HELD].verdicts)


def check(free: np.ndarray, held: np.ndarray) -> None:
    """Refuse verdicts that only value at risk cannot explain, and such as it has no part in."""
    var = (held & int(Reject.VAR)) != 0
    if (held & ~int(Reject.VAR) != free).any():
        raise BenchError("verdicts with a limit of value at risk differ by more than that limit")
    if not var.any() or var.all():
        raise BenchError("value at risk refuses all orders, or none: nothing to compare")


def measure(name: str) -> Metrics:
    """ns an order in the median of all passes, and percentiles of single ones."""
    gate = GATES[HELD if name in MOVED else name]
    passes = range(gate.size.passes)
    if name in MOVED:
        return {"ns": float(np.median([gate.run_moved(MOVED[name]) for _ in passes]))}
    return {"ns": float(np.median([gate.run() for _ in passes])), **gate.run_sampled()}


def there(actor: Actor, name: str) -> Metrics:
    """Measured in the pinned process."""
    actor.start(measure, name)
    return actor.result()


def variants(actor: Actor, options: Options, size: Size) -> dict[str, Variant]:
    """All of them by name."""
    actor.start(
        load, size._replace(passes=max(size.passes // 10, 1)), options.scaled(SCENARIOS, 100)
    )
    actor.result()
    return {name: partial(there, actor, name) for name in (ADDING, HELD, *MOVED)}
