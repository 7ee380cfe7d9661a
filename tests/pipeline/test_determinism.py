"""The same input gives the same bytes, however the pipeline is laid out."""

import hashlib
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from pipeline import plan, runs
from pipeline.config import STAGES, load
from tests.pipeline.running import Place, portfolios, tables
from tuning import topology

DAY = {"kind": "synthetic", "messages": 100_000, "symbols": 20, "seed": 11}
LAYOUTS = {
    "again": {},
    "one process": {"processes": [[*STAGES]]},
    "small rings, other waits": {
        "rings": {"events": 512, "book": 1024, "risk": 128},
        "stages": {name: {"wait": "yield"} for name in STAGES},
    },
    "two processes, at a rate": {
        "processes": [["ingest", "risk"], ["book", "publisher"]],
        "ingest": {"rate": 60_000.0},
    },
}


@dataclass
class Outcome:
    """What came of a run."""

    digests: dict[str, str]
    counts: dict[str, int]
    tables: dict[str, list[tuple]]
    portfolios: list


def outcome(place: Place, **layout) -> Outcome:
    """Run the day and take down every record of both rings."""
    layout = {"feeds": [DAY], "risk": portfolios(DAY), "publisher": place.history()} | layout
    path = place.write(book={"publish_levels": True}, **layout)
    config = load(path)
    digests = {ring: hashlib.sha256() for ring in ("book", "risk")}
    counts = dict.fromkeys(digests, 0)

    def tap(ring: str):
        def take(records: np.ndarray) -> None:
            digests[ring].update(records.tobytes())
            counts[ring] += len(records)

        return take

    made = plan.make(config, topology.read(), ("book", "risk"))
    taps = {ring: tap(ring) for ring in digests}
    report = runs.supervise(config, made, path, quiet=True, taps=taps).report
    assert report.balanced
    assert {ring.name: ring.written for ring in report.rings} == counts | {
        "events": report.rings[0].written
    }
    stored = tables(place.folder / "history")
    return Outcome(
        {r: d.hexdigest() for r, d in digests.items()}, counts, stored, report.portfolios
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The outcome that all others must equal."""
    place = Place(tmp_path_factory.mktemp("first"))
    try:
        return outcome(place)
    finally:
        place.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_input_gives_the_same_bytes(place, first, layout):
    assert first.counts["book"] > 50_000
    assert first.counts["risk"] > 1_000
    other = outcome(place, **LAYOUTS[layout])
    assert other.counts == first.counts
    assert other.digests == first.digests
    assert other.portfolios == first.portfolios
    assert other.tables == first.tables


def test_other_input_gives_other_bytes(place, first):
    other = outcome(place, feeds=[DAY | {"seed": 12}])
    assert other.digests["book"] != first.digests["book"]
    assert msgspec.json.encode(other.counts) != msgspec.json.encode(first.counts)
