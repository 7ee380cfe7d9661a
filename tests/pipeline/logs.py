"""Journals of tests, with records that the test chose."""

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.past import FORMAT, RUN_FILE
from ringbuf.journal import Journal
from ringbuf.journal_files import RECORDS
from tests.pipeline.desks import records
from workers.records import BOOK_RING, EVENTS_RING, RISK_RING, Event, Kept
from workers.records import Book as Kind

RINGS = {"events": EVENTS_RING, "book": BOOK_RING, "risk": RISK_RING}
IN_SEGMENT = 100  # records
BYTES = RECORDS + 64 * IN_SEGMENT
SYMBOLS = (("AAPL", 10_000), ("MSFT", 100), ("E\x1b[2J", 1))
PORTFOLIOS = [{"name": "growth"}]


def directory() -> np.ndarray:
    """Events that announce SYMBOLS."""
    made = records("event", len(SYMBOLS), kind=Event.DIRECTORY)
    for number, (symbol, scale) in enumerate(SYMBOLS):
        made.view(np.uint8).reshape(-1, 64)[number, 16:40] = list(symbol.ljust(24).encode())
        made["quantity"][number], made["instrument"][number] = scale, number
    return made


def events(count: int) -> np.ndarray:
    """SYMBOLS announced, then orders; `order` is the sequence that each will have."""
    places = np.arange(1, count + 1)
    made = records("event", count, kind=Event.ADD, price=585_3300, quantity=7)
    made["order"], made["instrument"] = places, places % 2
    made["time_ns"] = 1_700_000_000 * 10**9 + places
    made[: len(SYMBOLS)] = directory()[:count]
    return made


def answers(count: int) -> np.ndarray:
    """Records of the book, of all kinds in turn, two to an event."""
    places = np.arange(count)
    made = records("top", count, bid=585_3300, ask=585_3400, bid_quantity=3, ask_quantity=4)
    made["cause"], made["index"], made["instrument"] = 1 + places // 2, places % 2, places % 2
    made["kind"] = np.resize(list(Kind), count)
    made["time_ns"] = 1_700_000_000 * 10**9 + places
    return made


def risks(count: int) -> np.ndarray:
    """What risk answers, one record to each of the book's."""
    made = records("risk", count, value=10_000, pnl=-5_000, kind=Kept.RISK)
    made["cause"] = np.arange(1, count + 1)
    return made


def write(
    folder: Path, ring: str, made: np.ndarray, synced: int | None = None, begun: bool = True
) -> Path:
    """Append records to the journal of a ring; only the first `synced` are known to be on disk."""
    if begun and not (folder / RUN_FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        config = {"name": "kept", "risk": {"portfolios": PORTFOLIOS}}
        run = {"format": FORMAT, "pipeline": "kept", "run_id": "run-1", "created": "2026-01-01"}
        (folder / RUN_FILE).write_text(json.dumps({**run, "config": config}))
    log = Journal(folder / ring, ring, RINGS[ring], BYTES)
    log.append_records(made[:synced])
    if synced is not None:
        log.sync()
        log._mark()
        log._flush()
        log.append_records(made[synced:])
    else:
        log.sync()
    log.close()
    return folder / ring


def whole_run(folder: Path) -> Path:
    """Journals of all rings."""
    write(folder, "events", events(250))
    write(folder, "book", answers(420))
    write(folder, "risk", risks(150))
    return folder


def corelane(*words: str | Path) -> Result:
    """A command in this process; no traceback, whatever it says."""
    ran = CliRunner().invoke(main, list(map(str, words)))
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran
