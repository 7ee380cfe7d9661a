"""Two days in one log: marked, killed in between, and each of them played again by itself."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline import past, plan, stored_days
from pipeline.config import Config, load
from pipeline.journals import listing
from pipeline.replaying import Choice, replay
from ringbuf.journal import Journal, JournalReader
from tests.pipeline.logs import corelane
from tests.pipeline.running import Place, portfolios
from tests.workers.deaths import log_of
from tests.workers.joined import RINGS
from tests.workers.test_history import plain, played
from tuning import topology
from workers.almanac import Setting
from workers.feeds.journal import JournalOptions
from workers.feeds.synthetic import SyntheticOptions
from workers.records import Book
from workers.sessions import DayOptions

SMALL = {"kind": "synthetic", "symbols": 8, "seed": 3}
DAYS = [{**SMALL, "messages": 9_000, "date": "2026-11-19"},
        {**SMALL, "messages": 7_000, "date": "2026-11-20"}]  # fmt: skip
TOGETHER = [["ingest", "book", "risk", "journal", "snapshot"]]
NOT_COMPARED = ("cause", "sequence")


def alone(feed: dict) -> np.ndarray:
    """The events of one day, from nothing but its feed."""
    return log_of(msgspec.convert(feed, SyntheticOptions))


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    """A journal of both days, one behind the other, as a pipeline without days would keep it."""
    folder = tmp_path_factory.mktemp("both")
    made = Journal(folder / "events", "events", RINGS["events"])
    made.append_records(np.concatenate([alone(feed) for feed in DAYS]))
    made.close()
    (folder / "run.json").write_text(json.dumps({"run_id": "made"}))
    return folder


@pytest.fixture(scope="module")
def rolled(both, tmp_path_factory) -> Path:
    """The journals of a pipeline that told the days apart, and was killed again and again."""
    place = Place(tmp_path_factory.mktemp("rolled"))
    folder = place.folder / "journal"
    config = place.write(
        feeds=[{"kind": "journal", "path": str(both)}],
        risk=portfolios(DAYS[0]),
        ingest={"rate": 8_000},
        day={},
        processes=[["ingest"], ["book", "risk"], ["journal", "snapshot"]],
        journal={"path": str(folder), "snapshot_s": 0.3},
    )
    try:
        running = place.start(config)
        for number, (stage, count) in enumerate([("ingest", 3_000), ("book", 9_020)], 2):
            running.until_received("risk", count // 4)
            running.until_received("book", count)
            running.kill(stage)
            running.until(lambda s=stage: running.starts(s) > 1, f"{stage} back, {number}")
        ran = running.end()
        assert (ran.code, "Traceback" in ran.err) == (0, False), ran.err
        place.check_clean()
    finally:
        place.close()
    return folder


def test_deaths_change_nothing(both, rolled):
    expected = played(JournalOptions(path=str(both)), Setting(DayOptions()))
    log = JournalReader(rolled / "events")
    assert plain(log.read(1, log.last)) == plain(expected)
    assert replay(Choice(rolled)).same


def test_the_days_are_listed(rolled):
    days = json.loads(corelane("journal", "days", rolled, "--json").output)
    last = listing(rolled).rings[0].last
    assert [(day["date"], day["whole"]) for day in days] == [
        ("2026-11-19", True),
        ("2026-11-20", True),
    ]
    assert days[0]["first"] == 1
    assert days[1]["first"] == days[0]["last"] + 1
    assert days[1]["last"] == last
    assert [day.last for day in stored_days.listing(rolled)] == [day["last"] for day in days]
    table = corelane("journal", "days", rolled).output
    assert f"{days[1]['events']:,}" in table


@pytest.fixture
def day_of(rolled, place):
    """Plays a day through a pipeline of its own; the folder of what it gave."""

    def play(date: str) -> Path:
        folder = place.folder / date
        place.run(
            place.write(
                f"{date}.toml",
                feeds=[{"kind": "history", "path": str(rolled), "day": date}],
                risk=portfolios(DAYS[0]),
                day={},
                processes=TOGETHER,
                journal={"path": str(folder)},
            )
        )
        return folder

    return play


def given(events: np.ndarray, config: Config) -> dict[str, np.ndarray]:
    """What book and risk make of a day alone."""
    made = plan.make(config, topology.read())
    replica = past.replica(config, made)
    parts: dict[str, list] = {name: [] for name in replica.parts}
    for name, records in replica.take(events).items():
        parts[name] += [some.copy() for some in records]
    return {name: np.concatenate(some) for name, some in parts.items()}


def comparable(records: np.ndarray) -> list[bytes]:
    plain_ = records.copy()
    for name in NOT_COMPARED:
        plain_[name] = 0
    return [record.tobytes() for record in plain_]


@pytest.mark.parametrize("number", [0, 1])
def test_a_day_played_alone_gives_what_it_gave_alone(rolled, day_of, number):
    folder = day_of(DAYS[number]["date"])
    assert replay(Choice(folder)).same
    said = alone(DAYS[number])
    expected = given(said, load(folder.parent / f"{folder.name}.toml"))
    logs = {name: JournalReader(folder / name) for name in ("events", "book", "risk")}
    got = {name: log.read(1, log.last) for name, log in logs.items()}
    begins = 1 if number == 0 else 1 + 2 * SMALL["symbols"]  # what ingest says before
    assert plain(got["events"][begins : begins + len(said)]) == plain(said)
    causes = got["book"]["cause"]
    answers = got["book"][(causes > begins) & (causes <= begins + len(said))]
    assert comparable(answers) == comparable(expected["book"])
    risk = got["risk"][np.isin(got["risk"]["cause"], answers["sequence"])]
    assert len(risk) > 500
    assert comparable(risk) == comparable(expected["risk"])
    night = got["book"][causes > begins + len(said)]
    cleared = night[night["kind"] == Book.CLEARED]
    assert cleared["instrument"].tolist() == list(range(SMALL["symbols"] if number == 0 else 0))
    assert not night["bid"].any()
    assert not night["ask"].any()
