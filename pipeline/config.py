"""The configuration file: TOML into strict structs; every refusal names the path and the mend."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import inspect

from pipeline.portfolios import portfolio_faults
from pipeline.seats import seat_faults
from pipeline.shape import deviations, near
from ringbuf.memory import NAME
from ringbuf.ring import RELEASE_EVERY
from workers import reference
from workers.almanac import Setting
from workers.book import BookOptions, outputs_max
from workers.enriched import ConsolidatedOptions, bar_faults, consolidated_faults
from workers.feeds.feed import FeedError
from workers.feeds.order_flow import FlowOptions
from workers.feeds.order_lines import OrdersOptions
from workers.feeds.registry import FeedOptions
from workers.ingest import IngestOptions
from workers.instruments import SYMBOL_BYTES
from workers.kernels.levels import INSTRUMENTS_MAX, LEVELS_MAX, TICKS_MAX, TICKS_MIN
from workers.kernels.orders import ORDERS_MAX
from workers.kernels.scenarios import MAX_SCENARIOS
from workers.merge import SOURCES_MAX
from workers.publish import PublisherOptions
from workers.reference import ReferenceDataError, ReferenceOptions
from workers.risk_options import RiskOptions, SyntheticScenarios, symbols_of
from workers.scenarios import MIN_SCENARIOS
from workers.sessions import DayOptions

STAGES = ("ingest", "book", "risk", "publisher")  # in the order of the flow
BEHIND = ("journal", "snapshot")  # those that nobody waits for an answer from
SMALLEST_RING, LARGEST_RING = 2 * RELEASE_EVERY, 1 << 32
SEGMENT_MB_MAX = 4096  # of a journal's file: recovery reads one of them
SYMBOL = re.compile(rf"[!-~]{{1,{SYMBOL_BYTES}}}")
RATE_MAX = 10**9  # events a second, or times as fast as recorded


class ConfigError(Exception):
    """A configuration that cannot be used: one line for each problem, with path and mend."""

    def __init__(self, source: str, problems: list[str]) -> None:
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))
        self.problems = problems


class Rings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How many records each ring holds: powers of two. Small rings stay in a core's cache."""

    events: int = 8192
    book: int = 8192
    risk: int = 8192


class Placement(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where one stage runs, how it waits and what happens when it dies."""

    core: int | None = None  # None: the plan chooses
    wait: Literal["auto", "spin", "yield", "backoff", "park"] = "auto"
    # Ring -> what lagging behind on it means: the writer waits, records are lost, or are read
    # from the ring's journal.
    lag: dict[str, Literal["gate", "drop", "replay"]] = {}
    after: dict[str, str] = {}  # ring -> the stage that must be done with a record before this one
    restart: Literal["auto", "never", "on-failure"] = "auto"


class Supervision(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How long to be patient with the stages."""

    ready_s: float = 300.0  # for a stage to get ready: kernels compile once on a new machine
    hang_s: float = 10.0  # without a heartbeat, then the stage counts as hung
    drain_s: float = 30.0  # to hand on what is in the rings after a stop
    restarts: int = 3  # of one stage within `restart_window_s`, then the pipeline fails
    restart_window_s: float = 60.0
    backoff_s: float = 0.1  # before the second restart, doubled for each that follows
    start: Literal["fork", "exec"] = "fork"  # from a process that has all code loaded


class Memory(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What memory is asked for; `status` shows what was got."""

    huge_pages: bool = False  # for rings, boards and panels: 2 MiB where the host has them
    lock: bool = False  # keep all memory of the stages from being paged out
    numa: Literal["prefer", "bind", "off"] = "prefer"  # the node of the stage that works on it


class Journal(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where everything that travels is written down, and what a power cut may take of it."""

    path: str  # a folder
    durability: Literal["none", "async", "sync"] = "async"  # sync: on disk before it is answered
    sync_ms: float = 20.0  # async: between two times that everything is made durable
    segment_mb: int = 64  # of one file
    keep_mb: int | None = None  # of each ring; None: everything, for ever
    keep_days: float | None = None  # files that were written last so long ago go, in any case
    archive: str | None = None  # a folder for what is not kept any longer, as Parquet
    snapshot_s: float = 10.0  # between two snapshots of the books and positions
    snapshots: int = 3  # how many are kept

    @property
    def keep_bytes(self) -> int:
        """What each ring's files may have altogether before old ones go."""
        return sys.maxsize if self.keep_mb is None else self.keep_mb << 20

    @property
    def keep_s(self) -> float | None:
        """How long a file is kept; None: for ever."""
        return None if self.keep_days is None else self.keep_days * 86_400


class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A whole pipeline."""

    name: str
    feeds: list[FeedOptions]
    ingest: IngestOptions = msgspec.field(default_factory=IngestOptions)
    book: BookOptions = msgspec.field(default_factory=BookOptions)
    consolidated: dict[str, ConsolidatedOptions] = {}  # by name: one instrument, several venues
    risk: RiskOptions = msgspec.field(default_factory=RiskOptions)
    publisher: PublisherOptions = msgspec.field(default_factory=PublisherOptions)
    rings: Rings = msgspec.field(default_factory=Rings)
    stages: dict[str, Placement] = {}
    processes: list[list[str]] = []  # stages that share a process; empty: one process each
    memory: Memory = msgspec.field(default_factory=Memory)
    journal: Journal | None = None
    reference: ReferenceOptions | None = None
    day: DayOptions | None = None
    supervision: Supervision = msgspec.field(default_factory=Supervision)

    def placement(self, stage: str) -> Placement:
        return self.stages.get(stage) or Placement()

    @property
    def setting(self) -> Setting:
        """What decides what ingest itself has to say in the log."""
        named = [portfolio.name for portfolio in self.risk.portfolios if self.risk.lines]
        return Setting(self.day, self.reference, tuple(named))


def load(path: str | Path) -> Config:
    """Read a configuration file; ConfigError with every problem that can be told at once."""
    source = str(path)
    try:
        text = Path(path).read_text()
    except OSError as failure:
        raise ConfigError(source, [f"cannot be read: {failure.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError(source, ["is not text in UTF-8"]) from None
    return parse(text, source)


def parse(text: str, source: str = "configuration") -> Config:
    """A configuration from TOML text."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise ConfigError(source, [f"is not TOML: {failure}"]) from None
    wrong = deviations(data, inspect.type_info(Config))
    if wrong:
        raise ConfigError(source, wrong)
    try:
        config = msgspec.convert(data, Config)
    except (msgspec.ValidationError, FeedError) as failure:
        raise ConfigError(source, [_readable(str(failure))]) from None
    problems = faults(config)
    if problems:
        raise ConfigError(source, problems)
    return config


def _readable(message: str) -> str:
    """msgspec's message with the path in front, as it stands in the file."""
    what, _, path = message.partition(" - at `")
    where = path.rstrip("`").removeprefix("$").removeprefix(".")
    return f"{where}: {what[:1].lower()}{what[1:]}" if where else what


def faults(config: Config) -> list[str]:
    """Everything wrong with a configuration that its types do not say."""
    problems = []
    if not NAME.fullmatch(config.name):
        problems.append(
            f"name: {config.name!r} will not do; use up to 32 of a-z, 0-9, - and _, "
            "starting with a letter or digit"
        )
    if config.journal and not config.journal.path:
        problems.append("journal.path: is empty; name a folder")
    if config.journal and config.journal.archive is not None:
        if not config.journal.archive:
            problems.append("journal.archive: is empty; name a folder")
        if config.journal.keep_mb is None and config.journal.keep_days is None:
            problems.append(
                "journal.archive: nothing ever leaves the journal; say with journal.keep_mb how "
                "much it is to keep, or with journal.keep_days how long"
            )
    if not 1 <= len(config.feeds) <= SOURCES_MAX:
        problems.append(f"feeds: {len(config.feeds)} of them; give 1 to {SOURCES_MAX} [[feeds]]")
    for ring in STAGES[:3]:
        capacity = getattr(config.rings, _RINGS[ring])
        if not SMALLEST_RING <= capacity <= LARGEST_RING or capacity & (capacity - 1):
            better = max(SMALLEST_RING, 1 << max(capacity - 1, 1).bit_length())
            better = min(better, LARGEST_RING)
            problems.append(f"rings.{_RINGS[ring]}: {capacity} is no size; use {better}")
    ticks = config.book.ladder_ticks
    if not TICKS_MIN <= ticks <= TICKS_MAX or ticks & (ticks - 1):
        better = min(max(TICKS_MIN, 1 << max(ticks - 1, 1).bit_length()), TICKS_MAX)
        problems.append(f"book.ladder_ticks: {ticks} is no size; use {better}")
    problems += bar_faults(config.book.bars)
    problems += consolidated_faults(config.consolidated, len(config.feeds))
    problems += _stage_faults(config) or seat_faults(config.stages)
    problems += _range_faults(config) + _matching_faults(config)
    problems += _execution_faults(config)
    problems += _scenario_faults(config)
    problems += portfolio_faults(config.risk, max(config.rings.risk, SMALLEST_RING))
    return problems + _reference_faults(config)


_RINGS = {"ingest": "events", "book": "book", "risk": "risk"}


def _stage_faults(config: Config) -> list[str]:
    problems = []
    known = (*STAGES, *BEHIND) if config.journal else STAGES
    for stage in config.stages:
        if stage not in known:
            problems.append(f"stages.{stage}: no such stage; {near(stage, known)}")
            continue
        on_failure = config.stages[stage].restart == "on-failure"
        if on_failure and stage != "publisher" and not config.journal:
            problems.append(
                f"stages.{stage}.restart: {stage} keeps its state in memory only and cannot go on "
                "after a crash; give the pipeline a [journal], or use 'never'"
            )
        problems += [
            f"stages.{stage}.lag.{ring}: there is no journal to read on from; give the pipeline a "
            "[journal], or use 'gate'"
            for ring, lag in config.stages[stage].lag.items()
            if lag == "replay" and not config.journal
        ]
        problems += [
            f"stages.{stage}.lag.{ring}: what {stage} missed is not in its past, and it could not "
            "go on after a crash; use 'replay', which misses nothing"
            for ring, lag in config.stages[stage].lag.items()
            if lag == "drop" and config.journal and stage != "publisher"
        ]
    named = [stage for group in config.processes for stage in group]
    for stage in sorted({*named} - {*known}):
        problems.append(f"processes: no such stage {stage!r}; {near(stage, known)}")
    for stage in sorted({stage for stage in named if named.count(stage) > 1}):
        problems.append(f"processes: {stage!r} stands there twice; name it once")
    return problems


def _range_faults(config: Config) -> list[str]:
    positive = {
        "ingest.rate": config.ingest.rate,
        "ingest.speed": config.ingest.speed,
        "ingest.quantity_limit": config.ingest.quantity_limit,
        "ingest.price_limit": config.ingest.price_limit,
        "publisher.flush_s": config.publisher.flush_s,
        "book.check_s": config.book.check_s,
        "risk.check_s": config.risk.check_s,
        **{
            f"supervision.{name}": getattr(config.supervision, name)
            for name in ("ready_s", "hang_s", "drain_s", "restart_window_s", "backoff_s")
        },
    }
    if config.journal:
        positive |= {
            f"journal.{name}": getattr(config.journal, name)
            for name in ("sync_ms", "snapshot_s", "keep_days")
        }
    problems = [
        f"{path}: {value} is not above 0; give more"
        for path, value in positive.items()
        if value is not None and not value > 0
    ]
    if config.ingest.rate is not None and config.ingest.speed is not None:
        problems.append("ingest: rate and speed exclude each other; give one of them")
    return problems + _limit_faults(config)


def _execution_faults(config: Config) -> list[str]:
    """Accounts of portfolios whose executions nobody tells."""
    accounts = config.book.matching.accounts if config.book.matching else []
    problems = []
    for number, portfolio in enumerate(config.risk.portfolios):
        for account in portfolio.accounts:
            where = f"risk.portfolios[{number}].accounts: "
            if account >= len(accounts):
                problems.append(
                    f"{where}there is no account {account}; add [[book.matching.accounts]] until "
                    "there is, the first is 0"
                )
            elif account >= 0 and not accounts[account].executions:
                problems.append(
                    f"{where}nobody tells what account {account} trades; give it executions = true "
                    "in [[book.matching.accounts]]"
                )
    return problems


def _scenario_faults(config: Config) -> list[str]:
    """Scenarios that are named, and accounts that need some where there are none."""
    scenarios = config.risk.scenarios
    if not isinstance(scenarios, SyntheticScenarios):
        return []
    problems = [
        f"risk.scenarios.symbols: {symbol!r} stands there twice; name it once"
        for symbol in sorted({*scenarios.symbols})
        if scenarios.symbols.count(symbol) > 1
    ]
    problems += [
        f"risk.scenarios.symbols: {symbol!r} is no symbol; give 1 to {SYMBOL_BYTES} ASCII "
        "characters, none of them blank"
        for symbol in scenarios.symbols
        if not SYMBOL.fullmatch(symbol)
    ]
    accounts = config.book.matching.accounts if config.book.matching else []
    held = [number for number, account in enumerate(accounts) if account.var_max is not None]
    if held and not scenarios.symbols and not symbols_of(config.risk):
        problems.append(
            f"book.matching.accounts[{held[0]}].var_max: there are no scenarios for anything; name "
            "symbols in risk.scenarios.symbols, or give risk.scenarios a file: kind = 'csv'"
        )
    return problems


def _limit_faults(config: Config) -> list[str]:
    limits = {
        "ingest.instruments": (config.ingest.instruments, 1, INSTRUMENTS_MAX),
        "ingest.rate": (config.ingest.rate or 1, 0, RATE_MAX),
        "ingest.speed": (config.ingest.speed or 1, 0, RATE_MAX),
        "book.orders": (config.book.orders, 1, ORDERS_MAX),
        "book.levels": (config.book.levels, 1, LEVELS_MAX),
        "supervision.restarts": (config.supervision.restarts, 0, 1_000_000),
    }
    if config.journal:
        limits["journal.segment_mb"] = (config.journal.segment_mb, 1, SEGMENT_MB_MAX)
        limits["journal.keep_mb"] = (config.journal.keep_mb or 0, 0, 1 << 40)
        limits["journal.snapshots"] = (config.journal.snapshots, 2, 1000)
    if isinstance(config.risk.scenarios, SyntheticScenarios):
        days = config.risk.scenarios.days
        limits["risk.scenarios.days"] = (days, MIN_SCENARIOS, MAX_SCENARIOS)
    return [
        f"{path}: {value} is out of range; give {low:,} to {high:,}"
        for path, (value, low, high) in limits.items()
        if value < low or value > high
    ]


def _matching_faults(config: Config) -> list[str]:
    """What orders of clients need."""
    problems = [
        f"feeds[{number}]: brings orders, and nothing here matches them; add [book.matching]"
        for number, feed in enumerate(config.feeds)
        if isinstance(feed, OrdersOptions | FlowOptions)
        and config.book.matching is None
        and not (isinstance(feed, OrdersOptions) and config.risk.lines)
    ]
    most = 2 * outputs_max(config.book, len(config.consolidated))
    if SMALLEST_RING <= config.rings.book < most:  # a smaller one is refused in any case
        problems.append(
            f"rings.book: {config.rings.book} is too small for what one event can give; use "
            f"{1 << (most - 1).bit_length()}"
        )
    return problems


def _reference_faults(config: Config) -> list[str]:
    """What is wrong with the reference data, and which of them are of no feed."""
    if config.reference is None:
        return []
    try:
        found = reference.load(config.reference.path)
    except ReferenceDataError as error:
        return [f"reference.path: {line}" for line in str(error).splitlines()]
    kinds = {str(type(feed).__struct_config__.tag) for feed in config.feeds}
    known = {*kinds, *range(len(config.feeds))}
    return [
        f"reference.path: {config.reference.path}: venue {venue!r} is no feed of this "
        f"configuration; {near(str(venue), known)}"
        for venue in sorted(found.venues - known, key=str)
    ]
