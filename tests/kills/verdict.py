"""Whether anybody outside noticed: everything that is left, against what must be, made anew."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from pipeline import past, plan
from ringbuf.chain import ROOT, seal_records
from ringbuf.journal import JournalReader
from ringbuf.record import fields_of
from tests.kills.digests import digests_of
from tests.kills.line import SEEN, Line
from tests.kills.load import events_of
from tests.naive.pipeline import answers
from tests.workers.deaths import slots_of
from workers.records import empty
from workers.recovery import LOCAL, kept_by

CHUNK = 1 << 16
WRONG = ("lost", "doubled", "reordered", "torn")
Expected = Iterator[dict[str, np.ndarray]]  # the next records of each ring that has some


def undisturbed(line: Line, total: int) -> Expected:
    """All records that must follow, by stages that nothing happens to; ends with their links."""
    replica = past.replica(line.config, line.plan)
    for first in range(1, total + 1, CHUNK):
        events = events_of(line.block, first, min(CHUNK, total - first + 1))
        given = replica.take(events)
        yield {"events": events, **{name: joined(name, parts) for name, parts in given.items()}}
    _same_memory(line, replica)


def plainly(line: Line, total: int) -> Expected:
    """The same by stages as anybody would write them."""
    events, config = events_of(line.block, 1, total), line.config
    given = answers(events, config.book, config.risk, config.ingest.instruments)
    records = {n: np.frombuffer(text, layout(n)) for n, text in given.items()}
    yield {"events": events, **records}


def layout(name: str) -> np.dtype:
    return next(iter(plan.LAYOUTS[name].values()))[1]


def joined(name: str, parts: list[np.ndarray]) -> np.ndarray:
    """Records in one piece, as they lie in memory."""
    whole = empty(layout(name), sum(map(len, parts)))
    if parts:
        whole.view(np.uint8)[:] = np.concatenate([part.view(np.uint8) for part in parts])
    return whole


def _same_memory(line: Line, replica) -> None:
    """Counters and boards must be those of stages that nothing happened to."""
    for name, (stage, aside) in replica.parts.items():
        panel = line.panels[name]
        for left, right in ((a, b) for _, a, b in panel.balance()):
            assert left == right, f"{name}: counters do not balance"
        for block, counted in aside.links.panel.counters.items():
            for field in fields_of(counted.dtype):
                mine = panel.counters[block][field]
                assert field in LOCAL or mine == counted[field], (name, field, mine, counted[field])
        for board in kept_by(stage):
            mine, theirs = line.boards[board].all(), aside.links.boards[board].all()
            mine["sequence"] = theirs["sequence"] = 0
            assert mine.tobytes() == theirs.tobytes(), f"board {board} differs"


class Check:
    """One ring's records and everything they left, in step with what must be."""

    def __init__(self, line: Line, name: str) -> None:
        self.line, self.name, self.count, self.chain = line, name, 0, ROOT
        self.log = JournalReader(line.journal / name, plan.LAYOUTS[name])
        self.wrong: Counter[str] = Counter()

    def take(self, expected: np.ndarray) -> None:
        """Compare the next records, as the sink saw them and as the journal has them."""
        first, self.count = self.count + 1, self.count + len(expected)
        if self.name in SEEN:
            wanted = digests_of(expected)
            kept = self.line.kept[self.name][first : self.count + 1]
            self.wrong += told_apart(kept, wanted)
        logged = self.log.read(first, len(expected))
        if logged.tobytes() != expected.tobytes():
            self.wrong += told_apart(digests_of(logged), digests_of(expected))
        sealed = expected.copy()
        at = np.ascontiguousarray(sealed)
        self.chain = int(seal_records(at.ctypes.data, at.itemsize, first, len(at), self.chain))

    def end(self) -> None:
        """Nothing may be left over, on the ring, in its journal or outside; all was let go of."""
        line = self.line
        written = line.written(self.name)
        assert written == self.count, f"{self.name}: {written} records, not {self.count}"
        assert self.log.last == self.count, f"{self.name}: {self.log.last} in the journal"
        assert int(self.log.chain_at(self.count)) == self.chain, f"{self.name}: chain"
        for reader in line.rings[self.name].readers:
            if reader["name"]:
                assert reader["position"] == self.count, (self.name, reader["name"])
                assert reader["policy"] == 0, (self.name, reader["name"], "waited for still")
        if self.name in SEEN:
            assert not line.kept[self.name][self.count + 1 :][: 1 << 20].any(), "too many"
        slots = slots_of(line.rings[self.name].segment, self.name)
        newest = np.sort(slots["sequence"])
        first = self.count - min(self.count, len(slots)) + 1
        assert newest[-(self.count - first + 1) :].tolist() == [*range(first, self.count + 1)]
        self.log.close()


def told_apart(found: np.ndarray, wanted: np.ndarray) -> Counter[str]:
    """How records differ from what was wanted, by their digests' places: lost, doubled, ..."""
    wrong: Counter[str] = Counter()
    if np.array_equal(found, wanted):
        return wrong
    places = {int(value): place for place, value in enumerate(wanted)}
    for place, value in enumerate(wanted):
        seen = int(found[place]) if place < len(found) else 0
        if seen == value:
            continue
        if seen == 0:
            wrong["lost"] += 1
        elif seen in places:
            wrong["doubled" if places[seen] < place else "reordered"] += 1
        else:
            wrong["torn"] += 1
    return wrong


def judge(
    line: Line, total: int, oracle: Callable[[Line, int], Expected] = undisturbed
) -> tuple[dict[str, int], Counter[str]]:
    """How many records each ring had, and what was wrong with them; total: events."""
    checks = {name: Check(line, name) for name in line.rings}
    for given in oracle(line, total):
        for name, records in given.items():
            checks[name].take(records)
    wrong: Counter[str] = sum((check.wrong for check in checks.values()), Counter())
    if not wrong:
        for check in checks.values():
            check.end()
    return {name: check.count for name, check in checks.items()}, wrong
