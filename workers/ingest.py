"""The ingest stage: feeds in, one validated and ordered log of events out."""

import msgspec
import numpy as np

from ringbuf.atomics import at
from ringbuf.panel import Equation
from workers import merge, rules
from workers.almanac import Almanac, Setting
from workers.feeds.feed import EQUATIONS as FEED_EQUATIONS
from workers.feeds.feed import FEED_COUNTERS, Feed
from workers.feeds.journal import JournalFeed
from workers.feeds.order_lines import OrdersFeed
from workers.feeds.registry import FeedOptions, build
from workers.instruments import INSTRUMENT, announced, describe
from workers.merge import COUNTERS, KNOWN, MERGE, SOURCE, Pace, Reason
from workers.records import EVENT, Event, empty
from workers.rules import Rules
from workers.stage import TURN_RECORDS, Links, Stage
from workers.watch import Watch

# What becomes of an event that a feed has staged.
FATES = (
    "published",
    "unknown_instrument",
    "unwanted",
    "dropped",
    "repeated",
    "instruments_full",
)
STAGED = 2048  # events that a source may have waiting
NOTHING_SET = Setting()


class IngestOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How sources become one log."""

    symbols: list[str] = []  # only these instruments; empty: all that the sources announce
    instruments: int = 16_384  # at most so many
    rate: float | None = None  # events a second; None: as fast as possible, or by `speed`
    speed: float | None = None  # 1.0: as recorded, 10.0: ten times faster
    quantity_limit: int = 1 << 56  # lots; more is refused as an error of the source
    price_limit: int = 1 << 40  # price units
    silence_s: float | None = None  # a live source's books are stale after so long without a byte
    rules: Rules = msgspec.field(default_factory=Rules)


class Ingest(Stage):
    """Merges the feeds of a configuration by event time, checks, numbers and stamps each event."""

    WRITES = ("events",)
    LOOKS_AT = ("depth",)  # what became of the books of live sources
    KEEPS = ("instruments",)

    def __init__(
        self,
        options: IngestOptions,
        sources: list[FeedOptions],
        links: Links,
        setting: Setting = NOTHING_SET,
    ) -> None:
        self.options, self.links, self.setting = options, links, setting
        self.kinds = [str(type(source).__struct_config__.tag) for source in sources]
        panel = links.panel
        self.counters = panel.counter_addresses["ingest"]
        self.clock = panel.segment.address + panel.status.dtype.fields["clock"][1]
        self.feeds: list[Feed] = [
            build(source, self._counters_of(number)) for number, source in enumerate(sources)
        ]
        for feed in self.feeds:
            if isinstance(feed, OrdersFeed):
                feed.portfolios = {name: each for each, name in enumerate(setting.portfolios)}
        self.numbers: dict[tuple[int, int, str], int] = {}
        self.draining = False
        self.told = ""  # trouble of a live source
        self.limit = TURN_RECORDS  # events that a turn moves at most

    def _counters_of(self, number: int) -> int:
        return self.links.panel.counter_addresses[f"feed{number}"]

    def _depth(self) -> np.ndarray | None:
        """The depth board's rows, as the book stage writes them."""
        board = self.links.boards.get("depth")
        if board is None:
            return None
        return board.segment.payload[: board.rows * board.size].view(board.dtype)

    @staticmethod
    def counters_of(parts: int = 0) -> dict[str, np.dtype]:
        return {"ingest": COUNTERS, **{f"feed{number}": FEED_COUNTERS for number in range(parts)}}

    @staticmethod
    def equations_of(parts: int = 0) -> list[Equation]:
        fed = [f"feed{number}.events" for number in range(parts)]
        equations: list[Equation] = [
            (["ingest.received", "ingest.added"], [f"ingest.{name}" for name in FATES]),
            (fed, ["ingest.received", "ingest.abandoned"]),
        ]
        for number in range(parts):
            block = f"feed{number}"
            equations += [
                ([f"{block}.{name}" for name in left], [f"{block}.{name}" for name in right])
                for left, right in FEED_EQUATIONS
            ]
        return equations

    def open(self) -> None:
        """Open the feeds and lay out the merge's memory."""
        self.memory = np.zeros(merge.bytes_needed(self.options.instruments) + 64, np.uint8)
        self.state_at = self.memory.ctypes.data + -self.memory.ctypes.data % 64
        self.staged = [empty(EVENT, STAGED) for _ in self.feeds]
        header = at(self.state_at, MERGE)
        header.sources = len(self.feeds)
        options = self.options
        rules.lay_down(header.law, options.rules, options.quantity_limit, options.price_limit)
        self.bind(self.links)
        self.watches = {
            number: Watch(feed, self._counters_of(number), self.options.silence_s, self._depth())
            for number, feed in enumerate(self.feeds)
            if feed.live
        }
        for number, feed in enumerate(self.feeds):
            source = self.source(number)
            source.events, source.live = self.staged[number].ctypes.data, feed.live
            source.exempt = isinstance(feed, JournalFeed)
            feed.open()
            self._refill(number)
        self._begin_almanac()
        # Compiled before it is needed, like the feeds' kernels by their first events.
        merge.turn(self.state_at, self.writer, self.clock, self.counters, 0, 0)
        merge.code_place(self.state_at, 0, np.int32(0))
        self.board.put(0, self.board.row(0))

    def _begin_almanac(self) -> None:
        """Have ingest say what it has to say itself; a log that has days keeps those."""
        self.almanac = Almanac(self.setting, self.options.instruments)
        if any(getattr(feed, "dated", False) for feed in self.feeds):
            self.almanac.days, self.almanac.ends = None, False
        self.fresh: set[int] = set()  # instruments of which only the number is known
        header = at(self.state_at, MERGE)
        header.boundary_ns, header.informs = self.almanac.boundary, 1

    def bind(self, links: Links) -> None:
        """Write to these rings; where there is a pace, it begins with the next event."""
        super().bind(links)
        self.limit = TURN_RECORDS
        self.writer, self.board = links.writers["events"].view, links.boards["instruments"]
        header = at(self.state_at, MERGE)
        header.started = header.sent = 0
        self._set_pace(header)

    def hasten(self, records: int = TURN_RECORDS) -> None:
        """Keep to no pace until bound anew, and take at most so many in the next turn."""
        self.limit = min(records, TURN_RECORDS)
        at(self.state_at, MERGE).pace = Pace.FULL

    def _set_pace(self, header) -> None:
        scale = float(self.links.panel.status["clock"]["ns_per_cycle"])
        header.pace = Pace.FULL
        if self.options.rate is not None:
            header.pace, header.interval = Pace.RATE, 1e9 / self.options.rate / scale
        elif self.options.speed is not None:
            header.pace, header.interval = Pace.RECORDED, 1 / self.options.speed / scale

    def source(self, number: int):
        """The merge's record of a source."""
        return at(self.state_at + merge.SOURCES_AT + number * SOURCE.itemsize, SOURCE)

    def turn(self, patience: int) -> int:
        """Move what is staged into the log; refill and name instruments as the merge asks."""
        work, limit = 0, self.limit
        if self.watches:
            sum(map(self._poll, self.watches))
            self._tell()
        while work < limit:
            reason, taken = merge.turn(
                self.state_at, self.writer, self.clock, self.counters, limit - work, patience
            )
            work += taken
            if reason == Reason.REFILL:
                if not self._refill(int(at(self.state_at, MERGE).asks)):
                    break
            elif reason == Reason.ANNOUNCED:
                self._name(int(at(self.state_at, MERGE).asks))
            elif reason == Reason.BOUNDARY:
                self._turn_over(int(at(self.state_at, MERGE).asks))
            elif reason == Reason.INFORM:
                self._inform(int(at(self.state_at, MERGE).asks))
            elif reason == Reason.IDLE and sum(map(self._poll, self.watches)):
                continue
            else:
                if reason == Reason.EXHAUSTED:
                    self.finished = True
                    self._tell_missing()
                break
        return work

    def _poll(self, number: int) -> bool:
        """Have a live source stage more, where nothing of it waits; True where something came."""
        source, watch = self.source(number), self.watches[number]
        if source.head < source.count or source.finished:
            return False
        said = watch.look(STAGED)
        if said is None:
            self._refill(number)
        else:
            self.staged[number][: len(said)] = said
            source.head, source.count = 0, len(said)
        return bool(source.count)

    def _tell(self) -> None:
        """Show what troubles live sources, for as long as it does, and wrong reference data."""
        said = (*self.almanac.troubles, *(self.feeds[number].trouble for number in self.watches))
        troubles = "; ".join(said)
        if troubles != self.told:
            self.told = troubles
            self.links.panel.status["message"] = troubles.strip("; ").encode()[:256]

    def _refill(self, number: int) -> bool:
        """Have a source stage more; False where it has nothing now."""
        source, feed = self.source(number), self.feeds[number]
        count = 0 if self.draining else feed.fill(int(source.events), STAGED)
        source.head, source.count = 0, count
        source.finished = int(self.draining or feed.finished)
        if source.finished and feed.trouble:
            self.links.panel.status["message"] = feed.trouble.encode()[:256]
        return bool(count or source.finished)

    def _name(self, number: int) -> None:
        """Give the instrument that a source announces its number, and show it on the board."""
        source = self.source(number)
        event = self.staged[number][source.head]
        entry = at(merge.code_place(self.state_at, number, event["instrument"]), merge.CODE)
        symbol = announced(event)
        if self.options.symbols and symbol not in self.options.symbols:
            entry.instrument = merge.UNWANTED
            return
        known = number, int(event["source"]), symbol  # in a log the source that it first came from
        if known not in self.numbers:
            if len(self.numbers) >= self.options.instruments:
                self._refuse(source)
                return
            self._show(known, event)
        self.know(number, int(event["instrument"]), self.numbers[known])

    def known(self) -> np.ndarray:
        """What the merge knows of each instrument, KNOWN, as a view."""
        start = self.state_at - self.memory.ctypes.data + merge.KNOWN_AT
        return self.memory[start:][: self.options.instruments * KNOWN.itemsize].view(KNOWN)

    def say(self, events: np.ndarray) -> None:
        """Have these be the next events in the log, and the almanac be asked when it wants to."""
        header = at(self.state_at, MERGE)
        self.said = events
        header.said, header.saying, header.told = events.ctypes.data, len(events), 0
        header.boundary_ns = self.almanac.boundary

    def _turn_over(self, number: int) -> None:
        """Say what comes before the next event of a source: it is behind a day, or a phase."""
        source = self.source(number)
        event = self.staged[number][source.head]
        time_ns = max(int(at(self.state_at, MERGE).last_ns), int(event["time_ns"]))
        rows = self.board.all()[: len(self.numbers)]
        self.say(self.almanac.turn(time_ns, rows, self.known()))

    def _inform(self, number: int) -> None:
        """Say what there is to say behind what a source has announced."""
        event = self.staged[number][self.source(number).head - 1].copy()  # others may come there
        if event["kind"] == Event.DIRECTORY:
            entry = merge.code_place(self.state_at, number, event["instrument"])
            self.introduce(number, int(at(entry, merge.CODE).instrument) - 1, event)
        elif self.almanac.ends:
            mine = [one for (source, *_), one in self.numbers.items() if source == number]
            self.say(self.almanac.night(mine, self.known(), int(event["time_ns"])))

    def introduce(self, number: int, instrument: int, event: np.ndarray) -> None:
        """Say what is known of an instrument that has just been announced for the first time."""
        if instrument not in self.fresh:
            return
        self.fresh.discard(instrument)
        row = self.board.row(instrument)
        given = self._terms_that_follow(number, event)
        found = None
        if not self.source(number).exempt:
            symbol = row[0]["symbol"].decode()
            found = self.almanac.reference.find(number, self.kinds[number], symbol)
        terms = self.almanac.terms_of(found, row[0]) if found and given is None else None
        row["tick"] = given["order"] if given is not None else terms[0] if terms else 0
        self.board.put(instrument, row)
        if found:
            time_ns = max(int(at(self.state_at, MERGE).last_ns), int(event["time_ns"]))
            self.almanac.learn(instrument, found)
            self.say(self.almanac.introduce(instrument, terms, time_ns))
            self._tell()

    def _terms_that_follow(self, number: int, event: np.ndarray) -> np.ndarray | None:
        """The TERMS that a source itself has behind an announcement."""
        source = self.source(number)
        if source.head == source.count and not source.finished and not source.live:
            self._refill(number)
        if source.head == source.count:
            return None
        following = self.staged[number][source.head]
        mine = following["instrument"] == event["instrument"]
        return following if mine and following["kind"] == Event.TERMS else None

    def know(self, number: int, code: int, instrument: int) -> None:
        """From here on a source's code means this instrument."""
        entry = at(merge.code_place(self.state_at, number, code), merge.CODE)
        entry.instrument = instrument + 1
        if number in self.watches:
            self.watches[number].codes[instrument] = code

    def _tell_missing(self) -> None:
        """Say which of the configured symbols never came."""
        missing = set(self.options.symbols) - {symbol for *_, symbol in self.numbers}
        if missing and not self.draining and not self.links.panel.status["message"]:
            text = f"ingest.symbols: no source announced {', '.join(sorted(missing))}"
            self.links.panel.status["message"] = text.encode()[:256]

    def _show(self, known: tuple[int, int, str], event) -> None:
        number, *_ = known
        instrument = self.numbers[known] = len(self.numbers)
        self.fresh.add(instrument)
        row = np.zeros(1, INSTRUMENT)
        describe(row, event)
        row["source"], row["code"] = number, event["instrument"]
        self.board.put(instrument, row)

    def _refuse(self, source) -> None:
        """Leave out an announcement past the limit; its events will be of an unknown instrument."""
        source.head += 1
        tally = self.links.panel.counters["ingest"]
        tally["received"] += 1
        tally["instruments_full"] += 1

    def drain(self) -> None:
        """Ask the feeds for no more; what is staged still goes out."""
        self.draining = True
        self.hasten()

    def progress(self) -> float:
        """How much of all sources has been read, 0 to 1; nan where one has no known end."""
        return sum(feed.progress() for feed in self.feeds) / len(self.feeds)

    def close(self) -> None:
        """Let the feeds go and say that the log is complete."""
        for feed in self.feeds:
            feed.close()
        self.links.writers["events"].close()
