"""Flaws put into the protocol, each of which the simulator must find.

CORELANE_TICKS=1 NUMBA_DISABLE_JIT=1 python -m tests.crashes.mutants [part of a name]

Prints, for each, after how many deaths it was found, and as what. The kernels run as plain Python
from copies of their source in which the flaw is; compiling each would take minutes. And here others
act while one is in the middle of its work.
"""

import json
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from tests.crashes.plain import copies, interrupt
from tests.crashes.worlds import pattern_of

CRASHES = 9_000  # before a flaw counts as not found
SECONDS = 90  # before a kernel counts as one that does not end
# Records of the two rings, inputs, crashes in all.
WORLDS = (((4, 4), 30, 300), ((16, 4), 60, 3000), ((8, 16), 60, CRASHES))
RING, CHAIN, RECOVERY = "ringbuf.ring", "ringbuf.chain", "workers.recovery"
ACTORS, TOY = "tests.crashes.actors", "tests.crashes.toy"
COPY = "copy_words(address, source + number * writer.size, writer.size // 8 - 1)"
SHOW = "publish(writer, first + number, born, born)"
SCAN = "for number in range(writer.mask + 1):"
WHOLE = "written = max(written, load_acquire(slot(writer, number) + writer.size - 8))"
FULL = "if room(writer, sequence, 1) < 1:"
DONE = "if mind.taken >= mind.position and mind.given >= mind.shown:"
STEP_BACK = "release(reading(world, EVENTS_OUT), max(mind.taken, mind.position))"
APPEND = "if not append(log.file, log.buffer, count * WORDS, mine.mask):"
FOUND = "count, chain = verify(place, SIZE, first, held - first + 1, before)"
READ = "count, _ = verify(source, SIZE, int(sequence), limit, before)"
BREAK = "count, chain\n        chain = found"
CUT = "cut(log.file, log.written * SIZE)"
GOT = "count = ready(reader, mine.sink_limit)"
SNAPPED = "mind.place = 1 - mind.place\n"
DUE = "if mind.taken - mind.saved >= mine.every:"
FLIGHT = "while work or given:"
WAITS = "free = room(writer, target, limit)\n            if free < OUTPUTS_MAX:"
TAKEN = "mind.taken, mind.given = load_relaxed(address), load_relaxed(address + 8)"
TAKES = "given = take(state, writer, slot(reader, sequence), target)"
ENDS = "        sequence += 1\n    let_go(reader, sequence - 1,"
ASIDE = "work = turn_aside(world, mind)\n        passed"
LIVE_TURN = "turn(mine.kind, mind.state, inner, writing(world, OUTPUTS_IN), mine.limit)"
FLAWS: dict[str, list[tuple[str, str, str]]] = {
    # The ring.
    "published before it is written":
        [(RING, f"{COPY}\n        {SHOW}", f"{SHOW}\n        {COPY}")],
    "a claimed record is taken for whole":
        [(RING, WHOLE, WHOLE.replace("load_acquire", "abs(load_acquire").replace("))", ")))"))],
    "a writer that comes back trusts its own note": [(RING, SCAN, "for number in range(0):")],
    "gate off by one":
        [(RING, "slowest(writer, sequence - 1)", "slowest(writer, sequence - 1) + 1")],
    "second reader forgotten":
        [(RING, "range(READERS_MAX):\n        line", "range(1):\n        line")],
    # The journal.
    "let go before it is written":
        [(ACTORS, APPEND, f"release(reader, log.written + count)\n        {APPEND}")],
    "sealed before it has arrived":
        [(CHAIN, "while count < limit and arrived(reader, first + count):",
          "while count < limit:")],
    "a file is as long as it looks":
        [(ACTORS, FOUND,
          "chain = chain_before(file.content, held + 1)\n    count = held - first + 1")],
    "a reader of the file believes its length": [(ACTORS, READ, "count = limit")],
    "one record too many is verified":
        [(CHAIN, f"return {BREAK}", f"return count + 1, {BREAK[7:]}")],
    "what is torn is not cut off": [(ACTORS, CUT, "pass")],
    "the chain begins anew with each life":
        [(ACTORS, f"log.chain = chain\n    {CUT}", f"log.chain = ROOT\n    {CUT}")],
    "a journal that comes back does not let go":
        [(ACTORS, "release(reader, max(log.written, next_unread(reader) - 1))", "pass")],
    # Recovery.
    "shown off by one": [(RECOVERY, "if sequence > shown:", "if sequence > shown + 1:")],
    "what was shown is published again": [(RECOVERY, "if sequence > shown:", "if True:")],
    "published while replaying":
        [(ACTORS, ASIDE, ASIDE.replace("turn_aside(world, mind)", LIVE_TURN))],
    "published into a full ring":
        [(RECOVERY, FULL, "if room(writer, sequence, 1) < -(1 << 60):")],
    "published again and not noted":
        [(RECOVERY, "shown:\n        advance(writer, sequence - 1)", "shown:\n        pass")],
    "let go of what was not published":
        [(RECOVERY, "release(private, sequence - 1)", "release(private, sequence)")],
    "position taken for shown":
        [(ACTORS, "mind.shown = shown",
          "mind.shown = next_unread(reading(world, EVENTS_OUT)) - 1")],
    "a partial group taken for whole":
        [(ACTORS, "republish(take, outputs, mind.shown)",
          "republish(take, outputs, mind.shown + mind.shown % 2)")],
    "nothing is replayed": [(ACTORS, DONE, "if True:")],
    "replayed up to the position only": [(ACTORS, DONE, "if mind.taken >= mind.position:")],
    "replayed up to what was shown only": [(ACTORS, DONE, "if mind.given >= mind.shown:")],
    "live before all is published":
        [(ACTORS, "if ready(inner, 1) == 0 and ready(take, 1) == 0:", "if ready(inner, 1) == 0:")],
    "goes live where its line stood":
        [(ACTORS, STEP_BACK, "release(reading(world, EVENTS_OUT), mind.position)")],
    "a stage that comes back does not let go": [(ACTORS, STEP_BACK, "pass")],
    # Snapshots.
    "the snapshot's own input is replayed":
        [(ACTORS, TAKEN, TAKEN.replace("(address),", "(address) - 1,"))],
    "a snapshot from beyond what was shown":
        [(ACTORS, " and load_relaxed(address + 8) <= most:", ":")],
    "a torn snapshot is used": [(ACTORS, "if whole and taken > best", "if taken > best")],
    "a snapshot is written in place":
        [(ACTORS, SNAPPED, "pass\n"), (ACTORS, "mind.place = 1 - place", "mind.place = place")],
    "a snapshot's time is missed":
        [(ACTORS, DUE, "if mind.taken > mind.saved and mind.taken % mine.every == 0:")],
    "a snapshot of inputs on their way": [(ACTORS, FLIGHT, "if work:")],
    "a snapshot's outputs are the ring's":
        [(ACTORS, "put(mind.buffer + 8, mind.given)",
          "put(mind.buffer + 8, next_free(writing(world, OUTPUTS_IN)) - 1)")],
    # The stage, the sink.
    "a group is begun without room for all of it":
        [(TOY, WAITS, WAITS.replace("OUTPUTS_MAX", "1"))],
    "an input is let go of before its outputs are there":
        [(TOY, TAKES, f"let_go(reader, sequence, writer, target - 1)\n        {TAKES}")],
    "one more is let go of than was taken":
        [(TOY, ENDS, "        sequence += 1\n    let_go(reader, sequence,")],
    "the sink notes what it has not got":
        [(ACTORS, GOT, f"{GOT}\n    store_release(mine.sink, position + count)")],
    "the sink lets go before it has it":
        [(ACTORS, GOT, f"{GOT}\n    release(reader, position + count)")],
    "a sink that comes back does not let go":
        [(ACTORS, "release(reader, max(position, next_unread(reader) - 1))", "pass")],
}  # fmt: skip
# Neither of the two is a flaw of the protocol. The first must be found, or the judge is blind: it
# shows in what the sink has got, and nowhere else. The second must not be, or he sees ghosts.
CANARY = "canary"
CONTROL = "control"
OTHERS = {
    CANARY: [(ACTORS, "SINK_CONTENT + (sequence - 1) * SIZE",
              "SINK_CONTENT + (sequence - 1 - sequence // 9) * SIZE")],
    CONTROL: [(ACTORS, "HEAD = 4  #", "HEAD = 8  #")],
}  # fmt: skip


class Found(NamedTuple):
    """What became of the search for a flaw. verdict: empty where it was not found."""

    name: str
    verdict: str
    crashes: int
    seed: int
    seconds: float


class Endless(BaseException):
    """A kernel does not come back; it must not be taken for an actor's death."""


def hunt(name: str) -> Found:
    """Play stories with a flaw in them until one fails."""
    changes: dict[str, list[tuple[str, str]]] = {}
    for module, old, new in {**FLAWS, **OTHERS}[name]:
        changes.setdefault(module, []).append((old, new))
    made = copies(changes)
    began, crashes, seed = time.process_time(), 0, 0
    signal.signal(signal.SIGALRM, _give_up)
    for capacities, inputs, until in WORLDS:
        world = made["worlds"].World(pattern_of("toy", inputs), capacities)
        interrupt(made["simulator"], world)
        signal.alarm(SECONDS)
        try:
            while crashes + world.record.crashes < until and not world.verdict:
                seed += 1
                made["simulator"].play_one(world.address, seed, until - crashes)
            verdict = world.verdict
        except Endless:
            verdict = "endless"
        signal.alarm(0)
        crashes += int(world.record.crashes)
        if verdict:
            break
    return Found(name, verdict, crashes, seed, time.process_time() - began)


def _give_up(*_) -> None:
    raise Endless


def main(arguments: list[str]) -> int:
    """Search for all flaws, a process on each core; the exit code says whether all were found."""
    names = [name for name in (*OTHERS, *FLAWS) if not arguments or arguments[0] in name]
    right = True
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for found in pool.map(hunt, names):
            print(json.dumps(found._asdict()), flush=True)
            right &= bool(found.verdict) != (found.name == CONTROL)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
