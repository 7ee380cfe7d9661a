"""A replica publishes what the running stages do, byte for byte, and goes on from any point."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import snapshot
from ringbuf.jit import compiled
from ringbuf.memory import names
from ringbuf.panel import panel_text
from tests.workers import test_risk
from tests.workers.deaths import Case, log_of, undisturbed
from tests.workers.joined import RINGS, ROWS
from workers import instruments
from workers.book import Book, BookOptions
from workers.enriched import BarOptions, ConsolidatedOptions, MeasureOptions
from workers.feeds.synthetic import SyntheticOptions, symbols
from workers.instruments import Names
from workers.matched import AccountOptions, MatchingOptions
from workers.records import TOP
from workers.recovery import ASIDE, CHUNK, Pattern
from workers.replica import Replica, shape_of
from workers.risk import Risk
from workers.risk_options import CsvScenarios, Portfolio, RiskOptions
from workers.stage import Stage

EXAMPLES = 40 if compiled() else 3
ROWS_OF = {"instruments": 16, "depth": 16, "consolidated": 1, "portfolios": 16, "positions": 16}
WITH_ADDRESSES = ("book.notes", "risk.desk", "risk.shown")  # blocks with addresses of their own
DAY = SyntheticOptions(messages=3_000 if compiled() else 250, symbols=5, seed=5)
BOOK = BookOptions(
    orders=2048,
    levels=1024,
    publish_levels=True,
    measures=MeasureOptions(),
    bars=[BarOptions(seconds=60), BarOptions(trades=3)],
    snapshot_s=60.0,
)
HELD = symbols(DAY)
GROUPS = {"both": ConsolidatedOptions(venues=[f"feed0:{symbol}" for symbol in HELD[:2]])}
BOTH = {HELD[0]: (100, 9.5), HELD[1]: (7, 2.0)}
RISK = RiskOptions(
    portfolios=[
        Portfolio(name="both", positions=test_risk.holding(**BOTH)),
        Portfolio(name="one", parent="both", positions=test_risk.holding(**{HELD[3]: (-40, 20.0)})),
    ],
    scenarios=test_risk.DAYS,
)


def pattern_of(kind: type[Stage]) -> Pattern:
    text = panel_text(kind.counters_of(), kind.HISTOGRAMS, kind.equations_of())
    boards = {name: ("row", ROWS[name], ROWS_OF[name]) for name in kind.KEEPS}
    return Pattern(text, {r: RINGS[r] for r in (*kind.READS, *kind.WRITES)}, boards)


STAGES = {
    "book": (Book, lambda links: Book(BOOK, 16, links, GROUPS), pattern_of(Book)),
    "risk": (Risk, lambda links: Risk(RISK, 16, links), pattern_of(Risk)),
}


def replica(*names_, found=None) -> Replica:
    return Replica({name: STAGES[name] for name in names_ or STAGES}, 16, found)


LOG = log_of(DAY)


def together(given: dict[str, list[np.ndarray]]) -> dict[str, bytes]:
    return {name: b"".join(part.tobytes() for part in parts) for name, parts in given.items()}


def live() -> dict[str, bytes]:
    """What the stages publish, each on real rings."""
    with tempfile.TemporaryDirectory() as folder:
        book = Case(Book, STAGES["book"][1], LOG, 16)
        tops = undisturbed(book, Path(folder), set())
        risk = Case(Risk, STAGES["risk"][1], tops.outputs, 16, HELD)
        answers = undisturbed(risk, Path(folder), set())
    return {"book": tops.outputs.tobytes(), "risk": answers.outputs.tobytes()}


LIVE = live()


@settings(max_examples=EXAMPLES)
@given(cuts=st.lists(st.integers(0, len(LOG)), max_size=5))
def test_a_replica_gives_what_the_stages_publish(cuts):
    mine = replica()
    places = [0, *sorted(cuts), len(LOG)]
    given_ = {"book": b"", "risk": b""}
    for start, end in itertools.pairwise(places):
        for name, content in together(mine.take(LOG[start:end])).items():
            given_[name] += content
    assert given_ == LIVE
    assert len(LIVE["risk"]) > 64 * 20
    assert {*np.frombuffer(LIVE["book"], TOP)["kind"].tolist()} >= {6, 7, 8, 9, 10, 18}
    assert mine.positions == {
        "events": len(LOG), "book": len(LIVE["book"]) // 64, "risk": len(LIVE["risk"]) // 64
    }  # fmt: skip
    assert [*Names(mine.names).all()] == HELD
    assert names(ASIDE) == []


@settings(max_examples=EXAMPLES)
@given(at=st.integers(0, len(LOG)))
def test_a_snapshot_of_any_moment_goes_on_alike(at):
    mine = replica()
    before = together(mine.take(LOG[:at]))
    with tempfile.TemporaryDirectory() as folder:
        blocks = {name: block.copy() for name, block in mine.blocks().items()}
        snapshot.save(Path(folder), mine.positions, "shape", mine.blocks())
        found, _ = snapshot.newest(Path(folder), "shape")
        other = replica(found=found)
        assert other.positions == mine.positions
        for name, block in other.blocks().items():
            if name not in WITH_ADDRESSES:
                assert block.tobytes() == blocks[name].tobytes(), name
    after = together(other.take(LOG[at:]))
    assert {name: before[name] + after[name] for name in LIVE} == LIVE
    assert after == together(mine.take(LOG[at:]))
    assert other.positions == mine.positions
    blocks = ("books", "measures", "bars", "venues", "board.depth", "board.consolidated")
    for name in (*(f"book.{block}" for block in blocks), "risk.positions", "risk.board.portfolios"):
        assert rows_of(other, name) == rows_of(mine, name), name


def rows_of(replica_: Replica, block: str) -> bytes:
    """A block; of boards what they show."""
    stage, kind, *board = block.split(".")
    if kind != "board":
        return replica_.blocks()[block].tobytes()
    rows = replica_.parts[stage][1].links.boards[board[0]].all()
    rows["sequence"] = 0
    return rows.tobytes()


def test_a_replica_without_risk():
    mine = replica("book")
    assert together(mine.take(LOG[: 2 * CHUNK])) == {"book": live_until(2 * CHUNK)}
    assert set(mine.positions) == {"events", "book"}


def live_until(event: int) -> bytes:
    """What the book published up to an event."""
    records = np.frombuffer(LIVE["book"], RINGS["book"]["top"][1])
    return records[records["cause"] <= event].tobytes()


def test_nothing_to_take_changes_nothing():
    mine = replica()
    assert mine.take(LOG[:0]) == {"book": [], "risk": []}
    assert mine.positions == {"events": 0, "book": 0, "risk": 0}


def test_the_shape_tells_what_a_state_was_made_for(tmp_path):
    path = tmp_path / "returns.csv"
    text = "AAA\n" + "".join(f"{n % 7 / 1000 - 0.003}\n" for n in range(120))
    path.write_text(text)
    holds = [Portfolio(name="one", positions=test_risk.holding(AAA=(1, 1.0)))]
    csv = RiskOptions(portfolios=holds, scenarios=CsvScenarios(path=str(path)))
    shapes = [
        shape_of(BOOK, RISK, 16),
        shape_of(BOOK, RISK, 17),
        shape_of(BookOptions(orders=2048, levels=1024), RISK, 16),
        shape_of(BOOK, RiskOptions(), 16),
        shape_of(BOOK, csv, 16),
        shape_of(BookOptions(orders=2048, levels=1024, publish_levels=True), RISK, 16),
        shape_of(BookOptions(orders=2048, levels=1024, index="tree"), RISK, 16),
        shape_of(BookOptions(orders=2048, levels=1024, index="auto"), RISK, 16),
        shape_of(BookOptions(orders=2048, levels=1024, ladder_ticks=64), RISK, 16),
        shape_of(BOOK, RISK, 16, GROUPS),
        shape_of(BOOK, RISK, 16, {"other": GROUPS["both"]}),
    ]
    held = MatchingOptions(accounts=[AccountOptions(var_max=1.0)])
    measured = BookOptions(orders=2048, levels=1024, matching=held)
    nobody = RiskOptions(scenarios=CsvScenarios(path=str(path)))
    shapes.append(shape_of(measured, nobody, 16))
    path.write_text(text.replace("0.003", "0.002"))
    shapes.append(shape_of(BOOK, csv, 16))
    shapes.append(shape_of(measured, nobody, 16))
    assert len({*shapes}) == len(shapes)
    assert shape_of(BOOK, RISK, 16) == shapes[0]


def test_instruments_of_the_log_come_to_the_board_as_ingest_put_them():
    mine = replica("book")
    instruments.show(mine.names, LOG)
    rows = mine.names.all()
    assert [row.decode() for row in rows["symbol"] if row] == HELD
    assert set(rows["price_scale"][: len(HELD)]) == {10_000}
    assert not rows["source"].any()
