"""Many more interleavings than the tests try: topologies x ways of waiting x crash points.

python -m tests.campaign [interleavings, 100800 unless told]

Prints how many orders there were and what came about in them; fails at the first that breaks
the protocol, with the seed that shows it again.
"""

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from hashlib import blake2b

from tests.ringbuf.stories import TOPOLOGIES, WAITS, Kernels, tell

INTERLEAVINGS = 100_800
CHUNK = 100
COLUMNS = ("killed", "retired", "gated", "wakes", "missed")


@cache
def kernels() -> Kernels:
    """The kernels as they are when the campaign begins."""
    return Kernels()


def explore(topology: str, wait: str, first: int, count: int) -> tuple[set[bytes], Counter]:
    """Play some seeds; digests of their orders, and what came about."""
    figures: Counter = Counter(runs=count)
    orders = set()
    for run in tell(kernels(), topology, wait, range(first, first + count), figures):
        orders.add(blake2b(bytes(run.order), digest_size=8).digest())
        figures["steps"] += len(run.order)
    return orders, figures


def main(arguments: list[str]) -> int:
    """Play all stories, on all cores, and print a table."""
    pairs = [(topology, wait) for topology in TOPOLOGIES for wait in WAITS]
    each = int(arguments[0] if arguments else INTERLEAVINGS) // len(pairs)
    began, total, different = time.monotonic(), Counter(), 0
    print(f"| topology | wait | orders | different | steps | {' | '.join(COLUMNS)} |")
    print("|---|---|" + "---:|" * (3 + len(COLUMNS)))
    kernels()
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for topology, wait in pairs:
            firsts = range(0, each, CHUNK)
            sizes = [min(CHUNK, each - first) for first in firsts]
            jobs = pool.map(explore, [topology] * each, [wait] * each, firsts, sizes)
            orders, figures = set(), Counter()
            for some, counted in jobs:
                orders |= some
                figures += counted
            numbers = [figures["runs"], len(orders), figures["steps"]]
            numbers += [figures[column] for column in COLUMNS]
            print(f"| {topology} | {wait} | {' | '.join(f'{n:,}' for n in numbers)} |", flush=True)
            total, different = total + figures, different + len(orders)
    print(
        f"\n{total['runs']:,} interleavings, {different:,} of them different, {total['steps']:,} "
        f"steps, {total['killed']:,} kills in {time.monotonic() - began:.0f} s: all held"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
