"""The gate before matching, nanoseconds an order: all limits of accounts, beside none and beside C.

Orders that run into every reason there is are taken into the engine's hand one by one and judged,
all reasons at once; nothing is booked, so each pass judges the same. The same engine without
accounts shows what the accounts' limits cost; the C program judges the same orders by the same
rules, laid out as it likes. All must give the same verdicts. What a question about value at risk
costs beside a mark is in bench/gate_risk.py, accounts that are held to one in bench/gate_var.py.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from bench import c_program, gate_risk, gate_var
from bench.gate_engine import LARGE, SAMPLE_EVERY, SAMPLED, SHORT, TINY, Gate, Size
from bench.harness import (
    Actor,
    Bench,
    BenchError,
    Metrics,
    Options,
    Result,
    Variant,
    actors,
    cores,
    run_rounds,
)
from ringbuf.jit import compiled
from workers.orders import Reject

ROUNDS = 9
LIMITED, FREE, C = "all limits", "no accounts", "all limits, gcc"
OF_ACCOUNTS = (
    Reject.UNKNOWN_ACCOUNT | Reject.SWITCHED_OFF | Reject.MAX_QUANTITY | Reject.MAX_NOTIONAL
    | Reject.COLLAR | Reject.POSITION | Reject.CREDIT | Reject.RATE
)  # fmt: skip
MET = OF_ACCOUNTS | (
    Reject.BAD_VALUE | Reject.OFF_TICK | Reject.OFF_LOT | Reject.HALTED | Reject.POST_ONLY
)
GATES: dict[str, Gate] = {}  # of the process that measures


def load(size: Size, path: str) -> None:
    """Have both engines ready, verdicts compared, and all that the C program needs in a file."""
    for name in (LIMITED, FREE):
        gate = GATES[name] = Gate(size, name == LIMITED)
        gate.run_sampled()
        gate.run()
    check(GATES[LIMITED].verdicts, GATES[FREE].verdicts)
    GATES[LIMITED].write(Path(path))


def check(limited: np.ndarray, free: np.ndarray) -> None:
    """Refuse verdicts that accounts cannot explain, and orders that leave a reason out."""
    if (limited & ~int(OF_ACCOUNTS) != free).any():
        raise BenchError("the verdicts without accounts differ by more than the accounts' limits")
    met = int(np.bitwise_or.reduce(limited))
    if met & int(MET) != int(MET) or not (limited == 0).any():
        missing = [reason.name for reason in Reject if reason & MET & ~met]
        raise BenchError(f"no order runs into {missing}, or none is taken: nothing to compare")


def measure(name: str) -> Metrics:
    """ns an order in the median of all passes, and percentiles of single ones."""
    gate = GATES[name]
    found = gate.verdicts.copy()
    each = float(np.median([gate.run() for _ in range(gate.size.passes)]))
    sampled = gate.run_sampled()
    if (gate.verdicts != found).any():
        raise BenchError("two passes over the same orders came to different verdicts")
    return {"ns": each, **sampled}


def there(actor: Actor, name: str) -> Metrics:
    """Measured in the pinned process."""
    actor.start(measure, name)
    return actor.result()


def in_c(path: Path, passes: int, core: int) -> Metrics:
    """Measured by the C program, which compares the verdicts."""
    found = c_program.gate(path, passes, SAMPLE_EVERY, core)
    return {"ns": found["ns"], **{f"one {name}": found[f"one {name}"] for name in SAMPLED}}


def run(options: Options) -> Result:
    """All variants in turns on one core."""
    result = Result("gate", BENCH.what, "ns an order", "ns", better="less")
    size = LARGE
    if options.short:
        size = SHORT if compiled() else TINY
    gate_var.compile_all()
    (place,) = cores(1)
    with tempfile.TemporaryDirectory(prefix="corelane-") as folder, actors([place]) as (actor,):
        path = Path(folder) / "gate"
        actor.start(load, size, str(path))
        actor.result()
        variants: dict[str, Variant] = {
            name: partial(there, actor, name) for name in (LIMITED, FREE)
        }
        result.pairs = {LIMITED: FREE}
        if c_program.available():
            variants[C] = partial(in_c, path, size.passes, place.number)
            result.pairs[C] = LIMITED
        else:
            result.notes.append(c_program.NO_COMPILER)
        variants |= gate_var.variants(actor, options, size)
        variants |= gate_risk.variants(actor, options)
        result.pairs |= gate_var.PAIRS | gate_risk.PAIRS
        run_rounds(result, variants, options.rounds_of(ROUNDS))
    result.notes.append(
        f"{size.accounts} accounts with every limit, {size.instruments} instruments, each of "
        f"{MET.bit_count()} reasons met; one: every {SAMPLE_EVERY}-th timed by itself"
    )
    result.notes += [gate_var.NOTE, gate_risk.NOTE]
    return result


BENCH = Bench("gate", "orders judged before matching, beside C, and questions about risk", run)
