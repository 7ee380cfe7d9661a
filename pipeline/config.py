"""The configuration file: TOML into strict structs; every refusal names the path and the mend."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import inspect

from ringbuf.memory import NAME
from ringbuf.ring import RELEASE_EVERY
from workers.book import BookOptions
from workers.feeds.feed import FeedError
from workers.feeds.registry import FeedOptions
from workers.ingest import IngestOptions
from workers.merge import SOURCES_MAX
from workers.publish import PublisherOptions
from workers.risk import RiskOptions

STAGES = ("ingest", "book", "risk", "publisher")  # in the order of the flow
SMALLEST_RING = 2 * RELEASE_EVERY


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
    wait: Literal["auto", "spin", "yield", "backoff"] = "auto"
    restart: Literal["auto", "never", "on-failure"] = "auto"


class Supervision(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How long to be patient with the stages."""

    ready_s: float = 60.0  # for a stage to get ready: kernels compile once on a new machine
    hang_s: float = 10.0  # without a heartbeat, then the stage counts as hung
    drain_s: float = 30.0  # to hand on what is in the rings after a stop
    restarts: int = 3  # of one stage within `restart_window_s`, then the pipeline fails
    restart_window_s: float = 60.0
    backoff_s: float = 0.1  # before the first restart, doubled for each that follows


class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A whole pipeline."""

    name: str
    feeds: list[FeedOptions]
    ingest: IngestOptions = msgspec.field(default_factory=IngestOptions)
    book: BookOptions = msgspec.field(default_factory=BookOptions)
    risk: RiskOptions = msgspec.field(default_factory=RiskOptions)
    publisher: PublisherOptions = msgspec.field(default_factory=PublisherOptions)
    rings: Rings = msgspec.field(default_factory=Rings)
    stages: dict[str, Placement] = {}
    processes: list[list[str]] = []  # stages that share a process; empty: one process each
    supervision: Supervision = msgspec.field(default_factory=Supervision)

    def placement(self, stage: str) -> Placement:
        return self.stages.get(stage) or Placement()


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
    unknown = unknown_keys(data)
    if unknown:
        raise ConfigError(source, unknown)
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
    if not 1 <= len(config.feeds) <= SOURCES_MAX:
        problems.append(f"feeds: {len(config.feeds)} of them; give 1 to {SOURCES_MAX} [[feeds]]")
    for ring in STAGES[:3]:
        capacity = getattr(config.rings, _RINGS[ring])
        if capacity < SMALLEST_RING or capacity & (capacity - 1):
            better = max(SMALLEST_RING, 1 << max(capacity - 1, 1).bit_length())
            problems.append(f"rings.{_RINGS[ring]}: {capacity} is no power of two; use {better}")
    return problems + _stage_faults(config) + _range_faults(config) + _name_faults(config)


_RINGS = {"ingest": "events", "book": "book", "risk": "risk"}


def _stage_faults(config: Config) -> list[str]:
    problems = []
    for stage in config.stages:
        if stage not in STAGES:
            problems.append(f"stages.{stage}: no such stage;{_near(stage, STAGES)}")
        elif config.stages[stage].restart == "on-failure" and stage != "publisher":
            problems.append(
                f"stages.{stage}.restart: {stage} keeps its state in memory only and cannot go on "
                "after a crash; use 'never' (only the publisher can be restarted)"
            )
    named = [stage for group in config.processes for stage in group]
    for stage in sorted({*named} - {*STAGES}):
        problems.append(f"processes: no such stage {stage!r};{_near(stage, STAGES)}")
    for stage in sorted({stage for stage in named if named.count(stage) > 1}):
        problems.append(f"processes: {stage!r} stands there twice; name it once")
    return problems


def _range_faults(config: Config) -> list[str]:
    positive = {
        "ingest.instruments": config.ingest.instruments,
        "ingest.rate": config.ingest.rate,
        "ingest.speed": config.ingest.speed,
        "ingest.quantity_limit": config.ingest.quantity_limit,
        "ingest.price_limit": config.ingest.price_limit,
        "book.orders": config.book.orders,
        "book.levels": config.book.levels,
        "publisher.flush_s": config.publisher.flush_s,
        **{
            f"supervision.{name}": getattr(config.supervision, name)
            for name in ("ready_s", "hang_s", "drain_s", "restart_window_s", "backoff_s")
        },
    }
    problems = [
        f"{path}: {value} is not above 0"
        for path, value in positive.items()
        if value is not None and not value > 0
    ]
    if config.ingest.rate is not None and config.ingest.speed is not None:
        problems.append("ingest: rate and speed exclude each other; give one of them")
    return problems


def _name_faults(config: Config) -> list[str]:
    names = [portfolio.name for portfolio in config.risk.portfolios]
    problems = [
        f"risk.portfolios: {name!r} stands there twice; names must differ"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    for portfolio in config.risk.portfolios:
        if not portfolio.positions:
            problems.append(f"risk.portfolios: {portfolio.name!r} has no positions; give one")
    return problems


def _near(name: str, known) -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f" did you mean {close[0]!r}?" if close else ""
    return f"{hint} known: {', '.join(sorted(known))}"


def unknown_keys(data: Any, kind: Any = None, path: str = "") -> list[str]:
    """Every key that no struct knows, with the nearest one that it does."""
    kind = inspect.type_info(Config) if kind is None else kind
    if isinstance(kind, inspect.UnionType):
        kind = _chosen(data, kind)
    if isinstance(kind, inspect.ListType) and isinstance(data, list):
        return [
            problem
            for number, item in enumerate(data)
            for problem in unknown_keys(item, kind.item_type, f"{path}[{number}]")
        ]
    if isinstance(kind, inspect.DictType) and isinstance(data, dict):
        return [
            problem
            for key, item in data.items()
            for problem in unknown_keys(item, kind.value_type, f"{path}.{key}")
        ]
    if not (isinstance(kind, inspect.StructType) and isinstance(data, dict)):
        return []
    fields = {field.encode_name: field.type for field in kind.fields}
    tags = {kind.tag_field} if kind.tag_field else set()
    problems = []
    for key, item in data.items():
        where = f"{path}.{key}".removeprefix(".")
        if key in fields:
            problems += unknown_keys(item, fields[key], where)
        elif key not in tags:
            problems.append(f"{where}: unknown key;{_near(key, fields)}")
    return problems


def _chosen(data: Any, union: inspect.UnionType) -> Any:
    """The struct of a union that a table's tag names; None where there is none."""
    structs = [kind for kind in union.types if isinstance(kind, inspect.StructType)]
    if isinstance(data, dict):
        for struct in structs:
            if len(structs) == 1 or data.get(struct.tag_field) == struct.tag:
                return struct
    return None


def problem_key(problem: str) -> str:
    """The path that a problem names."""
    return re.split(r":", problem, maxsplit=1)[0]
