"""What ingest itself says comes out the same where its files are read again after a death."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringbuf import ring
from ringbuf.jit import compiled
from tests.workers.deaths import NAME, counters_of, unwrite
from tests.workers.joined import Joint, joint, turn_until_finished
from workers import recovery
from workers.almanac import Setting
from workers.feeds.synthetic import SyntheticOptions, symbols
from workers.ingest import Ingest, IngestOptions
from workers.recovery import RecoveryError
from workers.reference import ReferenceOptions
from workers.relearned import is_ours
from workers.sessions import DayOptions

DAY = SyntheticOptions(messages=600, symbols=5, seed=5)
OTHER = SyntheticOptions(messages=400, symbols=3, seed=6)
HOURS = "09:15-11:00 pre-open; 11:00-15:00 continuous"


@pytest.fixture(scope="module")
def setting(tmp_path_factory) -> Setting:
    path = tmp_path_factory.mktemp("reference") / "instruments.csv"
    rows = [f"{name},0.01,{HOURS}" for name in {*symbols(DAY), *symbols(OTHER)}]
    path.write_text("\n".join(["symbol,tick,phases", *sorted(rows)]))
    return Setting(DayOptions(roll="12:00"), ReferenceOptions(path=str(path)))


def ingest_of(at: Joint, setting: Setting) -> Ingest:
    return Ingest(IngestOptions(), [DAY, OTHER], at.links, setting)


def whole(setting: Setting):
    with joint(Ingest, parts=2, capacity=2048) as at:
        stage = ingest_of(at, setting)
        stage.open()
        log = turn_until_finished(stage, at, "events")["events"]
        log["arrived_ns"] = 0
        return log, counters_of(at), at.content("instruments").tobytes()


def dies(at: Joint, setting: Setting, visible: int) -> None:
    """Have the stage publish so many events and die."""
    stage = ingest_of(at, setting)
    stage.open()
    while stage.turn(0):
        pass
    at.leave()
    unwrite(at.targets["events"].segment, "events", visible)
    ring.lines(at.targets["events"].segment.payload)[0]["written"] = visible
    at.links = at.join()


@settings(max_examples=20 if compiled() else 4, deadline=None)
@given(data=st.data())
def test_a_death_anywhere_changes_nothing(setting, data):
    log, counters, instruments = whole(setting)
    (ours,) = is_ours(log).nonzero()
    assert len(ours) > 60
    inside = st.sampled_from(ours.tolist())
    visible = data.draw(st.one_of(inside, st.integers(0, len(log))), "visible")
    with joint(Ingest, parts=2, capacity=2048) as at:
        dies(at, setting, visible)
        stage = ingest_of(at, setting)
        assert recovery.rerun(stage, NAME) == visible
        got = turn_until_finished(stage, at, "events")["events"]
        got["arrived_ns"] = 0
        assert got.tobytes() == log.tobytes()
        assert counters_of(at) == counters
        assert at.content("instruments").tobytes() == instruments
        assert at.balanced()


def test_another_setting_is_seen(setting):
    with joint(Ingest, parts=2, capacity=2048) as at:
        dies(at, setting, 500)
        with pytest.raises(RecoveryError, match="they have changed"):
            recovery.rerun(ingest_of(at, Setting()), NAME)
