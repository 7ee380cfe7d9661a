"""One stage at a time, joined to real rings and boards whose other ends the test holds."""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence

import numpy as np

from ringbuf import clock, memory
from ringbuf.board import Board, create_board
from ringbuf.panel import Panel, create_panel, panel_text
from ringbuf.share import Observer, RingReader, RingWriter, Seat, create_ring
from workers.depth import DEPTH
from workers.enriched import CONSOLIDATED_DEPTH
from workers.instruments import INSTRUMENT
from workers.portfolio_board import PORTFOLIO_ROW
from workers.position_board import POSITION_ROW
from workers.records import BOOK_RING, EVENTS_RING, RISK_RING, empty
from workers.stage import Links, Stage

NUMBERS = itertools.count()
RINGS = {"events": EVENTS_RING, "book": BOOK_RING, "risk": RISK_RING}
ROWS = {"instruments": INSTRUMENT, "depth": DEPTH, "consolidated": CONSOLIDATED_DEPTH,
        "portfolios": PORTFOLIO_ROW, "positions": POSITION_ROW}  # fmt: skip
MEMBER, TEST = "member", "test"  # the two gating readers of every ring
POSITIONS = 1024  # rows of their board
TURNS_MAX = 100_000


class Joint:
    """The memory around one stage of a class: `links` is what the stage gets."""

    def __init__(
        self,
        kind: type[Stage],
        parts: int = 0,
        capacity: int = 1024,
        rows: int = 16,
        seats: Sequence[Seat] = (),
    ):
        """seats: more readers of every ring."""
        self.name = f"joint-{os.getpid()}-{next(NUMBERS)}"
        self.kind = kind
        text = panel_text(kind.counters_of(parts), kind.HISTOGRAMS, kind.equations_of(parts))
        create_panel(self.name, "stage", text).close()
        for ring in (*kind.READS, *kind.WRITES):
            readers = [MEMBER if ring in kind.READS else TEST]
            create_ring(self.name, ring, RINGS[ring], capacity, [*readers, *seats]).close()
        for board in (*kind.LOOKS_AT, *kind.KEEPS):
            most = POSITIONS if board == "positions" else rows
            create_board(self.name, board, "row", ROWS[board], most).close()
        self.links = self.join()
        clock.calibrate(self.links.panel.status["clock"])
        self.sources = {r: RingWriter(self.name, r, RINGS[r]) for r in kind.READS}
        self.targets = {r: RingReader(self.name, r, RINGS[r], TEST) for r in kind.WRITES}
        self.boards = {b: Board(self.name, b, writable=True) for b in kind.LOOKS_AT}

    def join(self) -> Links:
        """Everything that the stage's process opens."""
        kind, links = self.kind, Links(Panel(self.name, "stage", own=True))
        links.readers |= {r: RingReader(self.name, r, RINGS[r], MEMBER) for r in kind.READS}
        links.writers |= {r: RingWriter(self.name, r, RINGS[r]) for r in kind.WRITES}
        links.boards |= {b: Board(self.name, b) for b in kind.LOOKS_AT}
        links.boards |= {b: Board(self.name, b, writable=True) for b in kind.KEEPS}
        return links

    def leave(self) -> None:
        """What the kernel does when the stage's process dies."""
        links = self.links
        for end in (*links.readers.values(), *links.writers.values()):
            end.segment.close()
        for part in (links.panel, *links.boards.values()):
            part.close()

    def name_instruments(self, symbols: list[str], scale: int = 10_000) -> None:
        """Announce instruments on the board, as ingest does."""
        for number, symbol in enumerate(symbols):
            row = np.zeros(1, INSTRUMENT)
            row["symbol"], row["price_scale"] = symbol.encode(), scale
            self.boards["instruments"].put(number, row)

    def took(self, ring: str) -> np.ndarray:
        """Copies of what the stage has published since the last look, slots given back."""
        reader, parts = self.targets[ring], []
        dtype = next(iter(RINGS[ring].values()))[1]
        while len(records := reader.take(dtype, 1 << 20)):
            parts.append(records.copy())
            reader.release(int(records["sequence"][-1]))
        whole = empty(dtype, sum(map(len, parts)))
        if parts:
            whole[:] = np.concatenate(parts)
        return whole

    def counters(self, block: str) -> dict[str, int]:
        record = self.links.panel.counters[block]
        return {name: int(record[name]) for name in record.dtype.names if record[name].ndim == 0}

    def balanced(self) -> bool:
        return all(left == right for _, left, right in self.links.panel.balance())

    def content(self, name: str) -> np.ndarray:
        """The rows of a board, without how often each was written."""
        rows = Board(self.name, name).all()
        rows["sequence"] = 0
        return rows

    def observer(self, ring: str) -> Observer:
        return Observer(self.name, ring)

    def unlink(self) -> None:
        for segment in memory.names(self.name):
            memory.unlink(segment)


@contextlib.contextmanager
def joint(*args, **options) -> Iterator[Joint]:
    """A joint whose memory is gone afterwards."""
    made = Joint(*args, **options)
    try:
        yield made
    finally:
        made.unlink()


def turn_until_finished(stage: Stage, joint_: Joint, *rings: str) -> dict[str, np.ndarray]:
    """Turn a stage to its end, emptying the rings that it writes; what was on them."""
    taken: dict[str, list] = {ring: [] for ring in rings}
    for _ in range(TURNS_MAX):
        stage.turn(1)
        for ring in rings:
            taken[ring].append(joint_.took(ring))
        if stage.finished:
            return {ring: np.concatenate(parts) for ring, parts in taken.items()}
    raise AssertionError("the stage does not come to an end")
