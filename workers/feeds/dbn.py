"""Databento DBN files, plain or packed, as event records."""

import msgspec

from ringbuf.atomics import at
from workers.feeds.bytes_in import LOW, ByteSource, open_bytes
from workers.feeds.dbn_metadata import Metadata, read_metadata, spans
from workers.kernels.dbn import decode, look_ahead
from workers.kernels.dbn_records import (
    PRICE_DECIMALS,
    SCHEMAS,
    TBBO,
    TS_OUT,
    VERSIONS,
    sizes_of,
)
from workers.kernels.dbn_state import CODES, Memory
from workers.kernels.feed_counters import FEED_COUNTERS
from workers.merge import CODES as CODES_MAX

WINDOWS_PER_FILL = 16  # looked through for a first event before `fill` gives the turn back
PUBLISHERS = 1 << 16
assert CODES <= CODES_MAX


class DbnOptions(
    msgspec.Struct, tag="dbn", tag_field="kind", forbid_unknown_fields=True, kw_only=True
):
    """Which file, and how to read it.

    price_decimals: of all prices; None: 4 where that is enough for what the start of the file
    shows of an instrument, or the first record of one that comes later, and 9 otherwise.
    publisher: the venue whose instruments go by their bare symbols; those of others in the same
    file end in `@<publisher>`. None: that of the first record.
    """

    path: str
    price_decimals: int | None = None
    publisher: int | None = None

    def __post_init__(self) -> None:
        if self.price_decimals is not None and not 0 <= self.price_decimals <= PRICE_DECIMALS:
            raise ValueError(f"price_decimals is {self.price_decimals}, must be 0 to 9")
        if self.publisher is not None and not 0 <= self.publisher < PUBLISHERS:
            raise ValueError(f"publisher is {self.publisher}, must be 0 to {PUBLISHERS - 1}")


class DbnFeed:
    """A file of DBN records of orders, levels, trades, states or definitions; see `Feed`."""

    live = False

    def __init__(self, options: DbnOptions, counters: int) -> None:
        self.finished = False
        self._options, self._counters = options, counters
        self._source: ByteSource | None = None
        self._metadata: Metadata | None = None
        self._memory: Memory | None = None

    @property
    def trouble(self) -> str:
        """What is wrong with the file as a whole; empty while all is well."""
        if self._source is None or self._metadata is None or self._memory is None:
            return ""
        if self._source.trouble:
            return self._source.trouble
        path, state = self._options.path, self._memory.state[0]
        if state["unfit"]:
            needed = f"price_decimals = {state['unfit']} or more"
            return f"{path}: prices were refused that need {needed}; set that of this feed"
        if state["codes_full"]:
            return f"{path}: more than {state['codes']} instruments; the rest was refused"
        if self._metadata.trouble:
            return f"{path}: {self._metadata.trouble}"
        counts = at(self._counters, FEED_COUNTERS)
        if self.finished and counts.bytes > 0 and counts.messages == 0:
            return f"{path}: no record was recognised behind the metadata; was it copied whole?"
        return ""

    def open(self) -> None:
        """Open the file and read what it says of itself; FeedError where that cannot be."""
        self._source = open_bytes(self._options.path)
        try:
            self._metadata = read_metadata(self._source, self._options.path)
        except BaseException:
            self._source.close()
            raise
        options = self._options
        self._memory = prepared(
            self._metadata, self._counters, options.price_decimals, options.publisher
        )
        address, length, _ = self._source.window()
        look_ahead(self._memory.address, address, min(length, LOW))

    def fill(self, target: int, limit: int) -> int:
        """Write at most `limit` events; 0 now and then, where long stretches carry none."""
        assert self._source is not None, "open() comes first"
        assert self._memory is not None
        state = self._memory.state[0]
        for _ in range(WINDOWS_PER_FILL):
            if self.finished or limit == 0:
                return 0
            address, length, final = self._source.window()
            state["final"] = final
            written = decode(self._memory.address, address, length, target, limit)
            consumed = int(state["consumed"])
            self._source.consume(consumed)
            waiting = state["handed"] < state["waiting"] or state["doubtful"] > 0
            self.finished = final and consumed == length and not waiting
            if self.finished and self._source.trouble:
                at(self._counters, FEED_COUNTERS).truncated = 1
            if written:
                return int(written)
        return 0

    def tick(self, code: int) -> int:
        """The smallest step of an instrument's prices, in its price units; 0: not known."""
        assert self._memory is not None, "open() comes first"
        return int(self._memory.instruments[code]["tick"])

    def resync(self, code: int) -> None:
        """Nothing to do: what is kept gives the same again."""

    def progress(self) -> float:
        """How much of the file is read, 0 to 1."""
        return self._source.progress() if self._source else 0.0

    def close(self) -> None:
        """Close the file."""
        if self._source:
            self._source.close()
        self.finished = True


def prepared(
    metadata: Metadata, counters: int, decimals: int | None = None, publisher: int | None = None
) -> Memory:
    """The memory of a decoder for a stream of such metadata, at its first record."""
    memory, layout = Memory(spans(metadata.mappings)), VERSIONS[metadata.version]
    state = memory.state[0]
    state["counters"], state["version"] = counters, metadata.version
    state["sole"] = metadata.schema < len(SCHEMAS)
    state["sampled"] = metadata.schema == TBBO
    state["decimals"] = -1 if decimals is None else decimals
    state["home"] = -1 if publisher is None else publisher
    state["symbol_bytes"] = layout.symbol_bytes
    for name in ("raw_symbol", "update_action", "out_symbol"):
        state[name] = getattr(layout, name)
    for kind, size in sizes_of(metadata.version, metadata.schema).items():
        state["sizes"][kind] = size + TS_OUT * metadata.ts_out
    return memory
