"""What a pipeline's journals hold: finding them, reading them as people do, `corelane journal ls`.

Everything here only reads, and a pipeline that is writing them meanwhile takes no notice.
"""

from contextlib import closing
from pathlib import Path

import click
import msgspec
import numpy as np

from pipeline import console, past
from pipeline.listing import Reading, printable
from pipeline.plan import LAYOUTS
from pipeline.selection import choice
from ringbuf import journal_files as files
from ringbuf import snapshot
from ringbuf.journal import JournalError, JournalReader
from ringbuf.snapshot import Snapshot, SnapshotError
from workers.archive import digest, rings_in
from workers.enriched import ConsolidatedOptions
from workers.groups import Groups
from workers.instruments import INSTRUMENT, Names, Unit, unit_announced, unit_of
from workers.records import Event
from workers.snapshots import FOLDER as SNAPSHOTS

SLICE = 65_536  # records looked at in one go


class RingLog(msgspec.Struct):
    """The journal of one ring."""

    ring: str
    first: int
    last: int  # the newest whole record; first - 1: there is none
    records: int
    segments: int
    bytes: int  # of the files
    durable: int  # known to be on the disk; the file notes it now and then
    digest: str  # the chain value at `last`: equal for equal logs
    begins: str  # time of the first record and of the last, UTC; empty where there is none
    ends: str


class Kept(msgspec.Struct):
    """One snapshot."""

    file: str
    positions: dict[str, int]
    bytes: int
    created: str
    fault: str  # why it cannot be used


class Listing(msgspec.Struct):
    """All that a folder of journals holds."""

    folder: str
    pipeline: str
    run_id: str
    created: str
    rings: list[RingLog]
    snapshots: list[Kept]


def ring_names(folder: Path) -> list[str]:
    """The rings that have a journal in a folder, in the order of the flow."""
    found = [path.name for path in rings_in(folder)]
    return sorted(found, key=lambda name: ([*LAYOUTS, name].index(name), name))


def check_ring(folder: Path, ring: str) -> str:
    """A ring that has a journal; JournalError, saying which do, for another."""
    past.read_run(folder)
    names = ring_names(folder)
    if ring not in names:
        raise JournalError(f"{folder} has no journal of a ring {ring!r}; {choice(ring, names)}")
    return ring


def open_log(folder: Path, ring: str) -> JournalReader:
    """The journal of a ring whose records this program understands."""
    return JournalReader(folder / check_ring(folder, ring), LAYOUTS.get(ring))


class Announced(Names):
    """Symbols and price scales as the log announces them; it is read no further than asked for."""

    def __init__(self, folder: Path) -> None:
        self.log = open_log(folder, "events")
        self.known, self.next = {}, self.log.first
        if self.next > 1:
            self._begin_with(folder / SNAPSHOTS)

    def _begin_with(self, folder: Path) -> None:
        """Where the log's beginning is gone, a snapshot knows what was announced there."""
        for item in reversed(snapshot.listed(folder)):
            try:
                found = Snapshot(item.path)
                rows = np.zeros(found.blocks["instruments"][0], np.uint8)
                found.load("instruments", rows)
            except (SnapshotError, KeyError):
                continue
            for number, row in enumerate(rows.view(INSTRUMENT)):
                if row["symbol"]:
                    self.known[number] = unit_of(row)
            self.next = max(self.next, found.positions["events"] + 1)
            return

    def unit(self, instrument: int) -> Unit:
        while instrument not in self.known and self._read_on():
            pass
        return self.known.get(instrument, Unit(f"#{instrument}"))

    def all(self) -> dict[str, int]:
        """Every announced symbol with its instrument number."""
        while self._read_on():
            pass
        return {unit.symbol: number for number, unit in self.known.items()}

    def _read_on(self) -> bool:
        events = self.log.read(self.next, SLICE)
        for event in events[events["kind"] == Event.DIRECTORY]:
            self.known[int(event["instrument"])] = unit_announced(event)
        self.next += len(events)
        return len(events) > 0


class LogReading(Reading):
    """What the numbers in kept records mean."""

    def __init__(self, folder: Path) -> None:
        self.names = self.announced = Announced(folder)
        kept = past.read_run(folder).config
        options = msgspec.convert(kept.get("consolidated", {}), dict[str, ConsolidatedOptions])
        self.groups = Groups(options, self.names)
        named = kept["risk"]["portfolios"]
        self.portfolios = [printable(portfolio["name"]) for portfolio in named]

    def close(self) -> None:
        self.announced.log.close()


def listing(folder: Path) -> Listing:
    """What there is now; JournalError where it cannot be read."""
    run = past.read_run(folder)
    return Listing(
        str(folder),
        run.pipeline,
        run.run_id,
        run.created,
        [_ring(folder / name) for name in ring_names(folder)],
        [
            Kept(item.path.name, item.positions, item.size, moment(item.created_ns), item.fault)
            for item in snapshot.listed(folder / SNAPSHOTS)
        ],
    )


def _ring(folder: Path) -> RingLog:
    with closing(JournalReader(folder)) as log:
        segments = log.segments()
        first, last = segments[0][1], log.last
        ends = [log.read(place, 1) for place in (first, last) if first <= last]
        times = [moment(int(record["time_ns"][0])) for record in ends if len(record)]
        return RingLog(
            folder.name,
            first,
            last,
            last - first + 1,
            len(segments),
            sum(path.stat().st_size for path, _, _ in segments if path.exists()),
            durable(folder, segments[-1][1], last),
            digest(log.chain_at(last)),
            *(times if len(times) == 2 else ("", "")),
        )


def durable(folder: Path, first: int, last: int) -> int:
    """The last record that is known to be on the disk, from what its last segment notes."""
    with files.path_of(folder, first).open("rb") as file:
        mark = files.read_mark(file.read(files.RECORDS))
    return min(max(mark, first - 1), last)


def moment(ns: int) -> str:
    """Nanoseconds since the epoch as a UTC time; empty for 0."""
    return f"{np.datetime64(ns, 'ns')}Z" if ns else ""


def show(found: Listing) -> None:
    """Print what there is."""
    console.out.print(
        f"pipeline {found.pipeline}, run {found.run_id}, since {found.created}", markup=False
    )
    rings = console.table(
        "journals", "ring", ">first", ">last", ">segments", ">MB", ">durable", "digest"
    )  # fmt: skip
    times = console.table("times", "ring", ">records", "begins", "ends")
    for log in found.rings:
        numbers = (f"{number:,}" for number in (log.first, log.last, log.segments))
        size, safe = f"{log.bytes / 1e6:,.1f}", f"{log.durable:,}"
        rings.add_row(log.ring, *numbers, size, safe, log.digest)
        times.add_row(log.ring, f"{log.records:,}", log.begins[:23] or "-", log.ends[:23] or "-")
    console.out.print(rings)
    console.out.print(times)
    if found.snapshots:
        _show_snapshots(found)


def _show_snapshots(found: Listing) -> None:
    rings = list(LAYOUTS)
    columns = (f">{ring}" for ring in rings)
    snapshots = console.table("snapshots as of", *columns, ">MB", "taken")
    for item in found.snapshots:
        positions = (
            f"{item.positions[ring]:,}" if ring in item.positions else "-" for ring in rings
        )
        snapshots.add_row(*positions, f"{item.bytes / 1e6:,.1f}", item.created[:19] or "-")
    console.out.print(snapshots)
    for item in found.snapshots:
        if item.fault:
            console.out.print(item.fault, style="red", markup=False, soft_wrap=True)


def print_listing(folder: Path, as_json: bool) -> None:
    """`corelane journal ls`."""
    found = listing(folder)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        show(found)
