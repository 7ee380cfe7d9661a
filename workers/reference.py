"""Reference data: what instruments trade by, from a file that people keep.

    TOML   [[instruments]]                        CSV   symbol,venue,tick,phases
           symbol = "AAPL"                              AAPL,itch,0.01,09:30-16:00 continuous
           tick = "0.01"
           phases = [{from = "09:30", to = "16:00", state = "continuous"}]

Both have the keys of Entry. Decimals are taken exactly as they are written, in quotes or not. In
CSV an empty cell is a key left out, and phases are separated by semicolons.
"""

import csv
import difflib
import io
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from workers.instruments import SYMBOL_BYTES
from workers.sessions import Phase, Schedule, overlap, zone_of

BYTES_MAX = 64 << 20  # of a file
DIGITS = 18  # before and behind the point
LARGEST = 1 << 56  # price units or lots, as ingest.quantity_limit


class ReferenceOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where the reference data are."""

    path: str  # a file whose name ends in .toml or .csv


class ReferenceDataError(Exception):
    """Reference data that cannot be used: one line for each problem, with entry, key and mend."""

    def __init__(self, path: str, problems: list[str]) -> None:
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))
        self.problems = problems


class Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What is known of one instrument.

    venue: the kind of a feed or its number, from 0; left out: any. tick, price: in currency; lot:
    in units.
    """

    symbol: str
    venue: str | int | None = None
    tick: Decimal | None = None
    lot: Decimal | None = None
    price: Decimal | None = None
    zone: str = "UTC"
    phases: list[Phase] = []

    def __post_init__(self) -> None:
        printable = self.symbol.isascii() and self.symbol.isprintable()
        if not printable or self.symbol != self.symbol.strip():
            raise ValueError(f"symbol = {self.symbol!r}: give printable ASCII")
        if not 1 <= len(self.symbol) <= SYMBOL_BYTES:
            raise ValueError(f"symbol = {self.symbol!r}: give 1 to {SYMBOL_BYTES} characters")
        for name in ("tick", "lot", "price"):
            value = getattr(self, name)
            if value is not None and not _is_sane(value):
                raise ValueError(f"{name} = {value}: give more than 0, of at most {DIGITS} digits")
        zone_of(self.zone)
        clash = overlap(self.phases)
        if clash:
            raise ValueError(f"phases: {clash}; give each time of day one state")


def _is_sane(value: Decimal) -> bool:
    """Whether a decimal is above 0 and short enough to be reckoned with."""
    if not value.is_finite() or value <= 0:
        return False
    behind = value.adjusted() + 1 - len(value.as_tuple().digits)  # the place of the last digit
    return behind >= -DIGITS and value.adjusted() < DIGITS


class Reference:
    """The entries of a file, found by venue and symbol."""

    def __init__(self, path: str = "", entries: tuple[Entry, ...] = ()) -> None:
        self.path, self.entries = path, entries
        self._known = {(entry.venue, entry.symbol): entry for entry in entries}
        self._schedules: dict[tuple, Schedule] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, number: int, kind: str, symbol: str) -> Entry | None:
        """The entry of an instrument of a feed: for its number, for its kind, or for any."""
        found = (self._known.get((venue, symbol)) for venue in (number, kind, None))
        return next((entry for entry in found if entry is not None), None)

    def schedule(self, entry: Entry) -> Schedule | None:
        """When an instrument trades; entries that say the same share it."""
        if not entry.phases:
            return None
        key = entry.zone, tuple(entry.phases)
        return self._schedules.setdefault(key, Schedule(tuple(entry.phases), entry.zone))

    @property
    def venues(self) -> set[str | int]:
        """The feeds that entries name."""
        return {entry.venue for entry in self.entries if entry.venue is not None}

    @property
    def timed(self) -> bool:
        """Whether any entry has phases."""
        return any(entry.phases for entry in self.entries)


def units(value: Decimal | None, scale: int) -> int | None:
    """A decimal in units of which `scale` make 1, 0 for none; None where it is no whole number."""
    if value is None:
        return 0
    above, below = value.as_integer_ratio()
    if above * scale % below:
        return None
    whole = above * scale // below
    return whole if whole <= LARGEST else None


def load(path: str | Path) -> Reference:
    """Read a file; ReferenceDataError with everything that is wrong with it."""
    name = str(path)
    place = Path(path).expanduser()
    try:
        if place.stat().st_size > BYTES_MAX:
            raise ReferenceDataError(
                name, [f"has more than {BYTES_MAX >> 20} MB; give a smaller file"]
            )
        text = place.read_text("utf-8-sig")
    except OSError as failure:
        raise ReferenceDataError(name, [f"cannot be read: {failure.strerror}"]) from None
    except UnicodeDecodeError:
        raise ReferenceDataError(name, ["is not text in UTF-8"]) from None
    if place.suffix == ".toml":
        return parse_toml(text, name)
    if place.suffix == ".csv":
        return parse_csv(text, name)
    raise ReferenceDataError(
        name, ["is neither .toml nor .csv; give a file whose name says what it is"]
    )


def parse_toml(text: str, path: str) -> Reference:
    """Entries from TOML text."""
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as failure:
        raise ReferenceDataError(path, [f"is not TOML: {failure}"]) from None
    problems = [
        f"{key}: unknown key; entries are [[instruments]]" for key in data if key != "instruments"
    ]
    items = data.get("instruments", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        problems.append("instruments: is no list of tables; write [[instruments]] above each")
        items = []
    return _made(path, ((f"instruments[{n}]", item) for n, item in enumerate(items)), problems)


def parse_csv(text: str, path: str) -> Reference:
    """Entries from CSV text."""
    problems: list[str] = []
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [name.strip() for name in next(rows, [])]
        known = Entry.__struct_fields__
        problems += [f"line 1: {_unknown(name, known)}" for name in columns if name not in known]
        if "symbol" not in columns:
            problems.append(f"line 1: has no column symbol; its columns are {', '.join(known)}")
        elif len({*columns}) < len(columns):
            problems.append("line 1: has a column twice; name each once")
        items = [] if problems else list(_rows(rows, columns, problems))
    except csv.Error as failure:
        raise ReferenceDataError(path, [f"line {rows.line_num}: is not CSV: {failure}"]) from None
    return _made(path, iter(items), problems)


def _rows(rows, columns: list[str], problems: list[str]) -> Iterator[tuple[str, dict]]:
    """Every line with its place, cells as an Entry has them."""
    for cells in rows:
        where = f"line {rows.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            problems.append(f"{where}: has {len(cells)} cells, the first line {len(columns)}")
            continue
        item: dict = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
        item = {name: cell for name, cell in item.items() if cell}
        if item.get("venue", "").isdecimal():
            item["venue"] = int(item["venue"][:DIGITS])
        if "phases" in item:
            item["phases"] = [_phase(part) for part in item["phases"].split(";")]
        yield where, item


def _phase(text: str) -> dict:
    """A phase as TOML has it, from `09:30-16:00 continuous`."""
    span, _, state = text.strip().partition(" ")
    begin, _, end = span.partition("-")
    return {"from": begin, "to": end, "state": state.strip()}


def _made(path: str, items: Iterator[tuple[str, dict]], problems: list[str]) -> Reference:
    """The entries of some tables; ReferenceDataError with all that is wrong with them."""
    entries: dict[tuple, Entry] = {}
    for where, item in items:
        symbol = item.get("symbol")
        named = f"{where} ({symbol})" if isinstance(symbol, str) and symbol else where
        strange = [key for key in item if key not in Entry.__struct_fields__]
        problems += [f"{named}: {_unknown(key, Entry.__struct_fields__)}" for key in strange]
        if strange:
            continue
        try:
            entry = msgspec.convert(item, Entry)
        except (msgspec.ValidationError, ArithmeticError) as failure:
            problems.append(f"{named}: {_readable(str(failure))}")
            continue
        if (entry.venue, entry.symbol) in entries:
            problems.append(f"{named}: stands there twice for one venue; leave one out")
        entries[entry.venue, entry.symbol] = entry
    if problems:
        raise ReferenceDataError(path, problems)
    return Reference(path, tuple(entries.values()))


def _unknown(key: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{key}: unknown key; {hint}known: {', '.join(sorted(known))}"


def _readable(message: str) -> str:
    """msgspec's message with the key in front."""
    what, _, path = message.partition(" - at `")
    where = path.rstrip("`").removeprefix("$").removeprefix(".")
    return f"{where}: {what[:1].lower()}{what[1:]}" if where else what
