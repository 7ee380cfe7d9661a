"""Kill real processes a great many times, and see that nobody outside noticed.

python -m tests.kills.main [kills, 20,000] [exec'd restarts, 200] [events a second, 40,000]

Prints a table; fails at the first round that goes wrong, with its seed.
"""

import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tests.kills.line import ACTORS
from tests.kills.load import day
from tests.kills.rounds import RATE, Round, play

KILLS, EXECS = 20_000, 200
EACH = 1_000  # kills of a round
DURABILITY = ("async", "sync", "none")  # by seed
TITLES = ("actor", "kills", "exec'd", "in windows", "share", "what was half done")
GAPS = ("forked: next output p50", "p99", "exec'd: next output p50", "p99")


def quantiles(gaps_s: Sequence[float]) -> list[str]:
    """Median and 99th percentile, in milliseconds."""
    if not gaps_s:
        return ["-", "-"]
    return [f"{1e3 * value:,.0f} ms" for value in np.percentile(gaps_s, (50, 99))]


def row(name: str, rounds: list[Round]) -> str:
    """The line of the table of an actor, over all rounds."""
    fates = [round_.fates[name] for round_ in rounds]
    kills, within = sum(f.kills for f in fates), sum(f.in_windows for f in fates)
    found: Counter[str] = sum((f.found for f in fates), Counter())
    gaps = [gap for f in fates for gap in f.gaps_s]
    exec_gaps = [gap for f in fates for gap in f.exec_gaps_s]
    cells = [name, f"{kills:,}", f"{sum(f.execs for f in fates):,}", f"{within:,}"]
    cells += [f"{within / max(kills, 1):.0%}", ", ".join(f"{n} {found[n]:,}" for n in found)]
    return f"| {' | '.join([*cells, *quantiles(gaps), *quantiles(exec_gaps)])} |"


def show(rounds: list[Round]) -> None:
    """Print the table, and all in all."""
    titles = [*TITLES, *GAPS]
    print(f"| {' | '.join(titles)} |\n|---|{'---:|' * (len(titles) - 1)}")
    for name in ACTORS:
        print(row(name, rounds))
    kills, within = sum(r.kills for r in rounds), sum(r.in_windows for r in rounds)
    seconds = sum(r.seconds for r in rounds)
    given = sum(sum(r.counts.values()) for r in rounds)
    print(
        f"\n{kills:,} kills in {seconds:,.0f} s, {60 * kills / seconds:,.0f} a minute; {within:,} "
        f"({within / kills:.0%}) found something half done; {sum(r.execs for r in rounds):,} exec'd"
        f"\n{given:,} records of three rings, {given / seconds:,.0f} a second, every one of them "
        "compared as it was written down, those of book and risk as they came out too: none lost, "
        "doubled, reordered or torn"
    )


def main(arguments: list[str]) -> int:
    """Play rounds until there were so many kills; 1 where one of them went wrong."""
    kills = int(arguments[0]) if arguments else KILLS
    execs = int(arguments[1]) if len(arguments) > 1 else min(EXECS, kills // 100)
    rate = float(arguments[2]) if len(arguments) > 2 else RATE
    block, rounds, done, seed = day(), [], 0, 0
    began = time.monotonic()
    while done < kills:
        part = min(EACH, kills - done)
        wanted = execs * (done + part) // kills - sum(r.execs for r in rounds)
        try:
            round_ = play(block, seed, part, wanted, rate, DURABILITY[seed % 3])
        except Exception:
            traceback.print_exc()
            print(f"seed {seed}: the round came to no end", file=sys.stderr)
            return 1
        if round_.wrong:
            print(f"seed {seed}: {dict(round_.wrong)} of {round_.counts}", file=sys.stderr)
            return 1
        rounds.append(round_)
        done, seed = done + round_.kills, seed + 1
        spent = time.monotonic() - began
        print(f"{done:,} kills, {spent:,.0f} s: all held", file=sys.stderr, flush=True)
    show(rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
