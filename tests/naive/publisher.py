"""An obvious publisher: hands rings to a sink as the contract of sinks says, and notes it down."""

import json
import random
from pathlib import Path

import numpy as np

from tests.naive.stored_rows import KINDS, RUN, json_rows, parquet_rows
from workers.sinks.json_lines import JsonLines, JsonLinesOptions
from workers.sinks.parquet_file import ParquetFile, ParquetOptions


def parquet(folder: Path, **options) -> ParquetFile:
    return ParquetFile(ParquetOptions(path=str(folder / "history"), kinds=KINDS, **options))


def json_lines(folder: Path) -> JsonLines:
    return JsonLines(JsonLinesOptions(path=str(folder / "records.jsonl"), kinds=KINDS))


SINKS = {
    "parquet": lambda folder: parquet(folder, rows_per_file=150),
    "jsonl": json_lines,
}


def stored(name: str, folder: Path, kinds: list[str] = KINDS) -> dict[str, list[tuple]]:
    if name == "parquet":
        return parquet_rows(folder / "history", kinds)
    return json_rows(folder / "records.jsonl", kinds)


def deliver(sink, rings: dict[str, np.ndarray], released: Path, seed: int = 0) -> None:
    """A publisher: rings in turn, slices of any size, flush now and then, as the contract says."""
    choose = random.Random(seed)
    sink.open(RUN)
    done = {ring: sink.resume(ring) for ring in rings}
    before = json.loads(released.read_text()) if released.exists() else {}
    assert all(done[ring] >= sequence for ring, sequence in before.items()), (done, before)
    done = {ring: max(0, sequence - choose.randrange(20)) for ring, sequence in done.items()}
    while any(done[ring] < len(rings[ring]) for ring in rings):
        for ring, records in rings.items():
            end = done[ring] + choose.randrange(1, 120)
            sink.put(ring, records[done[ring] : end])
            done[ring] = min(end, len(records))
        if choose.random() < 0.4:
            aside = released.with_suffix(".new")
            aside.write_text(json.dumps(sink.flush()))
            aside.rename(released)
    sink.close()
